//! `/login` and `/api/v1/session`: a command line that acts as a person. It listens on this machine's own address, a page
//! of ours asks the person, and what comes back to it is a word that only it can use, once.

use axum::Json;
use axum::body::Bytes;
use axum::extract::Form;
use axum::extract::rejection::FormRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;

use super::asked::Asked;
use super::html::Html;
use super::problem::{Problem, ProblemBody};
use super::who::{Allowed, Any};
use super::{Of, State, origin, session, sign_in, who};
use crate::db::sessions::{self, Session, Way};

/// How long a word is good: the command line waits for it.
const LENT_FOR: SignedDuration = SignedDuration::from_mins(1);

/// What a command line asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Where it listens, on 127.0.0.1.
    port: u16,
    /// What it knows its own question by.
    state: String,
    /// The digest of its key.
    challenge: String,
}

impl Wanted {
    fn checked(self) -> Result<Self, Problem> {
        let is_word = |text: &str, most: usize| {
            (16..=most).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if self.port < 1024 || !is_word(&self.state, 100) || !is_word(&self.challenge, 43) || self.challenge.len() != 43
        {
            return Err(Problem::bad("this address was not made by `bascule login`: run it again"));
        }
        Ok(self)
    }
}

async fn known(state: &State, headers: &HeaderMap) -> Result<Option<(String, Session)>, Problem> {
    let Some(said) = session::cookie(headers, &session::name(state)) else { return Ok(None) };
    Ok(session::find(state, said, Way::Browser).await?.map(|known| (said.to_owned(), known)))
}

/// Asks the person whether a command line may act as them.
pub(super) async fn ask(
    Of(state): Of<State>,
    headers: HeaderMap,
    Asked(wanted): Asked<Wanted>,
) -> Result<Response, Problem> {
    let Wanted { port, state: question, challenge } = wanted.checked()?;
    let Some((said, known)) = known(&state, &headers).await? else {
        let here = format!("/login?port={port}&state={question}&challenge={challenge}");
        return Ok(sign_in::towards(&state, &here));
    };
    let mut html = Html::begin("Bascule");
    html.within(
        "<h1>Sign in a command line</h1><p>A program on <strong>this machine</strong> (port ",
        &port.to_string(),
        ") ",
    );
    html.within("asks to act as <strong>", &who::named(&known.person), "</strong>: ");
    html.ours("to read what you may read, and to do what you may do.</p>");
    html.ours("<p>Go on only if you have just typed <code>bascule login</code> here.</p>");
    html.within("<form method=\"post\" action=\"", &format!("{}/login", state.public_url), "\">");
    for (name, value) in [
        ("<input type=\"hidden\" name=\"csrf\" value=\"", origin::csrf(&said)),
        ("<input type=\"hidden\" name=\"port\" value=\"", port.to_string()),
        ("<input type=\"hidden\" name=\"state\" value=\"", question),
        ("<input type=\"hidden\" name=\"challenge\" value=\"", challenge),
    ] {
        html.within(name, &value, "\">");
    }
    html.ours("<button>Let it</button></form>");
    // Browsers hold a form to where its answer leads, too.
    Ok(sign_in::page(StatusCode::OK, html, &format!("'self' http://127.0.0.1:{port}")))
}

/// The page's form.
#[derive(Deserialize)]
pub(super) struct Let {
    csrf: String,
    port: u16,
    state: String,
    challenge: String,
}

/// The person lets it.
pub(super) async fn allow(
    Of(state): Of<State>,
    headers: HeaderMap,
    form: Result<Form<Let>, FormRejection>,
) -> Result<Response, Problem> {
    let Form(Let { csrf, port, state: question, challenge }) =
        form.map_err(|_| Problem::bad("this is not the form of the page"))?;
    let Wanted { port, state: question, challenge } = Wanted { port, state: question, challenge }.checked()?;
    let (said, known) =
        known(&state, &headers).await?.ok_or_else(|| Problem::unauthorized("you are signed out: run it again"))?;
    origin::prove(&headers, &state.public_url, &said, &csrf)?;
    let word = session::word()?;
    let now = state.clock.now();
    let ends = now.checked_add(LENT_FOR).unwrap_or(now);
    let mut tx = state.pool.begin().await?;
    sessions::lend(&mut tx, &session::hash(&word), &challenge, &known.person, (now, ends)).await?;
    tx.commit().await?;
    Ok(sign_in::go(&format!("http://127.0.0.1:{port}/?code={word}&state={question}")))
}

/// The word, and the key that shows for whom it is.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Lent {
    /// As it came back from the browser.
    code: String,
    /// What its challenge is the digest of.
    verifier: String,
}

/// A person's token.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Begun {
    /// Shown once.
    token: String,
    /// `forge/login (number)`.
    person: String,
    /// When it ends, used or not.
    expires_at: String,
}

/// Exchanges a word for a person's token. The word is gone with this, whatever comes of it.
#[utoipa::path(post, path = "/api/v1/session", tag = "session", request_body = Lent,
    responses((status = 200, body = Begun), (status = "4XX", body = ProblemBody)))]
pub(super) async fn begin(Of(state): Of<State>, body: Bytes) -> Result<Json<Begun>, Problem> {
    let no = || Problem::unauthorized("this sign-in is unknown, used up or over: run `bascule login` again");
    let Lent { code, verifier } = serde_json::from_slice(&body).map_err(|_| no())?;
    let mut tx = state.pool.begin().await?;
    let taken = sessions::take(&mut tx, &session::hash(&code)).await?;
    let (challenge, person, ends) = match taken {
        Some((challenge, person, ends)) => (challenge, person, ends),
        None => return Err(no()),
    };
    let is_theirs = bool::from(sign_in::challenge(&verifier).as_bytes().ct_eq(challenge.as_bytes()));
    if !is_theirs || state.clock.now() >= ends {
        tx.commit().await?;
        return Err(no());
    }
    let cause = "bascule login".to_owned();
    let (token, expires_at) = session::begin(&mut tx, &state.clock, &person, Way::Command, cause).await?;
    tx.commit().await?;
    Ok(Json(Begun { token, person: who::named(&person), expires_at: expires_at.to_string() }))
}

/// Who a request is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Who {
    /// `forge/login (number)`, or `token NAME`.
    who: String,
    /// When a person's session ends, used or not.
    expires_at: Option<String>,
}

/// Who this request is.
#[utoipa::path(get, path = "/api/v1/session", tag = "session",
    responses((status = 200, body = Who), (status = "4XX", body = ProblemBody)))]
pub(super) async fn show(who: Allowed<Any>) -> Json<Who> {
    let expires_at = who.session().map(|session| session.expires_at.to_string());
    Json(Who { who: who.actor(), expires_at })
}

/// Ends the person's session that asks. A machine token is ended on the server's host.
#[utoipa::path(delete, path = "/api/v1/session", tag = "session",
    responses((status = 200, body = Who), (status = "4XX", body = ProblemBody)))]
pub(super) async fn end(who: Allowed<Any>, Of(state): Of<State>) -> Result<Json<Who>, Problem> {
    let Some(session) = who.session() else {
        return Err(Problem::conflict("a machine token is ended by `bascule token revoke` on the server's host"));
    };
    let mut tx = state.pool.begin().await?;
    session::end(&mut tx, &state.clock, session.id, "bascule logout").await?;
    tx.commit().await?;
    Ok(Json(Who { who: who.actor(), expires_at: None }))
}
