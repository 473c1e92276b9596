//! What a forge delivers, as our door would understand it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use bascule::event::Event;
use bascule::webhook::gitea;
use bascule::webhook::signature::{Kind, claimed, verify};
use tokio::task::JoinSet;

use crate::fake::forge::SECRET;

/// A door that remembers.
pub(super) struct Recorder {
    seen: Arc<Mutex<Vec<String>>>,
    port: u16,
    _server: JoinSet<()>,
}

impl Recorder {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let remembered = seen.clone();
        let app = Router::new().fallback(move |headers: HeaderMap, body: Bytes| async move {
            remembered.lock().unwrap().extend(understood(&headers, &body));
        });
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { seen, port, _server: server }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/webhooks/work", self.port)
    }

    /// Sorted: no forge promises an order.
    pub(super) fn told(&self) -> Vec<String> {
        let mut told = self.seen.lock().unwrap().clone();
        told.sort();
        told
    }

    /// When there are so many, or none more come.
    pub(super) async fn told_when(&self, count: usize) -> Vec<String> {
        for _ in 0..200 {
            if self.told().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.told()
    }
}

/// The event, when it is one we act on; verified and read as the door does it.
fn understood(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let signature = claimed(Kind::Gitea, headers).unwrap();
    verify(&[SECRET.to_owned().into()], &signature, body, jiff::Timestamp::UNIX_EPOCH).unwrap();
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(text("content-type"), "application/json");
    assert_eq!(text("x-gitea-delivery").len(), 36);
    let event = text("x-gitea-event");
    let delivered = gitea::read(&"work".parse().unwrap(), &event, body).unwrap();
    if matches!(delivered.event, Event::Ignored { .. }) {
        return None;
    }
    let seen = format!("{event} {}: {delivered:?}", text("x-gitea-event-type"));
    let plain = |pattern: &str, text: &str, with: &str| {
        regex::Regex::new(pattern).unwrap().replace_all(text, with).into_owned()
    };
    let seen = plain(r"\bby: Some\(\d+\)", &seen, "by: Some(N)");
    Some(plain(r"\b(id|comment): \d+", &plain(r"\b[0-9a-f]{40}\b", &seen, "HASH"), "$1: N"))
}
