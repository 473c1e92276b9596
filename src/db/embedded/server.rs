//! The process: started so that it ends with us, found again after we were killed, stopped in order.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};
use tokio::process::{Child, ChildStdin};
use tokio::time::Instant;

use super::account::Account;
use super::programs::Programs;
use super::{EmbeddedError, Home, in_file};

/// How long it may take to answer: after a crash it reads its log again first.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to stop: it writes what is not on disk yet.
const STOPPING: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(30);
/// The port in the socket's name; nothing listens on it.
const SOCKET_PORT: u16 = 5432;
/// A socket's whole path has at most 107 bytes on Linux and 103 on macOS; its name takes 15.
const LONGEST_SOCKET_FOLDER: usize = 85;
/// Ports tried, where a path is too long for a socket: another process may take one between our look and the start.
const PORTS: usize = 5;

/// Runs PostgreSQL until its input ends. The other end of that pipe is ours alone, so the kernel ends it when we are
/// gone, also when we were killed; SIGINT is PostgreSQL's orderly, immediate stop.
const WATCH: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- &
postgres=$!
{ read -r _ <&3; kill -INT "$postgres"; } 2>/dev/null &
watch=$!
exec 3<&-
wait "$postgres"
code=$?
kill "$watch" 2>/dev/null
exit "$code"
"#;

/// Where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A socket in a folder that only it and root can enter.
    Socket(PathBuf),
    /// A port of this machine only, where the folder's path is too long for a socket.
    Loopback(u16),
}

impl Address {
    /// Without user and database.
    pub(super) fn options(&self) -> PgConnectOptions {
        // Each of these is set, so that nothing of the caller's own PGHOST, PGSSLMODE … applies.
        let options = PgConnectOptions::new_without_pgpass().ssl_mode(PgSslMode::Disable);
        match self {
            Self::Socket(folder) => options.socket(folder).port(SOCKET_PORT),
            Self::Loopback(port) => options.host("127.0.0.1").port(*port),
        }
    }

    fn settings(&self) -> Vec<String> {
        match self {
            Self::Socket(folder) => vec![
                "listen_addresses=".to_owned(),
                format!("unix_socket_directories={}", folder.display()),
                format!("port={SOCKET_PORT}"),
            ],
            Self::Loopback(port) => vec![
                "listen_addresses=127.0.0.1".to_owned(),
                "unix_socket_directories=".to_owned(),
                format!("port={port}"),
            ],
        }
    }
}

/// A running PostgreSQL.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// Closing it is the order to stop.
    life: Option<ChildStdin>,
    log: PathBuf,
}

