//! The checks that environments wait for are looked at again: after a delivery that tells of one, after a sweep, and once
//! after each new wait, since what was reported in between was told to nobody. What differs from what was seen is judged by
//! the gate, which reads it for itself.

use serde::Deserialize;

use super::context::Context;
use super::error::JobError;
use super::gather::checks;
use super::gather::repository;
use super::route::sync_environment;
use super::step::Step;
use super::work;
use crate::consent::Awaited;
use crate::db::holds;
use crate::ids::{ForgeName, RepositoryKey};
use crate::queue::{self, Claimed, Lane};

/// The payload.
#[derive(Debug, Deserialize)]
struct Ids {
    forge: ForgeName,
    repository: i64,
}

/// Runs the job. Where nothing waits, which is nearly everywhere, it asks the forge nothing.
///
/// # Errors
/// [`JobError`].
pub(super) async fn run(context: &Context, job: &Claimed) -> Result<(), JobError> {
    let ids: Ids = work::ids(job)?;
    let key = RepositoryKey { forge: ids.forge, id: ids.repository };
    let mut conn = context.pool.acquire().await?;
    let waiting = holds::waiting_for_checks(&mut conn, &key).await?;
    drop(conn);
    if waiting.is_empty() {
        return work::finish(context, job).await;
    }
    let Some(repository) = repository::granted(context, &key, job).await? else {
        return work::finish(context, job).await;
    };
    let mut jobs = Vec::new();
    for (environment, all) in waiting {
        for one in all {
            let now = checks::read(&repository, &one.commit, &one.checks).await;
            if now.unwrap_or_else(|error| Some(Awaited::Unread(error.to_string()))) != Some(one.awaited) {
                jobs.push(sync_environment(&key, environment, job.trace));
                break;
            }
        }
    }
    let mut tx = context.pool.begin().await?;
    queue::enqueue_all(&mut tx, &jobs).await?;
    queue::finish(&mut tx, job).await?;
    tx.commit().await?;
    repository.met(Step::Recorded);
    context.bell.ring(Lane::Sync);
    Ok(())
}
