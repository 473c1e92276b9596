//! A throw-away repository for tests, made of plumbing commands only: any name, any mode, no worktree.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;

use super::{Program, Store};
use crate::ids::CommitId;

pub(crate) struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Self { folder };
        scratch.git(&["init", "--quiet", "--bare", "--initial-branch=main"], b"").await;
        for key in ["uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"] {
            scratch.git(&["config", key, "true"], b"").await;
        }
        scratch
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn store(&self) -> Store {
        let git = Program::find(Path::new("git")).await.unwrap();
        Store { git, at: self.path().to_owned(), environment: Arc::default(), memory: None }
    }

    pub(crate) async fn destroy(&self) {
        tokio::fs::rename(self.path(), self.path().with_extension("moved")).await.unwrap();
    }

    /// Writes files on top of a branch, which is made when it is new.
    pub(crate) async fn commit(&self, branch: &str, files: &[(&str, &str)], message: &str) -> CommitId {
        let mut index = Vec::new();
        for (path, content) in files {
            index.extend(self.line("100644", path, content.as_bytes()).await);
        }
        self.commit_index(branch, &index, message).await
    }

    pub(crate) async fn symlink(&self, branch: &str, path: &str, target: &str) -> CommitId {
        let line = self.line("120000", path, target.as_bytes()).await;
        self.commit_index(branch, &line, "a link").await
    }

    pub(crate) async fn remove(&self, branch: &str, path: &str) -> CommitId {
        let line = format!("0 {}\t{path}\0", "0".repeat(40)).into_bytes();
        self.commit_index(branch, &line, "remove").await
    }

    pub(crate) async fn branch(&self, name: &str, at: &CommitId) {
        self.point(&format!("refs/heads/{name}"), at).await;
    }

    /// Points a ref somewhere, deleting what would be in its way.
    pub(crate) async fn point(&self, name: &str, at: &CommitId) {
        if let Some((parent, _)) = name.rsplit_once('/').filter(|(parent, _)| parent.matches('/').count() >= 2) {
            self.git(&["update-ref", "-d", parent], b"").await;
        }
        self.git(&["update-ref", name, at.as_str()], b"").await;
    }

    pub(crate) async fn orphan(&self) -> CommitId {
        self.commit("orphan", &[("o", "o")], "orphan").await
    }

    pub(crate) async fn merge_commit(&self, tree: &CommitId, parents: &[&CommitId]) -> CommitId {
        let mut args = vec!["commit-tree", tree.as_str(), "-m", "merge"];
        for parent in parents {
            args.extend(["-p", parent.as_str()]);
        }
        self.git(&args, b"").await.trim().parse().unwrap()
    }

    /// A folder of folders, by their names.
    pub(crate) async fn folder(&self, folders: &[(&str, &CommitId)]) -> CommitId {
        let lines: String = folders.iter().map(|(name, id)| format!("040000 tree {id}\t{name}\n")).collect();
        self.git(&["mktree"], lines.as_bytes()).await.trim().parse().unwrap()
    }

    /// How many objects of a kind are in another repository's own store.
    pub(crate) async fn count_of(&self, repository: &Path, kind: &str) -> usize {
        let at = repository.to_str().unwrap();
        let all = ["-C", at, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)"];
        self.git(&all, b"").await.lines().filter(|line| *line == kind).count()
    }

    async fn line(&self, mode: &str, path: &str, content: &[u8]) -> Vec<u8> {
        let blob = self.git(&["hash-object", "-w", "--stdin"], content).await;
        format!("{mode} {}\t{path}\0", blob.trim()).into_bytes()
    }

    async fn commit_index(&self, branch: &str, index: &[u8], message: &str) -> CommitId {
        let name = format!("refs/heads/{branch}");
        let parent = self.git(&["for-each-ref", "--format=%(objectname)", &name], b"").await;
        let parent = parent.trim();
        self.git(&["read-tree", if parent.is_empty() { "--empty" } else { parent }], b"").await;
        self.git(&["update-index", "-z", "--index-info"], index).await;
        let tree = self.git(&["write-tree"], b"").await;
        let mut args = vec!["commit-tree", tree.trim(), "-m", message];
        if !parent.is_empty() {
            args.extend(["-p", parent]);
        }
        let commit = self.git(&args, b"").await;
        self.git(&["update-ref", &name, commit.trim()], b"").await;
        commit.trim().parse().unwrap()
    }

    async fn git(&self, args: &[&str], input: &[u8]) -> String {
        let index: PathBuf = self.path().join("test-index");
        let mut child = tokio::process::Command::new("git")
            .args(args)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_INDEX_FILE", index)
            .envs([("GIT_AUTHOR_NAME", "Author"), ("GIT_AUTHOR_EMAIL", "author@example.com")])
            .envs([("GIT_COMMITTER_NAME", "Committer"), ("GIT_COMMITTER_EMAIL", "committer@example.com")])
            .envs([("GIT_AUTHOR_DATE", "@1700000000 +0000"), ("GIT_COMMITTER_DATE", "@1700000000 +0000")])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).await.unwrap();
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}
