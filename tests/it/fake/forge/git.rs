//! The Git side: bare repositories, commits made without a working tree, merges, and `git upload-pack`. Every story
//! starts hundreds of processes here, so what is only a file to write or to read is no process.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::OnceCell;

use super::story::Merge;

/// A bare repository.
#[derive(Clone, Debug)]
pub(super) struct Bare(PathBuf);

/// Who makes a commit, and when (seconds since 1970).
pub(super) struct By<'a> {
    pub(super) author: &'a str,
    pub(super) committer: &'a str,
    pub(super) at: i64,
    pub(super) message: &'a str,
}

/// A file to write, or (`None`) to remove.
pub(super) type File<'a> = (&'a str, Option<&'a str>);

/// Of references to heads.
const KINDS: [&str; 2] = ["pull", "merge-requests"];

impl Bare {
    pub(super) fn at(root: &Path, repository: i64) -> Self {
        Self(root.join(format!("{repository}.git")))
    }

    pub(super) async fn create(root: &Path, repository: i64) -> Self {
        let bare = Self::at(root, repository);
        for folder in ["objects/info", "objects/pack", "refs/heads"] {
            std::fs::create_dir_all(bare.0.join(folder)).unwrap();
        }
        // The last two as Gitea sets them.
        let settings = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n\
            [uploadpack]\n\tallowFilter = true\n\tallowAnySHA1InWant = true\n";
        std::fs::write(bare.0.join("config"), settings).unwrap();
        std::fs::write(bare.0.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        bare
    }

    /// A whole copy of it, under another number.
    pub(super) async fn fork(&self, root: &Path, repository: i64) -> Self {
        let fork = Self::create(root, repository).await;
        fork.git(&["fetch", "--quiet", self.0.to_str().unwrap(), "+refs/heads/*:refs/heads/*"]).await;
        fork
    }

    pub(super) async fn git(&self, arguments: &[&str]) -> String {
        run(Command::new("git").arg("-C").arg(&self.0).args(arguments), None).await
    }

    /// A file as it is at the tip of a branch, to the last line feed.
    pub(super) async fn file(&self, branch: &str, path: &str) -> String {
        let mut show = Command::new("git");
        show.arg("-C").arg(&self.0).args(["show", &format!("refs/heads/{branch}:{path}")]);
        String::from_utf8(output(&mut show, None).await).unwrap()
    }

    /// A commit of `files` on `branch`, whose tip becomes it; on top of `from`, or a first one.
    pub(super) async fn commit(&self, branch: &str, from: Option<&str>, by: &By<'_>, files: &[File<'_>]) -> String {
        self.import(branch, written(branch, from, by, files)).await
    }

    /// The same of several commits, each of one file and on top of the one before; newest first.
    pub(super) async fn commit_each(&self, branch: &str, from: &str, all: &[(By<'_>, File<'_>)]) -> Vec<String> {
        let one =
            |(at, (by, file)): (usize, &(By<'_>, File<'_>))| written(branch, (at == 0).then_some(from), by, &[*file]);
        let tip = self.import(branch, all.iter().enumerate().map(one).collect()).await;
        self.commits(from, &tip).await
    }

    async fn import(&self, branch: &str, stream: String) -> String {
        let mut import = Command::new("git");
        import.arg("-C").arg(&self.0).args(["fast-import", "--quiet", "--force", "--date-format=raw"]);
        run(&mut import, Some(stream)).await;
        self.tip(branch).await
    }

    pub(super) async fn tip(&self, branch: &str) -> String {
        let name = format!("refs/heads/{branch}");
        match std::fs::read_to_string(self.0.join(&name)) {
            Ok(text) => text.trim().to_owned(),
            Err(_) => self.git(&["rev-parse", &name]).await,
        }
    }

    pub(super) async fn merge_base(&self, base: &str, head: &str) -> String {
        self.git(&["merge-base", base, head]).await
    }

