//! The clusters of the server's file, connected when they are first used and again when a kubeconfig changes.

use std::collections::BTreeMap;
use std::time::SystemTime;

use tokio::sync::Mutex;

use crate::ids::ClusterName;

use super::Cluster;
use super::connection::{Identity, Kubeconfig};
use super::error::ClusterError;

/// What tells one content of a file from the next.
type Stamp = Option<(SystemTime, u64)>;

/// All configured clusters.
#[derive(Debug, Default)]
pub struct Clusters {
    configured: BTreeMap<ClusterName, Kubeconfig>,
    open: Mutex<BTreeMap<(ClusterName, Identity), (Stamp, Cluster)>>,
}

impl Clusters {
    /// Remembers where they are; nothing is read yet.
    pub fn new(configured: BTreeMap<ClusterName, Kubeconfig>) -> Self {
        Self { configured, open: Mutex::default() }
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
        let cluster = Cluster::connect(name.clone(), kubeconfig, identity).await?;
        open.insert((name.clone(), identity.clone()), (stamp, cluster.clone()));
        Ok(cluster)
    }
}

async fn stamp(kubeconfig: &Kubeconfig) -> Result<Stamp, ClusterError> {
    let Kubeconfig::File(file) = kubeconfig else { return Ok(None) };
    let found = tokio::fs::metadata(file).await.and_then(|found| Ok((found.modified()?, found.len())));
    let unreadable = |error| ClusterError::Configuration(format!("kubeconfig {}: {error}", file.display()));
    found.map(Some).map_err(unreadable)
}
