//! The end of an orphaned environment that two people agreed on: what we applied to it is deleted, as far as there is proof.
//!
//! The same job as a sync, so that the two never run beside each other; the same plan, fence and deletes as of what left a
//! set. Only the set is empty, and meant to be: that is what the two people said.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sqlx::PgConnection;

use super::fence::Fenced;
use super::gather::Scene;
use super::prune::ANEW;
use super::record::Subject;
use super::turn::Turn;
use super::{Interrupted, Observer, Run, World};
use crate::audit::{self, NewEntry};
use crate::cluster::{ClusterError, Identity};
use crate::consent::Identities;
use crate::db::destructions::{self, Destruction, End};
use crate::db::environments::{self, Environment, EnvironmentState};
use crate::db::hook_runs::{self, Made};
use crate::db::repositories::{self, Repository, RepositoryState};
use crate::db::{deployments, inventory, restored, sets};
use crate::ids::{ObjectHash, ObjectKey};
use crate::jobs::gather::there::{Look, identity};
use crate::manifest::RenderedSet;
use crate::policy::health::HealthRules;
use crate::queue::{Claimed, Lease, finish};
use crate::sync::{Live, Outcome, Owner, Pace, Prune, PruneRule, Recorded, Round, Step, fence, plan};

/// Objects named in one entry of the log; the rest is counted.
const NAMED: usize = 500;

/// Why one that was begun goes no further.
const NO_MORE: &str = "what two people agreed on stands no more: it is followed again, or somebody wants to go back";

/// Deletes what an orphaned environment has, if two people agreed on that. `true`: that was it, and the job is at its end.
///
/// # Errors
/// [`Interrupted`]: the next run goes on.
pub async fn destroy(
    world: &World<'_>,
    job: &Claimed,
    lease: &Lease,
    environment: i64,
    observe: Observer<'_>,
) -> Result<bool, Interrupted> {
    let run = Run { world, job, lease, observe, pace: Pace::new(super::gather::WIDTH) };
    let Some(due) = run.due(environment).await? else { return Ok(false) };
    let entry = |action, detail| due.entry(job, action, detail);
    let scene = match run.scene_of(&due).await? {
        Ok(scene) => scene,
        Err(why) => {
            run.give_up(&due, &entry("environment.not_destroyed", json!({ "why": why }))).await?;
            return Ok(true);
        }
    };
    let named: Vec<String> = scene.plan.prunes.iter().take(NAMED).map(|(_, row, _)| row.key.to_string()).collect();
    let detail = json!({
        "cluster": scene.cluster_uid, "fence": job.fence, "reason": due.destruction.reason,
        "asked_by": due.destruction.asked_by, "agreed_by": due.destruction.agreed_by,
        "objects": named, "more": scene.plan.prunes.len().saturating_sub(NAMED),
    });
    let mut tx = run.begin().await?;
    audit::close_unended(&mut tx, &cause(environment)).await?;
    let intent = audit::intent(&mut tx, &entry("environment.destroy", detail)).await?;
    tx.commit().await?;
    run.observe(Step::IntentWritten);

    let mut outcome = Outcome::default();
    let done = match run.take_fence(&scene).await {
        // Where the namespace is gone nobody can have taken a fence in it; uid and version guard what is left elsewhere.
        Ok(Fenced::Ours | Fenced::NoNamespace) => run.prune_as_agreed(&scene, &due.destruction, &mut outcome).await,
        Ok(Fenced::Never(why)) => {
            outcome.broken = Some(why);
            Ok(())
        }
        Err(interrupted) => Err(interrupted),
    };
    if let Err(interrupted) = done {
        let is_unwanted = matches!(interrupted, Interrupted::Unwanted);
        let why = if is_unwanted { NO_MORE.to_owned() } else { interrupted.to_string() };
        let detail = json!({ "state": "interrupted", "why": why, "outcome": outcome });
        if is_unwanted || matches!(interrupted, Interrupted::Away(_) | Interrupted::Older { .. }) {
            let mut tx = run.begin().await?;
            audit::outcome(&mut tx, intent, &entry("environment.interrupted", detail)).await?;
            tx.commit().await?;
        }
        if let Interrupted::Older { ours, theirs } = interrupted {
            run.tell_older(&scene.subject, (ours, theirs)).await?;
        }
        return Err(interrupted);
    }
    run.end_of(&due, &scene, intent, &outcome).await?;
    Ok(true)
}

/// The cause of everything it does, the same in every run of it.
fn cause(environment: i64) -> String {
    format!("destruction of environment {environment}")
}

/// What two people agreed on.
struct Due {
    environment: Environment,
    repository: Repository,
    destruction: Destruction,
}

impl Due {
    fn entry(&self, job: &Claimed, action: &'static str, detail: Value) -> NewEntry {
        let Repository { key, full_name, .. } = &self.repository;
        NewEntry {
            actor: "bascule".to_owned(),
            action,
            subject: format!("{}/{full_name} {}", key.forge, self.environment.name),
            detail,
            cause: cause(self.environment.id),
            trace: job.trace,
        }
    }
}

