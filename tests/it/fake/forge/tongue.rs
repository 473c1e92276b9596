//! Which forge it is, as far as anyone can tell from outside: what it keeps is the same, how it says it is not.

use axum::body::Body;
use axum::http::{Response, StatusCode};

use super::hook::{Delivery, Happened, Told};
use super::server::Call;
use super::state::State;
use super::{World, gitea};

/// The API a forge speaks, and the deliveries it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tongue {
    Gitea,
}

impl Tongue {
    /// What comes before a call of its API.
    pub(super) fn api(self) -> [&'static str; 2] {
        match self {
            Self::Gitea => ["api", "v1"],
        }
    }

    /// An API call.
    pub(super) async fn answer(self, world: &World, call: Call) -> Response<Body> {
        match self {
            Self::Gitea => gitea::answer(world, call).await,
        }
    }

    /// As it says no.
    pub(super) fn refusal(self, status: StatusCode, why: &str) -> Response<Body> {
        match self {
            Self::Gitea => gitea::refusal(status, why),
        }
    }

    /// What it tells of what happened; nothing where the real one is silent.
    pub(super) fn told(self, state: &State, happened: &Happened<'_>) -> Option<Told> {
        match self {
            Self::Gitea => gitea::told(state, happened),
        }
    }

    /// The headers of a delivery.
    pub(super) fn headers(self, delivery: &Delivery) -> Vec<(String, String)> {
        match self {
            Self::Gitea => gitea::headers(delivery),
        }
    }
}
