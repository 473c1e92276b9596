//! `bascule diff`: the preview of a local clone. No server, no cluster, nothing written; a registry is asked where a chart
//! comes from one.
//!
//! ```text
//! Sides (two trees) ──environments──▶ pairs of rules ──touched──▶ closures that differ ──render──▶ sets ──▶ Page
//! ```
//!
//! What is compared is what the server compares: each environment rendered from both sides, with the rules of each
//! side. What it cannot know without a server (grants, floors, what the cluster holds) is not said.

mod charts;
mod environments;
mod rows;
mod shapes;
mod sides;
mod tree;

use std::path::{Path, PathBuf};

use super::report::Verdict;
use crate::git::{GitError, Program};
use crate::manifest::Fingerprints;
use crate::preview::Page;
use crate::registry::Registries;
use crate::render::{FilesError, Limits, Programs, Renderer};

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// A folder of the clone.
    pub folder: PathBuf,
    /// The old side, in Git's words; without it, where the new side left the default branch.
    pub base: Option<String>,
    /// The new side; without it, the working tree with what is not committed.
    pub head: Option<String>,
    /// Names of environments, with `*`; none is all.
    pub environments: Vec<String>,
    /// What tells hidden values apart; without it nothing is said of them.
    pub fingerprints: Option<Fingerprints>,
    /// Where schemas of clusters are kept; without it nobody is judged by them.
    pub schemas: Option<PathBuf>,
    /// Where charts come from that are not in the repository.
    pub registries: Registries,
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// Git's own.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A tree could not be read.
    #[error("the repository could not be read")]
    Files(#[from] FilesError),
    /// What was asked cannot be done; says what to do.
    #[error("{0}")]
    Ask(String),
}

/// A preview, and how the command ends.
#[derive(Debug)]
pub struct Diffed {
    /// What is shown.
    pub page: Page,
    /// Good: nothing changes. Bad: something does. Could not: part of it cannot be told.
    pub verdict: Verdict,
}

/// Finds the programs, then computes the preview. An environment that does not render is a row of it, not an error.
///
/// # Errors
/// [`DiffError`] when there is no clone, no such commit, or no environment of that name.
pub async fn with_programs(programs: &Programs, ask: &Ask) -> Result<Diffed, DiffError> {
    let scratch = tempfile::tempdir().map_err(|error| DiffError::Ask(format!("no temporary folder: {error}")))?;
    let git = Program::of_person(Path::new("git"));
    let renderer = Box::pin(Renderer::new(programs, scratch.path(), Limits::default()));
    let (git, renderer) = tokio::join!(git, renderer);
    diff(&git?, &renderer, ask).await
}

/// Computes the preview.
///
/// # Errors
/// As [`with_programs`].
pub async fn diff(git: &Program, renderer: &Renderer, ask: &Ask) -> Result<Diffed, DiffError> {
    let sides = sides::find(git, ask).await?;
    match environments::pairs(&sides, &ask.environments).await? {
        Ok(pairs) => rows::page(&sides, renderer, pairs, ask).await,
        Err(invalid) => Ok(Diffed { page: rows::invalid(&sides, invalid), verdict: Verdict::CouldNot }),
    }
}
