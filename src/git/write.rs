//! What is written: a commit of ours, without a working tree, and its way to the remote as a new branch.

use std::collections::BTreeMap;

use futures::future::BoxFuture;

use super::history::Merge;
use super::store::object_id;
use super::{Bounds, BranchName, GitError, Mirror, Store};
use crate::ids::CommitId;

/// A step to take back: from one commit to a later one. Both may be trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What was before.
    pub before: CommitId,
    /// What it was made into.
    pub after: CommitId,
}

/// A commit to make.
#[derive(Debug, Clone, Copy)]
pub struct NewCommit<'a> {
    /// What it holds.
    pub tree: &'a CommitId,
    /// What it comes after.
    pub parent: &'a CommitId,
    /// Its whole message.
    pub message: &'a str,
    /// When, in seconds since 1970: the same words at the same time are the same commit.
    pub at: i64,
}

/// Author and committer of what is nobody's: an address that no account can have, so that no forge takes it for a person's.
const OURS: &str = "Bascule <bascule@bascule.invalid>";

impl Store {
    /// What is left of `onto` when steps are taken back, one after the other, each as `git revert` would. Writes trees and
    /// commits that nothing names.
    ///
    /// # Errors
    /// [`GitError`]; a conflict is not one.
    pub async fn taken_back(&self, onto: &CommitId, steps: &[Taken]) -> Result<Merge, GitError> {
        let mut tree = self.tree_of(onto).await?;
        for step in steps {
            // A merge of two commits whose only common ancestor is what the step ended in: git before 2.40 cannot be told a
            // base in another way.
            let root = self.written(&self.tree_of(&step.after).await?, None, "after", 0).await?;
            let ours = self.written(&tree, Some(&root), "ours", 0).await?;
            let before = self.written(&self.tree_of(&step.before).await?, Some(&root), "before", 0).await?;
            match self.merge_result(&ours, &before).await? {
                Merge::Clean { tree: merged } => tree = merged,
                other @ (Merge::Conflict { .. } | Merge::Unrelated) => return Ok(other),
            }
        }
        Ok(Merge::Clean { tree })
    }

    /// The tree that has these files, by their paths, and is `tree` otherwise. Reads the folders on the way to them, and no file.
    ///
    /// # Errors
    /// [`GitError`]; a path that leads through a file, a link or a submodule is broken.
    pub async fn with_files(&self, tree: &CommitId, files: &BTreeMap<String, Vec<u8>>) -> Result<CommitId, GitError> {
        let mut blobs = Vec::new();
        for (path, content) in files {
            let doing = "write a file";
            let said = self.run(doing, &["hash-object", "-t", "blob", "-w", "--stdin"], Bounds::ASK, content).await?;
            blobs.push((path.as_str(), object_id(doing, &String::from_utf8_lossy(&said.success(doing)?))?));
        }
        self.folder_with(Some(tree.clone()), blobs).await
    }

