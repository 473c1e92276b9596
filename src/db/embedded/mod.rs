//! `database.url = "embedded"`: a PostgreSQL of our own beside the server, for trying out.
//!
//! ```text
//!   data_dir/postgres/    lock              held by the server that runs it; its end is the end of PostgreSQL
//!                         owner.password    of bascule_owner, who migrates
//!                         server.password   of bascule_server, the only role the server gets a pool of
//!                         cluster/          PostgreSQL's own files
//!                         run/              its socket
//!                         log, log.old
//! ```
//!
//! We start the system's own `initdb` and `postgres` (nothing is downloaded). A crate that does the like,
//! `postgresql_embedded`, was tried and left: it cannot drop root, which PostgreSQL refuses; it starts with `fsync`
//! off, and what we answered 202 for has to be on disk; it takes a leftover pid file for a running server; and its
//! server outlives a killed parent.

mod account;
mod programs;
mod server;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};

use super::migrate::{self, MigrateError};
use account::Account;
use programs::Programs;
use server::Server;

/// The superuser of the cluster, and owner of the tables.
const OWNER: &str = "bascule_owner";
/// What a server logs in as; a member of `bascule_app`.
const SERVER: &str = "bascule_server";
const DATABASE: &str = "bascule";

/// Why there is no embedded database; `Display` says what to do.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// Another process of ours runs it.
    #[error(
        "another bascule already runs the embedded database in {0}: it serves one server only. Stop that one, or give \
         both a PostgreSQL of their own (`database.url`)"
    )]
    AlreadyRunning(PathBuf),
    /// Nobody runs it.
    #[error("the embedded database in {0} is not running: start `bascule serve` first")]
    NotRunning(PathBuf),
    /// No PostgreSQL on this machine.
    #[error(
        "PostgreSQL's programs (initdb, postgres) were not found on PATH or in /usr/lib/postgresql: install PostgreSQL \
         15 or newer (Debian: apt-get install postgresql), or set `database.url`"
    )]
    NoPrograms,
    /// Only older ones.
    #[error(
        "PostgreSQL {found} is too old for the embedded database: install PostgreSQL 15 or newer, or set `database.url`"
    )]
    ProgramsTooOld {
        /// The newest found.
        found: u32,
    },
    /// The files were written by a major version that is not here.
    #[error(
        "the embedded database in {folder} was written by PostgreSQL {wrote}, and only PostgreSQL {here} is installed: \
         install PostgreSQL {wrote} again, or convert the files with pg_upgrade"
    )]
    OtherMajor {
        /// Where.
        folder: PathBuf,
        /// The major version in the files.
        wrote: u32,
        /// The major versions on this machine.
        here: String,
    },
    /// The files are not ours to use.
    #[error(
        "the embedded database in {folder} belongs to another user (uid {owner}): run bascule as that user (or as root, \
         if root made it), or give the folder away with `chown -R`"
    )]
    OtherUser {
        /// Where.
        folder: PathBuf,
        /// Whose.
        owner: u32,
    },
    /// A process that may be PostgreSQL holds the files, and is none we could ask.
    #[error(
        "process {pid} may still be using {folder}: end it, or delete the file postmaster.pid there if it is something else"
    )]
    Held {
        /// Which.
        pid: i32,
        /// What.
        folder: PathBuf,
    },
    /// A program failed; what it said.
    #[error("{program} failed: {said}")]
    Program {
        /// Which.
        program: &'static str,
        /// Its last words.
        said: String,
    },
    /// A file or folder.
    #[error("{path}: the embedded database cannot use it")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It runs, but does not answer as it should.
    #[error("the embedded database does not answer")]
    Database(#[from] sqlx::Error),
    /// Its schema cannot be brought to this program's version.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
}

/// What people are told when it starts.
pub const NOTICE: &str = "PostgreSQL runs inside this server: good for trying out, and for one server only. To move on, \
give it a database of its own with two lines in bascule.toml under [database], and run `bascule migrate`:\n  \
url = { env = \"DATABASE_URL\" }\n  migrate_url = { env = \"BASCULE_MIGRATE_URL\" }";

/// A running PostgreSQL that stops when this process ends, in whatever way.
#[derive(Debug)]
pub struct Embedded {
    server: Server,
    options: PgConnectOptions,
    /// Ours until PostgreSQL has stopped.
    _lock: Lock,
}

/// The folder is ours while this is.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a program that another thread is starting just now has the file, too, until it runs, and
        // the lock with it. That it cannot be taken off is no harm: then it ends with the last who has it.
        let _ = self.0.unlock();
    }
}

impl Embedded {
    /// Starts it in `data_dir`, making it first where there is none, and brings its schema to this program's version.
    ///
    /// # Errors
    /// See [`EmbeddedError`]; every one is final until somebody acts.
    pub async fn start(data_dir: &Path) -> Result<Self, EmbeddedError> {
        let home = Home::make(data_dir)?;
        let lock = home.lock()?;
        let account = Account::of_postgres(&home.path, &home.cluster)?;
        let programs = Programs::find(&home.cluster)?;
        home.hand_over(&account)?;
        server::end_leftover(&home.cluster).await?;

        let owner_password = home.password("owner.password")?;
        let server_password = home.password("server.password")?;
        if !home.cluster.exists() {
            initialise(&home, &programs, &account, &owner_password).await?;
        }
        let (server, address) = Server::start(&home, &programs, &account, |address| {
            address.options().username(OWNER).password(&owner_password).database("postgres")
        })
        .await?;
        let owner = address.options().username(OWNER).password(&owner_password);
        prepare(owner, &server_password).await?;
        let options = address.options().username(SERVER).password(&server_password).database(DATABASE);
        Ok(Self { server, options, _lock: lock })
    }

