//! How a program of a part is started: with nothing of our environment, and under the guard that makes it end with us.
//!
//! When this process dies without dropping anything (SIGKILL, `process::exit`, an abort, the end of a test binary with
//! parts in statics) the kernel ends what it started: `setpriv --pdeathsig`. That signal comes with the death of the
//! *thread* that started the program, and tests run on threads that end, so one thread that never ends starts them all.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::Signal;

use super::account::Account;
use super::tools;

/// Long enough for a loaded machine with two cores; a healthy part needs a tenth of it.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// What to start.
pub(super) struct Launch<'a> {
    /// Its name in errors and of its log.
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(&'static str, String)>,
    /// Where it runs and logs.
    pub(super) folder: &'a Path,
    pub(super) account: Option<Account>,
    /// The signal that ends it, sent by us or, when we are dead, by the kernel.
    pub(super) ended_by: Signal,
}

impl<'a> Launch<'a> {
    /// A program of `tools/build`, as this user, ended at once.
    pub(super) fn new(name: &'static str, folder: &'a Path) -> Result<Self> {
        Ok(Self::of(name, tools::program(name)?, folder))
    }

    /// This program, as this user, ended at once.
    pub(super) fn of(name: &'static str, program: PathBuf, folder: &'a Path) -> Self {
        let (arguments, environment) = (Vec::new(), Vec::new());
        Self { name, program, arguments, environment, folder, account: None, ended_by: Signal::KILL }
    }

    pub(super) fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Runs a program that ends by itself, and returns what it printed.
    pub(super) async fn run(self) -> Result<String> {
        let mut command = tokio::process::Command::from(self.guarded());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let runtime = tokio::runtime::Handle::current();
        let child = on_lasting_thread(move || {
            let _within = runtime.enter();
            command.spawn()
        })?;
        let running = child.with_context(|| format!("{} cannot be run", self.program.display()))?.wait_with_output();
        let output = tokio::time::timeout(PATIENCE, running)
            .await
            .with_context(|| format!("{} is not done after {PATIENCE:?}", self.name))??;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
            bail!("{} ended with {}:\n{}", self.name, output.status, said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The command, to be spawned on the lasting thread.
    pub(super) fn guarded(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(self.account.iter().flat_map(|account| account.setpriv_arguments()));
        command.args(["--pdeathsig", signal_name(self.ended_by), "--", "/bin/sh", "-c"]);
        // We may die before the guard stands. The shell that starts under it then has another parent already.
        command.arg(r#"test "$PPID" = "$0" && exec "$@""#).arg(std::process::id().to_string());
        command.arg(&self.program).args(&self.arguments);
        command
            .env_clear()
            .env("PATH", tools::search_path())
            .env("HOME", self.folder)
            .env("LC_ALL", "C.UTF-8")
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .current_dir(self.folder)
            .stdin(Stdio::null());
        command
    }
}

/// What `setpriv` calls the signals that we use.
fn signal_name(signal: Signal) -> &'static str {
    if signal == Signal::QUIT { "QUIT" } else { "KILL" }
}

/// Does this on the thread that lives as long as the process.
pub(super) fn on_lasting_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    type Work = Box<dyn FnOnce() + Send>;
    static ORDERS: LazyLock<io::Result<mpsc::Sender<Work>>> = LazyLock::new(|| {
        let (orders, inbox) = mpsc::channel::<Work>();
        thread::Builder::new().name("parts".to_owned()).spawn(move || inbox.into_iter().for_each(|work| work()))?;
        Ok(orders)
    });
    let orders = ORDERS.as_ref().map_err(|error| anyhow!("no thread to start programs on: {error}"))?;
    let (reply, answer) = mpsc::sync_channel(1);
    let order = Box::new(move || drop(reply.send(work())));
    orders.send(order).map_err(|_| anyhow!("the thread that starts programs is gone"))?;
    answer.recv().context("the thread that starts programs is gone")
}
