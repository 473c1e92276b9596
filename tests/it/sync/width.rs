//! How many requests of one sync are on their way at once, counted between us and the API server.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Place, Server, settings};
use crate::parts::ControlPlane;
use crate::plane::on_plane;

/// What a sync may have on its way: a cluster's rate is flat from there on, and only latency grows.
const WIDTH: usize = 16;
/// More than fit at once, and no multiple of it.
const OBJECTS: usize = 41;

/// Writes that are on their way, the most that ever were, and all that came.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    now: usize,
    most: usize,
    all: usize,
}

/// Stands in front of an API server, and lets no write through before as many came as may be on their way.
struct Gate {
    server: String,
    client: reqwest::Client,
    counted: watch::Sender<Counted>,
}

async fn pass(State(gate): State<Arc<Gate>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let is_counted = method == Method::PATCH && uri.path().contains("/configmaps/");
    if is_counted {
        gate.counted.send_modify(|counted| {
            counted.now += 1;
            counted.all += 1;
            counted.most = counted.most.max(counted.now);
        });
        let is_full = |counted: &Counted| counted.now >= WIDTH || counted.all >= OBJECTS;
        gate.counted.subscribe().wait_for(is_full).await.unwrap();
    }
    let mut headers = headers;
    headers.remove("host");
    let path = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let asked = gate.client.request(method, gate.server.clone() + &path).headers(headers).body(body).send().await;
    if is_counted {
        gate.counted.send_modify(|counted| counted.now -= 1);
    }
    let Ok(answer) = asked else { return StatusCode::BAD_GATEWAY.into_response() };
    let (status, kind) = (answer.status(), answer.headers().get("content-type").cloned());
    // A watch has no end: piece by piece.
    let pieces = futures::stream::unfold(answer, async |mut answer| {
        let piece = answer.chunk().await.transpose()?;
        Some((piece, answer))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    *response.status_mut() = status;
    kind.map(|kind| response.headers_mut().insert("content-type", kind));
    response
}

/// A gate, and the kubeconfig that leads through it; it ends with the tasks.
async fn gate(plane: &ControlPlane, folder: &std::path::Path) -> (Arc<Gate>, std::path::PathBuf, JoinSet<()>) {
    let certificate = reqwest::Certificate::from_pem(plane.ca().as_bytes()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the far side of a proxy of a test")]
    let client = reqwest::Client::builder().no_proxy().tls_certs_merge([certificate]).build().unwrap();
    let gate = Arc::new(Gate { server: plane.url(), client, counted: watch::Sender::default() });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().fallback(pass).with_state(gate.clone());
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let kubeconfig = folder.join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: gate\nclusters: [{{ name: gate, cluster: {{ server: \"{url}\" }} }}]\n\
         contexts: [{{ name: gate, context: {{ cluster: gate, user: gate }} }}]\n\
         users: [{{ name: gate, user: {{ token: \"{}\" }} }}]\n",
        plane.token()
    );
    std::fs::write(&kubeconfig, text).unwrap();
    (gate, kubeconfig, serving)
}

#[test]
fn sixteen_writes_are_on_their_way_at_once_and_never_more() {
    on_plane(async |plane| {
        let folder = tempfile::tempdir().unwrap();
        let mut place = Place::new(plane, "sync-width").await;
        let (gate, kubeconfig, _serving) = gate(plane, folder.path()).await;
        place.server = Server::new(place.database.pool.clone(), kubeconfig);
        let all: String = (0..OBJECTS).map(|number| settings(&format!("n{number}"), "1")).collect();
        let (outcome, writes) = place.syncs(&all).await;
        assert_eq!((outcome.created, writes), (OBJECTS as u64, OBJECTS as u64), "{}", outcome.sentence());
        let counted = *gate.counted.borrow();
        assert_eq!((counted.most, counted.now, counted.all), (WIDTH, 0, OBJECTS));
        assert_eq!(place.state().await, ("healthy".to_owned(), None));
    });
}
