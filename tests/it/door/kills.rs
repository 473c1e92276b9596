//! A real server is killed while deliveries pour in, and so is its PostgreSQL: whatever was answered 202 is there.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use futures::future::join_all;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::SECRET;
use super::wire::{Client, pushed_to};
use crate::support::database::Database;

const SERVERS: usize = 10;
const DATABASES: usize = 3;
const SENDERS: usize = 8;
/// Answers between two kills: enough to be in the middle of it.
const BETWEEN: usize = 25;

const CONFIG: &str = r#"
version = 1
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
[database]
url = { env = "DATABASE_URL" }
[forge.work]
kind = "gitea"
url = "http://127.0.0.1:9"
webhook_secrets = [{ env = "WORK_WEBHOOK_SECRET" }]
token = { env = "WORK_TOKEN" }
"#;

/// A running `bascule serve`, killed with this value.
struct Served {
    child: Child,
    at: SocketAddr,
    _log: JoinSet<()>,
}

impl Served {
    async fn start(folder: &Path, database: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
        command.args(["serve", "--log", "warn,bascule=info", "--config"]).arg(folder.join("bascule.toml"));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder).current_dir(folder);
        command.env("DATABASE_URL", database).env("WORK_WEBHOOK_SECRET", SECRET).env("WORK_TOKEN", "t");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let at = loop {
            let line = lines.next_line().await.unwrap().unwrap_or_else(|| panic!("it ended:\n{said}"));
            if let Some((_, rest)) = line.split_once(" listen=") {
                break rest.split(' ').next().unwrap().parse().unwrap();
            }
            said += &(line + "\n");
        };
        let mut log = JoinSet::new();
        log.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, at, _log: log }
    }

    /// SIGKILL, and waits until the kernel has done it.
    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Delivers one after the other to whatever server there is, each until it is answered.
async fn pour(
    who: usize,
    mut servers: watch::Receiver<Option<SocketAddr>>,
    taken: watch::Sender<usize>,
    stop: watch::Receiver<bool>,
) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let mut number = 0;
    while !*stop.borrow() {
        let Some(at) = *servers.wait_for(Option::is_some).await.unwrap() else { continue };
        let id = format!("{who}-{number}");
        let answer = match tokio::net::TcpStream::connect(at).await {
            Ok(stream) => Client::over(stream).ask(pushed_to(1 + number % 9, &id).bytes()).await,
            Err(_) => None,
        };
        match answer.map(|answer| answer.status) {
            Some(202) => {
                acknowledged.push(id);
                number += 1;
                taken.send_modify(|taken| *taken += 1);
            }
            // Nobody knows whether it was stored, so it is sent again, under the same id.
            Some(503) | None => {}
            Some(other) => panic!("{id}: {other}"),
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_202_is_there_however_often_the_server_and_its_database_are_killed() {
    let database = Database::on_its_own().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bascule.toml"), CONFIG).unwrap();
    let (server, servers) = watch::channel(None);
    let (taken, mut count) = watch::channel(0);
    let (stop, stopped) = watch::channel(false);
    let pouring = join_all((0..SENDERS).map(|who| pour(who, servers.clone(), taken.clone(), stopped.clone())));
    let conductor = async {
        for life in 0..=SERVERS {
            let served = Served::start(folder.path(), &database.server_url()).await;
            server.send(Some(served.at)).unwrap();
            if life % 4 == 1 && life / 4 < DATABASES {
                let before = *count.borrow_and_update();
                count.wait_for(|taken| *taken >= before + BETWEEN).await.unwrap();
                database.server.stop().await.unwrap();
                database.server.start_again().await.unwrap();
            }
            let before = *count.borrow_and_update();
            count.wait_for(|taken| *taken >= before + BETWEEN).await.unwrap();
            if life == SERVERS {
                stop.send(true).unwrap();
            }
            served.kill().await;
            server.send(if life == SERVERS { Some(SocketAddr::from(([127, 0, 0, 1], 1))) } else { None }).unwrap();
        }
    };
    let (poured, ()) = tokio::join!(pouring, conductor);
    let stored: Vec<String> =
        sqlx::query_scalar("SELECT delivery_id FROM delivery").fetch_all(&database.owner).await.unwrap();
    let stored = BTreeSet::from_iter(stored);
    let acknowledged: Vec<String> = poured.into_iter().flatten().collect();
    assert!(acknowledged.len() >= (SERVERS + DATABASES) * BETWEEN, "{}", acknowledged.len());
    let lost: Vec<_> = acknowledged.iter().filter(|id| !stored.contains(*id)).collect();
    assert!(lost.is_empty(), "answered 202 and not there: {lost:?}");
    let looked_after: i64 =
        sqlx::query_scalar("SELECT count(DISTINCT key) FROM job").fetch_one(&database.owner).await.unwrap();
    assert_eq!(looked_after, 9, "and so is the work it means");
}
