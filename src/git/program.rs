//! The `git` program, run in one hardened way.
//!
//! Nothing of the machine's or a person's configuration is read, no prompt can appear, no hook can run, and a call is
//! bounded in time, in output and in what it may write to disk. Credentials travel as configuration in the environment:
//! never in an argument, which every user of the machine can read, and never in a repository's own file.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::GitError;
use super::memory::Memory;

/// What one call may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Wall-clock time; then the whole process group is killed.
    pub time: Duration,
    /// Bytes of standard output; then the same.
    pub output: u64,
    /// Bytes of the largest file it may write, a fetched pack above all. The kernel enforces it.
    pub file: u64,
}

impl Bounds {
    /// For questions about what is already there, where at most single files come from the remote.
    pub const ASK: Self = Self { time: Duration::from_secs(60), output: 64 << 20, file: 128 << 20 };
    /// For a fetch. 1 GiB of commits and trees is a repository of several million of them; files come one by one.
    pub const FETCH: Self = Self { time: Duration::from_secs(600), output: 1 << 20, file: 1 << 30 };
    /// For a push of a commit or two: within what a job's lease has left when it begins.
    pub const PUSH: Self = Self { time: Duration::from_secs(10), output: 1 << 20, file: 128 << 20 };
}

/// The least version: `merge-tree --write-tree` came with 2.38.
const LEAST: (u32, u32) = (2, 38);

/// Configuration every call gets; it overrides a repository's own file.
const CONFIG: [(&str, &str); 12] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.quotePath", "false"),
    ("core.pager", "cat"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("transfer.fsckObjects", "true"),
    ("fetch.recurseSubmodules", "false"),
    ("submodule.recurse", "false"),
    ("http.followRedirects", "false"),
    // A remote that sends less than 1 kB/s for 30 s is as good as away.
    ("http.lowSpeedLimit", "1000"),
    ("http.lowSpeedTime", "30"),
];

/// Where a call's configuration comes from beside [`CONFIG`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// The server: an empty environment, nobody's configuration.
    Nobody,
    /// A person at their own machine: their environment and configuration (proxies, credential helpers,
    /// `safe.directory`), as when they type `git`.
    Person,
}

/// The program, found and of a version we can use.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    trust: Trust,
    /// What its mirrors share.
    pub(super) memory: Arc<Memory>,
}

/// What one call is: where, with which extra environment, which arguments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    /// For error messages: "git could not {doing}".
    pub doing: &'static str,
    /// The repository, or the folder to find one from.
    pub at: &'a Path,
    /// Extra environment (credentials, object folders); may override ours.
    pub environment: &'a [(OsString, OsString)],
    /// Arguments after `git`.
    pub args: &'a [&'a OsStr],
    /// What it may use.
    pub bounds: Bounds,
}

/// What a finished call said.
#[derive(Debug)]
pub(super) struct Said {
    pub code: Option<i32>,
    pub out: Vec<u8>,
    pub err: String,
}

impl Program {
    /// The program for the server: `path` is absolute, or a name looked up on the process's `PATH`.
    ///
    /// # Errors
    /// [`GitError::Broken`] when it cannot be started or is older than 2.38.
    pub async fn find(path: &Path) -> Result<Self, GitError> {
        Self { path: path.to_owned(), trust: Trust::Nobody, memory: Arc::default() }.checked().await
    }

    /// The program for a person's own working clone, with their own configuration.
    ///
    /// # Errors
    /// As [`Program::find`].
    pub async fn of_person(path: &Path) -> Result<Self, GitError> {
        Self { path: path.to_owned(), trust: Trust::Person, memory: Arc::default() }.checked().await
    }

    async fn checked(self) -> Result<Self, GitError> {
        let doing = "tell its version";
        let args = ["version".as_ref()];
        let call = Call { doing, at: Path::new("/"), environment: &[], args: &args, bounds: Bounds::ASK };
        let said = self.success(call).await?;
        let text = String::from_utf8_lossy(&said).trim().to_owned();
        match version(&text) {
            Some(found) if found >= LEAST => Ok(self),
            _ => {
                let detail = format!("version {}.{} or newer is needed, found `{text}`", LEAST.0, LEAST.1);
                Err(GitError::Broken { doing, detail })
            }
        }
    }

