//! How a run ends: under its own fence or not at all.

use std::time::Duration;

use serde_json::Value;
use sqlx::{PgConnection, PgPool};

use super::enqueue::seconds;
use super::{Claimed, LeaseLost, Verdict};

/// Tries before a job fails for good. With the delays below the last is 20 to 27 minutes after the first: what has not
/// passed by then needs a person. An outage of what a job depends on is no try, however long ([`Verdict::Later`]).
const MAX_ATTEMPTS: i32 = 12;

/// Workers that may die on a job (killed, out of memory, aborted) before it is set aside as poison.
const MAX_CRASHES: i32 = 5;

/// The first delay; it doubles with each attempt.
const FIRST_DELAY: Duration = Duration::from_secs(1);

/// The longest delay.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// The longest wait for what is away. Nobody tells us when it is back, so this is how late a job may hear of it; ten
/// thousand jobs that wait ask it some forty times a second then, which a forge that is up does not notice.
const LONGEST_OUTAGE_WAIT: Duration = Duration::from_secs(300);

/// The longest wait for a person to let us in. Whoever does it can say so (`jobs retry`); whoever does not is not worth
/// asking the forge a dozen times an hour for weeks.
const LONGEST_REFUSED_WAIT: Duration = Duration::from_secs(3600);

/// Of an error's text, in characters: enough for a person, bounded because a sender may have written it.
const MAX_ERROR: usize = 4000;

/// Why a job could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum Unsettled {
    /// Somebody else has it; the caller's transaction must be rolled back.
    #[error(transparent)]
    Lost(#[from] LeaseLost),
    /// The statement failed.
    #[error("the job could not be finished")]
    Database(#[from] sqlx::Error),
}

/// Ends a job as done, inside the transaction that records what it did; a failure of the same job before it is
/// forgotten with it, unless that one was asked for something of which this one does not speak. Whoever took the job over
/// meanwhile makes this fail, and the record with it.
///
/// # Errors
/// [`Unsettled::Lost`] when it is ours no more.
pub async fn finish(connection: &mut PgConnection, job: &Claimed) -> Result<(), Unsettled> {
    let ended = sqlx::query_scalar!(
        r#"WITH done AS (DELETE FROM job WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING kind, key, payload),
                healed AS (DELETE FROM job USING done
                           WHERE job.state = 'failed' AND job.kind = done.kind AND job.key = done.key
                             AND CASE WHEN jsonb_typeof(job.payload) = 'object' AND jsonb_typeof(done.payload) = 'object'
                                      THEN job.payload - ARRAY(SELECT jsonb_object_keys(done.payload)) = '{}' ELSE true END)
           SELECT count(*) AS "count!" FROM done"#,
        job.id,
        job.fence
    )
    .fetch_one(connection)
    .await?;
    if ended == 0 { Err(LeaseLost.into()) } else { Ok(()) }
}

/// Inside a transaction that starts something but does not end the job: that the job is ours, and stays ours until
/// the transaction ends. Keep that transaction short: the lease is not renewed meanwhile.
///
/// # Errors
/// [`Unsettled::Lost`] when it is ours no more.
pub async fn confirm(connection: &mut PgConnection, job: &Claimed) -> Result<(), Unsettled> {
    let held = sqlx::query_scalar!(
        "SELECT id FROM job WHERE id = $1 AND fence = $2 AND state = 'running' FOR NO KEY UPDATE",
        job.id,
        job.fence
    )
    .fetch_optional(connection)
    .await?;
    held.map(|_| ()).ok_or(Unsettled::Lost(LeaseLost))
}

/// Writes these fields into the payload of a job that runs: of what it was asked for something was done, and a later run of it is
/// not to do that again. Part of the transaction that records what was done.
///
/// # Errors
/// [`Unsettled::Lost`] when it is ours no more.
pub async fn amend(connection: &mut PgConnection, job: &Claimed, fields: &Value) -> Result<(), Unsettled> {
    let done = sqlx::query!(
        "UPDATE job SET payload = payload || $3 WHERE id = $1 AND fence = $2 AND state = 'running'",
        job.id,
        job.fence,
        fields
    )
    .execute(connection)
    .await?;
    if done.rows_affected() == 0 { Err(LeaseLost.into()) } else { Ok(()) }
}

/// Ends a run with any verdict. A job that is not ours any more, or that [`finish`] already ended, is left alone.
pub(super) async fn settle(pool: &PgPool, job: &Claimed, verdict: &Verdict) -> Result<(), sqlx::Error> {
    match verdict {
        Verdict::Done => {
            let mut connection = pool.acquire().await?;
            match finish(&mut connection, job).await {
                Ok(()) | Err(Unsettled::Lost(_)) => Ok(()),
                Err(Unsettled::Database(error)) => Err(error),
            }
        }
        Verdict::Retry { error } if is_last(job) => {
            let error = format!("gave up after {MAX_ATTEMPTS} tries; the last: {error}");
            fail(pool, job, &error).await
        }
        Verdict::Retry { error } => again(pool, job, delay(job.attempt), Some(error)).await,
        Verdict::Snooze { wait } => again(pool, job, *wait, None).await,
        Verdict::NoRoom { wait, of, error } => no_room(pool, job, *wait, (of, error)).await,
        Verdict::Later { error } => later(pool, job, &Wait::away(error)).await,
        Verdict::Refused { error } => later(pool, job, &Wait::refused(error)).await,
        Verdict::Fail { error } => fail(pool, job, error).await,
    }
}

/// Whether it is not tried again after this try.
pub(super) fn is_last(job: &Claimed) -> bool {
    job.attempt >= MAX_ATTEMPTS
}

/// The upper end of the delay after a failed `attempt`; the database takes a random point of its upper half.
fn delay(attempt: i32) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(20);
    FIRST_DELAY.saturating_mul(1 << doublings).min(LONGEST_DELAY)
}

