//! Act: what left the set, as far as there is proof that it is ours.

use std::time::Duration;

use crate::cluster::{ClusterError, Deleted, Fate, Resource, Until, Watched};
use crate::db::destructions::Destruction;
use crate::db::inventory;
use crate::ids::ObjectKey;
use crate::sync::{Failure, Kept, Live, Outcome, Prune, Recorded, Step, prune};

use super::destroy::stands;
use super::gather::Scene;
use super::{Interrupted, Run, away};
use crate::jobs::gather::there::find;

/// How long a deleted object may take to be gone before it is reported; what belongs to a namespace may take longer,
/// and the next sync looks again.
const GONE: Duration = Duration::from_secs(60);
/// How often a busy server is asked again for one delete.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);
/// How often one object is looked at again because it changed under our hands.
const LOOKS: u32 = 5;

/// Why an object that was made again under the name of ours stays.
pub(super) const ANEW: &str = "somebody else made it anew: it is not ours any more";

impl Run<'_> {
    /// One after the other, in the plan's order: what uses something goes before it, and what was sent in a later wave is gone before it.
    pub(super) async fn prune(&self, scene: &Scene, outcome: &mut Outcome) -> Result<(), Interrupted> {
        self.prune_while(scene, None, outcome).await
    }

    /// The same of everything, while what two people agreed on stands: [`Interrupted::Unwanted`] as soon as it does not.
    pub(super) async fn prune_as_agreed(
        &self,
        scene: &Scene,
        agreed: &Destruction,
        outcome: &mut Outcome,
    ) -> Result<(), Interrupted> {
        self.prune_while(scene, Some(agreed), outcome).await
    }

    async fn prune_while(
        &self,
        scene: &Scene,
        agreed: Option<&Destruction>,
        outcome: &mut Outcome,
    ) -> Result<(), Interrupted> {
        let mut pending = Vec::new();
        let mut round = None;
        for (of, row, verdict) in &scene.plan.prunes {
            if round.replace(*of).is_some_and(|before| before != *of) {
                self.confirm_gone(scene, std::mem::take(&mut pending), outcome).await?;
            }
            let keep = |why: &str| Kept { object: row.key.clone(), why: why.to_owned() };
            match verdict {
                Prune::Keep(why) => outcome.kept.push(keep(why)),
                Prune::Gone => self.forget(scene, &row.key).await?,
                Prune::Recreated => {
                    self.forget(scene, &row.key).await?;
                    outcome.kept.push(keep(ANEW));
                }
                Prune::Delete { .. } if !outcome.is_applied() => {
                    outcome.kept.push(keep("nothing is deleted while something could not be applied"));
                }
                Prune::Delete { .. } if !outcome.unhealthy.is_empty() => {
                    outcome.kept.push(keep("what goes before it is not gone yet"));
                }
                // With it everything in it, or of it, would go: what was just said to stay, too.
                Prune::Delete { .. } if holds_kept(&row.key, &outcome.kept) => {
                    outcome.kept.push(keep("something that stays would go with it"));
                }
                Prune::Delete { uid, resource_version } => {
                    pending.extend(self.delete((scene, agreed), row, (uid, resource_version), outcome).await?);
                }
            }
        }
        self.confirm_gone(scene, pending, outcome).await
    }

    /// What to wait for, when the server has begun and not ended.
    async fn delete(
        &self,
        (scene, agreed): (&Scene, Option<&Destruction>),
        row: &Recorded,
        (uid, version): (&str, &str),
        outcome: &mut Outcome,
    ) -> Result<Option<Watched>, Interrupted> {
        let (mut looks, mut tries) = (0, 0);
        let mut version = version.to_owned();
        let error = loop {
            let (resource, deleted) = self.try_delete((scene, agreed), row, uid, &version).await?;
            match deleted {
                Ok(Deleted::Gone) => {
                    self.observe(Step::DeleteSent);
                    self.forget(scene, &row.key).await?;
                    outcome.deleted += 1;
                    return Ok(None);
                }
                Ok(Deleted::Recreated) => {
                    self.forget(scene, &row.key).await?;
                    outcome.kept.push(Kept { object: row.key.clone(), why: ANEW.to_owned() });
                    return Ok(None);
                }
                Ok(Deleted::Pending(_)) => {
                    self.observe(Step::DeleteSent);
                    let until = Until::Gone { uid: uid.to_owned() };
                    return Ok(resource.map(|resource| Watched { resource, key: row.key.clone(), until }));
                }
                Err(ClusterError::Stale(_)) if looks < LOOKS => {
                    looks += 1;
                    // It changed since it was looked at: perhaps so that it is not to go.
                    match self.look_before_delete(scene, row, resource.as_ref()).await? {
                        Prune::Delete { uid: now, resource_version } if now == uid => version = resource_version,
                        Prune::Gone => {
                            self.forget(scene, &row.key).await?;
                            outcome.deleted += 1;
                            return Ok(None);
                        }
                        Prune::Delete { .. } | Prune::Recreated => {
                            self.forget(scene, &row.key).await?;
                            let why = ANEW.to_owned();
                            outcome.kept.push(Kept { object: row.key.clone(), why });
                            return Ok(None);
                        }
                        Prune::Keep(why) => {
                            outcome.kept.push(Kept { object: row.key.clone(), why });
                            return Ok(None);
                        }
                    }
                }
                Err(error) => match error.fate() {
                    Fate::Retry { after } if tries < TRIES => {
                        tokio::time::sleep(after.unwrap_or(PAUSE).min(PAUSE * 8)).await;
                        tries += 1;
                    }
                    Fate::Away | Fate::Look | Fate::Held | Fate::Never | Fate::Retry { .. } => break error,
                },
            }
        };
        if let Some(interrupted) = away(&error) {
            return Err(interrupted);
        }
        outcome.failed.push(Failure {
            object: row.key.clone(),
            why: format!("it could not be deleted: {}", scene.hide(&error.to_string())),
        });
        Ok(None)
    }

    async fn try_delete(
        &self,
        (scene, agreed): (&Scene, Option<&Destruction>),
        row: &Recorded,
        uid: &str,
        version: &str,
    ) -> Result<(Option<Resource>, Result<Deleted, ClusterError>), Interrupted> {
        let resource = match find(&scene.cluster, &row.api_version, &row.key.kind, Some(&row.key)).await {
            Ok(resource) => resource,
            Err(error) => return Ok((None, Err(error))),
        };
        // A uid does not tell whether the object is wanted again by now: only who has the job knows.
        let mut tx = self.begin().await?;
        if let Some(agreed) = agreed
            && !stands(&mut tx, scene.environment.id, agreed).await?
        {
            return Err(Interrupted::Unwanted);
        }
        tx.rollback().await?;
        let _permit = self.permit()?;
        let deleted = scene.cluster.delete(&resource, &row.key, uid, Some(version)).await;
        Ok((Some(resource), deleted))
    }

    /// Decides anew for one object, by what is there now.
    async fn look_before_delete(
        &self,
        scene: &Scene,
        row: &Recorded,
        resource: Option<&Resource>,
    ) -> Result<Prune, Interrupted> {
        let Some(resource) = resource else { return Ok(Prune::Keep("its kind is not served".to_owned())) };
        let live = match scene.cluster.glance(resource, &row.key).await {
            Ok(seen) => seen.map_or(Live::Absent, Live::Seen),
            Err(error) => match away(&error) {
                Some(interrupted) => return Err(interrupted),
                None => Live::Unknown(error.to_string()),
            },
        };
        Ok(prune(&scene.owner, row, live))
    }

    async fn confirm_gone(
        &self,
        scene: &Scene,
        pending: Vec<Watched>,
        outcome: &mut Outcome,
    ) -> Result<(), Interrupted> {
        let limit = GONE.min(Duration::from_secs(scene.rules.timeout_seconds));
        let left = self.until(scene, &pending, limit).await?;
        for watched in pending {
            if left.iter().all(|failure| failure.object != watched.key) {
                self.forget(scene, &watched.key).await?;
                outcome.deleted += 1;
            }
        }
        outcome.unhealthy.extend(left);
        Ok(())
    }

    /// The inventory shrinks only by what is confirmed gone or not ours.
    async fn forget(&self, scene: &Scene, key: &ObjectKey) -> Result<(), Interrupted> {
        let mut tx = self.begin().await?;
        inventory::forget(&mut tx, scene.environment.id, &scene.cluster_uid, key).await?;
        tx.commit().await?;
        self.observe(Step::ObjectForgotten);
        Ok(())
    }
}

