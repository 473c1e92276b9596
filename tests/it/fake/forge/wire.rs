//! How answers look on the wire: pages, refusals, and every way of failing.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::http::{Response, StatusCode, header};
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::state::Fault;

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
pub(super) fn sent(page: Page, path: &[String], query: &BTreeMap<String, String>, largest: usize) -> Response<Body> {
    let number = |key: &str, default: usize| query.get(key).and_then(|v| v.parse().ok()).unwrap_or(default);
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
            let limit = number("limit", largest).min(largest);
            let total = all.len();
            let shown: Vec<Value> = all.into_iter().skip((number("page", 1).max(1) - 1) * limit).take(limit).collect();
            // The timeline's count is of the page, in the real one too.
            let counted = if path.last().is_some_and(|last| last == "timeline") { shown.len() } else { total };
            // So is its `null`, past its end.
            let is_null = shown.is_empty() && path.last().is_some_and(|last| last == "timeline");
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
pub(super) fn refusal(status: StatusCode, why: &str) -> Response<Body> {
    let body = json!({ "errors": null, "message": why, "url": "http://localhost/api/swagger" }).to_string();
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json;charset=utf-8")
        .body(Body::from(body))
        .unwrap()
}

/// As a broken one answers.
pub(super) async fn broken(fault: Fault) -> Response<Body> {
    let page = |status: u16, kind: &str, body: Body| {
        Response::builder().status(status).header(header::CONTENT_TYPE, kind).body(body).unwrap()
    };
    match fault {
        Fault::Status(status) => refusal(StatusCode::from_u16(status).unwrap(), "as you wished"),
        Fault::Html(status) => page(status, "text/html", Body::from("<html><title>Sign in</title></html>")),
        Fault::SlowDown(seconds) => {
            let mut response = refusal(StatusCode::TOO_MANY_REQUESTS, "slow down");
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            response
        }
        Fault::BreaksOff => {
            let chunks: [Result<Bytes, std::io::Error>; 2] =
                [Ok(Bytes::from("{\"id\":")), Err(std::io::Error::other("gone"))];
            page(200, "application/json", Body::from_stream(futures::stream::iter(chunks)))
        }
        Fault::Hangs => std::future::pending().await,
        Fault::Endless => {
            let chunk = Bytes::from(" ".repeat(1 << 16));
            let chunks = futures::stream::repeat(chunk).map(Ok::<_, std::io::Error>);
            page(200, "application/json", Body::from_stream(chunks))
        }
        Fault::OtherShape => page(200, "application/json", Body::from("{\"surprise\":[1,2,3]}")),
        Fault::Redirects(to) => {
            let mut response = page(302, "text/html", Body::from("elsewhere"));
            response.headers_mut().insert(header::LOCATION, to.parse().unwrap());
            response
        }
    }
}