/// Back to pending after about `wait`. Without an error the try did not count. Where the same kind and key was
/// enqueued meanwhile, the two become one: the newer's payload (joined as in [`super::enqueue()`]), the earlier time, the
/// older's count.
async fn again(pool: &PgPool, job: &Claimed, wait: Duration, error: Option<&str>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH back AS (DELETE FROM job WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING *)
         INSERT INTO job (id, kind, key, lane, share, payload, trace, attempt, run_at, error, created_at)
         OVERRIDING SYSTEM VALUE
         SELECT id, kind, key, lane, share, payload, trace,
                CASE WHEN $4::text IS NULL THEN attempt - 1 ELSE attempt END,
                now() + make_interval(secs => $3) * CASE WHEN $4::text IS NULL THEN 1 ELSE 0.5 + random() / 2 END,
                coalesce($4, error), created_at
         FROM back
         ON CONFLICT (kind, key) WHERE state = 'pending' DO UPDATE SET
             payload = CASE WHEN jsonb_typeof(job.payload) = 'object' AND jsonb_typeof(EXCLUDED.payload) = 'object'
                            THEN EXCLUDED.payload || job.payload ELSE job.payload END,
             run_at = least(job.run_at, EXCLUDED.run_at),
             attempt = greatest(job.attempt, EXCLUDED.attempt), error = coalesce(EXCLUDED.error, job.error)",
        job.id,
        job.fence,
        seconds(wait),
        error.map(short)
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Back to pending because something the job depends on is away, or does not let us in. The try does not count; each wait
/// in a row is about twice the one before, so that what comes back is not met by everybody at once. Coalesces as [`again`]
/// does.
async fn later(pool: &PgPool, job: &Claimed, wait: &Wait<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH back AS (DELETE FROM job WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING *)
         INSERT INTO job (id, kind, key, lane, share, payload, trace, attempt, waits, refused, run_at, error, created_at)
         OVERRIDING SYSTEM VALUE
         SELECT id, kind, key, lane, share, payload, trace, attempt - 1, waits + 1, $6,
                now() + make_interval(secs => least($3 * power(2, least(waits, 20)), $4) * (0.5 + random() / 2)),
                $5, created_at
         FROM back
         ON CONFLICT (kind, key) WHERE state = 'pending' DO UPDATE SET
             payload = CASE WHEN jsonb_typeof(job.payload) = 'object' AND jsonb_typeof(EXCLUDED.payload) = 'object'
                            THEN EXCLUDED.payload || job.payload ELSE job.payload END,
             run_at = least(job.run_at, EXCLUDED.run_at),
             attempt = greatest(job.attempt, EXCLUDED.attempt), waits = greatest(job.waits, EXCLUDED.waits),
             refused = EXCLUDED.refused, error = EXCLUDED.error",
        job.id,
        job.fence,
        seconds(FIRST_DELAY),
        seconds(wait.longest),
        short(wait.error),
        wait.refused
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Back to pending at a time at which others come back, too: in the second after it, the newest first. The try does not count.
/// Coalesces as [`again`] does.
async fn no_room(pool: &PgPool, job: &Claimed, wait: Duration, (of, error): (&str, &str)) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH back AS (DELETE FROM job WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING *)
         INSERT INTO job (id, kind, key, lane, share, payload, trace, attempt, waits_for, run_at, error, created_at)
         OVERRIDING SYSTEM VALUE
         SELECT id, kind, key, lane, share, payload, trace, attempt - 1, $4,
                date_trunc('second', now() + make_interval(secs => $3))
                    + make_interval(secs => 2 - (id % 900000) / 1000000.0),
                $5, created_at
         FROM back
         ON CONFLICT (kind, key) WHERE state = 'pending' DO UPDATE SET
             payload = CASE WHEN jsonb_typeof(job.payload) = 'object' AND jsonb_typeof(EXCLUDED.payload) = 'object'
                            THEN EXCLUDED.payload || job.payload ELSE job.payload END,
             run_at = least(job.run_at, EXCLUDED.run_at),
             attempt = greatest(job.attempt, EXCLUDED.attempt), error = EXCLUDED.error,
             created_at = least(job.created_at, EXCLUDED.created_at)",
        job.id,
        job.fence,
        seconds(wait),
        of,
        short(error)
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// What a job waits for that is not ours.
struct Wait<'e> {
    error: &'e str,
    longest: Duration,
    refused: bool,
}

impl<'e> Wait<'e> {
    fn away(error: &'e str) -> Self {
        Self { error, longest: LONGEST_OUTAGE_WAIT, refused: false }
    }

    fn refused(error: &'e str) -> Self {
        Self { error, longest: LONGEST_REFUSED_WAIT, refused: true }
    }
}

/// Set aside until somebody retries it; the newest failure of a kind and key is the one that is kept, with what the older one
/// was asked for.
async fn fail(pool: &PgPool, job: &Claimed, error: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH dead AS (DELETE FROM job WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING *)
         INSERT INTO job (id, kind, key, lane, share, payload, trace, attempt, error, created_at, state, ended_at)
         OVERRIDING SYSTEM VALUE
         SELECT id, kind, key, lane, share, payload, trace, attempt, $3, created_at, 'failed', now() FROM dead
         ON CONFLICT (kind, key) WHERE state = 'failed' DO UPDATE SET
             payload = CASE WHEN jsonb_typeof(job.payload) = 'object' AND jsonb_typeof(EXCLUDED.payload) = 'object'
                            THEN job.payload || EXCLUDED.payload ELSE EXCLUDED.payload END,
             trace = EXCLUDED.trace, attempt = EXCLUDED.attempt, error = EXCLUDED.error, ended_at = EXCLUDED.ended_at",
        job.id,
        job.fence,
        short(error)
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Brings back the jobs whose holder stopped renewing, by the database's clock; those that killed five are set aside.
/// Rows that are locked are being finished at this very moment and are left alone. Looks only, when there are none.
pub(super) async fn rescue(pool: &PgPool) -> Result<(), sqlx::Error> {
    let any = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM job WHERE state = 'running' AND lease_until < now()) AS "any!""#
    )
    .fetch_one(pool)
    .await?;
    if !any {
        return Ok(());
    }
    let rescued = sqlx::query!(
        r#"WITH gone AS (
               DELETE FROM job WHERE id IN (SELECT id FROM job WHERE state = 'running' AND lease_until < now()
                                            ORDER BY lease_until LIMIT 100 FOR UPDATE SKIP LOCKED)
               RETURNING *, crashes + 1 >= $1 AS poison),
           back AS (
               INSERT INTO job (id, kind, key, lane, share, payload, trace, attempt, crashes, error, created_at)
               OVERRIDING SYSTEM VALUE
               SELECT id, kind, key, lane, share, payload, trace, attempt, crashes + 1,
                      format('the worker %s stopped renewing its lease', holder), created_at
               FROM gone WHERE NOT poison
               ON CONFLICT (kind, key) WHERE state = 'pending' DO UPDATE SET
                   payload = CASE WHEN jsonb_typeof(job.payload) = 'object' AND jsonb_typeof(EXCLUDED.payload) = 'object'
                                  THEN EXCLUDED.payload || job.payload ELSE job.payload END,
                   run_at = least(job.run_at, EXCLUDED.run_at), attempt = greatest(job.attempt, EXCLUDED.attempt),
                   crashes = greatest(job.crashes, EXCLUDED.crashes), error = EXCLUDED.error),
           aside AS (
               INSERT INTO job (id, kind, key, lane, share, payload, trace, attempt, crashes, error, created_at, state,
                                ended_at)
               OVERRIDING SYSTEM VALUE
               SELECT id, kind, key, lane, share, payload, trace, attempt, crashes + 1,
                      format('poison: %s workers died on it, the last was %s', crashes + 1, holder), created_at,
                      'failed', now()
               FROM gone WHERE poison
               ON CONFLICT (kind, key) WHERE state = 'failed' DO UPDATE SET
                   payload = CASE WHEN jsonb_typeof(job.payload) = 'object' AND jsonb_typeof(EXCLUDED.payload) = 'object'
                                  THEN job.payload || EXCLUDED.payload ELSE EXCLUDED.payload END,
                   trace = EXCLUDED.trace, attempt = EXCLUDED.attempt,
                   crashes = EXCLUDED.crashes, error = EXCLUDED.error, ended_at = EXCLUDED.ended_at)
           SELECT kind, key, poison AS "poison!" FROM gone"#,
        MAX_CRASHES
    )
    .fetch_all(pool)
    .await?;
    for job in rescued {
        tracing::warn!(kind = job.kind, key = job.key, poison = job.poison, "took over a job whose worker is gone");
        metrics::counter!("bascule_jobs_rescued_total", "kind" => job.kind).increment(1);
    }
    Ok(())
}

fn short(error: &str) -> &str {
    error.char_indices().nth(MAX_ERROR).map_or(error, |(end, _)| &error[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_to_ten_minutes() {
        let seconds: Vec<u64> = (1..=MAX_ATTEMPTS).map(|attempt| delay(attempt).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(delay(i32::MAX), LONGEST_DELAY);
    }
}
