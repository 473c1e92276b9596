//! A PostgreSQL cluster of one's own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::process::Signal;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::account::Account;
use super::folder::Folder;
use super::launch::Launch;
use super::ports::{again_if_taken, free_port};
use super::process::Process;
use super::progress::Progress;
use super::tools;

const OWNER: &str = "postgres";

/// A new cluster that forgets everything at the end. It does not wait for the disk: what is committed outlives a crash
/// of the server, not of the machine.
#[derive(Debug)]
pub(crate) struct Postgres {
    /// Before the folder, so that it ends before its files do.
    server: Mutex<Option<Process>>,
    port: u16,
    password: String,
    account: Option<Account>,
    data: PathBuf,
    folder: Folder,
}

impl Postgres {
    pub(crate) async fn start(progress: &Progress) -> Result<Self> {
        progress.of("PostgreSQL", Self::create()).await
    }

    /// The superuser's URL, to the database `postgres`.
    pub(crate) fn owner_url(&self) -> String {
        self.url_of("postgres")
    }

    /// A new, empty database; its URL, as the superuser.
    pub(crate) async fn create_database(&self, name: &str) -> Result<String> {
        self.client("createdb", &["--maintenance-db", "postgres", name])?.run().await?;
        Ok(self.url_of(name))
    }

    /// What one statement gives, one line a row; for what tests look up beside the product.
    pub(crate) async fn query(&self, database: &str, sql: &str) -> Result<String> {
        self.client("psql", &["-d", database, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql])?.run().await
    }

    /// Ends the server as a crash would: connections break, and the next start recovers.
    pub(crate) async fn stop(&self) -> Result<()> {
        match self.server.lock().await.take() {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }

    /// Starts it again, at the same port, with the same data.
    pub(crate) async fn start_again(&self) -> Result<()> {
        let mut server = self.server.lock().await;
        if server.is_none() {
            *server = Some(again_if_taken(async || self.serve().await).await?);
        }
        Ok(())
    }

    pub(crate) async fn restart(&self) -> Result<()> {
        self.stop().await?;
        self.start_again().await
    }

    /// The ids of the processes that run, for measurements.
    pub(crate) async fn process_ids(&self) -> Vec<u32> {
        self.server.lock().await.iter().map(Process::id).collect()
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://{OWNER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    async fn create() -> Result<Self> {
        let folder = Folder::new("postgres")?;
        let account = Account::unless_ordinary()?;
        let password = Uuid::new_v4().simple().to_string();
        let home = folder.subfolder("home")?;
        let secret = folder.write("password", &password)?;
        if let Some(account) = account {
            folder.let_others_through()?;
            account.owns(&home)?;
            account.owns(&secret)?;
        }
        let data = initialise(&home, account, &secret).await.context(
            "no cluster can be made; where the temporary folder is closed to other users, set TMPDIR to an open one",
        )?;
        std::fs::remove_file(&secret)?;

        let mut postgres = Self { server: Mutex::new(None), port: 0, password, account, data, folder };
        let server = again_if_taken(async || {
            postgres.port = free_port()?;
            postgres.serve().await
        })
        .await?;
        postgres.server = Mutex::new(Some(server));
        Ok(postgres)
    }

    async fn serve(&self) -> Result<Process> {
        let mut launch = Launch::of("postgres", tools::postgresql("postgres")?, self.folder.path());
        launch.account = self.account;
        // It then ends its own processes and gives its shared memory back.
        launch.ended_by = Signal::QUIT;
        launch = launch.arguments(["-D".to_owned(), self.data.display().to_string(), format!("-p{}", self.port)]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "dynamic_shared_memory_type=mmap",
            "fsync=off",
            "full_page_writes=off",
            "max_connections=300",
            "shared_buffers=64MB",
            // Only an administrator's clean stop would need it sooner.
            "checkpoint_timeout=1h",
            "logging_collector=off",
            // Databases that live for seconds need no vacuum.
            "autovacuum=off",
        ] {
            launch = launch.arguments(["-c", setting]);
        }
        let mut server = Process::start(&launch)?;
        server.until_ready(async || self.query("postgres", "select 1").await.map(drop)).await?;
        Ok(server)
    }

    fn client(&self, program: &'static str, arguments: &[&str]) -> Result<Launch<'_>> {
        let mut launch = Launch::of(program, tools::postgresql(program)?, self.folder.path());
        launch.environment = vec![("PGPASSWORD", self.password.clone()), ("PGCONNECT_TIMEOUT", "5".to_owned())];
        launch = launch.arguments(["-h", "127.0.0.1", "-U", OWNER, "-p"]).arguments([self.port.to_string()]);
        Ok(launch.arguments(arguments.iter().copied()))
    }
}

/// Makes the files of a cluster, in a folder of the account's own.
async fn initialise(home: &Path, account: Option<Account>, secret: &Path) -> Result<PathBuf> {
    let data = home.join("data");
    let mut launch = Launch::of("initdb", tools::postgresql("initdb")?, home);
    launch.account = account;
    // Thousands of connections are made to it, and each would cost the thousands of hashes of SCRAM, slow in a build for
    // tests. It lives on loopback, for minutes, with a random password.
    launch
        .arguments(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=md5", "--username", OWNER])
        .arguments([format!("--pwfile={}", secret.display()), format!("--pgdata={}", data.display())])
        .run()
        .await?;
    Ok(data)
}
