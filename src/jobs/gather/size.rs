//! How much a change alters, as a file's `limits` count it.

use crate::consent::Size;
use crate::git::{Lines, Mirror};
use crate::ids::CommitId;
use crate::jobs::error::JobError;

/// The tree without a file, which Git knows without having it.
const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

/// The paths that differ between two commits or trees, and how much; objects are not counted here.
pub(in crate::jobs) async fn between(
    mirror: &Mirror,
    old: &CommitId,
    new: &CommitId,
) -> Result<(Vec<String>, Size), JobError> {
    // Two programs that wait for nothing of each other.
    let (changed, lines) = tokio::try_join!(mirror.changed_paths(old, new), mirror.changed_lines(old, new))?;
    if !lines.values().any(|lines| *lines == Lines::TooLarge) {
        // Counting has read them all, in one conversation where they were not here.
        let files: Vec<CommitId> = changed.iter().flat_map(|one| [&one.old, &one.new]).flatten().cloned().collect();
        mirror.has_files(files).await;
    }
    let counted = |lines: &Lines| match lines {
        Lines::Text { added, removed } => added + removed,
        Lines::Binary => 0,
        // More than any limit: an owner has to look at it.
        Lines::TooLarge => u64::from(u32::MAX),
    };
    let size = Size { files: changed.len() as u64, lines: lines.values().map(counted).sum(), objects: 0 };
    Ok((changed.into_iter().map(|one| one.path).collect(), size))
}

/// The same of one commit, against its first parent.
pub(in crate::jobs) async fn of_commit(mirror: &Mirror, commit: &CommitId) -> Result<(Vec<String>, Size), JobError> {
    let old = match mirror.parents(commit).await?.into_iter().next() {
        Some(parent) => parent,
        None => nothing(),
    };
    between(mirror, &old, commit).await
}

/// What the first commit of all begins from.
pub(in crate::jobs) fn nothing() -> CommitId {
    EMPTY_TREE.parse().expect("forty digits are an id")
}
