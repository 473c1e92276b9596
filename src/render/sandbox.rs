//! The box: a fresh folder with the closure's files, and one run of a program in it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::paths::{LONGEST_NAME, LONGEST_PATH};
use super::walls::Level;
use super::{Limits, RenderError};

/// A fresh folder, removed with everything in it when dropped.
///
/// ```text
/// files/   the closure, at the paths it has in the repository
/// bin/     where the program appears
/// tmp/     its HOME and TMPDIR
/// ```
#[derive(Debug)]
pub(super) struct Sandbox {
    folder: tempfile::TempDir,
    host: &'static str,
}

/// What a machine is called in a box, so that nothing that comes out says which machine it was; and in the second one, in
/// which whatever depends on that becomes something else.
const HOST: &str = "bascule";
const OTHER_HOST: &str = "elsewhere";

/// What a run in the box gave.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) ok: bool,
    pub(super) out: Vec<u8>,
    pub(super) err: String,
}

impl Sandbox {
    /// Makes an empty box below `scratch`.
    pub(super) fn new(scratch: &Path) -> Result<Self, RenderError> {
        let folder = tempfile::Builder::new().prefix("box-").tempdir_in(scratch).map_err(machine)?;
        for name in ["files", "bin", "tmp"] {
            std::fs::create_dir(folder.path().join(name)).map_err(machine)?;
        }
        std::fs::write(folder.path().join("bin/renderer"), b"").map_err(machine)?;
        // The program may run as another user; what is in the box is not secret to it.
        let mode =
            |path: PathBuf, mode| std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode));
        mode(folder.path().to_owned(), 0o755).map_err(machine)?;
        mode(folder.path().join("tmp"), 0o777).map_err(machine)?;
        Ok(Self { folder, host: HOST })
    }

    /// The same on another machine.
    pub(super) fn elsewhere(self) -> Self {
        Self { host: OTHER_HOST, ..self }
    }

    /// Writes a file of the closure.
    pub(super) fn put(&self, path: &str, content: &[u8]) -> Result<(), RenderError> {
        if path.len() > LONGEST_PATH {
            return Err(unwritable(path));
        }
        let mut at = self.folder.path().join("files");
        for name in path.split('/') {
            if matches!(name, "" | "." | "..") || name.contains('\0') || name.len() > LONGEST_NAME {
                return Err(unwritable(path));
            }
            at.push(name);
        }
        if let Some(parent) = at.parent() {
            std::fs::create_dir_all(parent).map_err(|error| unwritten(path, error))?;
        }
        // The box is ours and new: whatever is there already was written by this closure, and cannot be.
        let mut file = std::fs::File::create_new(&at).map_err(|error| unwritten(path, error))?;
        std::io::Write::write_all(&mut file, content).map_err(machine)
    }

    /// Where a path of the closure is for a program at this level.
    pub(super) fn inside(&self, level: Level, path: &str) -> String {
        let root = if level.is_sealed() {
            "/files".to_owned()
        } else {
            self.folder.path().join("files").display().to_string()
        };
        if path.is_empty() { root } else { format!("{root}/{path}") }
    }

    /// Runs a program to its end, inside the walls of `level`.
    pub(super) async fn run(
        &self,
        level: Level,
        program: (&str, &Path),
        args: &[String],
        limits: &Limits,
    ) -> Result<Ran, RenderError> {
        let (name, path) = program;
        let words = level.command((self.folder.path(), self.host), path, limits);
        let (first, rest) = words.split_first().ok_or_else(|| RenderError::Machine("nothing to run".to_owned()))?;
        let tmp =
            if level.is_sealed() { "/tmp".to_owned() } else { self.folder.path().join("tmp").display().to_string() };
        let mut command = Command::new(first);
        command.args(rest).args(args).env_clear();
        // The path finds the walls' own programs and is gone before the renderer starts.
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", &tmp).env("TMPDIR", &tmp);
        // A template that reads a time as that of its place reads the same on every machine.
        command.env("TZ", "UTC");
        // Where a namespace of its own cannot give the machine another name, this is all there is of one.
        command.env("HOSTNAME", self.host);
        // A Go program collects garbage before it hits the wall, and starts few threads.
        command.env("GOMEMLIMIT", (limits.memory / 4 * 3).to_string()).env("GOMAXPROCS", "2");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.current_dir(self.folder.path()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(machine)?;
        let group = Group::of(&child);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let whole = async {
            let (out, err) = tokio::join!(read_bounded(stdout, limits.output), read_head(stderr));
            let out = out?.ok_or_else(|| RenderError::TooMuch {
                what: format!("what {name} prints"),
                limit: format!("{} MiB", limits.output >> 20),
            })?;
            let status = child.wait().await.map_err(machine)?;
            Ok::<_, RenderError>(Ran { ok: status.success(), out, err })
        };
        let ended = tokio::time::timeout(limits.time, whole).await;
        drop(group);
        ended.map_err(|_| RenderError::TimedOut { renderer: name.to_owned(), limit: limits.time })?
    }
}

/// Kills what is left of a run when it is over, or given up: a program may have started others that outlive it where no
/// namespace of processes ends them.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0.take() {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }
}

/// `None` when there is more than `limit`.
async fn read_bounded(from: Option<impl AsyncRead + Unpin>, limit: u64) -> Result<Option<Vec<u8>>, RenderError> {
    let mut read = Vec::new();
    if let Some(from) = from {
        from.take(limit + 1).read_to_end(&mut read).await.map_err(machine)?;
    }
    Ok(if read.len() as u64 > limit { None } else { Some(read) })
}

/// The first 64 KiB, the rest read and forgotten: a trace may be endless, and its reason comes first.
async fn read_head(from: Option<impl AsyncRead + Unpin>) -> String {
    let mut head = Vec::new();
    if let Some(mut from) = from {
        let mut chunk = vec![0_u8; 8192];
        while let Ok(read @ 1..) = from.read(&mut chunk[..]).await {
            if head.len() < 64 << 10 {
                head.extend_from_slice(chunk.get(..read).unwrap_or_default());
            }
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn unwritable(path: &str) -> RenderError {
    let shown: String = path.chars().take(120).collect();
    RenderError::refused(&shown, "its path cannot be written to a disk")
}

/// A closure that holds a file where it has a folder, or a name no disk takes, is its author's to mend: tried again, it
/// would be the same.
fn unwritten(path: &str, error: std::io::Error) -> RenderError {
    use std::io::ErrorKind::{AlreadyExists, InvalidFilename, IsADirectory, NotADirectory};
    match error.kind() {
        AlreadyExists | InvalidFilename | IsADirectory | NotADirectory => unwritable(path),
        _ => machine(error),
    }
}

fn machine(error: std::io::Error) -> RenderError {
    RenderError::Machine(error.to_string())
}
