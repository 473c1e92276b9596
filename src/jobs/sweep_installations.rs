//! Finds the repositories that our App was given and a grant names by a pattern, and that we do not know: no delivery names them
//! all where they are many, and of one that is quiet nothing else tells. What was taken from the App, the sweeps of the
//! repositories themselves find.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::context::Context;
use super::error::JobError;
use super::route::sweep_repository;
use super::step::Step;
use super::work;
use crate::db::repositories::{self, RepositoryState};
use crate::ids::ForgeName;
use crate::queue::{self, Claimed, Lane, NewJob};

/// The payload.
#[derive(Debug, Deserialize)]
struct Ids {
    forge: ForgeName,
}

/// Runs the job.
///
/// # Errors
/// [`JobError`].
pub(super) async fn run(context: &Context, job: &Claimed) -> Result<(), JobError> {
    let ids: Ids = work::ids(job)?;
    let Some(access) = context.forges.get(&ids.forge) else { return work::finish(context, job).await };
    let given = access.forge.installed().await?;
    let known = repositories::of_forge(&mut *context.pool.acquire().await?, &ids.forge).await?;
    let known = known.into_iter().filter(|one| one.state != RepositoryState::Gone);
    let known: BTreeSet<i64> = known.map(|one| one.key.id).collect();

    let is_granted =
        |name: &dyn std::fmt::Display| !context.platform.grants_for(&format!("{}/{name}", ids.forge)).is_empty();
    let new = given.into_iter().filter(|one| !known.contains(&one.key.id) && is_granted(&one.at.name));
    let jobs: Vec<NewJob> = new.map(|one| sweep_repository(&one.key, job.trace)).collect();

    let mut tx = context.pool.begin().await?;
    queue::enqueue_all(&mut tx, &jobs).await?;
    queue::finish(&mut tx, job).await?;
    tx.commit().await?;
    context.observer.met(job, Step::Recorded);
    context.bell.ring(Lane::Sweep);
    Ok(())
}
