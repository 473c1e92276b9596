//! What every job begins and ends with.

use futures::future::BoxFuture;
use serde::de::DeserializeOwned;

use super::context::Context;
use super::error::JobError;
use super::step::Step;
use crate::queue::{self, Claimed};

/// The ids in a job's payload.
pub(super) fn ids<T: DeserializeOwned>(job: &Claimed) -> Result<T, JobError> {
    serde_json::from_value(job.payload.clone())
        .map_err(|error| JobError::Final(format!("the payload of `{}` cannot be read: {error}", job.kind)))
}

/// Ends a job that had nothing to record.
pub(super) async fn finish(context: &Context, job: &Claimed) -> Result<(), JobError> {
    let mut conn = context.pool.acquire().await?;
    queue::finish(&mut conn, job).await?;
    context.observer.met(job, Step::Recorded);
    Ok(())
}

/// What made a job's entries: its kind and key, not its number, so that the next job of the same work finds what one that
/// died left open. The log adds the delivery that began it.
pub(super) fn cause(job: &Claimed) -> String {
    format!("job {} {}", job.kind, job.key)
}

/// A large future, and a boxed one is sendable for exactly the lifetimes it has.
pub(super) fn boxed<'f, T>(job: impl Future<Output = T> + Send + 'f) -> BoxFuture<'f, T> {
    Box::pin(job)
}
