//! GitLab when it is not well, or asks for patience: which fate each answer has, and that a write is sent once.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::response::IntoResponse as _;
use bascule::forge::{Fate, ForgeError, RepositoryAt};
use insta::assert_snapshot;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::client;

/// A server that answers everything so, and counts.
struct Always {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Always {
    async fn says(status: u16, body: Value, headers: &[(&'static str, &str)]) -> Self {
        let headers: Vec<(&'static str, String)> =
            headers.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let notes = asked.clone();
        let answer = move |method: axum::http::Method, uri: axum::http::Uri| {
            notes.lock().unwrap().push(format!("{method} {uri}"));
            let mut answer =
                (axum::http::StatusCode::from_u16(status).unwrap(), axum::Json(body.clone())).into_response();
            for (key, value) in &headers {
                answer.headers_mut().insert(*key, value.parse().unwrap());
            }
            async move { answer }
        };
        let mut serving = JoinSet::new();
        let router = Router::new().fallback(answer);
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked, _serving: serving }
    }
}

fn at() -> RepositoryAt {
    RepositoryAt { id: 7, name: "acme/shop".parse().unwrap() }
}

fn told(error: &ForgeError) -> String {
    let fate = match error.fate {
        Fate::Retry { after: None } => "retry".to_owned(),
        Fate::Retry { after: Some(after) } => format!("retry in {} s", after.as_secs()),
        Fate::Refused => "refused".to_owned(),
        Fate::Gone => "gone".to_owned(),
        Fate::Invalid => "invalid".to_owned(),
    };
    format!("{fate}: {error}")
}

#[tokio::test]
async fn a_limit_is_a_pause_and_what_is_missing_is_named() {
    let mut lines = String::new();
    let message = |text: &str| json!({ "message": text });
    let reset = jiff::Timestamp::from_second(1_767_603_690).unwrap();
    assert_eq!(reset.to_string(), "2026-01-05T09:01:30Z");
    for (what, status, body, headers) in [
        ("limit, with a time", 429, message("Retry later"), &[("retry-after", "60")][..]),
        ("limit, by its reset", 429, json!({}), &[("ratelimit-remaining", "0"), ("ratelimit-reset", "1767603690")][..]),
        ("limit, without", 429, message("Retry later"), &[]),
        (
            "limit of one action",
            429,
            json!({ "message": { "error": "This endpoint has been requested too many times." } }),
            &[],
        ),
        (
            "scope",
            403,
            json!({ "error": "insufficient_scope", "error_description": "The request requires higher privileges.", "scope": "api" }),
            &[],
        ),
        ("role", 403, message("403 Forbidden"), &[]),
        (
            "token",
            401,
            json!({ "error": "invalid_token", "error_description": "Token was revoked. You have to re-authorize." }),
            &[],
        ),
        ("not there", 404, message("404 Project Not Found"), &[]),
        ("by field", 400, json!({ "message": { "base": ["is `bad`"] } }), &[]),
        ("down", 502, message("502 Bad Gateway"), &[]),
        ("maintenance", 503, message("503 Service Unavailable"), &[("retry-after", "30")]),
        ("elsewhere", 302, json!({}), &[("location", "https://evil.example.com/api/v4/user")]),
    ] {
        let lab = Always::says(status, body, headers).await;
        let error = client(&lab.url).pull(&at(), 3).await.unwrap_err();
        writeln!(lines, "{what:20} {}", told(&error)).unwrap();
    }
    assert_snapshot!(lines, @r#"
    limit, with a time   retry in 60 s: forge lab: asks us to slow down (GET /v4/projects/7/merge_requests/3 answered 429: Retry later)
    limit, by its reset  retry in 90 s: forge lab: asks us to slow down (GET /v4/projects/7/merge_requests/3 answered 429)
    limit, without       retry in 60 s: forge lab: asks us to slow down (GET /v4/projects/7/merge_requests/3 answered 429: Retry later)
    limit of one action  retry in 60 s: forge lab: asks us to slow down (GET /v4/projects/7/merge_requests/3 answered 429: {"error":"This endpoint has been requested too many times."})
    scope                refused: forge lab: does not let our account do this (GET /v4/projects/7/merge_requests/3 answered 403: The request requires higher privileges.); it needs the role Reporter or higher in the project, and a token with the scope `api` or `read_api`
    role                 refused: forge lab: does not let our account do this (GET /v4/projects/7/merge_requests/3 answered 403: 403 Forbidden); it needs the role Reporter or higher in the project, and a token with the scope `api` or `read_api`
    token                refused: forge lab: does not take our token (GET /v4/projects/7/merge_requests/3 answered 401: Token was revoked. You have to re-authorize.); it needs a valid one, where `forge.lab.token` says
    not there            gone: forge lab: does not have it, or does not show it to our account (GET /v4/projects/7/merge_requests/3 answered 404: 404 Project Not Found)
    by field             invalid: forge lab: does not take this request (GET /v4/projects/7/merge_requests/3 answered 400: {"base":["is  bad "]})
    down                 retry: forge lab: is failing (GET /v4/projects/7/merge_requests/3 answered 502: 502 Bad Gateway)
    maintenance          retry in 30 s: forge lab: is failing (GET /v4/projects/7/merge_requests/3 answered 503: 503 Service Unavailable)
    elsewhere            retry: forge lab: did not answer as its API (GET /v4/projects/7/merge_requests/3 answered 302)
    "#);
}

#[tokio::test]
async fn a_write_is_sent_once_whatever_comes_back() {
    for status in [400, 403, 404, 409, 500, 502] {
        let lab = Always::says(status, json!({ "message": "no" }), &[]).await;
        let forge = client(&lab.url);
        forge.create_comment(&at(), 3, "hello").await.unwrap_err();
        forge.edit_comment(&at(), -3, 5, "hello").await.unwrap_err();
        let asked = lab.asked.lock().unwrap().clone();
        let expected = ["POST /api/v4/projects/7/merge_requests/3/notes", "PUT /api/v4/projects/7/issues/3/notes/5"];
        assert_eq!(asked, expected, "{status}");
    }
}

#[tokio::test]
async fn an_answer_of_graphql_with_an_error_in_it_is_none() {
    let errors = json!({ "errors": [{ "message": "Field 'tree' doesn't exist" }], "data": { "project": null } });
    let lab = Always::says(200, errors, &[]).await;
    let commit = "0123456789012345678901234567890123456789".parse().unwrap();
    let error = client(&lab.url).commit_people(&at(), &commit).await.unwrap_err();
    assert_snapshot!(told(&error), @"invalid: forge lab: does not answer this query (/graphql said Field 'tree' doesn't exist)");
}
