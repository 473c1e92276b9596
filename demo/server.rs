//! The server of the demo: the program a user would run, as a process of its own.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::process::{Child, Command};

/// A running `bascule serve`; ended with its value.
pub(crate) struct Server {
    child: Child,
    log: std::path::PathBuf,
}

impl Server {
    /// Starts it and waits until it takes connections.
    pub(crate) async fn start(config: &Path, folder: &Path, port: u16, secrets: [(&str, &str); 3]) -> Result<Self> {
        let log = folder.join("bascule.log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = Command::new(program()?);
        command.args(["serve", "--config"]).arg(config).envs(secrets).env("PATH", path()?);
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).kill_on_drop(true);
        let child = command.spawn().context("cannot start bascule")?;
        let mut server = Self { child, log };
        for _ in 0..600 {
            if let Some(status) = server.child.try_wait()? {
                bail!("bascule ended with {status}; the end of its log:\n{}", server.log_tail());
            }
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Ok(server);
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        bail!("bascule did not listen within a minute; the end of its log:\n{}", server.log_tail())
    }

    /// The end of its log.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Resident memory, in KiB.
    pub(crate) fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?.trim().parse().ok()
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<()> {
        if let Some(id) = self.child.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?)) {
            rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        }
        let ended = tokio::time::timeout(std::time::Duration::from_secs(45), self.child.wait()).await;
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(status) => bail!("bascule ended with {status:?}; the end of its log:\n{}", self.log_tail()),
            Err(_) => bail!("bascule did not stop within 45 s; the end of its log:\n{}", self.log_tail()),
        }
    }
}

/// The program built beside this one.
pub(crate) fn program() -> Result<std::path::PathBuf> {
    let here = std::env::current_exe()?;
    let folder = here.parent().and_then(Path::parent).context("the demo is not in a target folder")?;
    let program = folder.join("bascule");
    if program.is_file() { Ok(program) } else { bail!("{} is not built: run `make demo`", program.display()) }
}

/// `PATH` with the tools that were built before it.
pub(crate) fn path() -> Result<std::ffi::OsString> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/.bin");
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(std::iter::once(tools).chain(std::env::split_paths(&inherited)))?)
}
