//! What is in a cluster of a set and of an inventory, as far as a plan needs it.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};

use super::lists::{Collection, Lists};
use crate::cluster::{Cluster, ClusterError, Fate, Identity, Resource};
use crate::db::repositories::Repository;
use crate::ids::{ClusterName, ObjectKey, Target};
use crate::manifest::{HashKey, Object, RenderedSet, hook};
use crate::policy::rules::Platform;
use crate::sync::{Desired, Live, Recorded, Seen};

/// Requests of one look at once; the cluster's own slots bound those of all.
const WIDTH: usize = 16;

/// An object of a set, as a plan wants it.
pub(in crate::jobs) fn desired(object: &Object) -> Desired {
    Desired { key: object.key.clone(), api_version: object.api_version.clone(), hash: object.hash }
}

/// What a set wants to be there. Hooks are run, and are nobody's state afterwards.
pub(in crate::jobs) fn wanted(set: &RenderedSet) -> Vec<Desired> {
    set.objects.values().filter(|object| hook(&object.json).is_none()).map(desired).collect()
}

/// As whom the cluster is asked: as the first grant says that reaches the whole set. Grants may have shrunk since the set was
/// judged, and what no grant reaches is not sent.
pub(in crate::jobs) fn identity<'k>(
    platform: &Platform,
    repository: &Repository,
    target: &Target,
    objects: impl Iterator<Item = &'k ObjectKey> + Clone,
) -> Result<Identity, String> {
    let name = format!("{}/{}", repository.key.forge, repository.full_name);
    let Some((granted, refused)) = platform.grant_meant(&name, target, objects) else {
        return Err(format!("no grant of {name} reaches {} in {}", target.namespace, target.cluster));
    };
    match refused.first_key_value() {
        None => Ok(Identity::of(granted.grant.acts_as(&target.namespace))),
        Some((key, outside)) => Err(format!("grant `{}` does not reach {key}: {outside}", granted.name)),
    }
}

/// What the cluster says.
pub(in crate::jobs) struct Look<'a> {
    pub(in crate::jobs) cluster: &'a Cluster,
    /// Kinds the set itself defines: not served yet is not wrong.
    pub(in crate::jobs) defined: &'a BTreeSet<(String, String)>,
    pub(in crate::jobs) live: BTreeMap<ObjectKey, Live>,
}

impl Look<'_> {
    /// One look at metadata per kind and namespace, of the set and of the inventory.
    pub(in crate::jobs) async fn at_all(
        &mut self,
        desired: &[Desired],
        recorded: &BTreeMap<ObjectKey, Recorded>,
    ) -> Result<(), ClusterError> {
        let cluster = self.cluster;
        let groups = grouped(desired, recorded, |key, api_version| {
            (api_version.to_owned(), key.kind.clone(), key.namespace.clone())
        });
        self.take(groups.into_iter().map(|(group, keys)| list(cluster, group, keys).boxed()).collect()).await
    }

    /// The same, in one look with the other environments of a preview: not what is written by.
    pub(in crate::jobs) async fn with_others(
        &mut self,
        (lists, name, identity): (&Lists, &ClusterName, &Identity),
        desired: &[Desired],
        recorded: &BTreeMap<ObjectKey, Recorded>,
    ) -> Result<(), ClusterError> {
        let cluster = self.cluster;
        let mut at: BTreeMap<&ObjectKey, &str> = BTreeMap::new();
        for (key, api_version) in versions(desired, recorded) {
            at.entry(key).or_insert(api_version);
        }
        let groups = grouped(desired, recorded, |key, _| Collection::of(name, identity, key));
        let looks = groups.into_iter().map(|(collection, keys)| {
            let first = keys.first().and_then(|key| Some(((*at.get(key)?).to_owned(), key.kind.clone())));
            async move {
                let (api_version, kind) = first.unwrap_or_default();
                let found = match find(cluster, &api_version, &kind, keys.first()).await {
                    Ok(resource) => lists.look(cluster, &resource, &collection, &keys).await,
                    Err(error) => Err(error),
                };
                (keys, found)
            }
            .boxed()
        });
        self.take(looks.collect()).await
    }

    async fn take(&mut self, looks: Vec<BoxFuture<'_, Looked>>) -> Result<(), ClusterError> {
        let lists = stream::iter(looks).buffer_unordered(WIDTH);
        let mut lists = std::pin::pin!(lists);
        while let Some((keys, listed)) = lists.next().await {
            match listed {
                Ok(mut found) => {
                    for key in keys {
                        let live = found.remove(&key).map_or(Live::Absent, Live::Seen);
                        self.live.insert(key, live);
                    }
                }
                Err(error) if error.fate() == Fate::Away => return Err(error),
                Err(error) => {
                    for key in keys {
                        let live = self.unlisted(&key, &error);
                        self.live.insert(key, live);
                    }
                }
            }
        }
        Ok(())
    }

    /// A kind that the set is about to define has no objects yet; of any other, not knowing is not absence.
    fn unlisted(&self, key: &ObjectKey, error: &ClusterError) -> Live {
        let defined = self.defined.contains(&(key.group.clone(), key.kind.clone()));
        match error {
            ClusterError::NotServed(_) if defined => Live::Absent,
            error => Live::Unknown(error.to_string()),
        }
    }

    /// Our own fields of those whose version moved.
    pub(in crate::jobs) async fn closer_at(
        &mut self,
        suspects: &[Desired],
        set: &RenderedSet,
        hash_key: &HashKey,
    ) -> Result<(), ClusterError> {
        let cluster = self.cluster;
        let looks: Vec<_> = suspects.iter().map(|object| look_at(cluster, object, set, hash_key).boxed()).collect();
        let looks = stream::iter(looks).buffered(WIDTH).zip(stream::iter(suspects));
        let mut looks = std::pin::pin!(looks);
        while let Some((live, object)) = looks.next().await {
            let live = match live {
                Ok(live) => live,
                Err(error) if error.fate() == Fate::Away => return Err(error),
                Err(error) => Live::Unknown(error.to_string()),
            };
            self.live.insert(object.key.clone(), live);
        }
        Ok(())
    }
}

