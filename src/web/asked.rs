//! What a request asks for, read strictly: a parameter we do not know or cannot read is a 400, never passed over.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::problem::Problem;

/// Entries of a page without `limit`.
const USUAL: i64 = 50;
/// Entries of a page at most; more is capped.
const MOST: i64 = 200;

/// The query of a request. Types deny fields they do not name.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        let Query(asked) = read.map_err(|_| {
            Problem::bad("a parameter of the query is unknown or cannot be read; see /api/v1/openapi.json")
        })?;
        Ok(Self(asked))
    }
}

/// The one parameter of a path. What cannot be one is not there.
pub(super) struct Named<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        read.map(|Path(named)| Self(named)).map_err(|_| Problem::absent("page"))
    }
}

/// How many entries a page holds.
pub(super) fn limit(asked: Option<i64>) -> Result<i64, Problem> {
    match asked {
        None => Ok(USUAL),
        Some(limit) if limit < 1 => Err(Problem::bad("`limit` is at least 1")),
        Some(limit) => Ok(limit.min(MOST)),
    }
}

/// A moment, `2026-11-21T09:00:00Z`, or a day, which begins in UTC.
pub(super) fn moment(name: &str, asked: Option<&str>) -> Result<Option<jiff::Timestamp>, Problem> {
    let Some(text) = asked else { return Ok(None) };
    let day = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|z| z.timestamp());
    let read = text.parse::<jiff::Timestamp>().ok().or_else(day);
    read.map(Some).ok_or_else(|| Problem::bad(format!("`{name}` is no time: write 2026-11-21 or 2026-11-21T09:00:00Z")))
}

/// A text for the database, which holds no U+0000.
pub(super) fn text(asked: Option<&str>) -> Result<Option<&str>, Problem> {
    match asked {
        Some(text) if text.contains('\0') => Err(Problem::bad("a text holds no U+0000")),
        text => Ok(text),
    }
}

/// One page, newest first. `next` is the `before` of the page after it; without it there is none.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// At most `limit` of them.
    pub(super) items: Vec<T>,
    /// The cursor.
    pub(super) next: Option<String>,
}

impl<T> Page<T> {
    /// A page whose next one begins before its last item; a page that is not full is the last.
    pub(super) fn of<R: Into<T>>(rows: Vec<R>, limit: i64, cursor: impl Fn(&T) -> String) -> Self {
        let items: Vec<T> = rows.into_iter().map(R::into).collect();
        let is_full = i64::try_from(items.len()).is_ok_and(|len| len >= limit);
        let next = items.last().filter(|_| is_full).map(cursor);
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_times_are_read_or_refused() {
        assert_eq!(limit(None).unwrap(), 50);
        assert_eq!(limit(Some(1_000_000)).unwrap(), 200);
        assert!(limit(Some(0)).is_err() && limit(Some(-1)).is_err());
        let at = |text| moment("from", Some(text)).map(|at| at.map(|at| at.to_string()));
        assert_eq!(at("2026-11-21").unwrap().as_deref(), Some("2026-11-21T00:00:00Z"));
        assert_eq!(at("2026-11-21T09:30:00+01:00").unwrap().as_deref(), Some("2026-11-21T08:30:00Z"));
        assert!(at("yesterday").is_err() && at("").is_err());
    }
}
