//! Act, last: what the cluster says of what is not well. Only reads.

use std::time::Duration;

use crate::cluster::Verdict;
use crate::ids::ObjectKey;
use crate::jobs::gather::opened::WITHHELD;
use crate::manifest::without_secrets;
use crate::sync::{Explained, Failure, Health, Outcome, explain};

use super::gather::Scene;
use super::{Interrupted, Run};

/// Objects that are explained; the first is what a person looks at.
const OBJECTS: usize = 3;
/// How long it may take: the news is that it failed, and that does not wait.
const LIMIT: Duration = Duration::from_secs(20);

impl Scene {
    /// Words of others that are stored and shown: a webhook that judges one object may have read another. Of what stays sealed nobody
    /// here knows what to hide, while it may well run in the cluster.
    pub(super) fn hide(&self, text: &str) -> String {
        let is_ours = || self.sealed.values().any(|why| why == text);
        if !self.sealed.is_empty() && !is_ours() {
            return WITHHELD.to_owned();
        }
        without_secrets(text, self.set.objects.values().map(|object| &object.json))
    }
}

impl Run<'_> {
    /// Of each once: what a hook's pods said is asked before they go.
    pub(super) async fn explain(&self, scene: &Scene, outcome: &mut Outcome) -> Result<(), Interrupted> {
        let redact = |text: &str| scene.hide(text);
        let look = async {
            let mut explained = Vec::new();
            let known = |key: &ObjectKey| outcome.explained.iter().any(|one: &Explained| one.object == *key);
            for failure in outcome.unhealthy.iter().take(OBJECTS).filter(|failure| !known(&failure.object)) {
                let Some(object) = scene.set.objects.get(&failure.object) else { continue };
                let Ok(resource) = scene.cluster.resource(&object.api_version, &object.key.kind).await else {
                    continue;
                };
                let evidence = Box::pin(scene.cluster.evidence(&resource, &object.key)).await;
                let lines = explain::lines(&evidence, &redact);
                if !lines.is_empty() {
                    explained.push(Explained { object: object.key.clone(), lines });
                }
            }
            explained
        };
        let explained = tokio::select! {
            explained = tokio::time::timeout(LIMIT, look) => explained.unwrap_or_default(),
            () = self.lease.stopping() => return Err(Interrupted::Stopping),
        };
        outcome.explained.extend(explained);
        Ok(())
    }
}

/// The same in words that are stored and shown: a condition may quote what its controller read in a Secret.
pub(super) fn hidden(scene: &Scene, verdict: Verdict) -> Verdict {
    let secrets = scene.set.objects.iter().filter(|(key, _)| key.group.is_empty() && key.kind == "Secret");
    let secrets: Vec<_> = secrets.map(|(_, object)| &object.json).collect();
    let without = |why: &str| match scene.sealed.is_empty() {
        true => without_secrets(why, secrets.iter().copied()),
        false => WITHHELD.to_owned(),
    };
    let of_one = |(key, health): (ObjectKey, Health)| {
        let health = match health {
            Health::Healthy => Health::Healthy,
            Health::Progressing(why) => Health::Progressing(without(&why)),
            Health::Failed(why) => Health::Failed(without(&why)),
            Health::Unknown(why) => Health::Unknown(without(&why)),
        };
        (key, health)
    };
    Verdict(verdict.0.into_iter().map(of_one).collect())
}

/// What is not as awaited. Of what nothing tells nobody says that it is wrong.
pub(super) fn unwell(verdict: Verdict, limit: Duration) -> Vec<Failure> {
    let not_well = |(object, health): (ObjectKey, Health)| {
        let why = match health {
            Health::Healthy | Health::Unknown(_) => return None,
            Health::Progressing(why) => format!("{why} (waited {} s)", limit.as_secs()),
            Health::Failed(why) => why,
        };
        Some(Failure { object, why })
    };
    verdict.0.into_iter().filter_map(not_well).collect()
}
