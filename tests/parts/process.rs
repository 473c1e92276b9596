//! One process of a part: started, awaited, and ended however we end.
//!
//! A process leads a group of its own, so that a Ctrl-C in the terminal is ours to handle and that what it started can
//! be ended with it. It is killed when its value is dropped. When this process dies without dropping anything (SIGKILL,
//! `process::exit`, an abort, the end of a test binary with parts in statics) the kernel kills it: `setpriv --pdeathsig`.
//! That signal comes with the death of the *thread* that started the process, and tests run on threads that end, so
//! one thread that never ends starts them all.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

use super::account::Account;
use super::ports::PortTaken;
use super::tools;

/// Long enough for a loaded machine with two cores; a healthy part needs a tenth of it.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
/// How often a part is asked whether it is ready.
pub(super) const POLL: Duration = Duration::from_millis(20);
/// How long a process may take to end by itself when its signal lets it.
const GRACE: Duration = Duration::from_secs(5);

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
        Ok(Self { program: tools::program(name)?, ..Self::of_system(name, folder) })
    }

    /// A program found on `PATH`.
    pub(super) fn of_system(name: &'static str, folder: &'a Path) -> Self {
        Self {
            name,
            program: name.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder,
            account: None,
            ended_by: Signal::KILL,
        }
    }

    pub(super) fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Everything but the guard that makes a process end with us.
    fn prepare(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", tools::search_path())
            .env("HOME", self.folder)
            .env("LC_ALL", "C.UTF-8")
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .current_dir(self.folder)
            .stdin(Stdio::null());
    }

    /// Runs a program that ends by itself, and returns what it printed.
    pub(super) async fn run(self) -> Result<String> {
        let mut command = match self.account {
            None => Command::new(&self.program),
            Some(account) => {
                let mut command = Command::new("setpriv");
                command.args(account.setpriv_arguments()).arg("--").arg(&self.program);
                command
            }
        };
        command.args(&self.arguments);
        self.prepare(&mut command);
        let running = tokio::process::Command::from(command).kill_on_drop(true).output();
        let output = tokio::time::timeout(PATIENCE, running)
            .await
            .with_context(|| format!("{} is not done after {PATIENCE:?}", self.name))?
            .with_context(|| format!("{} cannot be run", self.program.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
            bail!("{} ended with {}:\n{}", self.name, output.status, said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// A process that ends with this value.
#[derive(Debug)]
pub(super) struct Process {
    name: &'static str,
    child: Child,
    group: Pid,
    ended_by: Signal,
    ended: Option<ExitStatus>,
    log: PathBuf,
    /// How long the log was before this start.
    log_begin: u64,
}

impl Process {
    /// Starts it; see [`Self::until_ready`].
    pub(super) fn start(launch: &Launch<'_>) -> Result<Self> {
        let log = launch.folder.join(format!("{}.log", launch.name));
        let output = OpenOptions::new().create(true).append(true).open(&log)?;
        let log_begin = output.metadata()?.len();

        // We may die before the guard stands. The shell that starts under it then has another parent already.
        let mut command = Command::new("setpriv");
        command.args(launch.account.iter().flat_map(|account| account.setpriv_arguments()));
        command.args(["--pdeathsig", signal_name(launch.ended_by), "--", "/bin/sh", "-c"]);
        command.arg(r#"test "$PPID" = "$0" && exec "$@""#);
        command.arg(std::process::id().to_string()).arg(&launch.program).args(&launch.arguments);
        launch.prepare(&mut command);
        command.stdout(output.try_clone()?).stderr(output).process_group(0);

        let child = start_on_lasting_thread(command).with_context(|| format!("{} cannot be started", launch.name))?;
        let group = Pid::from_child(&child);
        Ok(Self { name: launch.name, child, group, ended_by: launch.ended_by, ended: None, log, log_begin })
    }

    /// Asks until the answer is good, the process has ended, or patience has.
    pub(super) async fn until_ready(&mut self, mut ask: impl AsyncFnMut() -> Result<()>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.still_runs()?;
            let Err(answer) = ask().await else { return self.still_runs() };
            if Instant::now() > deadline {
                let error = anyhow!("its log ends:\n{}", self.log_tail()).context(format!("{answer:#}"));
                return Err(error.context(format!("{} is not ready after {PATIENCE:?}", self.name)));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The process that runs, for measurements.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it and waits until it is gone, without holding up the thread that waits.
    pub(super) async fn stop(self) -> Result<()> {
        Ok(tokio::task::spawn_blocking(move || drop(self)).await?)
    }

    fn still_runs(&mut self) -> Result<()> {
        let Some(status) = self.look()? else { return Ok(()) };
        let tail = self.log_tail();
        let ended = format!("{} ended with {status}; its log ends:\n{tail}", self.name);
        if tail.to_lowercase().contains("address already in use") {
            return Err(anyhow::Error::new(PortTaken).context(ended));
        }
        bail!(ended)
    }

    /// Whether it has ended. The id of its group is nobody else's until its leader is waited for: the group is killed
    /// first.
    fn look(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            if waitid(WaitId::Pid(self.group), options)?.is_some() {
                let _ = kill_process_group(self.group, Signal::KILL);
                self.ended = Some(self.child.wait()?);
            }
        }
        Ok(self.ended)
    }

    fn log_tail(&self) -> String {
        const TAIL: u64 = 4_000;
        let read = || -> io::Result<Vec<u8>> {
            let mut log = File::open(&self.log)?;
            let from = self.log_begin.max(log.metadata()?.len().saturating_sub(TAIL));
            log.seek(SeekFrom::Start(from))?;
            let mut tail = Vec::new();
            log.read_to_end(&mut tail)?;
            Ok(tail)
        };
        match read() {
            Ok(tail) => String::from_utf8_lossy(&tail).trim().to_owned(),
            Err(error) => format!("({} cannot be read: {error})", self.log.display()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = kill_process(self.group, self.ended_by);
        }
        let deadline = Instant::now() + GRACE;
        while let Ok(None) = self.look() {
            if Instant::now() > deadline {
                let _ = kill_process_group(self.group, Signal::KILL);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What `setpriv` calls the signals that we use.
fn signal_name(signal: Signal) -> &'static str {
    if signal == Signal::QUIT { "QUIT" } else { "KILL" }
}

struct Order {
    command: Command,
    reply: mpsc::SyncSender<io::Result<Child>>,
}

fn start_on_lasting_thread(command: Command) -> Result<Child> {
    static ORDERS: LazyLock<io::Result<mpsc::Sender<Order>>> = LazyLock::new(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::Builder::new().name("parts".to_owned()).spawn(move || {
            for mut order in inbox {
                let _ = order.reply.send(order.command.spawn());
            }
        })?;
        Ok(orders)
    });
    let orders = ORDERS.as_ref().map_err(|error| anyhow!("no thread to start processes on: {error}"))?;
    let (reply, answer) = mpsc::sync_channel(1);
    orders.send(Order { command, reply }).map_err(|_| anyhow!("the thread that starts processes is gone"))?;
    Ok(answer.recv().context("the thread that starts processes is gone")??)
}
