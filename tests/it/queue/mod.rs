//! The queue on a real PostgreSQL.

mod ending;
pub(crate) mod processes;
mod taking;
mod working;

use std::time::Duration;

use bascule::ids::TraceId;
use bascule::queue::{self, Claimed, Lane, NewJob, PgSource, Source, State};
use serde_json::json;
use sqlx::{Executor, PgPool};
use uuid::Uuid;

use crate::support::database::Database;

/// Long enough never to run out in a test that does not want it to.
pub(crate) const LONG: Duration = Duration::from_secs(600);
/// Already over when the database looks at it again.
pub(crate) const OVER: Duration = Duration::ZERO;

pub(crate) fn job(key: &str) -> NewJob {
    NewJob {
        kind: "preview".to_owned(),
        key: key.to_owned(),
        lane: Lane::Default,
        share: "shop".to_owned(),
        payload: json!({ "pull": 1 }),
        trace: TraceId(Uuid::from_u128(1)),
        run_after: Duration::ZERO,
    }
}

pub(crate) async fn put(pool: &PgPool, jobs: &[NewJob]) {
    queue::enqueue_all(&mut pool.acquire().await.unwrap(), jobs).await.unwrap();
}

pub(crate) fn source(database: &Database) -> PgSource {
    PgSource::new(database.pool.clone(), "worker 1".to_owned())
}

pub(crate) async fn claim(database: &Database, max: usize) -> Vec<Claimed> {
    source(database).claim(Lane::Default, max, LONG).await.unwrap()
}

/// Key, state, attempt and error of every job, oldest first.
pub(crate) async fn rows(database: &Database) -> Vec<(String, State, i32, Option<String>)> {
    let mut jobs = queue::list(&mut database.pool.acquire().await.unwrap(), None, None, 100).await.unwrap();
    jobs.reverse();
    jobs.into_iter().map(|job| (job.key, job.state, job.attempt, job.error)).collect()
}

/// Makes everything that waits for a later time due.
pub(crate) async fn let_time_pass(database: &Database) {
    database.owner.execute("UPDATE job SET run_at = now() WHERE state = 'pending'").await.unwrap();
}
