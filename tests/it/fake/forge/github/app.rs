//! An App of the forge: what signs its requests, where it is installed, and the tokens it is given.

use std::collections::BTreeMap;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::FakeForge;
use super::super::server::Call;
use super::super::state::{Repository, State};
use super::page::LONG_AGO;
use super::wire::{NOT_FOUND, Page, forbidden, found, made};

/// The account of what an app does.
const BOT: &str = "bascule[bot]";
/// How far a request's times may be off.
const SKEW: i64 = 60;
/// The longest a request may be good for.
const LONGEST: i64 = 600;
/// How long a token is good for.
const TERM: SignedDuration = SignedDuration::from_hours(1);

/// What was ticked on its page.
const EVENTS: [&str; 8] =
    ["check_run", "delete", "issue_comment", "pull_request", "pull_request_review", "push", "repository", "status"];

/// An app, installed in one organisation.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) id: i64,
    pub(crate) client_id: String,
    pub(crate) installation: i64,
    /// In PEM, as the settings page gives it.
    pub(crate) private_key: String,
    public_key: Vec<u8>,
    organisation: String,
    permissions: BTreeMap<String, String>,
    /// The only repositories it was given; all of the organisation's when there are none here.
    selected: Vec<i64>,
    is_suspended: bool,
    tokens: Vec<Token>,
}

#[derive(Clone, Debug)]
struct Token {
    text: String,
    until: Timestamp,
    permissions: BTreeMap<String, String>,
    repositories: Option<Vec<i64>>,
}

impl App {
    /// Whether it is installed there.
    pub(super) fn is_of(&self, organisation: &str) -> bool {
        self.organisation == organisation
    }
}

/// Who calls.
pub(super) enum Caller {
    /// Our account, by its own token.
    Account,
    /// The app itself, by a request it signed.
    App(i64),
    /// The app where it is installed.
    Installation { permissions: BTreeMap<String, String>, repositories: Vec<i64> },
}

impl Caller {
    pub(super) fn login(&self) -> &'static str {
        match self {
            Self::Account => "bascule",
            Self::App(_) | Self::Installation { .. } => BOT,
        }
    }

    /// What it may not see is not there.
    pub(super) fn sees(&self, repository: i64) -> bool {
        match self {
            // Of it an app is told where it is installed, and nothing else.
            Self::Account | Self::App(_) => true,
            Self::Installation { repositories, .. } => repositories.contains(&repository),
        }
    }
}

impl FakeForge {
    /// Registers an app and installs it in an organisation, with these permissions (`("contents", "read")`).
    pub(crate) fn has_app(&self, organisation: &str, permissions: &[(&str, &str)]) -> App {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
        let encoded = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = encoded.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let mut state = self.world.state();
        state.user(BOT).is_bot = true;
        state.user(organisation).is_organisation = true;
        let app = App {
            id: state.id(),
            client_id: "Iv23liFAKE".to_owned(),
            installation: state.id(),
            private_key: format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")),
            public_key: key.public_key().as_ref().to_vec(),
            organisation: organisation.to_owned(),
            permissions: permissions.iter().map(|(name, level)| ((*name).to_owned(), (*level).to_owned())).collect(),
            selected: Vec::new(),
            is_suspended: false,
            tokens: Vec::new(),
        };
        state.apps.push(app.clone());
        app
    }

    /// An owner of the organisation suspends its installation, or ends that.
    pub(crate) fn suspends_app(&self, app: &App, is_suspended: bool) {
        let mut state = self.world.state();
        state.apps.iter_mut().filter(|one| one.id == app.id).for_each(|one| one.is_suspended = is_suspended);
    }

    /// An owner gives every app another permission, or another level of one.
    pub(crate) fn gives_apps(&self, permission: &str, level: &str) {
        for app in &mut self.world.state().apps {
            app.permissions.insert(permission.to_owned(), level.to_owned());
        }
    }

    /// An owner takes all repositories but these from the app.
    pub(crate) fn gives_app_only(&self, app: &App, repositories: &[i64]) {
        let mut state = self.world.state();
        state.apps.iter_mut().filter(|one| one.id == app.id).for_each(|one| one.selected = repositories.to_vec());
    }

    /// An owner removes the app: its tokens are nobody's.
    pub(crate) fn removes_app(&self, app: &App) {
        self.world.state().apps.retain(|one| one.id != app.id);
    }

