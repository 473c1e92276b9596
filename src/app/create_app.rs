//! `bascule connect FORGE --create-app`: a GitHub App in three clicks, from the manifest that says what we use.
//!
//! ```text
//! terminal ── word ─▶ 127.0.0.1/setup/github ── manifest, state ─▶ GitHub ── code, state ─▶ 127.0.0.1 ── code ─▶ files, section
//! ```
//!
//! It listens on this machine alone, for one browser, once: whoever sees the terminal knows the word, and only what that page
//! sent to GitHub comes back with its state. So nothing of it is on the server's public address, where nobody is anybody yet.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::check::{bad, could_not, good};
use crate::cli::loopback::{Answer, Loopback};
use crate::clock::Clock;
use crate::config::{ForgeKind, Loaded};
use crate::forge::{ANSWER_WITHIN, Manifest, NewApp, Settings, SignIn, Wanted};
use crate::ids::ForgeName;
use crate::local::report::Report;

/// How long a person may take; GitHub's code is good for an hour.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
const PAGE: &str = "/setup/github";
const BACK: &str = "/setup/github/created";
const GITHUB: &str = "https://github.com";

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Creation {
    /// The forge's name in the server's file, whether it is there yet or not.
    pub forge: String,
    /// Of GitHub Enterprise Server; else what the file says, else github.com.
    pub url: Option<String>,
    /// Whose App it is; without it the person's own.
    pub organization: Option<String>,
    /// Where its secrets go.
    pub directory: PathBuf,
    /// Which port to listen on; 0: any.
    pub port: u16,
}

/// Makes an App with a person at a browser, unless it is `stopped` first. `tell` is given the address to open.
pub async fn create(
    loaded: &Loaded,
    asked: &Creation,
    tell: impl FnOnce(&str),
    stopped: impl Future<Output = ()>,
) -> Report {
    let server = &loaded.server;
    let name: ForgeName = match asked.forge.parse() {
        Ok(name) => name,
        Err(error) => return bad(error),
    };
    let configured = server.forges.get(&name);
    if configured.is_some_and(|forge| forge.kind != ForgeKind::GitHub) {
        return bad(format!("[forge.{name}] is no GitHub, and Apps are GitHub's"));
    }
    let url = asked.url.clone().or_else(|| configured.map(|forge| forge.url.clone())).unwrap_or_else(|| GITHUB.into());
    let public = &server.http.public_url;
    if super::connect::is_loopback(public) && !super::connect::is_loopback(&url) {
        return bad(
            "deliveries would go to this machine's own address: set server.public_url to where the forge reaches it",
        );
    }
    let ca_pem = match configured.and_then(|forge| forge.ca_file.as_ref()).map(std::fs::read).transpose() {
        Ok(pem) => pem,
        Err(error) => return bad(format!("forge.{name}.ca_file: {error}")),
    };
    let sign_in = SignIn::Token(SecretString::default());
    let settings = Settings { name: name.clone(), url: url.clone(), sign_in, ca_pem, answer_within: ANSWER_WITHIN };
    let manifest = match Manifest::new(&settings, Clock::system()) {
        Ok(manifest) => manifest,
        Err(error) => return bad(error),
    };
    // Before anything is made: GitHub shows the secrets once.
    let kept = match Kept::begin(&asked.directory, &name) {
        Ok(kept) => kept,
        Err(error) => return bad(format!("{}: {error}", asked.directory.display())),
    };
    let making = tokio::time::timeout(PATIENCE, with_browser(&manifest, &name, public, asked, tell));
    let made = tokio::select! {
        made = making => made,
        () = stopped => {
            kept.forget();
            return could_not("stopped; an App that GitHub shows nevertheless is deleted there, on its page".to_owned());
        }
    };
    let made = match made {
        Ok(Ok(made)) => made,
        Ok(Err(why)) => {
            kept.forget();
            return could_not(why);
        }
        Err(_) => {
            kept.forget();
            return could_not("nobody made the App within a quarter of an hour: run it again".to_owned());
        }
    };
    match kept.keep(&made) {
        Ok(section) => good(said(&name, &url, &made, &section)),
        Err(error) => could_not(format!(
            "the App is made ({}), and its secrets could not be written: {error}. Generate new ones on its page",
            made.install
        )),
    }
}

