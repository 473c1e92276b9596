//! What is there: metadata of a whole collection in one list, and one object in full.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::ids::ObjectKey;
use crate::manifest::{HashKey, wave};
use crate::sync::fields::{LiveHash, applied_by_us};
use crate::sync::{OWNER_ANNOTATION, PRUNE_ANNOTATION, Seen};

use super::discovery::Resource;
use super::error::ClusterError;
use super::{Cluster, wire};

/// Objects asked for at once.
const PAGE: usize = 500;

impl Cluster {
    /// The metadata of all objects of a kind, in one namespace or (with `None`) in all, by key.
    ///
    /// # Errors
    /// As every read; a list that broke off is an error, never a shorter list.
    pub async fn list(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
    ) -> Result<BTreeMap<ObjectKey, Seen>, ClusterError> {
        self.list_of(resource, namespace, |_| true).await
    }

    /// The same of those that are wanted: the others are read, and not kept.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn list_of(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        is_wanted: impl Fn(&ObjectKey) -> bool,
    ) -> Result<BTreeMap<ObjectKey, Seen>, ClusterError> {
        let mut found = BTreeMap::new();
        let path = resource.collection(namespace);
        let mut next: Option<String> = None;
        loop {
            let after = next.as_deref().map(|token| format!("&continue={}", wire::segment(token))).unwrap_or_default();
            let page = self.read_json(&format!("{path}?limit={PAGE}{after}"), wire::LIST_METADATA).await?;
            if page.get("kind").and_then(Value::as_str) != Some("PartialObjectMetadataList") {
                return Err(ClusterError::unreadable("not a list"));
            }
            // An empty list is written as none.
            for item in page.get("items").and_then(Value::as_array).into_iter().flatten() {
                let (key, seen) = read(resource, item)?;
                if is_wanted(&key) {
                    found.insert(key, seen);
                }
            }
            match page.pointer("/metadata/continue").and_then(Value::as_str).filter(|token| !token.is_empty()) {
                Some(token) => next = Some(token.to_owned()),
                None => return Ok(found),
            }
        }
    }

    /// One object in full; `None` when it is not there.
    ///
    /// # Errors
    /// As every read.
    pub async fn get(&self, resource: &Resource, key: &ObjectKey) -> Result<Option<Value>, ClusterError> {
        match self.read_json(&resource.object(key), wire::JSON).await {
            Ok(object) => Ok(Some(object)),
            Err(ClusterError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One object's metadata with the hash of our fields in it; `None` when it is not there. `sent` is the object as
    /// we sent it.
    ///
    /// # Errors
    /// As every read.
    pub async fn look(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        sent: &Value,
        hash_key: &HashKey,
    ) -> Result<Option<Seen>, ClusterError> {
        let Some(live) = self.get(resource, key).await? else { return Ok(None) };
        let (_, seen) = read(resource, &live)?;
        Ok(Some(Seen { live: Some(LiveHash::of(hash_key, &live, sent)), ..seen }))
    }

    /// One object's metadata alone; `None` when it is not there.
    ///
    /// # Errors
    /// As every read.
    pub async fn glance(&self, resource: &Resource, key: &ObjectKey) -> Result<Option<Seen>, ClusterError> {
        match self.read_json(&resource.object(key), wire::ONE_METADATA).await {
            Ok(object) => read(resource, &object).map(|(_, seen)| Some(seen)),
            Err(ClusterError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Reads an object's metadata.
pub(super) fn read(resource: &Resource, object: &Value) -> Result<(ObjectKey, Seen), ClusterError> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let mark = |place: &str, name: &str| {
        object.pointer(place).and_then(|marks| marks.get(name)).and_then(Value::as_str).map(str::to_owned)
    };
    let (Some(name), Some(uid), Some(resource_version)) =
        (text("/metadata/name"), text("/metadata/uid"), text("/metadata/resourceVersion"))
    else {
        return Err(ClusterError::unreadable("an object without name, uid or version"));
    };
    let deleting = text("/metadata/deletionTimestamp").map(|since| {
        let holders = object.pointer("/metadata/finalizers").and_then(Value::as_array);
        let holders: Vec<_> = holders.into_iter().flatten().filter_map(Value::as_str).collect();
        match holders[..] {
            [] => format!("since {since}"),
            _ => format!("since {since}, held up by {}", holders.join(", ")),
        }
    });
    let never = |place| mark(place, PRUNE_ANNOTATION).as_deref() == Some("never");
    let key = ObjectKey {
        group: resource.group.clone(),
        kind: resource.kind.clone(),
        namespace: text("/metadata/namespace").filter(|_| resource.namespaced),
        name,
    };
    let seen = Seen {
        uid,
        resource_version,
        deleting,
        owner: mark("/metadata/annotations", OWNER_ANNOTATION),
        applied_by_us: applied_by_us(object),
        wave: wave(object),
        prune_never: never("/metadata/annotations") || never("/metadata/labels"),
        live: None,
    };
    Ok((key, seen))
}
