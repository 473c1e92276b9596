//! Gather: what the deployment wants, what we did before, what is there; and the plan that follows.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::{Cluster, ClusterError, Identity};
use crate::db::deployments::Deployment;
use crate::db::environments::{self, Environment};
use crate::db::repositories::{self, Repository};
use crate::db::{inventory, restored, sets};
use crate::ids::ObjectKey;
use crate::jobs::gather::opened;
use crate::jobs::gather::there::{Look, identity, wanted};
use crate::manifest::{Object, RenderedSet};
use crate::policy::health::HealthRules;
use crate::policy::rules::{SyncRules, Verify};
use crate::sync::{Orphan, Owner, Plan, Pruning, Recorded, plan, suspects};

use super::record::Subject;
use super::turn::Turn;
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
    /// When objects of somebody's own kinds are well.
    pub(super) health: HealthRules,
    /// What has to hold before it counts as healthy.
    pub(super) verify: Vec<Verify>,
    pub(super) cluster: Cluster,
    pub(super) cluster_uid: String,
    pub(super) owner: String,
    /// What is sealed in it is opened: in memory alone, and no longer than the run.
    pub(super) set: RenderedSet,
    /// What stayed sealed, and why.
    pub(super) sealed: BTreeMap<ObjectKey, String>,
    pub(super) recorded: BTreeMap<ObjectKey, Recorded>,
    /// Kinds the set itself defines: not served yet is not wrong.
    pub(super) defined: BTreeSet<(String, String)>,
    pub(super) plan: Plan,
    /// Held, but for while it is waited for health.
    pub(super) turn: Turn,
}

/// Why there is nothing to act on.
pub(super) enum Unready {
    Interrupted(Interrupted),
    /// The cluster cannot be reached.
    Away {
        subject: Subject,
        why: String,
    },
    /// The cluster's name leads to another cluster than it did.
    Elsewhere {
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
        let mut set = match sets::load(&mut conn, &deployment.new.to.set, self.world.seal).await {
            Ok(set) => set,
            Err(sets::SetError::Database(error)) => return Err(error.into()),
            Err(error) => return Err(broken(error.to_string())),
        };
        let rules = sets::entries(&mut conn, &[set.entry]).await?.remove(&set.entry);
        let Some((rules, own, verify)) = rules.map(|entry| (entry.sync, entry.health, entry.verify)) else {
            return Err(broken("the rules of its set are not stored".to_owned()));
        };
        let health = HealthRules::of(&self.world.platform.health, &own);

        let away = |error: ClusterError| Unready::Away { subject: subject.clone(), why: error.to_string() };
        let identity = identity(self.world.platform, &repository, &set.target, set.objects.keys()).map_err(broken)?;
        let clusters = self.world.clusters;
        // Nobody waits for others with a connection in hand.
        drop(conn);
        let turn = Turn::of(clusters.turns(&set.target.cluster));
        turn.take(self.lease).await?;
        // Who may write a namespace's objects need not be allowed to read what tells clusters apart.
        let own = clusters.get(&set.target.cluster, &Identity::Own).await.map_err(away)?;
        let cluster_uid = own.uid().await.map_err(away)?.to_owned();
        let cluster = clusters.get(&set.target.cluster, &identity).await.map_err(away)?;
        let mut conn = self.world.pool.acquire().await?;
        let elsewhere = inventory::elsewhere(&mut conn, environment.id, &cluster_uid).await?.unsigned_abs();
        if elsewhere > 0 {
            let orphan = Orphan::Elsewhere { cluster: set.target.cluster.clone(), objects: elsewhere };
            return Err(Unready::Elsewhere { subject, why: orphan.sentence(elsewhere) });
        }
        let recorded = inventory::of(&mut conn, environment.id, &cluster_uid).await?;
        let is_restored = restored::open(&mut conn).await?.is_some();
        drop(conn);

        let defined = set.objects.values().filter_map(Object::defines).collect();
        let sealed = self.open(&mut set, &repository).await?;
        let desired = wanted(&set);
        let mut look = Look { cluster: &cluster, defined: &defined, live: BTreeMap::new() };
        look.at_all(&desired, &recorded).await.map_err(away)?;
        let suspects: Vec<_> = suspects(&desired, &recorded, &look.live).into_iter().cloned().collect();
        look.closer_at(&suspects, &set, self.world.hash_key).await.map_err(away)?;

        let owner = Owner::of(self.world.installation, &repository.key, &environment.name).to_string();
        let prune = Pruning { is_wanted: rules.prune, is_restored };
        let plan = plan(&owner, &desired, &recorded, &look.live, prune.into());
        Ok(Scene {
            deployment,
            environment,
            subject,
            rules,
            health,
            verify,
            cluster,
            cluster_uid,
            owner,
            set,
            sealed,
            recorded,
            defined,
            plan,
            turn,
        })
    }

    /// Puts what is sealed in the set in clear there, and tells what stays sealed, and why. All of it, also what is not sent:
    /// what the cluster quotes of one is hidden by knowing it.
    async fn open(
        &self,
        set: &mut RenderedSet,
        repository: &Repository,
    ) -> Result<BTreeMap<ObjectKey, String>, Interrupted> {
        let name = format!("{}/{}", repository.key.forge, repository.full_name);
        let keys = opened::keys_of(self.world.platform, &name, &set.target);
        let opening = Box::pin(opened::open(self.world.unsealer, &keys, set.objects.values()));
        let opened = tokio::select! {
            opened = opening => opened,
            () = self.lease.stopping() => return Err(Interrupted::Stopping),
        };
        Ok(opened.put_into(&mut set.objects))
    }
}
