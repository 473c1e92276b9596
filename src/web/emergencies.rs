//! Emergencies: asked for by one of two people, and the report of them.

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::acts::{Command, LONGEST_REASON, commanded, named as full_name};
use super::asked::{Asked, Named, Page, limit, text};
use super::once::{IdempotencyKey, Once};
use super::problem::{Problem, ProblemBody};
use super::who::{Allowed, Audit, Operate, named};
use super::{Of, State};
use crate::audit;
use crate::db::emergencies::{self, Aim, Request};
use crate::db::{holds, pins};
use crate::jobs::route::sync_environment;
use crate::queue::{self, Lane};

/// Why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmergencyAsked {
    /// A line of at most 300 bytes, kept in the log and told in the issue that asks for the review.
    reason: String,
}

/// What was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EmergencySaid {
    /// `forge/owner/name`.
    repository: String,
    /// The environment's name.
    name: String,
    /// The commit it would go to.
    commit: String,
    /// What that changes: of this alone it is.
    change: String,
    /// The same in words.
    said: String,
}

/// Asks for what an environment waits for to pass, as `/bascule emergency ENV` does: a second person has to ask for the same
/// within four hours. People alone, whom `may.emergency` names.
#[utoipa::path(post, path = "/api/v1/environments/{id}/emergency", tag = "environments", request_body = EmergencyAsked,
    params(("id" = i64, Path, description = "The environment's number"), IdempotencyKey),
    responses((status = 200, body = EmergencySaid), (status = "4XX", body = ProblemBody)))]
pub(super) async fn ask(
    who: Allowed<Operate>,
    Of(state): Of<State>,
    Named(id): Named<i64>,
    once: Once,
) -> Result<Json<Value>, Problem> {
    if let Some(said) = once.said(&who, &state).await? {
        return Ok(Json(said));
    }
    let asked: EmergencyAsked = once.body()?;
    let reason = asked.reason.trim();
    let is_said = reason.chars().any(char::is_alphanumeric);
    if !is_said || reason.len() > LONGEST_REASON || reason.chars().any(char::is_control) {
        return Err(Problem::bad("`reason` is one line of 1 to 300 bytes, with words in it"));
    }
    let (repository, environment) = commanded(&who, &state, id, Command::Emergency).await?;
    let Some(session) = who.session() else {
        return Err(Problem::forbidden("an emergency is a matter of people: sign in with `bascule login`"));
    };
    let (now, name) = (state.clock.now(), full_name(&repository));
    let mut tx = state.pool.begin().await?;
    if let Some(pin) = pins::standing(&mut tx, id).await? {
        let (is, name) = (pin.sentence(), &environment.name);
        return Err(Problem::conflict(format!("it is {is}; `bascule resume {name}` comes first")));
    }
    let hold = holds::get(&mut tx, id).await?;
    let aim = Aim::bound(&environment, hold.as_ref(), now).map_err(Problem::conflict)?;
    let request = Request {
        id: state.clock.new_id(),
        environment: id,
        aim,
        person: session.person.clone(),
        reason: reason.to_owned(),
        source: "api".to_owned(),
        at: now,
    };
    emergencies::ask(&mut tx, &request).await?;
    queue::enqueue(&mut tx, &sync_environment(&repository.key, id, who.trace)).await?;
    let aim = &request.aim;
    let detail = json!({ "environment": environment.name, "request": request.id, "change": aim.change, "to": aim.to_commit,
        "set": aim.to_set, "reason": request.reason });
    audit::append(&mut tx, &who.entry("emergency.asked", format!("{name} {}", environment.name), detail)).await?;
    let answer = EmergencySaid {
        repository: name,
        name: environment.name.to_string(),
        commit: aim.to_commit.to_string(),
        change: aim.change.to_string(),
        said: format!(
            "asked for {} at {}; it passes when two people asked for it within four hours, and a review is owed then",
            aim.change.short(),
            aim.to_commit.short()
        ),
    };
    let answer = once.keep(&mut tx, (&who, &state.clock), vec![repository.key], &answer).await?;
    tx.commit().await?;
    state.bell.ring(Lane::Sync);
    Ok(Json(answer))
}

/// An emergency that was let pass.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Emergency {
    /// The deployment it began.
    deployment: uuid::Uuid,
    /// `forge/owner/name`.
    repository: String,
    /// The environment's name.
    environment: String,
    /// The deployment's number there.
    number: i64,
    /// The commit it went to.
    commit: String,
    /// Who let it pass, `forge/login (number)`.
    people: Vec<String>,
    /// Why, in their words, in the same order.
    reasons: Vec<String>,
    /// What it passed over.
    passed: Vec<String>,
    /// When.
    began_at: String,
    /// The issue in which it is told.
    issue: Option<i64>,
    /// When somebody reviewed it.
    reviewed_at: Option<String>,
    /// Who.
    reviewed_by: Option<String>,
}

impl From<emergencies::Emergency> for Emergency {
    fn from(one: emergencies::Emergency) -> Self {
        Self {
            deployment: one.deployment,
            repository: one.repository,
            environment: one.name.to_string(),
            number: one.number,
            commit: one.commit,
            people: one.people.iter().map(named).collect(),
            reasons: one.reasons,
            passed: one.passed,
            began_at: one.began_at.to_string(),
            issue: one.issue,
            reviewed_at: one.reviewed_at.map(|at| at.to_string()),
            reviewed_by: one.reviewed_by,
        }
    }
}

/// Which emergencies.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The cursor.
    before: Option<uuid::Uuid>,
    /// Emergencies of a page, at most 200.
    limit: Option<i64>,
    /// The environment's name.
    environment: Option<String>,
    /// `owner/name` or `forge/owner/name`.
    repository: Option<String>,
    /// `true`: those alone that nobody reviewed yet.
    open: Option<bool>,
}

/// What passed as an emergency, and who looked at it since. An entry of the log.
#[utoipa::path(get, path = "/api/v1/reports/emergencies", tag = "reports", params(Which),
    responses((status = 200, body = Page<Emergency>), (status = "4XX", body = ProblemBody)))]
pub(super) async fn report(
    who: Allowed<Audit>,
    Of(state): Of<State>,
    Asked(asked): Asked<Which>,
) -> Result<Json<Page<Emergency>>, Problem> {
    let limit = limit(asked.limit)?;
    let which = emergencies::Which {
        named: text(asked.repository.as_deref())?,
        environment: text(asked.environment.as_deref())?,
        open: asked.open.unwrap_or_default(),
        before: asked.before,
        ..emergencies::Which::default()
    };
    let mut tx = state.pool.begin().await?;
    let rows = emergencies::list(&mut tx, &which, limit).await?;
    let detail = json!({ "report": "emergencies", "environment": asked.environment, "repository": asked.repository,
        "open": asked.open, "before": asked.before });
    audit::append(&mut tx, &who.entry("audit.reported", "audit".to_owned(), detail)).await?;
    tx.commit().await?;
    Ok(Json(Page::of(rows, limit, |one: &Emergency| one.deployment.to_string())))
}
