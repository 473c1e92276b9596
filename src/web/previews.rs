//! `/api/v1/previews`: what pull requests and held changes would do, as it was shown.

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::asked::{Asked, Named, Page, limit, text};
use super::problem::{Problem, ProblemBody};
use super::who::{Allowed, Read};
use super::{Of, State, place};
use crate::db::previews::{self, Listed, WhichPreviews};

/// A preview as it is listed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PreviewLine {
    /// Its number: the one of `/previews/{id}`.
    id: i64,
    /// `forge/owner/name`.
    repository: String,
    /// The pull request, or the issue a held change is shown in. Negative where issues are counted apart.
    number: Option<i64>,
    /// The same as people write it there: `#5`, or `!5`.
    place: Option<String>,
    /// What was previewed.
    head: String,
    /// Against what.
    base: String,
    /// By the forge's clock, when it was shown first; none while it is not.
    shown_at: Option<String>,
    /// From delivery to sync.
    trace: String,
}

impl PreviewLine {
    fn of(one: Listed, state: &State) -> Self {
        Self {
            place: one.number.map(|number| place::written(state, &one.forge, number)),
            id: one.id,
            repository: format!("{}/{}", one.forge, one.repository),
            number: one.number,
            head: one.head,
            base: one.base,
            shown_at: one.shown_at.map(|at| at.to_string()),
            trace: one.trace.to_string(),
        }
    }
}

/// Which previews.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The cursor.
    before: Option<i64>,
    /// Previews of a page, at most 200.
    limit: Option<i64>,
    /// `owner/name` or `forge/owner/name`.
    repository: Option<String>,
    /// Of one pull request or issue.
    number: Option<i64>,
}

/// Previews, newest first.
#[utoipa::path(get, path = "/api/v1/previews", tag = "previews", params(Which),
    responses((status = 200, body = Page<PreviewLine>), (status = "4XX", body = ProblemBody)))]
pub(super) async fn list(
    who: Allowed<Read>,
    Of(state): Of<State>,
    Asked(which): Asked<Which>,
) -> Result<Json<Page<PreviewLine>>, Problem> {
    let limit = limit(which.limit)?;
    let sight = who.sees(&state, which.repository.as_deref()).await?;
    let asked = WhichPreviews {
        repository: text(which.repository.as_deref())?,
        number: which.number,
        before: which.before,
        readable: sight.ours(),
    };
    let mut connection = state.pool.acquire().await?;
    let items = previews::list(&mut connection, &asked, limit).await?;
    let items: Vec<PreviewLine> = items.into_iter().map(|one| PreviewLine::of(one, &state)).collect();
    Ok(Json(Page::of(items, limit, |one: &PreviewLine| one.id.to_string())))
}

/// A preview.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Preview {
    /// Its number.
    id: i64,
    /// All it shows, redacted.
    page: Value,
}

/// One preview, whole.
#[utoipa::path(get, path = "/api/v1/previews/{id}", tag = "previews", params(("id" = i64, Path, description = "Its number")),
    responses((status = 200, body = Preview), (status = "4XX", body = ProblemBody)))]
pub(super) async fn show(
    who: Allowed<Read>,
    Of(state): Of<State>,
    Named(id): Named<i64>,
) -> Result<Json<Preview>, Problem> {
    let found = previews::page(&mut *state.pool.acquire().await?, id).await?;
    let (repository, page) = found.ok_or_else(|| Problem::absent("preview"))?;
    who.may_read(&state, repository, "preview").await?;
    Ok(Json(Preview { id, page }))
}
