//! Ways back: to what was healthy before, and on from there. Each as its command in a pull request does it.

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::acts::{Command, commanded, named};
use super::asked::Named;
use super::once::{IdempotencyKey, Once};
use super::problem::{Problem, ProblemBody};
use super::who::{Allowed, Operate, Read};
use super::{Of, State};
use crate::audit;
use crate::db::rollbacks::{self, Became, NewRollback, Reverting, Rollback, Way};
use crate::db::{environments, holds, pins, repositories, sets};
use crate::event::back_to::BackTo;
use crate::jobs::route::{asked_sync, attend_pull, sync_environment};
use crate::queue::{self, Lane};

/// The longest reason (bytes), as in a pull request.
const LONGEST_REASON: usize = 300;
/// Objects that are named; the others are counted.
const NAMED: usize = 500;

/// Where to, and why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RollbackAsked {
    /// A deployment's number (`39`), or seven digits of its commit at least. Without it, to the healthy content before what
    /// runs.
    to: Option<String>,
    /// Why: a line of at most 300 bytes.
    reason: Option<String>,
    /// Only say what it would do: nothing is asked for.
    dry_run: bool,
}

/// What it does.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RollbackSaid {
    /// Its id, at `/api/v1/rollbacks/{id}`; `null`: nothing was asked for.
    id: Option<Uuid>,
    /// `forge/owner/name`.
    repository: String,
    /// The environment's name.
    name: String,
    /// The number of the deployment that is taken away.
    from: i64,
    /// The number of the one that it goes back to.
    to: i64,
    /// Its commit.
    commit: String,
    /// How many objects become others, in words.
    what: String,
    /// The objects, the first of them.
    objects: Vec<Touched>,
    /// How many are not named.
    more: usize,
}

/// What becomes of an object.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Touched {
    /// Kind, namespace and name.
    object: String,
    /// `added`, `changed` or `removed`.
    does: &'static str,
}

fn touched(way: &Way) -> (Vec<Touched>, usize) {
    let objects = way.objects().take(NAMED).map(|(object, does)| Touched { object, does });
    (objects.collect(), way.objects().count().saturating_sub(NAMED))
}

/// Goes back to the objects of a content that was healthy, and pins the environment there, as `/bascule rollback ENV` does. All
/// of them are tried by dry runs before anything is written; `/api/v1/rollbacks/{id}` says what became of it.
#[utoipa::path(post, path = "/api/v1/environments/{id}/rollback", tag = "environments", request_body = RollbackAsked,
    params(("id" = i64, Path, description = "The environment's number"), IdempotencyKey),
    responses((status = 200, body = RollbackSaid), (status = "4XX", body = ProblemBody)))]
pub(super) async fn rollback(
    who: Allowed<Operate>,
    Of(state): Of<State>,
    Named(id): Named<i64>,
    once: Once,
) -> Result<Json<Value>, Problem> {
    if let Some(said) = once.said(&who, &state).await? {
        return Ok(Json(said));
    }
    let asked: RollbackAsked = once.body()?;
    let reason = asked.reason.as_deref().map(str::trim);
    let is_line = |text: &str| !text.is_empty() && text.len() <= LONGEST_REASON && !text.chars().any(char::is_control);
    if reason.is_some_and(|reason| !is_line(reason)) {
        return Err(Problem::bad("`reason` is one line of 1 to 300 bytes"));
    }
    let to = asked.to.as_deref().map(str::parse::<BackTo>).transpose();
    let to = to.map_err(|error| Problem::bad(format!("`to` is {error}")))?;
    let (repository, environment) = commanded(&who, &state, id, Command::Rollback).await?;
    let name = named(&repository);
    let mut tx = state.pool.begin().await?;
    let way = rollbacks::way(&mut tx, &environment, to.as_ref()).await.map_err(unreadable)?;
    let way = way.map_err(|why| Problem::conflict(format!("nothing is rolled back: {why}")))?;
    let (objects, more) = touched(&way);
    let mut answer = RollbackSaid {
        id: None,
        repository: name.clone(),
        name: environment.name.to_string(),
        from: way.runs.new.number,
        to: way.back.number,
        commit: way.back.commit.to_string(),
        what: way.sentence(),
        objects,
        more,
    };
    if !asked.dry_run {
        let new = NewRollback {
            id: state.clock.new_id(),
            environment: id,
            back_to: way.back.deployment,
            by: who.actor(),
            reason: reason.map(str::to_owned),
            is_by_itself: false,
            asked_in: None,
            trace: who.trace,
            asked_at: state.clock.now(),
        };
        rollbacks::ask(&mut tx, &new).await?;
        queue::enqueue(&mut tx, &sync_environment(&repository.key, id, who.trace)).await?;
        let detail = json!({
            "rollback": new.id, "back_to": way.back.number, "from": way.runs.new.number, "reason": new.reason,
        });
        audit::append(&mut tx, &who.entry("rollback.asked", format!("{name} {}", environment.name), detail)).await?;
        answer.id = Some(new.id);
    }
    let answer = once.keep(&mut tx, (&who, &state.clock), vec![repository.key], &answer).await?;
    tx.commit().await?;
    state.bell.ring(Lane::Sync);
    Ok(Json(answer))
}

fn unreadable(error: sets::SetError) -> Problem {
    tracing::error!(error = &error as &dyn std::error::Error, "what was deployed cannot be read back");
    Problem::unavailable("what was deployed cannot be read back; the server's log says why")
}

/// What goes on.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Resumed {
    /// `forge/owner/name`.
    repository: String,
    /// The environment's name.
    name: String,
    /// What it was pinned at, the way back that is taken back, or what had failed; `null`: there was nothing to resume from, and
    /// nothing was done.
    from: Option<String>,
}