/// Whether it is the namespace of something that stays, or the definition of its kind: of any kind of its group, since a definition is
/// named `plural.group` and a plural is nobody's to guess.
fn holds_kept(key: &ObjectKey, kept: &[Kept]) -> bool {
    let goes_with_it = |kept: &ObjectKey| match (key.group.as_str(), key.kind.as_str()) {
        ("", "Namespace") => kept.namespace.as_deref() == Some(key.name.as_str()),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            key.name.split_once('.').is_some_and(|(_, group)| group == kept.group)
        }
        _ => false,
    };
    kept.iter().any(|kept| goes_with_it(&kept.object))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(group: &str, kind: &str, namespace: Option<&str>, name: &str) -> ObjectKey {
        let words = |text: &str| text.to_owned();
        ObjectKey { group: words(group), kind: words(kind), namespace: namespace.map(words), name: words(name) }
    }

    #[test]
    fn what_would_take_something_that_stays_with_it_stays() {
        let kept = [key("shop.example.org", "Till", Some("shop"), "front")];
        let kept = kept.map(|object| Kept { object, why: "`bascule.dev/prune: never`".to_owned() });
        let definition = |name| key("apiextensions.k8s.io", "CustomResourceDefinition", None, name);
        for (object, stays) in [
            (key("", "Namespace", None, "shop"), true),
            (key("", "Namespace", None, "till"), false),
            (definition("tills.shop.example.org"), true),
            (definition("tills.example.org"), false),
            (definition("shop.example.org"), false),
            (key("", "ConfigMap", Some("shop"), "tills.shop.example.org"), false),
        ] {
            assert_eq!(holds_kept(&object, &kept), stays, "{object}");
        }
        assert!(!holds_kept(&definition("tills.shop.example.org"), &[]));
    }
}
