//! What acts over HTTP were answered, under the keys their clients gave them: see `web/once.rs`.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::ids::RepositoryKey;

/// A key, and whose it is.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// The token's name, or the person's forge and number.
    pub owner: &'a str,
    /// As the client gave it.
    pub key: &'a str,
}

/// An act that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// What was asked, as a digest.
    pub request: Vec<u8>,
    /// The repositories the answer tells of.
    pub repositories: Vec<RepositoryKey>,
    /// What was answered.
    pub answer: Value,
}

/// What was done under a key at `since` or later.
///
/// # Errors
/// The database's own.
pub async fn get(conn: &mut PgConnection, key: Key<'_>, since: Timestamp) -> Result<Option<Done>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT request, repositories AS "repositories: Json<Vec<RepositoryKey>>", answer
           FROM act_answer WHERE owner = $1 AND key = $2 AND done_at >= $3"#,
        key.owner,
        key.key,
        since.to_sqlx() as _
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Done { request: row.request, repositories: row.repositories.0, answer: row.answer }))
}

/// Keeps what is done under a key, in the act's own transaction; one of before `since` gives way. Gives whether nobody else
/// did it: where another act under the key is being done, this waits for its end.
///
/// # Errors
/// The database's own.
pub async fn keep(
    conn: &mut PgConnection,
    key: Key<'_>,
    done: &Done,
    (now, since): (Timestamp, Timestamp),
) -> Result<bool, sqlx::Error> {
    let kept = sqlx::query!(
        "INSERT INTO act_answer AS kept (owner, key, request, repositories, answer, done_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT ON CONSTRAINT act_answer_key DO UPDATE
         SET request = excluded.request, repositories = excluded.repositories, answer = excluded.answer,
             done_at = excluded.done_at
         WHERE kept.done_at < $7",
        key.owner,
        key.key,
        done.request,
        Json(&done.repositories) as _,
        done.answer,
        now.to_sqlx() as _,
        since.to_sqlx() as _
    )
    .execute(conn)
    .await?;
    Ok(kept.rows_affected() == 1)
}

/// Forgets what was done before `since`; how much.
///
/// # Errors
/// The database's own.
pub async fn tidy(conn: &mut PgConnection, since: Timestamp) -> Result<u64, sqlx::Error> {
    let gone = sqlx::query!("DELETE FROM act_answer WHERE done_at < $1", since.to_sqlx() as _).execute(conn).await?;
    Ok(gone.rows_affected())
}