    /// So long nothing happens on the forge; tokens run out by its clock.
    pub(crate) fn waits(&self, time: SignedDuration) {
        self.world.state().waits(time);
    }
}

impl State {
    /// Whether a password of `git fetch` is a token of ours.
    pub(in super::super) fn knows(&self, token: &str) -> bool {
        token == super::super::TOKEN || matches!(caller(self, token), Some(Caller::Installation { .. }))
    }

    fn repositories_of(&self, app: &App) -> Vec<i64> {
        let mine = |one: &&Repository| one.name.split('/').next() == Some(&app.organisation) && !one.is_deleted;
        let all = self.repositories.iter().filter(mine).map(|one| one.id);
        all.filter(|id| app.selected.is_empty() || app.selected.contains(id)).collect()
    }
}

/// Whose this is: a token of an installation, or a request signed with an app's key.
pub(super) fn caller(state: &State, given: &str) -> Option<Caller> {
    for app in &state.apps {
        if let Some(token) = app.tokens.iter().find(|token| token.text == given && token.until > state.now()) {
            if app.is_suspended {
                return None;
            }
            let all = state.repositories_of(app);
            let repositories = match &token.repositories {
                Some(some) => all.into_iter().filter(|id| some.contains(id)).collect(),
                None => all,
            };
            return Some(Caller::Installation { permissions: token.permissions.clone(), repositories });
        }
        if is_signed_by(app, given, state.now()) {
            return Some(Caller::App(app.id));
        }
    }
    None
}

/// A JWT of RS256, issued by the app within the last minutes and for ten minutes at most.
fn is_signed_by(app: &App, token: &str, now: Timestamp) -> bool {
    let Some((signed, signature)) = token.rsplit_once('.') else { return false };
    let Some((header, claims)) = signed.split_once('.') else { return false };
    let json = |part: &str| -> Option<Value> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
    let (Some(header), Some(claims)) = (json(header), json(claims)) else { return false };
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &app.public_key);
    let issuer = &claims["iss"];
    let is_issuer = *issuer == json!(app.id) || *issuer == json!(app.id.to_string()) || *issuer == json!(app.client_id);
    let (Some(from), Some(until)) = (claims["iat"].as_i64(), claims["exp"].as_i64()) else { return false };
    let now = now.as_second();
    header["alg"] == "RS256"
        && is_issuer
        && from <= now + SKEW
        && until > now
        && until - now <= LONGEST + SKEW
        && key.verify(signed.as_bytes(), &signature).is_ok()
}

pub(super) fn call(state: &mut State, caller: &Caller, call: &Call, path: &[&str]) -> Page {
    if let (["installation", "repositories"], Caller::Installation { repositories, .. }) = (path, caller) {
        let pages: Vec<Value> = repositories.iter().map(|id| state.gh_repository(state.repository(*id))).collect();
        let beside = json!({ "total_count": pages.len(), "repository_selection": "selected" });
        return Page::Within("repositories", pages, beside);
    }
    let Caller::App(id) = *caller else {
        let why = "A JSON web token could not be decoded";
        return Page::Refused(StatusCode::UNAUTHORIZED, why.to_owned());
    };
    let app = state.apps.iter().find(|app| app.id == id).expect("an app of this forge").clone();
    match (call.method.as_str(), path) {
        ("GET", ["app"]) => found(json!({
            "id": app.id,
            "slug": "bascule",
            "client_id": app.client_id,
            "node_id": format!("A_{}", app.id),
            "owner": state.gh_user(&app.organisation),
            "name": "bascule",
            "description": "",
            "external_url": "http://bascule.example",
            "html_url": format!("{}/github-apps/bascule", state.url),
            "created_at": LONG_AGO,
            "updated_at": LONG_AGO,
            "permissions": app.permissions,
            "events": EVENTS,
            "installations_count": 1,
        })),
        ("GET" | "PATCH", ["app", "hook", "config"]) => {
            if let Some(url) = call.body["url"].as_str() {
                state.hook = Some(url.to_owned());
            }
            let url = state.hook.clone().unwrap_or_default();
            found(json!({ "content_type": "json", "insecure_ssl": "0", "secret": "********", "url": url }))
        }
        (_, ["app", "hook", "deliveries", rest @ ..]) => super::deliveries::call(state, call, None, rest),
        ("GET", ["app", "installations"]) => Page::List(vec![installation(state, &app)]),
        ("GET", ["app", "installations", at]) if *at == app.installation.to_string() => {
            found(installation(state, &app))
        }
        ("POST", ["app", "installations", at, "access_tokens"]) if *at == app.installation.to_string() => {
            token(state, &app, call)
        }
        _ => NOT_FOUND,
    }
}

