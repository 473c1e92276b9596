//! What is there: metadata of a whole collection in one list, and one object in full.

use std::collections::{BTreeMap, BTreeSet};

use futures::{FutureExt, StreamExt as _, TryFutureExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use crate::ids::ObjectKey;
use crate::manifest::{HashKey, wave};
use crate::sync::fields::{LiveHash, applied_by_us};
use crate::sync::{OWNER_ANNOTATION, PRUNE_ANNOTATION, Seen};

use super::discovery::Resource;
use super::error::ClusterError;
use super::{Cluster, WIDTH, wire};

/// Objects asked for at once.
const PAGE: usize = 500;
/// Objects of a list that cost, here and there, about as much as one that is asked for alone.
const WORTH: usize = 30;
/// The least that is listed at first: most namespaces hold no more, and are known whole after one request.
const FEWEST: usize = 100;

/// Some of a collection.
struct Page {
    found: Vec<(ObjectKey, Seen)>,
    /// What to ask for the next with.
    next: Option<String>,
    /// Objects that follow, as far as the server says.
    left: Option<usize>,
}

impl Cluster {
    /// The metadata of the objects of a kind that are wanted, in one namespace or (with `None`) in all, by key; the others are read,
    /// and not kept.
    ///
    /// # Errors
    /// As every read; a list that broke off is an error, never a shorter list.
    pub async fn list_of(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        is_wanted: impl Fn(&ObjectKey) -> bool,
    ) -> Result<BTreeMap<ObjectKey, Seen>, ClusterError> {
        let (mut found, mut next) = (BTreeMap::new(), None);
        loop {
            let page = self.page(resource, namespace, PAGE, next.as_deref()).await?;
            found.extend(page.found.into_iter().filter(|(key, _)| is_wanted(key)));
            match page.next {
                Some(token) => next = Some(token),
                None => return Ok(found),
            }
        }
    }

    /// The metadata of those of these objects that are there, all of one kind, in one namespace or in none. What is asked grows with
    /// them and not with what others keep beside them: a list as long as there is not much more to read, and from then on one by one.
    ///
    /// # Errors
    /// As every read.
    pub async fn these(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        keys: &[ObjectKey],
    ) -> Result<BTreeMap<ObjectKey, Seen>, ClusterError> {
        let mut missing: BTreeSet<&ObjectKey> = keys.iter().collect();
        let (mut found, mut next) = (BTreeMap::new(), None);
        let mut size = (keys.len() * WORTH).clamp(FEWEST, PAGE);
        loop {
            let page = self.page(resource, namespace, size, next.as_deref()).await?;
            found.extend(page.found.into_iter().filter(|(key, _)| missing.remove(key)));
            match page.next {
                Some(_) if missing.is_empty() => return Ok(found),
                Some(_) if page.left.is_some_and(|left| left / WORTH > missing.len()) => break,
                Some(token) => next = Some(token),
                None => return Ok(found),
            }
            size = PAGE;
        }
        let glances = missing.into_iter().map(|key| self.glance(resource, key).map_ok(move |seen| (key.clone(), seen)));
        let mut glances = stream::iter(glances.map(FutureExt::boxed).collect::<Vec<_>>()).buffer_unordered(WIDTH);
        while let Some((key, seen)) = glances.try_next().await? {
            found.extend(seen.map(|seen| (key, seen)));
        }
        Ok(found)
    }

    /// Some of a collection, after those that this token says.
    async fn page(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        size: usize,
        next: Option<&str>,
    ) -> Result<Page, ClusterError> {
        let after = next.map(|token| format!("&continue={}", wire::segment(token))).unwrap_or_default();
        let path = format!("{}?limit={size}{after}", resource.collection(namespace));
        let page = self.read_json(&path, wire::LIST_METADATA).await?;
        if page.get("kind").and_then(Value::as_str) != Some("PartialObjectMetadataList") {
            return Err(ClusterError::unreadable("not a list"));
        }
        // An empty list is written as none.
        let items = page.get("items").and_then(Value::as_array).into_iter().flatten();
        let found = items.map(|item| read(resource, item)).collect::<Result<_, _>>()?;
        let next = page.pointer("/metadata/continue").and_then(Value::as_str).filter(|token| !token.is_empty());
        let left = page.pointer("/metadata/remainingItemCount").and_then(Value::as_u64);
        Ok(Page { found, next: next.map(str::to_owned), left: left.and_then(|left| left.try_into().ok()) })
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