    /// How many processes were started: what a job costs above all.
    pub fn started(&self) -> u64 {
        self.memory.started()
    }

    /// A command about to be started: hardened, in its own process group, killed when its handle is dropped.
    pub(super) fn command(&self, at: &Path, environment: &[(OsString, OsString)]) -> Command {
        self.memory.starts();
        metrics::counter!("bascule_git_processes_total").increment(1);
        let mut command = Command::new(&self.path);
        match self.trust {
            Trust::Nobody => {
                command.env_clear();
                command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
                command.env("HOME", "/nonexistent").env("PATH", "/usr/local/bin:/usr/bin:/bin");
                // No way out unless the caller's environment opens one for its remote.
                command.env("GIT_ALLOW_PROTOCOL", "none");
            }
            Trust::Person => {
                // Set when we are started from a hook of another repository.
                for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX"] {
                    command.env_remove(name);
                }
            }
        }
        command.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0").env("GIT_OPTIONAL_LOCKS", "0");
        command.env("GIT_NO_REPLACE_OBJECTS", "1").env("GIT_LITERAL_PATHSPECS", "1");
        for (key, value) in CONFIG {
            command.arg("-c").arg(format!("{key}={value}"));
        }
        command.envs(environment.iter().map(|(key, value)| (key, value)));
        command.current_dir(at).process_group(0).kill_on_drop(true);
        command
    }

    /// Runs a call to its end, whatever its exit code.
    pub(super) async fn run(&self, call: Call<'_>, input: &[u8]) -> Result<Said, GitError> {
        let mut command = self.command(call.at, call.environment);
        command.args(call.args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(call.doing, &mut command, call.bounds)?;
        let group = Group::of(&child);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feeding = async move {
            if let Some(mut stdin) = stdin {
                // A process that ends without reading all of it says why by its exit code.
                let _ = stdin.write_all(input).await;
            }
        };
        let reading = read_bounded(call.doing, stdout, call.bounds.output);
        // A remote's chatter is worth its end only.
        let complaining = read_tail(stderr);
        let whole = async {
            let (out, err, ()) = tokio::try_join!(reading, complaining, async {
                feeding.await;
                Ok(())
            })?;
            let status = child.wait().await.map_err(|error| broken(call.doing, &error))?;
            Ok::<_, GitError>((status, out, err))
        };
        let ended = tokio::time::timeout(call.bounds.time, whole).await;
        let (status, out, err) =
            ended.map_err(|_| GitError::TimedOut { doing: call.doing, limit: call.bounds.time })??;
        group.ended();
        if hit_file_limit(status) || err.contains("signal 25") || err.contains("File too large") {
            return Err(GitError::TooLarge {
                what: "what git would have to store".to_owned(),
                limit: call.bounds.file,
            });
        }
        Ok(Said { code: status.code(), out, err })
    }

    /// Runs a call that has to end with 0, and gives its output.
    pub(super) async fn success(&self, call: Call<'_>) -> Result<Vec<u8>, GitError> {
        let said = self.run(call, &[]).await?;
        said.success(call.doing)
    }
}

impl Said {
    /// The output, or the error git's words make.
    pub(super) fn success(self, doing: &'static str) -> Result<Vec<u8>, GitError> {
        if self.code == Some(0) { Ok(self.out) } else { Err(GitError::from_words(doing, &self.err)) }
    }
}

/// Starts a command under the kernel's limit for the size of a file it or its children write.
pub(super) fn spawn(doing: &'static str, command: &mut Command, bounds: Bounds) -> Result<Child, GitError> {
    let child = command.spawn().map_err(|error| broken(doing, &error))?;
    if let Some(pid) = pid(&child) {
        let limit = Rlimit { current: Some(bounds.file), maximum: Some(bounds.file) };
        // It fails only when the process has already ended.
        let _ = rustix::process::prlimit(Some(pid), Resource::Fsize, limit);
    }
    Ok(child)
}

pub(super) fn broken(doing: &'static str, error: &std::io::Error) -> GitError {
    GitError::Broken { doing, detail: error.to_string() }
}

fn pid(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}

#[cfg(target_os = "linux")]
fn hit_file_limit(status: std::process::ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(Signal::XFSZ.as_raw())
}

#[cfg(not(target_os = "linux"))]
fn hit_file_limit(_status: std::process::ExitStatus) -> bool {
    false
}

