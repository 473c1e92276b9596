//! One bare, blobless mirror per repository of a forge.
//!
//! Commits and trees are fetched; files come from the remote when they are first read, so a question that reads files
//! needs the credentials too. What was fetched is kept under refs named by a hash of what was asked for: no name of a
//! remote ever becomes a file name of ours, and a branch `a` that gives way to `a/b` is no conflict.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::path::Path;

use super::memory::Fetched;
use super::remote::{Remote, Want};
use super::store::object_id;
use super::{Bounds, GitError, Program, Store};
use crate::ids::{CommitId, RepositoryKey};

/// Fetched files remembered for a mirror: 2 MB of ids, then all are forgotten and asked for again.
const REMEMBERED: usize = 20_000;

/// A mirror. Cheap to open and clone; within a process, whoever opened it fetches one after the other.
#[derive(Debug, Clone)]
pub struct Mirror {
    store: Store,
    fetched: Fetched,
}

impl Deref for Mirror {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

/// A new mirror's configuration. A format version of 1 is what makes git heed `partialClone`.
const CONFIG: &str = "[core]\n\trepositoryformatversion = 1\n\tbare = true\n\tlogAllRefUpdates = false\n\
    [extensions]\n\tpartialClone = origin\n\
    [remote \"origin\"]\n\tpromisor = true\n\tpartialCloneFilter = blob:none\n";

impl Mirror {
    /// The mirror of a repository below `root`, made when it is not there. It holds nothing until something is fetched.
    ///
    /// # Errors
    /// [`GitError::Broken`] when the folder cannot be made.
    pub async fn open(git: &Program, root: &Path, key: &RepositoryKey, remote: &Remote) -> Result<Self, GitError> {
        let doing = "make a mirror";
        let at = root.join(key.forge.as_str()).join(format!("{}.git", key.id));
        let io = |error: std::io::Error| GitError::Broken { doing, detail: error.to_string() };
        if !tokio::fs::try_exists(at.join("HEAD")).await.map_err(io)? {
            // HEAD last: with it the folder is a repository, and a half-made one is made again.
            for folder in ["objects/info", "objects/pack", "refs"] {
                tokio::fs::create_dir_all(at.join(folder)).await.map_err(io)?;
            }
            tokio::fs::write(at.join("config"), CONFIG).await.map_err(io)?;
            tokio::fs::write(at.join("HEAD"), "ref: refs/heads/none\n").await.map_err(io)?;
            git.memory.forget(&at);
        }
        let environment = remote.environment().into();
        let fetched = git.memory.fetched(&at);
        let memory = Some(git.memory.clone());
        Ok(Self { store: Store { git: git.clone(), at, environment, memory }, fetched })
    }

    /// Fetches commits and trees of what is wanted, in one conversation.
    ///
    /// # Errors
    /// [`GitError::Gone`] when the remote lacks any of it: nothing is then known about the others.
    pub async fn fetch(&self, wants: &[Want]) -> Result<(), GitError> {
        self.fetch_filtered(wants, "--filter=blob:none", Bounds::FETCH).await
    }

    /// The same, where all but a little of it is here: small files come along, and need no conversation of their own. Where
    /// it is more than a little, they do not.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub async fn fetch_news(&self, wants: &[Want]) -> Result<(), GitError> {
        match self.fetch_filtered(wants, "--filter=blob:limit=64k", Bounds { file: 64 << 20, ..Bounds::FETCH }).await {
            Err(GitError::TooLarge { .. }) => self.fetch(wants).await,
            done => done,
        }
    }

    async fn fetch_filtered(&self, wants: &[Want], filter: &str, bounds: Bounds) -> Result<(), GitError> {
        if wants.is_empty() {
            return Ok(());
        }
        let doing = "fetch";
        let specs: Vec<String> = wants.iter().map(|want| format!("+{}:{}", want.theirs(), want.ours())).collect();
        let mut args = vec!["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"];
        args.extend([filter, "--end-of-options", "origin"]);
        args.extend(specs.iter().map(String::as_str));
        let _one_at_a_time = self.fetched.lock().await;
        self.store.run(doing, &args, bounds, &[]).await?.success(doing)?;
        for want in wants {
            if let Some(tip) = self.kept(want).await {
                self.store.learn(is_here(&tip), "");
            }
        }
        Ok(())
    }

