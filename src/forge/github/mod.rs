//! GitHub: github.com, GitHub Enterprise Cloud with data residency, and GitHub Enterprise Server.
//!
//! Our own few structs over the bounded client of `http.rs`, as for Gitea, rather than `octocrab`: that one repeats a POST
//! by itself, follows the address of a next page wherever it leads, and takes answers of any size. What we promise of a
//! hostile forge (no redirect, bounds, no write twice, pauses as they are asked for, errors by their fate) is promised by
//! `http.rs` once, and what is left of a client is forty calls of which we read a few fields. Each of them is held to the
//! description that GitHub publishes by `tests/it/github/`.
//!
//! What the API does not say by itself:
//! - A pull request's `base.sha` is where the base was when the head last moved, and no list says who merged.
//! - A review that was dismissed does not say any more what it was; the events do ([`pulls`]).
//! - A review's text can be edited by everybody who may push, and the review does not tell that it was. Its timeline entry
//!   may, and a command in it is read only where it says that nobody touched it ([`pulls`]).
//! - A push is told with its commit before and after, but not with those in between; one to a fork is told where the fork
//!   shows it to us ([`pulls`]).
//! - A list does not say how long it is ([`lists`]).
//! - `GET /repositories/{id}` is not in the description. It is where GitHub's own redirects of renamed repositories and
//!   its links to next pages lead; there is no other way from a number to a name. An App does without it ([`app`]).

mod app;
mod checks;
mod connect;
mod conversation;
mod deliveries;
mod deployments;
mod installed;
mod lists;
mod manifest;
mod people;
mod permissions;
mod pulls;
mod repositories;
mod wire;

use reqwest::{Method, Url};
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use self::app::{App, Token};
pub use self::manifest::{Manifest, NewApp, Wanted};
use super::budget::Limits;
use super::error::{Fate, ForgeError, Result};
use super::facts::RepositoryAt;
use super::http::{As, Call, Http, Manners, Settings, SettingsError, SignIn, extend};
use crate::clock::Clock;
use crate::ids::Account;

/// One instance, seen by one account or one App.
#[derive(Debug)]
pub struct GitHub {
    http: Http,
    way: Way,
    ourselves: OnceCell<Account>,
}

/// As whom we come.
#[derive(Debug)]
enum Way {
    /// The client signs by itself; kept for `git`.
    Token(SecretString),
    App(Box<App>),
}

