//! The real API server behind a front that a test can close: it hands on what it is asked, or does not.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::parts::ControlPlane;

/// More than any object of a test.
const LARGEST: usize = 10 << 20;

/// A front of a control plane, on loopback. It ends with this value.
pub(crate) struct Front {
    inside: Arc<Inside>,
    port: u16,
    folder: tempfile::TempDir,
    serving: JoinSet<()>,
    stop: CancellationToken,
}

/// Whether a request, by its method and path, is the one that is meant.
pub(crate) type IsIt = fn(&str) -> bool;

struct Inside {
    client: reqwest::Client,
    url: String,
    token: String,
    /// Every request is answered so.
    refuses: Mutex<Option<StatusCode>>,
    /// What is on its way ends when this is cancelled.
    cut: Mutex<CancellationToken>,
    /// These writes of the next are answered so, in turn, and not handed on; see [`Front::refuses_the_next_writes`].
    refuses_writes: Mutex<VecDeque<u16>>,
    /// What ends so is answered with this text: there is no kubelet to ask for a log.
    says: Mutex<Vec<(String, String)>>,
    /// The next write is handed on, this happens, and its answer is lost.
    loses: Mutex<Option<BoxFuture<'static, ()>>>,
    /// When a request is such a one, this happens before its answer is handed on.
    meanwhile: Mutex<Option<(IsIt, BoxFuture<'static, ()>)>>,
    /// Such a request is answered so once, and not handed on.
    refuses_one: Mutex<Option<(IsIt, StatusCode, String)>>,
    /// Dry runs are answered once this is false again.
    thinks: watch::Sender<bool>,
    /// Method and path of every request.
    asked: watch::Sender<Vec<String>>,
}

impl Front {
    pub(crate) async fn of(plane: &ControlPlane) -> Self {
        let ca = reqwest::Certificate::from_pem_bundle(plane.ca().as_bytes()).unwrap();
        #[expect(clippy::disallowed_methods, reason = "it stands between the product's client and the real server")]
        let client = reqwest::Client::builder().no_proxy().tls_certs_only(ca).build().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let inside = Inside {
            client,
            url: plane.url(),
            token: plane.token().to_owned(),
            refuses: Mutex::default(),
            cut: Mutex::default(),
            refuses_writes: Mutex::default(),
            says: Mutex::default(),
            loses: Mutex::default(),
            meanwhile: Mutex::default(),
            refuses_one: Mutex::default(),
            thinks: watch::Sender::new(false),
            asked: watch::Sender::default(),
        };
        let mut front = Self {
            inside: Arc::new(inside),
            port: listener.local_addr().unwrap().port(),
            folder: tempfile::tempdir().unwrap(),
            serving: JoinSet::new(),
            stop: CancellationToken::new(),
        };
        let port = front.port;
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: front\n\
             clusters: [{{ name: front, cluster: {{ server: 'http://127.0.0.1:{port}' }} }}]\n\
             contexts: [{{ name: front, context: {{ cluster: front, user: front }} }}]\n\
             users: [{{ name: front, user: {{}} }}]\n"
        );
        std::fs::write(front.folder.path().join("kubeconfig"), text).unwrap();
        front.serves(listener);
        front
    }

