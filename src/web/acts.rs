//! What people ask of one environment: a sync, a freeze, its end. Each as its command in a pull request does it.

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::asked::Named;
use super::once::{IdempotencyKey, Once};
use super::problem::{Problem, ProblemBody};
use super::who::{Allowed, Operate};
use super::{Of, State};
use crate::audit;
use crate::db::environments::{self, Environment, EnvironmentState, Whom};
use crate::db::freezes::{self, Freeze};
use crate::db::repositories::{self, Repository};
use crate::db::{deployments, pins};
use crate::event::until::Until;
use crate::jobs::route::{asked_sync, sync_environment};
use crate::queue::{self, Lane};

/// The longest reason (bytes), as in a pull request.
pub(super) const LONGEST_REASON: usize = 300;

/// A sync that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SyncAsked {
    /// `forge/owner/name`.
    repository: String,
    /// The environment's name.
    name: String,
}

/// Asks for a sync, as `/bascule sync ENV` does: it goes as far as the gate lets it.
#[utoipa::path(post, path = "/api/v1/environments/{id}/sync", tag = "environments",
    params(("id" = i64, Path, description = "The environment's number"), IdempotencyKey),
    responses((status = 200, body = SyncAsked), (status = "4XX", body = ProblemBody)))]
pub(super) async fn sync(
    who: Allowed<Operate>,
    Of(state): Of<State>,
    Named(id): Named<i64>,
    once: Once,
) -> Result<Json<Value>, Problem> {
    if let Some(said) = once.said(&who, &state).await? {
        return Ok(Json(said));
    }
    let (repository, environment) = commanded(&who, &state, id, Command::Sync).await?;
    let name = named(&repository);
    let mut tx = state.pool.begin().await?;
    let last = deployments::list(&mut tx, id, None, 1).await?.pop();
    // A rollback that failed is sent once more.
    if let Some(pin) = pins::standing(&mut tx, id).await?.filter(|_| last.is_some_and(|last| last.is_healthy())) {
        return Err(Problem::conflict(format!("it is {}; `bascule resume` ends that", pin.sentence())));
    }
    queue::enqueue(&mut tx, &asked_sync(&repository.key, id, who.trace)).await?;
    let detail = json!({ "environments": [environment.name] });
    audit::append(&mut tx, &who.entry("sync.asked", format!("{name} {}", environment.name), detail)).await?;
    let answer = SyncAsked { repository: name, name: environment.name.to_string() };
    let answer = once.keep(&mut tx, (&who, &state.clock), vec![repository.key], &answer).await?;
    tx.commit().await?;
    state.bell.ring(Lane::Sync);
    Ok(Json(answer))
}

/// Why, and until when.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FreezeAsked {
    /// Why: a line of at most 300 bytes; everybody who asks what holds the environment reads it.
    reason: String,
    /// `2h`, `3d`, or a moment with its offset from UTC. Without it, until somebody ends it.
    until: Option<String>,
}

/// What is so now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FreezeSaid {
    /// `forge/owner/name`.
    repository: String,
    /// The environment's name.
    name: String,
    /// What keeps it from being synced now; `null`: nothing of that kind.
    frozen: Option<String>,
}

/// Syncs nothing new for a while, as `/bascule freeze ENV` does. A sync that runs goes on. One that stands ends with it.
#[utoipa::path(post, path = "/api/v1/environments/{id}/freeze", tag = "environments", request_body = FreezeAsked,
    params(("id" = i64, Path, description = "The environment's number"), IdempotencyKey),
    responses((status = 200, body = FreezeSaid), (status = "4XX", body = ProblemBody)))]
pub(super) async fn freeze(
    who: Allowed<Operate>,
    Of(state): Of<State>,
    Named(id): Named<i64>,
    once: Once,
) -> Result<Json<Value>, Problem> {
    if let Some(said) = once.said(&who, &state).await? {
        return Ok(Json(said));
    }
    let asked: FreezeAsked = once.body()?;
    let reason = asked.reason.trim();
    if reason.is_empty() || reason.len() > LONGEST_REASON || reason.chars().any(char::is_control) {
        return Err(Problem::bad("`reason` is one line of 1 to 300 bytes"));
    }
    let now = state.clock.now();
    let until = match &asked.until {
        Some(text) => {
            let until: Until = text.parse().map_err(|error| Problem::bad(format!("`until`: {error}")))?;
            Some(until.moment(now).ok_or_else(|| Problem::bad("`until` is past"))?)
        }
        None => None,
    };
    let (repository, environment) = commanded(&who, &state, id, Command::Freeze).await?;
    let (by, reason) = (who.actor(), reason.to_owned());
    let freeze = Freeze { id: state.clock.new_id(), environment: Some(id), by, reason, until, began_at: now };
    let name = named(&repository);
    let mut tx = state.pool.begin().await?;
    freezes::begin(&mut tx, &freeze).await?;
    let detail = json!({ "environments": [environment.name], "reason": freeze.reason, "until": freeze.until });
    audit::append(&mut tx, &who.entry("environment.frozen", format!("{name} {}", environment.name), detail)).await?;
    let answer = FreezeSaid { repository: name, name: environment.name.to_string(), frozen: Some(freeze.sentence()) };
    let answer = once.keep(&mut tx, (&who, &state.clock), vec![repository.key], &answer).await?;
    tx.commit().await?;
    Ok(Json(answer))
}

