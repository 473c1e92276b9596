//! `/api/v1/restored`: whether the database was put back from a backup, and nobody confirmed that yet.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{Problem, ProblemBody};
use super::who::{Allowed, Read};
use super::{Of, State};
use crate::db::restored;

/// What waits for an operator's word.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Restored {
    /// Until it is confirmed, no sync deletes anything. `null`: nothing waits.
    waiting: Option<Waiting>,
}

/// A database that was put back.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Waiting {
    /// When that was found.
    noticed_at: String,
    /// Entries of the log then.
    entries: i64,
    /// Entries the newest signed head counts; `null`: an operator, or a cluster, said that it was put back.
    signed: Option<i64>,
    /// The number by which a cluster was written and which this database had yet to give, if that is how it was found.
    fence: Option<i64>,
}

/// Whether the database was put back from a backup and nobody confirmed that yet, on the server's host, by `bascule restored
/// confirm`.
#[utoipa::path(get, path = "/api/v1/restored", tag = "restored",
    responses((status = 200, body = Restored), (status = "4XX", body = ProblemBody)))]
pub(super) async fn show(_: Allowed<Read>, Of(state): Of<State>) -> Result<Json<Restored>, Problem> {
    let open = restored::open(&mut *state.pool.acquire().await?).await?;
    let waiting = open.map(|one| Waiting {
        noticed_at: one.noticed_at.to_string(),
        entries: one.entries,
        signed: one.signed,
        fence: one.fence,
    });
    Ok(Json(Restored { waiting }))
}
