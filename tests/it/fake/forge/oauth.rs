//! How people sign in elsewhere with their account here: authorization codes with a proof key, as every forge has them. A
//! browser says who is signed in by the cookie `account`, and everybody lets an application know who they are.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::server::Call;
use super::{FakeForge, World};

/// What the forge knows of applications and of who uses them.
#[derive(Default)]
pub(super) struct OAuth {
    applications: Vec<Application>,
    codes: Vec<Code>,
    /// Token, and whose.
    tokens: Vec<(String, String)>,
}

struct Application {
    id: String,
    secret: String,
    redirect: String,
}

struct Code {
    code: String,
    application: String,
    challenge: String,
    login: String,
}

impl FakeForge {
    /// Somebody registers an application; its secret is its id, reversed.
    pub(crate) fn application(&self, id: &str, redirect: &str) {
        let (id, secret, redirect) = (id.to_owned(), id.chars().rev().collect(), redirect.to_owned());
        self.world.state().oauth.applications.push(Application { id, secret, redirect });
    }

    /// Tokens that were given out for people so far.
    pub(crate) fn tokens_given(&self) -> usize {
        self.world.state().oauth.tokens.len()
    }
}

/// Answers what is about signing in; `None`: it is about something else.
pub(super) fn answer(world: &World, call: &Call, is_api: bool, body: &[u8]) -> Option<Response<Body>> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    match (call.method.as_str(), &path[..], is_api) {
        ("GET", ["login", "oauth", "authorize"] | ["oauth", "authorize"], false) => Some(authorize(world, call)),
        ("POST", ["login", "oauth", "access_token"] | ["oauth", "token"], false) => Some(exchange(world, body)),
        ("GET", ["user"] | ["v4", "user"], true) => {
            let token = call.header("authorization").strip_prefix("Bearer ")?.to_owned();
            let mut state = world.state();
            let login = state.oauth.tokens.iter().find(|(known, _)| *known == token)?.1.clone();
            let user = state.user(&login);
            Some(said(StatusCode::OK, &json!({ "id": user.id, "login": user.login, "username": user.login })))
        }
        _ => None,
    }
}

fn authorize(world: &World, call: &Call) -> Response<Body> {
    let asked = |name: &str| call.query.get(name).cloned().unwrap_or_default();
    let mut state = world.state();
    let is_known = state
        .oauth
        .applications
        .iter()
        .any(|one| one.id == asked("client_id") && one.redirect == asked("redirect_uri"));
    if !is_known || asked("response_type") != "code" || asked("code_challenge_method") != "S256" {
        return said(StatusCode::BAD_REQUEST, &json!({ "error": "invalid_request" }));
    }
    let account = call.header("cookie").split("; ").find_map(|pair| pair.strip_prefix("account="));
    let Some(login) = account else {
        return said(StatusCode::UNAUTHORIZED, &json!({ "error": "sign in here first" }));
    };
    let (login, code) = (login.to_owned(), format!("code-{}", state.id()));
    state.user(&login);
    let (application, challenge) = (asked("client_id"), asked("code_challenge"));
    state.oauth.codes.push(Code { code: code.clone(), application, challenge, login });
    let to = format!("{}?code={code}&state={}", asked("redirect_uri"), asked("state"));
    Response::builder().status(StatusCode::SEE_OTHER).header(header::LOCATION, to).body(Body::empty()).unwrap()
}

fn exchange(world: &World, body: &[u8]) -> Response<Body> {
    let form = format!("http://x/?{}", String::from_utf8_lossy(body));
    let form: BTreeMap<String, String> = reqwest::Url::parse(&form).unwrap().query_pairs().into_owned().collect();
    let given = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let mut state = world.state();
    let is_theirs = state.oauth.applications.iter().any(|one| {
        (one.id.as_str(), one.secret.as_str(), one.redirect.as_str())
            == (given("client_id"), given("client_secret"), given("redirect_uri"))
    });
    // A code is good once, whatever comes of it.
    let found = state.oauth.codes.iter().position(|one| one.code == given("code"));
    let code = found.map(|at| state.oauth.codes.remove(at));
    let is_proven = |one: &Code| URL_SAFE_NO_PAD.encode(Sha256::digest(given("code_verifier"))) == one.challenge;
    let code = code.filter(|one| is_theirs && one.application == given("client_id") && is_proven(one));
    let Some(code) = code.filter(|_| given("grant_type") == "authorization_code") else {
        // As GitHub says it; the others say 400.
        let status = if state.tongue == super::Tongue::GitHub { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        return said(status, &json!({ "error": "invalid_grant", "error_description": "no" }));
    };
    let token = format!("token-of-a-person-{}", state.id());
    state.oauth.tokens.push((token.clone(), code.login));
    said(StatusCode::OK, &json!({ "access_token": token, "token_type": "bearer", "scope": "" }))
}

fn said(status: StatusCode, body: &Value) -> Response<Body> {
    let kind = (header::CONTENT_TYPE, "application/json; charset=utf-8");
    Response::builder().status(status).header(kind.0, kind.1).body(Body::from(body.to_string())).unwrap()
}
