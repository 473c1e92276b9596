//! One client per registry: bounded, going nowhere but where the server's file says, and showing its credentials to nobody
//! else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, USER_AGENT, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode, Url};
use secrecy::ExposeSecret;
use tokio::sync::Semaphore;

use super::error::{Fate, RegistryError};
use super::oci::{self, Challenge};
use super::{Settings, SettingsError};
use crate::ids::RegistryName;

/// A registry that does not take a connection by then is down.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// For one answer, whole: the largest archive at four megabits a second.
const ANSWER_WITHIN: Duration = Duration::from_secs(40);
/// From one address to the next: a registry sends to a store, which may send to a nearer one.
const MOST_HOPS: usize = 4;
/// At once, per registry.
const IN_FLIGHT: usize = 4;
/// A token and its errors.
const LARGEST_TOKEN: u64 = 64 << 10;

/// What came back.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// What is asked for.
pub(super) struct Wanted<'a> {
    /// In words: `index.yaml`.
    pub(super) what: &'a str,
    pub(super) url: Url,
    pub(super) accept: &'static str,
    /// Bytes of the answer.
    pub(super) most: u64,
    /// Which token opens it, where tokens do.
    pub(super) token: Option<&'a str>,
}

/// The client.
pub(super) struct Http {
    name: RegistryName,
    /// Scheme, host and port: the only place that is shown credentials, but for `token_host`.
    origin: Url,
    hosts: BTreeSet<String>,
    token_host: Option<String>,
    credentials: Option<HeaderValue>,
    tokens: Mutex<BTreeMap<String, HeaderValue>>,
    client: reqwest::Client,
    seats: Semaphore,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Http({} at {})", self.name, self.origin)
    }
}

