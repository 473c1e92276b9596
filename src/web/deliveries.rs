//! `/api/v1/deliveries`: what came in, what became of it, and once more.

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::asked::{Asked, Named, Page, limit};
use super::once::{IdempotencyKey, Once};
use super::problem::{Problem, ProblemBody};
use super::who::{Allowed, Operate, Read};
use super::{Of, State};
use crate::audit;
use crate::db::deliveries::{self, DeliveryState};
use crate::db::{check_runs, comment_edits, ourselves, pushes, repositories};
use crate::ids::{ForgeName, RepositoryKey};
use crate::{queue, webhook};

/// A delivery as it is listed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Delivery {
    /// Our id.
    id: Uuid,
    /// The configured forge.
    forge: String,
    /// The forge's own id.
    delivery_id: String,
    /// The event header.
    event: String,
    /// `stored`, `done`, `ignored` or `quarantined`.
    state: String,
    /// Why it is ignored or quarantined.
    reason: Option<String>,
    /// From here to the sync.
    trace: String,
    /// When it came.
    received_at: String,
}

impl From<deliveries::Delivery> for Delivery {
    fn from(one: deliveries::Delivery) -> Self {
        Self {
            id: one.id,
            forge: one.forge,
            delivery_id: one.delivery_id,
            event: one.event,
            state: one.state,
            reason: one.reason,
            trace: one.trace.to_string(),
            received_at: one.received_at.to_string(),
        }
    }
}

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The cursor.
    before: Option<Uuid>,
    /// Deliveries of a page, at most 200.
    limit: Option<i64>,
    /// `done`, `ignored` or `quarantined`.
    state: Option<String>,
}

/// Deliveries, newest first.
#[utoipa::path(get, path = "/api/v1/deliveries", tag = "deliveries", params(Which),
    responses((status = 200, body = Page<Delivery>), (status = "4XX", body = ProblemBody)))]
pub(super) async fn list(
    who: Allowed<Read>,
    Of(state): Of<State>,
    Asked(which): Asked<Which>,
) -> Result<Json<Page<Delivery>>, Problem> {
    let limit = limit(which.limit)?;
    let known = [DeliveryState::Done, DeliveryState::Ignored, DeliveryState::Quarantined].map(DeliveryState::as_str);
    if which.state.as_deref().is_some_and(|state| !known.contains(&state)) {
        return Err(Problem::bad("`state` is done, ignored or quarantined"));
    }
    let sight = who.sees(&state, None).await?;
    let mut connection = state.pool.acquire().await?;
    let about = sight.about();
    let items = deliveries::list(&mut connection, which.before, which.state.as_deref(), about.as_ref(), limit).await?;
    Ok(Json(Page::of(items, limit, |one: &Delivery| one.id.to_string())))
}

/// A delivery and what it said.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Whole {
    /// As it is listed.
    #[serde(flatten)]
    delivery: Delivery,
    /// Its body, as text; bytes that are no text are replaced.
    body: String,
}

/// Whether somebody may have to do with a delivery: who may write to all it is about.
async fn permitted(who: &Allowed<Operate>, state: &State, id: Uuid) -> Result<Vec<RepositoryKey>, Problem> {
    let absent = || Problem::absent("delivery");
    let about = deliveries::about(&mut *state.pool.acquire().await?, id).await?;
    let (forge, repositories) = about.ok_or_else(absent)?;
    // One of a forge whose name is none any more is nobody's but a machine's.
    let keys: Vec<RepositoryKey> = match forge.parse::<ForgeName>() {
        Ok(forge) => repositories.into_iter().map(|id| RepositoryKey { forge: forge.clone(), id }).collect(),
        Err(_) => Vec::new(),
    };
    who.may_write(state, keys.clone(), "delivery").await?;
    Ok(keys)
}

/// One delivery with its body, which holds what people wrote: scope `operate`, or write access.
#[utoipa::path(get, path = "/api/v1/deliveries/{id}", tag = "deliveries", params(("id" = Uuid, Path, description = "Our id")),
    responses((status = 200, body = Whole), (status = "4XX", body = ProblemBody)))]
