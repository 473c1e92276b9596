//! How answers look on the wire: refusals, limits, and what has not changed since it was asked for last.

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::server::Call;
use super::super::state::State;
use super::link;

const DOCUMENTATION: &str = "https://docs.github.com/enterprise-server@3.19/rest";
/// Calls an account has in an hour.
const LIMIT: u32 = 15_000;

/// An answer: a value, a list to page through, the same by cursor, or a refusal.
pub(super) enum Page {
    One(StatusCode, Value),
    List(Vec<Value>),
    /// A list within an object: the key it is under, and what is beside it.
    Within(&'static str, Vec<Value>, Value),
    /// The parameter that says where it goes on.
    ByCursor(&'static str, Vec<Value>),
    /// Below the API's own place.
    Moved(String),
    Refused(StatusCode, String),
    /// A field that cannot be what it is, and why.
    Invalid {
        resource: &'static str,
        field: &'static str,
        why: String,
    },
}

pub(super) const NOT_FOUND: Page = Page::Refused(StatusCode::NOT_FOUND, String::new());

pub(super) fn found(value: Value) -> Page {
    Page::One(StatusCode::OK, value)
}

pub(super) fn made(value: Value) -> Page {
    Page::One(StatusCode::CREATED, value)
}

pub(super) fn forbidden(why: &str) -> Page {
    Page::Refused(StatusCode::FORBIDDEN, why.to_owned())
}

/// Writes it, with what is in every answer.
pub(super) fn sent(state: &mut State, page: Page, call: &Call) -> Response<Body> {
    let largest = state.largest_page;
    let place = format!("{}/api/v3/{}", state.url, call.path.join("/"));
    let (status, value, links) = match page {
        Page::One(status, value) => (status, value, String::new()),
        Page::List(all) => {
            let (shown, links) = link::numbered(all, &place, call, largest);
            (StatusCode::OK, Value::Array(shown), links)
        }
        Page::Within(key, all, mut beside) => {
            let (shown, links) = link::numbered(all, &place, call, largest);
            beside[key] = Value::Array(shown);
            (StatusCode::OK, beside, links)
        }
        Page::ByCursor(key, all) => match link::by_cursor(key, all, &place, call, largest) {
            Some((shown, links)) => (StatusCode::OK, Value::Array(shown), links),
            None => return refusal(StatusCode::UNPROCESSABLE_ENTITY, "Invalid cursor"),
        },
        Page::Moved(to) => {
            let url = format!("{}/api/v3/{to}", state.url);
            let body = json!({ "message": "Moved Permanently", "url": url, "documentation_url": DOCUMENTATION });
            let mut response = json_of(StatusCode::MOVED_PERMANENTLY, &body);
            response.headers_mut().insert(header::LOCATION, url.parse().unwrap());
            return limited(state, response);
        }
        Page::Refused(status, why) => return limited(state, refusal(status, &why)),
        Page::Invalid { resource, field, why } => {
            let error = json!({ "resource": resource, "code": "custom", "field": field, "message": why });
            let body = json!({
                "message": "Validation Failed",
                "errors": [error],
                "documentation_url": DOCUMENTATION,
                "status": "422",
            });
            return limited(state, json_of(StatusCode::UNPROCESSABLE_ENTITY, &body));
        }
    };
    let mut response = json_of(status, &value);
    if !links.is_empty() {
        response.headers_mut().insert(header::LINK, links.parse().unwrap());
    }
    if call.method != "GET" {
        return limited(state, response);
    }
    let tag = format!("W/\"{}\"", hex::encode(Sha256::digest(format!("{links}{value}"))));
    if call.header("if-none-match") == tag {
        // It costs nothing.
        state.calls_left += 1;
        response = Response::builder().status(StatusCode::NOT_MODIFIED).body(Body::empty()).unwrap();
    }
    response.headers_mut().insert(header::ETAG, tag.parse().unwrap());
    limited(state, response)
}

fn json_of(status: StatusCode, value: &Value) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .header("x-github-media-type", "github.v3; format=json")
        .header("x-github-enterprise-version", "3.19.0")
        .body(Body::from(value.to_string()))
        .unwrap()
}

/// Counts the call.
fn limited(state: &mut State, mut response: Response<Body>) -> Response<Body> {
    state.calls_left = state.calls_left.saturating_sub(1).max(1);
    let reset = state.now().as_second() + 3_600;
    limits(&mut response, state.calls_left, reset);
    response
}

fn limits(response: &mut Response<Body>, left: u32, reset: i64) {
    let headers = response.headers_mut();
    headers.insert("x-ratelimit-limit", LIMIT.into());
    headers.insert("x-ratelimit-remaining", left.into());
    headers.insert("x-ratelimit-used", LIMIT.saturating_sub(left).into());
    headers.insert("x-ratelimit-reset", reset.into());
    headers.insert("x-ratelimit-resource", header::HeaderValue::from_static("core"));
}

/// As the real one says no.
pub(in super::super) fn refusal(status: StatusCode, why: &str) -> Response<Body> {
    let why = match why {
        "" => status.canonical_reason().unwrap_or("Not Found"),
        why => why,
    };
    let code = status.as_u16().to_string();
    json_of(status, &json!({ "message": why, "documentation_url": DOCUMENTATION, "status": code }))
}

/// The secondary limit: nobody can ask how near it is.
pub(in super::super) fn too_many() -> Response<Body> {
    let why = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
    refusal(StatusCode::FORBIDDEN, why)
}

/// The primary limit: forbidden, until a time that is told in seconds since 1970.
pub(in super::super) fn used_up(reset: i64) -> Response<Body> {
    let mut response = refusal(StatusCode::FORBIDDEN, "API rate limit exceeded for user ID 1.");
    limits(&mut response, 0, reset);
    response
}
