//! The embedded PostgreSQL: made, kept, found again after every kind of end.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bascule::db::embedded::{self, Embedded, EmbeddedError};
use bascule::db::pool;
use insta::assert_snapshot;
use sqlx::{Executor, PgPool};
use tempfile::TempDir;

use crate::roles::{AGAINST_THE_LOG, INSUFFICIENT_PRIVILEGE, refusal};
use crate::support::child::{TestChild, say};

/// A server's database: running, and as the server's own role.
struct Database {
    pool: PgPool,
    embedded: Embedded,
}

async fn open(folder: &Path) -> Database {
    let embedded = Embedded::start(folder).await.unwrap();
    let pool = pool::connect_with(embedded.options()).await.unwrap();
    Database { pool, embedded }
}

impl Database {
    async fn close(self) -> Result<(), EmbeddedError> {
        self.pool.close().await;
        self.embedded.stop().await
    }
}

async fn remember(pool: &PgPool, what: &str) {
    sqlx::query("INSERT INTO object_content (hash, sealed) VALUES ($1, '')")
        .bind(what.as_bytes())
        .execute(pool)
        .await
        .unwrap();
}

async fn remembered(pool: &PgPool) -> Vec<String> {
    let rows: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT hash FROM object_content ORDER BY hash").fetch_all(pool).await.unwrap();
    rows.into_iter().map(|row| String::from_utf8(row).unwrap()).collect()
}

/// The process id in the pid file.
fn postmaster(folder: &Path) -> rustix::process::Pid {
    let text = fs::read_to_string(folder.join("postgres/cluster/postmaster.pid")).unwrap();
    rustix::process::Pid::from_raw(text.lines().next().unwrap().trim().parse().unwrap()).unwrap()
}

#[tokio::test]
async fn it_is_made_once_and_keeps_what_it_was_told_through_every_end() {
    let folder = TempDir::new().unwrap();
    // Left by a first start that was killed while it made the cluster.
    fs::create_dir_all(folder.path().join("postgres/run/cluster.new/base")).unwrap();

    let database = open(folder.path()).await;
    remember(&database.pool, "a: stopped in order").await;
    let password = fs::read_to_string(folder.path().join("postgres/server.password")).unwrap();

    // A second server is refused, a second process of the same machine may look.
    let second = Embedded::start(folder.path()).await.unwrap_err();
    assert!(matches!(second, EmbeddedError::AlreadyRunning(_)), "{second}");
    let beside = PgPool::connect_with(embedded::attach(folder.path()).unwrap()).await.unwrap();
    assert_eq!(remembered(&beside).await, ["a: stopped in order"]);
    beside.close().await;

    // The pool is the server's role: it cannot touch the log.
    let refused = database.pool.execute("DELETE FROM audit_entry").await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("42501"));
    let refused = database.pool.execute("SET ROLE bascule_owner").await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("42501"));

    database.close().await.unwrap();
    assert!(matches!(embedded::attach(folder.path()), Err(EmbeddedError::NotRunning(_))));
    assert!(embedded::exists(folder.path()));

    // PostgreSQL itself is killed.
    let database = open(folder.path()).await;
    remember(&database.pool, "b: committed before a crash").await;
    rustix::process::kill_process(postmaster(folder.path()), rustix::process::Signal::KILL).unwrap();
    database.pool.close().await;
    drop(database);

    // We are killed; PostgreSQL must not outlive us, and the next start must not meet it.
    let path = folder.path().to_str().unwrap();
    let mut child = TestChild::start("embedded", &[path, "c: committed before a kill"]);
    assert_eq!(child.hear(), "committed");
    child.kill();

    let database = open(folder.path()).await;
    let kept = ["a: stopped in order", "b: committed before a crash", "c: committed before a kill"];
    assert_eq!(remembered(&database.pool).await, kept);
    database.close().await.unwrap();

    // The pid in a leftover file is another program's now: of this test.
    let pid_file = folder.path().join("postgres/cluster/postmaster.pid");
    fs::write(&pid_file, format!("{}\n/nowhere\n1\n5432\n\n\n", std::process::id())).unwrap();
    let database = open(folder.path()).await;
    assert_eq!(remembered(&database.pool).await, kept);
    assert_eq!(fs::read_to_string(folder.path().join("postgres/server.password")).unwrap(), password);
    database.close().await.unwrap();

    // The program is downgraded: the schema is of tomorrow.
    let database = open(folder.path()).await;
    let owner = fs::read_to_string(folder.path().join("postgres/owner.password")).unwrap();
    let options = embedded::attach(folder.path()).unwrap().username("bascule_owner").password(&owner);
    let as_owner = PgPool::connect_with(options).await.unwrap();
    as_owner.execute("INSERT INTO _sqlx_migrations VALUES (9000, 'of tomorrow', now(), true, '', 0)").await.unwrap();
    as_owner.close().await;
    database.close().await.unwrap();
    let refused = Embedded::start(folder.path()).await.unwrap_err();
    assert_snapshot!(refused, @"the database is newer than this bascule (it is at version 9000, this bascule knows 2): start the newer bascule that migrated it, or restore a backup made before; there is no way down");

    // Its PostgreSQL is gone from the machine.
    fs::write(folder.path().join("postgres/cluster/PG_VERSION"), "9\n").unwrap();
    let refused = Embedded::start(folder.path()).await.unwrap_err();
    assert!(matches!(refused, EmbeddedError::OtherMajor { wrote: 9, .. }), "{refused}");
}