/// Serves the page, and waits until somebody comes back from GitHub with what it sent there.
async fn with_browser(
    manifest: &Manifest,
    name: &ForgeName,
    public: &str,
    asked: &Creation,
    tell: impl FnOnce(&str),
) -> Result<NewApp, String> {
    let listener =
        Loopback::open(asked.port).await.map_err(|error| format!("cannot listen on this machine: {error}"))?;
    let (word, state) = (word()?, word()?);
    let here = listener.address();
    let host = public.split_once("://").map_or(public, |(_, rest)| rest).split(['/', ':']).next().unwrap_or_default();
    let text = Manifest::text(&Wanted {
        name: &format!("Bascule {host}"),
        home: public,
        webhook: &format!("{public}/webhooks/{name}"),
        sign_in: &format!("{public}/sign-in/{name}/callback"),
        redirect: &format!("{here}{BACK}"),
    });
    let address = manifest.address(asked.organization.as_deref(), &state);
    let page = page(&address, &text.to_string());
    tell(&format!("{here}{PAGE}?word={word}"));
    loop {
        let browser = listener.asked().await.map_err(|error| error.to_string())?;
        if browser.word(PAGE, "word") == Some(word.as_str()) {
            let policy = format!("default-src 'none'; form-action {}", origin(&address));
            browser.answer(&Answer { status: "200 OK", kind: "text/html", policy: &policy, text: &page }).await;
            continue;
        }
        let code = browser
            .word(BACK, "code")
            .filter(|_| browser.word(BACK, "state") == Some(state.as_str()))
            .map(str::to_owned);
        let Some(code) = code else {
            let text = "This is not what the command line waits for.\n";
            let none = Answer { status: "404 Not Found", kind: "text/plain", policy: "default-src 'none'", text };
            browser.answer(&none).await;
            continue;
        };
        // A code is good once, and so is this.
        let made = manifest.exchange(&code).await;
        let text = match &made {
            Ok(_) => "The App is made. The command line says where it is installed; this page can be closed.\n",
            Err(_) => "GitHub did not give the App. The command line says more; this page can be closed.\n",
        };
        let answer = Answer { status: "200 OK", kind: "text/plain", policy: "default-src 'none'", text };
        browser.answer(&answer).await;
        return made.map_err(|error| format!("{error}; run it again"));
    }
}

/// One button, which posts the manifest to GitHub. It runs no script.
fn page(address: &str, manifest: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Bascule: a GitHub App</title>\n\
         <h1>A GitHub App for Bascule</h1>\n\
         <p>GitHub shows what it may do, and makes it when you say so there. Its secrets go to the command line that you \
         started.</p>\n\
         <form method=\"post\" action=\"{}\"><input type=\"hidden\" name=\"manifest\" value=\"{}\">\n\
         <button>Go to GitHub</button></form></html>\n",
        escaped(address),
        escaped(manifest)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Scheme, host and port.
fn origin(address: &str) -> String {
    address.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
}

fn word() -> Result<String, String> {
    crate::cli::login::word().map_err(|error| error.to_string())
}

/// The files of an App's secrets, each for its owner alone and new.
struct Kept {
    key: (PathBuf, File),
    webhook: (PathBuf, File),
    client: (PathBuf, File),
}

impl Kept {
    fn begin(directory: &Path, name: &ForgeName) -> std::io::Result<Self> {
        if !directory.is_dir() {
            std::fs::DirBuilder::new().mode(0o700).create(directory)?;
        }
        let directory = directory.canonicalize()?;
        let mut begun: Vec<PathBuf> = Vec::new();
        let mut file = |ending: &str| {
            let path = directory.join(format!("{name}.{ending}"));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => {
                    begun.push(path.clone());
                    Ok((path, file))
                }
                Err(error) => {
                    // What is there is somebody's, and what we began is nothing.
                    begun.iter().for_each(|path| drop(std::fs::remove_file(path)));
                    Err(std::io::Error::new(error.kind(), format!("{}: {error}", path.display())))
                }
            }
        };
        Ok(Self { key: file("private-key.pem")?, webhook: file("webhook-secret")?, client: file("client-secret")? })
    }

    /// Nothing was made.
    fn forget(self) {
        for (path, _) in [self.key, self.webhook, self.client] {
            drop(std::fs::remove_file(path));
        }
    }

    /// Writes the secrets; gives where each is.
    fn keep(mut self, made: &NewApp) -> std::io::Result<[PathBuf; 3]> {
        let secrets = [&made.private_key, &made.webhook_secret, &made.client_secret];
        for ((_, file), secret) in [&mut self.key, &mut self.webhook, &mut self.client].into_iter().zip(secrets) {
            file.write_all(secret.expose_secret().as_bytes())?;
            file.sync_all()?;
        }
        Ok([self.key.0, self.webhook.0, self.client.0])
    }
}

/// The section to paste, which names the secrets and has none.
fn said(name: &ForgeName, url: &str, made: &NewApp, [key, webhook, client]: &[PathBuf; 3]) -> String {
    let url = if url == GITHUB { String::new() } else { format!("url = {url:?}\n") };
    format!(
        "The App is made. Install it in the repositories that a grant names:\n  {}\n\n\
         For the server's file; its secrets are in files that only you can read:\n\n\
         [forge.{name}]\nkind = \"github\"\n{url}webhook_secrets = [{{ file = {webhook:?} }}]\n\
         app = {{ id = {}, private_key = {{ file = {key:?} }} }}\n\
         sign_in = {{ client_id = {:?}, client_secret = {{ file = {client:?} }} }}\n\n\
         Then `bascule connect {name}` says whether all is in order.",
        made.install, made.id, made.client_id
    )
}