    /// `refs/pull/N/head`, or what GitLab calls it, where everyone can fetch it, also when it came from a fork.
    pub(super) async fn show_pull(&self, from: &Self, number: i64, commit: &str) {
        if from.0 == self.0 {
            for kind in KINDS {
                let folder = self.0.join(format!("refs/{kind}/{number}"));
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join("head"), format!("{commit}\n")).unwrap();
            }
            return;
        }
        let [pull, merge_request] = KINDS.map(|kind| format!("+{commit}:refs/{kind}/{number}/head"));
        self.git(&["fetch", "--quiet", from.0.to_str().unwrap(), &pull, &merge_request]).await;
    }

    /// Commits of `head` that `base` has not, newest first.
    pub(super) async fn commits(&self, base: &str, head: &str) -> Vec<String> {
        let listed = self.git(&["rev-list", head, &format!("^{base}")]).await;
        listed.lines().map(str::to_owned).collect()
    }

    /// Merges `head` into the branch `base`; the last commit it made (or moved the branch to).
    pub(super) async fn merge(&self, base: &str, head: &str, by: &By<'_>, how: Merge) -> String {
        let tip = self.tip(base).await;
        let date = format!("{} +0000", by.at);
        let commit = |author: &str, tree: &str, parents: &[&str]| {
            let mut command = Command::new("git");
            command.arg("-C").arg(&self.0).args(["commit-tree", tree, "-m", by.message]);
            for parent in parents {
                command.args(["-p", parent]);
            }
            dated(&mut command, author, by.committer, &date);
            command
        };
        let merged = match how {
            Merge::Commit | Merge::Squash => {
                let tree = self.git(&["merge-tree", "--write-tree", &tip, head]).await;
                match how {
                    Merge::Commit => run(&mut commit(by.committer, &tree, &[&tip, head]), None).await,
                    _ => run(&mut commit(by.author, &tree, &[&tip]), None).await,
                }
            }
            Merge::Rebase => {
                let place = self.0.join("rebasing");
                let place = place.to_str().unwrap();
                self.git(&["worktree", "add", "--quiet", "--detach", "--force", place, head]).await;
                let mut rebase = Command::new("git");
                rebase.args(["-C", place, "rebase", "--quiet", &tip]);
                dated(&mut rebase, by.author, by.author, &date);
                run(&mut rebase, None).await;
                let merged = run(Command::new("git").args(["-C", place, "rev-parse", "HEAD"]), None).await;
                self.git(&["worktree", "remove", "--force", place]).await;
                merged
            }
            Merge::FastForward => head.to_owned(),
        };
        self.git(&["update-ref", &format!("refs/heads/{base}"), &merged]).await;
        merged
    }

    /// One request of `git fetch`, as `git http-backend` would answer it with three processes.
    pub(super) async fn serve(&self, rest: &str, query: &str, protocol: &str, body: Vec<u8>) -> Response<Body> {
        let (kind, answer) = match (rest, query) {
            ("info/refs", "service=git-upload-pack") => ("advertisement", self.offers(protocol).await),
            ("git-upload-pack", _) => ("result", self.packs(&[], protocol, body).await),
            _ => return Response::builder().status(StatusCode::NOT_FOUND).body(Body::empty()).unwrap(),
        };
        let kind = format!("application/x-git-upload-pack-{kind}");
        let response = Response::builder().header(header::CONTENT_TYPE, kind);
        response.header(header::CACHE_CONTROL, "no-cache").body(Body::from(answer)).unwrap()
    }

    /// One request of `git push`, as `git http-backend` would answer it.
    pub(super) async fn takes(&self, rest: &str, body: Vec<u8>) -> Response<Body> {
        let (kind, answer) = match rest {
            "info/refs" => {
                let mut told = b"001f# service=git-receive-pack\n0000".to_vec();
                told.extend(self.receives(&["--advertise-refs"], Vec::new()).await);
                ("advertisement", told)
            }
            _ => ("result", self.receives(&[], body).await),
        };
        let kind = format!("application/x-git-receive-pack-{kind}");
        let response = Response::builder().header(header::CONTENT_TYPE, kind);
        response.header(header::CACHE_CONTROL, "no-cache").body(Body::from(answer)).unwrap()
    }

    async fn receives(&self, how: &[&str], body: Vec<u8>) -> Vec<u8> {
        let mut receive = Command::new("git");
        receive.args(["receive-pack", "--stateless-rpc"]).args(how).arg(&self.0);
        ended(&mut receive, Some(body)).await.stdout
    }

    /// Every branch, and its tip.
    pub(super) async fn branches(&self) -> Vec<(String, String)> {
        let listed = self.git(&["for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads"]).await;
        let one = |line: &str| line.split_once(' ').map(|(name, tip)| (name.to_owned(), tip.to_owned()));
        listed.lines().filter_map(one).collect()
    }

    /// What it can do: by the protocol that every `git` speaks now, it is the same for all repositories.
    async fn offers(&self, protocol: &str) -> Vec<u8> {
        static OFFERS: OnceCell<Vec<u8>> = OnceCell::const_new();
        assert_eq!(protocol, "version=2", "git before 2.26");
        OFFERS.get_or_init(|| self.packs(&["--advertise-refs"], protocol, Vec::new())).await.clone()
    }

    async fn packs(&self, how: &[&str], protocol: &str, body: Vec<u8>) -> Vec<u8> {
        let mut upload = Command::new("git");
        upload.args(["upload-pack", "--stateless-rpc"]).args(how).arg(&self.0).env("GIT_PROTOCOL", protocol);
        // What it has not it says in its answer, and then it fails.
        ended(&mut upload, Some(body)).await.stdout
    }
}

