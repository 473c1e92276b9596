//! What a path gave when it was rendered, by content: a second look at the same content renders nothing.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::types::Json;

use crate::ids::SetDigest;
use crate::manifest::Scope;

/// A remembered render.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedRender {
    /// The set, or why there is none.
    pub result: Result<SetDigest, String>,
    /// Files read → their object ids.
    pub reads: BTreeMap<String, String>,
    /// Kinds of its objects → where the cluster told that they live; it holds as long as that is told.
    pub kinds: BTreeMap<String, Option<Scope>>,
    /// Which program and version.
    pub renderer: String,
}

/// Looks a render up by the hash of everything it depends on.
///
/// # Errors
/// The database's own.
pub async fn get(conn: &mut PgConnection, input: &[u8; 32]) -> Result<Option<CachedRender>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT set_digest, error, reads AS "reads: Json<BTreeMap<String, String>>",
               kinds AS "kinds: Json<BTreeMap<String, Option<Scope>>>", renderer
           FROM render_cache WHERE input_hash = $1"#,
        &input[..]
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let result =
        match (row.set_digest, row.error) {
            (Some(digest), _) => Ok(SetDigest::from_bytes(&digest)
                .ok_or_else(|| sqlx::Error::Decode("a set digest is not 32 bytes".into()))?),
            (None, error) => Err(error.unwrap_or_default()),
        };
    Ok(Some(CachedRender { result, reads: row.reads.0, kinds: row.kinds.0, renderer: row.renderer }))
}

/// Remembers a render, instead of what the same input gave when the cluster told something else.
///
/// # Errors
/// The database's own.
pub async fn put(conn: &mut PgConnection, input: &[u8; 32], render: &CachedRender) -> Result<(), sqlx::Error> {
    let (set, error) = match &render.result {
        Ok(digest) => (Some(digest.as_bytes() as &[u8]), None),
        Err(error) => (None, Some(error.replace('\0', "\u{fffd}"))),
    };
    sqlx::query!(
        "INSERT INTO render_cache (input_hash, set_digest, error, reads, kinds, renderer) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (input_hash) DO UPDATE SET set_digest = excluded.set_digest, error = excluded.error,
             reads = excluded.reads, kinds = excluded.kinds, renderer = excluded.renderer, created_at = now()",
        &input[..],
        set,
        error,
        Json(&render.reads) as _,
        Json(&render.kinds) as _,
        render.renderer
    )
    .execute(conn)
    .await?;
    Ok(())
}
