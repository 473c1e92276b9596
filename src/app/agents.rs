//! Tunnels: what agents dialled is carried here for as long as it lasts, the token is good and the file names the cluster so.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::reload::{self, Live};
use crate::clock::Clock;
use crate::cluster::tunnel::{self, Tunnels};
use crate::ids::ClusterName;
use crate::queue::{Bell, Lane};
use crate::web::agents::{self, Connected, Dialled};

/// How long the connection may take to become ours after the answer that says so.
const HANDED_OVER: Duration = Duration::from_secs(5);

/// Carries the tunnels of all clusters.
#[derive(Debug)]
pub(super) struct Agents {
    pool: PgPool,
    clock: Clock,
    bell: Bell,
    live: watch::Receiver<Live>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Agents {
    /// For the clusters of what is in force.
    pub(super) fn new((pool, clock, bell): (&PgPool, &Clock, &Bell), live: watch::Receiver<Live>) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        Self { pool: pool.clone(), clock: clock.clone(), bell: bell.clone(), live, tasks, stop }
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
        let (pool, clock, bell) = (self.pool.clone(), self.clock.clone(), self.bell.clone());
        let (since, is_first) = (clock.now(), tunnels.connected().is_empty());
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
            // What waited for the cluster would come by itself, minutes later.
            let waking = async {
                if is_first {
                    wake(&pool, &clock, &bell, &cluster).await;
                }
                std::future::pending::<()>().await
            };
            let why = tokio::select! {
                () = waking => String::new(),
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

/// Has what is held in a cluster looked at again.
async fn wake(pool: &PgPool, clock: &Clock, bell: &Bell, cluster: &ClusterName) {
    match reload::look_again(pool, clock, &[cluster.to_string()].into()).await {
        Ok(0) => {}
        Ok(_) => bell.ring(Lane::Sync),
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            %cluster,
            "what waits for a cluster is not woken, and comes by itself"
        ),
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