/// A commit as `git fast-import` reads it.
fn written(branch: &str, from: Option<&str>, by: &By<'_>, files: &[File<'_>]) -> String {
    let person = |login: &str| format!("{login} <{login}@example.com> {} +0000", by.at);
    let mut stream = format!(
        "commit refs/heads/{branch}\nauthor {}\ncommitter {}\ndata {}\n{}\n",
        person(by.author),
        person(by.committer),
        by.message.len(),
        by.message
    );
    if let Some(from) = from {
        stream.push_str(&format!("from {from}\n"));
    }
    for (path, content) in files {
        match content {
            Some(content) => stream.push_str(&format!("M 100644 inline {path}\ndata {}\n{content}\n", content.len())),
            None => stream.push_str(&format!("D {path}\n")),
        }
    }
    stream
}

fn dated(command: &mut Command, author: &str, committer: &str, date: &str) {
    for (role, login) in [("AUTHOR", author), ("COMMITTER", committer)] {
        if role == "COMMITTER" || !login.is_empty() {
            command.env(format!("GIT_{role}_NAME"), login);
            command.env(format!("GIT_{role}_EMAIL"), format!("{login}@example.com"));
            command.env(format!("GIT_{role}_DATE"), date);
        }
    }
}

async fn run(command: &mut Command, input: Option<String>) -> String {
    String::from_utf8(output(command, input.map(String::into_bytes)).await).unwrap().trim_end().to_owned()
}

async fn output(command: &mut Command, input: Option<Vec<u8>>) -> Vec<u8> {
    let done = ended(command, input).await;
    assert!(done.status.success(), "{:?}: {}", command.as_std(), String::from_utf8_lossy(&done.stderr));
    done.stdout
}

async fn ended(command: &mut Command, input: Option<Vec<u8>>) -> std::process::Output {
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feed = async move {
        stdin.write_all(&input.unwrap_or_default()).await.ok();
        drop(stdin);
    };
    let ((), done) = tokio::join!(feed, child.wait_with_output());
    done.unwrap()
}
