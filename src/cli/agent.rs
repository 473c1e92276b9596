//! `bascule agent`: its arguments, and how it reaches its server.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::header::{AUTHORIZATION, CONNECTION, HeaderValue, UPGRADE};
use reqwest::{StatusCode, Upgraded};
use tokio::time::Instant;

use super::client;
use super::kept::Kept;
use crate::config::Environ;
use crate::ids::ClusterName;

/// What both ends speak once the connection is theirs: [`crate::web::agents::PROTOCOL`].
const PROTOCOL: &str = "bascule-agent-1";
/// How long the way to an open tunnel may take. Writes are sent on within 5 s of when the server asked for them, counted from the
/// beginning of this: of a slow one, none would be in time.
const DIAL: Duration = Duration::from_secs(3);

/// Runs in a cluster that the server cannot reach: dials the server, and sends its requests on to this cluster's API.
#[derive(Debug, clap::Args)]
pub struct Agent {
    /// The cluster's name in the server's file, where it has `agent = true`.
    pub cluster: ClusterName,
    /// The server's address; without it, `BASCULE_SERVER`. Of several servers that sync, each one's own: they all need a tunnel.
    #[arg(long)]
    pub server: Vec<String>,
    /// A file with the token, read at each dialling; without it, `BASCULE_TOKEN`.
    #[arg(long)]
    pub token_file: Option<PathBuf>,
    /// Certificates trusted beside the system's, of the server.
    #[arg(long)]
    pub ca_file: Option<PathBuf>,
    /// The way into the cluster; without it, the account of our own pod.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// What is logged.
    #[arg(long, default_value = "info")]
    pub log: String,
    /// One JSON object a line instead of text for people.
    #[arg(long)]
    pub log_json: bool,
}

/// How a server is dialled.
#[derive(Debug)]
pub struct Dialler {
    http: reqwest::Client,
    server: String,
    address: String,
    token: Token,
}

enum Token {
    In(PathBuf),
    Said(String),
}

impl std::fmt::Debug for Token {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Token")
    }
}

/// A connection that is a tunnel from now on.
#[derive(Debug)]
pub struct Dialled {
    /// What goes through it.
    pub stream: Upgraded,
    /// An instant before it was asked for.
    pub sent: Instant,
}

impl Agent {
    /// Whom to dial, and by what.
    ///
    /// # Errors
    /// An address that is none or that would show the token to anybody, no token, certificates that cannot be read.
    pub fn diallers(&self, environ: &Environ) -> anyhow::Result<Vec<Dialler>> {
        match (&self.server[..], environ.get("BASCULE_SERVER")) {
            ([], None) => bail!("which server? Write --server https://bascule.example.com, or set BASCULE_SERVER"),
            ([], Some(server)) => Ok(vec![self.dialler(environ, server)?]),
            (servers, _) => servers.iter().map(|server| self.dialler(environ, server)).collect(),
        }
    }

    fn dialler(&self, environ: &Environ, server: &str) -> anyhow::Result<Dialler> {
        let address = || format!("`{server}` is no address: write one like https://bascule.example.com");
        let server = client::server(environ, &Kept::nothing(), Some(server)).ok().with_context(address)?;
        let url: reqwest::Url = server.parse()?;
        let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() == "http" && !is_here {
            bail!(
                "{server} is not encrypted, and the token and every Secret would be sent there in clear: write https://"
            );
        }
        let token = match (&self.token_file, environ.get("BASCULE_TOKEN")) {
            (Some(file), _) => Token::In(file.clone()),
            (None, Some(token)) => Token::Said(token.to_owned()),
            (None, None) => bail!(
                "no token: `bascule token create NAME --scope agent:{}` makes it on the server's host; give it in --token-file or BASCULE_TOKEN",
                self.cluster
            ),
        };
        #[expect(clippy::disallowed_methods, reason = "an agent's one connection: bounded in time, without redirects")]
        let mut http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(DIAL)
            .http1_only()
            // Both ends ping each other within the tunnel; this is for what comes before that.
            .tcp_keepalive(DIAL)
            .user_agent(concat!("bascule/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &self.ca_file {
            let pem = std::fs::read(file).with_context(|| format!("--ca-file {}", file.display()))?;
            let found = reqwest::Certificate::from_pem_bundle(&pem).ok().filter(|found| !found.is_empty());
            let found = found.with_context(|| format!("--ca-file {} holds no certificate", file.display()))?;
            http = found.into_iter().fold(http, reqwest::ClientBuilder::add_root_certificate);
        }
        let address = format!("{server}/api/v1/agents/{}", self.cluster);
        Ok(Dialler { http: http.build()?, server, address, token })
    }
}

impl Dialler {
    /// The server's address.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Asks for a tunnel.
    ///
    /// # Errors
    /// Why there is none, in words: a wrong token, a server that is away or of another version, a proxy that lets no upgrade through.
    pub async fn dial(&self) -> anyhow::Result<Dialled> {
        let token = match &self.token {
            Token::Said(token) => token.clone(),
            Token::In(file) => {
                std::fs::read_to_string(file).with_context(|| format!("--token-file {}", file.display()))?
            }
        };
        let mut token = HeaderValue::try_from(format!("Bearer {}", token.trim()))
            .context("the token holds characters that none has")?;
        token.set_sensitive(true);
        let sent = Instant::now();
        let asking = self
            .http
            .get(&self.address)
            .header(AUTHORIZATION, token)
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, PROTOCOL)
            .send();
        let slow = || format!("{} did not answer within {} s", self.server, DIAL.as_secs());
        let answer = tokio::time::timeout(DIAL, asking).await.with_context(slow)?;
        let answer = answer.map_err(reqwest::Error::without_url).with_context(|| self.away())?;
        let status = answer.status();
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Dialled { stream: answer.upgrade().await?, sent });
        }
        let said = tokio::time::timeout(DIAL, answer.bytes()).await.ok().and_then(Result::ok).unwrap_or_default();
        let said: serde_json::Value = serde_json::from_slice(&said).unwrap_or_default();
        match said["detail"].as_str() {
            Some(detail) => bail!("{} says {status}: {}", self.server, super::table::plain(detail)),
            None => bail!(
                "{} says {status}, and not as a bascule server does: a proxy before it may not pass on `Upgrade`",
                self.server
            ),
        }
    }

    fn away(&self) -> String {
        format!("{} cannot be reached", self.server)
    }
}
