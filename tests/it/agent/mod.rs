//! A cluster that is reached through its agent: what goes through the tunnel, what never does, and a real one with its own account.

mod outside;
mod through;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use bascule::cluster::agent::Agent;
use bascule::cluster::tunnel::{Connected, Tunnels};
use bascule::cluster::{Cluster, ClusterError, Identity, Kubeconfig};
use bascule::ids::ClusterName;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What an API server was asked.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) line: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// What stands for an API server: it writes down what it is asked.
pub(super) struct Recording {
    pub(super) asked: Arc<Mutex<Vec<Asked>>>,
    kubeconfig: Kubeconfig,
    _serving: JoinSet<()>,
}

impl Recording {
    pub(super) async fn start() -> Self {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let writing = asked.clone();
        let answer = move |request: Request| {
            let asked = writing.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let line = format!("{} {}", head.method, head.uri);
                let body = String::from_utf8(body.to_vec()).unwrap();
                asked.lock().unwrap().push(Asked { line: line.clone(), headers: head.headers, body });
                said(&line)
            }
        };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
        Self { asked, kubeconfig: kubeconfig(port), _serving: serving }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|asked| asked.line.clone()).collect()
    }
}

fn said(line: &str) -> Response {
    let resources = json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [
        {"name": "configmaps", "singularName": "", "namespaced": true, "kind": "ConfigMap", "verbs": ["get", "list", "watch"]}]});
    match line {
        "GET /version" => axum::Json(json!({"gitVersion": "v1.99.0"})).into_response(),
        "GET /api/v1" => axum::Json(resources).into_response(),
        _ if line.contains("endless") => {
            let piece = vec![b' '; 1 << 20];
            let pieces = futures::stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
            Body::from_stream(pieces).into_response()
        }
        // It begins to answer, and says nothing more.
        _ if line.contains("silent") => {
            Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>()).into_response()
        }
        _ => axum::Json(json!({"kind": "ConfigMap", "apiVersion": "v1",
            "metadata": {"name": "a", "namespace": "b", "uid": "u", "resourceVersion": "1"}}))
        .into_response(),
    }
}

pub(super) fn kubeconfig(port: u16) -> Kubeconfig {
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{ name: c, cluster: {{ server: 'http://127.0.0.1:{port}' }} }}]\n\
         contexts: [{{ name: c, context: {{ cluster: c, user: u }} }}]\nusers: [{{ name: u, user: {{ token: of-the-agent }} }}]\n"
    );
    Kubeconfig::Text(text.into())
}

pub(super) fn cluster_name() -> ClusterName {
    "far".parse().unwrap()
}

pub(super) fn about(token: &str) -> Connected {
    Connected { since: jiff::Timestamp::UNIX_EPOCH, version: "1.0.0".to_owned(), token: token.to_owned() }
}

/// A tunnel between both ends, within this process.
pub(super) struct Tunnel {
    pub(super) tunnels: Arc<Tunnels>,
    pub(super) end: CancellationToken,
    pub(super) running: JoinSet<Result<(), hyper::Error>>,
}

impl Tunnel {
    pub(super) fn none() -> Self {
        Self { tunnels: Arc::new(Tunnels::new(cluster_name())), end: CancellationToken::new(), running: JoinSet::new() }
    }

    /// To this API server; the agent's clock began so much earlier than the server's.
    pub(super) async fn dials(&mut self, to: &Kubeconfig, token: &str, earlier: Duration) {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        self.dials_through((ours, theirs), to, token, earlier).await;
    }

    /// Through these two ends of a connection.
    pub(super) async fn dials_through<S>(
        &mut self,
        (ours, theirs): (tokio::io::DuplexStream, S),
        to: &Kubeconfig,
        token: &str,
        earlier: Duration,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let agent = Agent::new(cluster_name(), to).await.unwrap();
        let (tunnels, end) = (self.tunnels.clone(), self.end.child_token());
        let (name, about, began) = (token, about(token), Instant::now());
        self.running.spawn(async move { tunnels.carry(TokioIo::new(ours), began, about, end).await });
        self.running.spawn(async move {
            agent.serve(TokioIo::new(theirs), began - earlier, std::future::pending::<()>()).await
        });
        while self.tunnels.connected().last().is_none_or(|one| one.token != name) {
            tokio::task::yield_now().await;
        }
    }

    pub(super) async fn cluster(&self, identity: &Identity) -> Result<Cluster, ClusterError> {
        Cluster::connect(cluster_name(), &Kubeconfig::Agent(self.tunnels.clone()), identity).await
    }
}
