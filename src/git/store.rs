//! A repository to ask: what a mirror and a clone have in common.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::memory::Memory;
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
    /// Of a mirror, from which nothing is ever taken away: what was answered once.
    pub(super) memory: Option<Arc<Memory>>,
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

    /// The answer to a question that names nothing but objects, by their ids: it is never another, so of a mirror it is
    /// asked once.
    pub(super) async fn fixed(&self, doing: &'static str, args: &[&str]) -> Result<String, GitError> {
        let question = args.join("\0");
        if let Some(known) = self.remembered(&question) {
            return Ok(known.as_ref().to_owned());
        }
        let answer = self.answer(doing, args).await?;
        self.learn(question, &answer);
        Ok(answer)
    }

    /// What was learnt of a mirror.
    pub(super) fn remembered(&self, question: &str) -> Option<Arc<str>> {
        self.memory.as_ref()?.answer(&self.at, question)
    }

    /// Remembers of a mirror what can never be otherwise.
    pub(super) fn learn(&self, question: String, answer: &str) {
        if let Some(memory) = &self.memory {
            memory.learn(&self.at, question, answer);
        }
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
