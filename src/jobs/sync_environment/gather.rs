//! Gather: what the deployment wants, what we did before, what is there; and the plan that follows.

use std::collections::{BTreeMap, BTreeSet};

use futures::{FutureExt as _, StreamExt as _, stream};

use crate::cluster::{Cluster, ClusterError, Fate, Identity, Resource};
use crate::db::deployments::Deployment;
use crate::db::environments::{self, Environment};
use crate::db::repositories::{self, Repository};
use crate::db::{inventory, restored, sets};
use crate::ids::ObjectKey;
use crate::manifest::{Object, RenderedSet};
use crate::policy::rules::SyncRules;
use crate::sync::{Desired, Live, Owner, Plan, PruneRule, Recorded, Seen, plan, suspects};

use super::record::Subject;
use super::{Interrupted, Run};

/// Requests of one run at once; the cluster's own slots bound those of all runs.
pub(super) const WIDTH: usize = 16;

/// Everything a run acts on.
pub(super) struct Scene {
    pub(super) deployment: Deployment,
    pub(super) environment: Environment,
    pub(super) subject: Subject,
    /// How the environment is synced, by the rules of the very set that is deployed.
    pub(super) rules: SyncRules,
    pub(super) cluster: Cluster,
    pub(super) cluster_uid: String,
    pub(super) owner: String,
    pub(super) set: RenderedSet,
    pub(super) recorded: BTreeMap<ObjectKey, Recorded>,
    /// Kinds the set itself defines: not served yet is not wrong.
    pub(super) defined: BTreeSet<(String, String)>,
    pub(super) plan: Plan,
}

/// Why there is nothing to act on.
pub(super) enum Unready {
    Interrupted(Interrupted),
    /// The cluster cannot be reached.
    Away {
        subject: Subject,
        why: String,
    },
    /// It will never be ready: what is stored cannot be used.
    Broken {
        subject: Subject,
        why: String,
    },
}

impl<E: Into<Interrupted>> From<E> for Unready {
    fn from(error: E) -> Self {
        Self::Interrupted(error.into())
    }
}

impl Run<'_> {
    pub(super) async fn gather(&self, deployment: Deployment) -> Result<Scene, Unready> {
        let mut conn = self.world.pool.acquire().await?;
        let gone = || sqlx::Error::RowNotFound;
        let environment = environments::get(&mut conn, deployment.new.environment).await?.ok_or_else(gone)?;
        let repository = repositories::get(&mut conn, environment.repository).await?.ok_or_else(gone)?;
        let subject = Subject::of(&deployment, &environment, &repository);
        let broken = |why: String| Unready::Broken { subject: subject.clone(), why };
        let set = match sets::load(&mut conn, &deployment.new.to.set, self.world.seal).await {
            Ok(set) => set,
            Err(sets::SetError::Database(error)) => return Err(error.into()),
            Err(error) => return Err(broken(error.to_string())),
        };
        let rules = sets::entries(&mut conn, &[set.entry]).await?.remove(&set.entry);
        let Some(rules) = rules.map(|entry| entry.sync) else {
            return Err(broken("the rules of its set are not stored".to_owned()));
        };

        let away = |error: ClusterError| Unready::Away { subject: subject.clone(), why: error.to_string() };
        let identity = self.identity(&repository, &set).map_err(broken)?;
        let clusters = self.world.clusters;
        // Who may write a namespace's objects need not be allowed to read what tells clusters apart.
        let own = clusters.get(&set.target.cluster, &Identity::Own).await.map_err(away)?;
        let cluster_uid = own.uid().await.map_err(away)?.to_owned();
        let cluster = clusters.get(&set.target.cluster, &identity).await.map_err(away)?;
        let recorded = inventory::of(&mut conn, environment.id, &cluster_uid).await?;
        let is_restored = restored::open(&mut conn).await?.is_some();
        drop(conn);

        let defined = set.objects.values().filter_map(Object::defines).collect();
        let desired: Vec<_> = set.objects.values().map(desired).collect();
        let mut look = Look { cluster: &cluster, defined: &defined, live: BTreeMap::new() };
        look.at_all(&desired, &recorded).await.map_err(away)?;
        let suspects: Vec<_> = suspects(&desired, &recorded, &look.live).into_iter().cloned().collect();
        look.closer_at(&suspects, &set, self.world.hash_key).await.map_err(away)?;

        let owner = Owner {
            installation: self.world.installation,
            repository: repository.key.clone(),
            environment: environment.name.clone(),
        };
        let owner = owner.to_string();
        let prune = match (rules.prune, is_restored) {
            (false, _) => PruneRule::Off,
            (true, true) => PruneRule::Restored,
            (true, false) => PruneRule::WithProof,
        };
        let plan = plan(&owner, &desired, &recorded, &look.live, prune);
        Ok(Scene { deployment, environment, subject, rules, cluster, cluster_uid, owner, set, recorded, defined, plan })
    }
}

