//! GitLab: gitlab.com, and GitLab 17 or newer of one's own.
//!
//! Our own few structs over the bounded client of `http.rs`, as for the other forges. Everything is asked for by a
//! project's number, so no name can come to mean another project between two calls. There is a GraphQL call where REST
//! does not say what we need to know.
//!
//! What the API does not say by itself, each with where it is to be read in GitLab's own source (`gitlab-org/gitlab`):
//! - An approval has no number, and is bound to no commit ([`reviews`]).
//! - A reaction moves `updated_at` of the comment as an edit does (`AwardEmoji#expire_cache`, `Note#bump_updated_at`);
//!   only GraphQL tells who edited it last ([`conversation`]).
//! - What is said moves `updated_at` of a merge request once a minute at most (`ThrottledTouch`) ([`pulls`]).
//! - Whose account a commit's author is, is told by GraphQL, and whose its committer is, by nothing ([`repositories`]).
//! - A status that is pending cannot become pending (`Ci::CreateCommitStatusService`), and a commit that is on no branch
//!   needs to be told with one ([`statuses`]).
//! - Issues and merge requests are numbered apart ([`crate::ids::Iid`]), and a comment is found by where it stands only.

mod connect;
mod conversation;
mod deployments;
mod graphql;
mod lists;
mod people;
mod permissions;
mod pulls;
mod repositories;
mod reviews;
mod rules;
mod statuses;
mod wire;

use reqwest::Method;
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use super::error::{Fate, ForgeError, Result};
use super::facts::RepositoryAt;
use super::http::{As, Call, Http, Manners, Settings, SettingsError, SignIn, extend};
use crate::clock::Clock;
use crate::ids::{Account, Iid};

/// Tokens of a project, a group, a person and OAuth applications are all shown so.
const MANNERS: Manners = Manners {
    scheme: "Bearer",
    accept: "application/json",
    headers: &[],
    key: "token",
    needed: permissions::needed,
    limits: None,
};

/// One instance, seen by one account.
#[derive(Debug)]
pub struct GitLab {
    http: Http,
    token: SecretString,
    ourselves: OnceCell<Account>,
}

impl GitLab {
    pub(super) fn new(settings: Settings, clock: Clock) -> std::result::Result<Self, SettingsError> {
        let SignIn::Token(token) = &settings.sign_in else { return Err(SettingsError::App(settings.name)) };
        let token = token.clone();
        let http = Http::new(&settings, |url| extend(url, &["api"]), MANNERS, clock)?;
        Ok(Self { http, token, ourselves: OnceCell::new() })
    }

    pub(super) fn within(&mut self, budget: std::sync::Arc<dyn crate::forge::budget::Budget>) {
        self.http.budget = budget;
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// The token, for `git`: it is the password of any user.
    pub(super) async fn git_token(&self, _: &RepositoryAt) -> Result<SecretString> {
        Ok(self.token.clone())
    }

    pub(super) async fn ourselves(&self) -> Result<Account> {
        let asked = self.ourselves.get_or_try_init(|| async {
            let call = Call { name: "ourselves", path: &["v4", "user"], query: &[] };
            let user: wire::User = self.http.get(call).await?;
            wire::account(&self.http.forge, Some(user))
                .ok_or_else(|| self.unusable("says that our token belongs to nobody".to_owned()))
        });
        Ok(asked.await?.clone())
    }

    fn unusable(&self, what: String) -> ForgeError {
        self.http.error(Fate::Invalid, None, what)
    }

    async fn put<T: DeserializeOwned>(&self, call: Call<'_>, body: &impl Serialize) -> Result<T> {
        self.http.json(&call, &self.http.send(Method::PUT, &call, Some(body), As::Ourselves).await?.1)
    }
}

/// `/v4/projects/{id}/{rest…}`.
fn project(at: &RepositoryAt, rest: &[&str]) -> Vec<String> {
    let mut path = vec!["v4".to_owned(), "projects".to_owned(), at.id.to_string()];
    path.extend(rest.iter().map(|part| (*part).to_owned()));
    path
}

/// `/v4/projects/{id}/merge_requests/{iid}/{rest…}`, or of an issue.
fn place(at: &RepositoryAt, number: i64, rest: &[&str]) -> Vec<String> {
    let (kind, iid) = match Iid::of(number) {
        Iid::MergeRequest(iid) => ("merge_requests", iid),
        Iid::Issue(iid) => ("issues", iid),
    };
    let iid = iid.to_string();
    let all: Vec<&str> = [kind, iid.as_str()].into_iter().chain(rest.iter().copied()).collect();
    project(at, &all)
}

fn parts(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}
