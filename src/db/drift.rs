//! What is not in the clusters as we left it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff_sqlx::{Timestamp as Stored, ToSqlx as _};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::inventory::{bad, key};
use crate::ids::ObjectKey;
use crate::sync::drift::{CALM, Drift, Mark, What};
use crate::sync::fields::LiveHash;

/// An object that was looked at and is as we left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Its mark now; `None`: it is not to be looked at again until it moves, and nothing more is known.
    pub mark: Option<Mark>,
    /// Its version now.
    pub resource_version: Option<String>,
    /// Of our fields, where the server rewrote them itself.
    pub live: Option<LiveHash>,
}

/// Remembers that an object is as we left it, and ends its drift; whether it was in any.
///
/// # Errors
/// The database's own.
pub async fn settle(
    conn: &mut PgConnection,
    cluster_uid: &str,
    of: &ObjectKey,
    settled: &Settled,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let namespace = of.namespace.as_deref().unwrap_or_default();
    sqlx::query!(
        "UPDATE inventory SET suspect = false, mark = coalesce($6, mark), resource_version = coalesce($7, resource_version),
             live_hash = coalesce($8, live_hash)
         WHERE cluster_uid = $1 AND api_group = $2 AND kind = $3 AND namespace = $4 AND name = $5",
        cluster_uid,
        of.group,
        of.kind,
        namespace,
        of.name,
        settled.mark.as_ref().map(|mark| &mark.0[..]),
        settled.resource_version,
        settled.live.as_ref().map(|live| &live.0[..])
    )
    .execute(&mut *conn)
    .await?;
    let done = sqlx::query!(
        "UPDATE drift SET ended_at = $6 WHERE cluster_uid = $1 AND api_group = $2 AND kind = $3 AND namespace = $4 AND name = $5
             AND ended_at IS NULL",
        cluster_uid,
        of.group,
        of.kind,
        namespace,
        of.name,
        now.to_sqlx() as Stored
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Remembers that an object is not as we left it; whether that is news.
///
/// # Errors
/// The database's own.
pub async fn found(
    conn: &mut PgConnection,
    cluster_uid: &str,
    of: &ObjectKey,
    (drift, mark): (&Drift, Option<Mark>),
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let namespace = of.namespace.as_deref().unwrap_or_default();
    let calm = now.checked_sub(CALM).unwrap_or(now);
    sqlx::query!(
        "UPDATE inventory SET suspect = false
         WHERE cluster_uid = $1 AND api_group = $2 AND kind = $3 AND namespace = $4 AND name = $5",
        cluster_uid,
        of.group,
        of.kind,
        namespace,
        of.name
    )
    .execute(&mut *conn)
    .await?;
    let is_news = sqlx::query_scalar!(
        r#"WITH before AS (SELECT ended_at FROM drift WHERE cluster_uid = $1 AND api_group = $2 AND kind = $3 AND namespace = $4
                               AND name = $5)
           INSERT INTO drift AS d (cluster_uid, api_group, kind, namespace, name, what, fields, by_whom, detail, mark, since)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
           ON CONFLICT ON CONSTRAINT drift_once DO UPDATE SET what = excluded.what, fields = excluded.fields,
               by_whom = excluded.by_whom, detail = excluded.detail, mark = excluded.mark,
               since = CASE WHEN d.ended_at IS NULL THEN d.since ELSE excluded.since END,
               heals = CASE WHEN d.ended_at < $12 THEN 0 ELSE d.heals END,
               healed_at = CASE WHEN d.ended_at < $12 THEN NULL ELSE d.healed_at END,
               trouble = CASE WHEN d.ended_at IS NULL THEN d.trouble END, ended_at = NULL
           RETURNING NOT EXISTS (SELECT FROM before WHERE ended_at IS NULL) AS "news!""#,
        cluster_uid,
        of.group,
        of.kind,
        namespace,
        of.name,
        drift.what.as_str(),
        Json(&drift.fields) as _,
        Json(&drift.by) as _,
        drift.detail,
        mark.as_ref().map(|mark| &mark.0[..]),
        now.to_sqlx() as Stored,
        calm.to_sqlx() as Stored
    )
    .fetch_one(conn)
    .await?;
    Ok(is_news)
}

/// Remembers that an object was put right, or why not.
///
/// # Errors
/// The database's own.
pub async fn healed(
    conn: &mut PgConnection,
    cluster_uid: &str,
    of: &ObjectKey,
    trouble: Option<&str>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE drift SET heals = heals + 1, healed_at = $7::timestamptz, trouble = $6::text, ended_at = CASE WHEN $6::text IS NULL THEN $7::timestamptz END
         WHERE cluster_uid = $1 AND api_group = $2 AND kind = $3 AND namespace = $4 AND name = $5",
        cluster_uid,
        of.group,
        of.kind,
        of.namespace.as_deref().unwrap_or_default(),
        of.name,
        trouble,
        now.to_sqlx() as Stored
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An object that is not as we left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drifted {
    /// Its number.
    pub id: i64,
    /// Our number of its environment.
    pub environment: i64,
    /// That one's repository, `forge/owner/name`.
    pub repository: String,
    /// Its name.
    pub name: String,
    /// Its cluster.
    pub cluster: String,
    /// Which.
    pub key: ObjectKey,
    /// In which way.
    pub drift: Drift,
    /// Since when.
    pub since: Timestamp,
    /// How often it was put right lately, or that was tried.
    pub heals: u32,
    /// When that was last.
    pub healed_at: Option<Timestamp>,
    /// Why it could not be put right then.
    pub trouble: Option<String>,
}

/// Which drift; an empty field is not asked about.
#[derive(Debug, Clone, Copy, Default)]
pub struct Which<'a> {
    /// Of this environment (our number).
    pub environment: Option<i64>,
    /// Of environments of exactly this name.
    pub name: Option<&'a str>,
    /// Of this repository: `owner/name`, or `forge/owner/name`.
    pub repository: Option<&'a str>,
    /// Only of these repositories (our numbers).
    pub readable: Option<&'a [i64]>,
    /// Only smaller numbers: the cursor.
    pub before: Option<i64>,
}

/// What is not as we left it, newest first.
///
/// # Errors
/// The database's own.
pub async fn list(conn: &mut PgConnection, which: &Which<'_>, limit: i64) -> Result<Vec<Drifted>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT d.id, i.environment_id, r.forge || '/' || r.full_name AS "repository!", e.name AS environment, e.cluster,
                  d.api_group, d.kind, d.namespace, d.name, what, fields AS "fields: Json<Vec<String>>",
                  by_whom AS "by_whom: Json<Vec<String>>", detail, since AS "since: Stored", heals,
                  healed_at AS "healed_at: Stored", trouble
           FROM drift d JOIN inventory i USING (cluster_uid, api_group, kind, namespace, name)
           JOIN environment e ON e.id = i.environment_id JOIN repository r ON r.id = e.repository_id
           WHERE d.ended_at IS NULL AND ($1::bigint IS NULL OR e.id = $1) AND ($2::text IS NULL OR e.name = $2)
             AND ($3::text IS NULL OR r.full_name = $3 OR r.forge || '/' || r.full_name = $3)
             AND ($4::bigint[] IS NULL OR r.id = ANY($4)) AND ($5::bigint IS NULL OR d.id < $5)
           ORDER BY d.id DESC LIMIT $6"#,
        which.environment,
        which.name,
        which.repository,
        which.readable,
        which.before,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let what = What::read(&row.what).ok_or_else(|| bad("a drift"))?;
            Ok(Drifted {
                id: row.id,
                environment: row.environment_id,
                repository: row.repository,
                name: row.environment,
                cluster: row.cluster,
                key: key(row.api_group, row.kind, row.namespace, row.name),
                drift: Drift { what, fields: row.fields.0, by: row.by_whom.0, detail: row.detail },
                since: row.since.to_jiff(),
                heals: u32::try_from(row.heals).unwrap_or(0),
                healed_at: row.healed_at.map(|at| at.to_jiff()),
                trouble: row.trouble,
            })
        })
        .collect()
}

