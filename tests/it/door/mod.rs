//! The door on a real socket: its routes and the windows', served as a running server serves them, before a real
//! PostgreSQL of each test. What is malformed is written byte by byte.

mod altered;
mod authentic;
mod forged;
mod github;
mod gitlab;
mod gitlab_tokens;
mod kills;
mod order;
mod patience;
mod published;
mod shape;
mod shuffled;
mod store;
mod unreadable;
mod victims;
mod ways;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bascule::app::listen::{self, Patience};
use bascule::audit::checkpoint::{Checkpoints, Signer};
use bascule::clock::Clock;
use bascule::config::Secret;
use bascule::queue::Bell;
use bascule::webhook::body::Limits;
use bascule::webhook::signature::Kind;
use bascule::webhook::{self, Endpoint, Endpoints, Secrets};
use bascule::{telemetry, web};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::database::Database;
use wire::{Answer, Client, Delivery};

/// Of `work`, a Gitea.
pub(crate) const SECRET: &str = "the secret of work";
/// Of `berg`, a Forgejo.
pub(crate) const OTHER_SECRET: &str = "the secret of berg";

/// Of `hub`, a GitHub.
pub(crate) const HUB_SECRET: &str = "the secret of hub";

/// Of `lab`, a GitLab with a signing token: 32 bytes, as it makes them.
pub(crate) const LAB_TOKEN: &str = "whsec_dGhlIHNpZ25pbmcgdG9rZW4gb2YgbGFiLCAzMiBieSE=";
/// Of `attic`, a GitLab that has only the older token.
pub(crate) const ATTIC_TOKEN: &str = "the token of attic";

/// A door that is open at a loopback port.
pub(crate) struct Door {
    pub(crate) database: Database,
    pub(crate) at: SocketAddr,
    pub(crate) clock: Clock,
    /// The files of the secrets of `work`, as its configuration lists them.
    pub(crate) secrets: Arc<Mutex<Vec<PathBuf>>>,
    /// Of `work`, `berg`, `hub`, `lab` and `attic`, until others are set.
    pub(crate) endpoints: Endpoints,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: JoinSet<()>,
    folder: tempfile::TempDir,
}

impl Door {
    pub(crate) async fn new() -> Self {
        Self::with(Database::new().await, Limits::default(), Patience::default()).await
    }

    pub(crate) async fn bounded(limits: Limits) -> Self {
        Self::with(Database::new().await, limits, Patience::default()).await
    }

    pub(crate) async fn with(database: Database, limits: Limits, patience: Patience) -> Self {
        telemetry::record().unwrap();
        listen::make_room();
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let (bell, stop, mut tasks) = (Bell::new("door"), CancellationToken::new(), JoinSet::new());
        let (store, committer) = webhook::store::new(database.pool.clone(), bell.clone());
        tasks.spawn(committer.run());
        let secrets = Arc::new(Mutex::new(vec![secret(folder.path(), "work", SECRET)]));
        let other = Arc::new(Mutex::new(vec![secret(folder.path(), "berg", OTHER_SECRET)]));
        let hub = Arc::new(Mutex::new(vec![secret(folder.path(), "hub", HUB_SECRET)]));
        let endpoints = Endpoints::from(BTreeMap::from([
            ("work".parse().unwrap(), Endpoint { kind: Kind::Gitea, secrets: read(&secrets) }),
            ("berg".parse().unwrap(), Endpoint { kind: Kind::Forgejo, secrets: read(&other) }),
            ("hub".parse().unwrap(), Endpoint { kind: Kind::GitHub, secrets: read(&hub) }),
            ("lab".parse().unwrap(), Endpoint { kind: Kind::GitLab, secrets: always(LAB_TOKEN) }),
            ("attic".parse().unwrap(), Endpoint { kind: Kind::GitLab, secrets: always(ATTIC_TOKEN) }),
        ]));
        let door = webhook::router(endpoints.clone(), store, clock.clone(), limits);
        let windows = windows(&database, &clock, &bell, &endpoints, folder.path());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tasks.spawn(listen::serve(listener, windows.merge(door), patience, stop.clone()));
        Self { database, at, clock, secrets, endpoints, stop, tasks, folder }
    }

    /// A file with a secret in it.
    pub(crate) fn secret(&self, name: &str, text: &str) -> PathBuf {
        secret(self.folder.path(), name, text)
    }

    /// Sends a delivery on a connection of its own.
    pub(crate) async fn send(&self, delivery: &Delivery) -> Answer {
        Client::connect(self.at).await.ask(&delivery.bytes()).await.expect("no answer")
    }

    /// Id, state and reason of everything stored, in the order of ids.
    pub(crate) async fn stored(&self) -> Vec<(String, String, Option<String>)> {
        sqlx::query_as("SELECT delivery_id, state, reason FROM delivery ORDER BY delivery_id")
            .fetch_all(&self.database.owner)
            .await
            .unwrap()
    }

    /// Kind and key of every job.
    pub(crate) async fn jobs(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT kind || ' ' || key FROM job ORDER BY 1")
            .fetch_all(&self.database.owner)
            .await
            .unwrap()
    }

    pub(crate) async fn count(&self, of: &'static str) -> i64 {
        sqlx::query_scalar(of).fetch_one(&self.database.owner).await.unwrap()
    }
}

/// How often the door of this process gave an answer; other tests only add to it.
pub(crate) fn counted(forge: &str, outcome: &str) -> u64 {
    let name = format!(r#"bascule_webhook_deliveries_total{{forge="{forge}",outcome="{outcome}"}} "#);
    let text = telemetry::record().unwrap().render();
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

fn secret(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, format!("{text}\n")).unwrap();
    path
}

/// The same at every delivery.
fn always(secret: &'static str) -> Secrets {
    Arc::new(move || Some(vec![secret.to_owned().into()]))
}

/// As the assembly reads them: every file, at every delivery.
fn read(files: &Arc<Mutex<Vec<PathBuf>>>) -> Secrets {
    let files = files.clone();
    Arc::new(move || files.lock().unwrap().iter().map(|file| Secret::File(file.clone()).read().ok()).collect())
}

fn windows(database: &Database, clock: &Clock, bell: &Bell, endpoints: &Endpoints, folder: &Path) -> axum::Router {
    let signer = Signer::generate().unwrap();
    let checkpoints = folder.join("checkpoints");
    Checkpoints::open(&checkpoints, &signer).unwrap();
    web::router(web::State {
        pool: database.pool.clone(),
        clock: clock.clone(),
        bell: bell.clone(),
        checkpoints,
        public_key: signer.public_key(),
        endpoints: endpoints.clone(),
        public_url: "http://127.0.0.1:8080".to_owned(),
        people: crate::api::nobody(clock),
    })
}