    /// The commit a ref of ours names, where it is a file: a fetch has just written it so. Nobody else writes there.
    async fn kept(&self, want: &Want) -> Option<CommitId> {
        let file = self.store.at.join(want.ours());
        tokio::fs::read_to_string(file).await.ok()?.trim().parse().ok()
    }

    /// Fetches these files now, in one conversation, instead of one by one when they are read. What is here already
    /// costs nothing.
    ///
    /// # Errors
    /// [`GitError`]; [`GitError::TooLarge`] when they are more than 128 MiB together.
    pub async fn fetch_blobs(&self, blobs: &[CommitId]) -> Result<(), GitError> {
        let mut fetched = self.fetched.lock().await;
        let missing: BTreeSet<&CommitId> = blobs.iter().filter(|id| !fetched.contains(*id)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let doing = "fetch files";
        let input: String = missing.iter().map(|id| format!("{id}\n")).collect();
        // As git itself does for a missing file: name the objects, offer none of ours. It asks nobody when all are here.
        let mut args = vec!["-c", "fetch.negotiationAlgorithm=noop", "fetch", "--quiet", "--no-tags"];
        args.extend(["--no-write-fetch-head", "--no-auto-maintenance", "--filter=blob:none", "--stdin", "origin"]);
        let bounds = Bounds { file: Bounds::ASK.file, ..Bounds::FETCH };
        self.store.run(doing, &args, bounds, input.as_bytes()).await?.success(doing)?;
        if fetched.len() + missing.len() > REMEMBERED {
            fetched.clear();
        }
        fetched.extend(missing.into_iter().cloned());
        Ok(())
    }

    /// These files are here: somebody has just read them.
    pub async fn has_files(&self, files: Vec<CommitId>) {
        let mut fetched = self.fetched.lock().await;
        fetched.extend(files);
        if fetched.len() > REMEMBERED {
            fetched.clear();
        }
    }

    /// What was last fetched of it; `None` when it never was.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn tip(&self, want: &Want) -> Result<Option<CommitId>, GitError> {
        if let Some(tip) = self.kept(want).await {
            return Ok(Some(tip));
        }
        let doing = "read a ref";
        let name = want.ours();
        let said = self.store.ask(doing, &["rev-parse", "--verify", "--quiet", "--end-of-options", &name]).await?;
        match said.code {
            Some(0) => object_id(doing, &String::from_utf8_lossy(&said.out)).map(Some),
            Some(1) => Ok(None),
            _ => said.success(doing).map(|_| None),
        }
    }

    /// Whether a commit is here already, so that nothing has to be fetched for it.
    ///
    /// # Errors
    /// [`GitError`].
    pub async fn has_commit(&self, commit: &CommitId) -> Result<bool, GitError> {
        let question = is_here(commit);
        if self.store.remembered(&question).is_some() {
            return Ok(true);
        }
        // With every way out closed, a commit that is not here cannot be asked of the remote.
        let closed: Vec<_> =
            self.store.environment.iter().cloned().chain([("GIT_ALLOW_PROTOCOL".into(), "none".into())]).collect();
        let here = Store { environment: closed.into(), ..self.store.clone() };
        let said = here.ask("look for a commit", &["cat-file", "-e", commit.as_str()]).await?;
        let is_here = said.code == Some(0);
        if is_here {
            self.store.learn(question, "");
        }
        Ok(is_here)
    }
}

