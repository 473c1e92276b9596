//! What to do about what happened: one file per job, and this table of contents.
//!
//! | job | key | does |
//! |---|---|---|
//! | `attend_pull` | repository, number | previews a pull request (or shows a held change in an issue of ours), hears who consents, says so |
//! | `follow_branch` | repository, branch | finds the environments a branch moved, and the pull requests it changes the base of |
//! | `sync_environment` | environment | judges the gate ([`start`]), and brings the environment to its newest covered content |
//! | `look_at_checks` | repository | finds out whether checks that environments wait for are green by now |
//! | `sweep_repository` | repository | compares our memory of pull requests and branches with the forge |
//!
//! Each reads in four paragraphs: gather, decide, act, record. A job's payload is ids; it reads the truth when it runs,
//! and may run twice. What several of them gather alike: `context`, `repository`, `contents` (what environments render
//! to; `scopes`: by which kinds), `tips` (where branches are now), `touched` (which of them a pull request changes), `live` (what a cluster has of a first
//! set), `people`, `whose` and `place` (who is who, who made what, who said what), `court` and `branch` (the walk of
//! consent), `speak` (the one comment), `writer` (every write on a forge). `step` lists the points between which a worker
//! may die.

mod abandoned;
#[path = "attend_pull.rs"]
mod attend;
mod branch;
mod claims;
mod contents;
mod context;
mod court;
mod error;
mod files;
#[path = "follow_branch.rs"]
mod follow;
mod held;
mod live;
mod look_at_checks;
mod open;
mod people;
mod place;
mod repository;
mod route;
mod rows;
mod scopes;
mod size;
mod speak;
mod start;
mod step;
#[path = "sweep_repository.rs"]
mod sweep;
pub mod sync_environment;
mod tips;
mod touched;
mod whose;
mod writer;

use futures::future::BoxFuture;
use serde::de::DeserializeOwned;

pub use abandoned::close_abandoned;
pub use context::{Context, ForgeAccess};
pub use error::{ClusterAway, JobError};
pub use route::{asked_sync, attend_pull, follow_branch, look_at_checks, route, sweep_repository, sync_environment};
pub use step::{Observer, Step, Write};

use crate::audit;
use crate::queue::{self, Claimed, Lane, Lease, Verdict};

/// Runs a job of any kind: what the worker loop is given.
pub async fn run(context: &Context, job: &Claimed, lease: &Lease) -> Verdict {
    if let Err(error) = close_what_was_left_open(context, job).await {
        return verdict(job, Err(error));
    }
    // Boxed: each job is a large future, and a boxed one is sendable for exactly the lifetimes it has.
    let work = match job.kind.as_str() {
        // It comes to a safe point by itself.
        "sync_environment" => return boxed(sync(context, job, lease)).await,
        "attend_pull" => boxed(attend::run(context, job, lease)),
        "follow_branch" => boxed(follow::run(context, job)),
        "look_at_checks" => boxed(look_at_checks::run(context, job)),
        "sweep_repository" => boxed(sweep::run(context, job)),
        other => return JobError::Final(format!("this version has no job `{other}`")).verdict(),
    };
    // The others run again from their beginning wherever they are dropped, so no stop waits for a forge that is slow.
    lease.unless_stopping(async { verdict(job, work.await) }).await
}

/// What made a job's entries: its kind and key, not its number, so that the next job of the same work finds what one that
/// died left open. The log adds the delivery that began it.
fn cause(job: &Claimed) -> String {
    format!("job {} {}", job.kind, job.key)
}

/// At most one job of a kind and key runs: whatever an earlier one began and did not end, it will never end.
async fn close_what_was_left_open(context: &Context, job: &Claimed) -> Result<(), JobError> {
    let mut tx = context.pool.begin().await?;
    queue::confirm(&mut tx, job).await?;
    audit::close_unended(&mut tx, &cause(job)).await?;
    tx.commit().await?;
    context.observer.met(job, Step::LeftOpenClosed);
    Ok(())
}

pub(crate) fn boxed<'f, T>(job: impl Future<Output = T> + Send + 'f) -> BoxFuture<'f, T> {
    Box::pin(job)
}

fn verdict(job: &Claimed, done: Result<(), JobError>) -> Verdict {
    match done {
        Ok(()) => {
            tracing::debug!(job = job.id, kind = job.kind, key = job.key, trace = %job.trace, "job done");
            Verdict::Done
        }
        Err(error) => {
            tracing::warn!(job = job.id, kind = job.kind, key = job.key, trace = %job.trace, %error, "job stopped");
            error.verdict()
        }
    }
}

/// The ids in a job's payload.
fn ids<T: DeserializeOwned>(job: &Claimed) -> Result<T, JobError> {
    serde_json::from_value(job.payload.clone())
        .map_err(|error| JobError::Final(format!("the payload of `{}` cannot be read: {error}", job.kind)))
}

/// Ends a job that had nothing to record.
async fn finish(context: &Context, job: &Claimed) -> Result<(), JobError> {
    let mut conn = context.pool.acquire().await?;
    queue::finish(&mut conn, job).await?;
    context.observer.met(job, Step::Recorded);
    Ok(())
}

/// The sync of an environment: a deployment that runs already is brought to its end first; else the gate is judged.
async fn sync(context: &Context, job: &Claimed, lease: &Lease) -> Verdict {
    let environment: SyncIds = match ids(job) {
        Ok(ids) => ids,
        Err(error) => return error.verdict(),
    };
    let world = sync_environment::World {
        pool: &context.pool,
        clusters: &context.clusters,
        seal: &context.seal,
        hash_key: &context.hash_key,
        installation: context.installation,
        platform: &context.platform,
    };
    let observe = |step| context.observer.met(job, Step::Sync(step));
    let begun = boxed(start::start(context, job, lease, environment.environment)).await;
    match begun {
        Ok(false) => return verdict(job, finish(context, job).await),
        Ok(true) => {}
        Err(error) => return verdict(job, Err(error)),
    }
    match boxed(sync_environment::run_deployment(&world, job, lease, environment.environment, &observe)).await {
        Ok(ran) => {
            if let sync_environment::Ran::Recorded(outcome) = &ran {
                tracing::info!(environment = job.key, trace = %job.trace, outcome = outcome.sentence(), "synced");
            }
            context.bell.ring(Lane::Default);
            context.bell.ring(Lane::Sync);
            Verdict::Done
        }
        Err(interrupted) => {
            tracing::warn!(job = job.id, key = job.key, trace = %job.trace, %interrupted, "sync interrupted");
            interrupted.verdict()
        }
    }
}

/// The payload of `sync_environment`.
#[derive(Debug, serde::Deserialize)]
struct SyncIds {
    environment: i64,
}
