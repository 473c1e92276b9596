//! Hooks that were run: once for each rendered set, whoever is killed in the middle.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::inventory::key;
use crate::ids::{ObjectKey, SetDigest};
use crate::manifest::When;

/// How far the run of a hook is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRun {
    /// Which attempt it is; the first has 1.
    pub attempt: i32,
    /// The uid of its object, once it is known.
    pub uid: Option<String>,
    /// How it ended, if it did.
    pub ended: Option<Ended>,
}

/// How a hook ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// As it should. It is never run again for this set.
    Well,
    /// Otherwise, and why.
    Badly(String),
}

/// Which hook of which set, and at which moment.
#[derive(Debug, Clone, Copy)]
pub struct Which<'a> {
    /// Our number of the environment.
    pub environment: i64,
    /// The set.
    pub set: &'a SetDigest,
    /// The object.
    pub key: &'a ObjectKey,
    /// At which version it is written.
    pub api_version: &'a str,
    /// Before or after everything else of the set: what runs at both is run twice.
    pub when: When,
}

/// What of a set ended well, at this moment, and is not run again.
///
/// # Errors
/// The database's own.
pub async fn ended_well(
    conn: &mut PgConnection,
    environment: i64,
    set: &SetDigest,
    when: When,
) -> Result<BTreeSet<ObjectKey>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT api_group, kind, namespace, name FROM hook_run
         WHERE environment_id = $1 AND set_digest = $2 AND moment = $3 AND state = 'succeeded'",
        environment,
        set.as_bytes(),
        when.as_str()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| key(row.api_group, row.kind, row.namespace, row.name)).collect())
}

/// Begins a run, or gives the one that has begun. What failed in an earlier deployment of the same set begins anew.
///
/// # Errors
/// The database's own.
pub async fn begin(conn: &mut PgConnection, which: Which<'_>, deployment: Uuid) -> Result<HookRun, sqlx::Error> {
    let Which { environment, set, key, api_version, when } = which;
    let namespace = key.namespace.as_deref().unwrap_or_default();
    let row = sqlx::query!(
        r#"INSERT INTO hook_run AS r (environment_id, set_digest, api_group, kind, namespace, name, moment, deployment, api_version)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
           ON CONFLICT (environment_id, set_digest, api_group, kind, namespace, name, moment) DO UPDATE SET
               deployment = EXCLUDED.deployment, api_version = EXCLUDED.api_version,
               attempt = r.attempt + (r.state = 'failed' AND r.deployment <> EXCLUDED.deployment)::int,
               uid = CASE WHEN r.state = 'failed' AND r.deployment <> EXCLUDED.deployment THEN NULL ELSE r.uid END,
               why = CASE WHEN r.state = 'failed' AND r.deployment <> EXCLUDED.deployment THEN NULL ELSE r.why END,
               state = CASE WHEN r.state = 'failed' AND r.deployment <> EXCLUDED.deployment THEN 'running' ELSE r.state END
           RETURNING attempt, uid, state, why"#,
        environment,
        set.as_bytes(),
        key.group,
        key.kind,
        namespace,
        key.name,
        when.as_str(),
        deployment,
        api_version
    )
    .fetch_one(conn)
    .await?;
    let ended = match row.state.as_str() {
        "succeeded" => Some(Ended::Well),
        "failed" => Some(Ended::Badly(row.why.unwrap_or_default())),
        _ => None,
    };
    Ok(HookRun { attempt: row.attempt, uid: row.uid, ended })
}

/// An object that hooks made, whichever set and moment it was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// At which version.
    pub api_version: String,
    /// Each uid that one of this name ever had.
    pub uids: BTreeSet<String>,
}

/// What the hooks of an environment made, and may have left behind.
///
/// # Errors
/// The database's own.
pub async fn all_made(conn: &mut PgConnection, environment: i64) -> Result<BTreeMap<ObjectKey, Made>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT api_group, kind, namespace, name, max(api_version) AS "api_version!", array_remove(array_agg(uid), NULL) AS "uids!"
           FROM hook_run WHERE environment_id = $1 GROUP BY 1, 2, 3, 4"#,
        environment
    )
    .fetch_all(conn)
    .await?;
    let made = rows.into_iter().map(|row| {
        let made = Made { api_version: row.api_version, uids: row.uids.into_iter().collect() };
        (key(row.api_group, row.kind, row.namespace, row.name), made)
    });
    Ok(made.collect())
}

/// Its object was made.
///
/// # Errors
/// The database's own.
pub async fn made(conn: &mut PgConnection, which: Which<'_>, uid: &str) -> Result<(), sqlx::Error> {
    let Which { environment, set, key, when, .. } = which;
    sqlx::query!(
        "UPDATE hook_run SET uid = $8 WHERE environment_id = $1 AND set_digest = $2 AND api_group = $3 AND kind = $4
         AND namespace = $5 AND name = $6 AND moment = $7",
        environment,
        set.as_bytes(),
        key.group,
        key.kind,
        key.namespace.as_deref().unwrap_or_default(),
        key.name,
        when.as_str(),
        uid
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// It has ended.
///
/// # Errors
/// The database's own.
pub async fn end(conn: &mut PgConnection, which: Which<'_>, ended: &Ended) -> Result<(), sqlx::Error> {
    let Which { environment, set, key, when, .. } = which;
    let (state, why) = match ended {
        Ended::Well => ("succeeded", None),
        Ended::Badly(why) => ("failed", Some(why.as_str())),
    };
    sqlx::query!(
        "UPDATE hook_run SET state = $8, why = $9 WHERE environment_id = $1 AND set_digest = $2 AND api_group = $3
         AND kind = $4 AND namespace = $5 AND name = $6 AND moment = $7",
        environment,
        set.as_bytes(),
        key.group,
        key.kind,
        key.namespace.as_deref().unwrap_or_default(),
        key.name,
        when.as_str(),
        state,
        why
    )
    .execute(conn)
    .await?;
    Ok(())
}