    /// How the server connects; as a role that cannot alter the log.
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// Stops it and waits until it has; close every pool before.
    ///
    /// # Errors
    /// When it does not stop; it then ends with this process.
    pub async fn stop(self) -> Result<(), EmbeddedError> {
        self.server.stop().await
    }
}

/// How another process of this machine (`bascule token create`) connects while a server runs the database.
///
/// # Errors
/// [`EmbeddedError::NotRunning`], or a file that cannot be read.
pub fn attach(data_dir: &Path) -> Result<PgConnectOptions, EmbeddedError> {
    let home = Home::at(data_dir);
    let address = server::running(&home.cluster).ok_or_else(|| EmbeddedError::NotRunning(home.path.clone()))?;
    let password = fs::read_to_string(home.path.join("server.password")).map_err(in_file(&home.path))?;
    Ok(address.options().username(SERVER).password(password.trim()).database(DATABASE))
}

/// Whether there is an embedded database in `data_dir`, running or not.
pub fn exists(data_dir: &Path) -> bool {
    Home::at(data_dir).cluster.exists()
}

/// The folders.
#[derive(Debug)]
struct Home {
    path: PathBuf,
    cluster: PathBuf,
    run: PathBuf,
    log: PathBuf,
}

impl Home {
    fn at(data_dir: &Path) -> Self {
        let path = data_dir.join("postgres");
        Self { cluster: path.join("cluster"), run: path.join("run"), log: path.join("log"), path }
    }

    /// With its folders, and an absolute path: PostgreSQL changes its folder.
    fn make(data_dir: &Path) -> Result<Self, EmbeddedError> {
        let path = data_dir.join("postgres");
        fs::create_dir_all(&path).map_err(in_file(&path))?;
        let data_dir = data_dir.canonicalize().map_err(in_file(data_dir))?;
        let home = Self::at(&data_dir);
        fs::create_dir_all(&home.run).map_err(in_file(&home.run))?;
        Ok(home)
    }

    fn lock(&self) -> Result<Lock, EmbeddedError> {
        let path = self.path.join("lock");
        let file = File::create(&path).map_err(in_file(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(EmbeddedError::AlreadyRunning(self.path.clone())),
            Err(TryLockError::Error(error)) => Err(in_file(&path)(error)),
        }
    }

    /// What PostgreSQL writes is its account's, what it must not read is ours.
    fn hand_over(&self, account: &Account) -> Result<(), EmbeddedError> {
        account::set_mode(&self.path, if account.is_ours() { 0o700 } else { 0o711 })?;
        account.owns(&self.run)?;
        account::set_mode(&self.run, 0o700)
    }

    /// Made once, kept for good: the cluster remembers it.
    fn password(&self, name: &str) -> Result<String, EmbeddedError> {
        let path = self.path.join(name);
        match fs::read_to_string(&path) {
            Ok(password) if !password.trim().is_empty() => return Ok(password.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(in_file(&path)(error)),
        }
        // Two times 122 random bits of the system; hexadecimal, so it needs no quoting anywhere.
        let password = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        account::write_secret(&path, &password)?;
        Ok(password)
    }
}

/// Makes the cluster beside its place and moves it there when it is whole: a kill in the middle leaves nothing that
/// looks like one.
async fn initialise(home: &Home, programs: &Programs, account: &Account, password: &str) -> Result<(), EmbeddedError> {
    let new = home.run.join("cluster.new");
    let secret = home.run.join("password");
    if new.exists() {
        fs::remove_dir_all(&new).map_err(in_file(&new))?;
    }
    account::write_secret(&secret, password)?;
    account.owns(&secret)?;
    let mut command = account.command(programs.path("initdb"));
    command.args(["--username", OWNER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums"]);
    command.arg("--pwfile").arg(&secret).arg("-D").arg(&new).current_dir("/");
    let made = command.output().await.map_err(in_file(&programs.path("initdb")));
    let removed = fs::remove_file(&secret).map_err(in_file(&secret));
    let output = made?;
    removed?;
    if !output.status.success() {
        return Err(EmbeddedError::Program { program: "initdb", said: server::tail(&output.stderr) });
    }
    fs::rename(&new, &home.cluster).map_err(in_file(&home.cluster))
}

/// Database, schema and roles; does nothing where they are as they should be.
async fn prepare(owner: PgConnectOptions, server_password: &str) -> Result<(), EmbeddedError> {
    let mut connection = owner.clone().database("postgres").connect().await?;
    let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(DATABASE)
        .fetch_one(&mut connection)
        .await?;
    if !known {
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {DATABASE}"))).await?;
    }
    connection.close().await?;

    let mut connection: PgConnection = owner.database(DATABASE).connect().await?;
    migrate::run(&mut connection).await?;
    let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(SERVER)
        .fetch_one(&mut connection)
        .await?;
    if !known {
        connection.execute(AssertSqlSafe(format!("CREATE ROLE {SERVER} LOGIN IN ROLE bascule_app"))).await?;
    }
    // Again at each start, so that a lost or replaced password file is no dead end. It is hexadecimal.
    connection.execute(AssertSqlSafe(format!("ALTER ROLE {SERVER} PASSWORD '{server_password}'"))).await?;
    connection.close().await?;
    Ok(())
}

fn in_file(path: &Path) -> impl FnOnce(io::Error) -> EmbeddedError {
    let path = path.to_owned();
    move |source| EmbeddedError::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_free_when_we_let_go_although_a_starting_program_has_our_files() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::make(folder.path()).unwrap();
        let lock = home.lock().unwrap();
        let of_a_child = lock.0.try_clone().unwrap();
        assert!(matches!(home.lock(), Err(EmbeddedError::AlreadyRunning(_))));
        drop(lock);
        assert!(home.lock().is_ok());
        drop(of_a_child);
    }
}