/// Where the app of the caller is installed, by repository.
pub(super) fn of_repository(state: &State, caller: &Caller, at: &Repository) -> Page {
    let Caller::App(id) = caller else { return NOT_FOUND };
    match state.apps.iter().find(|app| app.id == *id && state.repositories_of(app).contains(&at.id)) {
        Some(app) => found(installation(state, app)),
        None => NOT_FOUND,
    }
}

fn installation(state: &State, app: &App) -> Value {
    let at = format!("{}/api/v3/app/installations/{}", state.url, app.installation);
    let by = app.is_suspended.then(|| state.gh_user("root"));
    json!({
        "id": app.installation,
        "account": state.gh_user(&app.organisation),
        "repository_selection": if app.selected.is_empty() { "all" } else { "selected" },
        "access_tokens_url": format!("{at}/access_tokens"),
        "repositories_url": format!("{}/api/v3/installation/repositories", state.url),
        "html_url": format!("{}/organizations/{}/settings/installations/{}", state.url, app.organisation, app.installation),
        "app_id": app.id,
        "client_id": app.client_id,
        "app_slug": "bascule",
        "target_id": state.gh_user(&app.organisation)["id"],
        "target_type": "Organization",
        "permissions": app.permissions,
        "events": ["push"],
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
        "single_file_name": null,
        "has_multiple_single_files": false,
        "single_file_paths": [],
        "suspended_by": by,
        "suspended_at": app.is_suspended.then_some(LONG_AGO),
    })
}

/// A new token: for what the app has, or for less.
fn token(state: &mut State, app: &App, call: &Call) -> Page {
    if app.is_suspended {
        return forbidden("This installation has been suspended");
    }
    let permissions: BTreeMap<String, String> = match &call.body["permissions"] {
        Value::Null => app.permissions.clone(),
        some => serde_json::from_value(some.clone()).unwrap_or_default(),
    };
    let rank = |level: &str| ["read", "write", "admin"].iter().position(|one| *one == level);
    let has = |(name, level): (&String, &String)| {
        app.permissions.get(name).is_some_and(|granted| rank(granted) >= rank(level) && rank(level).is_some())
    };
    if !permissions.iter().all(has) {
        let why = "The permissions requested are not granted to this installation.";
        return Page::Refused(StatusCode::UNPROCESSABLE_ENTITY, why.to_owned());
    }
    let all = state.repositories_of(app);
    let names: Option<Vec<String>> = serde_json::from_value(call.body["repositories"].clone()).ok();
    let by_name = names.map(|names| {
        let id = |name: &String| {
            all.iter().copied().find(|id| state.repository(*id).name.split_once('/').unwrap().1 == name).unwrap_or(0)
        };
        names.iter().map(id).collect::<Vec<i64>>()
    });
    let by_id: Option<Vec<i64>> = serde_json::from_value(call.body["repository_ids"].clone()).ok();
    let repositories = by_id.or(by_name);
    if repositories.as_ref().is_some_and(|some| !some.iter().all(|id| all.contains(id))) {
        let why =
            "There is at least one repository that does not exist or is not accessible to the parent installation.";
        return Page::Refused(StatusCode::UNPROCESSABLE_ENTITY, why.to_owned());
    }
    let until = state.now().checked_add(TERM).unwrap();
    let text = format!("ghs_{:036}", state.id());
    let given =
        Token { text: text.clone(), until, permissions: permissions.clone(), repositories: repositories.clone() };
    state.apps.iter_mut().filter(|one| one.id == app.id).for_each(|one| one.tokens.push(given.clone()));
    let mut page =
        json!({ "token": text, "expires_at": until, "permissions": permissions, "repository_selection": "all" });
    if let Some(some) = repositories {
        page["repository_selection"] = "selected".into();
        page["repositories"] = some.iter().map(|id| state.gh_repository(state.repository(*id))).collect();
    }
    made(page)
}
