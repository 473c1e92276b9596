//! Each suspect is read in full; where its fields have other values, the server is asked what an apply would change.

use std::collections::{BTreeMap, BTreeSet};

use futures::{FutureExt as _, StreamExt as _, stream};
use serde_json::{Value, json};

use super::{Asked, NAMED, Scene, WIDTH};
use crate::audit;
use crate::cluster::{ClusterError, Differs, Fate, Inspected, Onto, Ours, Write};
use crate::db::drift::{self, Settled};
use crate::db::watches;
use crate::ids::ObjectKey;
use crate::jobs::error::JobError;
use crate::jobs::gather::there::{Look, find};
use crate::manifest::{RenderedSet, is_sealed};
use crate::queue;
use crate::sync::Live;
use crate::sync::drift::{Drift, Glance, Mark, What, but_for_scalers, glance};

/// Said of a sealed Secret whose values nobody can compare or put back for the moment.
pub(super) const SEALED: &str =
    "it is sealed and cannot be opened now, so its values are not compared or put back: a sync says why";
/// How often an object is read again that changes while it is looked at.
const LOOKS: u32 = 3;

/// What a look came to.
pub(super) enum Looked {
    Settled(Settled),
    Drifted(Drift, Option<Mark>),
    /// Not: it stays suspect.
    Unsure(ClusterError),
}