impl Http {
    pub(super) fn new(settings: &Settings, origin: Url) -> Result<Self, SettingsError> {
        let name = settings.name.clone();
        let credentials = settings.credentials.as_ref().map(|(user, password)| {
            let both = format!("{user}:{}", password.expose_secret().trim());
            let mut value = HeaderValue::from_str(&format!("Basic {}", base64_of(&both))).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        let credentials = match credentials {
            Some(None) => return Err(SettingsError::Credentials(name)),
            Some(value) => value,
            None => None,
        };
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("bascule/", env!("CARGO_PKG_VERSION"))));
        #[expect(
            clippy::disallowed_methods,
            reason = "the registry's client: bounded in time, redirects judged one by one"
        )]
        let mut client = reqwest::Client::builder()
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .pool_idle_timeout(Duration::from_secs(30));
        if let Some(pem) = &settings.ca_pem {
            let found = reqwest::Certificate::from_pem_bundle(pem).unwrap_or_default();
            if found.is_empty() {
                return Err(SettingsError::Ca(name));
            }
            client = client.tls_certs_merge(found);
        }
        let client = client.build().map_err(|error| SettingsError::Client(name.clone(), error))?;
        Ok(Self {
            name,
            origin,
            hosts: settings.hosts.clone(),
            token_host: settings.token_host.clone(),
            credentials,
            tokens: Mutex::default(),
            client,
            seats: Semaphore::new(IN_FLIGHT),
        })
    }

    /// Asks, following where it is let.
    pub(super) async fn get(&self, wanted: Wanted<'_>) -> Result<Answer, RegistryError> {
        let _seat = self.seats.acquire().await.map_err(|_| self.error(Fate::Later, "we are stopping".to_owned()))?;
        let mut url = wanted.url.clone();
        let mut is_retried = false;
        for _ in 0..MOST_HOPS {
            let response = self.send(&wanted, &url).await?;
            let status = response.status();
            if status.is_redirection() {
                url = self.next(&url, &response)?;
                continue;
            }
            if let (StatusCode::UNAUTHORIZED, Some(token), false) = (status, wanted.token, is_retried)
                && self.is_home(&url)
                && self.new_token(token, &response).await?
            {
                is_retried = true;
                continue;
            }
            if status == StatusCode::OK {
                let headers = response.headers().clone();
                let body = self.body(response, wanted.what, wanted.most).await?;
                return Ok(Answer { headers, body });
            }
            return Err(self.refusal(status, wanted.what));
        }
        Err(self.error(Fate::Refused, format!("it sends us from one place to the next for {}", wanted.what)))
    }

    async fn send(&self, wanted: &Wanted<'_>, url: &Url) -> Result<Response, RegistryError> {
        metrics::counter!("bascule_registry_requests_total", "registry" => self.name.to_string()).increment(1);
        let mut request = self.client.get(url.clone()).header(ACCEPT, wanted.accept);
        if let Some(authorization) = self.authorization(wanted.token).filter(|_| self.is_home(url)) {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.send().await.map_err(|error| self.away(error))
    }

    /// What we show at home: a token where they are used, else name and password.
    fn authorization(&self, token: Option<&str>) -> Option<HeaderValue> {
        match token {
            Some(scope) => self.tokens.lock().ok()?.get(scope).cloned(),
            None => self.credentials.clone(),
        }
    }

    fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.origin.origin()
    }

    /// Where a redirect, or an index, leads, if we may go there.
    pub(super) fn may_go(&self, url: Url) -> Result<Url, RegistryError> {
        let host = url.host_str().unwrap_or_default();
        let is_plain = url.username().is_empty() && url.password().is_none();
        let scheme = url.scheme() == "https" || (url.scheme() == "http" && self.origin.scheme() == "http");
        if is_plain && (self.is_home(&url) || (scheme && self.hosts.contains(host))) {
            return Ok(url);
        }
        let shown: String =
            format!("{}://{host}", url.scheme()).chars().take(120).flat_map(char::escape_debug).collect();
        let what =
            format!("it sends us to `{shown}`, and `hosts` of `[registry.{}]` does not let us go there", self.name);
        Err(self.error(Fate::Refused, what))
    }

    fn next(&self, from: &Url, response: &Response) -> Result<Url, RegistryError> {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let to = location.and_then(|location| from.join(location).ok());
        let nowhere = || self.error(Fate::Refused, "it sends us elsewhere without saying where".to_owned());
        self.may_go(to.ok_or_else(nowhere)?)
    }

    /// Asks for a token as the registry wants it; whether there is something new to show.
    async fn new_token(&self, scope: &str, response: &Response) -> Result<bool, RegistryError> {
        let header = response.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let value = match header.and_then(oci::challenge) {
            None => return Ok(false),
            Some(Challenge::Basic) => match &self.credentials {
                Some(credentials) => credentials.clone(),
                None => return Ok(false),
            },
            Some(Challenge::Bearer { realm, service, scope }) => self.bearer(&realm, service, scope).await?,
        };
        if let Ok(mut tokens) = self.tokens.lock() {
            tokens.insert(scope.to_owned(), value);
        }
        Ok(true)
    }

    async fn bearer(
        &self,
        realm: &str,
        service: Option<String>,
        scope: Option<String>,
    ) -> Result<HeaderValue, RegistryError> {
        let unread = || self.error(Fate::Refused, "it does not say where its tokens are".to_owned());
        let mut url = Url::parse(realm).map_err(|_| unread())?;
        let is_its = self.token_host.as_deref().is_some_and(|host| url.host_str() == Some(host));
        let is_safe = url.scheme() == "https" || self.origin.scheme() == "http";
        if !(is_safe && (is_its || self.is_home(&url))) {
            let host: String = url.host_str().unwrap_or_default().chars().take(120).collect();
            let what = format!(
                "its tokens are at `{host}`, and `token_host` of `[registry.{}]` does not name that",
                self.name
            );
            return Err(self.error(Fate::Refused, what));
        }
        for (key, value) in [("service", service), ("scope", scope)] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(key, &value);
            }
        }
        metrics::counter!("bascule_registry_requests_total", "registry" => self.name.to_string()).increment(1);
        let mut request = self.client.get(url);
        if let Some(credentials) = &self.credentials {
            request = request.header(AUTHORIZATION, credentials.clone());
        }
        let response = request.send().await.map_err(|error| self.away(error))?;
        if response.status() != StatusCode::OK {
            return Err(self.refusal(response.status(), "a token"));
        }
        let body = self.body(response, "a token", LARGEST_TOKEN).await?;
        let value = oci::token(&body).and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        let mut value =
            value.ok_or_else(|| self.error(Fate::Refused, "its answer to whom asks for a token is none".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn body(&self, mut response: Response, what: &str, most: u64) -> Result<Vec<u8>, RegistryError> {
        let too_large = || {
            let limit = if most >= 1 << 20 { format!("{} MiB", most >> 20) } else { format!("{} KiB", most >> 10) };
            self.error(Fate::Never, format!("{what} is larger than {limit}"))
        };
        if response.content_length().is_some_and(|length| length > most) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.cut_off(what, error))? {
            body.extend_from_slice(&chunk);
            if body.len() as u64 > most {
                return Err(too_large());
            }
        }
        Ok(body)
    }

    fn refusal(&self, status: StatusCode, what: &str) -> RegistryError {
        let code = status.as_u16();
        let name = &self.name;
        let (fate, said) = match code {
            401 | 403 if self.credentials.is_some() => (
                Fate::Refused,
                format!(
                    "it does not let us have {what} ({code}) with the `username` and `password` of `[registry.{name}]`"
                ),
            ),
            401 | 403 => (
                Fate::Refused,
                format!(
                    "it does not let us have {what} ({code}): `[registry.{name}]` has no `username` and `password`"
                ),
            ),
            404 | 410 => (Fate::Never, format!("it has no {what} ({code})")),
            429 => (Fate::Later, format!("it was asked too often, and asks for a pause ({code})")),
            500.. => (Fate::Later, format!("it is not well ({code})")),
            _ => (Fate::Refused, format!("it answers {code} to whom asks for {what}")),
        };
        self.error(fate, said)
    }

    fn away(&self, error: reqwest::Error) -> RegistryError {
        let what = if error.is_timeout() { "it does not answer in time" } else { "it cannot be reached" };
        RegistryError { source: Some(Box::new(error)), ..self.error(Fate::Later, what.to_owned()) }
    }

    fn cut_off(&self, what: &str, error: reqwest::Error) -> RegistryError {
        let what = format!("it stopped in the middle of {what}");
        RegistryError { source: Some(Box::new(error)), ..self.error(Fate::Later, what) }
    }

    pub(super) fn error(&self, fate: Fate, what: String) -> RegistryError {
        RegistryError { registry: self.name.clone(), fate, what, source: None }
    }
}

fn base64_of(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}
