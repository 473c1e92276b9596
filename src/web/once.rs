//! `Idempotency-Key`: an act that is asked for again under its key is done once and answered alike, for a day. A client that
//! lost an answer asks again, and knows what became of the first.
//!
//! ```text
//!   asked ── not kept ─▶ the act's own transaction: what it does, its entry in the log, its answer under the key
//!         ── kept, the same request ─▶ the answer of then, to whom may read what it tells of
//!         ── kept, another request ─▶ 422        ── being done right now ─▶ 409
//! ```
//!
//! As draft-ietf-httpapi-idempotency-key-header says. A key is its owner's: a token's, or a person's. What was refused is not
//! kept: nothing was done, and the same key may ask again.

use std::collections::BTreeSet;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, PgPool};
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{OpenApi, PathItem, RefOr};

use super::State;
use super::problem::Problem;
use super::who::{Allowed, Operate};
use crate::clock::Clock;
use crate::db::act_answers::{self, Done, Key};
use crate::ids::RepositoryKey;

/// How long an answer is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// The header.
pub(super) const HEADER: &str = "idempotency-key";
/// The longest key; the draft asks for an UUID, or something as random.
const LONGEST: usize = 255;

/// The header, as the API's description has it.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct IdempotencyKey {
    /// A random word: asked for again with the same one within a day, the act is not done again, and answered as it was.
    /// Another request with it is refused with 422, one that is being done with 409.
    #[param(rename = "Idempotency-Key")]
    #[expect(dead_code, reason = "the description's")]
    idempotency_key: Option<String>,
}

/// A request for an act, with the key it may have come with. It is the last thing a route takes: it reads the body.
#[derive(Debug)]
pub(super) struct Once(Option<Asked>, Bytes);

#[derive(Debug)]
struct Asked {
    key: String,
    /// Of method, address and body.
    request: Vec<u8>,
}

impl Once {
    /// What was answered before, if this is asked for again.
    pub(super) async fn said(&self, who: &Allowed<Operate>, state: &State) -> Result<Option<Value>, Problem> {
        let Some(asked) = &self.0 else { return Ok(None) };
        let owner = who.owner();
        let key = Key { owner: &owner, key: &asked.key };
        let found = act_answers::get(&mut *state.pool.acquire().await?, key, since(state.clock.now())).await?;
        let Some(done) = found else { return Ok(None) };
        if done.request != asked.request {
            return Err(Problem::another("this `Idempotency-Key` was used for another request: take a new one"));
        }
        who.may_still_read(state, done.repositories, "thing").await?;
        Ok(Some(done.answer))
    }

    /// What was sent along.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.1)
            .map_err(|error| Problem::bad(format!("the body is not what is asked for: {error}")))
    }

    /// Keeps the answer with the act, before its transaction is committed, and gives it.
    pub(super) async fn keep(
        &self,
        conn: &mut PgConnection,
        (who, clock): (&Allowed<Operate>, &Clock),
        repositories: Vec<RepositoryKey>,
        answer: &impl Serialize,
    ) -> Result<Value, Problem> {
        let answer = serde_json::to_value(answer).map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "an answer cannot be written");
            Problem::unavailable("the answer cannot be written; the server's log says why")
        })?;
        let Some(asked) = &self.0 else { return Ok(answer) };
        let (owner, request) = (who.owner(), asked.request.clone());
        let done = Done { request, repositories, answer: answer.clone() };
        let key = Key { owner: &owner, key: &asked.key };
        if act_answers::keep(conn, key, &done, (clock.now(), since(clock.now()))).await? {
            return Ok(answer);
        }
        Err(Problem::conflict(
            "this was just asked for with the same `Idempotency-Key`; ask once more for what came of it",
        ))
    }
}

/// What is older is forgotten.
fn since(now: Timestamp) -> Timestamp {
    now.checked_sub(KEPT).unwrap_or(now)
}

/// Forgets what is older than a day; how much.
///
/// # Errors
/// The database's own.
pub async fn tidy(pool: &PgPool, now: Timestamp) -> Result<u64, sqlx::Error> {
    act_answers::tidy(&mut *pool.acquire().await?, since(now)).await
}

impl<S: Send + Sync> FromRequest<S> for Once {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let key = key(request.headers())?;
        let mut digest = Sha256::new();
        let address = request.uri().path_and_query().map_or("", |address| address.as_str());
        digest.update(format!("{} {address}\n", request.method()));
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|_| Problem::bad("the body cannot be read, or is too large"))?;
        digest.update(&body);
        Ok(Self(key.map(|key| Asked { key, request: digest.finalize().to_vec() }), body))
    }
}

/// A key as it is written, in quotes (a string of structured fields, as the draft has it) or without.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all(HEADER).iter();
    let Some(first) = given.next() else { return Ok(None) };
    let bad = || Problem::bad("`Idempotency-Key` is one key of 1 to 255 printable characters, in quotes or without");
    let text = first.to_str().map_err(|_| bad())?.trim();
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let good = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    if !good || given.next().is_some() {
        return Err(bad());
    }
    Ok(Some(text.to_owned()))
}

/// The routes that know it, as the API's description has them: whoever sends it elsewhere would be promised what is not kept.
#[derive(Debug)]
pub(super) struct Acts(BTreeSet<String>);

impl Acts {
    /// Those whose description names the header.
    pub(super) fn of(document: &OpenApi) -> Self {
        let takes_it = |operation: &Operation| {
            operation.parameters.iter().flatten().any(|one| match one {
                RefOr::T(one) => one.parameter_in == ParameterIn::Header && one.name.eq_ignore_ascii_case(HEADER),
                RefOr::Ref(_) => false,
            })
        };
        let knows_it =
            |item: &PathItem| [&item.post, &item.put, &item.patch, &item.delete].into_iter().flatten().any(takes_it);
        let routes = document.paths.paths.iter().filter(|(_, item)| knows_it(item));
        Self(routes.map(|(route, _)| route.clone()).collect())
    }

    /// Whether a request comes with a key to where none is kept.
    pub(super) fn is_elsewhere(&self, method: &Method, headers: &HeaderMap, route: Option<&str>) -> bool {
        // Reading twice is reading.
        headers.contains_key(HEADER)
            && ![Method::GET, Method::HEAD].contains(method)
            && route.is_none_or(|route| !self.0.contains(route))
    }
}
