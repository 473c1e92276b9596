//! What `bascule connect` asks of a GitLab: as docs.gitlab.com/api/project_webhooks, /api/personal_access_tokens and
//! /api/projects show the answers.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::http::{Method, Uri};
use bascule::forge::{Forge, NewWebhook, RepositoryAt, RepositoryName, Right};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::client;

/// A forge that answers each call with one thing, and remembers what was written.
struct Desk {
    forge: Forge,
    wrote: Arc<Mutex<Vec<(String, Value)>>>,
    _serving: JoinSet<()>,
}

impl Desk {
    async fn new(answers: &[(&str, Value)]) -> Self {
        let answers: Vec<(String, Value)> =
            answers.iter().map(|(call, said)| ((*call).to_owned(), said.clone())).collect();
        let wrote = Arc::new(Mutex::new(Vec::new()));
        let remembers = wrote.clone();
        let router = axum::Router::new().fallback(async move |method: Method, uri: Uri, body: axum::body::Bytes| {
            let call = format!("{method} {}", uri.path());
            if method != Method::GET {
                remembers.lock().unwrap().push((call.clone(), serde_json::from_slice(&body).unwrap()));
            }
            let said = answers.iter().find(|(known, _)| *known == call).map(|(_, said)| said.clone());
            Json(said.unwrap_or_else(|| panic!("{call} is not expected")))
        });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let forge = client(&format!("http://{}", listener.local_addr().unwrap()));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { forge, wrote, _serving: serving }
    }
}

fn shop() -> RepositoryAt {
    RepositoryAt { id: 7, name: RepositoryName::in_groups("acme/web/shop").unwrap() }
}

fn hook(signing_token_present: bool) -> Value {
    json!({
        "id": 3, "url": "https://b.example/webhooks/lab", "push_events": true, "merge_requests_events": true,
        "note_events": false, "alert_status": "temporarily_disabled", "signing_token_present": signing_token_present,
    })
}

#[tokio::test]
async fn the_role_and_the_scopes_of_a_token_are_compared_with_what_is_needed() {
    let rights = async |level: Value, scopes: &[&str]| {
        let project = json!({ "id": 7, "permissions": { "project_access": null, "group_access": level } });
        let token = json!({ "id": 1, "name": "bascule", "scopes": scopes, "active": true });
        let desk =
            Desk::new(&[("GET /api/v4/projects/7", project), ("GET /api/v4/personal_access_tokens/self", token)]).await;
        let rights = desk.forge.rights(&shop()).await.unwrap();
        let line = |right: &Right| format!("{:?}: {}", right.holding, right.spelt);
        rights.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(rights(json!({ "access_level": 40 }), &["api"]).await, @"
    AsNeeded: the role Developer in the project
    AsNeeded: the role Maintainer in the project
    AsNeeded: the token's scope `api`
    ");
    insta::assert_snapshot!(rights(json!({ "access_level": 50 }), &["api", "sudo"]).await, @"
    TooMuch: the role Owner in the project
    TooMuch: the token's scope `sudo`
    AsNeeded: the role Developer in the project
    AsNeeded: the token's scope `api`
    ");
    insta::assert_snapshot!(rights(Value::Null, &["read_api"]).await, @"
    Missing: the role Developer in the project
    Missing: the role Maintainer in the project
    Missing: the token's scope `api`
    TooMuch: the token's scope `read_api`
    ");
}

#[tokio::test]
async fn a_webhook_is_put_in_order_under_either_secret_and_a_token_that_is_passed_over_is_told() {
    let answers = [
        ("GET /api/v4/projects/7/hooks", json!([hook(true)])),
        ("POST /api/v4/projects/7/hooks", hook(false)),
        ("PUT /api/v4/projects/7/hooks/3", hook(true)),
    ];
    let desk = Desk::new(&answers).await;
    let found = desk.forge.webhooks(&shop()).await.unwrap().remove(0);
    assert_eq!((found.id, found.is_active, found.unheard), (Some(3), false, vec!["note_events"]));

    let url = "https://b.example/webhooks/lab";
    let signing = format!("whsec_{}", "A".repeat(44)).into();
    desk.forge.put_webhook(&shop(), found.id, NewWebhook { url, secret: &signing }).await.unwrap();
    let older = "whisper".to_owned().into();
    desk.forge.put_webhook(&shop(), None, NewWebhook { url, secret: &older }).await.unwrap();
    let passed_over = desk.forge.put_webhook(&shop(), None, NewWebhook { url, secret: &signing }).await.unwrap_err();
    assert!(passed_over.what.contains("passed over its signing token"), "{passed_over}");

    let wrote = desk.wrote.lock().unwrap().clone();
    let keys = |body: &Value| ["token", "signing_token"].map(|key| body.get(key).is_some());
    let told: Vec<_> = wrote.iter().map(|(call, body)| (call.as_str(), keys(body))).collect();
    let (post, put) = ("POST /api/v4/projects/7/hooks", "PUT /api/v4/projects/7/hooks/3");
    assert_eq!(told, [(put, [false, true]), (post, [true, false]), (post, [false, true])]);
    assert_eq!(wrote[0].1["note_events"], true);
}
