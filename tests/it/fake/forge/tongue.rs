//! Which forge it is, as far as anyone can tell from outside: what it keeps is the same, how it says it is not.

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use base64::Engine as _;

use super::hook::{Delivery, Happened, Told};
use super::server::Call;
use super::state::State;
use super::{SECRET, World, gitea, github, gitlab};

/// The API a forge speaks, and the deliveries it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tongue {
    /// Gitea and Forgejo.
    Gitea,
    /// GitHub Enterprise: its API is below `/api/v3` of its own address.
    GitHub,
    /// GitLab.
    GitLab,
}

impl Tongue {
    /// Its `kind` in `bascule.toml`.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Gitea => "gitea",
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
        }
    }

    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gitea => "Gitea",
            Self::GitHub => "GitHub",
            Self::GitLab => "GitLab",
        }
    }

    /// The most entries of a page.
    pub(super) fn largest_page(self) -> usize {
        match self {
            Self::Gitea => 50,
            Self::GitHub | Self::GitLab => 100,
        }
    }

    /// The secret of its deliveries, as the server is told it.
    pub(crate) fn secret(self) -> String {
        match self {
            Self::Gitea | Self::GitHub => SECRET.to_owned(),
            Self::GitLab => format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode(SECRET)),
        }
    }

    /// Whether the newest verdict of a person dismisses the ones before. (GitHub keeps all, and counts the newest.)
    pub(super) fn replaces_verdicts(self) -> bool {
        self != Self::GitHub
    }

    /// Whether the text of a review is a comment, and edited as one.
    pub(super) fn keeps_reviews_as_comments(self) -> bool {
        self != Self::GitHub
    }

    /// Whether it is a comment like any other, which a verdict has none of.
    pub(super) fn knows_no_reviews(self) -> bool {
        self == Self::GitLab
    }

    /// Whether issues are numbered apart from pull requests.
    pub(super) fn numbers_issues_apart(self) -> bool {
        self == Self::GitLab
    }

    /// Whether what is said moves a pull request's time once a minute at most.
    pub(super) fn touches_seldom(self) -> bool {
        self == Self::GitLab
    }

    /// Whether a dismissal can be taken back.
    pub(super) fn undoes_dismissals(self) -> bool {
        self == Self::Gitea
    }

    /// Whether a push is a change of the pull request.
    pub(super) fn counts_pushes(self) -> bool {
        self == Self::GitHub
    }

    /// The committer of what its buttons make, where that is nobody's own name.
    pub(super) fn merges_as(self) -> Option<&'static str> {
        match self {
            Self::Gitea | Self::GitLab => None,
            Self::GitHub => Some("web-flow"),
        }
    }

    /// What comes before a call of its API.
    pub(super) fn api(self) -> &'static [&'static str] {
        match self {
            Self::Gitea => &["api", "v1"],
            Self::GitHub => &["api", "v3"],
            Self::GitLab => &["api"],
        }
    }

    /// A call as the stories name it: `POST`, and `/repos/acme/shop/issues`.
    pub(super) fn called(self, state: &State, method: &str, path: &[String]) -> (String, String) {
        match self {
            Self::Gitea | Self::GitHub => (method.to_owned(), format!("/{}", path.join("/"))),
            Self::GitLab => gitlab::called(state, method, path),
        }
    }

    /// An API call.
    pub(super) async fn answer(self, world: &World, call: Call) -> Response<Body> {
        match self {
            Self::Gitea => gitea::answer(world, call).await,
            Self::GitHub => github::answer(world, call).await,
            Self::GitLab => gitlab::answer(world, call).await,
        }
    }

    /// As it says no.
    pub(super) fn refusal(self, status: StatusCode, why: &str) -> Response<Body> {
        match self {
            Self::Gitea => gitea::refusal(status, why),
            Self::GitHub => github::refusal(status, why),
            Self::GitLab => gitlab::refusal(status, why),
        }
    }

    /// As it asks for a pause.
    pub(super) fn too_many(self, seconds: u32) -> Response<Body> {
        let mut response = match self {
            Self::Gitea => gitea::refusal(StatusCode::TOO_MANY_REQUESTS, "slow down"),
            Self::GitHub => github::too_many(),
            Self::GitLab => gitlab::refusal(StatusCode::TOO_MANY_REQUESTS, "Retry later"),
        };
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        response
    }

    /// What it tells of what happened; nothing where the real one is silent.
    pub(super) fn told(self, state: &State, happened: &Happened<'_>) -> Vec<Told> {
        match self {
            Self::Gitea => gitea::told(state, happened),
            Self::GitHub => github::told(state, happened),
            Self::GitLab => gitlab::told(state, happened),
        }
    }

    /// The headers of a delivery that is sent at this time.
    pub(super) fn headers(self, delivery: &Delivery, at: jiff::Timestamp) -> Vec<(String, String)> {
        match self {
            Self::Gitea => gitea::headers(delivery),
            Self::GitHub => github::headers(delivery),
            Self::GitLab => gitlab::headers(delivery, at),
        }
    }
}
