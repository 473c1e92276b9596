//! `/api/v1/jobs`: what waits, runs and was set aside, and once more.

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::asked::{Asked, Named, Page, limit};
use super::once::{IdempotencyKey, Once};
use super::problem::{Problem, ProblemBody};
use super::who::{Allowed, Operate, Read};
use super::{Of, State};
use crate::ids::RepositoryKey;
use crate::{audit, queue};

/// A job.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Job {
    /// Its number.
    id: i64,
    /// Which job.
    kind: String,
    /// What it is about.
    key: String,
    /// Which workers it waits for.
    lane: String,
    /// `pending`, `running`, `refused` (waits for a person) or `failed`.
    state: String,
    /// Tries so far.
    attempt: i32,
    /// When it is due, or was.
    run_at: String,
    /// When it was first put in.
    created_at: String,
    /// Of the last try.
    error: Option<String>,
    /// Which worker holds it.
    holder: Option<String>,
    /// Ids.
    payload: Value,
    /// From delivery to sync.
    trace: String,
}

impl From<queue::Job> for Job {
    fn from(job: queue::Job) -> Self {
        Self {
            id: job.id,
            kind: job.kind,
            key: job.key,
            lane: job.lane.as_str().to_owned(),
            state: job.state.as_str().to_owned(),
            attempt: job.attempt,
            run_at: job.run_at.to_string(),
            created_at: job.created_at.to_string(),
            error: job.error,
            holder: job.holder,
            payload: job.payload,
            trace: job.trace.to_string(),
        }
    }
}

/// Which jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The cursor.
    before: Option<i64>,
    /// Jobs of a page, at most 200.
    limit: Option<i64>,
    /// `pending`, `running`, `refused` or `failed`.
    state: Option<String>,
}

/// Jobs, newest first. A finished one is gone.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", params(Which),
    responses((status = 200, body = Page<Job>), (status = "4XX", body = ProblemBody)))]
pub(super) async fn list(
    who: Allowed<Read>,
    Of(state): Of<State>,
    Asked(which): Asked<Which>,
) -> Result<Json<Page<Job>>, Problem> {
    let limit = limit(which.limit)?;
    let wanted = match which.state.as_deref() {
        None => None,
        Some(word) => Some(
            queue::State::parse(word).ok_or_else(|| Problem::bad("`state` is pending, running, refused or failed"))?,
        ),
    };
    let shares = who.sees(&state, None).await?.shares();
    let mut connection = state.pool.acquire().await?;
    let items = queue::list_of(&mut connection, shares.as_deref(), wanted, which.before, limit).await?;
    Ok(Json(Page::of(items, limit, |job: &Job| job.id.to_string())))
}

/// One job.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs", params(("id" = i64, Path, description = "Its number")),
    responses((status = 200, body = Job), (status = "4XX", body = ProblemBody)))]
pub(super) async fn show(
    who: Allowed<Read>,
    Of(state): Of<State>,
    Named(id): Named<i64>,
) -> Result<Json<Job>, Problem> {
    let absent = || Problem::absent("job");
    let job = queue::show(&mut *state.pool.acquire().await?, id).await?.ok_or_else(absent)?;
    // As in the list: a person sees those of the repositories they may read.
    let shares = who.sees(&state, None).await?.shares();
    if shares.is_some_and(|shares| !shares.contains(&job.share)) {
        return Err(absent());
    }
    Ok(Json(job.into()))
}

/// The repository whose work a job is.
fn whose(share: &str) -> Option<RepositoryKey> {
    let (forge, id) = share.split_once('/')?;
    Some(RepositoryKey { forge: forge.parse().ok()?, id: id.parse().ok()? })
}

/// Gives a job that failed, or waits for a later time, a new beginning.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/retry", tag = "jobs",
    params(("id" = i64, Path, description = "Its number"), IdempotencyKey),
    responses((status = 200, body = Job), (status = "4XX", body = ProblemBody)))]
pub(super) async fn retry(
    who: Allowed<Operate>,
    Of(state): Of<State>,
    Named(id): Named<i64>,
    once: Once,
) -> Result<Json<Value>, Problem> {
    // First of all: a job that was retried may be done by now, and a job that is done is not there.
    if let Some(said) = once.said(&who, &state).await? {
        return Ok(Json(said));
    }
    let job = queue::show(&mut *state.pool.acquire().await?, id).await?.ok_or_else(|| Problem::absent("job"))?;
    let repositories: Vec<RepositoryKey> = whose(&job.share).into_iter().collect();
    who.may_write(&state, repositories.clone(), "job").await?;
    let mut tx = state.pool.begin().await?;
    if !queue::retry(&mut tx, id).await? {
        return Err(Problem::conflict("only a job that failed for good, or waits for a later time, can be retried"));
    }
    let detail = json!({ "kind": job.kind, "key": job.key, "error": job.error });
    audit::append(&mut tx, &who.entry("job.retried", format!("job {id}"), detail)).await?;
    // Where the same work was pending already, that one is it.
    let lane = job.lane;
    let now = Job::from(queue::show(&mut tx, id).await?.unwrap_or(job));
    let answer = once.keep(&mut tx, (&who, &state.clock), repositories, &now).await?;
    tx.commit().await?;
    state.bell.ring(lane);
    Ok(Json(answer))
}
