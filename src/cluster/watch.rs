//! Waiting until objects are well: one watch per kind and namespace, no polling.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::select_all;
use kube::Api;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};

use crate::ids::ObjectKey;
use crate::sync::Health;
use crate::sync::health::health;

use super::Cluster;
use super::discovery::Resource;

/// How every watched object was when the watch ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict(pub BTreeMap<ObjectKey, Health>);

impl Verdict {
    /// Whether nothing can change any more that is waited for: every object is well, or has failed.
    fn is_settled(&self) -> bool {
        !self.0.values().any(|health| matches!(health, Health::Progressing(_)))
    }
}

/// The objects of one watch.
struct Group {
    resource: Resource,
    namespace: Option<String>,
    names: BTreeMap<String, ObjectKey>,
    /// Names met since the watch began anew; what is missing at its end is not there.
    met: BTreeSet<String>,
}

impl Cluster {
    /// Watches until every object is well or has failed, or until `limit` is over. A watch that breaks begins anew; one
    /// that cannot begin says why in the verdict of its objects.
    pub async fn watch(&self, objects: &[(Resource, ObjectKey)], limit: Duration) -> Verdict {
        let not_seen =
            |(_, key): &(Resource, ObjectKey)| (key.clone(), Health::Progressing("was not seen yet".to_owned()));
        let mut verdict = Verdict(objects.iter().map(not_seen).collect());
        let mut groups = grouped(objects);
        let streams =
            groups.iter().enumerate().map(|(at, group)| self.events(group).map(move |event| (at, event)).boxed());
        let mut events = select_all(streams.collect::<Vec<_>>());
        let follow = async {
            while !verdict.is_settled() {
                let Some((at, event)) = events.next().await else { return };
                if let Some(group) = groups.get_mut(at) {
                    take(group, event, &mut verdict);
                }
            }
        };
        // Over time, what was seen last is the verdict.
        let _ = tokio::time::timeout(limit, follow).await;
        verdict
    }

    fn events(
        &self,
        group: &Group,
    ) -> impl futures::Stream<Item = watcher::Result<Event<DynamicObject>>> + Send + use<> {
        let Resource { api_version, group: api_group, kind, plural, .. } = &group.resource;
        let kind = ApiResource {
            group: api_group.clone(),
            version: api_version.rsplit('/').next().unwrap_or(api_version).to_owned(),
            api_version: api_version.clone(),
            kind: kind.clone(),
            plural: plural.clone(),
        };
        let client = self.0.client.clone();
        let api: Api<DynamicObject> = match &group.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &kind),
            None => Api::all_with(client, &kind),
        };
        let mut config = watcher::Config::default();
        if let (1, Some(name)) = (group.names.len(), group.names.keys().next()) {
            config = config.fields(&format!("metadata.name={name}"));
        }
        watcher(api, config).default_backoff()
    }
}

fn grouped(objects: &[(Resource, ObjectKey)]) -> Vec<Group> {
    let mut groups: BTreeMap<(String, String, Option<String>), Group> = BTreeMap::new();
    for (resource, key) in objects {
        let group = groups
            .entry((resource.api_version.clone(), resource.kind.clone(), key.namespace.clone()))
            .or_insert_with(|| Group {
                resource: resource.clone(),
                namespace: key.namespace.clone(),
                names: BTreeMap::new(),
                met: BTreeSet::new(),
            });
        group.names.insert(key.name.clone(), key.clone());
    }
    groups.into_values().collect()
}

fn take(group: &mut Group, event: watcher::Result<Event<DynamicObject>>, verdict: &mut Verdict) {
    let absent = || Health::Progressing("is not there".to_owned());
    match event {
        Ok(Event::Init) => group.met.clear(),
        Ok(Event::InitApply(object) | Event::Apply(object)) => {
            let name = object.metadata.name.clone().unwrap_or_default();
            let Some(key) = group.names.get(&name) else { return };
            group.met.insert(name);
            if let Ok(live) = serde_json::to_value(object) {
                verdict.0.insert(key.clone(), health(key, &live));
            }
        }
        Ok(Event::Delete(object)) => {
            if let Some(key) = object.metadata.name.as_ref().and_then(|name| group.names.get(name)) {
                verdict.0.insert(key.clone(), absent());
            }
        }
        Ok(Event::InitDone) => {
            for (_, key) in group.names.iter().filter(|(name, _)| !group.met.contains(*name)) {
                verdict.0.insert(key.clone(), absent());
            }
        }
        Err(error) => {
            let why = super::wire::unreachable(&error);
            for key in group.names.values() {
                if let Some(last @ Health::Progressing(_)) = verdict.0.get_mut(key) {
                    *last = Health::Progressing(format!("cannot be watched: {why}"));
                }
            }
        }
    }
}
