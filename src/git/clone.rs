//! A person's working clone, read only.
//!
//! Uncommitted files are written as a tree with an index and an object folder of our own, so nothing of the clone
//! changes, and from then on they are a tree like any other.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::names::printable;
use super::store::object_id;
use super::{Bounds, GitError, Program, Store};
use crate::ids::CommitId;

/// A working clone.
#[derive(Debug)]
pub struct WorkingClone {
    store: Store,
    git_folder: PathBuf,
    scratch: tempfile::TempDir,
}

impl Deref for WorkingClone {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

impl WorkingClone {
    /// The clone a folder is in.
    ///
    /// # Errors
    /// [`GitError::Gone`] when it is in none, or in a bare one.
    pub async fn around(git: &Program, folder: &Path) -> Result<Self, GitError> {
        let doing = "find a working clone";
        let mut store = Store { git: git.clone(), at: folder.to_owned(), environment: [].into(), memory: None };
        let said =
            store.ask(doing, &["rev-parse", "--show-toplevel", "--absolute-git-dir", "--git-path", "objects"]).await?;
        if said.code != Some(0) && said.err.contains("not a git repository") {
            let detail = format!("{} is in no git repository", folder.display());
            return Err(GitError::Gone { doing, detail });
        }
        let text = String::from_utf8_lossy(&said.success(doing)?).into_owned();
        let mut lines = text.lines();
        let (Some(top), Some(git_folder), Some(objects)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(GitError::Broken { doing, detail: "unexpected answer".to_owned() });
        };
        let io = |error: std::io::Error| GitError::Broken { doing, detail: error.to_string() };
        let scratch = tempfile::tempdir().map_err(io)?;
        let own = scratch.path().join("objects");
        tokio::fs::create_dir_all(&own).await.map_err(io)?;
        // New objects go to ours and old ones are found in theirs.
        let theirs = tokio::fs::canonicalize(folder.join(objects)).await.map_err(io)?;
        let environment = [
            ("GIT_OBJECT_DIRECTORY".into(), own.into_os_string()),
            ("GIT_ALTERNATE_OBJECT_DIRECTORIES".into(), theirs.into_os_string()),
            ("GIT_INDEX_FILE".into(), scratch.path().join("index").into_os_string()),
        ];
        store.at = PathBuf::from(top);
        store.environment = environment.into();
        Ok(Self { store, git_folder: PathBuf::from(git_folder), scratch })
    }

    /// The root of the working tree.
    pub fn root(&self) -> &Path {
        self.store.path()
    }

    /// The clone's own `.git` folder (of a linked worktree: its part of it).
    pub fn git_folder(&self) -> &Path {
        &self.git_folder
    }

    /// The commit a person's words name: a branch, a tag, `HEAD~2`, an abbreviated id.
    ///
    /// # Errors
    /// [`GitError::Gone`] when there is none.
    pub async fn resolve(&self, words: &str) -> Result<CommitId, GitError> {
        let doing = "find a commit";
        let spec = format!("{words}^{{commit}}");
        let said = self.ask(doing, &["rev-parse", "--verify", "--quiet", "--end-of-options", &spec]).await?;
        match said.code {
            Some(0) => object_id(doing, &String::from_utf8_lossy(&said.out)),
            _ => {
                let detail = format!("`{}` is no commit of this repository", printable(words));
                Err(GitError::Gone { doing, detail })
            }
        }
    }

    /// The default branch, as this clone knows it: what the remote said when it was cloned, else the usual names.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn default_branch(&self) -> Result<Option<(String, CommitId)>, GitError> {
        for name in ["origin/HEAD", "origin/main", "origin/master", "main", "master"] {
            let Ok(commit) = self.resolve(name).await else { continue };
            let full = self.answer("name a branch", &["rev-parse", "--abbrev-ref", name]).await?;
            return Ok(Some((full.trim().to_owned(), commit)));
        }
        Ok(None)
    }

