//! How answers look on the wire: pages, and refusals.

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use serde_json::{Value, json};

use super::super::server::Call;
use super::super::state::State;

/// Entries of a page unless asked otherwise.
const DEFAULT: usize = 20;

/// An answer: a value, a list to page through, or a refusal.
pub(super) enum Page {
    One(StatusCode, Value),
    List(Vec<Value>),
    Refused(StatusCode, String),
}

pub(super) const NOT_FOUND: Page = Page::Refused(StatusCode::NOT_FOUND, String::new());

pub(super) fn found(value: Value) -> Page {
    Page::One(StatusCode::OK, value)
}

pub(super) fn made(value: Value) -> Page {
    Page::One(StatusCode::CREATED, value)
}

pub(super) fn bad(why: &str) -> Page {
    Page::Refused(StatusCode::BAD_REQUEST, why.to_owned())
}

/// Writes it, with what is in every answer.
pub(super) fn sent(state: &State, page: Page, call: &Call) -> Response<Body> {
    let mut response = match page {
        Page::One(status, value) => json_of(status, &value),
        Page::Refused(status, why) => refusal(status, &why),
        Page::List(all) => {
            let per_page =
                call.number("per_page").filter(|count| *count > 0).unwrap_or(DEFAULT).min(state.largest_page);
            let page = call.number("page").filter(|page| *page > 0).unwrap_or(1);
            let (total, pages) = (all.len(), all.len().div_ceil(per_page).max(1));
            let shown: Vec<Value> = all.into_iter().skip((page - 1) * per_page).take(per_page).collect();
            let mut response = json_of(StatusCode::OK, &Value::Array(shown));
            let next = if page < pages { (page + 1).to_string() } else { String::new() };
            let previous = if page > 1 { (page - 1).to_string() } else { String::new() };
            let headers = response.headers_mut();
            for (name, value) in [
                ("x-page", page.to_string()),
                ("x-per-page", per_page.to_string()),
                ("x-next-page", next),
                ("x-prev-page", previous),
                ("x-total", total.to_string()),
                ("x-total-pages", pages.to_string()),
            ] {
                headers.insert(name, value.parse().unwrap());
            }
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert("ratelimit-limit", 2_000.into());
    headers.insert("ratelimit-remaining", 1_999.into());
    response
}

fn json_of(status: StatusCode, value: &Value) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-gitlab-meta", "{\"correlation_id\":\"01\",\"version\":\"1\"}")
        .body(Body::from(value.to_string()))
        .unwrap()
}

/// As the real one says no.
pub(in super::super) fn refusal(status: StatusCode, why: &str) -> Response<Body> {
    let why = match why {
        "" => format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or("Not Found")),
        why => why.to_owned(),
    };
    json_of(status, &json!({ "message": why }))
}
