//! A running `bascule`, server or agent: the real binary, with all it logs.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Longer than anything a test waits for.
const PATIENCE: Duration = Duration::from_secs(90);

/// The real binary, at work; killed with this value.
pub(crate) struct Running {
    process: Child,
    log: Arc<(Mutex<Vec<String>>, Condvar)>,
    reading: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts it with these arguments, which have to make it log JSON.
    pub(crate) fn start(arguments: &[&OsStr], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
        // Not the folder of any file: what a file names is beside it wherever we start.
        command.args(arguments).env_clear().envs(environment.iter().copied()).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        let log = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let heard = log.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "reads as long as the process lives, and is joined when it has ended"
        )]
        let reading = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                heard.0.lock().unwrap().push(line);
                heard.1.notify_all();
            }
        });
        Self { process, log, reading: Some(reading) }
    }

    /// The first line of the log that is like this, as soon as it is there.
    pub(crate) fn hears(&self, like: impl Fn(&Value) -> bool) -> Value {
        let (lines, more) = &*self.log;
        let found = |lines: &Vec<String>| {
            lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(|line| like(line))
        };
        let lines = lines.lock().unwrap();
        let (lines, _) = more.wait_timeout_while(lines, PATIENCE, |lines| found(lines).is_none()).unwrap();
        found(&lines).unwrap_or_else(|| panic!("it does not say it:\n{}", lines.join("\n")))
    }

    /// Asks it to end; all it ever logged.
    pub(crate) fn stops(mut self) -> Vec<String> {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        assert!(self.process.wait().unwrap().success());
        self.reading.take().unwrap().join().unwrap();
        std::mem::take(&mut self.log.0.lock().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The server.
pub(crate) struct Server {
    running: Running,
    /// `127.0.0.1:PORT` of webhooks, API and pages.
    pub(crate) listens: String,
    /// `127.0.0.1:PORT` of metrics and health.
    pub(crate) admin: String,
}

impl Server {
    /// Starts it with the `bascule.toml` of a folder, which has to say `log_format = "json"`, and waits until it is ready.
    pub(crate) fn start(folder: &Path, environment: &[(&str, &str)]) -> Self {
        let file = folder.join("bascule.toml");
        let arguments = ["serve", "--log", "warn,bascule=debug", "--config"].map(OsStr::new);
        let running = Running::start(&[&arguments[..], &[file.as_os_str()]].concat(), environment);
        let ready = running.hears(|line| line["message"] == "ready");
        let at = |key: &str| ready[key].as_str().unwrap().to_owned();
        Self { listens: at("listen"), admin: at("admin"), running }
    }

    /// The first line of the log that is like this, as soon as it is there.
    pub(crate) fn hears(&self, like: impl Fn(&Value) -> bool) -> Value {
        self.running.hears(like)
    }

    /// Asks it to end; all it ever logged.
    pub(crate) fn stops(self) -> Vec<String> {
        self.running.stops()
    }
}