/// API version, kind, namespace.
type Group = (String, String, Option<String>);

/// The objects that were looked for, and those that are there.
type Looked = (Vec<ObjectKey>, Result<BTreeMap<ObjectKey, Seen>, ClusterError>);

/// Everything that is looked for, with the version it is sent, or was sent, at.
fn versions<'o>(
    desired: &'o [Desired],
    recorded: &'o BTreeMap<ObjectKey, Recorded>,
) -> impl Iterator<Item = (&'o ObjectKey, &'o str)> {
    let wanted = desired.iter().map(|object| (&object.key, object.api_version.as_str()));
    wanted.chain(recorded.values().map(|row| (&row.key, row.api_version.as_str())))
}

/// Each once, together with those it is looked for with.
fn grouped<G: Ord>(
    desired: &[Desired],
    recorded: &BTreeMap<ObjectKey, Recorded>,
    group: impl Fn(&ObjectKey, &str) -> G,
) -> BTreeMap<G, Vec<ObjectKey>> {
    let (mut groups, mut met) = (BTreeMap::<G, Vec<ObjectKey>>::new(), BTreeSet::new());
    for (key, api_version) in versions(desired, recorded) {
        if met.insert(key) {
            groups.entry(group(key, api_version)).or_default().push(key.clone());
        }
    }
    groups
}

async fn list(cluster: &Cluster, (api_version, kind, namespace): Group, keys: Vec<ObjectKey>) -> Looked {
    let listed = match find(cluster, &api_version, &kind, keys.first()).await {
        Ok(resource) => cluster.these(&resource, namespace.as_deref(), &keys).await,
        Err(error) => Err(error),
    };
    (keys, listed)
}

/// One object of the set, in full.
pub(in crate::jobs) async fn look_at(
    cluster: &Cluster,
    object: &Desired,
    set: &RenderedSet,
    hash_key: &HashKey,
) -> Result<Live, ClusterError> {
    let resource = cluster.resource(&object.api_version, &object.key.kind).await?;
    let sent = set.objects.get(&object.key).map(|object| &object.json).unwrap_or(&serde_json::Value::Null);
    Ok(cluster.look(&resource, &object.key, sent, hash_key).await?.map_or(Live::Absent, Live::Seen))
}

/// The kind at this version, or at the one the server prefers: what we applied at a version that is no longer served
/// is still there at another.
pub(in crate::jobs) async fn find(
    cluster: &Cluster,
    api_version: &str,
    kind: &str,
    key: Option<&ObjectKey>,
) -> Result<Resource, ClusterError> {
    match cluster.resource(api_version, kind).await {
        Err(ClusterError::NotServed(what)) => {
            let group = key.map(|key| key.group.as_str()).unwrap_or_default();
            let served = cluster.served().await?;
            served.preferred(group, kind).cloned().ok_or(ClusterError::NotServed(what))
        }
        found => found,
    }
}
