//! Gitea's HTTP API as one user sees it: any request, and the steps that most stories take.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::http;
use super::process::POLL;

/// Gitea prepares a new branch, and whether a pull request can be merged, a moment after it has answered.
const MOMENT: Duration = Duration::from_secs(10);

/// What a team or a collaborator may do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Permission {
    Read,
    Write,
    Admin,
}

impl Permission {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// What a review says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    Approve,
    RequestChanges,
    Comment,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Approve => "APPROVED",
            Self::RequestChanges => "REQUEST_CHANGES",
            Self::Comment => "COMMENT",
        }
    }
}

/// The API with one user's token. Paths begin after `/api/v1`; a repository is `owner/name`.
#[derive(Clone, Debug)]
pub(crate) struct GiteaApi {
    client: Client,
    url: String,
    token: String,
}

impl GiteaApi {
    pub(super) fn new(url: &str, token: &str) -> Result<Self> {
        Ok(Self { client: http::client(Vec::new())?, url: format!("{url}/api/v1"), token: token.to_owned() })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.request(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.request(Method::POST, path, Some(&body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Result<Value> {
        self.request(Method::PUT, path, Some(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Result<Value> {
        self.request(Method::PATCH, path, Some(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value> {
        self.request(Method::DELETE, path, None).await
    }

    /// Writes files in one commit on `branch`, made from `main` where it does not exist; the commit's hash. No text
    /// deletes a file.
    pub(crate) async fn commit(
        &self,
        repository: &str,
        branch: &str,
        message: &str,
        files: &[(&str, Option<&str>)],
    ) -> Result<String> {
        let exists = self.get(&format!("/repos/{repository}/branches/{branch}")).await.is_ok();
        let mut operations = Vec::new();
        for (path, text) in files {
            operations.push(match text {
                Some(text) => json!({ "operation": "upload", "path": path, "content": BASE64.encode(text) }),
                None => {
                    let found = self.get(&format!("/repos/{repository}/contents/{path}?ref={branch}")).await?;
                    json!({ "operation": "delete", "path": path, "sha": found["sha"] })
                }
            });
        }
        let mut body = json!({ "message": message, "files": operations });
        if exists {
            body["branch"] = branch.into();
        } else {
            body["branch"] = "main".into();
            body["new_branch"] = branch.into();
        }
        let written = self.post(&format!("/repos/{repository}/contents"), body).await?;
        let commit = written["commit"]["sha"].as_str().context("the new commit has no hash")?;
        Ok(commit.to_owned())
    }

    /// Opens a pull request from `head` (`branch`, or `owner:branch` of a fork) into `main`; its number.
    pub(crate) async fn open_pull(&self, repository: &str, head: &str, title: &str) -> Result<u64> {
        let pull = json!({ "base": "main", "head": head, "title": title });
        let path = format!("/repos/{repository}/pulls");
        let opened = in_a_moment("answered 404", async || self.post(&path, pull.clone()).await).await?;
        opened["number"].as_u64().context("the new pull request has no number")
    }

    /// Comments on an issue or pull request; the comment's id.
    pub(crate) async fn comment(&self, repository: &str, number: u64, text: &str) -> Result<u64> {
        let path = format!("/repos/{repository}/issues/{number}/comments");
        let comment = self.post(&path, json!({ "body": text })).await?;
        comment["id"].as_u64().context("the new comment has no id")
    }

    /// Reviews the head of a pull request; the review's id.
    pub(crate) async fn review(&self, repository: &str, number: u64, verdict: Verdict, text: &str) -> Result<u64> {
        let path = format!("/repos/{repository}/pulls/{number}/reviews");
        let review = self.post(&path, json!({ "event": verdict.word(), "body": text })).await?;
        review["id"].as_u64().context("the new review has no id")
    }

    /// Merges a pull request, in the way that Gitea calls `merge`, `squash`, `rebase` …; the merge's hash.
    pub(crate) async fn merge(&self, repository: &str, number: u64, way: &str) -> Result<String> {
        let path = format!("/repos/{repository}/pulls/{number}");
        in_a_moment("try again", async || self.post(&format!("{path}/merge"), json!({ "Do": way })).await).await?;
        let pull = self.get(&path).await?;
        let commit = pull["merge_commit_sha"].as_str().context("the merged pull request has no commit")?;
        Ok(commit.to_owned())
    }

    /// A new token of a user's, who must ask for it with the password.
    pub(super) async fn create_token(&self, login: &str, password: &str) -> Result<String> {
        let path = format!("{}/users/{login}/tokens", self.url);
        let body = json!({ "name": "parts", "scopes": ["all"] });
        let answer = http::answer(self.client.post(path).basic_auth(login, Some(password)).json(&body)).await?;
        answer["sha1"].as_str().map(str::to_owned).context("the new token is missing in the answer")
    }

    async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let authorization = format!("token {}", self.token);
        let mut request =
            self.client.request(method, format!("{}{path}", self.url)).header("authorization", authorization);
        if let Some(body) = body {
            request = request.json(body);
        }
        http::answer(request).await
    }
}

/// Asks again while the error says this.
async fn in_a_moment<T>(transient: &str, mut ask: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + MOMENT;
    loop {
        match ask().await {
            Err(error) if error.to_string().contains(transient) && Instant::now() < deadline => {
                tokio::time::sleep(POLL).await;
            }
            outcome => return outcome,
        }
    }
}