/// Ends a freeze, as `/bascule unfreeze ENV` does: what was held for it is synced.
#[utoipa::path(post, path = "/api/v1/environments/{id}/unfreeze", tag = "environments",
    params(("id" = i64, Path, description = "The environment's number"), IdempotencyKey),
    responses((status = 200, body = FreezeSaid), (status = "4XX", body = ProblemBody)))]
pub(super) async fn unfreeze(
    who: Allowed<Operate>,
    Of(state): Of<State>,
    Named(id): Named<i64>,
    once: Once,
) -> Result<Json<Value>, Problem> {
    if let Some(said) = once.said(&who, &state).await? {
        return Ok(Json(said));
    }
    let (repository, environment) = commanded(&who, &state, id, Command::Freeze).await?;
    let name = named(&repository);
    let mut tx = state.pool.begin().await?;
    if freezes::end(&mut tx, Some(id), &who.actor(), state.clock.now()).await? {
        queue::enqueue(&mut tx, &sync_environment(&repository.key, id, who.trace)).await?;
        let detail = json!({ "environments": [environment.name] });
        let entry = who.entry("environment.unfrozen", format!("{name} {}", environment.name), detail);
        audit::append(&mut tx, &entry).await?;
    }
    let still = freezes::standing(&mut tx, Some(id), state.clock.now()).await?;
    let frozen = still.map(|freeze| freeze.sentence());
    let answer = FreezeSaid { repository: name, name: environment.name.to_string(), frozen };
    let answer = once.keep(&mut tx, (&who, &state.clock), vec![repository.key], &answer).await?;
    tx.commit().await?;
    state.bell.ring(Lane::Sync);
    Ok(Json(answer))
}

pub(super) fn named(repository: &Repository) -> String {
    format!("{}/{}", repository.key.forge, repository.full_name)
}

/// A command that `may` can leave to some.
#[derive(Clone, Copy)]
pub(super) enum Command {
    Sync,
    Freeze,
    Emergency,
    Rollback,
}

/// The environment a command is about, if whoever asks may give it.
pub(super) async fn commanded(
    who: &Allowed<Operate>,
    state: &State,
    id: i64,
    command: Command,
) -> Result<(Repository, Environment), Problem> {
    let absent = || Problem::absent("environment");
    let mut connection = state.pool.acquire().await?;
    let environment = environments::get(&mut connection, id).await?.ok_or_else(absent)?;
    let repository = repositories::get(&mut connection, environment.repository).await?.ok_or_else(absent)?;
    let rules = environments::in_force(&mut connection, &environment).await;
    drop(connection);
    let rules = match rules {
        Ok(rules) => rules,
        Err(error) => {
            // To whom may not even know of it, it is not there, whatever becomes of its rules.
            who.may_still_read(state, vec![repository.key], "environment").await?;
            tracing::error!(error = &error as &dyn std::error::Error, environment = id, "rules cannot be read");
            let why = "its rules cannot be read, so nobody is let in; the server's log says why";
            return Err(Problem::unavailable(why));
        }
    };
    let nobody = Whom::default();
    let whom = match (&rules, command) {
        (Some(rules), Command::Sync) => rules.may.sync.as_ref(),
        (Some(rules), Command::Freeze) => rules.may.freeze.as_ref(),
        (Some(rules), Command::Rollback) => rules.may.rollback.as_ref(),
        // Where nobody is named, nobody may.
        (Some(rules), Command::Emergency) => Some(rules.may.emergency.as_ref().unwrap_or(&nobody)),
        (None, Command::Sync | Command::Freeze | Command::Rollback) => None,
        (None, Command::Emergency) => Some(&nobody),
    };
    match command {
        Command::Rollback => who.may_go_back(state, &repository.key, whom, "environment").await?,
        Command::Sync | Command::Freeze | Command::Emergency => {
            who.may_command(state, &repository.key, whom, "environment").await?;
        }
    }
    if environment.state != EnvironmentState::Active {
        return Err(Problem::conflict("it is not in the default branch's file any more, and nothing is synced to it"));
    }
    Ok((repository, environment))
}
