//! The API and the pages, over a real socket and a real PostgreSQL.

mod acts;
mod deliveries;
mod described;
mod drift;
mod emergencies;
mod log;
mod preview;
mod reports;
mod scrape;
mod status;
mod stored;
mod tokens;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bascule::app::People;
use bascule::audit::checkpoint::{Checkpoints, Signer};
use bascule::audit::signing::Signing;
use bascule::audit::{self, NewEntry};
use bascule::clock::Clock;
use bascule::config::{self, Environ};
use bascule::ids::TraceId;
use bascule::queue::Bell;
use bascule::web;
use bascule::web::token::{self, Scope};
use bascule::webhook::Endpoint;
use bascule::webhook::signature::Kind;
use jiff::SignedDuration;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::Mutex;

pub(crate) use stored::{store_deployments, store_preview};

use crate::support::database::Database;

pub(crate) struct Api {
    pub(crate) database: Database,
    pub(crate) clock: Clock,
    at: SocketAddr,
    pub(crate) public_key: Vec<u8>,
    pub(crate) signing: Mutex<Signing>,
    pub(crate) folder: PathBuf,
    client: reqwest::Client,
    _serving: tokio::task::JoinSet<()>,
    _kept: tempfile::TempDir,
}

/// What was answered.
pub(crate) struct Answered {
    pub(crate) status: u16,
    kind: String,
    headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl Api {
    pub(crate) async fn new() -> Self {
        Self::at("http://127.0.0.1:8080").await
    }

    pub(crate) async fn at(public_url: &str) -> Self {
        let database = Database::new().await;
        let kept = tempfile::tempdir().unwrap();
        let folder = kept.path().join("checkpoints");
        let signer = Signer::generate().unwrap();
        let checkpoints = Checkpoints::open(&folder, &signer).unwrap();
        let clock = Clock::manual("2026-11-21T09:00:00Z".parse().unwrap());
        let public_key = signer.public_key();
        let signing = Mutex::new(Signing::open(database.pool.clone(), signer, checkpoints).unwrap());
        let endpoint = Endpoint { kind: Kind::Gitea, secrets: Arc::new(|| None) };
        let state = web::State {
            endpoints: BTreeMap::from([("work".parse().unwrap(), endpoint)]).into(),
            pool: database.pool.clone(),
            clock: clock.clone(),
            bell: Bell::new("web"),
            checkpoints: folder.clone(),
            public_key: public_key.clone(),
            public_url: public_url.to_owned(),
            people: nobody(&clock),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let service = web::router(state).into_make_service_with_connect_info::<SocketAddr>();
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(async move { axum::serve(listener, service).await.unwrap() });
        #[expect(clippy::disallowed_methods, reason = "the client of a test")]
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { database, clock, at, public_key, signing, folder, client, _serving: serving, _kept: kept }
    }

    pub(crate) async fn token(&self, name: &str, scopes: &[Scope]) -> String {
        token::create(&self.database.pool, &self.clock, name, scopes, SignedDuration::from_hours(1)).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answered {
        self.ask(self.client.get(format!("http://{}{path}", self.at)), token).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str) -> Answered {
        self.ask(self.client.post(format!("http://{}{path}", self.at)), token).await
    }

    pub(crate) async fn ask(&self, request: reqwest::RequestBuilder, token: &str) -> Answered {
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let kind = headers.get("content-type").map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
        Answered { status, kind, headers, text: response.text().await.unwrap() }
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    pub(crate) async fn append(&self, count: usize) {
        let mut connection = self.database.pool.acquire().await.unwrap();
        append(&mut connection, count).await;
    }

    /// As [`Self::append`], at a time of the database that is long over.
    pub(crate) async fn append_long_ago(&self, count: usize) {
        let mut root = PgConnection::connect(&self.database.administrator_url()).await.unwrap();
        root.execute("CREATE SCHEMA past").await.unwrap();
        root.execute(
            "CREATE FUNCTION past.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
             $$ SELECT pg_catalog.clock_timestamp() - interval '1 hour' $$",
        )
        .await
        .unwrap();
        root.execute("SET search_path = past, pg_catalog, public").await.unwrap();
        append(&mut root, count).await;
    }

    pub(crate) async fn sign(&self) {
        self.signing.lock().await.sign(self.clock.now()).await.unwrap();
    }

    /// As somebody who owns the whole PostgreSQL server.
    pub(crate) async fn tamper(&self, statements: &[&str]) {
        let mut root = PgConnection::connect(&self.database.administrator_url()).await.unwrap();
        root.execute("ALTER TABLE audit_entry DISABLE TRIGGER ALL").await.unwrap();
        for statement in statements {
            root.execute(AssertSqlSafe((*statement).to_owned())).await.unwrap();
        }
        root.execute("ALTER TABLE audit_entry ENABLE TRIGGER ALL").await.unwrap();
    }

    pub(crate) async fn actions(&self) -> Vec<String> {
        let mut connection = self.database.pool.acquire().await.unwrap();
        let rows = audit::read::after(&mut connection, 0, 1_000).await.unwrap();
        rows.into_iter().map(|row| row.action).collect()
    }
}

/// The people of a server without forges.
pub(crate) fn nobody(clock: &Clock) -> Arc<People> {
    let server = config::load(None, &Environ::default()).unwrap().server;
    People::new(&server, &BTreeMap::new(), clock).unwrap()
}

pub(crate) async fn append(connection: &mut PgConnection, count: usize) {
    for n in 0..count {
        let entry = NewEntry {
            actor: "bascule".to_owned(),
            action: "sync.started",
            subject: "work/acme/shop production".to_owned(),
            detail: json!({ "n": n }),
            cause: "test".to_owned(),
            trace: TraceId(uuid::Uuid::nil()),
        };
        audit::append(connection, &entry).await.unwrap();
    }
}
