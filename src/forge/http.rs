//! One HTTP client per forge: bounded, without redirects, counted, and translating every failure into its fate.
//!
//! Addresses come from the configuration only, never from a delivery or an answer: pages are asked for by number, and
//! a redirect (a renamed repository) is an answer like any other. Proxies of the environment are not used.

mod counted;
mod exchange;
mod form;
mod kept;
mod refusal;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::kept::Kept;
use super::budget::{Alone, Budget, Limits};
use super::error::{Fate, ForgeError, Result};
use crate::clock::Clock;
use crate::ids::ForgeName;

/// A forge that does not take a connection by then is down.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long a whole call may take. Far below the 30 s for which facts may be used by the gate, and below a lease's
/// margin.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Fifty pull requests with both repositories' descriptions are half a megabyte; comments of 64 KiB times fifty, three.
const LARGEST_ANSWER: usize = 8 << 20;
/// At once, per forge: enough to keep two workers busy, far from what an instance of one core feels.
const IN_FLIGHT: usize = 8;
/// How to reach a forge.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name in the configuration.
    pub name: ForgeName,
    /// `https://git.example.com`, with a path when the forge lives under one.
    pub url: String,
    /// As whom.
    pub sign_in: SignIn,
    /// Certificates (PEM) to trust beside the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// For a whole call; [`ANSWER_WITHIN`].
    pub answer_within: Duration,
}

/// As whom we come to a forge.
#[derive(Debug, Clone)]
pub enum SignIn {
    /// An account of ours, by its token.
    Token(SecretString),
    /// A GitHub App, which signs for short tokens by itself.
    App {
        /// Its number, as its page shows it.
        id: u64,
        /// Its private key (PEM), as GitHub gave it.
        private_key: SecretString,
    },
}

/// A forge that cannot be set up: the configuration is wrong.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not an address.
    #[error("forge {0}: `url` is not an http or https address without a query")]
    Url(ForgeName),
    /// Not a header value.
    #[error("forge {0}: the token is empty or has characters no token has")]
    Token(ForgeName),
    /// Not a way in that this forge has.
    #[error("forge {0}: only GitHub has Apps: it needs a `token`")]
    App(ForgeName),
    /// Not a private key.
    #[error("forge {0}: `app.private_key` is not the private key of an App (RSA, in PEM, of 2048 bits or more)")]
    Key(ForgeName),
    /// Not certificates.
    #[error("forge {0}: `ca_file` holds no usable PEM certificate")]
    Ca(ForgeName, #[source] Option<reqwest::Error>),
    /// The TLS library would not start.
    #[error("forge {0}: the HTTP client could not be set up")]
    Client(ForgeName, #[source] reqwest::Error),
}

/// The client.
#[derive(Debug)]
pub(super) struct Http {
    pub(super) forge: ForgeName,
    site: Url,
    base: Url,
    client: reqwest::Client,
    clock: Clock,
    manners: Manners,
    seats: tokio::sync::Semaphore,
    pub(super) budget: Arc<dyn Budget>,
    kept: Mutex<Kept>,
}

/// How one kind of forge wants to be spoken to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manners {
    /// What stands before a token.
    pub(super) scheme: &'static str,
    /// What answers are asked for as.
    pub(super) accept: &'static str,
    /// Headers of every call.
    pub(super) headers: &'static [(&'static str, &'static str)],
    /// The configuration's key of what we sign in with.
    pub(super) key: &'static str,
    /// What a call needs, by its name.
    pub(super) needed: fn(&str) -> &'static str,
    /// What it publishes of how much it takes.
    pub(super) limits: Option<Limits>,
}

/// One call: a name for the metrics, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) name: &'static str,
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
}

/// As whom a call is made.
#[derive(Debug, Clone, Copy)]
pub(super) enum As<'a> {
    /// The account of the configured token.
    Ourselves,
    /// Our App where it is installed, by the token it was given there.
    Installed {
        signed: &'a HeaderValue,
        /// The account that installed it, in lower case.
        at: &'a str,
    },
    /// Somebody who is told anew by each call: our App itself, a person who signs in.
    Once(&'a HeaderValue),
}

impl Http {
    /// A client of the API at the address that `api` makes of the configured one. With a token it signs every call that
    /// is not signed otherwise; an App signs each.
    pub(super) fn new(
        settings: &Settings,
        api: impl FnOnce(&mut Url),
        manners: Manners,
        clock: Clock,
    ) -> std::result::Result<Self, SettingsError> {
        let signature = match &settings.sign_in {
            SignIn::Token(token) => {
                let authorization = authorization(manners.scheme, token);
                Some(authorization.ok_or_else(|| SettingsError::Token(settings.name.clone()))?)
            }
            SignIn::App { .. } => None,
        };
        Self::signed_by(signature, settings, api, manners, clock)
    }