/// How many objects of each of these environments are not as we left them, and since when the first; those without are left out.
///
/// # Errors
/// The database's own.
pub async fn counts(
    conn: &mut PgConnection,
    environments: &[i64],
) -> Result<BTreeMap<i64, (i64, Timestamp)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT i.environment_id, count(*) AS "objects!", min(d.since) AS "since!: Stored"
           FROM drift d JOIN inventory i USING (cluster_uid, api_group, kind, namespace, name)
           WHERE i.environment_id = ANY($1) AND d.ended_at IS NULL GROUP BY 1"#,
        environments
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.environment_id, (row.objects, row.since.to_jiff()))).collect())
}

/// How many objects are not as we left them, by cluster and in which way.
///
/// # Errors
/// The database's own.
pub async fn counted(conn: &mut PgConnection) -> Result<Vec<(String, String, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT e.cluster, d.what, count(*) AS "objects!"
           FROM drift d JOIN inventory i USING (cluster_uid, api_group, kind, namespace, name)
           JOIN environment e ON e.id = i.environment_id WHERE d.ended_at IS NULL GROUP BY 1, 2"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.cluster, row.what, row.objects)).collect())
}

/// Forgets drift that ended so long ago that nobody is known by it any more; how much.
///
/// # Errors
/// The database's own.
pub async fn tidy(conn: &mut PgConnection, before: Timestamp) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!("DELETE FROM drift WHERE ended_at < $1", before.to_sqlx() as Stored).execute(conn).await?;
    Ok(done.rows_affected())
}