impl Run<'_> {
    /// What is agreed on and still so: else it is dropped.
    async fn due(&self, environment: i64) -> Result<Option<Due>, Interrupted> {
        let mut tx = self.begin().await?;
        let gone = || sqlx::Error::RowNotFound;
        let Some(destruction) = destructions::of(&mut tx, environment).await? else { return Ok(None) };
        let Some(agreed_by) = destruction.agreed_by.as_ref().filter(|_| destruction.end == End::Destroy) else {
            return Ok(None);
        };
        let environment = environments::get(&mut tx, environment).await?.ok_or_else(gone)?;
        let repository = repositories::get(&mut tx, environment.repository).await?.ok_or_else(gone)?;
        let is_running = deployments::is_running(&mut tx, environment.id).await?;
        let objects = destructions::reach(&mut tx, environment.id).await?.len();
        let why = if !is_orphaned(&environment, &repository) || is_running {
            Some("it is not orphaned any more, or a sync of it runs")
        } else if Identities::of(&self.world.platform.groups).same(&destruction.asked_by, agreed_by) {
            Some("who asked and who agreed are one person, by the server's file")
        } else if i64::try_from(objects).is_ok_and(|objects| objects > destruction.objects) {
            Some("it has more objects than they were shown")
        } else {
            None
        };
        let due = Due { environment, repository, destruction };
        let Some(why) = why else { return Ok(Some(due)) };
        destructions::drop_of(&mut tx, due.environment.id).await?;
        audit::append(&mut tx, &due.entry(self.job, "environment.not_destroyed", json!({ "why": why }))).await?;
        tx.commit().await?;
        Ok(None)
    }

    /// The empty set in place of what it stands at; or why nothing can be done.
    async fn scene_of(&self, due: &Due) -> Result<Result<Scene, String>, Interrupted> {
        let Due { environment, repository, .. } = due;
        let mut conn = self.world.pool.acquire().await?;
        let Some(deployment) = deployments::list(&mut conn, environment.id, None, 1).await?.pop() else {
            return Ok(Err("nothing was ever deployed to it".to_owned()));
        };
        let target = environment.target.clone();
        let set = RenderedSet { target, objects: BTreeMap::new(), entry: ObjectHash([0; 32]), left_out: Vec::new() };
        let rules = match environments::in_force(&mut conn, environment).await {
            Ok(rules) => rules.map(|rules| rules.sync),
            Err(sets::SetError::Database(error)) => return Err(error.into()),
            Err(error) => return Ok(Err(error.to_string())),
        };
        let Some(rules) = rules else { return Ok(Err("its rules are not stored".to_owned())) };
        let away = |error: ClusterError| Interrupted::Away(error.to_string());
        let clusters = self.world.clusters;
        drop(conn);
        let turn = Turn::of(clusters.turns(&set.target.cluster));
        turn.take(self.lease).await?;
        let mut conn = self.world.pool.acquire().await?;
        let own = clusters.get(&set.target.cluster, &Identity::Own).await.map_err(away)?;
        let cluster_uid = own.uid().await.map_err(away)?.to_owned();
        let mut recorded = inventory::of(&mut conn, environment.id, &cluster_uid).await?;
        let hooks = hook_runs::all_made(&mut conn, environment.id).await?;
        let is_restored = restored::open(&mut conn).await?.is_some();
        drop(conn);
        let identity = match identity(self.world.platform, repository, &set.target, recorded.keys().chain(hooks.keys()))
        {
            Ok(identity) => identity,
            Err(why) => return Ok(Err(why)),
        };
        let cluster = clusters.get(&set.target.cluster, &identity).await.map_err(away)?;
        // What hooks made is nobody's state, and goes with the rest; the uid that it was given proves it, as of the rest.
        let of_hooks = hooks.iter().filter(|(key, _)| !recorded.contains_key(*key));
        let of_hooks: BTreeMap<_, _> = of_hooks.map(|(key, made)| (key.clone(), left_by_a_hook(key, made))).collect();
        let defined = BTreeSet::new();
        let mut look = Look { cluster: &cluster, defined: &defined, live: BTreeMap::new() };
        look.at_all(&[], &recorded).await.map_err(away)?;
        look.at_all(&[], &of_hooks).await.map_err(away)?;
        for (key, mut row) in of_hooks {
            match look.live.get(&key) {
                Some(Live::Seen(seen)) => row.uid = hooks.get(&key).and_then(|made| made.uids.get(&seen.uid)).cloned(),
                Some(Live::Absent) | None => continue,
                // With a definition went all objects of its kind.
                Some(Live::Unknown(_)) => {
                    if cluster.has_no(&key.group, &key.kind).await.is_ok_and(|has_no| has_no) {
                        continue;
                    }
                }
            }
            recorded.insert(key, row);
        }
        let owner = Owner::of(self.world.installation, &repository.key, &environment.name).to_string();
        let rule = if is_restored { PruneRule::Restored } else { PruneRule::Everything };
        let plan = plan(&owner, &[], &recorded, &look.live, rule);
        let subject = Subject::of(&deployment, environment, repository);
        let environment = environment.clone();
        Ok(Ok(Scene {
            deployment,
            environment,
            subject,
            rules,
            // Nobody waits for anything to be well.
            health: HealthRules::default(),
            verify: Vec::new(),
            cluster,
            cluster_uid,
            owner,
            set,
            // Nothing is sent.
            sealed: BTreeMap::new(),
            recorded,
            defined,
            plan,
            turn,
        }))
    }

    /// Nothing is done, and nobody has to ask again to learn that.
    async fn give_up(&self, due: &Due, entry: &NewEntry) -> Result<(), Interrupted> {
        let mut tx = self.begin().await?;
        destructions::drop_of(&mut tx, due.environment.id).await?;
        finish(&mut tx, self.job).await?;
        audit::append(&mut tx, entry).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What came of it. With its last object the environment is forgotten.
    async fn end_of(&self, due: &Due, scene: &Scene, intent: i64, outcome: &Outcome) -> Result<(), Interrupted> {
        let environment = due.environment.id;
        let name = fence::name(&scene.owner);
        let mut tx = self.begin().await?;
        // Whoever follows it again waits for us now, or was before us: what is followed is not forgotten.
        destructions::lock_environment(&mut tx, environment).await?;
        let stood = stands(&mut tx, environment, &due.destruction).await?
            && destructions::drop_of(&mut tx, environment).await?;
        let stays = inventory::of(&mut tx, environment, &scene.cluster_uid).await?;
        let left = inventory::count(&mut tx, environment).await? + left_of_hooks(scene, outcome, &stays);
        let is_over = stood && left == 0;
        if is_over {
            environments::forget(&mut tx, environment, EnvironmentState::Forgotten).await?;
        }
        finish(&mut tx, self.job).await?;
        let mut detail = json!({ "deleted": outcome.deleted, "left": left, "outcome": outcome });
        if !stood {
            detail["why"] = NO_MORE.into();
        }
        let action = if is_over { "environment.destroyed" } else { "environment.not_destroyed" };
        audit::outcome(&mut tx, intent, &due.entry(self.job, action, detail)).await?;
        tx.commit().await?;
        self.observe(Step::Recorded);
        // It guards nothing any more. One that stays harms nobody.
        if is_over
            && let Ok(Some(fence)) = scene.cluster.fence(&scene.set.target.namespace, &name).await
            && fence.number == Some(self.job.fence)
        {
            drop(scene.cluster.drop_fence(&scene.set.target.namespace, &name, &fence).await);
        }
        Ok(())
    }
}

