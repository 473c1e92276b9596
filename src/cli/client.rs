//! The client of a server's API: the server and token of `bascule login`, or `BASCULE_SERVER` and `BASCULE_TOKEN`.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use super::kept::Kept;
use crate::config::Environ;

/// How long an answer may take: a whole verification of a long log fits.
const ANSWER: Duration = Duration::from_secs(120);
/// How long it may take to reach the server.
const CONNECT: Duration = Duration::from_secs(10);
/// The largest answer that is read, but for an export (bytes).
const LARGEST: usize = 64 << 20;
/// The server when none is named: one on this machine.
const HERE: &str = "http://127.0.0.1:8080";

/// Why there is no answer; `Display` says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No token.
    #[error(
        "no token for {0}: sign in with `bascule login`, or set BASCULE_TOKEN to one that `bascule token create` made on the server's host"
    )]
    NoToken(String),
    /// A token that cannot be sent.
    #[error("BASCULE_TOKEN holds no token: it has characters that none has")]
    BadToken,
    /// An address that is none.
    #[error("BASCULE_SERVER is no address: write one like https://bascule.example.com")]
    BadServer,
    /// Nobody there.
    #[error("{server} cannot be reached; is BASCULE_SERVER right?")]
    Unreachable {
        /// Where.
        server: String,
        /// Why.
        source: reqwest::Error,
    },
    /// It does not want to.
    #[error("{status}: {detail}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// What it said.
        detail: String,
    },
    /// Something else answers there.
    #[error("{server} answers, but not as a bascule server does; is BASCULE_SERVER right?")]
    NotOurs {
        /// Where.
        server: String,
    },
    /// What was asked about is not to be had.
    #[error("{0}")]
    Absent(String),
    /// What `bascule login` keeps is not as it left it.
    #[error("{0}")]
    Kept(String),
    /// Our own output.
    #[error("the output cannot be written")]
    Output(#[from] std::io::Error),
}

/// Which server: the one that is named, else `BASCULE_SERVER`, else the one of the last `bascule login`, else one here.
pub(super) fn server(environ: &Environ, kept: &Kept, named: Option<&str>) -> Result<String, ClientError> {
    let said = named.or_else(|| environ.get("BASCULE_SERVER")).or_else(|| kept.last()).unwrap_or(HERE);
    let server = said.trim_end_matches('/').to_owned();
    let url: reqwest::Url = server.parse().map_err(|_| ClientError::BadServer)?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !matches!(url.scheme(), "http" | "https") || !is_plain {
        return Err(ClientError::BadServer);
    }
    Ok(server)
}

