//! Machine tokens: what they are called, what they may do, and their end. There is no scope that approves: consent comes from a person on
//! a forge, and nothing here can write one.

use std::collections::BTreeSet;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;

use super::State;
use super::problem::Problem;
use crate::audit::{self, NewEntry};
use crate::clock::Clock;
use crate::db::tokens::{self, NewToken, Token};
use crate::ids::{ClusterName, TraceId};

/// Every token begins so: scanners of leaked secrets know it by that.
pub(super) const PREFIX: &str = "bsc_";
/// Random bytes of a token.
const BYTES: usize = 32;
/// The longest a token lives.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 366);
/// What made a token's entry in the log.
const CAUSE: &str = "the command line on the server's host";

/// What a token may do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Read environments, deployments, previews, deliveries and jobs.
    Read,
    /// Replay deliveries, retry jobs, and see what a delivery said.
    Operate,
    /// Read, verify and export the log, and its reports.
    Audit,
    /// Be the agent of this cluster: carry the server's requests there. It goes with no other scope.
    Agent(ClusterName),
}

/// How the scope of an agent begins.
const AGENT: &str = "agent:";

/// As stored and typed.
impl std::fmt::Display for Scope {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read => out.write_str("read"),
            Self::Operate => out.write_str("operate"),
            Self::Audit => out.write_str("audit"),
            Self::Agent(cluster) => write!(out, "{AGENT}{cluster}"),
        }
    }
}

/// Why there is no new token; `Display` says what to do.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Not a name.
    #[error("a token's name is 1 to 63 letters, digits, `-`, `_` or `.`")]
    Name,
    /// It may do nothing.
    #[error("a token has at least one scope: read, operate, audit, or agent:CLUSTER")]
    Scopes,
    /// More than an agent's.
    #[error("the token of an agent is that of one cluster, and has no other scope: make another for the rest")]
    AgentAlone,
    /// It ends before it begins, or in far too long a time.
    #[error("a token lives for at least a minute and at most 366 days")]
    Expiry,
    /// The name is taken, for ever.
    #[error("there is, or was, a token `{0}`: choose another name, so that the log always names one")]
    Taken(String),
    /// Nothing to revoke.
    #[error("there is no token `{0}` that is not revoked already")]
    Absent(String),
    /// No randomness.
    #[error("the system gave no randomness for a token")]
    Random,
    /// The database.
    #[error("the database refused")]
    Database(#[from] sqlx::Error),
}

/// Makes a token and gives what it says: shown once, stored as its hash only.
///
/// # Errors
/// See [`TokenError`].
pub async fn create(
    pool: &PgPool,
    clock: &Clock,
    name: &str,
    scopes: &[Scope],
    expires: SignedDuration,
) -> Result<String, TokenError> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if !(1..=63).contains(&name.len()) || !name.bytes().all(is_name) {
        return Err(TokenError::Name);
    }
    let distinct: BTreeSet<&Scope> = scopes.iter().collect();
    if distinct.is_empty() {
        return Err(TokenError::Scopes);
    }
    if distinct.len() > 1 && distinct.iter().any(|scope| matches!(scope, Scope::Agent(_))) {
        return Err(TokenError::AgentAlone);
    }
    let scopes: Vec<String> = distinct.into_iter().map(Scope::to_string).collect();
    if expires < SignedDuration::from_mins(1) || expires > LONGEST {
        return Err(TokenError::Expiry);
    }
    let expires_at = clock.now().checked_add(expires).map_err(|_| TokenError::Expiry)?;
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).map_err(|_| TokenError::Random)?;
    let said = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let token = NewToken { id: clock.new_id(), name, hash: hash(&said), scopes: &scopes, expires_at };
    let mut tx = pool.begin().await?;
    if !tokens::insert(&mut tx, &token).await? {
        return Err(TokenError::Taken(name.to_owned()));
    }
    let detail = json!({ "scopes": scopes, "expires_at": expires_at });
    audit::append(&mut tx, &entry(clock, "token.created", name, detail)).await?;
    tx.commit().await?;
    Ok(said)
}

/// Ends a token.
///
/// # Errors
/// See [`TokenError`].
pub async fn revoke(pool: &PgPool, clock: &Clock, name: &str) -> Result<(), TokenError> {
    let mut tx = pool.begin().await?;
    if !tokens::revoke(&mut tx, name).await? {
        return Err(TokenError::Absent(name.to_owned()));
    }
    audit::append(&mut tx, &entry(clock, "token.revoked", name, json!({}))).await?;
    tx.commit().await?;
    Ok(())
}

/// All tokens, also those that ended.
///
/// # Errors
/// The database's.
pub async fn list(pool: &PgPool) -> Result<Vec<Token>, TokenError> {
    let mut connection = pool.acquire().await?;
    Ok(tokens::list(&mut connection).await?)
}

fn entry(clock: &Clock, action: &'static str, name: &str, detail: serde_json::Value) -> NewEntry {
    NewEntry {
        actor: "operator".to_owned(),
        action,
        subject: format!("token {name}"),
        detail,
        cause: CAUSE.to_owned(),
        trace: TraceId(clock.new_id()),
    }
}

fn hash(said: &str) -> [u8; 32] {
    Sha256::digest(said.as_bytes()).into()
}

/// The token of these words, as long as it is good.
pub(super) async fn good(state: &State, said: &str) -> Result<Token, Problem> {
    let none = || Problem::unauthorized("the token is unknown, expired or revoked");
    // What cannot be a token costs no question of the database.
    let digits = said.strip_prefix(PREFIX).ok_or_else(none)?;
    if URL_SAFE_NO_PAD.decode(digits).map_or(0, |bytes| bytes.len()) != BYTES {
        return Err(none());
    }
    let mut connection = state.pool.acquire().await?;
    let token = tokens::by_hash(&mut connection, &hash(said)).await?.ok_or_else(none)?;
    if is_good(&token, state.clock.now()) { Ok(token) } else { Err(none()) }
}

/// Whether a token that was good has ended. While nobody can say, it has not: it was good a moment ago.
pub(super) async fn is_over(state: &State, said: &str) -> bool {
    let Ok(mut connection) = state.pool.acquire().await else { return false };
    match tokens::by_hash(&mut connection, &hash(said)).await {
        Ok(token) => token.is_none_or(|token| !is_good(&token, state.clock.now())),
        Err(_) => false,
    }
}

fn is_good(token: &Token, now: Timestamp) -> bool {
    token.revoked_at.is_none() && token.expires_at > now
}

/// Whether a token has a scope; `None`: any will do, but an agent's.
pub(super) fn may(token: &Token, scope: Option<&Scope>) -> Result<(), Problem> {
    match scope {
        Some(scope) if !token.scopes.contains(&scope.to_string()) => {
            Err(Problem::forbidden(format!("the token does not have the scope `{scope}`")))
        }
        None if token.scopes.iter().any(|own| own.starts_with(AGENT)) => {
            Err(Problem::forbidden("the token is an agent's, and opens the tunnel of its cluster and nothing else"))
        }
        Some(_) | None => Ok(()),
    }
}
