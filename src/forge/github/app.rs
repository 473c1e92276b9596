//! A GitHub App's way in: it signs that it is the App, and is given a token for an hour, for one repository and no more
//! rights than we use.
//!
//! Every token is asked for with what it is for, so that one that leaks opens one repository. They live in memory alone,
//! and are renewed while they are still good for a while: `git` gets them, too.
//!
//! The signature (RS256) is made by `aws-lc-rs`, which signs our checkpoints already: a token of three parts needs no
//! library of its own.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::json;

use super::{lists, permissions, wire};
use crate::clock::Clock;
use crate::forge::error::{Fate, ForgeError, Result};
use crate::forge::http::{As, Call, Http, authorization};

/// GitHub's clock may be behind ours by this much.
const BEHIND: SignedDuration = SignedDuration::from_secs(60);
/// GitHub takes ten minutes at most, by its own clock.
const SIGNED_FOR: SignedDuration = SignedDuration::from_mins(9);
/// A token is not given out for less than this: a job's calls and its fetch end within it.
const GOOD_FOR: SignedDuration = SignedDuration::from_mins(15);
/// How long the list of installations is believed. What it says is asked for tokens only, which say no by themselves.
const LIST_GOOD_FOR: SignedDuration = SignedDuration::from_mins(1);
/// Of a hundred installations each. Ours are as many as the organisations that it works for.
const MOST_INSTALLATIONS_PAGES: usize = 10;

/// A clock that is off by less is no reason for GitHub to refuse a signature: there is another.
const OFF: SignedDuration = SignedDuration::from_secs(30);
/// No clock is believed that is off by more: what is signed for it would be good at a time when nobody expects it.
const FAR_OFF: SignedDuration = SignedDuration::from_hours(1);

/// The App, and the tokens it has.
pub(super) struct App {
    pub(super) id: u64,
    key: RsaKeyPair,
    clock: Clock,
    /// Seconds that GitHub's clock is ahead of ours, as it said when it refused our signature.
    ahead: AtomicI64,
    /// One asks at a time, so that many jobs ask once.
    known: tokio::sync::Mutex<Known>,
}

#[derive(Default)]
struct Known {
    tokens: HashMap<Scope, Token>,
    installations: Option<(Timestamp, Vec<wire::InstallationJson>)>,
    /// Which installation a repository was found in.
    homes: HashMap<i64, i64>,
}

/// What a token is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Scope {
    Repository(i64),
    Owner(String),
    Public,
}

/// An installation's token.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) secret: SecretString,
    signed: HeaderValue,
    /// Where our App was given it, in lower case.
    at: String,
    until: Timestamp,
    /// It was not asked for just now.
    pub(super) is_kept: bool,
    /// The repository it is for.
    repository: Option<String>,
    /// What it may.
    pub(super) permissions: BTreeMap<String, String>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("App").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Token {
    /// To show it with a call.
    pub(super) fn shown(&self) -> As<'_> {
        As::Installed { signed: &self.signed, at: &self.at }
    }
}

impl App {
    /// `None`: it is no private key that GitHub gives.
    pub(super) fn new(id: u64, private_key: &SecretString, clock: Clock) -> Option<Self> {
        let key = key_of(private_key.expose_secret())?;
        Some(Self { id, key, clock, ahead: AtomicI64::new(0), known: tokio::sync::Mutex::default() })
    }

    /// One call as the App itself. A signature of a wrong time is refused like any other, and nothing was done then: it is
    /// made once more, of the time that the refusal has. A time that did not help is forgotten.
    pub(super) async fn send<B: Serialize>(
        &self,
        http: &Http,
        method: Method,
        call: &Call<'_>,
        body: Option<&B>,
    ) -> Result<(HeaderMap, Vec<u8>)> {
        let before = self.ahead.load(Ordering::Relaxed);
        let refused = match http.send(method.clone(), call, body, As::Once(&self.signed(http)?)).await {
            Err(error) if error.status == Some(401) => error,
            answer => return answer,
        };
        let said = refused.at.and_then(|at| correction(at, self.clock.now(), SignedDuration::from_secs(before)));
        let Some(ahead) = said else { return Err(refused) };
        self.ahead.store(ahead.as_secs(), Ordering::Relaxed);
        let answer = http.send(method, call, body, As::Once(&self.signed(http)?)).await;
        if answer.as_ref().is_err_and(|error| error.status == Some(401)) {
            self.ahead.store(before, Ordering::Relaxed);
        } else {
            let forge = &http.forge;
            tracing::warn!(%forge, seconds = ahead.as_secs(), "the forge's clock is ahead of ours by this; set ours right");
        }
        answer
    }

    /// What time it is there.
    fn now(&self) -> Timestamp {
        self.clock.now() + SignedDuration::from_secs(self.ahead.load(Ordering::Relaxed))
    }

    /// That it is the App who asks: for a few minutes.
    fn signed(&self, http: &Http) -> Result<HeaderValue> {
        let cannot = || http.error(Fate::Invalid, None, "cannot be shown who our App is: it does not sign".to_owned());
        self.signature().ok_or_else(cannot)
    }

