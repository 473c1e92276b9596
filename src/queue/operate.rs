//! What an operator sees and does: `bascule jobs list|show|retry`.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;

use super::Lane;
use crate::ids::TraceId;

/// Where a job is in its life; a finished one is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waits for its time or a free slot.
    Pending,
    /// A worker holds it.
    Running,
    /// Waits, and goes on when a person has changed what refuses us.
    Refused,
    /// Set aside until somebody retries it.
    Failed,
}

impl State {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// Reads a stored or typed state.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Running, Self::Refused, Self::Failed].into_iter().find(|state| state.as_str() == text)
    }
}

/// A job as an operator sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The row.
    pub id: i64,
    /// Which job.
    pub kind: String,
    /// What it is about.
    pub key: String,
    /// Which workers it waits for.
    pub lane: Lane,
    /// Whose work it is: a repository, as `forge/number`.
    pub share: String,
    /// Where it is.
    pub state: State,
    /// Ids.
    pub payload: Value,
    /// The trace it belongs to.
    pub trace: TraceId,
    /// Tries so far.
    pub attempt: i32,
    /// When it is due, or was.
    pub run_at: Timestamp,
    /// When it was first put in.
    pub created_at: Timestamp,
    /// Of the last try.
    pub error: Option<String>,
    /// Which worker holds it.
    pub holder: Option<String>,
}

struct Row {
    id: i64,
    kind: String,
    key: String,
    lane: String,
    share: String,
    state: String,
    payload: Value,
    trace: uuid::Uuid,
    attempt: i32,
    run_at: jiff_sqlx::Timestamp,
    created_at: jiff_sqlx::Timestamp,
    error: Option<String>,
    holder: Option<String>,
}

impl From<Row> for Job {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            key: row.key,
            // The constraints job_lane and job_state allow nothing else.
            lane: Lane::ALL.into_iter().find(|lane| lane.as_str() == row.lane).unwrap_or(Lane::Default),
            share: row.share,
            state: State::parse(&row.state).unwrap_or(State::Failed),
            payload: row.payload,
            trace: TraceId(row.trace),
            attempt: row.attempt,
            run_at: row.run_at.to_jiff(),
            created_at: row.created_at.to_jiff(),
            error: row.error,
            holder: row.holder,
        }
    }
}

/// At most `limit` jobs with an id below `before`, newest first; all states, or one.
///
/// # Errors
/// The statement's.
pub async fn list(
    connection: &mut PgConnection,
    state: Option<State>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Job>, sqlx::Error> {
    list_of(connection, None, state, before, limit).await
}

/// The same, of these shares only.
///
/// # Errors
/// The statement's.
pub async fn list_of(
    connection: &mut PgConnection,
    shares: Option<&[String]>,
    state: Option<State>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Job>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT id, kind, key, lane, share, CASE WHEN refused AND state = 'pending' THEN 'refused' ELSE state END AS "state!",
                payload, trace, attempt, run_at, created_at, error, holder FROM job
         WHERE ($1::text IS NULL OR $1 = CASE WHEN refused AND state = 'pending' THEN 'refused' ELSE state END) AND ($2::bigint IS NULL OR id < $2)
             AND ($4::text[] IS NULL OR share = ANY($4)) ORDER BY id DESC LIMIT $3"#,
        state.map(State::as_str),
        before,
        limit,
        shares
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Job::from).collect())
}

/// One job.
///
/// # Errors
/// The statement's.
pub async fn show(connection: &mut PgConnection, id: i64) -> Result<Option<Job>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT id, kind, key, lane, share, CASE WHEN refused AND state = 'pending' THEN 'refused' ELSE state END AS "state!",
                  payload, trace, attempt, run_at, created_at, error, holder FROM job
           WHERE id = $1"#,
        id
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Job::from))
}

/// Whether a job of this kind and key waits or runs.
///
/// # Errors
/// The statement's.
pub async fn is_to_run(connection: &mut PgConnection, kind: &str, key: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM job WHERE kind = $1 AND key = $2 AND state IN ('pending', 'running')) AS "any!""#,
        kind,
        key
    )
    .fetch_one(connection)
    .await
}

/// Whether one waits, be it behind one that runs: something happened since that began.
///
/// # Errors
/// The statement's.
pub async fn is_waiting(connection: &mut PgConnection, kind: &str, key: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM job WHERE kind = $1 AND key = $2 AND state = 'pending') AS "any!""#,
        kind,
        key
    )
    .fetch_one(connection)
    .await
}

/// Gives a job that failed, or waits for a later time, a new beginning: pending, due now, no tries and no waits counted.
/// Where the same kind and key is already pending, that one is it, with what both were asked for. False when there is no such job of this id.
///
/// # Errors
/// The statement's.
pub async fn retry(connection: &mut PgConnection, id: i64) -> Result<bool, sqlx::Error> {
    let revived = sqlx::query_scalar!(
        r#"WITH failed AS (DELETE FROM job WHERE id = $1 AND state = 'failed' RETURNING *),
                waiting AS (UPDATE job SET run_at = now(), attempt = 0, waits = 0
                            WHERE id = $1 AND state = 'pending' AND run_at > now() RETURNING id),
                again AS (
                    INSERT INTO job (id, kind, key, lane, share, payload, trace, created_at)
                    OVERRIDING SYSTEM VALUE
                    SELECT id, kind, key, lane, share, payload, trace, created_at FROM failed
                    ON CONFLICT (kind, key) WHERE state = 'pending' DO UPDATE SET
                        payload = CASE WHEN jsonb_typeof(job.payload) = 'object' AND jsonb_typeof(EXCLUDED.payload) = 'object'
                                       THEN EXCLUDED.payload || job.payload ELSE job.payload END,
                        run_at = least(job.run_at, EXCLUDED.run_at))
           SELECT (SELECT count(*) FROM failed) + (SELECT count(*) FROM waiting) AS "count!""#,
        id
    )
    .fetch_one(connection)
    .await?;
    Ok(revived > 0)
}

/// Makes every job that is refused due now, because what refuses it may have changed; how many there are.
///
/// # Errors
/// The statement's.
pub async fn hurry_refused(connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let due = sqlx::query!("UPDATE job SET run_at = now(), waits = 0 WHERE state = 'pending' AND refused")
        .execute(connection)
        .await?;
    Ok(due.rows_affected())
}
