//! The Git side: bare repositories, commits made without a working tree, merges, and `git http-backend`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use axum::body::Body;
use axum::http::Response;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

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

impl Bare {
    pub(super) fn at(root: &Path, repository: i64) -> Self {
        Self(root.join(format!("{repository}.git")))
    }

    pub(super) async fn create(root: &Path, repository: i64) -> Self {
        let bare = Self::at(root, repository);
        let path = bare.0.to_str().unwrap().to_owned();
        run(Command::new("git").args(["init", "--quiet", "--bare", "--initial-branch=main", &path]), None).await;
        // As Gitea sets them.
        for (key, value) in [("uploadpack.allowFilter", "true"), ("uploadpack.allowAnySHA1InWant", "true")] {
            bare.git(&["config", key, value]).await;
        }
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

    /// A commit of `files` on `branch`, whose tip becomes it; on top of `from`, or a first one.
    pub(super) async fn commit(&self, branch: &str, from: Option<&str>, by: &By<'_>, files: &[File<'_>]) -> String {
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
                Some(content) => {
                    stream.push_str(&format!("M 100644 inline {path}\ndata {}\n{content}\n", content.len()))
                }
                None => stream.push_str(&format!("D {path}\n")),
            }
        }
        let mut import = Command::new("git");
        import.arg("-C").arg(&self.0).args(["fast-import", "--quiet", "--force", "--date-format=raw"]);
        run(&mut import, Some(stream)).await;
        self.tip(branch).await
    }

    pub(super) async fn tip(&self, branch: &str) -> String {
        self.git(&["rev-parse", &format!("refs/heads/{branch}")]).await
    }

    pub(super) async fn merge_base(&self, base: &str, head: &str) -> String {
        self.git(&["merge-base", base, head]).await
    }

    /// `refs/pull/N/head`, where everyone can fetch it, also when it came from a fork.
    pub(super) async fn show_pull(&self, from: &Self, number: i64, commit: &str) {
        let spec = format!("+{commit}:refs/pull/{number}/head");
        self.git(&["fetch", "--quiet", from.0.to_str().unwrap(), &spec]).await;
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

    /// One request of `git fetch`, through Git's own CGI program.
    pub(super) async fn serve(
        &self,
        method: &str,
        rest: &str,
        query: &str,
        kind: &str,
        protocol: &str,
        body: Vec<u8>,
    ) -> Response<Body> {
        let mut backend = Command::new("git");
        backend
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", self.0.parent().unwrap())
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("PATH_INFO", format!("/{}/{rest}", self.0.file_name().unwrap().to_str().unwrap()))
            .env("REQUEST_METHOD", method)
            .env("QUERY_STRING", query)
            .env("CONTENT_TYPE", kind)
            .env("GIT_PROTOCOL", protocol);
        let output = output(&mut backend, Some(body)).await;
        let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(0);
        let mut response = Response::builder();
        for line in String::from_utf8_lossy(&output[..end]).lines() {
            if let Some((name, value)) = line.split_once(": ") {
                response = match name {
                    "Status" => response.status(value[..3].parse::<u16>().unwrap()),
                    _ => response.header(name, value),
                };
            }
        }
        response.body(Body::from(output[end + 4..].to_vec())).unwrap()
    }
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
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feed = async move {
        stdin.write_all(&input.unwrap_or_default()).await.ok();
        drop(stdin);
    };
    let ((), done) = tokio::join!(feed, child.wait_with_output());
    let done = done.unwrap();
    assert!(done.status.success(), "{:?}: {}", command.as_std(), String::from_utf8_lossy(&done.stderr));
    done.stdout
}
