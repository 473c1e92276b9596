//! Act: what the plan sends, phase by phase, and the watch until it is well.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use sqlx::PgConnection;

use crate::cluster::{Applied, ClusterError, Fate, Onto, Until, Verdict, Watched, Write};
use crate::db::inventory::{self, Taken};
use crate::ids::ObjectKey;
use crate::manifest::{Phase, When};
use crate::sync::health::waits;
use crate::sync::{Action, Desired, Failure, Health, Kept, Live, Outcome, PruneRule, Recorded, Step, Troubled, plan};

use super::by_rule::ByRule;
use super::explain::{hidden, unwell};
use super::gather::Scene;
use super::waves::of_phase;
use super::{Interrupted, Run, away};
use crate::jobs::gather::there::look_at;

/// How often one object is looked at again because it changed under our hands: whoever changes it that often will be
/// there in the next sync, too.
const LOOKS: u32 = 5;
/// How often a busy server is asked again for one object; with the pauses below about eight seconds.
const TRIES: u32 = 6;
/// The first pause; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest a server may make us pause within a run.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long a definition may take to be Established; it takes tens of milliseconds.
const ESTABLISHED: Duration = Duration::from_secs(30);

pub(super) type Answer<'r> = (&'r Desired, Result<Sent, Interrupted>);

/// What came of one object.
pub(super) enum Sent {
    Applied {
        action: Kind,
        applied: Box<Applied>,
    },
    Unchanged {
        moved: Option<String>,
    },
    /// Somebody holds fields of it, and the server surely took nothing.
    Held(Troubled),
    /// Somebody holds fields of it, after a try of which it is not known whether the server took it.
    Disputed(Troubled),
    /// The server surely did not take it.
    Refused(String),
    /// Whether the server took it is not known.
    Unsure(String),
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Created,
    Updated,
    Adopted,
}