/// Ends a pin, takes back a way back that was not tried yet, or tries again after a failure, as `/bascule resume ENV` does: it
/// goes on as far as the gate lets it.
#[utoipa::path(post, path = "/api/v1/environments/{id}/resume", tag = "environments",
    params(("id" = i64, Path, description = "The environment's number"), IdempotencyKey),
    responses((status = 200, body = Resumed), (status = "4XX", body = ProblemBody)))]
pub(super) async fn resume(
    who: Allowed<Operate>,
    Of(state): Of<State>,
    Named(id): Named<i64>,
    once: Once,
) -> Result<Json<Value>, Problem> {
    if let Some(said) = once.said(&who, &state).await? {
        return Ok(Json(said));
    }
    let (repository, environment) = commanded(&who, &state, id, Command::Rollback).await?;
    let name = named(&repository);
    let mut tx = state.pool.begin().await?;
    let pin = pins::standing(&mut tx, id).await?;
    let hold = holds::get(&mut tx, id).await?;
    let failed = hold.filter(holds::Hold::is_of_a_failure);
    let open = rollbacks::open(&mut tx, id).await?;
    let from = pin.as_ref().map(pins::Pin::sentence);
    let from = from.or(open.as_ref().map(Rollback::sentence)).or(failed.map(|hold| hold.detail));
    if from.is_some() {
        // Where it was asked for, it is told that it is not tried any more.
        if let Some((place, _)) = open.and_then(|open| open.new.asked_in) {
            queue::enqueue(&mut tx, &attend_pull(&repository.key, place, who.trace)).await?;
        }
        if let Some(pin) = &pin {
            for place in pins::told_in(&mut tx, pin).await? {
                queue::enqueue(&mut tx, &attend_pull(&repository.key, place, who.trace)).await?;
            }
        }
        pins::resume(&mut tx, id, &who.actor(), state.clock.now()).await?;
        queue::enqueue(&mut tx, &asked_sync(&repository.key, id, who.trace)).await?;
        let detail = json!({ "from": from });
        let subject = format!("{name} {}", environment.name);
        audit::append(&mut tx, &who.entry("environment.resumed", subject, detail)).await?;
    }
    let answer = Resumed { repository: name, name: environment.name.to_string(), from };
    let answer = once.keep(&mut tx, (&who, &state.clock), vec![repository.key], &answer).await?;
    tx.commit().await?;
    state.bell.ring(Lane::Sync);
    Ok(Json(answer))
}

/// A way back that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WayBack {
    /// Its id.
    id: Uuid,
    /// `forge/owner/name`.
    repository: String,
    /// The environment's name.
    name: String,
    /// `asked`, `started` or `refused`.
    state: &'static str,
    /// The number of the deployment that it goes back to.
    to: i64,
    /// Its commit.
    commit: String,
    /// The number of the deployment that it became.
    number: Option<i64>,
    /// The number of the one that it took away.
    taken_away: Option<i64>,
    /// Who asked, as the log names them.
    by: String,
    /// Whether nobody asked: a sync failed.
    by_itself: bool,
    /// Why.
    reason: Option<String>,
    /// Why nothing was done.
    why: Option<String>,
    /// The number of the pull request that reverts what was taken away; `null`: there is none yet, or never.
    revert: Option<i64>,
    /// The same, as people write it there.
    revert_shown_as: Option<String>,
    /// Why there is none.
    not_reverted: Option<String>,
    /// When it was asked for.
    asked_at: String,
}

impl WayBack {
    fn of(repository: String, name: String, way: Rollback) -> Self {
        let (state, number, taken_away, why) = match way.became {
            None => ("asked", None, None, None),
            Some(Became::Deployment { number, taken_away, .. }) => ("started", Some(number), Some(taken_away), None),
            Some(Became::Refused(why)) => ("refused", None, None, Some(why)),
        };
        let (revert, revert_shown_as, not_reverted) = match way.revert {
            None => (None, None, None),
            Some(Reverting::By(number, shown_as)) => (Some(number), Some(shown_as), None),
            Some(Reverting::Not(why)) => (None, None, Some(why)),
        };
        Self {
            id: way.new.id,
            repository,
            name,
            state,
            to: way.back_to,
            commit: way.commit.to_string(),
            number,
            taken_away,
            by: way.new.by,
            by_itself: way.new.is_by_itself,
            reason: way.new.reason,
            why,
            revert,
            revert_shown_as,
            not_reverted,
            asked_at: way.new.asked_at.to_string(),
        }
    }
}

/// What became of a way back.
#[utoipa::path(get, path = "/api/v1/rollbacks/{id}", tag = "environments",
    params(("id" = Uuid, Path, description = "The way back's id")),
    responses((status = 200, body = WayBack), (status = "4XX", body = ProblemBody)))]
pub(super) async fn show(
    who: Allowed<Read>,
    Of(state): Of<State>,
    Named(id): Named<Uuid>,
) -> Result<Json<WayBack>, Problem> {
    let absent = || Problem::absent("rollback");
    let mut connection = state.pool.acquire().await?;
    let way = rollbacks::get(&mut connection, id).await?.ok_or_else(absent)?;
    let environment = environments::get(&mut connection, way.new.environment).await?.ok_or_else(absent)?;
    let repository = repositories::get(&mut connection, environment.repository).await?.ok_or_else(absent)?;
    drop(connection);
    who.may_read(&state, environment.repository, "rollback").await?;
    Ok(Json(WayBack::of(named(&repository), environment.name.to_string(), way)))
}
