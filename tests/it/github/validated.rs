//! Every call once more, judged by another reader of GitHub's description than ours: the validating mock that everybody uses.
//! Two readers make their own mistakes; ours, in `description.rs`, also refuses parameters that nobody described.

use serde_json::{Value, json};

use super::contract::{asked_by_app, asked_by_token};
use super::description::{file_of_cloud, file_of_server};
use super::wire::Asked;
use crate::parts::{Progress, Validator};

/// A call: method, path with query, body or null.
type Call = (String, String, Value);

fn call(asked: &Asked) -> Call {
    let (method, path) = asked.line.split_once(' ').unwrap();
    (method.to_owned(), path.to_owned(), asked.body.clone())
}

/// What the mock finds wrong with a call, nothing when it answers it.
async fn faults(client: &reqwest::Client, mock: &Validator, (method, path, body): &Call) -> Vec<String> {
    let method: reqwest::Method = method.parse().unwrap();
    let mut request = client.request(method, format!("{}{path}", mock.url())).bearer_auth("token");
    if !body.is_null() {
        request = request.json(body);
    }
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let text = answer.text().await.unwrap();
    // What it finds wrong with the description's own examples is not the call's.
    let is_of_call = |found: &&Value| found["location"][0] == "request";
    let found: Vec<Value> =
        headers.get("sl-violations").map(|list| serde_json::from_slice(list.as_bytes()).unwrap()).unwrap_or_default();
    let mut wrong: Vec<String> = found.iter().filter(is_of_call).map(|one| one["message"].to_string()).collect();
    if wrong.is_empty() && !status.is_success() {
        wrong.push(format!("{status}: {text}"));
    }
    wrong
}

fn client() -> reqwest::Client {
    #[expect(clippy::disallowed_methods, reason = "it repeats what the product's client asked")]
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[tokio::test]
async fn another_reader_of_the_description_finds_nothing_wrong_with_any_call_either() {
    let progress = Progress::silent();
    let (cloud, server) = (file_of_cloud(), file_of_server());
    let (cloud, server) =
        tokio::try_join!(Validator::start(&progress, &cloud), Validator::start(&progress, &server)).unwrap();
    let mut calls: Vec<Call> = Vec::new();
    for wire in [asked_by_token().await, asked_by_app().await] {
        for asked in wire.take_asked() {
            let call = call(&asked);
            // The one path that no description has; `wire.rs` says why we ask it.
            if !call.1.starts_with("/repositories/") && !calls.contains(&call) {
                calls.push(call);
            }
        }
    }
    assert!(calls.len() > 70, "{} calls", calls.len());

    let client = client();
    for (name, mock) in [("api.github.com", &cloud), ("GitHub Enterprise Server", &server)] {
        let mut wrong = Vec::new();
        for call in &calls {
            let found = faults(&client, mock, call).await;
            wrong.extend(found.into_iter().map(|why| format!("{name}: {} {}: {why}", call.0, call.1)));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));

        // It would have told.
        let shop = "/repos/octocat/Hello-World";
        for (method, path, body, told) in [
            ("GET", format!("{shop}/pulls?state=merged"), Value::Null, "state must be equal to one of"),
            ("GET", format!("{shop}/pulls/one"), Value::Null, "must be integer"),
            ("GET", format!("{shop}/deployment"), Value::Null, "NO_PATH_MATCHED"),
            ("PUT", format!("{shop}/issues/1/comments"), Value::Null, "NO_METHOD_MATCHED"),
            ("POST", format!("{shop}/statuses/abc"), json!({ "state": "successful" }), "state must be equal to one of"),
            ("POST", format!("{shop}/issues/1/comments"), json!({ "text": "hello" }), "required property 'body'"),
            ("POST", format!("{shop}/deployments"), Value::Null, "Body parameter is required"),
        ] {
            let found = faults(&client, mock, &(method.to_owned(), path, body)).await;
            assert!(found.iter().any(|why| why.contains(told)), "{told}: {found:?}");
        }
    }
}