pub(super) async fn show(
    who: Allowed<Operate>,
    Of(state): Of<State>,
    Named(id): Named<Uuid>,
) -> Result<Json<Whole>, Problem> {
    permitted(&who, &state, id).await?;
    let mut connection = state.pool.acquire().await?;
    let absent = || Problem::absent("delivery");
    let delivery = deliveries::get(&mut connection, id).await?.ok_or_else(absent)?.into();
    let (_, _, body) = deliveries::body(&mut connection, id).await?.ok_or_else(absent)?;
    Ok(Json(Whole { delivery, body: String::from_utf8_lossy(&body).into_owned() }))
}

/// What a replay caused.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Replayed {
    /// What became of the delivery.
    state: String,
    /// Why it is ignored or quarantined.
    reason: Option<String>,
    /// The jobs it caused, each as kind and key.
    jobs: Vec<String>,
    /// The replay's own.
    trace: String,
}

/// Reads a stored delivery once more and enqueues what it causes. Jobs read the truth when they run, so this does no harm
/// however late and however often.
#[utoipa::path(post, path = "/api/v1/deliveries/{id}/replay", tag = "deliveries",
    params(("id" = Uuid, Path, description = "Our id"), IdempotencyKey),
    responses((status = 200, body = Replayed), (status = "4XX", body = ProblemBody)))]
pub(super) async fn replay(
    who: Allowed<Operate>,
    Of(state): Of<State>,
    Named(id): Named<Uuid>,
    once: Once,
) -> Result<Json<Value>, Problem> {
    if let Some(said) = once.said(&who, &state).await? {
        return Ok(Json(said));
    }
    let repositories = permitted(&who, &state, id).await?;
    let mut tx = state.pool.begin().await?;
    let (forge, event, body) = deliveries::body(&mut tx, id).await?.ok_or_else(|| Problem::absent("delivery"))?;
    let forge =
        forge.parse().map_err(|_| Problem::conflict("the delivery is of a forge whose name is none any more"))?;
    let kind = state.endpoints.kind(&forge);
    let kind = kind.ok_or_else(|| Problem::conflict("the delivery is of a forge that is not configured any more"))?;
    let mut told = webhook::tell((&forge, kind), &event, &body, who.trace);
    if let Some(by) = told.by
        && ourselves::is(&mut tx, &forge, by).await?
    {
        told = webhook::Told::nothing(DeliveryState::Ignored, Some(webhook::OUR_OWN.to_owned()));
    }
    let about: Vec<i64> = told.repositories.iter().map(|repository| repository.id).collect();
    // What it was about once it is about still, when it is our own comment.
    let about = if about.is_empty() { deliveries::about(&mut tx, id).await?.unwrap_or_default().1 } else { about };
    deliveries::reread(&mut tx, id, told.state, told.reason.as_deref(), &about).await?;
    if let Some(push) = &told.push {
        pushes::record(&mut tx, std::slice::from_ref(push)).await?;
    }
    if let Some((repository, text)) = told.repositories.first().zip(told.edited) {
        comment_edits::record(&mut tx, repository, text).await?;
    }
    if let Some((repository, commit)) = told.repositories.first().zip(told.again.as_ref()) {
        check_runs::asked_again(&mut tx, repository, commit).await?;
    }
    for repository in &told.repositories {
        repositories::fact_stored(&mut tx, repository).await?;
    }
    queue::enqueue_all(&mut tx, &told.jobs).await?;
    let jobs: Vec<String> = told.jobs.iter().map(|job| format!("{} {}", job.kind, job.key)).collect();
    let detail = json!({ "state": told.state.as_str(), "jobs": jobs });
    audit::append(&mut tx, &who.entry("delivery.replayed", format!("delivery {id}"), detail)).await?;
    let (now, reason) = (told.state.as_str().to_owned(), told.reason);
    let answer = Replayed { state: now, reason, jobs, trace: who.trace.to_string() };
    let answer = once.keep(&mut tx, (&who, &state.clock), repositories, &answer).await?;
    tx.commit().await?;
    told.jobs.iter().for_each(|job| state.bell.ring(job.lane));
    Ok(Json(answer))
}
