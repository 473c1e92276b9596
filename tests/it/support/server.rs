//! A running `bascule serve`: the real binary, with all it logs.

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

/// The server; killed with this value.
pub(crate) struct Server {
    process: Child,
    log: Arc<(Mutex<Vec<String>>, Condvar)>,
    reading: Option<JoinHandle<()>>,
    /// `127.0.0.1:PORT` of webhooks, API and pages.
    pub(crate) listens: String,
    /// `127.0.0.1:PORT` of metrics and health.
    pub(crate) admin: String,
}

impl Server {
    /// Starts it with the `bascule.toml` of a folder, which has to say `log_format = "json"`, and waits until it is ready.
    pub(crate) fn start(folder: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
        command.args(["serve", "--log", "warn,bascule=debug", "--config"]).arg(folder.join("bascule.toml"));
        // Not the folder of the file: what the file names is beside it wherever we start.
        command.env_clear().envs(environment.iter().copied()).current_dir("/");
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
        let mut server = Self { process, log, reading: Some(reading), listens: String::new(), admin: String::new() };
        let ready = server.hears(|line| line["message"] == "ready");
        server.listens = ready["listen"].as_str().unwrap().to_owned();
        server.admin = ready["admin"].as_str().unwrap().to_owned();
        server
    }

    /// The first line of the log that is like this, as soon as it is there.
    pub(crate) fn hears(&self, like: impl Fn(&Value) -> bool) -> Value {
        let (lines, more) = &*self.log;
        let found = |lines: &Vec<String>| {
            lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(|line| like(line))
        };
        let lines = lines.lock().unwrap();
        let (lines, _) = more.wait_timeout_while(lines, PATIENCE, |lines| found(lines).is_none()).unwrap();
        found(&lines).unwrap_or_else(|| panic!("the server does not say it:\n{}", lines.join("\n")))
    }

    /// Asks it to end; all it ever logged.
    pub(crate) fn stops(mut self) -> Vec<String> {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        assert!(self.process.wait().unwrap().success());
        self.reading.take().unwrap().join().unwrap();
        std::mem::take(&mut self.log.0.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
