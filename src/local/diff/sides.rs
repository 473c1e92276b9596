//! Which two states are compared.

use std::collections::BTreeSet;

use super::charts::Charts;
use super::tree::TreeFiles;
use super::{Ask, DiffError};
use crate::git::{Program, WorkingClone};
use crate::ids::CommitId;

/// The two states.
pub(super) struct Sides {
    pub(super) old: TreeFiles,
    pub(super) new: TreeFiles,
    /// How each is called.
    pub(super) names: (String, String),
    /// The branch the change would go into, as far as it is known.
    pub(super) into: Option<String>,
    /// Paths that differ.
    pub(super) changed: BTreeSet<String>,
    /// Why nothing may differ, said when nothing does.
    pub(super) hint: Option<String>,
    /// The clone; holds the objects of the working tree.
    pub(super) clone: WorkingClone,
    /// Charts that are in neither.
    pub(super) charts: Charts,
}

/// Finds both sides. A person who says nothing means: what is here, against where it left the default branch.
pub(super) async fn find(git: &Program, ask: &Ask) -> Result<Sides, DiffError> {
    let clone = WorkingClone::around(git, &ask.folder).await?;
    let (head, uncommitted) = match &ask.head {
        Some(words) => (clone.resolve(words).await?, None),
        None => {
            let head = clone.resolve("HEAD").await.map_err(|_| DiffError::Ask("there is no commit yet".to_owned()))?;
            let uncommitted = clone.uncommitted(&head).await?;
            (head, uncommitted)
        }
    };
    let is_dirty = uncommitted.is_some();
    let (base, base_name, into) = base(&clone, ask, &head).await?;
    let old = clone.tree_of(&base).await?;
    let new = match uncommitted {
        Some(tree) => tree,
        None => clone.tree_of(&head).await?,
    };
    let head_name = match (&ask.head, is_dirty) {
        (Some(words), _) => words.clone(),
        (None, true) => "working tree".to_owned(),
        (None, false) => head.short().to_owned(),
    };
    let hint = (base == head && !is_dirty)
        .then(|| format!("{base_name} is what is here; `bascule diff HEAD~1` compares with the commit before"));
    let changed = clone.changed_paths(&old, &new).await?.into_iter().map(|changed| changed.path).collect();
    let objects = clone.objects();
    Ok(Sides {
        old: TreeFiles(objects.tree(old)),
        new: TreeFiles(objects.tree(new)),
        names: (base_name, head_name),
        into,
        changed,
        hint,
        clone,
        charts: Charts::of(ask.registries.clone()),
    })
}

/// The old side, how it is called, and the branch it is of.
async fn base(
    clone: &WorkingClone,
    ask: &Ask,
    head: &CommitId,
) -> Result<(CommitId, String, Option<String>), DiffError> {
    let branch = |words: &str| words.strip_prefix("origin/").unwrap_or(words).to_owned();
    if let Some(words) = &ask.base {
        return Ok((clone.resolve(words).await?, words.clone(), Some(branch(words))));
    }
    let Some((name, tip)) = clone.default_branch().await? else {
        let why = "the default branch is not known here; name what to compare with: `bascule diff BASE`";
        return Err(DiffError::Ask(why.to_owned()));
    };
    match clone.merge_base(&tip, head).await? {
        Some(commit) => Ok((commit.clone(), format!("{name} at {}", commit.short()), Some(branch(&name)))),
        None => {
            let why =
                format!("HEAD and {name} have no commit in common; name what to compare with: `bascule diff BASE`");
            Err(DiffError::Ask(why))
        }
    }
}
