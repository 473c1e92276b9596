//! Waiting until objects are well, or gone: one watch per kind and namespace, no polling.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::select_all;
use futures::{FutureExt as _, StreamExt as _};
use kube::Api;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::Value;

use crate::ids::ObjectKey;
use crate::sync::Health;
use crate::sync::health::{before_any_rule, done, health};

use super::Cluster;
use super::discovery::Resource;

/// An object to wait for.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Its kind.
    pub resource: Resource,
    /// Which.
    pub key: ObjectKey,
    /// What to wait for.
    pub until: Until,
}

/// What to wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// It does what its spec says.
    Well,
    /// The one with this uid has come to its end.
    Done {
        /// Whom we mean; without it, its end was not seen.
        uid: String,
    },
    /// The one with this uid is not there any more.
    Gone {
        /// Whom we mean; another one of that name is none of our business.
        uid: String,
    },
}

/// Judges objects of kinds that somebody wrote a rule for.
pub trait Judges: Send + Sync {
    /// Whether there is a rule for it.
    fn has_rule(&self, key: &ObjectKey) -> bool;
    /// Whether that rule may still tell what it could not tell so far.
    fn may_tell(&self, key: &ObjectKey) -> bool;
    /// How they are, each as it is now.
    fn judge(&self, objects: BTreeMap<ObjectKey, Value>) -> BoxFuture<'_, BTreeMap<ObjectKey, Health>>;
}

/// No rules but the built-in ones.
#[derive(Debug, Clone, Copy)]
pub struct NoRules;

impl Judges for NoRules {
    fn has_rule(&self, _: &ObjectKey) -> bool {
        false
    }

    fn may_tell(&self, _: &ObjectKey) -> bool {
        false
    }

    fn judge(&self, _: BTreeMap<ObjectKey, Value>) -> BoxFuture<'_, BTreeMap<ObjectKey, Health>> {
        async { BTreeMap::new() }.boxed()
    }
}

/// How every watched object was when the watch ended; for one that is awaited gone, gone is healthy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict(pub BTreeMap<ObjectKey, Health>);

impl Verdict {
    /// Whether nothing can change any more that is waited for: every object is well, or has failed. What a rule cannot tell now
    /// it may tell of the next status.
    fn is_settled(&self, rules: &dyn Judges) -> bool {
        let is_awaited = |(key, health): (&ObjectKey, &Health)| match health {
            Health::Healthy | Health::Failed(_) => false,
            Health::Progressing(_) => true,
            Health::Unknown(_) => rules.may_tell(key),
        };
        !self.0.iter().any(is_awaited)
    }
}

/// The objects of one watch.
struct Group {
    resource: Resource,
    namespace: Option<String>,
    names: BTreeMap<String, (ObjectKey, Until)>,
    /// Names met since the watch began anew; what is missing at its end is not there.
    met: BTreeSet<String>,
}

