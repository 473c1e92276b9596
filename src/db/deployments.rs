//! Deployments: one sync to a covered commit each, numbered per environment.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::environments::At;
use crate::ids::{ChangeDigest, CommitId, SetDigest, TraceId};
use crate::sync::{Outcome, State};

/// What is known of a deployment when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeployment {
    /// Its id.
    pub id: Uuid,
    /// Our number of its environment.
    pub environment: i64,
    /// Its number there, from [`super::environments::move_position`].
    pub number: i64,
    /// Where it goes.
    pub to: At,
    /// Where the environment was; `None` is the first.
    pub from: Option<At>,
    /// What was consented to.
    pub change: ChangeDigest,
    /// The pull requests whose changes it carries.
    pub pulls: Vec<i64>,
    /// The approvals it used up.
    pub approvals: Vec<Uuid>,
    /// The deployment whose content it sends once more, because somebody asked: the one that used its approvals up.
    pub again_of: Option<Uuid>,
    /// The trace it belongs to.
    pub trace: TraceId,
    /// Of the job that starts it, or that had it before it was taken over.
    pub fence: i64,
}

/// A stored deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// What was known when it started.
    pub new: NewDeployment,
    /// `None` while it runs.
    pub ended: Option<Ended>,
    /// Its sync ended well, and it runs on until what its rules ask for has held (`verify`).
    pub is_being_verified: bool,
    /// When it started.
    pub started_at: Timestamp,
    /// When everything was sent.
    pub applied_at: Option<Timestamp>,
}

impl Deployment {
    /// Whether it ended with everything sent and well.
    pub fn is_healthy(&self) -> bool {
        self.ended.as_ref().is_some_and(|ended| ended.state == State::Healthy.as_str())
    }
}

/// How and when a deployment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// `healthy`, `failed`, `conflict` or `superseded`.
    pub state: String,
    /// What came of it.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
}

macro_rules! deployment {
    ($row:expr) => {{
        let row = $row;
        let bad = || sqlx::Error::Decode("a stored deployment holds a digest or commit that is none".into());
        let commit = |text: String| text.parse::<CommitId>().map_err(|_| bad());
        let from = match (row.from_commit, row.from_set) {
            (Some(from), Some(set)) => {
                Some(At { commit: commit(from)?, set: SetDigest::from_bytes(&set).ok_or_else(bad)? })
            }
            _ => None,
        };
        let is_being_verified = row.state == "running" && row.outcome.is_some();
        let ended = row.finished_at.map(|at| Ended {
            state: row.state,
            outcome: row.outcome.map(|Json(outcome)| outcome).unwrap_or_default(),
            at: at.to_jiff(),
        });
        Ok::<_, sqlx::Error>(Deployment {
            new: NewDeployment {
                id: row.id,
                environment: row.environment_id,
                number: row.number,
                to: At {
                    commit: commit(row.commit_sha)?,
                    set: SetDigest::from_bytes(&row.set_digest).ok_or_else(bad)?,
                },
                from,
                change: ChangeDigest::from_bytes(&row.change_digest).ok_or_else(bad)?,
                pulls: row.pulls.0,
                approvals: row.approvals.0,
                again_of: row.again_of,
                trace: TraceId(row.trace),
                fence: row.fence,
            },
            ended,
            is_being_verified,
            started_at: row.started_at.to_jiff(),
            applied_at: row.applied_at.map(|at| at.to_jiff()),
        })
    }};
}

/// Stores a deployment as running, in the transaction that moves the position. At most one of an environment runs
/// (`deployment_one_running`).
///
/// # Errors
/// The database's own.
pub async fn start(conn: &mut PgConnection, new: &NewDeployment) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO deployment (id, environment_id, number, commit_sha, set_digest, from_commit, from_set, change_digest,
             pulls, approvals, state, trace, fence, again_of)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'running', $11, $12, $13)",
        new.id,
        new.environment,
        new.number,
        new.to.commit.as_str(),
        new.to.set.as_bytes() as &[u8],
        new.from.as_ref().map(|from| from.commit.as_str()),
        new.from.as_ref().map(|from| from.set.as_bytes() as &[u8]),
        new.change.as_bytes() as &[u8],
        Json(&new.pulls) as _,
        Json(&new.approvals) as _,
        new.trace.0,
        new.fence,
        new.again_of
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The deployment of an environment that runs, taken over under this fence; `None` when none runs.
///
/// # Errors
/// The database's own.
pub async fn take_over(
    conn: &mut PgConnection,
    environment: i64,
    fence: i64,
) -> Result<Option<Deployment>, sqlx::Error> {
    let row = sqlx::query!(
        r#"WITH had AS (SELECT id, fence FROM deployment
                        WHERE environment_id = $1 AND state = 'running' AND fence <= $2 FOR UPDATE)
           UPDATE deployment d SET fence = $2 FROM had WHERE d.id = had.id
           RETURNING d.id, environment_id, number, commit_sha, set_digest, from_commit, from_set, change_digest,
               pulls AS "pulls: Json<Vec<i64>>", approvals AS "approvals: Json<Vec<Uuid>>", again_of, state,
               outcome AS "outcome: Json<Outcome>", trace, had.fence, started_at, applied_at, finished_at"#,
        environment,
        fence
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| deployment!(row)).transpose()
}

/// A deployment.
///
/// # Errors
/// The database's own.
pub async fn get(conn: &mut PgConnection, id: Uuid) -> Result<Option<Deployment>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT id, environment_id, number, commit_sha, set_digest, from_commit, from_set, change_digest,
           pulls AS "pulls: Json<Vec<i64>>", approvals AS "approvals: Json<Vec<Uuid>>", again_of, state,
           outcome AS "outcome: Json<Outcome>", trace, fence, started_at, applied_at, finished_at
       FROM deployment WHERE id = $1"#,
        id
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| deployment!(row)).transpose()
}

