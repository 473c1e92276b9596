//! Environments: where each is, and which content it was last healthy with.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::types::Json;

use super::sets::{self, SetError};
use crate::ids::{ClusterName, CommitId, EnvironmentName, ObjectHash, SetDigest, Target};
use crate::policy::rules;

/// A commit and the set an environment has there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The commit.
    pub commit: CommitId,
    /// Its set.
    pub set: SetDigest,
}

/// A stored environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Our number.
    pub id: i64,
    /// Our number of its repository.
    pub repository: i64,
    /// Its name.
    pub name: EnvironmentName,
    /// Where its objects go.
    pub target: Target,
    /// Whether its repository still names it.
    pub state: EnvironmentState,
    /// The branch it follows.
    pub branch: String,
    /// Rule 8 of consent: the newest commit a sync was started for; `None` before the first.
    pub position: Option<At>,
    /// The newest content seen healthy.
    pub healthy: Option<At>,
    /// Its block at the default branch's tip.
    pub block: Option<rules::Environment>,
}

/// Whether a repository still names an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvironmentState {
    /// A pull request names it.
    Proposed,
    /// It does.
    Active,
    /// It does no more; what is deployed stays, and its rules still guard its name and namespace.
    Orphaned,
    /// An operator let go of it.
    Forgotten,
}

impl EnvironmentState {
    fn read(text: &str) -> Self {
        match text {
            "proposed" => Self::Proposed,
            "active" => Self::Active,
            "orphaned" => Self::Orphaned,
            _ => Self::Forgotten,
        }
    }

    /// The word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Active => "active",
            Self::Orphaned => "orphaned",
            Self::Forgotten => "forgotten",
        }
    }
}

fn decode<E: std::error::Error + Send + Sync + 'static>(error: E) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

fn at(commit: Option<String>, set: Option<Vec<u8>>) -> Result<Option<At>, sqlx::Error> {
    let (Some(commit), Some(set)) = (commit, set) else { return Ok(None) };
    let set = SetDigest::from_bytes(&set).ok_or_else(|| sqlx::Error::Decode("a set digest is not 32 bytes".into()))?;
    Ok(Some(At { commit: commit.parse().map_err(decode)?, set }))
}

macro_rules! environment {
    ($row:expr) => {{
        let row = $row;
        Ok::<_, sqlx::Error>(Environment {
            id: row.id,
            repository: row.repository_id,
            name: row.name.parse().map_err(decode)?,
            target: Target { cluster: row.cluster.parse::<ClusterName>().map_err(decode)?, namespace: row.namespace },
            state: EnvironmentState::read(&row.state),
            branch: row.branch,
            position: at(row.position_commit, row.position_set)?,
            healthy: at(row.healthy_commit, row.healthy_set)?,
            block: row.block.map(|Json(block)| block),
        })
    }};
}

// Below the macro, which it uses too.
mod named;

pub use named::{all_known, upsert_all};

/// Stores an environment that its repository's file names, active again if it was orphaned.
///
/// # Errors
/// The database's own.
pub async fn upsert(
    conn: &mut PgConnection,
    repository: i64,
    block: &rules::Environment,
    branch: &str,
) -> Result<Environment, sqlx::Error> {
    upsert_all(conn, repository, &[(block, branch)]).await?.pop().ok_or(sqlx::Error::RowNotFound)
}

/// An environment as a pull request names it: see [`all_known`].
///
/// # Errors
/// The database's own.
pub async fn known(
    conn: &mut PgConnection,
    repository: i64,
    block: &rules::Environment,
    branch: &str,
) -> Result<Environment, sqlx::Error> {
    all_known(conn, repository, &[(block, branch)]).await?.pop().ok_or(sqlx::Error::RowNotFound)
}