fn is_here(commit: &CommitId) -> String {
    format!("is here\0{commit}")
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::git::scratch::Scratch;
    use crate::git::{Fate, Merge};

    fn key() -> RepositoryKey {
        RepositoryKey { forge: "work".parse().unwrap(), id: 7 }
    }

    async fn mirror(repo: &Scratch, at: &Path) -> Mirror {
        let git = Program::find(Path::new("git")).await.unwrap();
        Mirror::open(&git, at, &key(), &Remote::of_folder(repo.path()).unwrap()).await.unwrap()
    }

    fn branch(name: &str) -> Want {
        Want::Branch(name.parse().unwrap())
    }

    #[tokio::test]
    async fn a_mirror_holds_commits_and_trees_and_asks_for_files_when_they_are_read() {
        let repo = Scratch::new().await;
        let base = repo.commit("main", &[("a", "1\n"), ("big", &"x\n".repeat(1000))], "base").await;
        repo.branch("topic", &base).await;
        let head = repo.commit("topic", &[("b", "2\n")], "head").await;
        repo.point("refs/pull/3/head", &head).await;
        let folder = tempfile::tempdir().unwrap();
        let mirror = mirror(&repo, folder.path()).await;
        assert!(!mirror.has_commit(&head).await.unwrap());
        mirror.fetch(&[branch("main"), Want::Pull(3)]).await.unwrap();
        assert_eq!(mirror.tip(&branch("main")).await.unwrap(), Some(base.clone()));
        assert_eq!(mirror.tip(&Want::Pull(3)).await.unwrap(), Some(head.clone()));
        assert_eq!(mirror.tip(&Want::Pull(4)).await.unwrap(), None);
        assert!(mirror.has_commit(&head).await.unwrap());
        assert_eq!(repo.count_of(mirror.path(), "blob").await, 0);

        let Merge::Clean { tree } = mirror.merge_result(&base, &head).await.unwrap() else { panic!("clean") };
        let tree = mirror.objects().tree(tree);
        assert_eq!(tree.file("b", 100).await.unwrap().unwrap(), b"2\n");
        assert_eq!(repo.count_of(mirror.path(), "blob").await, 1, "the one that was read");

        let wanted: Vec<_> = tree.folder("").await.unwrap().unwrap().iter().map(|entry| entry.id.clone()).collect();
        mirror.fetch_blobs(&wanted).await.unwrap();
        assert_eq!(repo.count_of(mirror.path(), "blob").await, 3);
        repo.destroy().await;
        mirror.fetch_blobs(&wanted).await.unwrap();
        assert_eq!(tree.file("a", 100).await.unwrap().unwrap(), b"1\n");
    }

    #[tokio::test]
    async fn what_the_remote_no_longer_has_is_gone_and_a_remote_that_is_away_is_tried_again() {
        let repo = Scratch::new().await;
        let old = repo.commit("main", &[("a", "1\n")], "old").await;
        let folder = tempfile::tempdir().unwrap();
        let mirror = mirror(&repo, folder.path()).await;
        assert_eq!(mirror.fetch(&[branch("gone")]).await.unwrap_err().fate(), Fate::Gone);
        let collected = Want::Commit("1".repeat(40).parse().unwrap());
        assert_eq!(mirror.fetch(&[collected]).await.unwrap_err().fate(), Fate::Gone);
        mirror.fetch(&[branch("main"), Want::Commit(old)]).await.unwrap();
        repo.point("refs/heads/main/sub", &repo.orphan().await).await;
        mirror.fetch(&[branch("main/sub")]).await.unwrap();

        let git = Program::find(Path::new("git")).await.unwrap();
        let away = Remote::of_forge("http://127.0.0.1:1/x.git", "http://127.0.0.1:1", None).unwrap();
        let away = Mirror::open(&git, folder.path(), &key(), &away).await.unwrap();
        assert_eq!(away.fetch(&[branch("main")]).await.unwrap_err().fate(), Fate::Retry);
    }

    #[tokio::test]
    async fn what_would_not_fit_is_not_fetched_and_the_mirror_goes_on() {
        let repo = Scratch::new().await;
        // Text that does not pack.
        let noise: String = (0_u32..60_000).map(|n| hex::encode(Sha256::digest(n.to_be_bytes()))).collect();
        let head = repo.commit("main", &[("big", &noise), ("small", "s")], "a big file").await;
        let folder = tempfile::tempdir().unwrap();
        let mirror = mirror(&repo, folder.path()).await;
        mirror.fetch(&[branch("main")]).await.unwrap();
        let tree = mirror.objects().tree(mirror.tree_of(&head).await.unwrap());
        let big = tree.entry("big").await.unwrap().unwrap().id;
        let args = ["fetch", "--quiet", "--filter=blob:none", "origin", big.as_str()];
        let small = Bounds { file: 100_000, ..Bounds::FETCH };
        let error = mirror.store.run("fetch files", &args, small, &[]).await;
        assert!(matches!(error, Err(GitError::TooLarge { limit: 100_000, .. })), "{error:?}");
        assert_eq!(tree.file("small", 100).await.unwrap().unwrap(), b"s");
        assert_eq!(tree.file("big", 100).await.unwrap_err().fate(), Fate::Never);
    }

    #[tokio::test]
    async fn attributes_filters_and_pointers_of_a_repository_do_nothing() {
        let repo = Scratch::new().await;
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
        let attributes = "* filter=lfs diff=evil merge=evil text eol=crlf ident\n";
        let files = [(".gitattributes", attributes), ("a", pointer), ("b", "$Id$\n1\n")];
        let root = repo.commit("main", &files, "root").await;
        repo.branch("topic", &root).await;
        let base = repo.commit("main", &[("a", "base\n")], "base").await;
        let head = repo.commit("topic", &[("b", "$Id$\n2\n")], "head").await;
        let folder = tempfile::tempdir().unwrap();
        let mirror = mirror(&repo, folder.path()).await;
        mirror.fetch(&[branch("main"), branch("topic")]).await.unwrap();
        let Merge::Clean { tree } = mirror.merge_result(&base, &head).await.unwrap() else { panic!("clean") };
        let tree = mirror.objects().tree(tree);
        assert_eq!(tree.file("b", 100).await.unwrap().unwrap(), b"$Id$\n2\n");
        assert_eq!(tree.file("a", 100).await.unwrap().unwrap(), b"base\n");
        let old = mirror.objects().tree(mirror.tree_of(&root).await.unwrap());
        assert_eq!(old.file("a", 200).await.unwrap().unwrap(), pointer.as_bytes());
    }

    #[tokio::test]
    async fn what_was_answered_once_is_not_asked_again_until_the_mirror_is_a_new_one() {
        let repo = Scratch::new().await;
        let first = repo.commit("main", &[("a", "1\n")], "first").await;
        let second = repo.commit("main", &[("a", "2\n")], "second").await;
        let (folder, git) = (tempfile::tempdir().unwrap(), Program::find(Path::new("git")).await.unwrap());
        let remote = Remote::of_folder(repo.path()).unwrap();
        let open = || async { Mirror::open(&git, folder.path(), &key(), &remote).await.unwrap() };
        let mirror = open().await;
        mirror.fetch(&[branch("main")]).await.unwrap();
        let parents = mirror.parents(&second).await.unwrap();
        assert_eq!(parents, [first]);
        assert!(mirror.has_commit(&second).await.unwrap());
        let other = open().await;
        tokio::fs::rename(mirror.path(), folder.path().join("away")).await.unwrap();
        assert_eq!(other.parents(&second).await.unwrap(), parents, "with nothing there to ask");
        assert!(other.has_commit(&second).await.unwrap());
        assert!(other.changed_paths(&parents[0], &second).await.is_err(), "this was not asked before");
        assert!(!open().await.has_commit(&second).await.unwrap(), "a new one has nothing");
    }

    #[tokio::test]
    async fn files_are_asked_for_once_however_often_the_mirror_is_opened() {
        let repo = Scratch::new().await;
        let head = repo.commit("main", &[("a/x.yaml", "1"), ("a/b/y.yaml", "2"), ("a/z.bin", "3")], "files").await;
        let folder = tempfile::tempdir().unwrap();
        let git = Program::find(Path::new("git")).await.unwrap();
        let remote = Remote::of_folder(repo.path()).unwrap();
        let key = key();
        let open = || Mirror::open(&git, folder.path(), &key, &remote);
        let first = open().await.unwrap();
        first.fetch(&[branch("main")]).await.unwrap();
        let tree = first.objects().tree(first.tree_of(&head).await.unwrap());
        let wanted = tree.files_below("a", 100, |name| name.ends_with(".yaml")).await.unwrap();
        assert_eq!(wanted.len(), 2);
        first.fetch_blobs(&wanted).await.unwrap();
        assert_eq!(repo.count_of(first.path(), "blob").await, 2);
        // With git gone, asking for them again can only work without it.
        let second = open().await.unwrap();
        let nowhere = Mirror { store: Store { at: "/nonexistent".into(), ..second.store.clone() }, ..second };
        nowhere.fetch_blobs(&wanted).await.unwrap();
        assert!(nowhere.fetch_blobs(&[head]).await.is_err());
    }
}
