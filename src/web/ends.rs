//! The end of an environment that nobody follows any more: what it has, forgetting it, and having it deleted.
//!
//! Both take two people with write access, the second within a day. Forgetting touches no cluster, but with what an environment
//! stands at its rules are forgotten: alone, whoever may push its block away and back would be asked for nobody's consent. Of
//! a repository that is gone nothing is pushed: there one says it, or a machine. Deleting is done by the job of its syncs, as
//! far as there is proof that an object is ours. All say the exact number of objects, which `objects` shows: whoever has not
//! looked is refused.

use axum::Json;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::asked::Named;
use super::once::{IdempotencyKey, Once};
use super::problem::{Problem, ProblemBody};
use super::who::{Allowed, Operate, Read};
use super::{Of, State};
use crate::audit;
use crate::db::destructions::{self, Destruction, End};
use crate::db::environments::{self, Environment, EnvironmentState};
use crate::db::repositories::{self, Repository, RepositoryState};
use crate::db::{deployments, holds};
use crate::ids::Account;
use crate::jobs::route::sync_environment;
use crate::queue::{self, Lane};

/// The longest reason (bytes), as in a pull request.
const LONGEST_REASON: usize = 300;
/// How long the second person may take.
const STANDS: SignedDuration = SignedDuration::from_hours(24);

/// What an environment has in clusters.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Objects {
    /// `forge/owner/name`.
    repository: String,
    /// The environment's name.
    name: String,
    /// Why nobody follows it; `null`: somebody does, and it is neither forgotten nor destroyed.
    orphaned: Option<String>,
    /// How many objects we applied that are not confirmed gone, with those that hooks made and may have left.
    count: i64,
    /// Each of them.
    objects: Vec<String>,
    /// Who asked for all of them to be deleted, and waits for a second person.
    destroy_asked_by: Option<String>,
}

/// What an environment has in clusters: every object that we applied and that is not confirmed gone, and what its hooks made and
/// may have left.
#[utoipa::path(get, path = "/api/v1/environments/{id}/objects", tag = "environments",
    params(("id" = i64, Path, description = "The environment's number")),
    responses((status = 200, body = Objects), (status = "4XX", body = ProblemBody)))]
pub(super) async fn objects(
    who: Allowed<Read>,
    Of(state): Of<State>,
    Named(id): Named<i64>,
) -> Result<Json<Objects>, Problem> {
    let absent = || Problem::absent("environment");
    let mut connection = state.pool.acquire().await?;
    let environment = environments::get(&mut connection, id).await?.ok_or_else(absent)?;
    let repository = repositories::get(&mut connection, environment.repository).await?.ok_or_else(absent)?;
    drop(connection);
    who.may_read(&state, repository.id, "environment").await?;
    let mut connection = state.pool.acquire().await?;
    let objects: Vec<String> =
        destructions::reach(&mut connection, id).await?.iter().map(ToString::to_string).collect();
    let hold = holds::get(&mut connection, id).await?;
    let asked = destructions::of(&mut connection, id).await?;
    let asked = asked.filter(|one| one.end == End::Destroy && one.agreed_by.is_none());
    let asked = asked.filter(|one| state.clock.now() < one.asked_at + STANDS);
    Ok(Json(Objects {
        repository: named(&repository),
        name: environment.name.to_string(),
        orphaned: orphaned(&repository, &environment, hold.as_ref()),
        count: i64::try_from(objects.len()).unwrap_or(i64::MAX),
        objects,
        destroy_asked_by: asked.map(|one| super::who::named(&one.asked_by)),
    }))
}

/// How many objects, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EndAsked {
    /// Exactly as many as it has.
    objects: i64,
    /// Why: a line of at most 300 bytes.
    reason: String,
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EndSaid {
    /// `forge/owner/name`.
    repository: String,
    /// The environment's name.
    name: String,
    /// The objects it is about.
    objects: i64,
    /// What is so now: `forgotten`, `asked` (a second person has to say the same within a day) or `agreed` (it is being done).
    state: String,
}

/// Forgets an environment that nobody follows: its objects stay in the cluster as they are, and are nobody's. Two people with
/// write access say so, with the same number, the second within a day; where its repository is gone one does, or a machine.
#[utoipa::path(post, path = "/api/v1/environments/{id}/forget", tag = "environments", request_body = EndAsked,
    params(("id" = i64, Path, description = "The environment's number"), IdempotencyKey),
    responses((status = 200, body = EndSaid), (status = "4XX", body = ProblemBody)))]