/// What a call is about: a token of an App is for one of these.
#[derive(Debug, Clone, Copy)]
enum Whom<'a> {
    Repository(&'a RepositoryAt),
    /// What an account shows to those who work for it.
    Owner(&'a str),
    /// What everybody may read.
    Anyone,
    /// The App itself.
    App,
}

const HEADERS: &[(&str, &str)] = &[("x-github-api-version", "2022-11-28")];
const ACCEPTED: &str = "application/vnd.github+json";
const BY_TOKEN: Manners = Manners {
    scheme: "Bearer",
    accept: ACCEPTED,
    headers: HEADERS,
    key: "token",
    needed: permissions::needed,
    limits: Some(LIMITS),
};
/// <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>: the secondary limits, of which no answer
/// says how near they are. (The hundred calls at once are kept by eight of each server.) GitHub Enterprise Server has
/// them when its administrator says so.
const LIMITS: Limits = Limits { points_a_minute: 900, creations_a_minute: 80, creations_an_hour: 500 };
const BY_APP: Manners = Manners { key: "app", ..BY_TOKEN };

impl GitHub {
    pub(super) fn new(settings: Settings, clock: Clock) -> std::result::Result<Self, SettingsError> {
        let (way, manners) = match &settings.sign_in {
            SignIn::Token(token) => (Way::Token(token.clone()), BY_TOKEN),
            SignIn::App { id, private_key } => {
                let app = App::new(*id, private_key, clock.clone());
                (Way::App(Box::new(app.ok_or_else(|| SettingsError::Key(settings.name.clone()))?)), BY_APP)
            }
        };
        Ok(Self { http: Http::new(&settings, api, manners, clock)?, way, ourselves: OnceCell::new() })
    }

    pub(super) fn within(&mut self, budget: std::sync::Arc<dyn crate::forge::budget::Budget>) {
        self.http.budget = budget;
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// Whose limits calls about an owner's repositories count towards.
    pub(super) fn account(&self, owner: &str) -> String {
        match &self.way {
            Way::Token(_) => String::new(),
            Way::App(_) => owner.to_ascii_lowercase(),
        }
    }

    /// For `git`; good for a quarter of an hour at least, or until somebody takes it back.
    pub(super) async fn git_token(&self, at: &RepositoryAt) -> Result<SecretString> {
        match &self.way {
            Way::Token(token) => Ok(token.clone()),
            Way::App(app) => Ok(app.for_repository(&self.http, at.id, at.name.owner()).await?.secret),
        }
    }

    /// The token's account, or the App's bot.
    pub(super) async fn ourselves(&self) -> Result<Account> {
        let asked = self.ourselves.get_or_try_init(|| async {
            let user: wire::User = match &self.way {
                Way::Token(_) => {
                    self.get(Whom::Anyone, Call { name: "ourselves", path: &["user"], query: &[] }).await?
                }
                Way::App(_) => {
                    let call = Call { name: "app", path: &["app"], query: &[] };
                    let app: wire::AppJson = self.get(Whom::App, call).await?;
                    let login = format!("{}[bot]", app.slug);
                    let call = Call { name: "ourselves", path: &["users", &login], query: &[] };
                    self.get(Whom::Anyone, call).await?
                }
            };
            wire::account(&self.http.forge, Some(user))
                .ok_or_else(|| self.unusable("says that our token belongs to nobody".to_owned()))
        });
        Ok(asked.await?.clone())
    }

    /// `/repos/{owner}/{name}/{rest…}`.
    fn path<'a>(&self, at: &'a RepositoryAt, rest: &[&'a str]) -> Vec<&'a str> {
        let mut path = vec!["repos", at.name.owner(), at.name.name()];
        path.extend(rest);
        path
    }

    fn unusable(&self, what: String) -> ForgeError {
        self.http.error(Fate::Invalid, None, what)
    }

    async fn get<T: DeserializeOwned>(&self, whom: Whom<'_>, call: Call<'_>) -> Result<T> {
        self.http.json(&call, &self.send::<()>(Method::GET, whom, call, None).await?.1)
    }

    async fn post<T: DeserializeOwned>(
        &self,
        at: &RepositoryAt,
        call: Call<'_>,
        body: &serde_json::Value,
    ) -> Result<T> {
        self.http.json(&call, &self.send(Method::POST, Whom::Repository(at), call, Some(body)).await?.1)
    }

    async fn patch<T: DeserializeOwned>(
        &self,
        at: &RepositoryAt,
        call: Call<'_>,
        body: &serde_json::Value,
    ) -> Result<T> {
        self.http.json(&call, &self.send(Method::PATCH, Whom::Repository(at), call, Some(body)).await?.1)
    }

    /// One call. A token of ours that GitHub does not take any more is asked for anew, once: it did nothing under it.
    async fn send<B: Serialize>(
        &self,
        method: Method,
        whom: Whom<'_>,
        call: Call<'_>,
        body: Option<&B>,
    ) -> Result<(reqwest::header::HeaderMap, Vec<u8>)> {
        let Way::App(app) = &self.way else { return self.http.send(method, &call, body, As::Ourselves).await };
        let Some(token) = self.token(app, whom).await? else {
            return app.send(&self.http, method, &call, body).await;
        };
        match self.http.send(method.clone(), &call, body, token.shown()).await {
            Err(error) if error.status == Some(401) && token.is_kept => app.forget(&token).await,
            answer => return answer,
        }
        match self.token(app, whom).await? {
            Some(token) => self.http.send(method, &call, body, token.shown()).await,
            None => app.send(&self.http, method, &call, body).await,
        }
    }

    /// `None`: the App signs itself.
    async fn token(&self, app: &App, whom: Whom<'_>) -> Result<Option<Token>> {
        Ok(Some(match whom {
            Whom::Repository(at) => app.for_repository(&self.http, at.id, at.name.owner()).await?,
            Whom::Owner(owner) => app.for_owner(&self.http, owner).await?,
            Whom::Anyone => app.for_anything(&self.http).await?,
            Whom::App => return Ok(None),
        }))
    }
}

/// Where the API is, by where the pages are.
pub(super) fn api(url: &mut Url) {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    if host == "github.com" || host.ends_with(".ghe.com") {
        // A host made of a good one is good.
        let _ = url.set_host(Some(&format!("api.{host}")));
    } else {
        extend(url, &["api", "v3"]);
    }
}
