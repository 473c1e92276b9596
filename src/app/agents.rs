//! Tunnels: what agents dialled is carried here for as long as it lasts, the token is good and the file names the cluster so.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::reload::Live;
use crate::clock::Clock;
use crate::cluster::tunnel::{self, Tunnels};
use crate::ids::ClusterName;
use crate::web::agents::{self, Connected, Dialled};

/// How long the connection may take to become ours after the answer that says so.
const HANDED_OVER: Duration = Duration::from_secs(5);

/// Carries the tunnels of all clusters.
#[derive(Debug)]
pub(super) struct Agents {
    clock: Clock,
    live: watch::Receiver<Live>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Agents {
    /// For the clusters of what is in force.
    pub(super) fn new(clock: &Clock, live: watch::Receiver<Live>) -> Self {
        Self { clock: clock.clone(), live, tasks: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// Ends all tunnels, and waits for that.
    pub(super) async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn tunnels(&self, cluster: &ClusterName) -> Option<Arc<Tunnels>> {
        self.live.borrow().context.clusters.dialled(cluster).cloned()
    }
}

impl agents::Agents for Agents {
    fn connected(&self, cluster: &ClusterName) -> Option<Vec<Connected>> {
        let connected = self.tunnels(cluster)?.connected().into_iter();
        Some(connected.map(|one| Connected { since: one.since, version: one.version }).collect())
    }

    fn carry(&self, dialled: Dialled) {
        let Some(tunnels) = self.tunnels(&dialled.cluster) else { return };
        let (live, end) = (self.live.clone(), self.stop.child_token());
        let since = self.clock.now();
        self.tasks.spawn(async move {
            let Dialled { cluster, upgrade, began, token, version, until } = dialled;
            let Ok(Ok(stream)) = tokio::time::timeout(HANDED_OVER, upgrade).await else {
                tracing::warn!(%cluster, token, "an agent dialled, and its connection broke off at once");
                return;
            };
            tracing::info!(%cluster, token, version, "an agent is connected");
            let connected = metrics::gauge!("bascule_agents", "cluster" => cluster.to_string());
            connected.increment(1);
            let about = tunnel::Connected { since, version, token: token.clone() };
            let why = tokio::select! {
                ended = tunnels.carry(stream, began, about, end.clone()) => match ended {
                    Ok(()) if end.is_cancelled() => "there is a newer one, or the server stops".to_owned(),
                    Ok(()) => "it left".to_owned(),
                    Err(error) => crate::cluster::innermost(&error),
                },
                () = until => "its token has ended".to_owned(),
                () = is_dropped(live, &cluster, &tunnels) => "the server's file does not name its cluster so any more".to_owned(),
            };
            connected.decrement(1);
            tracing::info!(%cluster, token, why, "an agent is not connected any more");
        });
    }
}

/// Until the file in force says that the cluster has no agent, or is another.
async fn is_dropped(mut live: watch::Receiver<Live>, cluster: &ClusterName, tunnels: &Arc<Tunnels>) {
    let is_dropped = |live: &Live| live.context.clusters.dialled(cluster).is_none_or(|now| !Arc::ptr_eq(now, tunnels));
    // Without a sender nothing is reloaded any more.
    if live.wait_for(is_dropped).await.is_err() {
        std::future::pending::<()>().await;
    }
}