/// Parameters of a query: those without a value are not sent.
pub type Query<'q> = &'q [(&'q str, Option<String>)];

/// Speaks to one server.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    server: String,
    token: Option<HeaderValue>,
}

impl Client {
    /// From what the environment says. The token is in no argument, where every process could read it.
    ///
    /// # Errors
    /// No token, or an address that is none.
    pub fn new(environ: &Environ) -> Result<Self, ClientError> {
        if let Some(token) = environ.get("BASCULE_TOKEN") {
            return Self::of(server(environ, &Kept::nothing(), None)?, Some(token));
        }
        let kept = Kept::read(environ)?;
        let server = server(environ, &kept, None)?;
        // A token goes to the server it is of, and to no other.
        let token = kept.token(&server).ok_or_else(|| ClientError::NoToken(server.clone()))?;
        Self::of(server.clone(), Some(token))
    }

    /// A client of this server; without a token for the one call that gets one.
    ///
    /// # Errors
    /// A token that cannot be sent.
    pub(super) fn of(server: String, token: Option<&str>) -> Result<Self, ClientError> {
        let signed = |token: &str| HeaderValue::from_str(&format!("Bearer {}", token.trim()));
        let mut token = token.map(signed).transpose().map_err(|_| ClientError::BadToken)?;
        token.iter_mut().for_each(|token| token.set_sensitive(true));
        #[expect(clippy::disallowed_methods, reason = "the command line's client: bounded in time, without redirects")]
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .user_agent(concat!("bascule/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|source| ClientError::Unreachable { server: server.clone(), source })?;
        Ok(Self { http, server, token })
    }

    /// Reads.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get(&self, path: &str, query: Query<'_>) -> Result<Value, ClientError> {
        self.whole(self.send(Method::GET, path, query, None, Some(ANSWER)).await?).await
    }

    /// Acts.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post(&self, path: &str) -> Result<Value, ClientError> {
        self.whole(self.send(Method::POST, path, &[], None, Some(ANSWER)).await?).await
    }

    /// Acts, with something to say.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn post_with(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.whole(self.send(Method::POST, path, &[], Some(body), Some(ANSWER)).await?).await
    }

    /// Ends something.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(super) async fn delete(&self, path: &str) -> Result<Value, ClientError> {
        self.whole(self.send(Method::DELETE, path, &[], None, Some(ANSWER)).await?).await
    }

    /// Reads pages until there are `most` items.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn pages(&self, path: &str, query: Query<'_>, most: usize) -> Result<Vec<Value>, ClientError> {
        let mut items = Vec::new();
        let mut before = None;
        while items.len() < most {
            let mut page: Vec<(&str, Option<String>)> = query.to_vec();
            page.push(("limit", Some((most - items.len()).min(200).to_string())));
            page.push(("before", before.take()));
            let mut answer = self.get(path, &page).await?;
            let Value::Array(more) = answer["items"].take() else { return Err(self.not_ours()) };
            if !more.iter().all(Value::is_object) {
                return Err(self.not_ours());
            }
            items.extend(more);
            match answer["next"].as_str() {
                Some(next) => before = Some(next.to_owned()),
                None => break,
            }
        }
        items.truncate(most);
        Ok(items)
    }

    /// Copies an answer of one JSON object a line, however long. As everything a server sends, it moves no cursor.
    ///
    /// # Errors
    /// See [`ClientError`]; an answer that broke off is one, and so is one of other lines.
    pub async fn copy(&self, path: &str, to: &mut impl std::io::Write) -> Result<(), ClientError> {
        let mut response = self.send(Method::GET, path, &[], None, None).await?;
        let mut rest = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|source| self.unreachable(source))? {
            rest.extend_from_slice(&piece);
            if rest.len() > LARGEST {
                return Err(self.not_ours());
            }
            let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else { continue };
            let lines: Vec<u8> = rest.drain(..=end).collect();
            let lines = String::from_utf8(lines).map_err(|_| self.not_ours())?;
            if !lines.lines().all(|line| serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok()) {
                return Err(self.not_ours());
            }
            to.write_all(super::table::escaped(&lines).as_bytes())?;
        }
        if rest.is_empty() { Ok(to.flush()?) } else { Err(self.not_ours()) }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: Query<'_>,
        body: Option<&Value>,
        within: Option<Duration>,
    ) -> Result<Response, ClientError> {
        let given: Vec<(&str, &str)> =
            query.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
        let mut request = self.http.request(method, format!("{}/api/v1/{path}", self.server)).query(&given);
        if let Some(within) = within {
            request = request.timeout(within);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        let response = request.send().await;
        let response = response.map_err(|source| self.unreachable(source))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        match self.whole(response).await?["detail"].as_str() {
            Some(detail) => Err(ClientError::Refused { status, detail: super::table::plain(detail) }),
            None => Err(self.not_ours()),
        }
    }

    async fn whole(&self, mut response: Response) -> Result<Value, ClientError> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|source| self.unreachable(source))? {
            body.extend_from_slice(&piece);
            if body.len() > LARGEST {
                return Err(self.not_ours());
            }
        }
        // Whatever a server of ours says is an object.
        serde_json::from_slice(&body).ok().filter(Value::is_object).ok_or_else(|| self.not_ours())
    }

    fn unreachable(&self, source: reqwest::Error) -> ClientError {
        // The error's own text repeats the address; the chain below it says why.
        ClientError::Unreachable { server: self.server.clone(), source: source.without_url() }
    }

    /// Something else answers there.
    pub(super) fn not_ours(&self) -> ClientError {
        ClientError::NotOurs { server: self.server.clone() }
    }
}
