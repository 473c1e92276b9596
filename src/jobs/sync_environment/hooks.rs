//! Act: hooks, one after the other by their weights, each once for a rendered set and a moment of it.
//!
//! ```text
//!   row written ─ object made (it carries which run it is) ─ its uid recorded ─ awaited ─ its end recorded
//! ```
//!
//! A worker may die between any two of these. The next one finds the row, and by it the object, so nothing is run a
//! second time: neither in this deployment nor in a later one of the same set. Only what failed is run again, by a deployment
//! that somebody asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::{Applied, ClusterError, Deleted, Fate, Onto, Resource, Until, Watched, Write};
use crate::db::hook_runs::{self, Ended, HookRun, Which};
use crate::db::rollbacks;
use crate::ids::ObjectKey;
use crate::manifest::{Act, Deletes, Hook, Object, When, apply_order, hook};
use crate::sync::health::done;
use crate::sync::{Failure, HOOK_RUN_ANNOTATION, Health, OWNER_ANNOTATION, Outcome, Step};

use super::gather::Scene;
use super::{Interrupted, Run, away};

/// How often a hook's object is looked at again because it changed under our hands, or the server was busy.
const TRIES: u32 = 6;
/// The first pause of a busy server; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// How long an object of an earlier run may take to be gone.
const GONE: Duration = Duration::from_secs(60);

/// A run's object, as far as it is there.
enum Found {
    /// It is there, with this uid.
    Made { uid: String },
    /// Nothing has its name.
    Nothing,
    /// An object of an earlier run of ours has its name.
    Earlier { uid: String },
    /// What has its name is not ours.
    Foreign,
}

