//! One HTTP client per forge: bounded, without redirects, counted, and translating every failure into its fate.
//!
//! Addresses come from the configuration only, never from a delivery or an answer: pages are asked for by number, and
//! a redirect (a renamed repository) is an answer like any other. Proxies of the environment are not used.

mod refusal;

use std::sync::Mutex;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

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
/// After "too many requests" without a time: what GitHub asks for, and polite elsewhere.
const PAUSE: SignedDuration = SignedDuration::from_mins(1);
/// A forge that asks for more is not believed: the work is tried again by then.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// How to reach a forge.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name in the configuration.
    pub name: ForgeName,
    /// `https://git.example.com`, with a path when the forge lives under one.
    pub url: String,
    /// The account's token.
    pub token: SecretString,
    /// Certificates (PEM) to trust beside the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// For a whole call; [`ANSWER_WITHIN`].
    pub answer_within: Duration,
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
    /// What a call needs, by its name.
    needed: fn(&str) -> &'static str,
    seats: tokio::sync::Semaphore,
    /// No call before this: the forge asked for a pause.
    paused_until: Mutex<Option<Timestamp>>,
}

/// One call: a name for the metrics, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) name: &'static str,
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
}

impl Http {
    /// A client for `{settings.url}/{api}/…`.
    pub(super) fn new(
        settings: Settings,
        api: &[&str],
        needed: fn(&str) -> &'static str,
        clock: Clock,
    ) -> std::result::Result<Self, SettingsError> {
        let Settings { name, url, token, ca_pem, answer_within } = settings;
        let site = Url::parse(&url).map_err(|_| SettingsError::Url(name.clone()))?;
        let mut base = site.clone();
        let plain = matches!(base.scheme(), "http" | "https")
            && base.query().is_none()
            && base.username().is_empty()
            && base.has_host();
        match base.path_segments_mut() {
            Ok(mut path) if plain => path.pop_if_empty().extend(api),
            _ => return Err(SettingsError::Url(name)),
        };

        let mut headers = HeaderMap::new();
        let mut authorization = HeaderValue::from_str(&format!("token {}", token.expose_secret().trim()))
            .ok()
            .filter(|_| !token.expose_secret().trim().is_empty())
            .ok_or_else(|| SettingsError::Token(name.clone()))?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("bascule/", env!("CARGO_PKG_VERSION"))));

        #[expect(clippy::disallowed_methods, reason = "the forge's client: bounded in time, without redirects")]
        let mut client = reqwest::Client::builder()
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(answer_within)
            .pool_idle_timeout(Duration::from_secs(30));
        if let Some(pem) = ca_pem {
            let found =
                reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| SettingsError::Ca(name.clone(), Some(e)))?;
            if found.is_empty() {
                return Err(SettingsError::Ca(name, None));
            }
            client = client.tls_certs_merge(found);
        }
        let client = client.build().map_err(|e| SettingsError::Client(name.clone(), e))?;
        let seats = tokio::sync::Semaphore::new(IN_FLIGHT);
        Ok(Self { forge: name, site, base, client, clock, needed, seats, paused_until: Mutex::new(None) })
    }

    /// An address of the forge's own pages, as configured.
    pub(super) fn site(&self, path: &[&str]) -> String {
        let mut url = self.site.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url.into()
    }

    /// GET, and its JSON.
    pub(super) async fn get<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T> {
        self.json(&call, &self.send::<()>(Method::GET, &call, None).await?.1)
    }

    /// POST, and the JSON that comes back.
    pub(super) async fn post<T: DeserializeOwned>(&self, call: Call<'_>, body: &impl Serialize) -> Result<T> {
        self.json(&call, &self.send(Method::POST, &call, Some(body)).await?.1)
    }

    /// PATCH, and the JSON that comes back.
    pub(super) async fn patch<T: DeserializeOwned>(&self, call: Call<'_>, body: &impl Serialize) -> Result<T> {
        self.json(&call, &self.send(Method::PATCH, &call, Some(body)).await?.1)
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
        let (headers, body) = self.send::<()>(Method::GET, &call, None).await?;
        let total = headers.get("x-total-count").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        // Go says `null` for a list that it never filled.
        let found: Option<Vec<T>> = self.json(&call, &body)?;
        Ok((found.unwrap_or_default(), total))
    }

    /// An error of this forge.
    pub(super) fn error(&self, fate: Fate, status: Option<u16>, what: String) -> ForgeError {
        ForgeError { forge: self.forge.clone(), fate, status, what, source: None }
    }

    fn place(&self, call: &Call<'_>) -> String {
        format!("/{}", call.path.join("/"))
    }

    fn json<T: DeserializeOwned>(&self, call: &Call<'_>, body: &[u8]) -> Result<T> {
        // 204 is how Gitea says `null`.
        let body = if body.is_empty() { b"null" } else { body };
        serde_json::from_slice(body).map_err(|source| ForgeError {
            source: Some(Box::new(source)),
            ..self.error(Fate::Invalid, None, format!("{} answered JSON of a shape we do not know", self.place(call)))
        })
    }

    async fn send<B: Serialize>(
        &self,
        method: Method,
        call: &Call<'_>,
        body: Option<&B>,
    ) -> Result<(HeaderMap, Vec<u8>)> {
        self.respect_pause(call)?;
        let _seat = self
            .seats
            .acquire()
            .await
            .map_err(|_| self.error(Fate::Retry { after: None }, None, "is closing".into()))?;
        let begun = tokio::time::Instant::now();
        let outcome = self.exchange(method, call, body).await;
        let took = begun.elapsed().as_secs_f64();
        let told = match &outcome {
            Ok(_) => "ok",
            Err(ForgeError { fate: Fate::Retry { .. }, .. }) => "retry",
            Err(ForgeError { fate: Fate::Refused, .. }) => "refused",
            Err(ForgeError { fate: Fate::Gone, .. }) => "gone",
            Err(ForgeError { fate: Fate::Invalid, .. }) => "invalid",
        };
        let forge = || self.forge.as_str().to_owned();
        metrics::counter!("bascule_forge_calls_total", "forge" => forge(), "call" => call.name, "outcome" => told)
            .increment(1);
        metrics::histogram!("bascule_forge_call_seconds", "forge" => forge(), "call" => call.name).record(took);
        outcome
    }

    async fn exchange<B: Serialize>(
        &self,
        method: Method,
        call: &Call<'_>,
        body: Option<&B>,
    ) -> Result<(HeaderMap, Vec<u8>)> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut path) => path.extend(call.path),
            Err(()) => return Err(self.error(Fate::Invalid, None, "has no usable address".to_owned())),
        };
        let asked = format!("{method} {}", self.place(call));
        let mut request = self.client.request(method, url);
        if !call.query.is_empty() {
            request = request.query(call.query);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|e| self.no_answer(&asked, e))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        self.note_limit(&headers);
        let body = self.read_bounded(answer, &asked).await?;
        let is_json =
            headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).is_some_and(|v| v.starts_with("application/json"));
        if status.is_success() && (is_json || body.is_empty()) {
            return Ok((headers, body));
        }
        Err(self.refusal(status, &headers, (call.name, &asked), is_json.then_some(&body)))
    }

    /// The body, given up as soon as it is larger than we would keep.
    async fn read_bounded(&self, mut answer: reqwest::Response, asked: &str) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| self.no_answer(asked, e))? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                let what = format!("{asked}: the answer is larger than {LARGEST_ANSWER} bytes");
                return Err(self.error(Fate::Invalid, None, what));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn no_answer(&self, asked: &str, source: reqwest::Error) -> ForgeError {
        let why = if source.is_timeout() {
            "did not answer in time"
        } else if source.is_connect() {
            "cannot be reached"
        } else {
            "broke off its answer"
        };
        let source = source.without_url();
        ForgeError {
            source: Some(Box::new(source)),
            ..self.error(Fate::Retry { after: None }, None, format!("{why} ({asked})"))
        }
    }

    /// Remembers that the forge wants no call for a while.
    fn pause(&self, pause: SignedDuration) -> Fate {
        let pause = pause.clamp(SignedDuration::from_secs(1), LONGEST_PAUSE);
        let until = self.clock.now().checked_add(pause).ok();
        let mut paused = self.paused_until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *paused = (*paused).max(until);
        Fate::Retry { after: Some(pause.unsigned_abs()) }
    }

    fn respect_pause(&self, call: &Call<'_>) -> Result<()> {
        let until = *self.paused_until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let left = until.map(|until| self.clock.now().until(until)).and_then(std::result::Result::ok);
        let left = left.and_then(|span| SignedDuration::try_from(span).ok()).filter(SignedDuration::is_positive);
        match left {
            None => Ok(()),
            Some(left) => Err(self.error(
                Fate::Retry { after: Some(left.unsigned_abs()) },
                None,
                format!("asked for a pause that is not over ({} was not sent)", self.place(call)),
            )),
        }
    }

    fn note_limit(&self, headers: &HeaderMap) {
        let left =
            headers.get("x-ratelimit-remaining").and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<f64>().ok());
        if let Some(left) = left {
            metrics::gauge!("bascule_forge_limit_remaining", "forge" => self.forge.as_str().to_owned()).set(left);
        }
    }
}

/// Entries of a page: the most that Gitea gives unless told otherwise (`MAX_RESPONSE_ITEMS`).
pub(super) const PAGE: usize = 50;