/// One environment.
///
/// # Errors
/// The database's own.
pub async fn get(conn: &mut PgConnection, id: i64) -> Result<Option<Environment>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT id, repository_id, name, cluster, namespace, state, branch, position_commit, position_set,
               healthy_commit, healthy_set, block AS "block: Json<rules::Environment>"
           FROM environment WHERE id = $1"#,
        id
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| environment!(row)).transpose()
}

/// These environments, by our numbers.
///
/// # Errors
/// The database's own.
pub async fn all(conn: &mut PgConnection, ids: &[i64]) -> Result<BTreeMap<i64, Environment>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id, repository_id, name, cluster, namespace, state, branch, position_commit, position_set,
               healthy_commit, healthy_set, block AS "block: Json<rules::Environment>"
           FROM environment WHERE id = ANY($1)"#,
        ids
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| environment!(row).map(|one| (one.id, one))).collect()
}

/// Who may give a command, as rules say.
pub type Whom = rules::Voters;

/// The rules in force: of what it stands at, and before the first sync those of its block. `None`: there are none to read.
///
/// # Errors
/// See [`SetError`].
pub async fn in_force(conn: &mut PgConnection, of: &Environment) -> Result<Option<rules::Environment>, SetError> {
    let Some(position) = &of.position else { return Ok(of.block.clone()) };
    let set = sets::load_hashed(&mut *conn, &position.set).await?;
    let entry: Vec<ObjectHash> = set.entry().copied().into_iter().collect();
    Ok(sets::entries(conn, &entry).await?.into_values().next())
}

/// All of a repository that are not forgotten.
///
/// # Errors
/// The database's own.
pub async fn of_repository(conn: &mut PgConnection, repository: i64) -> Result<Vec<Environment>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id, repository_id, name, cluster, namespace, state, branch, position_commit, position_set,
               healthy_commit, healthy_set, block AS "block: Json<rules::Environment>"
           FROM environment WHERE repository_id = $1 AND state IN ('active', 'orphaned') ORDER BY name, id"#,
        repository
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| environment!(row)).collect()
}

/// The sets that environments of its name, or of its namespace in its cluster, stand at, orphaned ones too: their rules
/// judge a first set.
///
/// # Errors
/// The database's own.
pub async fn neighbours(conn: &mut PgConnection, of: &Environment) -> Result<Vec<SetDigest>, sqlx::Error> {
    let rows = sqlx::query_scalar!(
        r#"SELECT DISTINCT position_set AS "set!" FROM environment
           WHERE id <> $1 AND state <> 'forgotten' AND position_set IS NOT NULL
             AND ((repository_id = $2 AND name = $3) OR (cluster = $4 AND namespace = $5))"#,
        of.id,
        of.repository,
        of.name.as_str(),
        of.target.cluster.as_str(),
        of.target.namespace
    )
    .fetch_all(conn)
    .await?;
    let mut sets: Vec<SetDigest> = rows.iter().filter_map(|set| SetDigest::from_bytes(set)).collect();
    // What their policies are called must not depend on the order they are read in.
    sets.sort_unstable();
    Ok(sets)
}

