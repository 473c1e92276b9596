//! Putting work in, as part of the transaction that makes it necessary (invariant 2).

use std::time::Duration;

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::NewJob;

/// Puts one job in. It exists when the caller's transaction commits; ring the bell ([`super::Bell`]) after that.
///
/// A job of this kind and key that is already pending takes the newest payload and trace, the earlier time and the
/// more urgent lane; one that is running is not touched, so that what it may have missed is looked at once more. Of two
/// payloads that are objects, a field that only the older one has stays: what was asked for is not unasked by a job
/// that does not speak of it.
///
/// # Errors
/// The statement's.
pub async fn enqueue(connection: &mut PgConnection, job: &NewJob) -> Result<(), sqlx::Error> {
    enqueue_all(connection, std::slice::from_ref(job)).await
}

/// Puts many jobs in with one statement. The last of one kind and key wins. In the order of their keys, so that two
/// transactions that enqueue the same jobs wait for each other instead of deadlocking; two *calls* in one transaction
/// can still deadlock with another's, which the database ends and [`crate::queue`]'s callers retry.
///
/// # Errors
/// The statement's.
pub async fn enqueue_all(connection: &mut PgConnection, jobs: &[NewJob]) -> Result<(), sqlx::Error> {
    let mut all: Vec<&NewJob> = jobs.iter().collect();
    all.sort_by(|a, b| (&a.kind, &a.key).cmp(&(&b.kind, &b.key)));
    let mut sorted: Vec<(&NewJob, Value)> = Vec::with_capacity(all.len());
    for job in all {
        match sorted.last_mut() {
            // Stable order: of equals the last one given is the newest.
            Some((before, payload)) if (&before.kind, &before.key) == (&job.kind, &job.key) => {
                *payload = joined(payload, &job.payload);
                *before = job;
            }
            Some(_) | None => sorted.push((job, job.payload.clone())),
        }
    }
    let (sorted, payloads): (Vec<&NewJob>, Vec<Value>) = sorted.into_iter().unzip();

    let kinds: Vec<String> = sorted.iter().map(|job| job.kind.clone()).collect();
    let keys: Vec<String> = sorted.iter().map(|job| job.key.clone()).collect();
    let lanes: Vec<String> = sorted.iter().map(|job| job.lane.as_str().to_owned()).collect();
    let shares: Vec<String> = sorted.iter().map(|job| job.share.clone()).collect();
    let traces: Vec<Uuid> = sorted.iter().map(|job| job.trace.0).collect();
    let waits: Vec<f64> = sorted.iter().map(|job| seconds(job.run_after)).collect();
    sqlx::query!(
        "INSERT INTO job (kind, key, lane, share, payload, trace, run_at)
         SELECT kind, key, lane, share, payload, trace, now() + make_interval(secs => wait)
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::uuid[], $7::float8[])
              AS new (kind, key, lane, share, payload, trace, wait)
         ON CONFLICT (kind, key) WHERE state = 'pending' DO UPDATE SET
             payload = CASE WHEN jsonb_typeof(job.payload) = 'object' AND jsonb_typeof(EXCLUDED.payload) = 'object'
                            THEN job.payload || EXCLUDED.payload ELSE EXCLUDED.payload END,
             trace = EXCLUDED.trace, share = EXCLUDED.share,
             run_at = least(job.run_at, EXCLUDED.run_at),
             lane = CASE WHEN 'sync' IN (job.lane, EXCLUDED.lane) THEN 'sync'
                         WHEN 'default' IN (job.lane, EXCLUDED.lane) THEN 'default' ELSE 'sweep' END",
        &kinds,
        &keys,
        &lanes,
        &shares,
        &payloads,
        &traces,
        &waits
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The newer payload, with the fields that only the older one has: what the statement does with one that is stored.
fn joined(older: &Value, newer: &Value) -> Value {
    match (older, newer) {
        (Value::Object(older), Value::Object(newer)) => {
            Value::Object(older.clone().into_iter().chain(newer.clone()).collect())
        }
        (_, newer) => newer.clone(),
    }
}

/// As the database takes an interval.
pub(super) fn seconds(wait: Duration) -> f64 {
    wait.as_secs_f64()
}
