//! Windows: the API, the page of a preview, and, on a listener of their own, metrics and health.
//!
//! ```text
//!   /sign-in …      a person, through their forge ─▶ session
//!   /login          a person lets a command line act as them ─▶ session
//!   /api/v1/…       person, or machine token with a scope ─▶ JSON, problem+json, cursor pages; acts and looks at the log are entries
//!   /api/v1/agents/NAME  an agent, by its own token ─▶ the tunnel of its cluster
//!   /previews/{id}  person, or token ─▶ HTML that runs nothing
//!   /docs/{page}    the same ─▶ what is written about this version
//!   /metrics /healthz /readyz   on `admin_listen`
//! ```
//!
//! Deliberately absent: an act that consents, a script, and an answer to anybody we do not know.

mod acts;
mod admin;
mod adoptions;
pub mod agents;
mod asked;
mod audit;
mod clusters;
mod deliveries;
mod deployments;
mod documents;
mod drift;
mod emergencies;
mod ends;
mod environments;
mod forges;
mod html;
mod jobs;
mod login;
pub mod once;
mod origin;
pub mod people;
mod place;
mod preview_page;
mod previews;
mod problem;
mod restored;
mod rollbacks;
pub mod session;
mod sign_in;
pub mod token;
mod who;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use sqlx::PgPool;
use tower_http::timeout::TimeoutLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use admin::admin_router;

use crate::clock::Clock;
use crate::queue::Bell;
use crate::webhook::Endpoints;
use problem::Problem;
use who::{Allowed, Any};

/// How long an answer may take to begin: above the database's own bound of a statement.
const ANSWER: Duration = Duration::from_secs(60);

/// Of the contract, and not built yet.
const LATER: [&str; 7] =
    ["/", "/environments", "/pulls", "/audit", "/api/v1/pulls", "/api/v1/approvals", "/api/v1/events"];

/// What the windows look into.
#[derive(Debug, Clone)]
pub struct State {
    /// As the server's role.
    pub pool: PgPool,
    /// For expiry and ids.
    pub clock: Clock,
    /// Rung when an act enqueues.
    pub bell: Bell,
    /// The folder of the signed heads.
    pub checkpoints: PathBuf,
    /// What they are signed by.
    pub public_key: Vec<u8>,
    /// Which forges there are, and of what kind: a delivery is read again as it was read first.
    pub endpoints: Endpoints,
    /// How people reach us, without a slash at its end.
    pub public_url: String,
    /// What the forges say of people.
    pub people: Arc<dyn people::Forges>,
}

/// The state of a request.
use axum::extract::State as Of;

/// The API and the pages, for the public listener.
pub fn router(state: State) -> Router {
    let (api, mut document) = OpenApiRouter::new()
        .routes(routes!(audit::list))
        .routes(routes!(audit::verify))
        .routes(routes!(audit::export))
        .routes(routes!(audit::show))
        .routes(routes!(environments::list))
        .routes(routes!(clusters::list))
        .routes(routes!(agents::dial))
        .routes(routes!(drift::list))
        .routes(routes!(drift::heal))
        .routes(routes!(adoptions::adopt))
        .routes(routes!(adoptions::show))
        .routes(routes!(forges::list))
        .routes(routes!(environments::deployments))
        .routes(routes!(ends::objects))
        .routes(routes!(ends::forget))
        .routes(routes!(ends::destroy))
        .routes(routes!(acts::sync))
        .routes(routes!(acts::freeze))
        .routes(routes!(acts::unfreeze))
        .routes(routes!(emergencies::ask))
        .routes(routes!(emergencies::report))
        .routes(routes!(rollbacks::rollback))
        .routes(routes!(rollbacks::resume))
        .routes(routes!(rollbacks::show))
        .routes(routes!(deployments::list))
        .routes(routes!(deployments::report))
        .routes(routes!(deployments::exceptions))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::show))
        .routes(routes!(deliveries::replay))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::show))
        .routes(routes!(jobs::retry))
        .routes(routes!(previews::list))
        .routes(routes!(restored::show))
        .routes(routes!(previews::show))
        .routes(routes!(login::show, login::begin, login::end))
        .split_for_parts();
    document.info.title = "Bascule".to_owned();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document.info.description = Some(
        "Every request carries a token, `Authorization: Bearer …`: a machine's, which has scopes and never approves, or a \
         person's (`bascule login`), who sees what they may read on their forge. What somebody may not read is not there."
            .to_owned(),
    );
    let acts = Arc::new(once::Acts::of(&document));
    let describe = move |_: Allowed<Any>| async move { Json(document) };
    api.route("/api/v1/openapi.json", get(describe))
        .route("/docs/{page}", get(documents::page))
        .route("/previews/{id}", get(preview_page::page))
        .route("/sign-in", get(sign_in::show))
        .route("/sign-in/{forge}", get(sign_in::begin))
        .route("/sign-in/{forge}/callback", get(sign_in::end))
        .route("/sign-out", post(sign_in::out))
        .route("/login", get(login::ask).post(login::allow))
        .fallback(async |uri: Uri| match LATER.iter().find(|later| is_below(uri.path(), later)) {
            Some(later) => Problem::later(later),
            None => Problem::absent("page"),
        })
        .method_not_allowed_fallback(async || {
            let mut response = Problem::bad("this is not done so; see /api/v1/openapi.json").into_response();
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response
        })
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, ANSWER))
        .layer(middleware::from_fn_with_state(acts, kept_or_refused))
        .layer(middleware::from_fn(measure))
        .layer(middleware::from_fn(harden))
        .with_state(state)
}

/// Whether a path is this one or one below it.
fn is_below(path: &str, page: &str) -> bool {
    path == page || path.strip_prefix(page).is_some_and(|rest| page != "/" && rest.starts_with('/'))
}

/// An act with an `Idempotency-Key` expects that its answer is kept. Where that is not so, saying nothing would promise it.
async fn kept_or_refused(Of(acts): Of<Arc<once::Acts>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    if acts.is_elsewhere(request.method(), request.headers(), route) {
        return Problem::bad("`Idempotency-Key` is for the acts whose description names it").into_response();
    }
    next.run(request).await
}

/// How long each kind of request takes. Labels are ours: the route as written, never the path that was asked for.
async fn measure(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let began = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::histogram!("bascule_http_seconds", "route" => route, "status" => status)
        .record(began.elapsed().as_secs_f64());
    response
}

/// What every answer says to browsers: nothing here is a script, a frame, or kept by a cache, and where somebody was is
/// told to nobody else. (Not `no-referrer`: with that, a browser does not say where our own forms come from either.)
async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // A page with a form says itself where that may lead.
    if let Ok(policy) = HeaderValue::from_str(&html::policy("'none'")) {
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
