//! Brings an environment to the content its running deployment names, from wherever an earlier worker left off.
//!
//! ```text
//!   gather   the deployment, its stored set, the inventory, the cluster
//!   decide   one plan (sync::plan)
//!   act      intent ─ fence ─ inventory grows ─ namespaces ─ definitions ─ hooks before ─ waves ─ deletes ─ watch until well ─
//!            hooks after ─ what the cluster says of what is not well
//!   record   outcome, hold, next jobs and the end of this job in one transaction; where something has to hold afterwards (`verify`),
//!            each look at that is a run of its own before
//! ```
//!
//! A worker may die between any two [`Step`]s. Nothing is remembered but rows and the cluster, so the next worker does
//! the same again and finds less to do. Before every write outside the lease is checked, and every row is written
//! under the job's own fence.

mod by_rule;
mod destroy;
mod explain;
pub(super) mod fence;
mod gather;
mod hooks;
mod prune;
mod record;
mod send;
pub(super) mod turn;
mod verify;
mod waves;

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::clock::Clock;
use crate::cluster::{ClusterError, Clusters, Fate, WRITE_LIMIT};
use crate::db::deployments::Deployment;
use crate::db::{deployments, rollbacks, seal::Seal};
use crate::ids::ForgeName;
use crate::manifest::{HashKey, When};
use crate::policy::rules::Platform;
use crate::prometheus::Servers;
use crate::queue::{Claimed, Lease, LeaseLost, Permit, Unsettled, Verdict, confirm};
use crate::render::{Renderer, Unsealer};
use crate::sync::{Outcome, Pace, State, Step};

pub use destroy::destroy;
use fence::Fenced;
use gather::Scene;

/// What a sync needs of the world.
#[derive(Debug)]
pub struct World<'a> {
    /// The database.
    pub pool: &'a PgPool,
    /// The clusters.
    pub clusters: &'a Clusters,
    /// Opens stored sets.
    pub seal: &'a Seal,
    /// Hashes what is live.
    pub hash_key: &'a HashKey,
    /// The server's own id (`installation.id`).
    pub installation: Uuid,
    /// Time.
    pub clock: &'a Clock,
    /// What no other run of a job has: what this one is called in the cluster.
    pub run: Uuid,
    /// What repositories may reach, as last loaded.
    pub platform: &'a Platform,
    /// Asks health rules, in its box.
    pub renderer: &'a Renderer,
    /// Who is asked whether what was deployed does well.
    pub prometheus: &'a Servers,
    /// Opens sealed Secrets.
    pub unsealer: &'a Unsealer,
    /// Forges with a page of deployments of their own.
    pub shown_on: BTreeSet<&'a ForgeName>,
}

/// Told of every step right after its effect; what it does with that is its own business.
pub type Observer<'a> = &'a (dyn Fn(Step) + Send + Sync);

/// One run of the job over one deployment.
struct Run<'a> {
    world: &'a World<'a>,
    job: &'a Claimed,
    lease: &'a Lease,
    observe: Observer<'a>,
    /// How many of its requests are on their way.
    pace: Pace,
}

/// How a run ended that came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ran {
    /// No deployment of this environment is running.
    Nothing,
    /// The sync is over, and its deployment has yet to be verified: to be looked at again after this long.
    Waits(Duration),
    /// The deployment has ended so, and with it the job: its row is gone.
    Recorded(Box<Outcome>),
}

