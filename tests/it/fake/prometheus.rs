//! What answers as Prometheus does (<https://prometheus.io/docs/prometheus/latest/querying/api/>), on loopback: a query, and
//! what a test says that it gives.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use bascule::prometheus::{ANSWER_WITHIN, Prometheus, Servers, Settings};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What it says.
#[derive(Debug, Clone)]
pub(crate) enum Says {
    /// A vector of one sample.
    Something,
    /// A vector of none.
    Nothing,
    /// This status and body.
    This(u16, String),
    /// To go there.
    Elsewhere(String),
    /// So many bytes, without saying how many.
    Endless(usize),
    /// Nothing at all.
    Silence,
}

/// One. It ends with this value.
pub(crate) struct FakePrometheus {
    pub(crate) url: String,
    inside: Arc<Mutex<Inside>>,
    _serving: JoinSet<()>,
}

struct Inside {
    says: Says,
    asked: Vec<String>,
    shown: Option<String>,
}

impl FakePrometheus {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        let inside = Arc::new(Mutex::new(Inside { says: Says::Something, asked: Vec::new(), shown: None }));
        let routes =
            Router::new().route("/metrics/api/v1/query", axum::routing::get(answer)).with_state(inside.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, inside, _serving: serving }
    }

    /// From now on.
    pub(crate) fn says(&self, says: Says) {
        self.inside.lock().unwrap().says = says;
    }

    /// What it was asked since it was asked so last, as it stands in the address.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.inside.lock().unwrap().asked)
    }

    /// What it was shown last.
    pub(crate) fn shown(&self) -> Option<String> {
        self.inside.lock().unwrap().shown.clone()
    }

    /// How it is reached, as `main`.
    pub(crate) fn settings(&self, token: Option<&str>) -> Settings {
        let token = token.map(Into::into);
        let (name, url) = ("main".parse().unwrap(), self.url.clone());
        Settings { name, url, token, ca_pem: None, answer_within: ANSWER_WITHIN }
    }

    /// A client of it.
    pub(crate) fn client(&self, token: Option<&str>) -> Prometheus {
        Prometheus::new(&self.settings(token)).unwrap()
    }

    /// A server's own, with this one as `main`.
    pub(crate) fn alone(&self) -> Servers {
        Servers::new([("main".parse().unwrap(), self.client(None))].into())
    }
}

async fn answer(State(inside): State<Arc<Mutex<Inside>>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let says = {
        let mut inside = inside.lock().unwrap();
        inside.asked.push(query.unwrap_or_default());
        inside.shown = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        inside.says.clone()
    };
    let vector =
        |result: &str| format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#);
    let response = Response::builder();
    match says {
        Says::Something => response.body(vector(r#"{"metric":{},"value":[1767603600,"0.01"]}"#).into()),
        Says::Nothing => response.body(vector("").into()),
        Says::This(code, body) => response.status(code).body(body.into()),
        Says::Elsewhere(to) => response.status(307).header(header::LOCATION, to).body(Body::empty()),
        Says::Endless(bytes) => {
            let chunks = (0..bytes / 4096).map(|_| Ok::<_, std::io::Error>("x".repeat(4096)));
            response.body(Body::from_stream(futures::stream::iter(chunks)))
        }
        Says::Silence => std::future::pending().await,
    }
    .unwrap()
}