impl Cluster {
    /// Watches until every object is as awaited or has failed, or until `limit` is over. A watch that breaks begins anew; one
    /// that cannot begin says why in the verdict of its objects.
    pub async fn watch(&self, objects: &[Watched], limit: Duration, rules: &dyn Judges) -> Verdict {
        let not_seen = |watched: &Watched| (watched.key.clone(), Health::Progressing("was not seen yet".to_owned()));
        let mut verdict = Verdict(objects.iter().map(not_seen).collect());
        let mut groups = grouped(objects);
        let streams =
            groups.iter().enumerate().map(|(at, group)| self.events(group).map(move |event| (at, event)).boxed());
        let mut events = select_all(streams.collect::<Vec<_>>());
        let follow = async {
            let mut unasked = BTreeMap::new();
            while !verdict.is_settled(rules) {
                let Some(first) = events.next().await else { return };
                let mut next = Some(first);
                // Asking takes a while: of what came meanwhile, the newest is asked about.
                while let Some((at, event)) = next {
                    if let Some(group) = groups.get_mut(at) {
                        take(group, event, rules, &mut unasked, &mut verdict);
                    }
                    next = events.next().now_or_never().flatten();
                }
                if !unasked.is_empty() {
                    verdict.0.extend(rules.judge(std::mem::take(&mut unasked)).await);
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

fn grouped(objects: &[Watched]) -> Vec<Group> {
    let mut groups: BTreeMap<(String, String, Option<String>), Group> = BTreeMap::new();
    for Watched { resource, key, until } in objects {
        let group = groups
            .entry((resource.api_version.clone(), resource.kind.clone(), key.namespace.clone()))
            .or_insert_with(|| Group {
                resource: resource.clone(),
                namespace: key.namespace.clone(),
                names: BTreeMap::new(),
                met: BTreeSet::new(),
            });
        group.names.insert(key.name.clone(), (key.clone(), until.clone()));
    }
    groups.into_values().collect()
}

/// Takes what happened; what a rule judges is put among what is `unasked`.
fn take(
    group: &mut Group,
    event: watcher::Result<Event<DynamicObject>>,
    rules: &dyn Judges,
    unasked: &mut BTreeMap<ObjectKey, Value>,
    verdict: &mut Verdict,
) {
    match event {
        Ok(Event::Init) => group.met.clear(),
        Ok(Event::InitApply(object) | Event::Apply(object)) => {
            let name = object.metadata.name.clone().unwrap_or_default();
            let Some((key, until)) = group.names.get(&name) else { return };
            group.met.insert(name);
            unasked.remove(key);
            if *until == Until::Well && rules.has_rule(key) {
                match by_rule(object) {
                    Ok(live) => drop(unasked.insert(key.clone(), live)),
                    Err(known) => drop(verdict.0.insert(key.clone(), known)),
                }
                return;
            }
            verdict.0.insert(key.clone(), judge(key, until, object));
        }
        Ok(Event::Delete(object)) => {
            if let Some((key, until)) = object.metadata.name.as_ref().and_then(|name| group.names.get(name)) {
                unasked.remove(key);
                verdict.0.insert(key.clone(), without(until));
            }
        }
        Ok(Event::InitDone) => {
            for (_, (key, until)) in group.names.iter().filter(|(name, _)| !group.met.contains(*name)) {
                verdict.0.insert(key.clone(), without(until));
            }
        }
        Err(error) => {
            let why = super::wire::unreachable(&error);
            for (key, _) in group.names.values() {
                if let Some(last @ Health::Progressing(_)) = verdict.0.get_mut(key) {
                    *last = Health::Progressing(format!("cannot be watched: {why}"));
                }
            }
        }
    }
}

/// An object as rules see it, or what is known of it without them.
fn by_rule(mut object: DynamicObject) -> Result<Value, Health> {
    // The longest part of an object, and nobody's to ask about.
    object.metadata.managed_fields = None;
    let live = serde_json::to_value(object).map_err(|_| Health::Progressing("cannot be read".to_owned()))?;
    before_any_rule(&live).map_or(Ok(live), Err)
}

fn judge(key: &ObjectKey, until: &Until, object: DynamicObject) -> Health {
    match until {
        Until::Well => match serde_json::to_value(object) {
            Ok(live) => health(key, &live),
            Err(_) => Health::Progressing("cannot be read".to_owned()),
        },
        Until::Done { uid } if object.metadata.uid.as_ref() != Some(uid) => without(until),
        Until::Done { .. } => match serde_json::to_value(object) {
            Ok(live) => done(key, &live),
            Err(_) => Health::Progressing("cannot be read".to_owned()),
        },
        Until::Gone { uid } if object.metadata.uid.as_ref() != Some(uid) => Health::Healthy,
        Until::Gone { .. } => {
            let holders = object.metadata.finalizers.unwrap_or_default().join(", ");
            Health::Progressing(match holders.as_str() {
                "" => "is still being deleted".to_owned(),
                _ => format!("is still being deleted, held up by {holders}"),
            })
        }
    }
}

fn without(until: &Until) -> Health {
    match until {
        Until::Well => Health::Progressing("is not there".to_owned()),
        Until::Done { .. } => Health::Failed("was deleted before its end was seen".to_owned()),
        Until::Gone { .. } => Health::Healthy,
    }
}