pub(super) async fn forget(
    who: Allowed<Operate>,
    Of(state): Of<State>,
    Named(id): Named<i64>,
    once: Once,
) -> Result<Json<Value>, Problem> {
    if let Some(said) = once.said(&who, &state).await? {
        return Ok(Json(said));
    }
    let asked: EndAsked = once.body()?;
    let reason = reason(&asked)?;
    let repository = commanded(&who, &state, id).await?;
    let mut tx = state.pool.begin().await?;
    let (repository, environment) = ended(&mut tx, &repository, id, asked.objects).await?;
    let name = named(&repository);
    if repository.state == RepositoryState::Active {
        let person = person(&who)?;
        let (end, objects, asked_at) = (End::Forget, asked.objects, state.clock.now());
        let new = Destruction { end, objects, reason: reason.clone(), asked_by: person, asked_at, agreed_by: None };
        if is_first(&mut tx, id, &new).await? {
            let detail = json!({ "reason": reason, "count": asked.objects, "target": environment.target });
            let subject = format!("{name} {}", environment.name);
            audit::append(&mut tx, &who.entry("environment.forget_asked", subject, detail)).await?;
            let answer = said(name, &environment, asked.objects, "asked");
            let answer = once.keep(&mut tx, (&who, &state.clock), vec![repository.key], &answer).await?;
            tx.commit().await?;
            return Ok(Json(answer));
        }
    }
    let named_objects: Vec<String> =
        destructions::reach(&mut tx, id).await?.iter().take(500).map(ToString::to_string).collect();
    // One whose cluster is another now is still named by its file: it begins anew.
    let goes_on = environment.state == EnvironmentState::Active && repository.state == RepositoryState::Active;
    let becomes = if goes_on { EnvironmentState::Active } else { EnvironmentState::Forgotten };
    environments::forget(&mut tx, id, becomes).await?;
    destructions::drop_of(&mut tx, id).await?;
    if goes_on {
        queue::enqueue(&mut tx, &sync_environment(&repository.key, id, who.trace)).await?;
    }
    let detail =
        json!({ "reason": reason, "count": asked.objects, "objects": named_objects, "target": environment.target });
    audit::append(&mut tx, &who.entry("environment.forgotten", format!("{name} {}", environment.name), detail)).await?;
    let answer = said(name, &environment, asked.objects, "forgotten");
    let answer = once.keep(&mut tx, (&who, &state.clock), vec![repository.key], &answer).await?;
    tx.commit().await?;
    state.bell.ring(Lane::Sync);
    Ok(Json(answer))
}

/// Has everything deleted that an orphaned environment has. Two people with write access say so, with the same number, the
/// second within a day; a machine cannot. Only what is provably ours is deleted; what is not is left, and said.
#[utoipa::path(post, path = "/api/v1/environments/{id}/destroy", tag = "environments", request_body = EndAsked,
    params(("id" = i64, Path, description = "The environment's number"), IdempotencyKey),
    responses((status = 200, body = EndSaid), (status = "4XX", body = ProblemBody)))]
pub(super) async fn destroy(
    who: Allowed<Operate>,
    Of(state): Of<State>,
    Named(id): Named<i64>,
    once: Once,
) -> Result<Json<Value>, Problem> {
    if let Some(said) = once.said(&who, &state).await? {
        return Ok(Json(said));
    }
    let asked: EndAsked = once.body()?;
    let reason = reason(&asked)?;
    let person = person(&who)?;
    let repository = commanded(&who, &state, id).await?;
    let mut tx = state.pool.begin().await?;
    let (repository, environment) = ended(&mut tx, &repository, id, asked.objects).await?;
    if environment.state == EnvironmentState::Active && repository.state == RepositoryState::Active {
        return Err(Problem::conflict(
            "its objects are in a cluster that its name does not lead to any more: it can be forgotten, not destroyed",
        ));
    }
    if asked.objects == 0 {
        return Err(Problem::conflict("it has nothing: forget it"));
    }
    let (end, objects, asked_at) = (End::Destroy, asked.objects, state.clock.now());
    let new = Destruction { end, objects, reason: reason.clone(), asked_by: person, asked_at, agreed_by: None };
    let (is_state, action) = if is_first(&mut tx, id, &new).await? {
        ("asked", "environment.destroy_asked")
    } else {
        // Accounts that the server's file gives one person are found by the job, which has that file.
        destructions::agree(&mut tx, id, &new.asked_by).await?;
        queue::enqueue(&mut tx, &sync_environment(&repository.key, id, who.trace)).await?;
        ("agreed", "environment.destroy_agreed")
    };
    let name = named(&repository);
    let detail = json!({ "reason": reason, "count": asked.objects, "target": environment.target });
    audit::append(&mut tx, &who.entry(action, format!("{name} {}", environment.name), detail)).await?;
    let answer = said(name, &environment, asked.objects, is_state);
    let answer = once.keep(&mut tx, (&who, &state.clock), vec![repository.key], &answer).await?;
    tx.commit().await?;
    state.bell.ring(Lane::Sync);
    Ok(Json(answer))
}