/// A process group that is killed as a whole unless it ended by itself: git starts programs of its own
/// (`git-remote-https`, `index-pack`), which outlive it when only git is killed.
#[derive(Debug)]
pub(super) struct Group(Option<Pid>);

impl Group {
    pub(super) fn of(child: &Child) -> Self {
        Self(pid(child))
    }

    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0.take() {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }
}

async fn read_bounded(
    doing: &'static str,
    from: Option<impl AsyncRead + Unpin>,
    limit: u64,
) -> Result<Vec<u8>, GitError> {
    let mut read = Vec::new();
    if let Some(from) = from {
        from.take(limit + 1).read_to_end(&mut read).await.map_err(|error| broken(doing, &error))?;
    }
    if read.len() as u64 > limit {
        return Err(GitError::TooLarge { what: "git's answer".to_owned(), limit });
    }
    Ok(read)
}

/// The last 16 KiB: a remote may talk for ever, and the reason comes last.
async fn read_tail(from: Option<impl AsyncRead + Unpin>) -> Result<String, GitError> {
    const KEEP: usize = 16 << 10;
    let mut tail = Vec::new();
    let mut chunk = vec![0_u8; 4096];
    if let Some(mut from) = from {
        while let Ok(read @ 1..) = from.read(&mut chunk[..]).await {
            tail.extend_from_slice(chunk.get(..read).unwrap_or_default());
            if tail.len() > 2 * KEEP {
                tail.drain(..tail.len() - KEEP);
            }
        }
    }
    Ok(String::from_utf8_lossy(&tail).into_owned())
}

/// `git version 2.39.5 (Apple Git-154)` → (2, 39).
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("git version ")?.split(['.', ' ', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_every_packager_writes_them() {
        assert_eq!(version("git version 2.39.5"), Some((2, 39)));
        assert_eq!(version("git version 2.39.5 (Apple Git-154)"), Some((2, 39)));
        assert_eq!(version("git version 2.47.windows.1"), Some((2, 47)));
        assert_eq!(version("hub version 2"), None);
    }

    #[tokio::test]
    async fn a_missing_program_is_named_as_such() {
        let error = Program::find(Path::new("/nonexistent/git")).await.unwrap_err();
        insta::assert_snapshot!(error, @"git could not tell its version: No such file or directory (os error 2)");
    }

    #[tokio::test]
    async fn a_call_that_does_not_end_is_killed_with_its_children() {
        let git = Program::find(Path::new("git")).await.unwrap();
        let args: Vec<&OsStr> = ["-c", "alias.wait=!sleep 1000", "wait"].iter().map(AsRef::as_ref).collect();
        let bounds = Bounds { time: Duration::from_millis(200), ..Bounds::ASK };
        let call = Call { doing: "wait", at: Path::new("/tmp"), environment: &[], args: &args, bounds };
        assert!(matches!(git.run(call, &[]).await, Err(GitError::TimedOut { .. })));
    }

    #[tokio::test]
    async fn output_is_bounded_while_it_is_read() {
        let git = Program::find(Path::new("git")).await.unwrap();
        let args: Vec<&OsStr> = ["-c", "alias.talk=!yes", "talk"].iter().map(AsRef::as_ref).collect();
        let bounds = Bounds { output: 1000, ..Bounds::ASK };
        let call = Call { doing: "talk", at: Path::new("/tmp"), environment: &[], args: &args, bounds };
        assert!(matches!(git.run(call, &[]).await, Err(GitError::TooLarge { limit: 1000, .. })));
    }

    #[tokio::test]
    async fn nothing_of_our_environment_reaches_git() {
        let git = Program::find(Path::new("git")).await.unwrap();
        let args: Vec<&OsStr> = ["-c", "alias.show=!env", "show-env"].iter().map(AsRef::as_ref).collect();
        let mut args = args;
        args[1] = OsStr::new("alias.show-env=!env");
        let call = Call { doing: "show", at: Path::new("/tmp"), environment: &[], args: &args, bounds: Bounds::ASK };
        let said = String::from_utf8(git.success(call).await.unwrap()).unwrap();
        assert!(!said.contains("CARGO"), "{said}");
        assert!(said.contains("HOME=/nonexistent"));
    }
}
