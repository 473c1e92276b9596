//! A listener whose clients cannot hold a connection by sending nothing.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::{Request, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

/// How much a client may take of us before anything is known of it. The defaults are those of [`Patience::default`].
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For all headers of a request, and for the next request on an idle connection.
    pub headers: Duration,
    /// Header bytes of one request.
    pub header_bytes: usize,
    /// Connections at once; beyond it, clients wait to be accepted.
    pub connections: usize,
    /// For requests that run when the server stops.
    pub grace: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            headers: Duration::from_secs(5),
            header_bytes: 64 << 10,
            connections: 4_096,
            grace: Duration::from_secs(10),
        }
    }
}

/// Serves until `stop`, then lets running requests end.
pub async fn serve(listener: TcpListener, routes: Router, patience: Patience, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next(), if connections.len() >= patience.connections => continue,
            accepted = listener.accept(), if connections.len() < patience.connections => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                connections.spawn(connection(TokioIo::new(stream), peer, routes.clone(), patience, stop.clone()));
            }
            // Out of descriptors: those that are open have to end first.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    let _ = tokio::time::timeout(patience.grace, async { while connections.join_next().await.is_some() {} }).await;
}

async fn connection(
    stream: TokioIo<TcpStream>,
    peer: SocketAddr,
    routes: Router,
    patience: Patience,
    stop: CancellationToken,
) {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut routes = routes.clone();
        let request = request.map(Body::new);
        async move { routes.call(request).await }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.headers)
        .max_buf_size(patience.header_bytes)
        .serve_connection(stream, service)
        // An agent's tunnel, which whoever answered carries from then on: it is no connection of ours any more.
        .with_upgrades();
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

/// Both listeners full and as much again for the rest, and few enough for programs that look at each.
const OPEN_FILES: u64 = 16_384;

/// Takes as many open files as we may have: a connection is one, and an ordinary user begins with 1,024, which strangers who
/// say nothing hold in no time.
pub fn make_room() {
    let limit = getrlimit(Resource::Nofile);
    let may = limit.maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
    if limit.current.is_some_and(|now| now < may)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(may), ..limit })
    {
        tracing::warn!(%error, "the number of open files stays as it is");
    }
}
