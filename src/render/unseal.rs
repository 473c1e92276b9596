//! Opens sealed Secrets with the `sops` program, for the moment in which they are sent.
//!
//! What is sealed comes on standard input, what is opened goes to a pipe, and neither is ever in a file. The program gets
//! an environment of its own with nothing in it but the keys of age, and of a Secret's `sops` block only what
//! [`for_opening`] leaves: no address of a key service, so that it has nobody to call.
//!
//! The authentication code over the whole document is not asked for: it is over values in the order of the file, which
//! kustomize and our own canonical form sort. Each value is authenticated by itself, and for its place; that nothing was
//! taken out or put in is what consent to the sealed set is for.
//!
//! Nothing the program says is ever shown: it prints digests of what it opened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::manifest::{for_opening, with_opened};

/// The least version: 3.10 is the first that reads standard input without being asked for a file.
const LEAST: (u32, u32) = (3, 10);
/// Wall-clock time of one Secret; it takes some 50 ms.
const TIME: Duration = Duration::from_secs(20);
/// Bytes it may print: a Secret has at most 1 MiB.
const OUTPUT: u64 = 4 << 20;
/// How it ends when no key opens the document (getsops/sops, cmd/sops/codes).
const NO_KEY: i32 = 128;

/// Gives keys as they are now: they may be in a file that is rotated.
pub type AgeKeys = Box<dyn Fn() -> Result<SecretString, String> + Send + Sync>;

/// The program, and the keys by name.
pub struct Unsealer {
    program: Result<(PathBuf, String), String>,
    keys: BTreeMap<String, AgeKeys>,
}

impl std::fmt::Debug for Unsealer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Unsealer({:?}, {:?})", self.program, self.keys.keys())
    }
}

impl Unsealer {
    /// Finds `sops` in folders as of `PATH`; what is missing is said when it is needed.
    pub async fn find(search: Option<&std::ffi::OsStr>, keys: BTreeMap<String, AgeKeys>) -> Self {
        Self { program: found(search).await, keys }
    }

    /// The same program with other keys.
    #[must_use]
    pub fn with_keys(&self, keys: BTreeMap<String, AgeKeys>) -> Self {
        Self { program: self.program.clone(), keys }
    }

    /// The program's version.
    ///
    /// # Errors
    /// What is missing, fit for whoever runs this machine.
    pub fn version(&self) -> Result<&str, &str> {
        self.program.as_ref().map(|(_, version)| version.as_str()).map_err(String::as_str)
    }

    /// Opens one sealed Secret with the keys of this name: the object to send.
    ///
    /// # Errors
    /// Why it cannot be, with what to do; nothing of what is in it.
    pub async fn open(&self, sealed: &Value, name: &str) -> Result<Value, String> {
        let (program, _) = self.program.as_ref().map_err(Clone::clone)?;
        let keys = self.keys.get(name).ok_or_else(|| format!("the server's file has no `[secrets.{name}]`"))?;
        let keys = keys().map_err(|why| format!("the keys of `[secrets.{name}]` cannot be read: {why}"))?;
        let given = serde_json::to_vec(&for_opening(sealed)).map_err(|_| "it is no JSON".to_owned())?;
        let (code, out) = run(program, &keys, &given).await?;
        match code {
            Some(0) => {}
            Some(NO_KEY) => {
                return Err(format!(
                    "no key of `[secrets.{name}]` opens it: seal it to that key's recipient with `sops updatekeys`"
                ));
            }
            _ => return Err("a value of it is not as it was sealed: seal it anew with sops".to_owned()),
        }
        let opened = serde_json::from_slice(&out).map_err(|_| "what sops gave is no JSON".to_owned())?;
        with_opened(sealed, &opened)
    }
}

async fn found(search: Option<&std::ffi::OsStr>) -> Result<(PathBuf, String), String> {
    let path = search
        .into_iter()
        .flat_map(std::env::split_paths)
        .map(|folder| folder.join("sops"))
        .find(|path| path.is_file())
        .ok_or_else(|| format!("sops {}.{} or newer is needed, and is not on PATH", LEAST.0, LEAST.1))?;
    let path = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
    let args = ["--version", "--disable-version-check"];
    let (_, out) = called(&path, &args, None, &[]).await?;
    let said = String::from_utf8_lossy(&out).into_owned();
    let version = said.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= LEAST => Ok((path, version)),
        (Some(Ok(_)), Some(Ok(_))) => {
            Err(format!("sops {version} ({}) is too old: {}.{} or newer is needed", path.display(), LEAST.0, LEAST.1))
        }
        _ => Err(format!("{} does not tell its version", path.display())),
    }
}

async fn run(program: &Path, keys: &SecretString, given: &[u8]) -> Result<(Option<i32>, Vec<u8>), String> {
    let args = ["decrypt", "--ignore-mac", "--input-type", "json", "--output-type", "json", "/dev/stdin"];
    called(program, &args, Some(keys), given).await
}

async fn called(
    program: &Path,
    args: &[&str],
    keys: Option<&SecretString>,
    given: &[u8],
) -> Result<(Option<i32>, Vec<u8>), String> {
    let mut command = Command::new(program);
    // No home with keys of somebody else, no program that a key of a plugin could start, no file of rules: it looks for
    // `.sops.yaml` from where it is upwards.
    command.args(args).env_clear().env("HOME", "/nonexistent").env("PATH", "/nonexistent").current_dir("/");
    command.env("GOMAXPROCS", "2").env("GOTRACEBACK", "none");
    if let Some(keys) = keys {
        command.env("SOPS_AGE_KEY", keys.expose_secret());
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.process_group(0).kill_on_drop(true);
    let cannot = |error: std::io::Error| format!("sops could not be run: {error}");
    let mut child = command.spawn().map_err(cannot)?;
    let _group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let whole = async {
        let feeding = async {
            if let Some(mut stdin) = stdin {
                // One that ends without reading all of it says so by how it ends.
                let _ = stdin.write_all(given).await;
            }
        };
        let reading = async {
            let mut out = Vec::new();
            if let Some(stdout) = stdout {
                stdout.take(OUTPUT + 1).read_to_end(&mut out).await.map_err(cannot)?;
            }
            if out.len() as u64 > OUTPUT {
                return Err(format!("sops gave more than {} MiB", OUTPUT >> 20));
            }
            Ok(out)
        };
        let ((), out) = tokio::join!(feeding, reading);
        let out = out?;
        let status = child.wait().await.map_err(cannot)?;
        Ok((status.code(), out))
    };
    let ended = tokio::time::timeout(TIME, whole).await;
    ended.map_err(|_| format!("sops did not end within {} s", TIME.as_secs()))?
}

/// Kills what is left when a run is over, or given up.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0.take() {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }
}
