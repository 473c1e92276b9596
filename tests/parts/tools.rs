//! Where the programs are: in `tools/.bin`, where `tools/build` puts them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tools");

/// A program that `tools/build` built or found.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    existing(Path::new(TOOLS).join(".bin").join(name))
}

/// One of PostgreSQL's programs.
pub(super) fn postgresql(name: &str) -> Result<PathBuf> {
    existing(Path::new(TOOLS).join(".bin/postgresql").join(name))
}

/// What `tools/build` put there that is no program: files that one reads at run time, and what forges publish.
pub(crate) fn shared(path: &str) -> Result<PathBuf> {
    existing(Path::new(TOOLS).join(".bin/share").join(path))
}

/// The `PATH` of this process, for programs that start others (Gitea starts Git). Nothing else of our environment is
/// theirs: a developer's own settings must not change what a test sees.
#[expect(clippy::disallowed_methods, reason = "no configuration of ours: it is passed on as it is")]
pub(super) fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
}

fn existing(path: PathBuf) -> Result<PathBuf> {
    ensure!(path.exists(), "{} is missing: run tools/build", path.display());
    Ok(path)
}
