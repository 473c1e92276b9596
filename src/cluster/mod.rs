//! Clusters: what is there, one write at a time, and a watch until it is well.
//!
//! ```text
//!   kubeconfig ─> connection ─> wire (one request, bounded, its answer as value or error by fate)
//!                                 │
//!                  discovery ─────┼── look (metadata, one object) ── apply (server-side, by uid and version)
//!                                 │        ├── foresee (the answer to an apply, without it)
//!                                 ├── observe (metadata of a kind, from now on) ── drift (what an apply would change, and back)
//!                                 └── delete (by uid) ── watch (health until well or time is up)
//! ```
//!
//! A cluster that we cannot reach has an `agent` in it that dials us, and `tunnel` is the kubeconfig's place: nothing else differs.
//!
//! Every write is a server-side apply by one field manager, never forced, with strict validation. (A dry run may be
//! forced, so that its answer does not tell what others hold. And `drift` takes back what was ours, where the rules say so.) A write to an object
//! that is there carries its uid and resourceVersion, and one to an object that is not carries a version that no
//! object can have, so that a stale writer is refused by the server and not by our care alone.
//!
//! Absent on purpose: retries (the job decides, because every write needs a fresh look at its lease), caches of
//! objects, and anything that writes without a uid.

mod access;
pub mod agent;
mod apply;
mod breaker;
mod connection;
mod delete;
mod discovery;
mod drift;
mod error;
mod evidence;
mod fence;
mod foresee;
mod look;
mod named;
mod observe;
mod openapi;
mod rights;
pub mod tunnel;
mod watch;
mod wire;

pub use apply::{Applied, Onto, Write};
pub use connection::{Identity, Kubeconfig};
pub use delete::Deleted;
pub use discovery::{Resource, Served};
pub use drift::{Differs, Inspected, Ours};
pub use error::{ClusterError, Fate};
pub use fence::Hold;
pub use foresee::{Found, Trial};
pub use named::Clusters;
pub use observe::{Cause, Scope, Sighted};
pub use watch::{Judges, NoRules, Until, Verdict, Watched};
pub use wire::{WRITE_LIMIT, innermost};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OnceCell, RwLock, Semaphore};

use crate::ids::ClusterName;

use breaker::Breaker;

/// Requests in flight to one cluster: its rate is flat from 16 on, and only latency grows.
const WIDTH: usize = 16;
/// Of these, dry runs: syncs never wait for previews.
const TRIALS: usize = 8;

/// A connection to one cluster as one user. Cheap to clone.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    name: ClusterName,
    client: kube::Client,
    slots: Semaphore,
    trials: Semaphore,
    served: RwLock<Option<Arc<Served>>>,
    uid: OnceCell<String>,
    counts: Counts,
    /// One for all who reach this cluster, as whomever.
    breaker: Arc<Breaker>,
}

/// Requests sent since the connection was made: what tests and metrics count.
#[derive(Debug, Default)]
struct Counts {
    reads: AtomicU64,
    writes: AtomicU64,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Cluster({})", self.0.name)
    }
}

impl Cluster {
    /// The name it has in the server's file.
    pub fn name(&self) -> &ClusterName {
        &self.0.name
    }

    /// Whether it is the same connection: the kubeconfig is the one it was.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// How many requests wrote, or tried to.
    pub fn writes(&self) -> u64 {
        self.0.counts.writes.load(Ordering::Relaxed)
    }

    /// How many requests only read.
    pub fn reads(&self) -> u64 {
        self.0.counts.reads.load(Ordering::Relaxed)
    }

    /// What the cluster is, whatever it is called: the uid of its `kube-system` namespace. Read once.
    ///
    /// # Errors
    /// As every read.
    pub async fn uid(&self) -> Result<&str, ClusterError> {
        let uid = self.0.uid.get_or_try_init(|| async {
            let namespace = self.read_json("/api/v1/namespaces/kube-system", wire::ONE_METADATA).await?;
            let uid = namespace.pointer("/metadata/uid").and_then(serde_json::Value::as_str);
            uid.map(str::to_owned).ok_or_else(|| ClusterError::unreadable("kube-system has no uid"))
        });
        Ok(uid.await?)
    }
}
