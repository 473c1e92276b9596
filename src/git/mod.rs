//! Git, by the `git` program: what a repository holds, and what merging would make of it.
//!
//! ```text
//! Program   one hardened way to run git: no configuration but ours, no prompt, no hooks, bounded in time and output
//! Mirror    one bare, blobless repository per repository of a forge: fetch, then ask
//! WorkingClone  a person's working clone, read only; its uncommitted files are a tree like any other
//! Store     what both give: objects, trees, history
//! ```
//!
//! Nothing of a repository is trusted: names of branches and paths are checked before they reach a command line, what
//! comes back is bounded, and nothing is ever checked out. There is no worktree of ours to have hooks, filters,
//! attributes or symlinks in.
//!
//! Deliberately absent: submodules and LFS (a pointer is a file like any other), shallow fetches (a fetch into a shallow
//! repository can cost minutes), and writing to a remote, but for a new branch of ours (`write.rs`).

mod clone;
mod error;
mod history;
mod memory;
mod mirror;
mod names;
mod objects;
mod program;
mod rego;
mod remote;
#[cfg(test)]
pub(crate) mod scratch;
mod store;
mod walk;
mod write;

pub use clone::WorkingClone;
pub use error::{Fate, GitError};
pub use history::{ChangedPath, CommitFacts, Lines, Merge};
pub use mirror::Mirror;
pub use names::BranchName;
pub use objects::{Entry, Objects, Tree};
pub use program::{Bounds, Program};
pub use remote::{Remote, Want};
pub use store::Store;
pub use walk::Reach;
pub use write::{NewCommit, Taken};
