//! Taking work out: what a worker needs of a queue, and the database's way of giving it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;

use super::enqueue::seconds;
use super::{Claimed, Lane, Verdict, settle, walk};

/// What a worker needs of a queue; the database gives it here.
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

/// The queue in the database. Give it a small pool of its own (`db::pool::beside`), so that jobs that hold every other
/// connection cannot keep their own leases from being renewed.
#[derive(Debug, Clone)]
pub struct PgSource {
    pool: PgPool,
    holder: String,
    /// The share each lane was last served from; the next claim begins after it.
    served: Arc<Mutex<HashMap<Lane, String>>>,
}

impl PgSource {
    /// `holder` is what `jobs list` shows: host and process.
    pub fn new(pool: PgPool, holder: String) -> Self {
        Self { pool, holder, served: Arc::default() }
    }
}

/// Further looks at a stretch on which other claimers were faster.
const LOOKS: usize = 3;

impl Source for PgSource {
    async fn claim(&self, lane: Lane, max: usize, term: Duration) -> Result<Vec<Claimed>, SourceError> {
        settle::rescue(&self.pool).await?;
        let began = self.served.lock().unwrap_or_else(PoisonError::into_inner).get(&lane).cloned().unwrap_or_default();
        let mut after = began.clone();
        let mut claimed = Vec::new();
        let (mut around, mut crowded) = (false, 0);
        loop {
            let left = max - claimed.len();
            let look = match walk::claim(&self.pool, lane, left, term, &self.holder, &after).await {
                Ok(look) => look,
                // Another claimer took the same key in the same instant; it is in good hands.
                Err(error) if error.as_database_error().is_some_and(|e| e.constraint() == Some("job_one_running")) => {
                    break;
                }
                // What is claimed already must not wait for its lease to run out.
                Err(error) if !claimed.is_empty() => {
                    tracing::warn!(error = super::worker::chain(&error), "claimed less than was asked for");
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            claimed.extend(look.claimed);
            if claimed.len() >= max {
                after = look.served.unwrap_or(look.walked);
                break;
            }
            // Everything due on this stretch is taken, by us or by others who were faster.
            if look.crowded && crowded < LOOKS {
                crowded += 1;
                continue;
            }
            around |= look.around;
            after = look.walked;
            if after.is_empty() || around && after >= began {
                break;
            }
        }
        self.served.lock().unwrap_or_else(PoisonError::into_inner).insert(lane, after);
        Ok(claimed)
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
