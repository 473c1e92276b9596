//! One process of a part: started, awaited, and ended however we end.
//!
//! A process leads a group of its own, so that a Ctrl-C in the terminal is ours to handle and that what it started can
//! be ended with it. It is killed when its value is dropped, and by its guard (see [`super::launch`]) when we die.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

use super::launch::{Launch, PATIENCE, on_lasting_thread};
use super::ports::PortTaken;

/// How often a part is asked whether it is ready.
pub(super) const POLL: Duration = Duration::from_millis(20);
/// How long one answer may take.
const ONE_ANSWER: Duration = Duration::from_secs(3);
/// How long a process may take to end by itself when its signal lets it.
const GRACE: Duration = Duration::from_secs(5);

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
        let mut command = launch.guarded();
        command.stdout(output.try_clone()?).stderr(output).process_group(0);
        let child = on_lasting_thread(move || command.spawn())?;
        let child = child.with_context(|| format!("{} cannot be started", launch.name))?;
        let group = Pid::from_child(&child);
        Ok(Self { name: launch.name, child, group, ended_by: launch.ended_by, ended: None, log, log_begin })
    }

    /// Asks until the answer is good, the process has ended, or patience has.
    pub(super) async fn until_ready(&mut self, mut ask: impl AsyncFnMut() -> Result<()>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Somebody who is not ours may listen there and never answer.
            let answer = tokio::time::timeout(ONE_ANSWER, ask()).await;
            self.still_runs()?;
            let error = match answer {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(late) => late.into(),
            };
            // Not every program ends when its port is taken.
            self.has_its_port()?;
            if Instant::now() > deadline {
                let tail = self.log_tail();
                let name = self.name;
                return Err(error.context(format!("{name} is not ready after {PATIENCE:?}; its log ends:\n{tail}")));
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
        self.has_its_port()?;
        bail!("{} ended with {status}; its log ends:\n{}", self.name, self.log_tail())
    }

    fn has_its_port(&self) -> Result<()> {
        let tail = self.log_tail();
        if tail.to_lowercase().contains("address already in use") {
            let name = self.name;
            return Err(anyhow::Error::new(PortTaken).context(format!("{name} cannot listen; its log ends:\n{tail}")));
        }
        Ok(())
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
