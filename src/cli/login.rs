//! `bascule login` and `bascule logout`. The command listens on this machine's own address, a browser goes to the server and
//! through the forge, and comes back with a word that only the command that asked can use, once.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::client::{Client, ClientError, server};
use super::kept::Kept;
use super::loopback::{Answer, Loopback};
use super::table::{self, Output, Said};
use super::{pager, print};
use crate::config::Environ;

/// How long a person may take in the browser.
const PATIENCE: Duration = Duration::from_secs(600);

/// Sign in to a server through your forge.
#[derive(Debug, clap::Args)]
pub struct Login {
    /// Its address; without it, `BASCULE_SERVER`, or where you signed in last.
    pub server: Option<String>,
    /// Only print the address to open.
    #[arg(long)]
    pub no_browser: bool,
    /// How to show who you are.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Sign out, here and there.
#[derive(Debug, clap::Args)]
pub struct Logout {
    /// The server's address; without it, `BASCULE_SERVER`, or where you signed in last.
    pub server: Option<String>,
    /// How to show who you were.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

impl Login {
    /// Waits until somebody has signed in, and keeps what they got.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn run(&self, environ: &Environ) -> Result<Said, ClientError> {
        let mut kept = Kept::read(environ)?;
        let server = server(environ, &kept, self.server.as_deref())?;
        let listener = Loopback::open(0).await?;
        let port = listener.port();
        let (question, verifier) = (word()?, word()?);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
        let address = format!("{server}/login?port={port}&state={question}&challenge={challenge}");
        // Standard output is for what came of it.
        print::complain(&format!("Sign in in a browser on this machine:\n  {address}\n"));
        if !self.no_browser && pager::is_watched() {
            open(&address);
        }
        let code = tokio::time::timeout(PATIENCE, listen(&listener, &question)).await.map_err(|_| {
            ClientError::Absent("nobody signed in within ten minutes: run `bascule login` again".to_owned())
        })??;
        let client = Client::of(server.clone(), None)?;
        let begun = client.post_with("session", &json!({ "code": code, "verifier": verifier })).await?;
        let token = begun["token"].as_str().ok_or_else(|| client.not_ours())?;
        kept.keep(&server, Some(token))?;
        let shown = json!({ "server": server, "person": begun["person"], "expires_at": begun["expires_at"] });
        Ok(table::show_one(self.output, &shown))
    }
}

impl Logout {
    /// Ends the session at the server, and forgets its token.
    ///
    /// # Errors
    /// See [`ClientError`]. The token is forgotten when the server does not know it any more, too.
    pub async fn run(&self, environ: &Environ) -> Result<Said, ClientError> {
        let mut kept = Kept::read(environ)?;
        let server = server(environ, &kept, self.server.as_deref())?;
        let Some(token) = kept.token(&server) else {
            return Err(ClientError::Absent(format!("nobody is signed in to {}", table::plain(&server))));
        };
        let client = Client::of(server.clone(), Some(token))?;
        let person = match client.delete("session").await {
            Ok(mut ended) => ended["who"].take(),
            Err(ClientError::Refused { status, .. }) if status == 401 => serde_json::Value::Null,
            Err(error) => return Err(error),
        };
        kept.keep(&server, None)?;
        Ok(table::show_one(self.output, &json!({ "server": server, "signed_out": person })))
    }
}

/// A word that nobody guesses.
pub(crate) fn word() -> Result<String, ClientError> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("the system gave no randomness"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Shows an address in whatever browser there is; without one, the line above is enough.
pub fn open(address: &str) {
    for program in ["xdg-open", "open"] {
        let mut command = Command::new(program);
        command.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if command.spawn().is_ok() {
            return;
        }
    }
}

/// Answers browsers until one brings the word that belongs to our question. Another page of the browser can reach this
/// address, too, and knows no question.
async fn listen(listener: &Loopback, question: &str) -> Result<String, ClientError> {
    loop {
        let asked = listener.asked().await?;
        let code = asked.word("/", "code").filter(|_| asked.word("/", "state") == Some(question)).map(str::to_owned);
        let (status, text) = match &code {
            Some(_) => ("200 OK", "You are signed in at the command line. This page can be closed.\n"),
            None => ("404 Not Found", "This is not what the command line waits for.\n"),
        };
        asked.answer(&Answer { status, kind: "text/plain", policy: "default-src 'none'", text }).await;
        if let Some(code) = code {
            return Ok(code);
        }
    }
}
