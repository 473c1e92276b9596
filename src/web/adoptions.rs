//! Adoptions: what drifted is written into the repository as it is in the cluster, as `/bascule adopt ENV` does.

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
use crate::db::adoptions::{self, Adopting, Adoption};
use crate::db::{environments, repositories};
use crate::event::of_object::OfObject;
use crate::jobs::route::open_adoption;
use crate::queue::{self, Lane};

/// What is adopted.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AdoptAsked {
    /// One object: `KIND/NAME`, or `KIND/NAMESPACE/NAME`. Without it, everything that drifted.
    object: Option<String>,
}

/// That it was asked for, and what came of it so far.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Adopted {
    /// Its id, at `/api/v1/adoptions/{id}`.
    id: Uuid,
    /// `forge/owner/name`.
    repository: String,
    /// The environment's name.
    name: String,
    /// The one object that is meant; `null`: everything that drifted.
    object: Option<String>,
    /// `asked`, `opened` or `refused`.
    state: &'static str,
    /// The number of the pull request.
    number: Option<i64>,
    /// The same, as people write it there.
    shown_as: Option<String>,
    /// Why there is none.
    why: Option<String>,
    /// Who asked, as the log names them: the pull request's author.
    by: String,
    /// When it was asked for.
    asked_at: String,
}

impl Adopted {
    fn of(repository: String, name: String, adoption: Adoption, came: Adopting) -> Self {
        let (state, number, shown_as, why) = match came {
            Adopting::Asked => ("asked", None, None, None),
            Adopting::By(number, shown_as) => ("opened", Some(number), Some(shown_as), None),
            Adopting::Not(why) => ("refused", None, None, Some(why)),
        };
        Self {
            id: adoption.id,
            repository,
            name,
            object: adoption.of.map(|of| of.to_string()),
            state,
            number,
            shown_as,
            why,
            by: adoption.by,
            asked_at: adoption.asked_at.to_string(),
        }
    }
}

/// Opens a pull request that writes into the repository what drifted, as it is in the cluster. Whoever asks is its author;
/// `/api/v1/adoptions/{id}` says what came of it.
#[utoipa::path(post, path = "/api/v1/environments/{id}/adopt", tag = "environments", request_body = AdoptAsked,
    params(("id" = i64, Path, description = "The environment's number"), IdempotencyKey),
    responses((status = 200, body = Adopted), (status = "4XX", body = ProblemBody)))]
pub(super) async fn adopt(
    who: Allowed<Operate>,
    Of(state): Of<State>,
    Named(id): Named<i64>,
    once: Once,
) -> Result<Json<Value>, Problem> {
    if let Some(said) = once.said(&who, &state).await? {
        return Ok(Json(said));
    }
    // Who asks is the author of what is opened, and a token is nobody: whoever holds it could approve alone what it asked for.
    if who.session().is_none() {
        return Err(Problem::forbidden(
            "a machine token cannot ask for an adoption, since whoever asks is its author: sign in with `bascule login`, or type \
             `/bascule adopt` in a pull request",
        ));
    }
    let asked: AdoptAsked = once.body()?;
    let of = asked.object.as_deref().map(str::parse::<OfObject>).transpose();
    let of = of.map_err(|error| Problem::bad(format!("`object` is {error}")))?;
    // As with `heal`, `may` knows no word for it.
    let (repository, environment) = commanded(&who, &state, id, Command::Sync).await?;
    let name = named(&repository);
    let mut tx = state.pool.begin().await?;
    if adoptions::drifted(&mut tx, id, of.as_ref()).await? == 0 {
        let of = of.map(|of| format!(" of {of}")).unwrap_or_default();
        return Err(Problem::conflict(format!("no drift{of} is known, so there is nothing to adopt")));
    }
    let new = Adoption {
        id: state.clock.new_id(),
        environment: id,
        of,
        by: who.actor(),
        asked_in: None,
        trace: who.trace,
        asked_at: state.clock.now(),
    };
    adoptions::ask(&mut tx, &new).await?;
    queue::enqueue(&mut tx, &open_adoption(&repository.key, new.id, who.trace)).await?;
    let detail = json!({ "adoption": new.id, "of": new.of.as_ref().map(ToString::to_string) });
    audit::append(&mut tx, &who.entry("adoption.asked", format!("{name} {}", environment.name), detail)).await?;
    let answer = Adopted::of(name, environment.name.to_string(), new, Adopting::Asked);
    let answer = once.keep(&mut tx, (&who, &state.clock), vec![repository.key], &answer).await?;
    tx.commit().await?;
    state.bell.ring(Lane::Default);
    Ok(Json(answer))
}

/// What came of an adoption.
#[utoipa::path(get, path = "/api/v1/adoptions/{id}", tag = "environments",
    params(("id" = Uuid, Path, description = "The adoption's id")),
    responses((status = 200, body = Adopted), (status = "4XX", body = ProblemBody)))]
pub(super) async fn show(
    who: Allowed<Read>,
    Of(state): Of<State>,
    Named(id): Named<Uuid>,
) -> Result<Json<Adopted>, Problem> {
    let absent = || Problem::absent("adoption");
    let mut connection = state.pool.acquire().await?;
    let (adoption, came) = adoptions::get(&mut connection, id).await?.ok_or_else(absent)?;
    let environment = environments::get(&mut connection, adoption.environment).await?.ok_or_else(absent)?;
    let repository = repositories::get(&mut connection, environment.repository).await?.ok_or_else(absent)?;
    drop(connection);
    who.may_read(&state, environment.repository, "adoption").await?;
    Ok(Json(Adopted::of(named(&repository), environment.name.to_string(), adoption, came)))
}
