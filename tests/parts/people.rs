//! Who is who in a cluster: the webhook that the API server asks about tokens it does not know.
//!
//! Its file of tokens is read only when it starts; this list grows while it runs, so that a test can act as anyone.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use uuid::Uuid;

/// A person or machine as the cluster sees it.
#[derive(Clone, Debug)]
struct Person {
    name: String,
    groups: Vec<String>,
}

type Tokens = Arc<Mutex<BTreeMap<String, Person>>>;

/// The tokens given out, and the listener that answers for them until the process ends.
#[derive(Debug)]
pub(super) struct People {
    tokens: Tokens,
    port: u16,
}

impl People {
    /// Listens on a thread: the answers must come while the test's own runtime waits for the API server.
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("nobody can answer for tokens")?;
        let port = listener.local_addr()?.port();
        let tokens = Tokens::default();
        let known = tokens.clone();
        thread::Builder::new().name("people".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever hangs up has no answer to get.
                let _ = answer(stream, &known);
            }
        })?;
        Ok(Self { tokens, port })
    }

    /// A new token for this user.
    pub(super) fn token_for(&self, name: &str, groups: &[&str]) -> String {
        let token = Uuid::new_v4().simple().to_string();
        let person = Person { name: name.to_owned(), groups: groups.iter().map(|&group| group.to_owned()).collect() };
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(token.clone(), person);
        token
    }

    /// The file that tells the API server where to ask.
    pub(super) fn configuration(&self) -> String {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "people", "cluster": { "server": format!("http://127.0.0.1:{}/", self.port) } }],
            "contexts": [{ "name": "people", "context": { "cluster": "people", "user": "server" } }],
            "users": [{ "name": "server", "user": {} }],
            "current-context": "people",
        })
        .to_string()
    }
}

/// One request per connection.
fn answer(stream: TcpStream, tokens: &Tokens) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    while stream.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;

    let mut review: Value = serde_json::from_slice(&body)?;
    let token = review["spec"]["token"].as_str().unwrap_or_default();
    let person = tokens.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned();
    review["status"] = match person {
        None => json!({ "authenticated": false }),
        Some(Person { name, groups }) => {
            json!({ "authenticated": true, "user": { "username": name, "uid": name, "groups": groups } })
        }
    };
    let body = review.to_string();
    let head = format!("content-type: application/json\r\ncontent-length: {}\r\nconnection: close", body.len());
    stream.get_mut().write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").as_bytes())?;
    Ok(())
}
