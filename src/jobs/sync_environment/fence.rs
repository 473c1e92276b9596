//! Act, before anything else: the environment's fence in the cluster is taken, so that no worker with an older number writes.
//!
//! It costs one read and one write of a sync that writes, and nothing of one that does not. The database's own lease keeps
//! workers apart as long as there is one database; the fence is for the day on which it went back in time.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use crate::audit;
use crate::cluster::{Cluster, ClusterError, Fate, Hold as FenceHold};
use crate::db::deployments::Deployment;
use crate::db::environments::Environment;
use crate::db::holds;
use crate::db::inventory::Taken;
use crate::db::repositories::Repository;
use crate::db::restored;
use crate::ids::ObjectKey;
use crate::manifest::Phase;
use crate::queue::{Claimed, Lease};
use crate::sync::fence::{self, Taking, taking};
use crate::sync::{Action, HoldReason, Outcome, Pace, Prune, Step};

use super::gather::Scene;
use super::record::Subject;
use super::{Interrupted, Observer, Run, World, away};

/// How often a fence is looked at again because somebody took it under our hands.
const LOOKS: u32 = 5;
/// How often a busy server is asked again.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);

/// What came of taking the fence.
pub(in crate::jobs) enum Fenced {
    /// It is ours, or nothing is to be written.
    Ours,
    /// The environment's namespace is not there.
    NoNamespace,
    /// It cannot be had, and why.
    Never(String),
}

/// Whose fence it is that something else than a deployment takes.
pub(in crate::jobs) struct FenceOf<'a> {
    pub(in crate::jobs) environment: &'a Environment,
    pub(in crate::jobs) repository: &'a Repository,
    /// The last one.
    pub(in crate::jobs) deployment: &'a Deployment,
    pub(in crate::jobs) cluster: &'a Cluster,
    pub(in crate::jobs) owner: &'a str,
}

/// Takes an environment's fence for what drifted. A sync that the same run comes to has it then.
///
/// # Errors
/// [`Interrupted`]: the next run tries again.
pub(in crate::jobs) async fn take(
    world: &World<'_>,
    (job, lease): (&Claimed, &Lease),
    of: &FenceOf<'_>,
    observe: Observer<'_>,
) -> Result<Fenced, Interrupted> {
    let run = Run { world, job, lease, observe, pace: Pace::new(super::gather::WIDTH) };
    let taken = run.take_fence_of(of.cluster, &of.environment.target.namespace, of.owner).await;
    if let Err(Interrupted::Older { ours, theirs }) = taken {
        run.tell_older(&Subject::of(of.deployment, of.environment, of.repository), (ours, theirs)).await?;
    }
    taken
}