/// As the inventory would have it, but for whose uid it has: that is seen when it is looked at.
fn left_by_a_hook(key: &ObjectKey, made: &Made) -> Recorded {
    Recorded {
        key: key.clone(),
        api_version: made.api_version.clone(),
        uid: None,
        hash: ObjectHash([0; 32]),
        resource_version: None,
        live: None,
    }
}

/// How many objects of hooks are there still, of those that were to go or are kept, beside what the inventory has.
fn left_of_hooks(scene: &Scene, outcome: &Outcome, stays: &BTreeMap<ObjectKey, Recorded>) -> i64 {
    let told = outcome.failed.iter().chain(&outcome.unhealthy).map(|failure| &failure.object);
    let told: BTreeSet<&ObjectKey> =
        told.chain(outcome.kept.iter().filter(|kept| kept.why != ANEW).map(|kept| &kept.object)).collect();
    let is_left = |(_, row, verdict): &&(Round, Recorded, Prune)| {
        matches!(verdict, Prune::Delete { .. } | Prune::Keep(_))
            && told.contains(&row.key)
            && !stays.contains_key(&row.key)
    };
    i64::try_from(scene.plan.prunes.iter().filter(is_left).count()).unwrap_or(i64::MAX)
}

/// Whether nobody follows it.
fn is_orphaned(environment: &Environment, repository: &Repository) -> bool {
    environment.state == EnvironmentState::Orphaned || repository.state != RepositoryState::Active
}

/// Whether what two people agreed on is so still: whoever follows an environment again takes their word away, and a
/// repository may come back.
pub(super) async fn stands(
    conn: &mut PgConnection,
    environment: i64,
    agreed: &Destruction,
) -> Result<bool, sqlx::Error> {
    if destructions::of(&mut *conn, environment).await?.as_ref() != Some(agreed) {
        return Ok(false);
    }
    let Some(environment) = environments::get(&mut *conn, environment).await? else { return Ok(false) };
    let repository = repositories::get(conn, environment.repository).await?;
    Ok(repository.is_some_and(|repository| is_orphaned(&environment, &repository)))
}