    /// One folder, and those below it.
    fn folder_with<'s>(
        &'s self,
        folder: Option<CommitId>,
        files: Vec<(&'s str, CommitId)>,
    ) -> BoxFuture<'s, Result<CommitId, GitError>> {
        Box::pin(async move {
            let doing = "write a folder";
            let broken = |path: &str| GitError::Broken { doing, detail: format!("`{path}` is no place for a file") };
            // As `ls-tree` prints them, which is what `mktree` reads: mode, type and id, by name.
            let mut entries: BTreeMap<Vec<u8>, String> = BTreeMap::new();
            if let Some(folder) = &folder {
                let said = self.ask(doing, &["ls-tree", "-z", folder.as_str()]).await?.success(doing)?;
                for line in said.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
                    let at = line.iter().position(|byte| *byte == b'\t').ok_or_else(|| broken("an entry"))?;
                    entries.insert(line[at + 1..].to_vec(), String::from_utf8_lossy(&line[..at]).into_owned());
                }
            }
            let mut below: BTreeMap<&str, Vec<(&str, CommitId)>> = BTreeMap::new();
            for (path, blob) in files {
                match path.split_once('/') {
                    Some((name, rest)) => below.entry(name).or_default().push((rest, blob)),
                    None => {
                        let mode = match entries.get(path.as_bytes()).and_then(|entry| entry.split(' ').next()) {
                            None => "100644",
                            Some("100755") => "100755",
                            Some("100644" | "100664") => "100644",
                            Some(_) => return Err(broken(path)),
                        };
                        entries.insert(path.as_bytes().to_vec(), format!("{mode} blob {blob}"));
                    }
                }
            }
            for (name, files) in below {
                let inner = match entries.get(name.as_bytes()).map(|entry| entry.split(' ').collect::<Vec<_>>()) {
                    None => None,
                    Some(entry) => match entry[..] {
                        [_, "tree", id] => Some(object_id(doing, id)?),
                        _ => return Err(broken(name)),
                    },
                };
                let written = self.folder_with(inner, files).await?;
                entries.insert(name.as_bytes().to_vec(), format!("040000 tree {written}"));
            }
            let mut text = Vec::new();
            for (name, entry) in entries {
                text.extend(entry.as_bytes());
                text.push(b'\t');
                text.extend(name);
                text.push(0);
            }
            // What is not here is at the remote: the mirror has no files that nobody read.
            let said = self.run(doing, &["mktree", "-z", "--missing"], Bounds::ASK, &text).await?;
            object_id(doing, &String::from_utf8_lossy(&said.success(doing)?))
        })
    }

    /// Makes a commit that nothing names yet.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn commit(&self, new: NewCommit<'_>) -> Result<CommitId, GitError> {
        self.written(new.tree, Some(new.parent), new.message, new.at).await
    }

    async fn written(
        &self,
        tree: &CommitId,
        parent: Option<&CommitId>,
        message: &str,
        at: i64,
    ) -> Result<CommitId, GitError> {
        let doing = "make a commit";
        let parent = parent.map(|parent| format!("parent {parent}\n")).unwrap_or_default();
        // A NUL would end the message for whoever reads it.
        let message = message.replace('\0', " ");
        let text = format!("tree {tree}\n{parent}author {OURS} {at} +0000\ncommitter {OURS} {at} +0000\n\n{message}\n");
        let said = self.run(doing, &["hash-object", "-t", "commit", "-w", "--stdin"], Bounds::ASK, text.as_bytes());
        object_id(doing, &String::from_utf8_lossy(&said.await?.success(doing)?))
    }
}

