//! The real API server behind a front that writes down every write that was done, in the order in which the server did them, and
//! that may lose a connection: before a request is handed on, or on the way back.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::Response;
use bascule::sync::fence::FENCE_ANNOTATION;
use reqwest::Method;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::random::Random;
use crate::parts::ControlPlane;

/// More than any object of a test.
const LARGEST: usize = 10 << 20;

/// A write that the server did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// The server's own count of changes: its order is that of the writes.
    pub(crate) version: u64,
    /// The number its writer had in the fence of the namespace.
    pub(crate) number: i64,
    pub(crate) namespace: String,
    pub(crate) what: String,
}

/// What all recorders of one loop write into.
#[derive(Debug, Default)]
pub(crate) struct Record(Mutex<Vec<Written>>);

impl Record {
    /// Those of a namespace, as the server did them.
    pub(crate) fn of(&self, namespace: &str) -> Vec<Written> {
        let mut all: Vec<_> = self.0.lock().unwrap().iter().filter(|one| one.namespace == namespace).cloned().collect();
        all.sort_by_key(|one| one.version);
        all
    }
}

/// One worker's way to the API server. It ends with this value.
pub(crate) struct Recorder {
    inside: Arc<Inside>,
    folder: tempfile::TempDir,
    _serving: JoinSet<()>,
}

struct Inside {
    client: reqwest::Client,
    url: String,
    token: String,
    record: Arc<Record>,
    /// The number by which this worker took the fence of a namespace last.
    numbers: Mutex<std::collections::BTreeMap<String, i64>>,
    random: Mutex<Random>,
    /// Of a hundred requests, how many are lost.
    loses: AtomicU32,
}

impl Recorder {
    pub(crate) async fn of(plane: &ControlPlane, record: &Arc<Record>, seed: u64) -> Self {
        let ca = reqwest::Certificate::from_pem_bundle(plane.ca().as_bytes()).unwrap();
        #[expect(clippy::disallowed_methods, reason = "it stands between the product's client and the real server")]
        let client = reqwest::Client::builder().no_proxy().tls_certs_only(ca).build().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let inside = Arc::new(Inside {
            client,
            url: plane.url(),
            token: plane.token().to_owned(),
            record: record.clone(),
            numbers: Mutex::default(),
            random: Mutex::new(Random(seed)),
            loses: AtomicU32::new(0),
        });
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: front\n\
             clusters: [{{ name: front, cluster: {{ server: 'http://127.0.0.1:{port}' }} }}]\n\
             contexts: [{{ name: front, context: {{ cluster: front, user: front }} }}]\n\
             users: [{{ name: front, user: {{}} }}]\n"
        );
        std::fs::write(folder.path().join("kubeconfig"), text).unwrap();
        let app = Router::new().fallback(hand_on).with_state(inside.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { inside, folder, _serving: serving }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        Path::new(self.folder.path()).join("kubeconfig")
    }

    /// From now on so many of a hundred connections break, before the request arrived or before its answer does.
    pub(crate) fn loses(&self, of_a_hundred: u32) {
        self.inside.loses.store(of_a_hundred, Ordering::SeqCst);
    }
}

/// What becomes of a request.
#[derive(PartialEq)]
enum Fate {
    Arrives,
    NeverArrives,
    AnswerIsLost,
}

impl Inside {
    fn fate(&self) -> Fate {
        let mut random = self.random.lock().unwrap();
        let drawn = u32::try_from(random.below(100)).unwrap();
        match (drawn < self.loses.load(Ordering::SeqCst), drawn % 2) {
            (false, _) => Fate::Arrives,
            (true, 0) => Fate::NeverArrives,
            (true, _) => Fate::AnswerIsLost,
        }
    }

    /// By whom a request is that arrives now. When it is answered, that worker may be dead and its place another's.
    fn asking(&self, path: &str) -> i64 {
        let numbers = self.numbers.lock().unwrap();
        namespace(path).and_then(|namespace| numbers.get(namespace)).copied().unwrap_or(-1)
    }

    /// Hands a request on, and writes down what it did.
    async fn ask(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut asked = self.client.request(parts.method.clone(), format!("{}{path}", self.url));
        for name in [header::CONTENT_TYPE, header::ACCEPT] {
            if let Some(value) = parts.headers.get(&name) {
                asked = asked.header(name, value);
            }
        }
        // Of whoever died while it sent, there is only a part.
        let Ok(body) = to_bytes(body, LARGEST).await else { return broken() };
        let asked_by = self.asking(path);
        let answer = asked.bearer_auth(&self.token).body(body).send().await.unwrap();
        let (status, kind) = (answer.status(), answer.headers().get(header::CONTENT_TYPE).cloned());
        let body = if parts.method == Method::GET {
            Body::from_stream(answer.bytes_stream())
        } else {
            let body = answer.bytes().await.unwrap();
            if status.is_success() && !path.contains("dryRun") {
                self.note(&parts.method, path, asked_by, &body);
            }
            Body::from(body)
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        if let Some(kind) = kind {
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        response
    }

    /// Writes down what was done, and by whom.
    fn note(&self, method: &Method, path: &str, asked_by: i64, answer: &[u8]) {
        let Ok(answer) = serde_json::from_slice::<Value>(answer) else { return };
        let Some(namespace) = namespace(path) else { return };
        let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
        let Some(version) = text("/metadata/resourceVersion").and_then(|version| version.parse().ok()) else { return };
        let fence = answer.pointer("/metadata/annotations").and_then(|marks| marks.get(FENCE_ANNOTATION));
        let taken = fence.and_then(Value::as_str).and_then(|number| number.parse().ok());
        if let Some(number) = taken {
            self.numbers.lock().unwrap().insert(namespace.to_owned(), number);
        }
        let number = taken.unwrap_or(asked_by);
        let what = format!("{method} {}", path.split('?').next().unwrap_or(path));
        let written = Written { version, number, namespace: namespace.to_owned(), what };
        let mut record = self.record.0.lock().unwrap();
        // What changed nothing has the version of the write before.
        if !record.iter().any(|one| one.version == version) {
            record.push(written);
        }
    }
}

fn namespace(path: &str) -> Option<&str> {
    path.split("/namespaces/").nth(1).and_then(|rest| rest.split(['/', '?']).next())
}

async fn hand_on(State(inside): State<Arc<Inside>>, request: Request) -> Response {
    let fate = inside.fate();
    if fate == Fate::NeverArrives {
        return broken();
    }
    // What arrived is done and written down, also where nobody lives to hear of it. Otherwise the next worker, to whom the server
    // answers with the same version because there is nothing left to do, would be taken for the one who wrote it.
    #[expect(clippy::disallowed_methods, reason = "it outlives whoever asked for it, which is what is meant")]
    let answered = tokio::spawn(async move { inside.ask(request).await }).await.unwrap();
    if fate == Fate::AnswerIsLost { broken() } else { answered }
}

/// A connection that ends in the middle of its answer.
fn broken() -> Response {
    let half = futures::stream::iter([Ok(axum::body::Bytes::from_static(b"{")), Err(std::io::Error::other("cut"))]);
    Response::new(Body::from_stream(half))
}