impl Server {
    /// Starts it and waits until `as_owner` gets in.
    pub(super) async fn start(
        home: &Home,
        programs: &Programs,
        account: &Account,
        as_owner: impl Fn(&Address) -> PgConnectOptions,
    ) -> Result<(Self, Address), EmbeddedError> {
        if home.run.as_os_str().len() <= LONGEST_SOCKET_FOLDER {
            let address = Address::Socket(home.run.clone());
            let server = Self::start_at(home, programs, account, &address, as_owner(&address)).await?;
            return Ok((server, address));
        }
        let mut tries = 1;
        loop {
            let address = Address::Loopback(free_port().map_err(in_file(Path::new("127.0.0.1")))?);
            match Self::start_at(home, programs, account, &address, as_owner(&address)).await {
                Ok(server) => return Ok((server, address)),
                Err(EmbeddedError::Program { said, .. })
                    if tries < PORTS && said.contains("could not create any TCP/IP sockets") =>
                {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn start_at(
        home: &Home,
        programs: &Programs,
        account: &Account,
        address: &Address,
        as_owner: PgConnectOptions,
    ) -> Result<Self, EmbeddedError> {
        let _ = fs::rename(&home.log, home.path.join("log.old"));
        let log = File::create(&home.log).map_err(in_file(&home.log))?;
        let mut command = account.command("/bin/sh");
        command.args(["-c", WATCH, "bascule"]).arg(programs.path("postgres")).arg("-D").arg(&home.cluster);
        for setting in address.settings() {
            command.args(["-c", &setting]);
        }
        let errors = log.try_clone().map_err(in_file(&home.log))?;
        command.current_dir("/").stdin(Stdio::piped()).stdout(log).stderr(errors);
        // A Ctrl-C in the terminal is for us; PostgreSQL stops when we no longer need it.
        command.process_group(0);
        let mut child = command.spawn().map_err(in_file(&programs.path("postgres")))?;
        let life = child.stdin.take();
        let mut server = Self { child, life, log: home.log.clone() };
        server.until_ready(as_owner).await?;
        Ok(server)
    }

    async fn until_ready(&mut self, as_owner: PgConnectOptions) -> Result<(), EmbeddedError> {
        let begun = Instant::now();
        loop {
            if self.child.try_wait().map_err(in_file(&self.log))?.is_some() {
                return Err(self.failed());
            }
            match as_owner.connect().await {
                Ok(connection) => return Ok(connection.close().await?),
                // Starting up, or still reading its log after a crash.
                Err(_) if begun.elapsed() < PATIENCE => tokio::time::sleep(LOOK).await,
                Err(error) => return Err(EmbeddedError::Database(error)),
            }
        }
    }

    fn failed(&self) -> EmbeddedError {
        EmbeddedError::Program { program: "postgres", said: tail(&fs::read(&self.log).unwrap_or_default()) }
    }

    pub(super) async fn stop(mut self) -> Result<(), EmbeddedError> {
        drop(self.life.take());
        match tokio::time::timeout(STOPPING, self.child.wait()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(in_file(&self.log)(error)),
            Err(_) => Err(self.failed()),
        }
    }
}

/// What `cluster`'s pid file says: process and address. Lines: pid, folder, start, port, socket folder, address, …
fn pid_file(cluster: &Path) -> Option<(Pid, Address)> {
    let text = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let pid = Pid::from_raw(lines.first()?.parse().ok()?)?;
    let address = match lines.get(4).copied().unwrap_or_default() {
        "" => Address::Loopback(lines.get(3)?.parse().ok()?),
        folder => Address::Socket(PathBuf::from(folder)),
    };
    Some((pid, address))
}

/// Where a running server of `cluster` listens.
pub(super) fn running(cluster: &Path) -> Option<Address> {
    let (pid, address) = pid_file(cluster)?;
    (holds(pid, cluster) == Holds::Yes).then_some(address)
}

#[derive(Debug, PartialEq, Eq)]
enum Holds {
    Yes,
    No,
    Unknown,
}

/// Whether process `pid` is the PostgreSQL of `cluster`: it works in that folder. A number alone proves nothing, as a
/// restarted container gives the same numbers to other programs.
fn holds(pid: Pid, cluster: &Path) -> Holds {
    if test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
        return Holds::No;
    }
    match fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())) {
        // The kernel names the folder from the root; ours may be told from where we stand.
        Ok(folder) if folder == fs::canonicalize(cluster).unwrap_or_else(|_| cluster.to_owned()) => Holds::Yes,
        Ok(_) => Holds::No,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && Path::new("/proc/self/cwd").exists() => Holds::No,
        Err(_) => Holds::Unknown,
    }
}

/// Ends what a killed server left: its PostgreSQL, which is on its way out, and its pid file.
pub(super) async fn end_leftover(cluster: &Path) -> Result<(), EmbeddedError> {
    let Some((pid, _)) = pid_file(cluster) else { return Ok(()) };
    let begun = Instant::now();
    loop {
        match holds(pid, cluster) {
            Holds::Yes if begun.elapsed() < STOPPING => {
                // It may be gone already, or stopping: a second order does no harm.
                let _ = kill_process(pid, Signal::INT);
                tokio::time::sleep(LOOK).await;
            }
            Holds::No => break,
            Holds::Yes | Holds::Unknown => {
                return Err(EmbeddedError::Held { pid: pid.as_raw_nonzero().get(), folder: cluster.to_owned() });
            }
        }
    }
    let file = cluster.join("postmaster.pid");
    match fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(in_file(&file)(error)),
        _ => Ok(()),
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The last words of a program, for an error.
pub(super) fn tail(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(8)..].join("; ")
}