fn said(repository: String, environment: &Environment, objects: i64, state: &str) -> EndSaid {
    EndSaid { repository, name: environment.name.to_string(), objects, state: state.to_owned() }
}

fn named(repository: &Repository) -> String {
    format!("{}/{}", repository.key.forge, repository.full_name)
}

fn reason(asked: &EndAsked) -> Result<String, Problem> {
    let reason = asked.reason.trim();
    if reason.is_empty() || reason.len() > LONGEST_REASON || reason.chars().any(char::is_control) {
        return Err(Problem::bad("`reason` is one line of 1 to 300 bytes"));
    }
    Ok(reason.to_owned())
}

/// Why nobody follows it; `None`: somebody does.
fn orphaned(repository: &Repository, environment: &Environment, hold: Option<&holds::Hold>) -> Option<String> {
    if environment.state == EnvironmentState::Orphaned {
        return Some("the default branch's file does not name it, or names another target for it".to_owned());
    }
    if environment.state == EnvironmentState::Active && repository.state != RepositoryState::Active {
        return Some("its repository is gone, or its name is another's".to_owned());
    }
    let hold = hold.filter(|hold| hold.reason == EnvironmentState::Orphaned.as_str());
    hold.filter(|_| environment.state == EnvironmentState::Active).map(|hold| hold.detail.clone())
}

/// The repository of the environment, if whoever asks may write to it.
async fn commanded(who: &Allowed<Operate>, state: &State, id: i64) -> Result<Repository, Problem> {
    let absent = || Problem::absent("environment");
    let mut connection = state.pool.acquire().await?;
    let number = environments::repository_of(&mut connection, id).await?.ok_or_else(absent)?;
    let repository = repositories::get(&mut connection, number).await?.ok_or_else(absent)?;
    drop(connection);
    who.may_write(state, vec![repository.key.clone()], "environment").await?;
    Ok(repository)
}

/// Whoever is signed in.
fn person(who: &Allowed<Operate>) -> Result<Account, Problem> {
    let person = who.session().map(|session| session.person.clone());
    person.ok_or_else(|| Problem::forbidden("two people say this, and a machine is none: sign in with `bascule login`"))
}

/// Whether somebody is the first of two to ask for an end: then what they ask is stored. `false`: another asked for the same.
async fn is_first(conn: &mut sqlx::PgConnection, id: i64, new: &Destruction) -> Result<bool, Problem> {
    let before = destructions::of(&mut *conn, id).await?;
    if before.as_ref().is_some_and(|one| one.agreed_by.is_some()) {
        return Err(Problem::conflict("it is being destroyed: `bascule status` says how it stands"));
    }
    let is_same = |one: &Destruction| (one.end, one.objects) == (new.end, new.objects);
    match before.filter(|one| is_same(one) && new.asked_at < one.asked_at + STANDS) {
        Some(first) if first.asked_by == new.asked_by => {
            Err(Problem::conflict("you asked for it already: it takes a second person"))
        }
        Some(_) => Ok(false),
        None => {
            destructions::ask(conn, id, new).await?;
            Ok(true)
        }
    }
}

/// The environment with its repository, locked against a sync that starts and against whoever follows it again, if it may be
/// ended and has exactly this many objects.
async fn ended(
    conn: &mut sqlx::PgConnection,
    repository: &Repository,
    id: i64,
    objects: i64,
) -> Result<(Repository, Environment), Problem> {
    // A gate that was judged meanwhile starts nothing: the fact it was judged on is older.
    repositories::fact_stored(&mut *conn, &repository.key).await?;
    destructions::lock_environment(&mut *conn, id).await?;
    let absent = || Problem::absent("environment");
    let repository = repositories::get(&mut *conn, repository.id).await?.ok_or_else(absent)?;
    let environment = environments::get(&mut *conn, id).await?.ok_or_else(absent)?;
    let hold = holds::get(&mut *conn, id).await?;
    if orphaned(&repository, &environment, hold.as_ref()).is_none() {
        return Err(Problem::conflict(
            "only what nobody follows is ended: take it out of `.bascule.yaml` on the default branch first",
        ));
    }
    if deployments::is_running(&mut *conn, id).await? {
        return Err(Problem::conflict("a sync of it runs: ask again when it has ended"));
    }
    let count = destructions::reach(&mut *conn, id).await?.len();
    if i64::try_from(count) != Ok(objects) {
        return Err(Problem::conflict(format!("it has {count} objects, and not {objects}: look at them first")));
    }
    Ok((repository, environment))
}