    /// The file of whoever comes through the front.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        Path::new(self.folder.path()).join("kubeconfig")
    }

    /// Every request is answered with this status.
    pub(crate) fn refuses(&self, status: u16) {
        *self.inside.refuses.lock().unwrap() = Some(StatusCode::from_u16(status).unwrap());
    }

    /// The next writes are answered so, one after the other, and not handed on. 0 is a connection that breaks off,
    /// and 1 one that is handed on.
    pub(crate) fn refuses_the_next_writes(&self, statuses: &[u16]) {
        *self.inside.refuses_writes.lock().unwrap() = statuses.iter().copied().collect();
    }

    /// Answers that are still on their way, as those of watches, break off.
    pub(crate) fn breaks_off(&self) {
        std::mem::take(&mut *self.inside.cut.lock().unwrap()).cancel();
    }

    /// Requests are handed on again.
    pub(crate) fn recovers(&self) {
        *self.inside.refuses.lock().unwrap() = None;
    }

    /// A path that ends so is answered with this text, and not handed on.
    pub(crate) fn says(&self, path: &str, text: &str) {
        self.inside.says.lock().unwrap().push((path.to_owned(), text.to_owned()));
    }

    /// The next write is carried out, then this happens, and the answer is that the time is up.
    pub(crate) fn loses_the_next_answer(&self, then: BoxFuture<'static, ()>) {
        *self.inside.loses.lock().unwrap() = Some(then);
    }

    /// The next request of which this holds (`PATCH /api/…`) is carried out, then this happens, and then it is answered.
    pub(crate) fn before_it_answers(&self, asked: IsIt, then: BoxFuture<'static, ()>) {
        *self.inside.meanwhile.lock().unwrap() = Some((asked, then));
    }

    /// The next request of which this holds is refused with these words, and not handed on.
    pub(crate) fn answers_once(&self, asked: IsIt, status: u16, words: &str) {
        let status = StatusCode::from_u16(status).unwrap();
        *self.inside.refuses_one.lock().unwrap() = Some((asked, status, words.to_owned()));
    }

    /// What it was asked since the last time: method and path of each request.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.inside.asked.send_replace(Vec::new())
    }

    /// Dry runs get no answer, until [`Self::answers_dry_runs`]; everything else does.
    pub(crate) fn thinks_about_dry_runs(&self) {
        self.inside.thinks.send_replace(true);
    }

    pub(crate) fn answers_dry_runs(&self) {
        self.inside.thinks.send_replace(false);
    }

    /// Waits until so many requests have come that hold this.
    pub(crate) async fn was_asked(&self, what: &str, times: usize) {
        let is_it = |asked: &Vec<String>| asked.iter().filter(|one| one.contains(what)).count() >= times;
        self.inside.asked.subscribe().wait_for(is_it).await.unwrap();
    }

    /// Nobody listens any more, until [`Self::returns`].
    pub(crate) async fn goes_away(&mut self) {
        self.stop.cancel();
        while self.serving.join_next().await.is_some() {}
    }

    pub(crate) async fn returns(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.serves(listener);
    }

    fn serves(&mut self, listener: TcpListener) {
        self.stop = CancellationToken::new();
        let app = Router::new().fallback(hand_on).with_state(self.inside.clone());
        let stopped = self.stop.clone().cancelled_owned();
        self.serving.spawn(async move { axum::serve(listener, app).with_graceful_shutdown(stopped).await.unwrap() });
    }
}

async fn hand_on(State(inside): State<Arc<Inside>>, request: Request) -> Response {
    if let Some(status) = *inside.refuses.lock().unwrap() {
        return refusal(status);
    }
    inside.asked.send_modify(|asked| asked.push(format!("{} {}", request.method(), request.uri())));
    let (parts, body) = request.into_parts();
    if parts.uri.query().is_some_and(|query| query.contains("dryRun")) {
        // Its other end is in `inside`, which we have.
        inside.thinks.subscribe().wait_for(|thinks| !thinks).await.unwrap();
    }
    let refused = if parts.method == Method::GET { None } else { inside.refuses_writes.lock().unwrap().pop_front() };
    match refused {
        None | Some(1) => {}
        Some(0) => {
            let cut = futures::stream::iter([Ok("{"), Err(std::io::Error::other("cut"))]);
            return Response::new(Body::from_stream(cut));
        }
        Some(status) => return refusal(StatusCode::from_u16(status).unwrap()),
    }
    let line = format!("{} {}", parts.method, parts.uri);
    let refused = inside.refuses_one.lock().unwrap().take_if(|(asked, ..)| asked(&line));
    if let Some((_, status, words)) = refused {
        return refusal_with(status, &words);
    }
    let said = inside.says.lock().unwrap().iter().find(|(end, _)| parts.uri.path().ends_with(end.as_str())).cloned();
    if let Some((_, text)) = said {
        return text.into_response();
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut asked = inside.client.request(parts.method.clone(), format!("{}{path}", inside.url));
    for name in [header::CONTENT_TYPE, header::ACCEPT] {
        if let Some(value) = parts.headers.get(&name) {
            asked = asked.header(name, value);
        }
    }
    let body = to_bytes(body, LARGEST).await.unwrap();
    let answer = asked.bearer_auth(&inside.token).body(body).send().await.unwrap();
    let line = format!("{} {path}", parts.method);
    let meanwhile = inside.meanwhile.lock().unwrap().take_if(|(asked, _)| asked(&line));
    if let Some((_, then)) = meanwhile {
        then.await;
    }
    // The fence of a sync is no object of it.
    let is_write = parts.method != Method::GET && !path.contains("dryRun") && !path.contains("/leases");
    let lost = if is_write { inside.loses.lock().unwrap().take() } else { None };
    if let Some(then) = lost {
        then.await;
        return refusal(StatusCode::GATEWAY_TIMEOUT);
    }
    let kind = answer.headers().get(header::CONTENT_TYPE).cloned();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    let cut = inside.cut.lock().unwrap().clone().cancelled_owned();
    *response.body_mut() = Body::from_stream(answer.bytes_stream().take_until(cut));
    response
}

/// As the real server words it.
fn refusal(status: StatusCode) -> Response {
    let reason = status.canonical_reason().unwrap_or_default().replace(' ', "");
    refusal_with(status, &format!("the front says {reason}"))
}

fn refusal_with(status: StatusCode, words: &str) -> Response {
    let reason = status.canonical_reason().unwrap_or_default().replace(' ', "");
    let body = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": words, "reason": reason, "code": status.as_u16() });
    (status, axum::Json(body)).into_response()
}