impl Scene<'_> {
    /// Looks at every suspect, and records what was found.
    pub(super) async fn look(&self, asked: Asked) -> Result<(), JobError> {
        let mut conn = self.context.pool.acquire().await?;
        let suspects = watches::suspects(&mut conn, self.environment.id, &self.cluster_uid).await?;
        let of = drift::Which { environment: Some(self.environment.id), ..drift::Which::default() };
        // A sync may have put right by now what was known to have drifted.
        let open = drift::list(&mut conn, &of, i64::MAX).await?.into_iter().map(|one| one.key);
        drop(conn);
        let mut keys: BTreeSet<ObjectKey> =
            suspects.into_iter().chain(open).filter(|key| self.recorded.contains_key(key)).collect();
        if asked == Asked::ByAPerson {
            keys.extend(self.moved().await?);
        }
        if keys.is_empty() {
            return Ok(());
        }
        let keys: Vec<ObjectKey> = keys.into_iter().collect();
        let contents = self.contents(&keys).await?;
        let contents = &contents;
        let looks: Vec<_> =
            keys.iter().map(|key| async move { (key, self.look_at(key, contents).await) }.boxed()).collect();
        let looks = stream::iter(looks).buffer_unordered(WIDTH).collect::<Vec<_>>().await;
        self.record(looks).await
    }

    /// What a list of metadata shows to have moved since it was looked at, or could not show: nobody knows whether a watch told of it.
    async fn moved(&self) -> Result<Vec<ObjectKey>, JobError> {
        let defined = BTreeSet::new();
        let mut look = Look { cluster: &self.cluster, defined: &defined, live: BTreeMap::new() };
        look.at_all(&[], &self.recorded).await?;
        let has_moved = |key: &&ObjectKey| match (look.live.get(key), self.recorded.get(key)) {
            (Some(Live::Absent), Some(_)) => true,
            (Some(Live::Seen(seen)), Some(recorded)) => {
                recorded.uid.as_ref() != Some(&seen.uid)
                    || recorded.resource_version.as_ref() != Some(&seen.resource_version)
            }
            (Some(Live::Unknown(_)) | None, Some(_)) => true,
            (_, None) => false,
        };
        Ok(self.recorded.keys().filter(has_moved).cloned().collect())
    }

    /// One object, as it is now.
    pub(super) async fn look_at(&self, key: &ObjectKey, contents: &RenderedSet) -> Looked {
        let mut looks = 0;
        loop {
            match self.try_looking(key, contents).await {
                Ok(looked) => return looked,
                Err(ClusterError::NotServed(what)) if contents.objects.contains_key(key) => {
                    return self.without_its_kind(key, what).await;
                }
                Err(error) if error.fate() == Fate::Look && looks < LOOKS => looks += 1,
                Err(error) => return Looked::Unsure(error),
            }
        }
    }

    /// With a definition go all objects of its kind. But a server behind the cluster's that is silent takes nothing away.
    async fn without_its_kind(&self, key: &ObjectKey, what: String) -> Looked {
        match self.cluster.has_no(&key.group, &key.kind).await {
            Ok(true) => {
                let detail = Some("the cluster does not have its kind any more".to_owned());
                Looked::Drifted(Drift { what: What::Gone, fields: Vec::new(), by: Vec::new(), detail }, None)
            }
            Ok(false) => Looked::Unsure(ClusterError::NotServed(what)),
            Err(error) => Looked::Unsure(error),
        }
    }

    async fn try_looking(&self, key: &ObjectKey, contents: &RenderedSet) -> Result<Looked, ClusterError> {
        let rest = |mark| Looked::Settled(Settled { mark, resource_version: None, live: None });
        // It was written ahead, and no answer came: only a sync finds out.
        let Some(recorded) = self.recorded.get(key).filter(|one| one.uid.is_some()) else { return Ok(rest(None)) };
        let sent = contents.objects.get(key);
        let resource = find(&self.cluster, &recorded.api_version, &key.kind, Some(key)).await?;
        let content = sent.map_or(&Value::Null, |object| &object.json);
        let found = self.cluster.inspect(&resource, key, content, &self.context.hash_key).await?;
        let mark = found.as_ref().map(|found| found.mark);
        // It was kept when it left the set, or its sync failed: nobody says how it should be.
        if sent.is_none() {
            return Ok(rest(mark));
        }
        // It ended, and went as it was asked to: to make it again would be to run it again.
        if found.is_none() && goes_by_itself(key, content) {
            return Ok(rest(None));
        }
        let said = glance(&self.owner, recorded, found.as_ref().map(|found| &found.seen));
        let (Some(Inspected { seen, mark, live }), Glance::Ask) = (found, &said) else {
            return Ok(match said {
                Glance::Drifted(drift) => Looked::Drifted(drift, mark),
                Glance::Settled | Glance::Ask => rest(mark),
            });
        };
        if is_sealed(content) {
            let why = Some(SEALED.to_owned());
            let drift = Drift { what: What::Changed, fields: Vec::new(), by: Vec::new(), detail: why };
            return Ok(Looked::Drifted(drift, Some(mark)));
        }
        let onto = Onto::This { uid: seen.uid.clone(), resource_version: seen.resource_version.clone() };
        let content = but_for_scalers(content, &live);
        let write = Write { resource: &resource, key, object: &content, owner: &self.owner, onto: &onto };
        let changed = |fields, by, detail| Drift { what: What::Changed, fields, by, detail };
        Ok(match self.cluster.differs(write, &live, &self.context.hash_key).await {
            // The server rewrites it so by itself: that is how it is from now on.
            Ok(Differs { fields, ours: Ours::All, .. }) if fields.is_empty() => {
                let resource_version = Some(seen.resource_version);
                Looked::Settled(Settled { mark: Some(mark), resource_version, live: seen.live })
            }
            // Another one has the field with our value: no drift, and the server is asked again when they write something else.
            Ok(Differs { fields, ours: Ours::Less, .. }) if fields.is_empty() => rest(Some(mark)),
            Ok(differs) => {
                let by = differs.hands.into_iter().map(|hand| hand.name).collect();
                Looked::Drifted(changed(differs.fields, by, None), Some(mark))
            }
            Err(ClusterError::Refused { .. }) if is_secret(key) => {
                let why = "the server would not take it back, and its words are not shown, since they may tell what is in there";
                Looked::Drifted(changed(Vec::new(), Vec::new(), Some(why.to_owned())), Some(mark))
            }
            Err(ClusterError::Refused { message, .. }) => {
                let why = format!("the server would not take it back: {}", self.words(&message).await);
                Looked::Drifted(changed(Vec::new(), Vec::new(), Some(why)), Some(mark))
            }
            Err(error) => return Err(error),
        })
    }

    /// Everything that was found, in one transaction.
    async fn record(&self, looks: Vec<(&ObjectKey, Looked)>) -> Result<(), JobError> {
        let now = self.context.clock.now();
        let (mut began, mut ended, mut unsure) = (Vec::new(), Vec::new(), None);
        let mut tx = self.context.pool.begin().await?;
        queue::confirm(&mut tx, self.job).await?;
        for (key, looked) in looks {
            match looked {
                Looked::Settled(settled) => {
                    if drift::settle(&mut tx, &self.cluster_uid, key, &settled, now).await? {
                        ended.push(json!({ "object": key.to_string() }));
                    }
                }
                Looked::Drifted(found, mark) => {
                    if drift::found(&mut tx, &self.cluster_uid, key, (&found, mark), now).await? {
                        began.push(told(key, &found));
                    }
                }
                Looked::Unsure(error) => {
                    tracing::warn!(object = %key, %error, "it cannot be told whether an object is as it was left");
                    // One that passes is tried again; another one would fail alike.
                    if matches!(error.fate(), Fate::Away | Fate::Retry { .. }) {
                        unsure = Some(error);
                    }
                }
            }
        }
        for (action, objects) in [("drift.began", began), ("drift.ended", ended)] {
            if objects.is_empty() {
                continue;
            }
            let more = objects.len().saturating_sub(NAMED);
            let named: Vec<Value> = objects.into_iter().take(NAMED).collect();
            let detail = json!({ "cluster": self.cluster_uid, "objects": named, "more": more });
            audit::append(&mut tx, &self.entry(action, detail)).await?;
        }
        tx.commit().await?;
        unsure.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// How the log has a drift: no value.
fn told(key: &ObjectKey, drift: &Drift) -> Value {
    json!({ "object": key.to_string(), "what": drift.what, "fields": drift.fields, "by": drift.by, "detail": drift.detail })
}

/// A Job that is deleted some time after its end.
fn goes_by_itself(key: &ObjectKey, content: &Value) -> bool {
    key.group == "batch" && key.kind == "Job" && content.pointer("/spec/ttlSecondsAfterFinished").is_some()
}

pub(super) fn is_secret(key: &ObjectKey) -> bool {
    key.group.is_empty() && key.kind == "Secret"
}
