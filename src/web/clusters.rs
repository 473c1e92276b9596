//! `/api/v1/clusters`: where environments go, each cluster summed up.

use axum::Json;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::agents::{Agents, Carriers};
use super::asked::{Asked, Page, limit};
use super::problem::{Problem, ProblemBody};
use super::who::{Allowed, Read};
use super::{Of, State};
use crate::db::clusters::{self, ClusterNow};

/// A cluster, as far as the server knows it without asking it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Cluster {
    /// Its name in the server's file.
    name: String,
    /// Environments that go there.
    environments: i64,
    /// Objects that were applied for them and are not confirmed gone.
    objects: i64,
    /// How many of those are not as they were left.
    drifted: i64,
    /// Deployments that run there now.
    syncing: i64,
    /// Environments that wait because it could not be used.
    away: i64,
    /// Whether what changes there is watched now.
    watched: bool,
    /// Whether its agent is connected; `null` where the server reaches it by itself.
    agent: Option<Agent>,
}

/// The agent of a cluster.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Agent {
    /// `connected` or `away`.
    state: &'static str,
    /// Since when it is connected.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Its version of Bascule.
    version: Option<String>,
}

fn cluster(now: ClusterNow, agents: Option<&dyn Agents>) -> Cluster {
    let ClusterNow { name, environments, objects, drifted, syncing, away, is_watched } = now;
    let connected = name.parse().ok().and_then(|name| agents?.connected(&name));
    let agent = connected.map(|mut connected| match connected.pop() {
        Some(one) => Agent { state: "connected", since: Some(one.since), version: Some(one.version) },
        None => Agent { state: "away", since: None, version: None },
    });
    Cluster { name, environments, objects, drifted, syncing, away, watched: is_watched, agent }
}

/// Which clusters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichClusters {
    /// The cursor.
    before: Option<String>,
    /// Clusters of a page, at most 200.
    limit: Option<i64>,
}

/// The clusters that environments go to, by name; of a person, what they may read counts.
#[utoipa::path(get, path = "/api/v1/clusters", tag = "environments", params(WhichClusters),
    responses((status = 200, body = Page<Cluster>), (status = "4XX", body = ProblemBody)))]
pub(super) async fn list(
    who: Allowed<Read>,
    Of(state): Of<State>,
    agents: Carriers,
    Asked(which): Asked<WhichClusters>,
) -> Result<Json<Page<Cluster>>, Problem> {
    let limit = limit(which.limit)?;
    let sight = who.sees(&state, None).await?;
    let after = super::asked::text(which.before.as_deref())?;
    let items = clusters::list(&mut *state.pool.acquire().await?, sight.ours(), after, limit).await?;
    let agents = agents.as_ref().map(|agents| agents.0.as_ref());
    let items: Vec<Cluster> = items.into_iter().map(|now| cluster(now, agents)).collect();
    Ok(Json(Page::of(items, limit, |one: &Cluster| one.name.clone())))
}
