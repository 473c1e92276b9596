//! What to do about what happened: one file per job, and this table of contents.
//!
//! | job | key | does |
//! |---|---|---|
//! | `attend_pull` | repository, number | previews a pull request (or shows a held change in an issue of ours), hears who consents, says so |
//! | `attend_group` | repository, branch of a merge queue | says whether what would be merged has its consent |
//! | `follow_branch` | repository, branch | finds the environments a branch moved, and the pull requests it changes the base of |
//! | `sync_environment` | environment | looks at what [`drift`]ed; then goes back where somebody asked for that ([`roll_back`]), else judges the gate ([`start`]), and brings the environment to its newest covered content |
//! | `open_adoption` | adoption | opens the pull request that writes what is in the cluster into the repository |
//! | `open_revert` | rollback | opens the pull request that reverts what a rollback took away |
//! | `look_at_checks` | repository | finds out whether checks that environments wait for are green by now |
//! | `tell_deployments` | repository | tells the forge's page of deployments how ours stand, where it has one |
//! | `tell_applications` | deployment | says beside commits of applications what became of the deployment that deploys them |
//! | `tell_drift` | repository | tells of drift in an issue for each environment whose rules ask for that, and closes it |
//! | `tell_emergencies` | repository | opens an issue for each emergency, reminds of its review, and hears it |
//! | `judge_deployed` | environment | asks the floors' policies about what is deployed there, and reports what they say |
//! | `sweep_repository` | repository | compares our memory of pull requests and branches with the forge |
//! | `sweep_installations` | forge | finds the granted repositories that our App was given and we do not know |
//! | `sweep_deliveries` | forge, or repository | reads the forge's own log of its deliveries, and asks again for what failed |
//!
//! Each reads in four paragraphs: gather, decide, act, record. A job's payload is ids; it reads the truth when it runs,
//! and may run twice. What several of them gather alike has a room, [`gather`]; what they say on a forge has another,
//! [`show`]. `work` is what every job begins and ends with, `step` lists the points between which a worker may die.

mod abandoned;
#[path = "attend_pull.rs"]
mod attend;
mod attend_group;
mod context;
mod drift;
mod error;
#[path = "follow_branch.rs"]
mod follow;
mod gather;
mod judge_deployed;
mod look_at_checks;
mod open_adoption;
mod open_revert;
mod our_pull;
mod roll_back;
mod room;
pub mod route;
mod show;
mod start;
mod step;
#[path = "sweep_repository.rs"]
mod sweep;
mod sweep_deliveries;
mod sweep_installations;
pub mod sync_environment;
mod tell_applications;
mod tell_deployments;
mod tell_drift;
mod tell_emergencies;
mod work;

pub use abandoned::close_abandoned;
pub use context::{Context, ForgeAccess};
pub use error::{ClusterAway, JobError};
pub use gather::memory::Memory;
pub use route::{
    asked_heal, asked_sync, attend_pull, follow_branch, judge_deployed, look_at_checks, look_at_drift, open_adoption,
    open_revert, route, sweep_app_deliveries, sweep_deliveries, sweep_installations, sweep_repository,
    sync_environment, tell_applications, tell_deployments, tell_drift, tell_emergencies,
};
pub use step::{Observer, Step, Write};

use crate::audit;
use crate::queue::{self, Claimed, Lane, Lease, Verdict};

/// Runs a job of any kind: what the worker loop is given.
pub async fn run(context: &Context, job: &Claimed, lease: &Lease) -> Verdict {
    match room::terms(context, job).await {
        Ok(terms) => work::boxed(terms.urgency.during(run_on(context, job, lease, terms))).await,
        Err(error) => verdict(job, Err(error)),
    }
}

async fn run_on(context: &Context, job: &Claimed, lease: &Lease, terms: room::Terms) -> Verdict {
    if let Err(error) = room::look(context, job, terms).await {
        return verdict(job, Err(error));
    }
    if let Err(error) = close_what_was_left_open(context, job).await {
        return verdict(job, Err(error));
    }
    // Boxed: each job is a large future, and a boxed one is sendable for exactly the lifetimes it has.
    let work = match job.kind.as_str() {
        // It comes to a safe point by itself.
        "sync_environment" => return work::boxed(sync(context, job, lease)).await,
        "attend_pull" => work::boxed(attend::run(context, job, lease)),
        "attend_group" => work::boxed(attend_group::run(context, job, lease)),
        "follow_branch" => work::boxed(follow::run(context, job)),
        "look_at_checks" => work::boxed(look_at_checks::run(context, job)),
        "open_adoption" => work::boxed(open_adoption::run(context, job, lease)),
        "open_revert" => work::boxed(open_revert::run(context, job, lease)),
        "judge_deployed" => work::boxed(judge_deployed::run(context, job)),
        "tell_deployments" => work::boxed(tell_deployments::run(context, job, lease)),
        "tell_drift" => work::boxed(tell_drift::run(context, job, lease)),
        "tell_emergencies" => work::boxed(tell_emergencies::run(context, job, lease)),
        "tell_applications" => work::boxed(tell_applications::run(context, job, lease)),
        "sweep_repository" => work::boxed(sweep::run(context, job)),
        "sweep_installations" => work::boxed(sweep_installations::run(context, job)),
        "sweep_deliveries" => work::boxed(sweep_deliveries::run(context, job, lease)),
        other => return JobError::Final(format!("this version has no job `{other}`")).verdict(),
    };
    // The others run again from their beginning wherever they are dropped, so no stop waits for a forge that is slow.
    lease.unless_stopping(async { verdict(job, work.await) }).await
}

