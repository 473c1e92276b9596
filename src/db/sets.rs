//! Rendered sets by digest, and the objects in them by hash, sealed. What was previewed and consented to is what is
//! applied: a sync reads it from here and renders nothing.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx as _;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};

use super::seal::{Seal, Unopened};
use crate::consent::HashedSet;
use crate::ids::{ObjectHash, ObjectKey, SetDigest, SetKey, Target};
use crate::manifest::{Object, RenderedSet, canonical_json};
use crate::policy::rules::Environment;

/// Why a set could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The database.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// An object does not open.
    #[error(transparent)]
    Unopened(#[from] Unopened),
    /// It is not there, or not what its digest says.
    #[error("the stored set {0} is not whole: {1}")]
    Broken(SetDigest, &'static str),
}

/// The hashes of a rendered set, as consent compares them.
pub fn hashed(set: &RenderedSet) -> HashedSet {
    HashedSet { target: set.target.clone(), hashes: set.hashes() }
}

/// Stores a set, its objects, and what its entry says. Storing it again does nothing.
///
/// # Errors
/// The database's own.
pub async fn store(
    conn: &mut PgConnection,
    set: &RenderedSet,
    entry: &Environment,
    seal: &Seal,
) -> Result<SetDigest, sqlx::Error> {
    let hashed = hashed(set);
    let digest = hashed.digest();
    let known = sqlx::query_scalar!("SELECT true FROM rendered_set WHERE digest = $1", digest.as_bytes())
        .fetch_optional(&mut *conn)
        .await?;
    if known.is_some() {
        return Ok(digest);
    }
    let hashes: Vec<Vec<u8>> = set.objects.values().map(|o| o.hash.as_bytes().to_vec()).collect();
    let sealed: Vec<Vec<u8>> =
        set.objects.values().map(|o| seal.close(o.hash.as_bytes(), &canonical_json(&o.json))).collect();
    sqlx::query!(
        "INSERT INTO object_content (hash, sealed) SELECT DISTINCT ON (h) h, s FROM UNNEST($1::bytea[], $2::bytea[]) AS n (h, s)
         ORDER BY h ON CONFLICT DO NOTHING",
        &hashes,
        &sealed
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO environment_entry (hash, block) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        set.entry.as_bytes(),
        Json(entry) as _
    )
    .execute(&mut *conn)
    .await?;
    let pairs: Vec<(&SetKey, &ObjectHash)> = hashed.hashes.iter().collect();
    sqlx::query!(
        "INSERT INTO rendered_set (digest, target, hashes) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        digest.as_bytes(),
        Json(&set.target) as _,
        Json(&pairs) as _
    )
    .execute(conn)
    .await?;
    Ok(digest)
}

/// What the entries of stored sets are, and what they say: two questions, of however many sets. One without an entry is left out.
///
/// # Errors
/// [`SetError::Broken`] when one is not there or not what its digest says.
pub async fn rules_of(
    conn: &mut PgConnection,
    digests: &[SetDigest],
) -> Result<(BTreeMap<SetDigest, ObjectHash>, BTreeMap<ObjectHash, Environment>), SetError> {
    if digests.is_empty() {
        return Ok(Default::default());
    }
    let wanted: Vec<Vec<u8>> = digests.iter().map(|digest| digest.as_bytes().to_vec()).collect();
    let (mut met, mut entries) = (BTreeSet::new(), BTreeMap::new());
    let mut rows = sqlx::query!(
        r#"SELECT digest, target AS "target: Json<Target>", hashes AS "hashes: Json<Vec<(SetKey, ObjectHash)>>"
           FROM rendered_set WHERE digest = ANY($1)"#,
        &wanted
    )
    .fetch(&mut *conn);
    // One after the other: a thousand sets are not in memory together.
    while let Some(row) = rows.try_next().await? {
        let set = HashedSet { target: row.target.0, hashes: row.hashes.0.into_iter().collect() };
        let digest = set.digest();
        if row.digest != digest.as_bytes() {
            let stored = SetDigest::from_bytes(&row.digest).unwrap_or(digest);
            return Err(SetError::Broken(stored, "its hashes are not those of its digest"));
        }
        met.insert(digest);
        entries.extend(set.entry().map(|entry| (digest, *entry)));
    }
    drop(rows);
    if let Some(missing) = digests.iter().find(|digest| !met.contains(*digest)) {
        return Err(SetError::Broken(*missing, "it is not in the database"));
    }
    let hashes: Vec<ObjectHash> = entries.values().copied().collect();
    Ok((entries, self::entries(conn, &hashes).await?))
}

/// The hashes of a stored set.
///
/// # Errors
/// [`SetError::Broken`] when it is not there or not what its digest says.
pub async fn load_hashed(conn: &mut PgConnection, digest: &SetDigest) -> Result<HashedSet, SetError> {
    let row = sqlx::query!(
        r#"SELECT target AS "target: Json<Target>", hashes AS "hashes: Json<Vec<(SetKey, ObjectHash)>>"
           FROM rendered_set WHERE digest = $1"#,
        digest.as_bytes()
    )
    .fetch_optional(conn)
    .await?
    .ok_or(SetError::Broken(*digest, "it is not in the database"))?;
    let set = HashedSet { target: row.target.0, hashes: row.hashes.0.into_iter().collect() };
    if set.digest() == *digest {
        Ok(set)
    } else {
        Err(SetError::Broken(*digest, "its hashes are not those of its digest"))
    }
}

/// A stored set with its objects, ready to be applied.
///
/// # Errors
/// [`SetError`]; an object whose content is gone or does not open is never passed over.
pub async fn load(conn: &mut PgConnection, digest: &SetDigest, seal: &Seal) -> Result<RenderedSet, SetError> {
    let hashed = load_hashed(&mut *conn, digest).await?;
    load_objects(conn, hashed, seal).await
}

/// The two sets of a change with their objects, asked for together.
///
/// # Errors
/// As [`load`].
pub async fn load_both(
    conn: &mut PgConnection,
    old: Option<&HashedSet>,
    new: &HashedSet,
    seal: &Seal,
) -> Result<(Option<RenderedSet>, RenderedSet), SetError> {
    let hashes = old.into_iter().chain([new]).flat_map(|set| set.hashes.values());
    let sealed = sealed(conn, &hashes.copied().collect()).await?;
    let old = old.map(|old| opened(old.clone(), &sealed, seal)).transpose()?;
    Ok((old, opened(new.clone(), &sealed, seal)?))
}

/// A set that may be stored nowhere, of objects that are: what one is with the change of another added to it.
///
/// # Errors
/// As [`load`].
pub async fn load_objects(conn: &mut PgConnection, hashed: HashedSet, seal: &Seal) -> Result<RenderedSet, SetError> {
    let sealed = sealed(conn, &hashed.hashes.values().copied().collect()).await?;
    opened(hashed, &sealed, seal)
}

/// The sealed content of objects, by their hashes. Entries have none.
async fn sealed(
    conn: &mut PgConnection,
    hashes: &BTreeSet<ObjectHash>,
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, sqlx::Error> {
    let wanted: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect();
    let rows =
        sqlx::query!("SELECT hash, sealed FROM object_content WHERE hash = ANY($1)", &wanted).fetch_all(conn).await?;
    Ok(rows.into_iter().map(|row| (row.hash, row.sealed)).collect())
}

fn opened(hashed: HashedSet, sealed: &BTreeMap<Vec<u8>, Vec<u8>>, seal: &Seal) -> Result<RenderedSet, SetError> {
    let digest = hashed.digest();
    let broken = |why| SetError::Broken(digest, why);
    let entry = *hashed.entry().ok_or_else(|| broken("it has no entry"))?;
    let mut objects = BTreeMap::new();
    for (key, hash) in hashed.hashes {
        let SetKey::Object(key) = key else { continue };
        let sealed = sealed.get(hash.as_bytes()).ok_or_else(|| broken("an object's content is gone"))?;
        objects.insert(
            key.clone(),
            object(key, hash, &seal.open(hash.as_bytes(), sealed)?).ok_or_else(|| broken("an object is no JSON"))?,
        );
    }
    Ok(RenderedSet { target: hashed.target, objects, entry, left_out: Vec::new() })
}

/// How long a render that nobody came back to is remembered. What was shown, consented to or deployed stays.
pub const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Forgets renders of before `before`, the sets among them that nothing shown, held or deployed names, and the content of
/// objects that are in no set any more. What is forgotten can be rendered again. Gives how many sets went.
///
/// # Errors
/// The database's own.
pub async fn tidy(pool: &PgPool, before: Timestamp) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    // Whoever stores a set writes its objects first: nobody may be between the two while objects without a set are looked
    // for.
    sqlx::query!("LOCK TABLE object_content IN SHARE ROW EXCLUSIVE MODE").execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM render_cache WHERE created_at < $1", before.to_sqlx() as _).execute(&mut *tx).await?;
    let gone = sqlx::query!(
        "DELETE FROM rendered_set s WHERE s.created_at < $1
           AND NOT EXISTS (SELECT FROM render_cache c WHERE c.set_digest = s.digest)
           AND NOT EXISTS (SELECT FROM environment e WHERE s.digest IN (e.position_set, e.healthy_set))
           AND NOT EXISTS (SELECT FROM shown_change c WHERE s.digest IN (c.base_set, c.head_set))
           AND NOT EXISTS (SELECT FROM approval a WHERE s.digest IN (a.base_set, a.head_set))
           AND NOT EXISTS (SELECT FROM hold h WHERE s.digest IN (h.from_set, h.to_set))
           AND NOT EXISTS (SELECT FROM deployment d WHERE s.digest IN (d.from_set, d.set_digest))",
        before.to_sqlx() as _
    )
    .execute(&mut *tx)
    .await?;
    if gone.rows_affected() > 0 {
        sqlx::query!(
            "DELETE FROM object_content WHERE hash NOT IN
         (SELECT decode(pair.value ->> 1, 'hex') FROM rendered_set s, jsonb_array_elements(s.hashes) AS pair)"
        )
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(gone.rows_affected())
}

fn object(key: ObjectKey, hash: ObjectHash, content: &[u8]) -> Option<Object> {
    let json: serde_json::Value = serde_json::from_slice(content).ok()?;
    let api_version = json.get("apiVersion")?.as_str()?.to_owned();
    Some(Object { key, api_version, json, file: None, line: None, hash })
}

/// What entries say, by their hashes; one that is not known is left out.
///
/// # Errors
/// The database's own.
pub async fn entries(
    conn: &mut PgConnection,
    hashes: &[ObjectHash],
) -> Result<BTreeMap<ObjectHash, Environment>, sqlx::Error> {
    let wanted: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect();
    let rows = sqlx::query!(
        r#"SELECT hash, block AS "block: Json<Environment>" FROM environment_entry WHERE hash = ANY($1)"#,
        &wanted
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().filter_map(|row| Some((ObjectHash::from_bytes(&row.hash)?, row.block.0))).collect())
}
