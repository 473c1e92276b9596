//! The clusters of the server's file, connected when they are first used and again when a kubeconfig changes.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use tokio::sync::{Mutex, Semaphore};

use crate::ids::ClusterName;

use super::Cluster;
use super::breaker::Breaker;
use super::connection::{Identity, Kubeconfig};
use super::error::ClusterError;
use super::tunnel::Tunnels;

/// What tells one content of a file from the next.
type Stamp = Option<(SystemTime, u64)>;

/// All configured clusters.
#[derive(Debug, Default)]
pub struct Clusters {
    configured: BTreeMap<ClusterName, Kubeconfig>,
    open: Mutex<BTreeMap<(ClusterName, Identity), (Stamp, Cluster)>>,
    breakers: std::sync::Mutex<BTreeMap<ClusterName, (Stamp, Arc<Breaker>)>>,
    turns: std::sync::Mutex<BTreeMap<ClusterName, Arc<Semaphore>>>,
}

/// Syncs at work in one cluster at once: half of a server's slots, so that a slow cluster leaves others theirs.
const SYNCS: usize = 8;

impl Clusters {
    /// Remembers where they are; nothing is read yet.
    pub fn new(configured: BTreeMap<ClusterName, Kubeconfig>) -> Self {
        Self { configured, ..Self::default() }
    }

    /// The tunnels of a cluster whose agent dials us; `None` of any other.
    pub fn dialled(&self, name: &ClusterName) -> Option<&Arc<Tunnels>> {
        match self.configured.get(name)? {
            Kubeconfig::Agent(tunnels) => Some(tunnels),
            Kubeconfig::File(_) | Kubeconfig::Text(_) | Kubeconfig::Pod { .. } => None,
        }
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &ClusterName> {
        self.configured.keys()
    }

    /// The connection to a cluster, the one of before while its kubeconfig is the same file.
    ///
    /// # Errors
    /// [`ClusterError::Configuration`]: no such cluster, or an unreadable kubeconfig.
    pub async fn get(&self, name: &ClusterName, identity: &Identity) -> Result<Cluster, ClusterError> {
        let Some(kubeconfig) = self.configured.get(name) else {
            return Err(ClusterError::Configuration(format!("no cluster `{name}` is configured")));
        };
        let stamp = stamp(kubeconfig).await?;
        let mut open = self.open.lock().await;
        if let Some((of, cluster)) = open.get(&(name.clone(), identity.clone()))
            && *of == stamp
        {
            return Ok(cluster.clone());
        }
        let breaker = self.breaker(name, stamp);
        let cluster = Cluster::connect_behind(breaker, name.clone(), kubeconfig, identity).await?;
        open.insert((name.clone(), identity.clone()), (stamp, cluster.clone()));
        Ok(cluster)
    }

    /// What syncs of this cluster take before they work, and give back while they wait.
    pub fn turns(&self, name: &ClusterName) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(name.clone()).or_insert_with(|| Arc::new(Semaphore::new(SYNCS))).clone()
    }

    /// Whoever asks as another user finds out the same, until somebody changes the file.
    fn breaker(&self, name: &ClusterName, stamp: Stamp) -> Arc<Breaker> {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, breaker) = breakers.entry(name.clone()).or_default();
        if *of != stamp {
            (*of, *breaker) = (stamp, Arc::default());
        }
        breaker.clone()
    }
}

async fn stamp(kubeconfig: &Kubeconfig) -> Result<Stamp, ClusterError> {
    let Kubeconfig::File(file) = kubeconfig else { return Ok(None) };
    let found = tokio::fs::metadata(file).await.and_then(|found| Ok((found.modified()?, found.len())));
    let unreadable = |error| ClusterError::Configuration(format!("kubeconfig {}: {error}", file.display()));
    found.map(Some).map_err(unreadable)
}