    fn signature(&self) -> Option<HeaderValue> {
        let now = self.now();
        let (from, until) = ((now - BEHIND).as_second(), (now + SIGNED_FOR).as_second());
        let claims = json!({ "iat": from, "exp": until, "iss": self.id.to_string() });
        let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let text = format!("{}.{}", part(json!({ "alg": "RS256", "typ": "JWT" })), part(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).ok()?;
        authorization("Bearer", &SecretString::from(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }

    /// For a repository of this owner.
    pub(super) async fn for_repository(&self, http: &Http, id: i64, owner: &str) -> Result<Token> {
        let mut known = self.known.lock().await;
        if let Some(token) = self.kept(&known, &Scope::Repository(id)) {
            return Ok(token);
        }
        let installation = self.installation_of(http, &mut known, owner).await?;
        self.ask_for_repository(http, &mut known, &installation, id).await
    }

    /// For a repository of which only the number is known, and how it is called now.
    pub(super) async fn for_number(&self, http: &Http, id: i64) -> Result<(Token, String)> {
        let mut known = self.known.lock().await;
        let named = |token: Token| token.repository.clone().map(|name| (token, name));
        if let Some(found) = self.kept(&known, &Scope::Repository(id)).and_then(named) {
            return Ok(found);
        }
        let mut installations = self.installations(http, &mut known).await?.to_vec();
        // Where it was found before is asked first.
        let home = known.homes.get(&id).copied();
        installations.sort_by_key(|one| Some(one.id) != home);
        let mut suspended = None;
        for installation in installations {
            if installation.suspended_at.is_some() {
                suspended.get_or_insert(installation);
                continue;
            }
            match self.ask_for_repository(http, &mut known, &installation, id).await {
                Ok(token) => match named(token) {
                    Some(found) => return Ok(found),
                    None => return Err(http.error(Fate::Invalid, None, "gave a token without its repository".into())),
                },
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error),
            }
        }
        Err(match suspended {
            Some(installation) => is_suspended(http, &installation),
            None => http.error(Fate::Gone, None, format!("has no repository {id} where our App is installed")),
        })
    }

    /// For the teams of an organisation, and to look which repositories an account has.
    pub(super) async fn for_owner(&self, http: &Http, owner: &str) -> Result<Token> {
        let scope = Scope::Owner(owner.to_ascii_lowercase());
        let mut known = self.known.lock().await;
        if let Some(token) = self.kept(&known, &scope) {
            return Ok(token);
        }
        let installation = self.installation_of(http, &mut known, owner).await?;
        let permissions = permissions::given(permissions::OWNER, &installation.permissions);
        let asked = json!({ "permissions": permissions });
        self.ask(http, &mut known, &installation, scope, asked).await
    }

    /// What we were given where `owner` installed us.
    pub(super) async fn permissions_at(&self, http: &Http, owner: &str) -> Result<BTreeMap<String, String>> {
        let mut known = self.known.lock().await;
        Ok(self.installation_of(http, &mut known, owner).await?.permissions)
    }

    /// For what everybody may read.
    pub(super) async fn for_anything(&self, http: &Http) -> Result<Token> {
        let mut known = self.known.lock().await;
        if let Some(token) = self.kept(&known, &Scope::Public) {
            return Ok(token);
        }
        let all = self.installations(http, &mut known).await?;
        let Some(installation) = all.iter().find(|one| one.suspended_at.is_none()).or(all.first()).cloned() else {
            let what = "does not have our App installed anywhere: install it where the granted repositories are";
            return Err(http.error(Fate::Refused, None, what.to_owned()));
        };
        if installation.suspended_at.is_some() {
            return Err(is_suspended(http, &installation));
        }
        let asked = json!({ "permissions": permissions::given(permissions::PUBLIC, &installation.permissions) });
        self.ask(http, &mut known, &installation, Scope::Public, asked).await
    }

    /// The accounts it is installed at, and not suspended.
    pub(super) async fn owners(&self, http: &Http) -> Result<Vec<String>> {
        let mut known = self.known.lock().await;
        let all = self.installations(http, &mut known).await?;
        let working = all.iter().filter(|one| one.suspended_at.is_none());
        Ok(working.filter_map(|one| Some(one.login()?.to_owned())).collect())
    }

    /// Forgets a token that GitHub does not take any more.
    pub(super) async fn forget(&self, token: &Token) {
        let mut known = self.known.lock().await;
        known.tokens.retain(|_, one| one.signed != token.signed);
        known.installations = None;
    }

    fn kept(&self, known: &Known, scope: &Scope) -> Option<Token> {
        let token = known.tokens.get(scope)?;
        let is_good = token.until.duration_since(self.now()) > GOOD_FOR;
        is_good.then(|| Token { is_kept: true, ..token.clone() })
    }

    async fn installation_of(&self, http: &Http, known: &mut Known, owner: &str) -> Result<wire::InstallationJson> {
        let all = self.installations(http, known).await?;
        let of_owner = |one: &&wire::InstallationJson| one.login().is_some_and(|own| own.eq_ignore_ascii_case(owner));
        match all.iter().find(of_owner) {
            Some(installation) if installation.suspended_at.is_some() => Err(is_suspended(http, installation)),
            Some(installation) => Ok(installation.clone()),
            None => {
                let what = format!("does not have our App installed at `{owner}` (any more): install it there");
                Err(http.error(Fate::Refused, None, what))
            }
        }
    }

    async fn installations<'k>(&self, http: &Http, known: &'k mut Known) -> Result<&'k [wire::InstallationJson]> {
        let now = self.now();
        let is_old = known.installations.as_ref().is_none_or(|(at, _)| now.duration_since(*at) > LIST_GOOD_FOR);
        if is_old {
            known.installations = None;
            let mut all = Vec::new();
            for page in 1..=MOST_INSTALLATIONS_PAGES {
                let page = page.to_string();
                let query = [("per_page", lists::PAGE), ("page", page.as_str())];
                let call = Call { name: "installations", path: &["app", "installations"], query: &query };
                let (headers, body) = self.send::<()>(http, Method::GET, &call, None).await?;
                all.extend(http.json::<Vec<wire::InstallationJson>>(&call, &body)?);
                if lists::next(&headers).is_none() {
                    break;
                }
            }
            known.installations = Some((now, all));
        }
        Ok(known.installations.as_ref().map(|(_, all)| all.as_slice()).unwrap_or_default())
    }

