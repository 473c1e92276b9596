//! What a client is told when it does not get what it asked for: `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// A failed request. The detail never repeats what a client sent, and never what the database said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
}

/// As it is written.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProblemBody {
    /// The status as text, of the registry of HTTP.
    title: String,
    /// The status.
    status: u16,
    /// What is wrong and what to do.
    detail: String,
}

impl Problem {
    /// A request that is wrong in itself: never to be repeated as it is.
    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, detail: detail.into() }
    }

    /// No token, or one that is none (any more): another one is needed.
    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, detail: detail.into() }
    }

    /// Whether it is for want of a token.
    pub(super) fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// Whether something that is away did not answer.
    pub(super) fn is_unavailable(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE
    }

    /// A good token without the scope.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, detail: detail.into() }
    }

    /// There is none.
    pub(super) fn absent(what: &str) -> Self {
        Self { status: StatusCode::NOT_FOUND, detail: format!("there is no such {what}") }
    }

    /// The contract has it, and this version does not: refused by name, never passed over.
    pub(super) fn later(what: &str) -> Self {
        Self { status: StatusCode::NOT_IMPLEMENTED, detail: format!("{what} is not in this version") }
    }

    /// It is there, and not in a state for this.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, detail: detail.into() }
    }

    /// It is right in itself, and not what was asked before under the same key.
    pub(super) fn another(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, detail: detail.into() }
    }

    /// Our fault, or our database's: worth trying again.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, detail: detail.into() }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a request failed at the database");
        Self::unavailable("the database did not answer as it should; try again")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, detail } = self;
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        let mut response = (status, Json(ProblemBody { title, status: status.as_u16(), detail })).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"bascule\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
