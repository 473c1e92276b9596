//! The Rego that a tree has at a path.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::{GitError, Reach, Tree};
use crate::ids::EntryKind;
use crate::policy::code::{Rego, is_test};
use crate::policy::policies::{LARGEST_REGO, MOST_REGO_FILES};

/// Policies in more folders than this, or deeper, are not read.
const REACH: Reach = Reach { folders: 1_000, deepest: 64 };

impl Tree {
    /// The Rego of a file, or of every file below a folder, tests left out. `None`: there is none, or more than is read.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn rego(&self, path: &str) -> Result<Option<Arc<Rego>>, GitError> {
        let mut paths = BTreeSet::new();
        match self.entry(path).await? {
            Some(entry) if entry.kind == EntryKind::File => drop(paths.insert(path.to_owned())),
            Some(entry) if entry.kind == EntryKind::Folder => {
                let roots = BTreeSet::from([path.to_owned()]);
                let walked = self.walk(&roots, REACH, |below, entry| {
                    if entry.kind == EntryKind::File && below.ends_with(".rego") && !is_test(below) {
                        paths.insert(below.to_owned());
                    }
                    if paths.len() > MOST_REGO_FILES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
                match walked.await {
                    Ok(()) if paths.len() <= MOST_REGO_FILES => {}
                    Ok(()) | Err(GitError::TooMany { .. }) => return Ok(None),
                    Err(error) => return Err(error),
                }
            }
            Some(_) | None => return Ok(None),
        }
        let mut files = BTreeMap::new();
        let mut room = LARGEST_REGO;
        for path in paths {
            let text = match self.file(&path, room).await {
                Ok(text) => text.unwrap_or_default(),
                Err(GitError::TooLarge { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            room = room.saturating_sub(text.len() as u64);
            let Ok(text) = String::from_utf8(text) else { return Ok(None) };
            files.insert(path, text);
        }
        Ok((!files.is_empty()).then(|| Arc::new(Rego { path: path.to_owned(), files })))
    }
}

#[cfg(test)]
mod tests {
    use crate::git::scratch::Scratch;

    #[tokio::test]
    async fn folders_are_read_to_a_depth() {
        let repo = Scratch::new().await;
        let deep = format!("deep/{}p.rego", "d/".repeat(70));
        let files = [("policy/a/p.rego", "a"), ("policy/a/p_test.rego", "t"), (deep.as_str(), "b")];
        let commit = repo.commit("main", &files, "policies").await;
        let store = repo.store().await;
        let tree = store.objects().tree(store.tree_of(&commit).await.unwrap());
        let read = tree.rego("policy").await.unwrap().unwrap();
        assert_eq!(read.files.keys().collect::<Vec<_>>(), ["policy/a/p.rego"]);
        assert_eq!(tree.rego("deep").await.unwrap(), None);
    }
}