#[tokio::test]
async fn its_server_cannot_alter_the_log_either() {
    let folder = TempDir::new().unwrap();
    let database = open(folder.path()).await;
    let mut server = database.pool.acquire().await.unwrap();
    for statement in AGAINST_THE_LOG {
        assert_eq!(refusal(&mut server, statement).await, INSUFFICIENT_PRIVILEGE, "{statement}");
    }
    drop(server);
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_served_on_a_loopback_port() {
    let folder = TempDir::new().unwrap();
    let deep = folder.path().join("a-folder-with-a-long-name/".repeat(4));
    let database = open(&deep).await;
    let address: Option<String> =
        sqlx::query_scalar("SELECT host(inet_server_addr())").fetch_one(&database.pool).await.unwrap();
    assert_eq!(address.as_deref(), Some("127.0.0.1"));
    let beside = PgPool::connect_with(embedded::attach(&deep).unwrap()).await.unwrap();
    assert_eq!(remembered(&beside).await, Vec::<String>::new());
    beside.close().await;
    database.close().await.unwrap();
}

#[tokio::test]
async fn it_runs_for_root_and_for_an_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        // The other tests here run as an ordinary user; becoming root is not ours to do.
        return;
    }
    // Root, in a folder that is open to all; the other tests' folders are closed to all but root.
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let database = open(folder.path()).await;
    remember(&database.pool, "by root").await;
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(folder.path().join("postgres/cluster")).unwrap());
    assert_ne!(owner, 0);
    database.close().await.unwrap();

    // An ordinary user with a folder of its own. It may pass through folders, as this binary may lie in root's home.
    let home = TempDir::new().unwrap();
    std::os::unix::fs::chown(home.path(), Some(65_534), Some(65_534)).unwrap();
    let wrapper = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=-all,+dac_read_search",
        "--bounding-set=-all,+dac_read_search",
        "--",
    ];
    let wrapper = wrapper.map(str::to_owned);
    for _ in 0..2 {
        let mut child = TestChild::start_under(&wrapper, "embedded", &[home.path().to_str().unwrap(), "by nobody"]);
        assert_eq!(child.hear(), "committed");
        child.kill();
    }
    // It is not let in to what another user made.
    let mut child = TestChild::start_under(&wrapper, "embedded", &[folder.path().to_str().unwrap(), "by nobody"]);
    assert!(child.hear().starts_with("refused:"));
}

/// Starts it, commits a row, says so, and waits to be killed.
pub(crate) fn child(arguments: &[String]) {
    let [folder, what] = arguments else { panic!("{arguments:?}") };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match Embedded::start(Path::new(folder)).await {
            Ok(embedded) => {
                let pool = pool::connect_with(embedded.options()).await.unwrap();
                let insert = "INSERT INTO object_content (hash, sealed) VALUES ($1, '') ON CONFLICT DO NOTHING";
                sqlx::query(insert).bind(what.as_bytes()).execute(&pool).await.unwrap();
                say("committed");
                std::future::pending::<()>().await;
            }
            Err(error) => say(&format!("refused: {error}")),
        }
    });
}