impl Run<'_> {
    /// What is run at this moment, in its order. A deployment that goes back runs nothing: what a version needs before it was
    /// done when it came, and a migration that ran since is not undone by running an older one.
    pub(super) async fn hooks_of<'s>(
        &self,
        scene: &'s Scene,
        when: When,
    ) -> Result<Vec<(&'s Object, Hook)>, Interrupted> {
        let hooks = of_set(scene, when);
        if hooks.is_empty() {
            return Ok(hooks);
        }
        let id = scene.deployment.new.id;
        let mut conn = self.world.pool.acquire().await?;
        let goes_back = rollbacks::of(&mut conn, &[id]).await?.contains_key(&id);
        Ok(if goes_back { Vec::new() } else { hooks })
    }

    /// Whether a hook of the set is still to be run, or what it left behind to be cleared up.
    pub(super) async fn is_hook_due(&self, scene: &Scene) -> Result<bool, Interrupted> {
        let (environment, set) = (scene.environment.id, &scene.deployment.new.to.set);
        for when in When::ALL {
            let hooks = self.hooks_of(scene, when).await?;
            if hooks.is_empty() {
                continue;
            }
            let mut conn = self.world.pool.acquire().await?;
            let well = hook_runs::ended_well(&mut conn, environment, set, when).await?;
            let is_left =
                |object: &Object, hook: &Hook| self.took_over(scene) && is_cleared_up(object, hook, &Ended::Well);
            if hooks.iter().any(|&(object, ref hook)| !well.contains(&object.key) || is_left(object, hook)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether another worker may have died with this deployment.
    fn took_over(&self, scene: &Scene) -> bool {
        scene.deployment.new.fence != self.job.fence
    }

    /// Runs the hooks of this moment; the first that does not end well is the last.
    pub(super) async fn run_hooks(&self, scene: &Scene, when: When, outcome: &mut Outcome) -> Result<(), Interrupted> {
        let hooks = self.hooks_of(scene, when).await?;
        // Whoever ran them may have died before it cleared up.
        let mut is_to_clear = self.took_over(scene);
        for &(object, ref hook) in &hooks {
            let set = &scene.deployment.new.to.set;
            let (environment, api_version) = (scene.environment.id, object.api_version.as_str());
            let which = Which { environment, set, key: &object.key, api_version, when };
            let mut tx = self.begin().await?;
            let run = hook_runs::begin(&mut tx, which, scene.deployment.new.id).await?;
            tx.commit().await?;
            self.observe(Step::HookBegun);
            let ended = match run.ended.clone() {
                Some(Ended::Well) => continue,
                Some(ended) => ended,
                None => {
                    let ended = match Box::pin(self.run_hook(scene, object, which, &run)).await? {
                        Ended::Badly(why) => Ended::Badly(scene.hide(&why)),
                        ended => ended,
                    };
                    if ended == Ended::Well {
                        outcome.hooks += 1;
                    }
                    ended
                }
            };
            is_to_clear = true;
            if let Ended::Badly(why) = &ended {
                let why = format!("the {} {why}", hook.label());
                outcome.unhealthy.push(Failure { object: object.key.clone(), why });
                // What its pods say goes with them.
                Box::pin(self.explain(scene, outcome)).await?;
            }
            let mut tx = self.begin().await?;
            hook_runs::end(&mut tx, which, &ended).await?;
            tx.commit().await?;
            self.observe(Step::HookEnded);
            if ended != Ended::Well {
                // What ended well before it stays: the next run of these needs it again.
                return self.clear_up(scene, (object, hook), when, &ended).await;
            }
        }
        if is_to_clear {
            // Not before the last has ended, and the last first: one may need what another made.
            for &(object, ref hook) in hooks.iter().rev() {
                self.clear_up(scene, (object, hook), when, &Ended::Well).await?;
            }
        }
        Ok(())
    }

    /// Makes its object, unless that was done, and waits for its end.
    async fn run_hook(
        &self,
        scene: &Scene,
        object: &Object,
        which: Which<'_>,
        run: &HookRun,
    ) -> Result<Ended, Interrupted> {
        let resource = match scene.cluster.resource(&object.api_version, &object.key.kind).await {
            Ok(resource) => resource,
            Err(error) => return away(&error).map_or_else(|| Ok(could_not(&error)), Err),
        };
        let mark = format!("{}{}", marks(scene, which.when), run.attempt);
        let uid = match Box::pin(self.make(scene, object, &resource, run, &mark)).await? {
            Ok(uid) => uid,
            Err(ended) => return Ok(ended),
        };
        if run.uid.is_none() {
            self.observe(Step::HookSent);
            let mut tx = self.begin().await?;
            hook_runs::made(&mut tx, which, &uid).await?;
            tx.commit().await?;
            self.observe(Step::HookRecorded);
        }
        if !is_awaited(&object.key) {
            return Ok(Ended::Well);
        }
        let until = Until::Done { uid: uid.clone() };
        let watched = [Watched { resource: resource.clone(), key: object.key.clone(), until }];
        let limit = Duration::from_secs(scene.rules.timeout_seconds);
        let verdict = self.verdict(scene, &watched, limit).await?;
        let health = verdict.0.into_values().next();
        Ok(match health {
            Some(Health::Healthy) => Ended::Well,
            Some(Health::Failed(why) | Health::Unknown(why)) => Ended::Badly(why),
            Some(Health::Progressing(why)) => {
                // What could not be seen may have ended all the same, and would be run a second time.
                let last = scene.cluster.get(&resource, &object.key).await;
                if let Err(error) = &last
                    && matches!(error.fate(), Fate::Away | Fate::Retry { .. })
                {
                    return Err(Interrupted::Away(error.to_string()));
                }
                let is_this =
                    |live: &Value| live.pointer("/metadata/uid").and_then(Value::as_str) == Some(uid.as_str());
                match last {
                    Ok(Some(live)) if is_this(&live) && done(&object.key, &live) == Health::Healthy => Ended::Well,
                    _ => Ended::Badly(format!("did not end within {} s: {why}", limit.as_secs())),
                }
            }
            None => Ended::Badly("was not watched".to_owned()),
        })
    }

    /// The uid of this run's object: the one that is there, or one that is made now.
    async fn make(
        &self,
        scene: &Scene,
        object: &Object,
        resource: &Resource,
        run: &HookRun,
        mark: &str,
    ) -> Result<Result<String, Ended>, Interrupted> {
        let mut tries = 0;
        loop {
            let error = match self.find_hook(scene, object, resource, mark).await {
                Ok(Found::Made { uid }) => return Ok(Ok(uid)),
                Ok(Found::Foreign) => {
                    let why = "cannot be run: an object of that name is there, and is not this environment's";
                    return Ok(Err(Ended::Badly(why.to_owned())));
                }
                Ok(Found::Nothing | Found::Earlier { .. }) if run.uid.is_some() => {
                    return Ok(Err(Ended::Badly("was deleted before its end was seen".to_owned())));
                }
                Ok(Found::Earlier { uid }) => match self.remove(scene, object, resource, &uid).await? {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Ok(Found::Nothing) => match self.send_hook(scene, object, resource, mark, &Onto::Nothing).await? {
                    Ok(applied) => return Ok(Ok(applied.uid)),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if let Some(interrupted) = away(&error) {
                return Err(interrupted);
            }
            match error.fate() {
                Fate::Look | Fate::Retry { .. } if tries < TRIES => {
                    if let Fate::Retry { after } = error.fate() {
                        tokio::time::sleep(after.unwrap_or(PAUSE * 2_u32.saturating_pow(tries)).min(GONE)).await;
                    }
                    tries += 1;
                    // Somebody else may have the job by now, and may have made it.
                    self.confirm().await?;
                }
                Fate::Away | Fate::Held | Fate::Never | Fate::Look | Fate::Retry { .. } => {
                    return Ok(Err(could_not(&error)));
                }
            }
        }
    }

    async fn find_hook(
        &self,
        scene: &Scene,
        object: &Object,
        resource: &Resource,
        mark: &str,
    ) -> Result<Found, ClusterError> {
        let Some(live) = scene.cluster.get(resource, &object.key).await? else { return Ok(Found::Nothing) };
        let annotation = |name: &str| live.pointer("/metadata/annotations")?.get(name)?.as_str().map(str::to_owned);
        let uid = live.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned();
        if annotation(OWNER_ANNOTATION).as_deref() != Some(scene.owner.as_str()) {
            return Ok(Found::Foreign);
        }
        let found = annotation(HOOK_RUN_ANNOTATION).unwrap_or_default();
        let of = |mark: &str| mark.rsplit_once('/').map(|(of, _)| of.to_owned());
        // An attempt that nobody waited for any longer may have ended well since: that is this one's end, too.
        let has_ended_well =
            || of(&found) == of(mark) && is_awaited(&object.key) && done(&object.key, &live) == Health::Healthy;
        let is_this = found == mark || has_ended_well();
        Ok(if is_this { Found::Made { uid } } else { Found::Earlier { uid } })
    }

    async fn send_hook(
        &self,
        scene: &Scene,
        object: &Object,
        resource: &Resource,
        mark: &str,
        onto: &Onto,
    ) -> Result<Result<Applied, ClusterError>, Interrupted> {
        let mut json = object.json.clone();
        json["metadata"]["annotations"][HOOK_RUN_ANNOTATION] = mark.into();
        if *onto == Onto::Nothing
            && let Some(spec) = json.pointer_mut("/spec").and_then(Value::as_object_mut)
        {
            // A Job that is removed by itself could be gone before its end was seen, and would be run again.
            spec.remove("ttlSecondsAfterFinished");
        }
        self.confirm().await?;
        let _permit = self.permit()?;
        let write = Write { resource, key: &object.key, object: &json, owner: &scene.owner, onto };
        Ok(scene.cluster.apply(write, self.world.hash_key).await)
    }

    /// Deletes exactly this one, and waits until it is gone.
    async fn remove(
        &self,
        scene: &Scene,
        object: &Object,
        resource: &Resource,
        uid: &str,
    ) -> Result<Result<(), ClusterError>, Interrupted> {
        self.confirm().await?;
        let permit = self.permit()?;
        let deleted = scene.cluster.delete(resource, &object.key, uid, None).await;
        drop(permit);
        match deleted {
            Ok(Deleted::Gone | Deleted::Recreated) => Ok(Ok(())),
            Ok(Deleted::Pending(holders)) => {
                let until = Until::Gone { uid: uid.to_owned() };
                let watched = [Watched { resource: resource.clone(), key: object.key.clone(), until }];
                let left = self.until(scene, &watched, GONE).await?;
                let held = format!("one of an earlier run is still being deleted, held up by {}", holders.join(", "));
                Ok(if left.is_empty() { Ok(()) } else { Err(ClusterError::NotFound(held)) })
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// What its policy says of its object. That it could not be deleted is no failure of the sync: the next run deletes it.
    async fn clear_up(
        &self,
        scene: &Scene,
        (object, hook): (&Object, &Hook),
        when: When,
        ended: &Ended,
    ) -> Result<(), Interrupted> {
        if !is_cleared_up(object, hook, ended) {
            return Ok(());
        }
        let Ok(resource) = scene.cluster.resource(&object.api_version, &object.key.kind).await else { return Ok(()) };
        let Ok(Some(live)) = scene.cluster.get(&resource, &object.key).await else { return Ok(()) };
        let text = |pointer: &str| live.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let annotation = |name: &str| live.pointer("/metadata/annotations").and_then(|all| all.get(name)?.as_str());
        let Some(mark) = annotation(HOOK_RUN_ANNOTATION) else { return Ok(()) };
        // One that runs at both moments may be running at the other.
        if annotation(OWNER_ANNOTATION) != Some(scene.owner.as_str()) || !mark.starts_with(&marks(scene, when)) {
            return Ok(());
        }
        let cleared = if hook.deletes.contains(&policy(ended)) {
            self.remove(scene, object, &resource, text("/metadata/uid")).await?
        } else {
            let resource_version = text("/metadata/resourceVersion").to_owned();
            let onto = Onto::This { uid: text("/metadata/uid").to_owned(), resource_version };
            self.send_hook(scene, object, &resource, mark, &onto).await?.map(|_| ())
        };
        if let Err(error) = cleared {
            let error = scene.hide(&error.to_string());
            tracing::warn!(object = %object.key, error, "cannot clear up after a hook");
        }
        Ok(())
    }
}

/// The hooks of a set that run at this moment, in their order.
fn of_set(scene: &Scene, when: When) -> Vec<(&Object, Hook)> {
    let act = if scene.environment.healthy.is_some() { Act::Upgrade } else { Act::Install };
    let all = scene.set.objects.iter().filter_map(|(key, object)| Some((key, (object, hook(&object.json)?))));
    let mut all: BTreeMap<_, _> = all.filter(|(_, (_, hook))| hook.runs(act, when)).collect();
    let in_order = apply_order(all.keys().copied());
    let mut hooks: Vec<_> = in_order.into_iter().filter_map(|key| all.remove(key)).collect();
    hooks.sort_by_key(|(_, hook)| hook.weight);
    hooks
}

/// How the marks of all attempts at this set and moment begin.
fn marks(scene: &Scene, when: When) -> String {
    format!("{}/{}/", scene.deployment.new.to.set, when.as_str())
}

/// What deletes its object at such an end.
fn policy(ended: &Ended) -> Deletes {
    if *ended == Ended::Well { Deletes::Succeeded } else { Deletes::Failed }
}

/// Whether anything is done about its object at such an end: it is deleted, or is given the time to live that was kept back.
fn is_cleared_up(object: &Object, hook: &Hook, ended: &Ended) -> bool {
    hook.deletes.contains(&policy(ended)) || object.json.pointer("/spec/ttlSecondsAfterFinished").is_some()
}

/// What has an end. Anything else that is a hook is there for one that has.
fn is_awaited(key: &ObjectKey) -> bool {
    matches!((key.group.as_str(), key.kind.as_str()), ("batch", "Job") | ("", "Pod"))
}

fn could_not(error: &ClusterError) -> Ended {
    Ended::Badly(format!("could not be run: {error}"))
}