/// Why a run did not come to its end. The deployment is still running, and the next run goes on with it.
#[derive(Debug, thiserror::Error)]
pub enum Interrupted {
    /// The job is another worker's by now.
    #[error(transparent)]
    Lost(#[from] LeaseLost),
    /// The cluster was written by a number that this database has yet to count to.
    #[error("the cluster was written by number {theirs}, and this run is number {ours}")]
    Older {
        /// This run's.
        ours: i64,
        /// In the fence.
        theirs: i64,
    },
    /// The worker was told to stop.
    #[error("the worker stops")]
    Stopping,
    /// Somebody asked to go back while it was waited for health: the next run begins with that.
    #[error("a way back was asked for")]
    Unwanted,
    /// The cluster cannot be reached, or does not know us.
    #[error("{0}")]
    Away(String),
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl From<Unsettled> for Interrupted {
    fn from(error: Unsettled) -> Self {
        match error {
            Unsettled::Lost(lost) => Self::Lost(lost),
            Unsettled::Database(error) => Self::Database(error),
        }
    }
}

/// How long a cluster that is away is left alone before it is tried again.
const AWAY: Duration = Duration::from_secs(30);

impl Interrupted {
    /// What the queue is told.
    pub fn verdict(&self) -> Verdict {
        match self {
            // Whatever is said of a job that is not ours is not heard.
            Self::Lost(_) | Self::Stopping | Self::Unwanted => Verdict::Snooze { wait: Duration::ZERO },
            // An outage is no attempt: it may last longer than twelve of them.
            Self::Away(_) | Self::Older { .. } => Verdict::Snooze { wait: AWAY },
            Self::Database(error) => {
                let text = crate::queue::worker::chain(error);
                if crate::db::is_away(error) { Verdict::Later { error: text } } else { Verdict::Retry { error: text } }
            }
        }
    }
}

/// Runs the environment's running deployment to its end, if there is one.
///
/// # Errors
/// [`Interrupted`]: the next run goes on.
pub async fn run_deployment(
    world: &World<'_>,
    job: &Claimed,
    lease: &Lease,
    environment: i64,
    observe: Observer<'_>,
) -> Result<Ran, Interrupted> {
    let run = Run { world, job, lease, observe, pace: Pace::new(gather::WIDTH) };
    let Some(deployment) = run.take_over(environment).await? else { return Ok(Ran::Nothing) };
    if let Some(begun) = run.is_verified(&deployment).await? {
        return Box::pin(run.verify(&deployment, begun)).await;
    }

    let mut scene = match Box::pin(run.gather(deployment)).await {
        Ok(scene) => scene,
        Err(gather::Unready::Interrupted(interrupted)) => return Err(interrupted),
        Err(gather::Unready::Away { subject, why }) => return Err(run.away(&subject, why).await),
        Err(gather::Unready::Elsewhere { subject, why }) => {
            let outcome = Outcome { broken: Some(why), orphaned: true, ..Outcome::default() };
            return run.record_broken(&subject, outcome).await;
        }
        Err(gather::Unready::Broken { subject, why }) => {
            let outcome = Outcome { broken: Some(why), ..Outcome::default() };
            return run.record_broken(&subject, outcome).await;
        }
    };
    run.observe(Step::Gathered);

    let intent = run.intend(&scene).await?;
    run.observe(Step::IntentWritten);
    let mut outcome = Outcome::default();
    match Box::pin(run.act(&mut scene, &mut outcome)).await {
        Ok(()) if outcome.state() == State::Healthy && !scene.verify.is_empty() => {
            run.begin_to_verify(&scene, intent, &outcome).await?;
            let Some(begun) = run.is_verified(&scene.deployment).await? else {
                // It was ended behind our back; the next run finds what runs now.
                return Ok(Ran::Waits(Duration::ZERO));
            };
            Box::pin(run.verify(&scene.deployment, begun)).await
        }
        Ok(()) => run.record(&scene, intent, outcome).await,
        Err(Interrupted::Older { ours, theirs }) => {
            let why = Interrupted::Older { ours, theirs };
            run.close_away(&scene.subject, intent, &outcome, &why.to_string()).await?;
            run.tell_older(&scene.subject, (ours, theirs)).await?;
            Err(why)
        }
        Err(Interrupted::Unwanted) => {
            run.close_away(&scene.subject, intent, &outcome, &Interrupted::Unwanted.to_string()).await?;
            Err(Interrupted::Unwanted)
        }
        Err(Interrupted::Away(why)) => {
            run.close_away(&scene.subject, intent, &outcome, &why).await?;
            Err(run.away(&scene.subject, why).await)
        }
        Err(interrupted) => Err(interrupted),
    }
}

impl Run<'_> {
    async fn take_over(&self, environment: i64) -> Result<Option<Deployment>, Interrupted> {
        let mut tx = self.begin().await?;
        let deployment = deployments::take_over(&mut tx, environment, self.job.fence).await?;
        if let Some(deployment) = &deployment {
            // Whoever ran it before died before it could tell what came of what it had begun.
            crate::audit::close_unended(&mut tx, &record::cause(deployment)).await?;
        }
        tx.commit().await?;
        Ok(deployment)
    }

    /// Everything between the intent and its outcome.
    async fn act(&self, scene: &mut Scene, outcome: &mut Outcome) -> Result<(), Interrupted> {
        let mut fenced = self.take_fence(scene).await?;
        if let Fenced::Never(why) = fenced {
            outcome.broken = Some(why);
            return Ok(());
        }
        let taken = self.grow(scene).await?;
        self.observe(Step::InventoryGrown);
        if let Fenced::NoNamespace = fenced {
            fenced = self.make_room_for_fence(scene, &taken, outcome).await?;
        }
        match fenced {
            Fenced::Ours => {}
            // What stands in the way is said already.
            Fenced::NoNamespace => return self.let_go_of_all(scene).await,
            Fenced::Never(why) => {
                outcome.broken = Some(why);
                return self.let_go_of_all(scene).await;
            }
        }
        let scene = &*scene;
        Box::pin(self.send_all(scene, &taken, outcome)).await?;
        // A hook or a wave that did not end well: what comes after it is left alone, deletes among it.
        let is_stopped = !outcome.unhealthy.is_empty();
        if outcome.is_applied() && !is_stopped {
            let mut tx = self.begin().await?;
            deployments::set_applied(&mut tx, scene.deployment.new.id).await?;
            tx.commit().await?;
        }
        self.observe(Step::Applied);
        if !is_stopped {
            self.prune(scene, outcome).await?;
        }
        // What could not be sent is the news; waiting for the rest would only delay it.
        if outcome.is_applied() && !is_stopped {
            self.watch(scene, outcome).await?;
        }
        if outcome.is_applied() && outcome.unhealthy.is_empty() {
            Box::pin(self.run_hooks(scene, When::After, outcome)).await?;
        }
        Box::pin(self.explain(scene, outcome)).await?;
        self.observe(Step::HealthJudged);
        Ok(())
    }

    fn observe(&self, step: Step) {
        tracing::debug!(step = step.label(), key = self.job.key, fence = self.job.fence, "sync step");
        (self.observe)(step);
    }

    /// A transaction in which the job is surely ours.
    async fn begin(&self) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, Interrupted> {
        let mut tx = self.world.pool.begin().await?;
        let conn: &mut PgConnection = &mut tx;
        confirm(conn, self.job).await?;
        Ok(tx)
    }

    /// Asks the database whether the job is still ours: where the server alone would not refuse a stale writer.
    async fn confirm(&self) -> Result<(), Interrupted> {
        Ok(self.begin().await?.rollback().await?)
    }

    /// Ends when somebody asks to go back. What cannot be asked now is asked again.
    async fn asked_back(&self, environment: i64) {
        loop {
            tokio::time::sleep(LOOK).await;
            let Ok(mut conn) = self.world.pool.acquire().await else { continue };
            if rollbacks::is_open(&mut conn, environment).await.unwrap_or_default() {
                return;
            }
        }
    }

    /// Leave for one write: the lease outlasts it.
    fn permit(&self) -> Result<Permit, Interrupted> {
        if self.lease.is_stopping() {
            return Err(Interrupted::Stopping);
        }
        Ok(self.lease.check(WRITE_LIMIT + MARGIN)?)
    }
}

/// How often it is looked whether somebody wants to go back while a sync waits for health: whoever does waits for it.
const LOOK: Duration = Duration::from_secs(2);

/// Between the end of a write's own limit and the end of the lease: for scheduling on a loaded machine.
const MARGIN: Duration = Duration::from_secs(1);

/// An error that ends the run, as far as there is one in it.
fn away(error: &ClusterError) -> Option<Interrupted> {
    match error.fate() {
        Fate::Away => Some(Interrupted::Away(error.to_string())),
        Fate::Retry { .. } | Fate::Look | Fate::Held | Fate::Never => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker's loop takes only what can move between threads; closures over references easily take that away.
    #[expect(dead_code, reason = "compiled, never called")]
    fn a_run_can_move_between_threads(world: &World<'_>, job: &Claimed, lease: &Lease, observe: Observer<'_>) {
        fn is_send(_: impl Send) {}
        is_send(run_deployment(world, job, lease, 1, observe));
    }
}