impl Run<'_> {
    /// As whom the cluster is asked: as the first grant says that reaches the whole set. Grants may have shrunk since the
    /// set was judged, and what no grant reaches is not sent.
    fn identity(&self, repository: &Repository, set: &RenderedSet) -> Result<Identity, String> {
        let name = format!("{}/{}", repository.key.forge, repository.full_name);
        let Some((granted, refused)) = self.world.platform.grant_meant(&name, &set.target, set.objects.keys()) else {
            return Err(format!("no grant of {name} reaches {} in {}", set.target.namespace, set.target.cluster));
        };
        match refused.first_key_value() {
            None => Ok(Identity::of(granted.grant.acts_as(&set.target.namespace))),
            Some((key, outside)) => Err(format!("grant `{}` does not reach {key}: {outside}", granted.name)),
        }
    }
}

fn desired(object: &Object) -> Desired {
    Desired { key: object.key.clone(), api_version: object.api_version.clone(), hash: object.hash }
}

/// What the cluster says.
struct Look<'a> {
    cluster: &'a Cluster,
    defined: &'a BTreeSet<(String, String)>,
    live: BTreeMap<ObjectKey, Live>,
}

impl Look<'_> {
    /// One list of metadata per kind and namespace, of the set and of the inventory.
    async fn at_all(
        &mut self,
        desired: &[Desired],
        recorded: &BTreeMap<ObjectKey, Recorded>,
    ) -> Result<(), ClusterError> {
        let mut groups: BTreeMap<Group, Vec<ObjectKey>> = BTreeMap::new();
        let wanted = desired.iter().map(|object| (&object.key, &object.api_version));
        let ours = recorded.values().map(|row| (&row.key, &row.api_version));
        let mut grouped = BTreeSet::new();
        for (key, api_version) in wanted.chain(ours) {
            if grouped.insert(key) {
                let group = (api_version.clone(), key.kind.clone(), key.namespace.clone());
                groups.entry(group).or_default().push(key.clone());
            }
        }
        let cluster = self.cluster;
        let lists: Vec<_> = groups.into_iter().map(|(group, keys)| list(cluster, group, keys).boxed()).collect();
        let lists = stream::iter(lists).buffer_unordered(WIDTH);
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
    async fn closer_at(
        &mut self,
        suspects: &[Desired],
        set: &RenderedSet,
        hash_key: &crate::manifest::HashKey,
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

async fn list(
    cluster: &Cluster,
    (api_version, kind, namespace): Group,
    keys: Vec<ObjectKey>,
) -> (Vec<ObjectKey>, Result<BTreeMap<ObjectKey, Seen>, ClusterError>) {
    let listed = match find(cluster, &api_version, &kind, keys.first()).await {
        Ok(resource) => cluster.list(&resource, namespace.as_deref()).await,
        Err(error) => Err(error),
    };
    (keys, listed)
}

/// One object of the set, in full.
pub(super) async fn look_at(
    cluster: &Cluster,
    object: &Desired,
    set: &RenderedSet,
    hash_key: &crate::manifest::HashKey,
) -> Result<Live, ClusterError> {
    let resource = cluster.resource(&object.api_version, &object.key.kind).await?;
    let sent = set.objects.get(&object.key).map(|object| &object.json).unwrap_or(&serde_json::Value::Null);
    Ok(cluster.look(&resource, &object.key, sent, hash_key).await?.map_or(Live::Absent, Live::Seen))
}

/// The kind at this version, or at the one the server prefers: what we applied at a version that is no longer served
/// is still there at another.
pub(super) async fn find(
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
