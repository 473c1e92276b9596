//! A repository to ask: what a mirror and a clone have in common.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::program::{Call, Said};
use super::{Bounds, GitError, Objects, Program};
use crate::ids::CommitId;

/// A repository's objects and history. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(super) git: Program,
    pub(super) at: PathBuf,
    /// Credentials and object folders; never printed.
    pub(super) environment: Arc<[(OsString, OsString)]>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Store").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Store {
    /// A reader of objects: one process that answers until it is dropped.
    pub fn objects(&self) -> Objects {
        Objects::new(self.clone())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.at
    }

    pub(super) async fn ask(&self, doing: &'static str, args: &[&str]) -> Result<Said, GitError> {
        self.run(doing, args, Bounds::ASK, &[]).await
    }

    pub(super) async fn answer(&self, doing: &'static str, args: &[&str]) -> Result<String, GitError> {
        let out = self.ask(doing, args).await?.success(doing)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    pub(super) async fn run(
        &self,
        doing: &'static str,
        args: &[&str],
        bounds: Bounds,
        input: &[u8],
    ) -> Result<Said, GitError> {
        let args: Vec<&OsStr> = args.iter().map(AsRef::as_ref).collect();
        let call = Call { doing, at: &self.at, environment: &self.environment, args: &args, bounds };
        self.git.run(call, input).await
    }
}

/// Reads an object id that git printed.
pub(super) fn object_id(doing: &'static str, text: &str) -> Result<CommitId, GitError> {
    let word = text.trim();
    word.parse()
        .map_err(|_| GitError::Broken { doing, detail: format!("it printed `{}`", super::names::printable(word)) })
}