/// Whether a deployment of the environment runs.
///
/// # Errors
/// The database's own.
pub async fn is_running(conn: &mut PgConnection, environment: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM deployment WHERE environment_id = $1 AND state = 'running') AS "running!""#,
        environment
    )
    .fetch_one(conn)
    .await
}

/// Whether this deployment runs.
///
/// # Errors
/// The database's own.
pub async fn is_under_way(conn: &mut PgConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM deployment WHERE id = $1 AND state = 'running') AS "running!""#,
        id
    )
    .fetch_one(conn)
    .await
}

/// Says that everything was sent.
///
/// # Errors
/// The database's own.
pub async fn set_applied(conn: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE deployment SET applied_at = coalesce(applied_at, now()) WHERE id = $1", id)
        .execute(conn)
        .await?;
    Ok(())
}

/// Ends a running deployment. `false` when it does not run any more.
///
/// # Errors
/// The database's own.
pub async fn finish(conn: &mut PgConnection, id: Uuid, state: State, outcome: &Outcome) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE deployment SET state = $2, outcome = $3, finished_at = now() WHERE id = $1 AND state = 'running'",
        id,
        state.as_str(),
        Json(outcome) as _
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends the running deployment of an environment because another takes its place now. Gives it when there was one.
///
/// # Errors
/// The database's own.
pub async fn supersede(conn: &mut PgConnection, environment: i64) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "UPDATE deployment SET state = 'superseded', finished_at = now() WHERE environment_id = $1 AND state = 'running'
         RETURNING id",
        environment
    )
    .fetch_optional(conn)
    .await
}

/// The newest deployment of an environment that brought this set and is no rollback.
///
/// # Errors
/// The database's own.
pub async fn of_set(
    conn: &mut PgConnection,
    environment: i64,
    set: &SetDigest,
) -> Result<Option<Deployment>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT id, environment_id, number, commit_sha, set_digest, from_commit, from_set, change_digest,
               pulls AS "pulls: Json<Vec<i64>>", approvals AS "approvals: Json<Vec<Uuid>>", again_of, state,
               outcome AS "outcome: Json<Outcome>", trace, fence, started_at, applied_at, finished_at
           FROM deployment d WHERE environment_id = $1 AND set_digest = $2
             AND NOT EXISTS (SELECT FROM rollback b WHERE b.deployment_id = coalesce(d.again_of, d.id))
           ORDER BY number DESC LIMIT 1"#,
        environment,
        set.as_bytes() as &[u8]
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| deployment!(row)).transpose()
}

/// The newest deployments of an environment, before this number when one is given.
///
/// # Errors
/// The database's own.
pub async fn list(
    conn: &mut PgConnection,
    environment: i64,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Deployment>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id, environment_id, number, commit_sha, set_digest, from_commit, from_set, change_digest,
               pulls AS "pulls: Json<Vec<i64>>", approvals AS "approvals: Json<Vec<Uuid>>", again_of, state,
               outcome AS "outcome: Json<Outcome>", trace, fence, started_at, applied_at, finished_at
           FROM deployment WHERE environment_id = $1 AND ($2::bigint IS NULL OR number < $2)
           ORDER BY number DESC LIMIT $3"#,
        environment,
        before,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| deployment!(row)).collect()
}

/// The deployments that carry a pull request's change, newest first.
///
/// # Errors
/// The database's own.
pub async fn of_pull(conn: &mut PgConnection, repository: i64, number: i64) -> Result<Vec<Deployment>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT d.id, environment_id, number, commit_sha, set_digest, from_commit, from_set, change_digest,
               pulls AS "pulls: Json<Vec<i64>>", approvals AS "approvals: Json<Vec<Uuid>>", again_of, d.state,
               outcome AS "outcome: Json<Outcome>", trace, fence, started_at, applied_at, finished_at
           FROM deployment d JOIN environment e ON e.id = d.environment_id
           WHERE e.repository_id = $1 AND d.pulls @> to_jsonb($2::bigint) ORDER BY started_at DESC, d.id"#,
        repository,
        number
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| deployment!(row)).collect()
}

/// Sets that are looked for among those that were healthy: the newest of them.
const CONTENTS: i64 = 1_000;

/// The sets that were deployed to an environment since it was last forgotten, and were healthy: not what was taken away since by a
/// rollback, nor what an emergency let pass and nobody has reviewed. What is not certain to be good is not lightly put back.
///
/// # Errors
/// The database's own.
pub async fn were_healthy(conn: &mut PgConnection, environment: i64) -> Result<BTreeSet<SetDigest>, sqlx::Error> {
    let rows = sqlx::query_scalar!(
        "SELECT set_digest FROM deployment d
         WHERE environment_id = $1 AND state = 'healthy'
           AND number >= (SELECT first_number FROM environment WHERE id = $1)
           AND NOT EXISTS (SELECT FROM rollback b JOIN deployment t ON t.id = b.taken_away
                           WHERE t.environment_id = $1 AND t.set_digest = d.set_digest AND t.number >= d.number)
           AND NOT EXISTS (SELECT FROM emergency m JOIN deployment t ON t.id = m.deployment_id
                           WHERE t.environment_id = $1 AND t.set_digest = d.set_digest AND m.reviewed_at IS NULL)
         GROUP BY set_digest ORDER BY max(number) DESC LIMIT $2",
        environment,
        CONTENTS
    )
    .fetch_all(conn)
    .await?;
    let bad = || sqlx::Error::Decode("a stored digest is none".into());
    rows.iter().map(|digest| SetDigest::from_bytes(digest).ok_or_else(bad)).collect()
}
