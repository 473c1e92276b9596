//! What a watch of a cluster has to know: which kinds, what is remembered of each object, and which server watches.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::inventory::{List, bad, key};
use crate::ids::{ObjectKey, RepositoryKey, Target};
use crate::sync::drift::{Known, Mark};

/// Objects of one kind that one environment has in one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// `forge/owner/name`.
    pub repository: String,
    /// Our number of the environment.
    pub environment: i64,
    /// Where that goes.
    pub target: Target,
    /// The version they were sent at.
    pub api_version: String,
    /// Group, kind and namespace, and no name.
    pub key: ObjectKey,
}

/// Every kind that anything was applied of in a cluster: what is watched.
///
/// # Errors
/// The database's own.
pub async fn kinds(conn: &mut PgConnection, cluster: &str, cluster_uid: &str) -> Result<Vec<Kind>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT DISTINCT r.forge || '/' || r.full_name AS "repository!", e.id, e.namespace AS target, i.api_version,
                  i.api_group, i.kind, i.namespace
           FROM inventory i JOIN environment e ON e.id = i.environment_id JOIN repository r ON r.id = e.repository_id
           WHERE i.cluster_uid = $2 AND e.cluster = $1 AND e.state <> 'forgotten' ORDER BY 2, 5, 6, 7, 4"#,
        cluster,
        cluster_uid
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let target = Target { cluster: cluster.parse().map_err(|_| bad("a cluster"))?, namespace: row.target };
            let key = key(row.api_group, row.kind, row.namespace, String::new());
            Ok(Kind { repository: row.repository, environment: row.id, target, api_version: row.api_version, key })
        })
        .collect()
}

/// Which objects are asked about.
#[derive(Debug, Clone, Copy)]
pub enum Of<'a> {
    /// All of a kind, by its group and name: in one namespace, or everywhere.
    Kind(&'a str, &'a str, Option<&'a str>),
    /// These.
    These(&'a [ObjectKey]),
}

/// What is remembered of objects in the inventory; others are left out.
///
/// # Errors
/// The database's own.
pub async fn known(conn: &mut PgConnection, cluster_uid: &str, of: Of<'_>) -> Result<Vec<Known>, sqlx::Error> {
    let (kind, list) = match of {
        Of::Kind(group, kind, namespace) => (Some((group, kind, namespace)), List::default()),
        Of::These(keys) => (None, List::of(keys)),
    };
    let rows = sqlx::query!(
        r#"SELECT i.api_group, i.kind, i.namespace, i.name, i.environment_id, CASE WHEN i.live_hash IS NULL THEN NULL ELSE i.uid END AS uid,
                  i.mark, i.suspect, d.name IS NOT NULL AS "is_drifted!", d.mark AS "drifted?",
                  EXISTS (SELECT FROM deployment p WHERE p.environment_id = i.environment_id AND p.state = 'running') AS "is_syncing!"
           FROM inventory i LEFT JOIN drift d ON d.ended_at IS NULL
                AND (d.cluster_uid, d.api_group, d.kind, d.namespace, d.name) = (i.cluster_uid, i.api_group, i.kind, i.namespace, i.name)
           WHERE i.cluster_uid = $1 AND CASE WHEN $2::text IS NULL
               THEN (i.api_group, i.kind, i.namespace, i.name) IN
                    (SELECT * FROM unnest($5::text[], $6::text[], $7::text[], $8::text[]))
               ELSE i.api_group = $3 AND i.kind = $2 AND ($4::text IS NULL OR i.namespace = $4) END"#,
        cluster_uid,
        kind.map(|(_, kind, _)| kind),
        kind.map(|(group, _, _)| group),
        kind.and_then(|(_, _, namespace)| namespace),
        &list.groups,
        &list.kinds,
        &list.namespaces,
        &list.names
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let drifted = row.drifted.map(|mark| self::mark(&mark)).transpose()?;
            Ok(Known {
                key: key(row.api_group, row.kind, row.namespace, row.name),
                environment: row.environment_id,
                uid: row.uid,
                mark: row.mark.map(|mark| self::mark(&mark)).transpose()?,
                drifted: row.is_drifted.then_some(drifted),
                is_suspect: row.suspect,
                is_syncing: row.is_syncing,
            })
        })
        .collect()
}

