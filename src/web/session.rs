//! Sessions of people: a random word in a cookie or a token, of which its SHA-256 is stored, with an end that comes whether
//! it is used or not and one that comes when it is not.
//!
//! Written out rather than by a crate for sessions: those keep the word itself in their table and a bag of values beside
//! it, write at each request, and would bring a second place where SQL is.

use aws_lc_rs::rand;
use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::problem::Problem;
use super::{State, who};
use crate::audit::{self, NewEntry};
use crate::clock::Clock;
use crate::db::sessions::{self, NewSession, Session, Way};
use crate::ids::{Account, TraceId};

/// Every person's token begins so: scanners of leaked secrets know it by that.
pub(super) const PREFIX: &str = "bsp_";
/// A working day, and a bit.
const BROWSER_LIVES: SignedDuration = SignedDuration::from_hours(12);
/// A browser nobody uses is one that somebody else may come to.
const BROWSER_IDLE: SignedDuration = SignedDuration::from_hours(2);
/// A command line is signed in once a month.
const COMMAND_LIVES: SignedDuration = SignedDuration::from_hours(30 * 24);
/// And again after a holiday.
const COMMAND_IDLE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How exactly it is known when a session was used last: more would be a write for each request.
const SEEN_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// A word that nobody guesses: 32 random bytes.
pub(super) fn word() -> Result<String, Problem> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| Problem::unavailable("the system gave no randomness"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// What is stored of a word.
pub(super) fn hash(word: &str) -> [u8; 32] {
    Sha256::digest(word.as_bytes()).into()
}

/// Begins a session, with its entry in the log; gives the word that is its cookie or token, and when it ends.
pub(super) async fn begin(
    conn: &mut PgConnection,
    clock: &Clock,
    person: &Account,
    way: Way,
    cause: String,
) -> Result<(String, Timestamp), Problem> {
    let (prefix, lives) = match way {
        Way::Browser => ("", BROWSER_LIVES),
        Way::Command => (PREFIX, COMMAND_LIVES),
    };
    let said = format!("{prefix}{}", word()?);
    let (id, at) = (clock.new_id(), clock.now());
    let expires_at = at.checked_add(lives).unwrap_or(at);
    sessions::insert(conn, &NewSession { id, hash: hash(&said), way, person, at, expires_at }).await?;
    let detail = json!({ "session": id, "way": way.as_str(), "expires_at": expires_at });
    audit::append(conn, &entry(clock, "person.signed_in", person, (who::named(person), detail, cause))).await?;
    Ok((said, expires_at))
}

/// Ends a session, with its entry in the log. One that ended before is none to end.
pub(super) async fn end(conn: &mut PgConnection, clock: &Clock, id: Uuid, cause: &str) -> Result<(), sqlx::Error> {
    if let Some(person) = sessions::end(conn, id).await? {
        let said = (who::named(&person), json!({ "session": id }), cause.to_owned());
        audit::append(conn, &entry(clock, "person.signed_out", &person, said)).await?;
    }
    Ok(())
}

/// An entry about a person.
pub(super) fn entry(
    clock: &Clock,
    action: &'static str,
    person: &Account,
    (actor, detail, cause): (String, serde_json::Value, String),
) -> NewEntry {
    let subject = format!("person {}", who::named(person));
    NewEntry { actor, action, subject, detail, cause, trace: TraceId(clock.new_id()) }
}

/// The session of a word, as long as it is good.
pub(super) async fn find(state: &State, said: &str, way: Way) -> Result<Option<Session>, Problem> {
    // What cannot be a word costs no question of the database.
    let word = said.strip_prefix(PREFIX).unwrap_or(said);
    if URL_SAFE_NO_PAD.decode(word).map_or(0, |bytes| bytes.len()) != 32 {
        return Ok(None);
    }
    let mut connection = state.pool.acquire().await?;
    let Some(session) = sessions::by_hash(&mut connection, &hash(said), way).await? else { return Ok(None) };
    let now = state.clock.now();
    let idle = match way {
        Way::Browser => BROWSER_IDLE,
        Way::Command => COMMAND_IDLE,
    };
    let unused = now.duration_since(session.seen_at);
    if now >= session.expires_at || unused >= idle {
        return Ok(None);
    }
    if unused >= SEEN_EVERY {
        sessions::seen(&mut connection, session.id, now).await?;
    }
    Ok(Some(session))
}

/// What the session's cookie is called.
pub(super) fn name(state: &State) -> String {
    named(state, "bascule")
}

/// A cookie's name: over HTTPS one that no other host and no plain connection can set (`__Host-`).
pub(super) fn named(state: &State, name: &str) -> String {
    if is_secure(state) { format!("__Host-{name}") } else { name.to_owned() }
}

fn is_secure(state: &State) -> bool {
    state.public_url.starts_with("https://")
}

/// The value of a cookie that is there once: two of a name are not both ours.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut values = lines.flat_map(|line| line.split(';')).filter_map(|pair| {
        let (given, value) = pair.trim().split_once('=')?;
        (given == name).then_some(value)
    });
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// Sets a cookie for this server alone, unseen by scripts; for no time at all, to take it back.
pub(super) fn set(state: &State, name: &str, value: &str, lives: SignedDuration) -> Result<HeaderValue, Problem> {
    let secure = if is_secure(state) { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={}{secure}", lives.as_secs());
    HeaderValue::from_str(&text).map_err(|_| Problem::bad("this is no cookie"))
}

/// The sessions of command lines, newest first: people's tokens.
///
/// # Errors
/// The database's.
pub async fn of_command_lines(pool: &PgPool) -> Result<Vec<Session>, sqlx::Error> {
    sessions::list(&mut *pool.acquire().await?, Way::Command).await
}

/// Ends a session by its id, by an operator on the server's host; whether there was one.
///
/// # Errors
/// The database's.
pub async fn revoke(pool: &PgPool, clock: &Clock, id: Uuid) -> Result<bool, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let ended = sessions::end(&mut tx, id).await?;
    if let Some(person) = &ended {
        let said =
            ("operator".to_owned(), json!({ "session": id }), "the command line on the server's host".to_owned());
        audit::append(&mut tx, &entry(clock, "person.signed_out", person, said)).await?;
    }
    tx.commit().await?;
    Ok(ended.is_some())
}

/// How long a browser keeps the cookie of a session.
pub(super) fn lives() -> SignedDuration {
    BROWSER_LIVES
}