impl Run<'_> {
    /// Takes the fence, if anything is to be written.
    pub(super) async fn take_fence(&self, scene: &Scene) -> Result<Fenced, Interrupted> {
        let sends = |action: &Action| !matches!(action, Action::Unchanged { .. } | Action::Blocked(_));
        let deletes = |prune: &Prune| matches!(prune, Prune::Delete { .. });
        let plan = &scene.plan;
        let writes = plan.actions.iter().any(|(_, _, action)| sends(action))
            || plan.prunes.iter().any(|(_, _, one)| deletes(one));
        if !writes && !self.is_hook_due(scene).await? {
            return Ok(Fenced::Ours);
        }
        self.take_fence_of(&scene.cluster, &scene.set.target.namespace, &scene.owner).await
    }

    /// The namespace of the fence, before the rest, when the set makes it: nobody with a newer number can have written there,
    /// and a creation never touches what is there.
    pub(super) async fn make_room_for_fence(
        &self,
        scene: &mut Scene,
        taken: &BTreeMap<ObjectKey, Taken>,
        outcome: &mut Outcome,
    ) -> Result<Fenced, Interrupted> {
        let namespace = scene.set.target.namespace.clone();
        let is_ours = |key: &ObjectKey| {
            key.group.is_empty() && key.kind == "Namespace" && key.name == namespace && !taken.contains_key(key)
        };
        let at = scene.plan.actions.iter().position(|(phase, object, action)| {
            *phase == Phase::Namespaces && is_ours(&object.key) && *action == Action::Create
        });
        let Some(at) = at else { return Ok(Fenced::Never(no_namespace(&namespace))) };
        let (_, object, action) = scene.plan.actions.remove(at);
        self.send_in_order(scene, &[(&object, &action)], outcome).await?;
        if !outcome.is_applied() {
            return Ok(Fenced::NoNamespace);
        }
        match self.take_fence(scene).await? {
            Fenced::NoNamespace => Ok(Fenced::Never(no_namespace(&namespace))),
            fenced => Ok(fenced),
        }
    }

    /// Takes the fence of this owner in this namespace.
    pub(super) async fn take_fence_of(
        &self,
        cluster: &Cluster,
        namespace: &str,
        owner: &str,
    ) -> Result<Fenced, Interrupted> {
        let name = fence::name(owner);
        let holder = self.world.run.to_string();
        let hold = FenceHold { namespace, name: &name, owner, number: self.job.fence, holder: &holder };
        let (mut looks, mut tries) = (0, 0);
        loop {
            let done = match cluster.fence(namespace, &name).await {
                Ok(found) => match taking(self.job.fence, &holder, found.as_ref()) {
                    Taking::Take => {
                        let _permit = self.permit()?;
                        cluster.take_fence(hold, found.as_ref()).await
                    }
                    Taking::Ours => Ok(()),
                    Taking::Refuse(theirs) => return Err(self.older_than(theirs).await),
                    Taking::Unreadable => return Ok(Fenced::Never(unreadable(namespace, &name))),
                },
                Err(error) => Err(error),
            };
            let Err(error) = done else {
                self.observe(Step::FenceTaken);
                return Ok(Fenced::Ours);
            };
            if let Some(interrupted) = away(&error) {
                return Err(interrupted);
            }
            match (error.fate(), &error) {
                (_, ClusterError::NotFound(_)) => return Ok(Fenced::NoNamespace),
                (Fate::Look, _) if looks < LOOKS => {
                    // Somebody took it since it was read. If that was the next holder of the job, it is not ours any more.
                    self.confirm().await?;
                    looks += 1;
                }
                (Fate::Retry { after }, _) if tries < TRIES => {
                    tokio::time::sleep(after.unwrap_or(PAUSE).min(PAUSE * 8)).await;
                    tries += 1;
                }
                (Fate::Look | Fate::Retry { .. }, _) => return Err(Interrupted::Away(error.to_string())),
                (Fate::Held | Fate::Never | Fate::Away, _) => return Ok(Fenced::Never(refused(namespace, &error))),
            }
        }
    }

    /// Our number is not higher than that of somebody who wrote. The database says whose the job is: when it says that it is
    /// ours, it has gone back in time.
    async fn older_than(&self, theirs: i64) -> Interrupted {
        match self.confirm().await {
            // An operator looked at it after this run was given its number: the next one is given a higher.
            Ok(()) => match self.counts_above(theirs).await {
                Ok(true) => Interrupted::Unwanted,
                Ok(false) => Interrupted::Older { ours: self.job.fence, theirs },
                Err(error) => error.into(),
            },
            Err(interrupted) => interrupted,
        }
    }

    async fn counts_above(&self, theirs: i64) -> Result<bool, sqlx::Error> {
        restored::counts_above(&mut *self.world.pool.acquire().await?, theirs).await
    }

    /// The database went back: says so once, and stops every delete of this server until an operator has looked.
    pub(super) async fn tell_older(&self, subject: &Subject, (ours, theirs): (i64, i64)) -> Result<(), Interrupted> {
        let detail = format!(
            "the cluster was written by number {theirs} of this environment, and this database counts only to {ours}: it was \
             put back from a backup, or a standby that lagged took over. Nothing is written until an operator has looked"
        );
        let (entries, _) = audit::read::head(self.world.pool).await?;
        let mut tx = self.begin().await?;
        let is_news = restored::notice(&mut tx, entries, None).await?;
        restored::fenced(&mut tx, theirs).await?;
        let hold = subject.hold(HoldReason::Failed, detail.clone());
        let hold = holds::Hold { lifts: LIFTS.to_owned(), ..hold };
        self.put_once(&mut tx, subject, hold).await?;
        if is_news {
            let found = json!({ "found": detail, "fence": theirs, "ours": ours, "entries": entries });
            audit::append(&mut tx, &subject.entry("restore.noticed", found)).await?;
            tracing::error!(ours, theirs, "a fence in a cluster is ahead of this database: `bascule restored show`");
        }
        tx.commit().await?;
        Ok(())
    }
}

/// What makes the database count on from where the cluster is.
const LIFTS: &str = "bascule restored confirm --reason …, on the server's host";

pub(in crate::jobs) fn no_namespace(namespace: &str) -> String {
    format!(
        "there is no namespace {namespace}, in which it is written down who deploys to this environment: create it, or have the \
         set make it"
    )
}

fn unreadable(namespace: &str, name: &str) -> String {
    format!(
        "the Lease {namespace}/{name} does not say who wrote last (`{}`): look who changed it, then delete it",
        fence::FENCE_ANNOTATION
    )
}

fn refused(namespace: &str, error: &ClusterError) -> String {
    format!(
        "who deploys is written down in a Lease of the namespace {namespace}, and that is refused: {error}. The account needs \
         `get`, `create` and `update` of `leases` (`coordination.k8s.io`) there"
    )
}
