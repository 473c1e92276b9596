//! Looking at everything below a folder, within bounds. One folder of Git may be in a thousand places, and each of those in a
//! thousand others: a small repository can have a tree without end.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::{Entry, GitError, Tree};
use crate::ids::EntryKind;

/// How far into a tree somebody looks.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// Folders that are looked into.
    pub folders: usize,
    /// How deep they are in the repository.
    pub deepest: usize,
}

/// Bytes of the paths of all folders that are looked into.
const PATHS: usize = 64 << 20;

/// Folders that patterns are filled with: of a repository of a million files.
const FOR_PATTERNS: Reach = Reach { folders: 200_000, deepest: 100 };

impl Tree {
    /// Every folder below some, by its path, for patterns to be filled with.
    ///
    /// # Errors
    /// [`GitError::TooMany`] when there are more than patterns are filled with.
    pub async fn folders_below(&self, roots: &BTreeSet<String>) -> Result<BTreeSet<String>, GitError> {
        let mut found = BTreeSet::new();
        let walked = self.walk(roots, FOR_PATTERNS, |path, entry| {
            if entry.kind == EntryKind::Folder {
                found.insert(path.to_owned());
            }
            ControlFlow::Continue(())
        });
        walked.await?;
        Ok(found)
    }

    /// Shows every entry below some folders, with its path, to `visit`, until that breaks off. Folders are looked into; what
    /// is behind links and in submodules is not here.
    ///
    /// # Errors
    /// [`GitError::TooMany`] when there is more than the reach: what was shown is not all there is.
    pub async fn walk(
        &self,
        roots: &BTreeSet<String>,
        reach: Reach,
        mut visit: impl FnMut(&str, &Entry) -> ControlFlow<()>,
    ) -> Result<(), GitError> {
        let is_below = |path: &str, root: &str| {
            path != root && (root.is_empty() || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/')))
        };
        let is_outermost = |path: &&String| !roots.iter().any(|root| is_below(path, root));
        let outermost: Vec<&String> = roots.iter().filter(is_outermost).collect();
        let mut open = Vec::new();
        for path in outermost {
            if let Some(entry) = self.entry(path).await?.filter(|entry| entry.kind == EntryKind::Folder) {
                open.push((path.clone(), entry.id));
            }
        }
        let (mut found, mut bytes) = (open.len(), 0);
        while let Some((folder, id)) = open.pop() {
            for entry in self.objects().folder(&id).await?.iter() {
                let path = if folder.is_empty() { entry.name.clone() } else { format!("{folder}/{}", entry.name) };
                if visit(&path, entry).is_break() {
                    return Ok(());
                }
                if entry.kind != EntryKind::Folder {
                    continue;
                }
                found += 1;
                if found > reach.folders {
                    return Err(GitError::TooMany { what: "folders", limit: reach.folders });
                }
                if path.split('/').count() > reach.deepest {
                    return Err(GitError::TooMany { what: "folders within each other", limit: reach.deepest });
                }
                bytes += path.len();
                if bytes > PATHS {
                    return Err(GitError::TooMany { what: "bytes in the paths of folders", limit: PATHS });
                }
                open.push((path, entry.id.clone()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow::{Break, Continue};

    use super::*;
    use crate::git::scratch::Scratch;

    fn set(paths: &[&str]) -> BTreeSet<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    async fn paths(tree: &Tree, roots: &[&str], reach: Reach) -> Result<Vec<String>, GitError> {
        let mut found = Vec::new();
        let roots = set(roots);
        let walked = tree.walk(&roots, reach, |path, _| {
            found.push(path.to_owned());
            Continue(())
        });
        walked.await?;
        found.sort();
        Ok(found)
    }

    #[tokio::test]
    async fn everything_below_some_folders_is_shown_once() {
        let repo = Scratch::new().await;
        repo.commit("main", &[("a/b/c", "c"), ("a/d", "d"), ("ab/e", "e"), ("top", "t")], "files").await;
        let commit = repo.symlink("main", "a/link", "/etc").await;
        let store = repo.store().await;
        let tree = store.objects().tree(store.tree_of(&commit).await.unwrap());
        let reach = Reach { folders: 3, deepest: 2 };
        assert_eq!(paths(&tree, &["a", "a/b", "ab"], reach).await.unwrap(), ["a/b", "a/b/c", "a/d", "a/link", "ab/e"]);
        assert_eq!(paths(&tree, &["", "a"], Reach { folders: 4, ..reach }).await.unwrap().len(), 8);
        assert_eq!(paths(&tree, &["nowhere", "top", "a/link"], reach).await.unwrap(), [""; 0]);
        let mut seen = 0;
        let root = set(&[""]);
        let walked = tree.walk(&root, reach, |_, _| {
            seen += 1;
            Break(())
        });
        walked.await.unwrap();
        assert_eq!(seen, 1);
        let error = paths(&tree, &[""], Reach { folders: 3, ..reach }).await.unwrap_err();
        assert_eq!(error.to_string(), "there are more than 3 folders");
        let error = paths(&tree, &[""], Reach { deepest: 1, folders: 9 }).await.unwrap_err();
        assert_eq!(error.to_string(), "there are more than 1 folders within each other");
    }

    #[tokio::test]
    async fn a_tree_without_end_ends() {
        let repo = Scratch::new().await;
        // A hundred names for one folder, nine deep: 10^18 folders of nine objects, and a file nowhere.
        let mut folder = repo.folder(&[]).await;
        for _ in 0..9 {
            let names: Vec<String> = (0..100).map(|n| format!("n{n}")).collect();
            let entries: Vec<(&str, &crate::ids::CommitId)> =
                names.iter().map(|name| (name.as_str(), &folder)).collect();
            folder = repo.folder(&entries).await;
        }
        let tree = repo.store().await.objects().tree(folder);
        let error = paths(&tree, &[""], Reach { folders: 20_000, deepest: 100 }).await.unwrap_err();
        assert!(matches!(error, GitError::TooMany { limit: 20_000, .. }), "{error}");
        assert_eq!(tree.files_below("", 1_000, |_| true).await.unwrap(), []);
    }
}