    /// The working tree as a tree: tracked files as they are on disk, and new ones that are not ignored and not larger
    /// than 5 MiB. `None` when that is exactly `HEAD`.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn uncommitted(&self, head: &CommitId) -> Result<Option<CommitId>, GitError> {
        let doing = "read the working tree";
        // A copy of the index saves hashing every unchanged file; without one they are all hashed.
        let _ = copy_index(&self.git_folder.join("index"), &self.scratch.path().join("index"));
        self.answer(doing, &["add", "--update", "--ignore-errors", "."]).await?;
        let new = self.new_files().await?;
        if !new.is_empty() {
            let args = ["update-index", "--add", "-z", "--stdin"];
            self.run(doing, &args, Bounds::ASK, new.as_bytes()).await?.success(doing)?;
        }
        let tree = object_id(doing, &self.answer(doing, &["write-tree"]).await?)?;
        Ok(if tree == self.tree_of(head).await? { None } else { Some(tree) })
    }

    /// Files that are neither tracked nor ignored, as `git update-index -z` takes them. A dump that lies about would be
    /// hashed and packed for nothing.
    async fn new_files(&self) -> Result<String, GitError> {
        const LARGEST: u64 = 5 << 20;
        let listed = self.answer("list new files", &["ls-files", "-z", "--others", "--exclude-standard"]).await?;
        let mut new = String::new();
        for name in listed.split('\0').filter(|name| !name.is_empty() && !name.ends_with('/')) {
            let facts = tokio::fs::symlink_metadata(self.root().join(name)).await;
            if facts.is_ok_and(|facts| facts.is_symlink() || (facts.is_file() && facts.len() <= LARGEST)) {
                new.push_str(name);
                new.push('\0');
            }
        }
        Ok(new)
    }
}

/// Copies an index with its time: git compares that with the files' times to know which of them may have changed since,
/// within the clock's grain, without changing size. A younger copy would hide such a change.
fn copy_index(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::copy(from, to)?;
    let time = std::fs::metadata(from)?.modified()?;
    std::fs::File::options().write(true).open(to)?.set_modified(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(folder: &Path, script: &str) {
        let done = tokio::process::Command::new("sh")
            .args(["-ec", script])
            .current_dir(folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .envs([("GIT_AUTHOR_NAME", "a"), ("GIT_AUTHOR_EMAIL", "a@x")])
            .envs([("GIT_COMMITTER_NAME", "a"), ("GIT_COMMITTER_EMAIL", "a@x")])
            .status()
            .await
            .unwrap();
        assert!(done.success());
    }

    #[tokio::test]
    async fn uncommitted_files_are_a_tree_and_the_clone_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let setup = "git init -qb main; echo '*.log' > .gitignore; echo 1 > a; mkdir d; echo 1 > d/b; git add .; git commit -qm x";
        sh(folder.path(), setup).await;
        let git = Program::of_person(Path::new("git")).await.unwrap();
        let clone = WorkingClone::around(&git, &folder.path().join("d")).await.unwrap();
        assert_eq!(clone.root().file_name(), folder.path().file_name());
        let head = clone.resolve("HEAD").await.unwrap();
        assert_eq!(clone.uncommitted(&head).await.unwrap(), None);
        assert_eq!(clone.default_branch().await.unwrap(), Some(("main".to_owned(), head.clone())));
        assert!(clone.resolve("--all").await.is_err());

        sh(folder.path(), "echo 2 > a; echo new > n; echo x > x.log; rm d/b; git status --porcelain > ../before").await;
        let tree = clone.uncommitted(&head).await.unwrap().unwrap();
        let changed = clone.changed_paths(&head, &tree).await.unwrap();
        assert_eq!(changed.iter().map(|c| c.path.as_str()).collect::<Vec<_>>(), ["a", "d/b", "n"]);
        let tree = clone.objects().tree(tree);
        assert_eq!(tree.file("n", 100).await.unwrap().unwrap(), b"new\n");
        sh(folder.path(), "git status --porcelain > ../after; cmp ../before ../after; rm ../before ../after").await;
        sh(folder.path(), "test $(git count-objects | cut -d' ' -f1) = 5").await;

        let nowhere = tempfile::tempdir().unwrap();
        let error = WorkingClone::around(&git, nowhere.path()).await.unwrap_err();
        assert!(error.to_string().ends_with("is in no git repository"), "{error}");
    }
}
