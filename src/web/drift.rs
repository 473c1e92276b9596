//! `/api/v1/drift`: what is not in the clusters as it was left, and putting it right, as `/bascule heal ENV` does.

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::acts::{Command, commanded, named};
use super::asked::{Asked, Named, Page, limit};
use super::once::{IdempotencyKey, Once};
use super::problem::{Problem, ProblemBody};
use super::who::{Allowed, Operate, Read};
use super::{Of, State};
use crate::audit;
use crate::db::drift::{self, Drifted};
use crate::db::freezes;
use crate::jobs::route::asked_heal;
use crate::queue::{self, Lane};

/// An object that is not in the cluster as it was left: paths and names, never a value.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Drift {
    /// Its number.
    id: i64,
    /// `forge/owner/name`.
    repository: String,
    /// The environment's name.
    environment: String,
    /// The environment's number.
    environment_id: i64,
    /// The cluster.
    cluster: String,
    /// The object, as people call it.
    object: String,
    /// `changed`, `gone`, `replaced` by another one of its name, `owned` by somebody else, or `leaving`: being deleted.
    what: String,
    /// The fields that an apply would change.
    fields: Vec<String>,
    /// The field managers that hold them now; empty where nobody does, as of what was taken away.
    by: Vec<String>,
    /// What else is to be said.
    detail: Option<String>,
    /// Since when it is known.
    since: String,
    /// How often it was put right in the last hours, or that was tried.
    heals: u32,
    /// When that was last.
    healed_at: Option<String>,
    /// Why it could not be put right then.
    trouble: Option<String>,
    /// What can be done: `heal` puts it right, `adopt` writes what is live into the repository, by a pull request.
    exits: Vec<&'static str>,
}

impl From<Drifted> for Drift {
    fn from(one: Drifted) -> Self {
        let is_secret = one.key.group.is_empty() && one.key.kind == "Secret";
        let heal = one.drift.what.can_be_healed().then_some("heal");
        let adopt = (one.drift.what.as_str() == "changed" && !is_secret).then_some("adopt");
        Self {
            exits: heal.into_iter().chain(adopt).collect(),
            id: one.id,
            repository: one.repository,
            environment: one.name,
            environment_id: one.environment,
            cluster: one.cluster,
            object: one.key.to_string(),
            what: one.drift.what.as_str().to_owned(),
            fields: one.drift.fields,
            by: one.drift.by,
            detail: one.drift.detail,
            since: one.since.to_string(),
            heals: one.heals,
            healed_at: one.healed_at.map(|at| at.to_string()),
            trouble: one.trouble,
        }
    }
}

/// Which drift.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichDrift {
    /// The cursor.
    before: Option<i64>,
    /// Objects of a page, at most 200.
    limit: Option<i64>,
    /// Of environments of exactly this name.
    name: Option<String>,
    /// `owner/name` or `forge/owner/name`.
    repository: Option<String>,
}

/// What is not in the clusters as it was left, newest first.
#[utoipa::path(get, path = "/api/v1/drift", tag = "drift", params(WhichDrift),
    responses((status = 200, body = Page<Drift>), (status = "4XX", body = ProblemBody)))]
pub(super) async fn list(
    who: Allowed<Read>,
    Of(state): Of<State>,
    Asked(which): Asked<WhichDrift>,
) -> Result<Json<Page<Drift>>, Problem> {
    let limit = limit(which.limit)?;
    let sight = who.sees(&state, which.repository.as_deref()).await?;
    let asked = drift::Which {
        environment: None,
        name: super::asked::text(which.name.as_deref())?,
        repository: super::asked::text(which.repository.as_deref())?,
        readable: sight.ours(),
        before: which.before,
    };
    let items = drift::list(&mut *state.pool.acquire().await?, &asked, limit).await?;
    let items = items.into_iter().map(Drift::from).collect();
    Ok(Json(Page::of(items, limit, |one: &Drift| one.id.to_string())))
}

/// That it was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HealAsked {
    /// `forge/owner/name`.
    repository: String,
    /// The environment's name.
    name: String,
    /// Why nothing is done about it now; `null`: it is.
    waits: Option<String>,
}

/// Applies again what drifted, as `/bascule heal ENV` does: the content of the last deployment, and nothing newer.
#[utoipa::path(post, path = "/api/v1/environments/{id}/heal", tag = "environments",
    params(("id" = i64, Path, description = "The environment's number"), IdempotencyKey),
    responses((status = 200, body = HealAsked), (status = "4XX", body = ProblemBody)))]
pub(super) async fn heal(
    who: Allowed<Operate>,
    Of(state): Of<State>,
    Named(id): Named<i64>,
    once: Once,
) -> Result<Json<Value>, Problem> {
    if let Some(said) = once.said(&who, &state).await? {
        return Ok(Json(said));
    }
    // `may` knows no word for it: who may ask for a sync may ask for the same content once more.
    let (repository, environment) = commanded(&who, &state, id, Command::Sync).await?;
    let name = named(&repository);
    let mut tx = state.pool.begin().await?;
    let frozen = freezes::standing(&mut tx, Some(id), state.clock.now()).await?;
    queue::enqueue(&mut tx, &asked_heal(&repository.key, id, who.trace)).await?;
    let detail = json!({ "environments": [environment.name] });
    audit::append(&mut tx, &who.entry("heal.asked", format!("{name} {}", environment.name), detail)).await?;
    let waits = frozen.map(|freeze| freeze.sentence());
    let answer = HealAsked { repository: name, name: environment.name.to_string(), waits };
    let answer = once.keep(&mut tx, (&who, &state.clock), vec![repository.key], &answer).await?;
    tx.commit().await?;
    state.bell.ring(Lane::Sync);
    Ok(Json(answer))
}