    async fn ask_for_repository(
        &self,
        http: &Http,
        known: &mut Known,
        installation: &wire::InstallationJson,
        id: i64,
    ) -> Result<Token> {
        let permissions = permissions::given(permissions::REPOSITORY, &installation.permissions);
        let asked = json!({ "repository_ids": [id], "permissions": permissions });
        match self.ask(http, known, installation, Scope::Repository(id), asked).await {
            Ok(token) => {
                known.homes.insert(id, installation.id);
                Ok(token)
            }
            // It says so of a repository that it does not have, and of one that the App was not given.
            Err(error) if error.status == Some(422) => {
                let of = installation.login().unwrap_or_default();
                let what = format!("does not show repository {id} to our App, as it is installed at `{of}`");
                Err(ForgeError { source: Some(Box::new(error)), ..http.error(Fate::Gone, Some(422), what) })
            }
            Err(error) => Err(error),
        }
    }

    async fn ask(
        &self,
        http: &Http,
        known: &mut Known,
        installation: &wire::InstallationJson,
        scope: Scope,
        body: serde_json::Value,
    ) -> Result<Token> {
        let id = installation.id.to_string();
        let path = ["app", "installations", &id, "access_tokens"];
        let call = Call { name: "installation_token", path: &path, query: &[] };
        let answer = match self.send(http, Method::POST, &call, Some(&body)).await {
            Ok((_, answer)) => answer,
            Err(error) => {
                known.installations = None;
                return Err(match error.fate {
                    // The installation went between the list and now.
                    Fate::Gone => {
                        let of = installation.login().unwrap_or_default();
                        let what = format!("does not have our App installed at `{of}` any more: install it there");
                        ForgeError { source: Some(Box::new(error)), ..http.error(Fate::Refused, Some(404), what) }
                    }
                    Fate::Refused if error.status == Some(403) => is_suspended(http, installation),
                    Fate::Retry { .. } | Fate::Refused | Fate::Invalid => error,
                });
            }
        };
        let given: wire::InstallationToken = http.json(&call, &answer)?;
        let secret = SecretString::from(given.token);
        let signed = authorization("Bearer", &secret)
            .ok_or_else(|| http.error(Fate::Invalid, None, "gave a token that is none".to_owned()))?;
        let repository = given.repositories.into_iter().next().map(|repository| repository.full_name);
        let (until, permissions) = (given.expires_at, given.permissions);
        let at = installation.login().unwrap_or_default().to_ascii_lowercase();
        let token = Token { secret, signed, at, until, is_kept: false, repository, permissions };
        let now = self.now();
        known.tokens.retain(|_, one| one.until > now);
        known.tokens.insert(scope, token.clone());
        Ok(token)
    }
}

/// How far a clock that says this is ahead of ours; `None`: it says nothing new, or nothing to be believed.
fn correction(there: Timestamp, here: Timestamp, known: SignedDuration) -> Option<SignedDuration> {
    let ahead = there.duration_since(here);
    ((ahead - known).abs() > OFF && ahead.abs() <= FAR_OFF).then_some(ahead)
}

fn is_suspended(http: &Http, installation: &wire::InstallationJson) -> ForgeError {
    let of = installation.login().unwrap_or_default();
    let what = format!("has our App suspended at `{of}`: an owner unsuspends it there, in “Installed GitHub Apps”");
    http.error(Fate::Refused, None, what)
}

/// As GitHub gives it (PKCS#1), or turned into PKCS#8.
fn key_of(pem: &str) -> Option<RsaKeyPair> {
    let der = |label: &str| {
        let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
        let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
        let digits: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        STANDARD.decode(digits).ok()
    };
    match der("RSA PRIVATE KEY") {
        Some(der) => RsaKeyPair::from_der(&der).ok(),
        None => RsaKeyPair::from_pkcs8(&der("PRIVATE KEY")?).ok(),
    }
}
