//! What happens to the objects of a kind, from now on: metadata alone, folded into what tells whether a field of ours was touched.
//!
//! ```text
//!   streaming list (or a list, where the server has none) ─> Began, Seen …, Whole ─> Seen, Gone …
//!        ▲                                                                              │
//!        └── the version is too old (410 within the watch): after a jittered pause ◀────┘
//! ```
//!
//! Bookmarks are kept, so that a quiet watch goes on where it was. At rest nothing is asked but the watch itself.

use std::time::Duration;

use futures::stream::{BoxStream, StreamExt as _};
use kube::Api;
use kube::core::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, DefaultBackoff, Event, watcher};
use serde_json::json;

use crate::ids::ObjectKey;
use crate::manifest::HashKey;
use crate::sync::drift::{Mark, Sighting};

use super::discovery::Resource;
use super::error::ClusterError;
use super::{Cluster, look, wire};

/// Where a kind is watched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// In the whole cluster.
    All,
    /// In one namespace.
    Namespace(String),
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighted {
    /// It begins anew: what follows is everything that is there.
    Began,
    /// An object, as it is.
    Seen(ObjectKey, Sighting),
    /// An object is gone.
    Gone(ObjectKey),
    /// Everything that is there was told.
    Whole,
    /// It is asked for again after a pause.
    Trouble {
        /// For people.
        why: String,
        /// Of which kind.
        cause: Cause,
    },
    /// The server has no streaming lists.
    NoStreams,
}

/// What is in the way of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A permission is missing.
    Forbidden,
    /// The kind is not served at this version: its definition may be gone, or the version alone.
    NotServed,
    /// Anything else, which passes.
    Passing,
}

/// How everything that is there is asked for at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    Streamed,
    Listed,
}

impl Cluster {
    /// The kind at this version, or at the one the server prefers: what was applied at a version that is not served any more is
    /// there at another, with the same metadata.
    ///
    /// # Errors
    /// As [`Self::resource`].
    pub async fn resource_of(&self, api_version: &str, group: &str, kind: &str) -> Result<Resource, ClusterError> {
        match self.resource(api_version, kind).await {
            Err(ClusterError::NotServed(what)) => {
                let served = self.served().await?;
                served.preferred(group, kind).cloned().ok_or(ClusterError::NotServed(what))
            }
            found => found,
        }
    }

    /// Follows the objects of a kind. It never ends by itself: what breaks begins again after a jittered, growing pause.
    pub fn observe(&self, resource: &Resource, scope: &Scope, hash_key: &HashKey) -> BoxStream<'static, Sighted> {
        let (cluster, resource, scope, key) = (self.clone(), resource.clone(), scope.clone(), hash_key.clone());
        let streamed = cluster.follow(&resource, &scope, &key, First::Streamed);
        // A server without streaming lists says so once, and is asked as it likes from then on.
        let state = (streamed, First::Streamed);
        futures::stream::unfold(state, move |(mut stream, first)| {
            let (cluster, resource, scope, key) = (cluster.clone(), resource.clone(), scope.clone(), key.clone());
            async move {
                match (stream.next().await?, first) {
                    (Sighted::NoStreams, First::Streamed) => {
                        let listed = cluster.follow(&resource, &scope, &key, First::Listed);
                        Some((Sighted::NoStreams, (listed, First::Listed)))
                    }
                    (told, first) => Some((told, (stream, first))),
                }
            }
        })
        .boxed()
    }

    fn follow(&self, resource: &Resource, scope: &Scope, key: &HashKey, first: First) -> BoxStream<'static, Sighted> {
        let kind = ApiResource {
            group: resource.group.clone(),
            version: resource.api_version.rsplit('/').next().unwrap_or(&resource.api_version).to_owned(),
            api_version: resource.api_version.clone(),
            kind: resource.kind.clone(),
            plural: resource.plural.clone(),
        };
        let client = self.0.client.clone();
        let api: Api<Metadata> = match scope {
            Scope::All => Api::all_with(client, &kind),
            Scope::Namespace(namespace) => Api::namespaced_with(client, namespace, &kind),
        };
        let config = match first {
            First::Streamed => watcher::Config::default().streaming_lists(),
            First::Listed => watcher::Config::default(),
        };
        let (resource, key) = (resource.clone(), key.clone());
        let events = watcher(api, config).backoff(Patience::default());
        events.filter_map(move |event| std::future::ready(read(&resource, &key, event))).boxed()
    }
}

/// Pauses that grow for as long as there is trouble, and begin anew after two minutes without any. A list that came is no end of it: a
/// server that gives lists and breaks off every watch would be listed over and over.
#[derive(Default)]
struct Patience(DefaultBackoff);

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next()
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {}
}

type Metadata = PartialObjectMeta<DynamicObject>;

fn read(resource: &Resource, key: &HashKey, event: watcher::Result<Event<Metadata>>) -> Option<Sighted> {
    match event {
        Ok(Event::Init) => Some(Sighted::Began),
        Ok(Event::InitDone) => Some(Sighted::Whole),
        Ok(Event::InitApply(object) | Event::Apply(object)) => {
            let object = json!({ "metadata": object.metadata });
            let (of, seen) = look::read(resource, &object).ok()?;
            let is_ours = seen.applied_by_us || seen.owner.is_some();
            let sighting = Sighting {
                uid: seen.uid,
                resource_version: seen.resource_version,
                mark: Mark::of(key, &object),
                is_ours,
            };
            Some(Sighted::Seen(of, sighting))
        }
        Ok(Event::Delete(object)) => {
            let (of, _) = look::read(resource, &json!({ "metadata": object.metadata })).ok()?;
            Some(Sighted::Gone(of))
        }
        Err(error) => Some(trouble(&error)),
    }
}

fn trouble(error: &watcher::Error) -> Sighted {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status),
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => None,
    };
    match status {
        // `sendInitialEvents` is a field it forbids, or does not know.
        Some(status) if matches!(status.code, 400 | 422) => Sighted::NoStreams,
        Some(status) => {
            let cause = match status.code {
                403 => Cause::Forbidden,
                404 => Cause::NotServed,
                _ => Cause::Passing,
            };
            Sighted::Trouble { why: status.message.clone(), cause }
        }
        None => Sighted::Trouble { why: wire::unreachable(error).to_string(), cause: Cause::Passing },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_came_does_not_shorten_the_pause_after_the_next_trouble() {
        let mut patience = Patience::default();
        // What a stream does at each list, and at each watch that breaks off.
        let pauses = std::iter::from_fn(|| {
            patience.reset();
            patience.next()
        });
        let pauses: Vec<u64> = pauses.take(12).map(|pause| pause.as_secs()).collect();
        assert!(pauses[0] < 5 && pauses[8..].iter().all(|pause| *pause >= 30), "{pauses:?}");
    }
}
