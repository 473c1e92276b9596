//! Prometheus: asked whether a deployment does well, by the HTTP API that others speak, too (Mimir, Thanos, VictoriaMetrics).
//!
//! Where one is, the server's file says; a repository only names it. It is followed nowhere else, its answer has a bound in bytes
//! and in time, and of what it gives no more is told than whether it gave something.
//!
//! Deliberately absent: retries (a job decides), ranges (a query asks about its own past), and values: what holds gives
//! something, and what does not gives nothing, as comparisons in PromQL do.

mod answer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Response, Url};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::ids::PrometheusName;

/// One that does not take a connection by then is away.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// For one answer, whole. A query that takes longer is too dear to ask every few seconds.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// What the query itself may take there, in seconds: less, so that it is told that it was too long.
const TIMEOUT: &str = "8s";
/// Bytes of an answer: some thousand series.
const LARGEST_ANSWER: usize = 1 << 20;
/// At once, of one server.
const IN_FLIGHT: usize = 4;

/// How to reach one.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name in the configuration.
    pub name: PrometheusName,
    /// Its address, without a slash at its end.
    pub url: String,
    /// What it is shown.
    pub token: Option<SecretString>,
    /// Certificates (PEM) to trust beside the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// For one answer, whole: [`ANSWER_WITHIN`].
    pub answer_within: Duration,
}

/// One that cannot be set up: the configuration is wrong.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not an address.
    #[error("prometheus {0}: `url` is no address")]
    Url(PrometheusName),
    /// Not a header value.
    #[error("prometheus {0}: `token` has characters that cannot be sent")]
    Token(PrometheusName),
    /// Not certificates.
    #[error("prometheus {0}: `ca_file` holds no usable PEM certificate")]
    Ca(PrometheusName),
    /// The TLS library would not start.
    #[error("prometheus {0}: the HTTP client could not be set up")]
    Client(PrometheusName, #[source] reqwest::Error),
}

/// What it says of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It gives something.
    Holds,
    /// It gives nothing, or what is no number.
    DoesNot,
}

/// What becomes of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It may answer later.
    Later,
    /// Whoever runs this server has to do something.
    Refused,
    /// Whoever wrote the query has to: the same will be answered again.
    Never,
}

/// It did not say. `Display` is fit for the author of the query: it names the server as the file does.
#[derive(Debug, thiserror::Error)]
#[error("prometheus `{prometheus}`: {what}")]
pub struct PrometheusError {
    /// Which.
    pub prometheus: PrometheusName,
    /// What becomes of it.
    pub fate: Fate,
    /// What it did.
    pub what: String,
    /// Where that is known from, for the log.
    #[source]
    pub source: Option<reqwest::Error>,
}

/// One Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    name: PrometheusName,
    url: Url,
    client: reqwest::Client,
    seats: Semaphore,
}

impl Prometheus {
    /// A client of its own.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let name = settings.name.clone();
        let url = format!("{}/api/v1/query", settings.url.trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|_| SettingsError::Url(name.clone()))?;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("bascule/", env!("CARGO_PKG_VERSION"))));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(token) = &settings.token {
            let shown = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret().trim()));
            let mut shown = shown.map_err(|_| SettingsError::Token(name.clone()))?;
            shown.set_sensitive(true);
            headers.insert(AUTHORIZATION, shown);
        }
        #[expect(clippy::disallowed_methods, reason = "this room's client: bounded in time, and follows nobody")]
        let mut client = reqwest::Client::builder()
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(settings.answer_within)
            .pool_idle_timeout(Duration::from_secs(30));
        if let Some(pem) = &settings.ca_pem {
            let found = reqwest::Certificate::from_pem_bundle(pem).unwrap_or_default();
            if found.is_empty() {
                return Err(SettingsError::Ca(name));
            }
            client = client.tls_certs_merge(found);
        }
        let client = client.build().map_err(|error| SettingsError::Client(name.clone(), error))?;
        Ok(Self { name, url, client, seats: Semaphore::new(IN_FLIGHT) })
    }

    /// Whether a query holds now.
    ///
    /// # Errors
    /// It did not say.
    pub async fn holds(&self, query: &str) -> Result<Answer, PrometheusError> {
        let _seat = self.seats.acquire().await.map_err(|_| self.error(Fate::Later, "we are stopping"))?;
        metrics::counter!("bascule_prometheus_requests_total", "prometheus" => self.name.to_string()).increment(1);
        let asked = self.client.get(self.url.clone()).query(&[("query", query), ("timeout", TIMEOUT)]);
        let response = asked.send().await.map_err(|error| self.away(error))?;
        let status = response.status();
        if status.is_redirection() {
            let what = "it sends us elsewhere, and nobody is followed: `url` has to say where it is";
            return Err(self.error(Fate::Refused, what));
        }
        let body = self.body(response).await?;
        answer::read(status.as_u16(), &body).map_err(|(fate, what)| self.error(fate, what))
    }

    /// Whether it is there and lets us in.
    ///
    /// # Errors
    /// It does not.
    pub async fn is_there(&self) -> Result<(), PrometheusError> {
        match self.holds("vector(1)").await? {
            Answer::Holds => Ok(()),
            Answer::DoesNot => Err(self.error(Fate::Refused, "it gives nothing for `vector(1)`: it is no Prometheus")),
        }
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, PrometheusError> {
        let too_large = || self.error(Fate::Never, "its answer is larger than 1 MiB: ask for less, `sum(…)` or `topk`");
        if response.content_length().is_some_and(|length| length > LARGEST_ANSWER as u64) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.away(error))? {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST_ANSWER {
                return Err(too_large());
            }
        }
        Ok(body)
    }

    fn away(&self, error: reqwest::Error) -> PrometheusError {
        let what = if error.is_timeout() { "it does not answer in time" } else { "it cannot be reached" };
        // The address has the query in it, and is in the log by its name.
        PrometheusError { source: Some(error.without_url()), ..self.error(Fate::Later, what) }
    }

    fn error(&self, fate: Fate, what: impl Into<String>) -> PrometheusError {
        PrometheusError { prometheus: self.name.clone(), fate, what: what.into(), source: None }
    }
}

/// Those that are configured, by name. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Servers(Arc<BTreeMap<PrometheusName, Prometheus>>);

impl Servers {
    /// All of them.
    pub fn new(all: BTreeMap<PrometheusName, Prometheus>) -> Self {
        Self(Arc::new(all))
    }

    /// The one of a name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(&self, name: &PrometheusName) -> Result<&Prometheus, PrometheusError> {
        self.0.get(name).ok_or_else(|| PrometheusError {
            prometheus: name.clone(),
            fate: Fate::Refused,
            what: "it is not in the server's file".to_owned(),
            source: None,
        })
    }
}
