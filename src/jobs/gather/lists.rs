//! What is there of a kind in a namespace, looked at once for all environments of a preview that share it.
//!
//! A base that a thousand environments read has each of them look at its objects. Where they share a namespace, each would
//! list the objects of all: a million, for a thousand times a thousand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::OnceCell;

use crate::cluster::{Cluster, ClusterError, Fate, Identity, Resource};
use crate::ids::{ClusterName, ObjectKey};
use crate::sync::Seen;

/// Objects that are asked for one by one: as many as go to a cluster side by side, so that it takes as long as asking for one.
/// What a namespace holds beside them is not known, and a list of it may be thousands of others.
const FEW: usize = 16;

/// A kind in a namespace of a cluster (or outside of any), as one user sees it. At which version it is asked for is no part
/// of it: metadata is the same at each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::jobs) struct Collection {
    cluster: ClusterName,
    identity: Identity,
    group: String,
    kind: String,
    namespace: Option<String>,
}

impl Collection {
    /// The one an object is in.
    pub(super) fn of(cluster: &ClusterName, identity: &Identity, key: &ObjectKey) -> Self {
        Self {
            cluster: cluster.clone(),
            identity: identity.clone(),
            group: key.group.clone(),
            kind: key.kind.clone(),
            namespace: key.namespace.clone(),
        }
    }
}

/// The looks that environments of one preview share. Kept of each is what these environments asked for, and only until the
/// last of them has it.
#[derive(Debug, Default)]
pub(in crate::jobs) struct Lists(Mutex<BTreeMap<Collection, Shared>>);

#[derive(Debug, Clone, Default)]
struct Shared {
    /// What any environment wants of it.
    names: Arc<BTreeSet<String>>,
    /// Environments that are still to ask.
    left: usize,
    found: Arc<OnceCell<Result<Found, ClusterError>>>,
}

/// What is there, by name.
type Found = BTreeMap<String, Seen>;

impl Lists {
    /// Environments are about to ask for these objects, each for its own.
    pub(in crate::jobs) fn expect<'k, K>(&self, asks: impl IntoIterator<Item = (&'k ClusterName, Identity, K)>)
    where
        K: IntoIterator<Item = &'k ObjectKey>,
    {
        let mut wanted: BTreeMap<Collection, (BTreeSet<String>, usize)> = BTreeMap::new();
        for (cluster, identity, keys) in asks {
            let mut own: BTreeMap<Collection, Vec<String>> = BTreeMap::new();
            for key in keys {
                own.entry(Collection::of(cluster, &identity, key)).or_default().push(key.name.clone());
            }
            for (collection, names) in own {
                let (all, environments) = wanted.entry(collection).or_default();
                all.extend(names);
                *environments += 1;
            }
        }
        let shared = |(collection, (names, left)): (Collection, (BTreeSet<String>, usize))| {
            (collection, Shared { names: Arc::new(names), left, ..Shared::default() })
        };
        // What only one asks for is nobody else's.
        let shared = wanted.into_iter().filter(|(_, (_, left))| *left > 1).map(shared);
        self.held().extend(shared);
    }

    /// What is there of these objects, which are all of one collection.
    pub(super) async fn look(
        &self,
        cluster: &Cluster,
        resource: &Resource,
        collection: &Collection,
        keys: &[ObjectKey],
    ) -> Result<BTreeMap<ObjectKey, Seen>, ClusterError> {
        let shared = self.take(collection).unwrap_or_default();
        let (together, alone): (Vec<_>, Vec<_>) = keys.iter().partition(|key| shared.names.contains(&key.name));
        let mut found = BTreeMap::new();
        if !together.is_empty() {
            let known = shared.found.get_or_try_init(|| async {
                match look(cluster, resource, collection, &shared.names).await {
                    // What passes is asked for again by the next.
                    Err(error) if matches!(error.fate(), Fate::Retry { .. } | Fate::Away) => Err(error),
                    told => Ok(told),
                }
            });
            let known = known.await?.as_ref().map_err(Clone::clone)?;
            found.extend(together.into_iter().filter_map(|key| Some((key.clone(), known.get(&key.name)?.clone()))));
        }
        if !alone.is_empty() {
            let names = alone.iter().map(|key| key.name.clone()).collect();
            let known = look(cluster, resource, collection, &names).await?;
            found.extend(alone.into_iter().filter_map(|key| Some((key.clone(), known.get(&key.name)?.clone()))));
        }
        Ok(found)
    }

    /// One of those who share it has come; after the last it is forgotten.
    fn take(&self, collection: &Collection) -> Option<Shared> {
        let mut all = self.held();
        let shared = all.get_mut(collection)?;
        shared.left = shared.left.saturating_sub(1);
        if shared.left == 0 { all.remove(collection) } else { Some(shared.clone()) }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Collection, Shared>> {
        self.0.lock().expect("nobody panics while it is held")
    }
}

/// Few are asked for one by one, and of many the whole collection is listed, of which these are kept.
async fn look(
    cluster: &Cluster,
    resource: &Resource,
    collection: &Collection,
    names: &BTreeSet<String>,
) -> Result<Found, ClusterError> {
    let Collection { group, kind, namespace, .. } = collection;
    if names.len() > FEW {
        let listed = cluster.list_of(resource, namespace.as_deref(), |key| names.contains(&key.name)).await?;
        return Ok(listed.into_iter().map(|(key, seen)| (key.name, seen)).collect());
    }
    let key = |name: &String| ObjectKey {
        group: group.clone(),
        kind: kind.clone(),
        namespace: namespace.clone(),
        name: name.clone(),
    };
    let one = move |key: ObjectKey| async move {
        let seen = cluster.glance(resource, &key).await?;
        Ok::<_, ClusterError>(seen.map(|seen| (key.name, seen)))
    };
    let asks: Vec<_> = names.iter().map(|name| one(key(name)).boxed()).collect();
    let found: Vec<_> = stream::iter(asks).buffer_unordered(FEW).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str, namespace: &str, name: &str) -> ObjectKey {
        ObjectKey { group: String::new(), kind: kind.into(), namespace: Some(namespace.into()), name: name.into() }
    }

    #[test]
    fn what_is_shared_is_forgotten_when_the_last_has_it() {
        let (lists, cluster) = (Lists::default(), "here".parse::<ClusterName>().unwrap());
        let keys = [key("ConfigMap", "shop", "a"), key("ConfigMap", "shop", "b"), key("Service", "shop", "b")];
        let asks = [&keys[..1], &keys[1..]].map(|keys| (&cluster, Identity::Own, keys));
        lists.expect(asks);
        let collection = |key: &ObjectKey| Collection::of(&cluster, &Identity::Own, key);
        assert!(lists.take(&collection(&keys[2])).is_none(), "one alone asks for it");
        let names = lists.take(&collection(&keys[0])).map(|shared| shared.names);
        assert_eq!(names.unwrap().iter().collect::<Vec<_>>(), ["a", "b"]);
        assert!(lists.take(&collection(&keys[1])).is_some());
        assert!(lists.take(&collection(&keys[1])).is_none() && lists.held().is_empty());
        let other = Collection::of(&cluster, &Identity::Impersonated("shop".into()), &keys[0]);
        lists.expect([&keys[..1], &keys[1..]].map(|keys| (&cluster, Identity::Own, keys)));
        assert!(lists.take(&other).is_none(), "another user may see other things");
    }
}
