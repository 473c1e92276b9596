//! Gitea and Forgejo, which still speak one API in everything we ask.
//!
//! Our own few structs over `reqwest` rather than a generated client: we read some forty of its thousand fields, and a
//! generated client fails the whole answer when one field it never uses changes type between the two forges; it also
//! follows redirects, does not bound answers, and knows nothing of an error's fate.
//!
//! What the API does not say by itself, each found on a real 1.26:
//! - a member of an organisation's team who may push is reported as `read` by the permission endpoint ([`people`]);
//! - an account's kind and standing are not in its JSON ([`people`]);
//! - a pull request's `updated_at` does not move when its head does, nor when a comment is edited ([`pulls`]);
//! - a comment edited within the second of its creation looks unedited;
//! - a review begun as a draft keeps the draft's time as `submitted_at` ([`wire`]);
//! - a status for a commit the forge does not have is answered 500, not 404.

mod connect;
mod conversation;
mod people;
mod permissions;
mod pulls;
mod repositories;
mod wire;

use secrecy::SecretString;
use tokio::sync::OnceCell;

use super::error::{Fate, Result};
use super::facts::RepositoryAt;
use super::http::{Call, Http, Manners, Settings, SettingsError, SignIn, extend};
use crate::clock::Clock;
use crate::ids::Account;

const MANNERS: Manners = Manners {
    scheme: "token",
    accept: "application/json",
    headers: &[],
    key: "token",
    needed: permissions::needed,
    limits: None,
};

/// One instance, seen by one account.
#[derive(Debug)]
pub struct Gitea {
    http: Http,
    token: SecretString,
    ourselves: OnceCell<Ourselves>,
}

/// The account whose token we hold.
#[derive(Debug, Clone)]
struct Ourselves {
    account: Account,
    /// Site administrators see what others do not: who is suspended.
    is_site_admin: bool,
}

impl Gitea {
    pub(super) fn new(settings: Settings, clock: Clock) -> std::result::Result<Self, SettingsError> {
        let SignIn::Token(token) = &settings.sign_in else { return Err(SettingsError::App(settings.name)) };
        let token = token.clone();
        let http = Http::new(&settings, |url| extend(url, &["api", "v1"]), MANNERS, clock)?;
        Ok(Self { http, token, ourselves: OnceCell::new() })
    }

    pub(super) fn within(&mut self, budget: std::sync::Arc<dyn crate::forge::budget::Budget>) {
        self.http.budget = budget;
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// `/repos/{owner}/{name}/{rest…}`.
    fn path<'a>(&self, at: &'a RepositoryAt, rest: &[&'a str]) -> Vec<&'a str> {
        let mut path = vec!["repos", at.name.owner(), at.name.name()];
        path.extend(rest);
        path
    }

    fn unusable(&self, what: String) -> super::ForgeError {
        self.http.error(Fate::Invalid, None, what)
    }

    /// The account's token, for `git`.
    pub(super) async fn git_token(&self, _: &RepositoryAt) -> Result<SecretString> {
        Ok(self.token.clone())
    }

    pub(super) async fn ourselves(&self) -> Result<Account> {
        Ok(self.who_we_are().await?.account.clone())
    }

    async fn who_we_are(&self) -> Result<&Ourselves> {
        self.ourselves
            .get_or_try_init(|| async {
                let user: wire::User = self.http.get(Call { name: "ourselves", path: &["user"], query: &[] }).await?;
                let is_site_admin = user.is_admin;
                match wire::account(&self.http.forge, Some(user)) {
                    Some(account) => Ok(Ourselves { account, is_site_admin }),
                    None => Err(self.unusable("says that our token belongs to nobody".to_owned())),
                }
            })
            .await
    }
}
