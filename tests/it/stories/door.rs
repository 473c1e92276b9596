//! Where deliveries go: the real door on a socket, or one that forgets.

use std::net::SocketAddr;

use axum::Router;
use axum::http::StatusCode;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A listener on loopback; it ends with this value.
pub(super) struct Door {
    pub(super) url: String,
    _serving: JoinSet<()>,
}

impl Door {
    /// Serves these routes.
    pub(super) async fn of(routes: Router) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = routes.into_make_service_with_connect_info::<SocketAddr>();
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { url, _serving: serving }
    }

    /// Answers 202 to everything, and stores nothing.
    pub(super) async fn that_forgets() -> Self {
        Self::of(Router::new().fallback(async || StatusCode::ACCEPTED)).await
    }
}