/// At most one job of a kind and key runs: whatever an earlier one began and did not end, it will never end.
async fn close_what_was_left_open(context: &Context, job: &Claimed) -> Result<(), JobError> {
    let mut tx = context.pool.begin().await?;
    queue::confirm(&mut tx, job).await?;
    audit::close_unended(&mut tx, &work::cause(job)).await?;
    tx.commit().await?;
    context.observer.met(job, Step::LeftOpenClosed);
    Ok(())
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

/// The sync of an environment: a deployment that runs already is brought to its end first; else what drifted is looked at, and
/// the gate is judged, if it is about that. What two people agreed to delete is not looked at.
async fn sync(context: &Context, job: &Claimed, lease: &Lease) -> Verdict {
    let environment: SyncIds = match work::ids(job) {
        Ok(ids) => ids,
        Err(error) => return error.verdict(),
    };
    let world = sync_environment::World {
        pool: &context.pool,
        clusters: &context.clusters,
        seal: &context.seal,
        hash_key: &context.hash_key,
        installation: context.installation,
        clock: &context.clock,
        run: context.clock.new_id(),
        platform: &context.platform,
        renderer: &context.renderer,
        prometheus: &context.prometheus,
        unsealer: &context.unsealer,
        shown_on: context
            .forges
            .values()
            .filter(|one| one.forge.has_deployments())
            .map(|one| one.forge.name())
            .collect(),
    };
    let observe = |step| context.observer.met(job, Step::Sync(step));
    let is_of_the_gate = environment.is_of_the_gate();
    if is_of_the_gate {
        match work::boxed(sync_environment::destroy(&world, job, lease, environment.environment, &observe)).await {
            Ok(false) => {}
            Ok(true) => return Verdict::Done,
            Err(interrupted) => {
                tracing::warn!(job = job.id, key = job.key, trace = %job.trace, %interrupted, "destroy interrupted");
                return interrupted.verdict();
            }
        }
    }
    let asked = if environment.heal { drift::Asked::ByAPerson } else { drift::Asked::ByAWatch };
    let kept =
        work::boxed(drift::attend(context, &world, (job, lease, &observe), environment.environment, asked)).await;
    if !is_of_the_gate || lease.is_stopping() {
        return match kept {
            Ok(()) => verdict(job, work::finish(context, job).await),
            Err(error) => verdict(job, Err(error)),
        };
    }
    let begun = work::boxed(start::start(context, job, lease, environment.environment)).await;
    match begun {
        Ok(false) => {
            return match kept {
                Ok(()) => verdict(job, work::finish(context, job).await),
                // The gate did not wait for it; it is looked again.
                Err(error) => verdict(job, Err(error)),
            };
        }
        Ok(true) => {}
        Err(error) => return verdict(job, Err(error)),
    }
    match work::boxed(sync_environment::run_deployment(&world, job, lease, environment.environment, &observe)).await {
        Ok(sync_environment::Ran::Waits(wait)) => {
            context.bell.ring(Lane::Default);
            Verdict::Snooze { wait }
        }
        Ok(ran) => {
            if let sync_environment::Ran::Recorded(outcome) = &ran {
                tracing::info!(environment = job.key, trace = %job.trace, outcome = outcome.sentence(), "synced");
            }
            if let Err(error) = drift::look_later(context, job, environment.environment).await {
                // A watch asks again when it lists everything.
                tracing::warn!(environment = job.key, %error, "what moved during a sync is not looked at yet");
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
    /// Somebody asks for the gate: a commit, an approval, a person.
    #[serde(default)]
    gate: bool,
    /// A watch found something.
    #[serde(default)]
    look: bool,
    /// A person asks to have drift put right.
    #[serde(default)]
    heal: bool,
}

impl SyncIds {
    /// Each who asks says what for, and what two asked is joined: only who asked for nothing but a look needs no forge.
    fn is_of_the_gate(&self) -> bool {
        self.gate || !(self.look || self.heal)
    }
}