/// Says that the repository's file names these environments and no others.
/// Gives how many were orphaned.
///
/// # Errors
/// The database's own.
pub async fn orphan_others(conn: &mut PgConnection, repository: i64, named: &[i64]) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE environment SET state = 'orphaned' WHERE repository_id = $1 AND state = 'active' AND id <> ALL($2)",
        repository,
        named
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Lets go of everything an environment has and stands at: what is in a cluster stays there, and is nobody's. Its
/// deployments stay told, and are not what one goes back to.
///
/// # Errors
/// The database's own.
pub async fn forget(conn: &mut PgConnection, id: i64, becomes: EnvironmentState) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM inventory WHERE environment_id = $1", id).execute(&mut *conn).await?;
    sqlx::query!("DELETE FROM hold WHERE environment_id = $1", id).execute(&mut *conn).await?;
    sqlx::query!("DELETE FROM deployed_verdict WHERE environment_id = $1", id).execute(&mut *conn).await?;
    // What was run once in a cluster is run in the next one.
    sqlx::query!("DELETE FROM hook_run WHERE environment_id = $1", id).execute(&mut *conn).await?;
    // Whoever let go of it is named in the log by what they did.
    sqlx::query!(
        "UPDATE pin SET ended_at = now(), ended_by = 'bascule' WHERE environment_id = $1 AND ended_at IS NULL",
        id
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE rollback SET refused = 'the environment was forgotten', ended_at = now()
         WHERE environment_id = $1 AND ended_at IS NULL",
        id
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "UPDATE environment SET state = $2, position_commit = NULL, position_set = NULL, position_at = NULL,
             healthy_commit = NULL, healthy_set = NULL, first_number = next_number WHERE id = $1",
        id,
        becomes.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Moves the position, in the transaction that starts the sync, and gives the deployment's number.
///
/// # Errors
/// The database's own.
pub async fn move_position(conn: &mut PgConnection, id: i64, to: &At) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "UPDATE environment SET position_commit = $2, position_set = $3, position_at = now(), next_number = next_number + 1
         WHERE id = $1 RETURNING next_number - 1 AS \"number!\"",
        id,
        to.commit.as_str(),
        to.set.as_bytes()
    )
    .fetch_one(conn)
    .await
}

/// Takes the next deployment's number, and leaves the position where it is: a rollback's.
///
/// # Errors
/// The database's own.
pub async fn take_number(conn: &mut PgConnection, id: i64) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "UPDATE environment SET next_number = next_number + 1 WHERE id = $1 RETURNING next_number - 1 AS \"number!\"",
        id
    )
    .fetch_one(conn)
    .await
}

/// Moves the position to a commit with the same set, which is healthy already: no sync, no deployment.
///
/// # Errors
/// The database's own.
pub async fn advance(conn: &mut PgConnection, id: i64, to: &CommitId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE environment SET position_commit = $2, position_at = now(), healthy_commit = $2 WHERE id = $1",
        id,
        to.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Remembers the commits an environment's position went past, for thirty days: nothing but Git knows which are older than
/// where it is, and whoever waits for one of them asks us.
///
/// # Errors
/// The database's own.
pub async fn went_past(conn: &mut PgConnection, id: i64, commits: &[CommitId]) -> Result<(), sqlx::Error> {
    let commits: Vec<String> = commits.iter().map(ToString::to_string).collect();
    sqlx::query!(
        "INSERT INTO passed_commit (environment_id, commit_sha) SELECT $1, commit_sha FROM unnest($2::text[]) AS commit_sha
         ON CONFLICT ON CONSTRAINT passed_commit_once DO UPDATE SET at = now()",
        id,
        &commits
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("DELETE FROM passed_commit WHERE environment_id = $1 AND at < now() - interval '30 days'", id)
        .execute(conn)
        .await?;
    Ok(())
}

/// Says that the environment was seen healthy with this content.
///
/// # Errors
/// The database's own.
pub async fn set_healthy(conn: &mut PgConnection, id: i64, at: &At) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE environment SET healthy_commit = $2, healthy_set = $3 WHERE id = $1",
        id,
        at.commit.as_str(),
        at.set.as_bytes()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The runbooks of those of these environments that name one.
///
/// # Errors
/// The database's own.
pub async fn runbooks(conn: &mut PgConnection, ids: &[i64]) -> Result<BTreeMap<i64, String>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id, block ->> 'runbook' AS "runbook!" FROM environment WHERE id = ANY($1) AND block ->> 'runbook' IS NOT NULL"#,
        ids
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.runbook)).collect())
}

/// Our number of the repository an environment (ours, too) is of.
///
/// # Errors
/// The database's own.
pub async fn repository_of(conn: &mut PgConnection, environment: i64) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!("SELECT repository_id FROM environment WHERE id = $1", environment).fetch_optional(conn).await
}
