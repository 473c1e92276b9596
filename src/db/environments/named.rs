//! Environments as files name them, all of a file in one statement.

use sqlx::PgConnection;
use sqlx::types::Json;

use super::{Environment, EnvironmentState, at, decode};
use crate::ids::{ClusterName, Target};
use crate::policy::rules;

/// Stores environments that their repository's file names, each with the branch it follows; active again if it was orphaned.
///
/// # Errors
/// The database's own.
pub async fn upsert_all(
    conn: &mut PgConnection,
    repository: i64,
    blocks: &[(&rules::Environment, &str)],
) -> Result<Vec<Environment>, sqlx::Error> {
    if blocks.is_empty() {
        return Ok(Vec::new());
    }
    let named = Named::of(blocks);
    let stages: Vec<Option<String>> = blocks.iter().map(|(block, _)| block.stage.clone()).collect();
    let texts = blocks.iter().map(|(block, _)| serde_json::to_value(block)).collect::<Result<Vec<_>, _>>();
    let texts = texts.map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    let rows = sqlx::query!(
        r#"INSERT INTO environment (repository_id, name, cluster, namespace, stage, branch, block)
           SELECT $1, n, c, ns, s, b, j
           FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[]) AS new (n, c, ns, s, b, j)
           ORDER BY n, c, ns
           ON CONFLICT (repository_id, name, cluster, namespace) DO UPDATE SET stage = excluded.stage, branch = excluded.branch,
               block = excluded.block, state = 'active'
           RETURNING id, repository_id, name, cluster, namespace, state, branch, position_commit, position_set,
               healthy_commit, healthy_set, block AS "block: Json<rules::Environment>""#,
        repository,
        &named.names,
        &named.clusters,
        &named.namespaces,
        &stages as _,
        &named.branches,
        &texts
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| environment!(row)).collect()
}

/// Environments as a pull request names them, each with the branch it follows: found, or added as one that is not active yet.
/// Their blocks are not stored: they are the default branch's.
///
/// # Errors
/// The database's own.
pub async fn all_known(
    conn: &mut PgConnection,
    repository: i64,
    blocks: &[(&rules::Environment, &str)],
) -> Result<Vec<Environment>, sqlx::Error> {
    let named = Named::of(blocks);
    let mut known = found(conn, repository, &named).await?;
    if known.len() < blocks.len() {
        sqlx::query!(
            "INSERT INTO environment (repository_id, name, cluster, namespace, stage, branch, state)
             SELECT $1, n, c, ns, s, b, 'proposed'
             FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) AS new (n, c, ns, s, b)
             ORDER BY n, c, ns ON CONFLICT (repository_id, name, cluster, namespace) DO NOTHING",
            repository,
            &named.names,
            &named.clusters,
            &named.namespaces,
            &blocks.iter().map(|(block, _)| block.stage.clone()).collect::<Vec<Option<String>>>() as _,
            &named.branches
        )
        .execute(&mut *conn)
        .await?;
        known = found(conn, repository, &named).await?;
    }
    Ok(known)
}

async fn found(conn: &mut PgConnection, repository: i64, named: &Named) -> Result<Vec<Environment>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id, repository_id, name, cluster, namespace, state, branch, position_commit, position_set,
               healthy_commit, healthy_set, block AS "block: Json<rules::Environment>"
           FROM environment JOIN unnest($2::text[], $3::text[], $4::text[]) AS new (n, c, ns)
             ON (name, cluster, namespace) = (n, c, ns) WHERE repository_id = $1"#,
        repository,
        &named.names,
        &named.clusters,
        &named.namespaces
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| environment!(row)).collect()
}

/// What tells environments of a repository apart, by columns, as statements take them; and the branches they follow.
struct Named {
    names: Vec<String>,
    clusters: Vec<String>,
    namespaces: Vec<String>,
    branches: Vec<String>,
}

impl Named {
    fn of(blocks: &[(&rules::Environment, &str)]) -> Self {
        let each =
            |read: fn(&rules::Environment) -> &str| blocks.iter().map(|(block, _)| read(block).to_owned()).collect();
        Self {
            names: each(|block| block.name.as_str()),
            clusters: each(|block| block.target.cluster.as_str()),
            namespaces: each(|block| &block.target.namespace),
            branches: blocks.iter().map(|(_, branch)| (*branch).to_owned()).collect(),
        }
    }
}
