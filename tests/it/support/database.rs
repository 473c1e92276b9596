//! A fresh, migrated database per test: one real PostgreSQL for the whole run, and a copy of one template for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use tokio::sync::OnceCell;

use crate::parts::{Postgres, Progress};

const TEMPLATE: &str = "template_bascule";
const PASSWORD: &str = "a-test-password";

/// Ends with this process, see `tests/parts`.
static SERVER: OnceCell<Arc<Postgres>> = OnceCell::const_new();

/// The server all tests share, with the roles an installation has: an owner who is no superuser, and a login role that
/// is a member of `bascule_app`.
pub(crate) async fn server() -> &'static Arc<Postgres> {
    SERVER.get_or_init(start).await
}

async fn start() -> Arc<Postgres> {
    let server = Postgres::start(&Progress::silent()).await.unwrap();
    let mut root = PgConnection::connect(&server.owner_url()).await.unwrap();
    for statement in [
        format!("CREATE ROLE bascule_owner LOGIN CREATEROLE PASSWORD '{PASSWORD}'"),
        format!("CREATE DATABASE {TEMPLATE} OWNER bascule_owner"),
    ] {
        root.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    bascule::db::migrate::run_at(&url(&server, "bascule_owner", TEMPLATE)).await.unwrap();
    root.execute(AssertSqlSafe(format!("CREATE ROLE bascule_server LOGIN PASSWORD '{PASSWORD}' IN ROLE bascule_app")))
        .await
        .unwrap();
    root.close().await.unwrap();
    Arc::new(server)
}

fn url(server: &Postgres, role: &str, database: &str) -> String {
    let (_, address) = server.owner_url().rsplit_once('@').map(|(who, at)| (who.to_owned(), at.to_owned())).unwrap();
    let (address, _) = address.split_once('/').unwrap();
    format!("postgres://{role}:{PASSWORD}@{address}/{database}")
}

/// A database of one test, dropped with this value.
pub(crate) struct Database {
    /// As the role of a running server: what the product gets.
    pub(crate) pool: PgPool,
    /// As the owner of the tables: for what a test looks up or breaks.
    pub(crate) owner: PgPool,
    pub(crate) name: String,
    /// For a test that stops it: only where it is the test's own.
    pub(crate) server: Arc<Postgres>,
}

impl Database {
    /// Migrated and empty.
    pub(crate) async fn new() -> Self {
        Self::copy_of(server().await.clone(), TEMPLATE).await
    }

    /// On a server of its own, which the test may stop.
    pub(crate) async fn on_its_own() -> Self {
        Self::copy_of(start().await, TEMPLATE).await
    }

    /// Without a single table of ours.
    pub(crate) async fn unmigrated() -> Self {
        Self::copy_of(server().await.clone(), "template0").await
    }

    async fn copy_of(server: Arc<Postgres>, template: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::SeqCst));
        let mut root = PgConnection::connect(&server.owner_url()).await.unwrap();
        let create = format!("CREATE DATABASE {name} TEMPLATE {template} OWNER bascule_owner");
        root.execute(AssertSqlSafe(create)).await.unwrap();
        // The privileges of a database, unlike everything in it, are not copied.
        root.execute(AssertSqlSafe(format!("REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC"))).await.unwrap();
        root.close().await.unwrap();
        let pool = |role| {
            let options: PgConnectOptions = url(&server, role, &name).parse().unwrap();
            PgPoolOptions::new().max_connections(20).acquire_timeout(Duration::from_secs(60)).connect_lazy_with(options)
        };
        let (pool, owner) = (pool("bascule_server"), pool("bascule_owner"));
        Self { pool, owner, name, server }
    }

    /// The address a running server is given.
    pub(crate) fn server_url(&self) -> String {
        url(&self.server, "bascule_server", &self.name)
    }

    /// The address `bascule migrate` is given.
    pub(crate) fn owner_url(&self) -> String {
        url(&self.server, "bascule_owner", &self.name)
    }

    /// The administrator's address: for roles, and for cutting connections.
    pub(crate) fn administrator_url(&self) -> String {
        let server = self.server.owner_url();
        let (address, _) = server.rsplit_once('/').unwrap();
        format!("{address}/{}", self.name)
    }
}

impl Drop for Database {
    /// On a thread of its own, because the test's runtime may be ending, also by a panic.
    fn drop(&mut self) {
        let (root, name) = (self.server.owner_url(), self.name.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "a runtime cannot be begun within the test's own; it is joined below"
        )]
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut root = PgConnection::connect(&root).await?;
                root.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await
            })
        });
        // What stays behind goes with the server.
        let _ = dropping.join();
    }
}
