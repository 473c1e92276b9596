//! Taking work out: what a worker needs of a queue, and the database's way of giving it.

use std::future::Future;
use std::time::Duration;

use sqlx::PgPool;

use super::enqueue::seconds;
use super::settle;
use super::{Claimed, Lane, Verdict};
use crate::ids::TraceId;

/// What a worker needs of a queue. The database implements it here; a worker without a database implements it over
/// HTTPS, and runs the same jobs.
pub trait Source: Send + Sync + 'static {
    /// Takes at most `max` jobs that are due in `lane`, for `term`; also brings back those whose holder is gone.
    fn claim(
        &self,
        lane: Lane,
        max: usize,
        term: Duration,
    ) -> impl Future<Output = Result<Vec<Claimed>, SourceError>> + Send;

    /// Renews (id, fence) pairs for `term` from now.
    fn renew(&self, held: &[(i64, i64)], term: Duration) -> impl Future<Output = Result<Renewal, SourceError>> + Send;

    /// Ends a run. A job that is ours no more is left alone.
    fn settle(&self, job: &Claimed, verdict: &Verdict) -> impl Future<Output = Result<(), SourceError>> + Send;
}

/// What came of renewing. A job that is in neither is being finished right now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renewal {
    /// Ids held for another term.
    pub renewed: Vec<i64>,
    /// Ids that are ours no more.
    pub lost: Vec<i64>,
}

/// The queue could not be asked; the worker waits and asks again.
#[derive(Debug, thiserror::Error)]
#[error("the job queue could not be reached")]
pub struct SourceError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

impl From<sqlx::Error> for SourceError {
    fn from(error: sqlx::Error) -> Self {
        Self(Box::new(error))
    }
}

/// The queue in the database. Give it a small pool of its own (two connections), so that jobs that hold every other
/// connection cannot keep their own leases from being renewed.
#[derive(Debug, Clone)]
pub struct PgSource {
    pool: PgPool,
    holder: String,
}

impl PgSource {
    /// `holder` is what `jobs list` shows: host and process.
    pub fn new(pool: PgPool, holder: String) -> Self {
        Self { pool, holder }
    }
}

impl Source for PgSource {
    async fn claim(&self, lane: Lane, max: usize, term: Duration) -> Result<Vec<Claimed>, SourceError> {
        settle::rescue(&self.pool).await?;
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        match claim(&self.pool, lane, max, term, &self.holder).await {
            // Another claimer took the same key in the same instant; it is in good hands.
            Err(error) if error.as_database_error().is_some_and(|e| e.constraint() == Some("job_one_running")) => {
                Ok(Vec::new())
            }
            outcome => Ok(outcome?),
        }
    }

    async fn renew(&self, held: &[(i64, i64)], term: Duration) -> Result<Renewal, SourceError> {
        let ids: Vec<i64> = held.iter().map(|(id, _)| *id).collect();
        let fences: Vec<i64> = held.iter().map(|(_, fence)| *fence).collect();
        // A row that is locked is being finished or confirmed by ourselves, in a transaction that renewing must not
        // wait for: every other lease would wait with it.
        let answer = sqlx::query!(
            r#"WITH held AS (SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS held (id, fence)),
                    free AS (SELECT job.id FROM job JOIN held USING (id, fence)
                             WHERE state = 'running' FOR NO KEY UPDATE OF job SKIP LOCKED),
                    renewed AS (UPDATE job SET lease_until = now() + make_interval(secs => $3)
                                FROM free WHERE job.id = free.id RETURNING job.id)
               SELECT id AS "id!", 'renewed' AS "what!" FROM renewed
               UNION ALL
               SELECT id, 'lost' FROM held
               WHERE NOT EXISTS (SELECT FROM job WHERE job.id = held.id AND job.fence = held.fence
                                 AND state = 'running')"#,
            &ids,
            &fences,
            seconds(term)
        )
        .fetch_all(&self.pool)
        .await?;
        let of = |what: &str| answer.iter().filter(|row| row.what == what).map(|row| row.id).collect();
        Ok(Renewal { renewed: of("renewed"), lost: of("lost") })
    }

    async fn settle(&self, job: &Claimed, verdict: &Verdict) -> Result<(), SourceError> {
        Ok(settle::settle(&self.pool, job, verdict).await?)
    }
}

/// One statement: walks the shares that have something pending, takes the oldest due of each in turn (a share that
/// already runs jobs comes later), leaves out keys that are running, and marks what it could lock.
async fn claim(pool: &PgPool, lane: Lane, max: i64, term: Duration, holder: &str) -> Result<Vec<Claimed>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"WITH RECURSIVE shares AS (
               (SELECT share FROM job WHERE state = 'pending' AND lane = $1 ORDER BY share LIMIT 1)
               UNION ALL
               SELECT (SELECT job.share FROM job WHERE state = 'pending' AND lane = $1 AND job.share > shares.share
                       ORDER BY job.share LIMIT 1)
               FROM shares WHERE shares.share IS NOT NULL),
           busy AS (SELECT share, count(*) AS running FROM job WHERE state = 'running' AND lane = $1 GROUP BY share),
           due AS (
               SELECT front.id, front.run_at,
                      coalesce(busy.running, 0)
                          + row_number() OVER (PARTITION BY shares.share ORDER BY front.run_at, front.id) AS turn
               FROM shares LEFT JOIN busy USING (share),
                    LATERAL (SELECT id, run_at FROM job
                             WHERE state = 'pending' AND lane = $1 AND job.share = shares.share AND run_at <= now()
                                 AND NOT EXISTS (SELECT FROM job other WHERE other.state = 'running'
                                                 AND other.kind = job.kind AND other.key = job.key)
                             ORDER BY run_at, id LIMIT $2) AS front),
           mine AS (
               SELECT job.id FROM job JOIN (SELECT id FROM due ORDER BY turn, run_at, id LIMIT $2) AS next USING (id)
               WHERE state = 'pending' FOR UPDATE OF job SKIP LOCKED)
           UPDATE job SET state = 'running', attempt = attempt + 1, fence = nextval('job_fence'), holder = $3,
                          lease_until = now() + make_interval(secs => $4)
           FROM mine WHERE job.id = mine.id
           RETURNING job.id, kind, key, payload, trace, attempt, fence AS "fence!""#,
        lane.as_str(),
        max,
        holder,
        seconds(term)
    )
    .fetch_all(pool)
    .await?;
    let claimed = rows.into_iter().map(|row| Claimed {
        id: row.id,
        kind: row.kind,
        key: row.key,
        lane,
        payload: row.payload,
        trace: TraceId(row.trace),
        attempt: row.attempt,
        fence: row.fence,
    });
    Ok(claimed.collect())
}