impl Run<'_> {
    /// The inventory grows before anything is sent (write-ahead).
    pub(super) async fn grow(&self, scene: &Scene) -> Result<BTreeMap<ObjectKey, Taken>, Interrupted> {
        let is_blocked = |action: &Action| matches!(action, Action::Blocked(_));
        let (blocked, sent): (Vec<_>, Vec<_>) =
            scene.plan.actions.iter().partition(|(_, _, action)| is_blocked(action));
        let blocked: Vec<_> = blocked.into_iter().map(|(_, object, _)| object.key.clone()).collect();
        let sent: Vec<_> = sent.into_iter().map(|(_, object, _)| object.clone()).collect();
        let (environment, cluster) = (scene.environment.id, &scene.set.target.cluster);
        let mut tx = self.begin().await?;
        let mut taken = inventory::grow(&mut tx, environment, &scene.cluster_uid, &sent).await?;
        // Only for their names: an annotation says who owns an object, and not as people call it.
        taken.extend(inventory::taken(&mut tx, Some(environment), cluster, &blocked).await?);
        tx.commit().await?;
        Ok(taken.into_iter().map(|taken| (taken.key.clone(), taken)).collect())
    }

    pub(super) async fn send_all(
        &self,
        scene: &Scene,
        taken: &BTreeMap<ObjectKey, Taken>,
        outcome: &mut Outcome,
    ) -> Result<(), Interrupted> {
        for (_, object, _) in &scene.plan.actions {
            if let Some(taken) = taken.get(&object.key) {
                let why = format!("it belongs to the environment {} of {}", taken.name, taken.repository);
                outcome.failed.push(Failure { object: object.key.clone(), why });
            }
        }
        self.send_in_order(scene, &of_phase(scene, Phase::Namespaces, outcome), outcome).await?;
        self.observe(Step::NamespacesApplied);
        self.send_in_order(scene, &of_phase(scene, Phase::Definitions, outcome), outcome).await?;
        self.await_definitions(scene, outcome).await?;
        self.observe(Step::DefinitionsReady);
        let stopped = if !outcome.unhealthy.is_empty() {
            Some("a definition that goes before it is not established".to_owned())
        } else if outcome.is_applied() {
            Box::pin(self.run_hooks(scene, When::Before, outcome)).await?;
            (!outcome.unhealthy.is_empty()).then(|| "a hook that goes before it did not end well".to_owned())
        } else {
            let is_prepared = self.hooks_of(scene, When::Before).await?.is_empty();
            (!is_prepared).then(|| "the hooks that go before it were not run".to_owned())
        };
        Box::pin(self.send_waves(scene, stopped, outcome)).await
    }

    /// Boxed, so that the five thousand of a large set take room only while each is in flight.
    pub(super) fn send_one<'r>(
        &'r self,
        scene: &'r Scene,
        object: &'r Desired,
        action: &'r Action,
    ) -> BoxFuture<'r, Answer<'r>> {
        async move { (object, Box::pin(self.send(scene, object, action.clone())).await) }.boxed()
    }

    /// Records answers, and counts them.
    pub(super) async fn take(
        &self,
        scene: &Scene,
        known: Vec<(&Desired, Sent)>,
        outcome: &mut Outcome,
    ) -> Result<(), Interrupted> {
        let (id, uid) = (scene.environment.id, &scene.cluster_uid);
        let (mut applied_now, mut moved) = (Vec::new(), Vec::new());
        let mut tx = self.begin().await?;
        for (object, sent) in known {
            match sent {
                Sent::Applied { action, applied } => {
                    let row = Recorded {
                        key: object.key.clone(),
                        api_version: object.api_version.clone(),
                        uid: Some(applied.uid),
                        hash: object.hash,
                        resource_version: Some(applied.resource_version),
                        live: Some(applied.live),
                    };
                    applied_now.push((row, applied.mark));
                    match action {
                        Kind::Created => outcome.created += 1,
                        Kind::Updated => outcome.updated += 1,
                        Kind::Adopted => outcome.adopted += 1,
                    }
                }
                Sent::Unchanged { moved: version } => {
                    moved.extend(version.map(|version| (object.key.clone(), version)));
                    outcome.unchanged += 1;
                }
                Sent::Held(troubled) => {
                    self.let_go(&mut tx, scene, &object.key).await?;
                    outcome.conflicts.push(troubled);
                }
                Sent::Disputed(troubled) => outcome.conflicts.push(troubled),
                Sent::Refused(why) => {
                    self.let_go(&mut tx, scene, &object.key).await?;
                    outcome.failed.push(Failure { object: object.key.clone(), why: scene.hide(&why) });
                }
                Sent::Unsure(why) => {
                    outcome.failed.push(Failure { object: object.key.clone(), why: scene.hide(&why) });
                }
            }
        }
        inventory::confirm(&mut tx, id, uid, &applied_now).await?;
        if !moved.is_empty() {
            inventory::moved(&mut tx, id, uid, &moved).await?;
        }
        tx.commit().await?;
        applied_now.iter().for_each(|_| self.observe(Step::ObjectRecorded));
        Ok(())
    }

    /// What was written ahead in this run and surely never sent is not ours.
    pub(super) async fn let_go(
        &self,
        conn: &mut PgConnection,
        scene: &Scene,
        key: &ObjectKey,
    ) -> Result<(), Interrupted> {
        if !scene.recorded.contains_key(key) {
            inventory::forget(conn, scene.environment.id, &scene.cluster_uid, key).await?;
        }
        Ok(())
    }

    /// One object, until the server has taken or refused it.
    async fn send(&self, scene: &Scene, object: &Desired, mut action: Action) -> Result<Sent, Interrupted> {
        let (mut looks, mut tries) = (0, 0);
        loop {
            // After a try without a clear answer nothing is sure any more.
            let refused = |why: String| if tries == 0 { Sent::Refused(why) } else { Sent::Unsure(why) };
            let (onto, kind) = match action {
                Action::Create => (Onto::Nothing, Kind::Created),
                Action::Update { uid, resource_version, .. } => (Onto::This { uid, resource_version }, Kind::Updated),
                Action::Adopt { uid, resource_version } => (Onto::This { uid, resource_version }, Kind::Adopted),
                Action::Unchanged { moved } => return Ok(Sent::Unchanged { moved }),
                Action::Blocked(why) => return Ok(refused(why.to_string())),
            };
            let error = match self.apply(scene, object, &onto).await? {
                Ok(applied) => {
                    self.pace.answered();
                    self.observe(Step::ObjectSent);
                    return Ok(Sent::Applied { action: kind, applied: Box::new(applied) });
                }
                Err(error) => error,
            };
            if let Some(interrupted) = away(&error) {
                return Err(interrupted);
            }
            // A definition was Established a moment ago, and not every part of the server knows yet.
            let fresh = scene.defined.contains(&(object.key.group.clone(), object.key.kind.clone()));
            let fate = match error {
                ClusterError::NotServed(_) if fresh => Fate::Retry { after: None },
                _ => error.fate(),
            };
            match (fate, error) {
                (Fate::Look, _) if looks < LOOKS => looks += 1,
                (Fate::Retry { after }, error) if tries < TRIES => {
                    if matches!(error, ClusterError::Busy { .. } | ClusterError::Timeout(_)) {
                        self.pace.busy();
                    }
                    let pause = after.unwrap_or(PAUSE * 2_u32.saturating_pow(tries)).min(LONGEST_PAUSE);
                    tokio::time::sleep(pause).await;
                    tries += 1;
                }
                (_, ClusterError::Conflict(fields)) => {
                    let troubled = Troubled { object: object.key.clone(), fields };
                    return Ok(if tries == 0 { Sent::Held(troubled) } else { Sent::Disputed(troubled) });
                }
                (Fate::Retry { .. }, error) => return Ok(Sent::Unsure(error.to_string())),
                (_, error) => return Ok(refused(error.to_string())),
            }
            // A request without an answer may have been carried out; only the cluster knows.
            action = match self.look_again(scene, object).await? {
                Ok(action) => action,
                Err(why) => return Ok(Sent::Unsure(why)),
            };
        }
    }

    async fn apply(
        &self,
        scene: &Scene,
        object: &Desired,
        onto: &Onto,
    ) -> Result<Result<Applied, ClusterError>, Interrupted> {
        let Some(content) = scene.set.objects.get(&object.key) else {
            return Ok(Err(ClusterError::NotFound("it is not in the set".to_owned())));
        };
        if let Some(why) = scene.sealed.get(&object.key) {
            return Ok(Err(ClusterError::Unsendable(why.clone())));
        }
        let resource = match scene.cluster.resource(&object.api_version, &object.key.kind).await {
            Ok(resource) => resource,
            Err(error) => return Ok(Err(error)),
        };
        let _permit = self.permit()?;
        let owner = &scene.owner;
        let write = Write { resource: &resource, key: &object.key, object: &content.json, owner, onto };
        Ok(scene.cluster.apply(write, self.world.hash_key).await)
    }

    /// Decides anew for one object, by what is there now.
    ///
    /// The server refused what we believed; the reason may be that another worker has the job and went further. A look
    /// at the cluster alone would bring us up to date with that worker's writes, only to write over them.
    async fn look_again(&self, scene: &Scene, object: &Desired) -> Result<Result<Action, String>, Interrupted> {
        self.confirm().await?;
        let live = match look_at(&scene.cluster, object, &scene.set, self.world.hash_key).await {
            Ok(live) => live,
            Err(ClusterError::NotServed(_)) => Live::Absent,
            Err(error) => match away(&error) {
                Some(interrupted) => return Err(interrupted),
                None => return Ok(Err(error.to_string())),
            },
        };
        // The row may say more than when the run began only if we wrote it; this object's is as it was, or was grown.
        let row = scene.recorded.get(&object.key).cloned().unwrap_or_else(|| Recorded {
            key: object.key.clone(),
            api_version: object.api_version.clone(),
            uid: None,
            hash: object.hash,
            resource_version: None,
            live: None,
        });
        let live = BTreeMap::from([(object.key.clone(), live)]);
        let recorded = BTreeMap::from([(object.key.clone(), row)]);
        let plan = plan(&scene.owner, std::slice::from_ref(object), &recorded, &live, PruneRule::Off);
        let action = plan.actions.into_iter().next().map(|(_, _, action)| action);
        Ok(action.ok_or_else(|| "it is in no plan".to_owned()))
    }

    /// Definitions must be Established before an object of theirs can be sent.
    async fn await_definitions(&self, scene: &Scene, outcome: &mut Outcome) -> Result<(), Interrupted> {
        let bad: Vec<_> = outcome.failed.iter().map(|failure| failure.object.clone()).collect();
        let sent = scene.plan.actions.iter().filter(|(phase, object, action)| {
            *phase == Phase::Definitions
                && !matches!(action, Action::Unchanged { .. } | Action::Blocked(_))
                && !bad.contains(&object.key)
        });
        let sent: Vec<_> = sent.map(|(_, object, _)| object).collect();
        if sent.is_empty() {
            return Ok(());
        }
        self.wait(scene, &sent, ESTABLISHED, outcome).await?;
        match scene.cluster.served_now().await {
            Ok(_) => Ok(()),
            // Each object of a kind that is not known will say so itself.
            Err(error) => away(&error).map_or(Ok(()), Err),
        }
    }

    /// Watches everything that can be well or not.
    pub(super) async fn watch(&self, scene: &Scene, outcome: &mut Outcome) -> Result<(), Interrupted> {
        let limit = Duration::from_secs(scene.rules.timeout_seconds);
        let waiting: Vec<_> = scene
            .plan
            .actions
            .iter()
            .map(|(_, object, _)| object)
            .filter(|object| scene.set.objects.get(&object.key).is_some_and(|whole| waits(&object.key, &whole.json)))
            .collect();
        self.wait(scene, &waiting, limit, outcome).await
    }

    pub(super) async fn wait(
        &self,
        scene: &Scene,
        objects: &[&Desired],
        limit: Duration,
        outcome: &mut Outcome,
    ) -> Result<(), Interrupted> {
        let mut watched = Vec::new();
        for object in objects {
            match scene.cluster.resource(&object.api_version, &object.key.kind).await {
                Ok(resource) => watched.push(Watched { resource, key: object.key.clone(), until: Until::Well }),
                Err(error) => {
                    if let Some(interrupted) = away(&error) {
                        return Err(interrupted);
                    }
                    outcome.unhealthy.push(Failure { object: object.key.clone(), why: error.to_string() });
                }
            }
        }
        let verdict = self.verdict(scene, &watched, limit).await?;
        let unknown = |(object, health): (&ObjectKey, &Health)| match health {
            Health::Unknown(why) => Some(Kept { object: object.clone(), why: why.clone() }),
            Health::Healthy | Health::Progressing(_) | Health::Failed(_) => None,
        };
        outcome.unjudged.extend(verdict.0.iter().filter_map(unknown));
        outcome.unhealthy.extend(unwell(verdict, limit));
        Ok(())
    }

    /// Watches until all is as awaited, the time is over, or the worker is told to stop; gives what is not.
    pub(super) async fn until(
        &self,
        scene: &Scene,
        watched: &[Watched],
        limit: Duration,
    ) -> Result<Vec<Failure>, Interrupted> {
        Ok(unwell(self.verdict(scene, watched, limit).await?, limit))
    }

    /// How each was when the watch ended.
    pub(super) async fn verdict(
        &self,
        scene: &Scene,
        watched: &[Watched],
        limit: Duration,
    ) -> Result<Verdict, Interrupted> {
        if watched.is_empty() {
            return Ok(Verdict::default());
        }
        // It may be long, and is no work: others have the turn and the slot meanwhile.
        scene.turn.leave();
        let rest = self.lease.rests();
        let rules = ByRule::new(self.world.renderer, &scene.health);
        let verdict = tokio::select! {
            verdict = scene.cluster.watch(watched, limit, &rules) => verdict,
            () = self.lease.stopping() => return Err(Interrupted::Stopping),
            () = self.asked_back(scene.environment.id) => return Err(Interrupted::Unwanted),
        };
        drop(rest);
        scene.turn.take(self.lease).await?;
        Ok(hidden(scene, verdict))
    }
}