/// Asks for a look at these objects; gives the environments whose they are, each with its repository.
///
/// # Errors
/// The database's own.
pub async fn suspect(
    conn: &mut PgConnection,
    cluster_uid: &str,
    keys: &[ObjectKey],
) -> Result<BTreeMap<i64, RepositoryKey>, sqlx::Error> {
    let list = List::of(keys);
    let rows = sqlx::query!(
        "WITH these AS (
             UPDATE inventory SET suspect = true FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS these (g, k, ns, n)
             WHERE cluster_uid = $1 AND (api_group, kind, namespace, name) = (g, k, ns, n) RETURNING environment_id)
         SELECT DISTINCT e.id, r.forge, r.forge_id FROM these JOIN environment e ON e.id = these.environment_id
         JOIN repository r ON r.id = e.repository_id",
        cluster_uid,
        &list.groups,
        &list.kinds,
        &list.namespaces,
        &list.names
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let forge = row.forge.parse().map_err(|_| bad("a forge"))?;
            Ok((row.id, RepositoryKey { forge, id: row.forge_id }))
        })
        .collect()
}

/// Whether nothing of an environment is to be looked at, and nothing is known to have drifted.
///
/// # Errors
/// The database's own.
pub async fn is_quiet(conn: &mut PgConnection, environment: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT NOT EXISTS (SELECT FROM inventory WHERE environment_id = $1 AND suspect)
              AND NOT EXISTS (SELECT FROM drift JOIN inventory USING (cluster_uid, api_group, kind, namespace, name)
                              WHERE environment_id = $1 AND ended_at IS NULL) AS "quiet!""#,
        environment
    )
    .fetch_one(conn)
    .await
}

/// The objects of an environment that are to be looked at.
///
/// # Errors
/// The database's own.
pub async fn suspects(
    conn: &mut PgConnection,
    environment: i64,
    cluster_uid: &str,
) -> Result<Vec<ObjectKey>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT api_group, kind, namespace, name FROM inventory WHERE environment_id = $1 AND cluster_uid = $2 AND suspect
         ORDER BY 1, 2, 3, 4",
        environment,
        cluster_uid
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| key(row.api_group, row.kind, row.namespace, row.name)).collect())
}

/// The clusters that something was applied to.
///
/// # Errors
/// The database's own.
pub async fn clusters(conn: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT DISTINCT e.cluster FROM environment e WHERE EXISTS (SELECT FROM inventory i WHERE i.environment_id = e.id) ORDER BY 1"
    )
    .fetch_all(conn)
    .await
}

/// Takes the watch of a cluster, or keeps it, for so many seconds; `false` when another server has it.
///
/// # Errors
/// The database's own.
pub async fn hold_watch(
    conn: &mut PgConnection,
    cluster: &str,
    holder: &str,
    seconds: f64,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "INSERT INTO cluster_watch AS w (cluster, holder, lease_until) VALUES ($1, $2, now() + make_interval(secs => $3))
         ON CONFLICT (cluster) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until
         WHERE w.holder = excluded.holder OR w.lease_until < now()",
        cluster,
        holder,
        seconds
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives the watch of a cluster up.
///
/// # Errors
/// The database's own.
pub async fn let_watch_go(conn: &mut PgConnection, cluster: &str, holder: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM cluster_watch WHERE cluster = $1 AND holder = $2", cluster, holder).execute(conn).await?;
    Ok(())
}

fn mark(bytes: &[u8]) -> Result<Mark, sqlx::Error> {
    bytes.try_into().map(Mark).map_err(|_| bad("a mark"))
}
