//! How answers look on the wire: pages and refusals.

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use serde_json::{Value, json};

use super::super::server::Call;

/// An answer: a value, a list to page through (or whole, where the real one has no pages), or a refusal.
pub(super) enum Page {
    One(StatusCode, Value),
    List(Vec<Value>),
    Whole(Vec<Value>),
    Moved(String),
    Refused(StatusCode, String),
}

pub(super) const NOT_FOUND: Page = Page::Refused(StatusCode::NOT_FOUND, String::new());

pub(super) fn found(value: Value) -> Page {
    Page::One(StatusCode::OK, value)
}

pub(super) fn made(value: Value) -> Page {
    Page::One(StatusCode::CREATED, value)
}

/// Writes it, `largest` entries a page at most.
pub(super) fn sent(page: Page, call: &Call, largest: usize) -> Response<Body> {
    let is_timeline = call.path.last().is_some_and(|last| last == "timeline");
    let json = |status: StatusCode, value: &Value| {
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "application/json;charset=utf-8")
            .body(Body::from(value.to_string()))
    };
    match page {
        Page::One(status, value) => json(status, &value).unwrap(),
        Page::Whole(all) => json(StatusCode::OK, &Value::Array(all)).unwrap(),
        Page::List(all) => {
            let limit = call.number("limit").unwrap_or(largest).min(largest);
            let total = all.len();
            let shown: Vec<Value> =
                all.into_iter().skip((call.number("page").unwrap_or(1).max(1) - 1) * limit).take(limit).collect();
            // The timeline's count is of the page, in the real one too.
            let counted = if is_timeline { shown.len() } else { total };
            // So is its `null`, past its end.
            let is_null = shown.is_empty() && is_timeline;
            let body = if is_null { Value::Null } else { Value::Array(shown) };
            let mut response = json(StatusCode::OK, &body).unwrap();
            response.headers_mut().insert("x-total-count", counted.into());
            response
        }
        Page::Moved(to) => {
            let moved = Response::builder().status(StatusCode::MOVED_PERMANENTLY).header(header::LOCATION, to);
            moved
                .header(header::CONTENT_TYPE, "text/html; charset=utf-8")
                .body(Body::from("Moved Permanently"))
                .unwrap()
        }
        Page::Refused(status, why) if why.is_empty() => refusal(status, "not found"),
        Page::Refused(status, why) => refusal(status, &why),
    }
}

/// As the real one says no.
pub(in super::super) fn refusal(status: StatusCode, why: &str) -> Response<Body> {
    let body = json!({ "errors": null, "message": why, "url": "http://localhost/api/swagger" }).to_string();
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json;charset=utf-8")
        .body(Body::from(body))
        .unwrap()
}
