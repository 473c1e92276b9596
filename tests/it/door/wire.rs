//! Deliveries as bytes, and a client that writes any.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use bascule::clock::Clock;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::{HUB_SECRET, LAB_TOKEN, OTHER_SECRET, SECRET};

/// One webhook call, before it is written.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Delivery {
    /// As Gitea sends it to `work`, signed by what it carries.
    pub(crate) fn gitea(event: &str, id: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::signed("gitea", "work", SECRET, event, id, body.into())
    }

    /// As Forgejo sends it to `berg`: under its own names, and Gitea's beside them.
    pub(crate) fn forgejo(event: &str, id: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let mut delivery = Self::signed("forgejo", "berg", OTHER_SECRET, event, id, body.clone());
        delivery.headers.extend(Self::signed("gitea", "berg", OTHER_SECRET, event, id, body).headers.split_off(2));
        delivery
    }

    /// As GitHub sends it to `hub`: with the older signature beside the one that counts.
    pub(crate) fn github(event: &str, id: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let signature = format!("sha256={}", sign(HUB_SECRET, &body));
        Self::signed("github", "hub", HUB_SECRET, event, id, body)
            .without("x-github-signature")
            .with("x-hub-signature", &format!("sha1={}", &"0123456789abcdef".repeat(3)[..40]))
            .with("x-hub-signature-256", &signature)
            .with("user-agent", "GitHub-Hookshot/0123456")
    }

    /// As GitLab sends it to `lab`, signed now. `event` is written as GitLab writes it: `Merge Request Hook`.
    pub(crate) fn gitlab(event: &str, id: &str, body: impl Into<Vec<u8>>) -> Self {
        let line = "POST /webhooks/lab HTTP/1.1".to_owned();
        let delivery = Self { line, headers: Vec::new(), body: body.into() }
            .with("host", "bascule")
            .with("content-type", "application/json")
            .with("user-agent", "GitLab/18.9.0")
            .with("x-gitlab-event", event)
            .with("x-gitlab-instance", "https://gitlab.example.com")
            .with("x-gitlab-webhook-uuid", "0b7aebd6-4d2f-4a7a-9d29-0d4cbb4e2c34")
            .with("x-gitlab-event-uuid", &format!("event-{id}"))
            .with("idempotency-key", id);
        delivery.signed_at(LAB_TOKEN, id, Clock::system().now().as_second())
    }

    /// Signed as a GitLab that has a signing token signs.
    pub(crate) fn signed_at(self, token: &str, id: &str, seconds: i64) -> Self {
        let signature = format!("v1,{}", sign_standard(token, id, &seconds.to_string(), &self.body));
        self.with("webhook-id", id)
            .with("webhook-timestamp", &seconds.to_string())
            .with("webhook-signature", &signature)
    }

    /// As a GitLab sends it that has the older token alone.
    pub(crate) fn with_token(self, token: &str) -> Self {
        let bare =
            ["webhook-id", "webhook-timestamp", "webhook-signature"].iter().fold(self, |one, name| one.without(name));
        bare.with("x-gitlab-token", token)
    }

    fn signed(kind: &str, forge: &str, secret: &str, event: &str, id: &str, body: Vec<u8>) -> Self {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = vec![
            header("host", "bascule"),
            header("content-type", "application/json"),
            header(&format!("x-{kind}-delivery"), id),
            header(&format!("x-{kind}-event"), event),
            header(&format!("x-{kind}-signature"), &sign(secret, &body)),
        ];
        Self { line: format!("POST /webhooks/{forge} HTTP/1.1"), headers, body }
    }

    /// The header with another value, or added.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self = self.without(name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The header once more.
    pub(crate) fn also(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(there, _)| there != name);
        self
    }

    pub(crate) fn to(mut self, line: &str) -> Self {
        line.clone_into(&mut self.line);
        self
    }

    /// Request line and headers, and nothing said about a body.
    pub(crate) fn head(&self) -> String {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{}\r\n{headers}", self.line)
    }

    /// The head with the body's length, to its end.
    pub(crate) fn whole_head(&self) -> String {
        format!("{}content-length: {}\r\n\r\n", self.head(), self.body.len())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.whole_head().as_bytes(), &self.body].concat()
    }

    /// The same in chunks of this many bytes.
    pub(crate) fn chunked(&self, size: usize) -> Vec<u8> {
        let mut bytes = format!("{}transfer-encoding: chunked\r\n\r\n", self.head()).into_bytes();
        for chunk in self.body.chunks(size) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    }
}

/// The digits of Standard Webhooks: id, time and body under what a signing token is made of.
pub(crate) fn sign_standard(token: &str, id: &str, at: &str, body: &[u8]) -> String {
    let key = BASE64_STANDARD.decode(token.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(&[id.as_bytes(), at.as_bytes(), body].join(&b'.'));
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

pub(crate) fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// A recorded delivery's event, headers and body: `tests/fixtures/gitea`.
pub(crate) fn recorded(name: &str) -> (String, Vec<(String, String)>, Vec<u8>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gitea");
    let text = std::fs::read_to_string(folder.join(format!("{name}.headers"))).unwrap();
    let headers: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let event = headers.iter().find(|(name, _)| name == "x-gitea-event").unwrap().1.clone();
    (event, headers, std::fs::read(folder.join(format!("{name}.json"))).unwrap())
}

/// A recorded delivery with something in its body changed, signed anew.
pub(crate) fn altered(name: &str, id: &str, change: impl FnOnce(&mut Value)) -> Delivery {
    let (event, _, body) = recorded(name);
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    change(&mut body);
    Delivery::gitea(&event, id, serde_json::to_vec(&body).unwrap())
}

/// A push to pull request `number`, as `alice` makes one.
pub(crate) fn pushed_to(number: i64, id: &str) -> Delivery {
    altered("pull-head-moved", id, |body| body["number"] = number.into())
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

impl Answer {
    /// It says that the connection ends here.
    pub(crate) fn closes(&self) -> bool {
        self.headers.get("connection").is_some_and(|value| value == "close")
    }
}

/// A connection.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) async fn connect(at: SocketAddr) -> Self {
        Self::over(TcpStream::connect(at).await.unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        Self(BufReader::new(stream))
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.get_mut().write_all(bytes.as_ref()).await
    }

    /// Writes, and reads one answer; whoever refuses a large body may answer before it has all of it.
    pub(crate) async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Option<Answer> {
        let _ = self.write(bytes).await;
        self.answer().await
    }

    /// The next answer; `None` when the connection ends without one.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        let mut line = String::new();
        self.0.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut text = vec![0; length];
        self.0.read_exact(&mut text).await.ok()?;
        Some(Answer { status, headers, text: String::from_utf8(text).unwrap() })
    }

    /// Says that nothing more will be written.
    pub(crate) async fn finish(&mut self) {
        self.0.get_mut().shutdown().await.unwrap();
    }

    /// What is still said until the other side ends the connection; waits for that end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = self.0.read_to_end(&mut rest).await;
        rest
    }
}
