//! `/api/v1/agents/{cluster}`: where an agent dials us. Its token opens the tunnel of that one cluster, and nothing else; what
//! goes through it is for [`crate::app`] to carry.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures::future::BoxFuture;
use hyper::upgrade::OnUpgrade;
use jiff::Timestamp;
use tokio::time::Instant;

use super::problem::{Problem, ProblemBody};
use super::token::{self, Scope};
use super::{Of, State, who};
use crate::ids::ClusterName;

/// What both ends speak once the connection is theirs. Another number is another language.
pub const PROTOCOL: &str = "bascule-agent-1";
/// How often it is looked up whether the token of an open tunnel is still good.
const LOOK: Duration = Duration::from_secs(2);

/// An agent that is connected.
#[derive(Debug, Clone)]
pub struct Connected {
    /// Since when.
    pub since: Timestamp,
    /// Its version of Bascule.
    pub version: String,
}

/// A connection that is to become a tunnel.
pub struct Dialled {
    /// Of which cluster.
    pub cluster: ClusterName,
    /// The connection, once the answer is sent.
    pub upgrade: OnUpgrade,
    /// When the request had been read.
    pub began: Instant,
    /// The name of its token.
    pub token: String,
    /// Its version of Bascule.
    pub version: String,
    /// Ends when the token does.
    pub until: BoxFuture<'static, ()>,
}

/// Those who carry tunnels. Windows do not speak with clusters: [`crate::app`] does.
pub trait Agents: std::fmt::Debug + Send + Sync {
    /// The agents of a cluster that are connected, the one that is used last; `None`: it is not reached by one.
    fn connected(&self, cluster: &ClusterName) -> Option<Vec<Connected>>;

    /// Takes a connection over, for as long as it lasts.
    fn carry(&self, dialled: Dialled);
}

/// Who carries tunnels, as the routes find them: a server that syncs nothing has nobody.
pub(super) type Carriers = Option<Extension<Arc<dyn Agents>>>;

/// What a server serves that is of role `worker`: agents dial it, and nobody else.
pub fn router(state: State, agents: Arc<dyn Agents>) -> Router {
    let routes = Router::new()
        .route("/api/v1/agents/{cluster}", get(dial))
        .fallback(async || Problem::absent("page here: this process is of role `worker`"));
    with_agents(routes.layer(middleware::from_fn(super::measure)).layer(middleware::from_fn(super::harden)), agents)
        .with_state(state)
}

/// The routes, with somebody who carries what agents dial.
pub fn with_agents<S: Clone + Send + Sync + 'static>(routes: Router<S>, agents: Arc<dyn Agents>) -> Router<S> {
    routes.layer(Extension(agents))
}

/// The connection becomes the tunnel of a cluster: for `bascule agent`, with a token of scope `agent:CLUSTER`.
#[utoipa::path(get, path = "/api/v1/agents/{cluster}", tag = "environments",
    params(("cluster" = String, Path, description = "The cluster's name in the server's file.")),
    responses((status = 101, description = "HTTP/2 from here on: the server asks, the agent answers."),
        (status = "4XX", body = ProblemBody)))]
pub(super) async fn dial(
    Of(state): Of<State>,
    Path(cluster): Path<String>,
    agents: Carriers,
    mut request: Request,
) -> Result<Response, Problem> {
    let began = Instant::now();
    let said = who::bearer(request.headers()).ok_or_else(who::nobody)?.to_owned();
    let token = token::good(&state, &said).await?;
    let cluster: ClusterName = cluster.parse().map_err(|_| Problem::absent("cluster"))?;
    if !token.scopes.contains(&Scope::Agent(cluster.clone()).to_string()) {
        return Err(Problem::forbidden("the token is not of the agent of this cluster"));
    }
    let Some(Extension(agents)) = agents else {
        return Err(Problem::conflict(
            "this process is of role `web` and syncs nothing: an agent dials one of role `worker` or `all`",
        ));
    };
    if agents.connected(&cluster).is_none() {
        return Err(Problem::conflict(format!(
            "the server's file has no `[cluster.{cluster}]` with `agent = true`: add it, and the agent is taken"
        )));
    }
    if asked_for(request.headers()) != Some(PROTOCOL) {
        let mut response =
            Problem::bad(format!("this is for `bascule agent`, which asks for an upgrade to `{PROTOCOL}`"))
                .into_response();
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        response.headers_mut().extend(upgrade());
        return Ok(response);
    }
    let version = version(request.headers());
    let upgrade_of = hyper::upgrade::on(&mut request);
    let until = Box::pin(async move {
        loop {
            tokio::time::sleep(LOOK).await;
            if token::is_over(&state, &said).await {
                return;
            }
        }
    });
    agents.carry(Dialled { cluster, upgrade: upgrade_of, began, token: token.name, version, until });
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    response.headers_mut().extend(upgrade());
    Ok(response)
}

fn upgrade() -> HeaderMap {
    let one = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static(PROTOCOL)),
    ];
    one.into_iter().collect()
}

fn asked_for(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::UPGRADE)?.to_str().ok()
}

/// `bascule/1.2.3`, as far as it is one.
fn version(headers: &HeaderMap) -> String {
    let said = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()?.strip_prefix("bascule/"));
    let is_version =
        |text: &&str| text.len() <= 40 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".+-".contains(&b));
    said.filter(is_version).unwrap_or("unknown").to_owned()
}