    fn signed_by(
        signature: Option<HeaderValue>,
        settings: &Settings,
        api: impl FnOnce(&mut Url),
        manners: Manners,
        clock: Clock,
    ) -> std::result::Result<Self, SettingsError> {
        let Settings { name, url, ca_pem, answer_within, .. } = settings;
        let site = Url::parse(url).map_err(|_| SettingsError::Url(name.clone()))?;
        let plain = matches!(site.scheme(), "http" | "https")
            && site.query().is_none()
            && site.username().is_empty()
            && site.has_host()
            && !site.cannot_be_a_base();
        if !plain {
            return Err(SettingsError::Url(name.clone()));
        }
        let mut base = site.clone();
        api(&mut base);

        let mut headers = HeaderMap::new();
        if let Some(signature) = signature {
            headers.insert(AUTHORIZATION, signature);
        }
        headers.insert(ACCEPT, HeaderValue::from_static(manners.accept));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("bascule/", env!("CARGO_PKG_VERSION"))));
        for (key, value) in manners.headers {
            headers.insert(*key, HeaderValue::from_static(value));
        }

        #[expect(clippy::disallowed_methods, reason = "the forge's client: bounded in time, without redirects")]
        let mut client = reqwest::Client::builder()
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(*answer_within)
            .pool_idle_timeout(Duration::from_secs(30));
        if let Some(pem) = ca_pem {
            let found =
                reqwest::Certificate::from_pem_bundle(pem).map_err(|e| SettingsError::Ca(name.clone(), Some(e)))?;
            if found.is_empty() {
                return Err(SettingsError::Ca(name.clone(), None));
            }
            client = client.tls_certs_merge(found);
        }
        let client = client.build().map_err(|e| SettingsError::Client(name.clone(), e))?;
        let seats = tokio::sync::Semaphore::new(IN_FLIGHT);
        let budget = Arc::new(Alone::new(clock.clone()));
        let (forge, kept) = (name.clone(), Mutex::default());
        Ok(Self { forge, site, base, client, clock, manners, seats, budget, kept })
    }

    /// An address of the forge's own pages, as configured.
    pub(super) fn site(&self, path: &[&str]) -> String {
        let mut url = self.site.clone();
        extend(&mut url, path);
        url.into()
    }

    /// The host of those pages.
    pub(super) fn host(&self) -> &str {
        self.site.host_str().unwrap_or_default()
    }

    /// GET, and its JSON.
    pub(super) async fn get<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T> {
        self.json(&call, &self.send::<()>(Method::GET, &call, None, As::Ourselves).await?.1)
    }

    /// POST, and the JSON that comes back.
    pub(super) async fn post<T: DeserializeOwned>(&self, call: Call<'_>, body: &impl Serialize) -> Result<T> {
        self.json(&call, &self.send(Method::POST, &call, Some(body), As::Ourselves).await?.1)
    }

    /// PATCH, and the JSON that comes back.
    pub(super) async fn patch<T: DeserializeOwned>(&self, call: Call<'_>, body: &impl Serialize) -> Result<T> {
        self.json(&call, &self.send(Method::PATCH, &call, Some(body), As::Ourselves).await?.1)
    }

    /// Every entry of a list that the forge counts (`X-Total-Count`), page by page. A page may be shorter than asked
    /// for (the instance's own limit), so only the count, or an empty page, is its end. Lists of more than `most` are an
    /// error, because a list that is cut would be read as if the rest were not there.
    pub(super) async fn get_all<T: DeserializeOwned>(&self, call: Call<'_>, most: usize) -> Result<Vec<T>> {
        let mut all = Vec::new();
        let mut counted = None;
        for page in 1.. {
            let (mut found, total) = self.get_page::<T>(call, page).await?;
            if *counted.get_or_insert(total) != total {
                // Something came or went while we turned the page, and may have been skipped.
                let what = format!("{} changed while it was read", self.place(&call));
                return Err(self.error(Fate::Retry { after: None }, None, what));
            }
            let ended = found.is_empty();
            all.append(&mut found);
            if all.len() > most {
                let what = format!("{} has more than the {most} entries we read", self.place(&call));
                return Err(self.error(Fate::Invalid, None, what));
            }
            if ended || total.is_some_and(|total| all.len() >= total) {
                break;
            }
        }
        Ok(all)
    }

    /// One page of a list, counted from 1, and how many entries the forge says there are.
    pub(super) async fn get_page<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        page: usize,
    ) -> Result<(Vec<T>, Option<usize>)> {
        let (page, limit) = (page.to_string(), PAGE.to_string());
        let mut query = call.query.to_vec();
        query.extend([("page", page.as_str()), ("limit", limit.as_str())]);
        let call = Call { query: &query, ..call };
        let (headers, body) = self.send::<()>(Method::GET, &call, None, As::Ourselves).await?;
        let total = headers.get("x-total-count").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        // Go says `null` for a list that it never filled.
        let found: Option<Vec<T>> = self.json(&call, &body)?;
        Ok((found.unwrap_or_default(), total))
    }

    /// An error of this forge.
    pub(super) fn error(&self, fate: Fate, status: Option<u16>, what: String) -> ForgeError {
        ForgeError { forge: self.forge.clone(), fate, status, at: None, what, source: None }
    }

    fn place(&self, call: &Call<'_>) -> String {
        format!("/{}", call.path.join("/"))
    }

    /// The JSON of an answer.
    pub(super) fn json<T: DeserializeOwned>(&self, call: &Call<'_>, body: &[u8]) -> Result<T> {
        // 204 is how Gitea says `null`.
        let body = if body.is_empty() { b"null" } else { body };
        serde_json::from_slice(body).map_err(|source| ForgeError {
            source: Some(Box::new(source)),
            ..self.error(Fate::Invalid, None, format!("{} answered JSON of a shape we do not know", self.place(call)))
        })
    }
}

/// Whether an answer says that it is JSON.
fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).is_some_and(|v| v.starts_with("application/json"))
}

/// Goes on into an address.
pub(super) fn extend(url: &mut Url, path: &[&str]) {
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
}

/// How a token is shown; `None` where it cannot be one.
pub(super) fn authorization(scheme: &str, token: &SecretString) -> Option<HeaderValue> {
    let token = token.expose_secret().trim();
    let mut value = HeaderValue::from_str(&format!("{scheme} {token}")).ok().filter(|_| !token.is_empty())?;
    value.set_sensitive(true);
    Some(value)
}

/// Entries of a page: the most that Gitea gives unless told otherwise (`MAX_RESPONSE_ITEMS`).
pub(super) const PAGE: usize = 50;