impl Mirror {
    /// Makes a branch of the remote, which must not be there yet.
    ///
    /// # Errors
    /// [`GitError`]; [`GitError::Refused`] when our account may not.
    pub async fn push_new(&self, branch: &BranchName, commit: &CommitId) -> Result<(), GitError> {
        let doing = "push a branch";
        // An empty lease: there is no such branch.
        let lease = format!("--force-with-lease=refs/heads/{branch}:");
        let spec = format!("{commit}:refs/heads/{branch}");
        // A thin pack would need files that the mirror does not have.
        let args = ["push", "--quiet", "--no-verify", "--no-thin", &lease, "--end-of-options", "origin", &spec];
        self.run(doing, &args, Bounds::PUSH, &[]).await?.success(doing)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::git::scratch::Scratch;
    use crate::git::{Program, Remote, Want};
    use crate::ids::RepositoryKey;

    #[tokio::test]
    async fn what_a_commit_brought_is_taken_back_and_what_came_later_stays() {
        let repo = Scratch::new().await;
        let lines = |first: &str, last: &str| format!("{first}\nb\nc\nd\ne\nf\n{last}\n");
        let first = repo.commit("main", &[("a", &lines("1", "1")), ("b", "1\n")], "first").await;
        let second = repo.commit("main", &[("a", &lines("2", "1")), ("c", "new\n")], "second").await;
        let third = repo.commit("main", &[("a", &lines("2", "3")), ("b", "3\n")], "third").await;
        let store = repo.store().await;
        let step = |before: &CommitId, after: &CommitId| Taken { before: before.clone(), after: after.clone() };
        let Merge::Clean { tree } = store.taken_back(&third, &[step(&first, &second)]).await.unwrap() else {
            panic!("clean")
        };
        let tree = store.objects().tree(tree);
        assert_eq!(tree.file("a", 100).await.unwrap().unwrap(), lines("1", "3").as_bytes());
        assert_eq!(tree.file("b", 100).await.unwrap().unwrap(), b"3\n");
        assert!(tree.entry("c").await.unwrap().is_none());
        // The newest first, until nothing is left of either.
        let both = [step(&second, &third), step(&first, &second)];
        let all = store.taken_back(&third, &both).await.unwrap();
        assert_eq!(all, Merge::Clean { tree: store.tree_of(&first).await.unwrap() });
        // Again: there is nothing left to take back.
        let Merge::Clean { tree } = all else { panic!("clean") };
        assert_eq!(store.taken_back(&tree, &both).await.unwrap(), Merge::Clean { tree });
        let later = repo.commit("main", &[("a", &lines("4", "3"))], "later").await;
        let conflict = store.taken_back(&later, &[step(&first, &second)]).await.unwrap();
        assert_eq!(conflict, Merge::Conflict { paths: vec!["a".to_owned()] });
    }

    #[tokio::test]
    async fn files_are_written_into_a_tree_without_reading_the_others() {
        let repo = Scratch::new().await;
        let first = repo.commit("main", &[("a/b/c", "1\n"), ("a/d", "1\n"), ("e", "1\n")], "first").await;
        let store = repo.store().await;
        let tree = store.tree_of(&first).await.unwrap();
        let files = [("a/b/c", "2\n"), ("a/x/y", "new\n"), ("f", "new\n")];
        let files = files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).into();
        let written = store.with_files(&tree, &files).await.unwrap();
        let changed = store.changed_paths(&tree, &written).await.unwrap();
        assert_eq!(changed.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), ["a/b/c", "a/x/y", "f"]);
        let written = store.objects().tree(written);
        assert_eq!(written.file("a/b/c", 100).await.unwrap().unwrap(), b"2\n");
        assert_eq!(written.file("a/d", 100).await.unwrap().unwrap(), b"1\n");
        assert_eq!(store.with_files(&tree, &BTreeMap::new()).await.unwrap(), tree, "nothing is nothing else");
        let into_a_file = [("e/x".to_owned(), b"x".to_vec())].into();
        assert!(store.with_files(&tree, &into_a_file).await.is_err(), "a file is no folder");
        let over_a_folder = [("a".to_owned(), b"x".to_vec())].into();
        assert!(store.with_files(&tree, &over_a_folder).await.is_err(), "nor is a folder a file");
    }

    #[tokio::test]
    async fn a_branch_is_made_once_and_never_moved() {
        let repo = Scratch::new().await;
        let first = repo.commit("main", &[("a", "1\n"), ("big", &"x\n".repeat(1000))], "first").await;
        let second = repo.commit("main", &[("a", "2\n")], "second").await;
        let folder = tempfile::tempdir().unwrap();
        let key = RepositoryKey { forge: "work".parse().unwrap(), id: 7 };
        let git = Program::find(Path::new("git")).await.unwrap();
        let remote = Remote::of_folder(repo.path()).unwrap();
        let mirror = Mirror::open(&git, folder.path(), &key, &remote).await.unwrap();
        mirror.fetch(&[Want::Branch("main".parse().unwrap())]).await.unwrap();
        let tree = mirror.tree_of(&first).await.unwrap();
        let new = NewCommit { tree: &tree, parent: &second, message: "Revert it\0", at: 1_700_000_000 };
        let commit = mirror.commit(new).await.unwrap();
        assert_eq!(mirror.commit(new).await.unwrap(), commit, "the same again");
        assert_eq!(repo.count_of(mirror.path(), "blob").await, 0, "no file was needed");
        let branch: BranchName = "bascule/revert-production-3".parse().unwrap();
        mirror.push_new(&branch, &commit).await.unwrap();
        let there = repo.store().await;
        assert_eq!(there.parents(&commit).await.unwrap(), std::slice::from_ref(&second));
        assert_eq!(there.tree_of(&commit).await.unwrap(), tree);
        assert!(mirror.push_new(&branch, &second).await.is_err(), "it is another's by now");
        let facts = there.commits(&commit, &[second]).await.unwrap();
        assert_eq!([&facts[0].author, &facts[0].committer], ["bascule@bascule.invalid"; 2]);
    }
}
