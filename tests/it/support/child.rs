//! A process of one's own for tests that kill: this test binary again, running one function of it.
//!
//! The product knows nothing of it; the child is a test that does nothing unless a parent told it what to do.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

const TOLD: &str = "BASCULE_TEST_CHILD";
const MARK: &str = "child: ";

type Role = fn(&[String]);

/// What children can be told to do.
const ROLES: [(&str, Role); 5] = [
    ("embedded", crate::embedded::child),
    ("part", crate::ends::child),
    ("syncer", crate::sync::crash::child),
    ("town", crate::stories::kills::child),
    ("worker", crate::queue::processes::child),
];

/// Run by the harness it does nothing; as a child it is what the parent told it.
#[test]
#[expect(clippy::disallowed_methods, reason = "how a parent test talks to its child")]
fn a_child_does_as_its_parent_told_it() {
    let Ok(told) = std::env::var(TOLD) else { return };
    let told: Vec<String> = serde_json::from_str(&told).unwrap();
    let (_, role) = ROLES.into_iter().find(|(name, _)| *name == told[0]).expect("a role of ROLES");
    role(&told[1..]);
}

/// Tells the parent a line; from a child.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{MARK}{line}").unwrap();
    out.flush().unwrap();
}

/// A running child; killed with this value.
pub(crate) struct TestChild {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl TestChild {
    pub(crate) fn start(role: &str, arguments: &[&str]) -> Self {
        Self::start_under(&[], role, arguments)
    }

    /// By way of another program (`setpriv`), with its arguments.
    pub(crate) fn start_under(wrapper: &[String], role: &str, arguments: &[&str]) -> Self {
        let told: Vec<&str> = std::iter::once(role).chain(arguments.iter().copied()).collect();
        let mut all = wrapper.to_vec();
        all.push(exe().display().to_string());
        let mut command = Command::new(&all[0]);
        command.args(&all[1..]).args(["--exact", "support::child::a_child_does_as_its_parent_told_it", "--nocapture"]);
        command.env(TOLD, serde_json::to_string(&told).unwrap());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// The next line it says; panics when it ended without.
    pub(crate) fn hear(&mut self) -> String {
        self.hear_or_end().expect("the child ended without saying more")
    }

    /// The next line it says, or nothing when it has ended.
    pub(crate) fn hear_or_end(&mut self) -> Option<String> {
        self.lines.find_map(|line| line.unwrap().strip_prefix(MARK).map(str::to_owned))
    }

    /// Everything it says until it ends.
    pub(crate) fn all_it_says(mut self) -> Vec<String> {
        std::iter::from_fn(|| self.hear_or_end()).collect()
    }

    /// Whether its process is at its end.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// SIGKILL, and waits until the kernel has done it.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        self.process.wait().unwrap();
    }
}

impl Drop for TestChild {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn exe() -> PathBuf {
    std::env::current_exe().unwrap()
}
