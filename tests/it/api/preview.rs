//! A preview: the page and the same in JSON.

use bascule::web::token::Scope;
use serde_json::json;

use super::{Api, store_preview};

#[tokio::test]
async fn a_preview_is_a_page_that_runs_nothing_and_is_shown_to_whom_it_may() {
    let hostile = "</p><script>alert(1)</script>";
    let page = json!({ "subject": { "kind": "pull", "head": "a".repeat(40), "into": hostile },
        "outcome": { "kind": "untouched" }, "notes": [hostile] });
    let api = Api::new().await;
    let id = store_preview(&api, page.clone()).await;
    assert_eq!(api.get(&format!("/previews/{id}"), "").await.status, 401, "from this machine, too");
    let here = api.token("here", &[Scope::Read]).await;
    let shown = api.get(&format!("/previews/{id}"), &here).await;
    assert_eq!((shown.status, shown.kind.as_str()), (200, "text/html; charset=utf-8"), "{}", shown.text);
    assert!(!shown.text.contains("<script") && shown.text.contains("&lt;script&gt;"));
    let policy = shown.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"));
    assert_eq!(api.get("/previews/999", &here).await.status, 404);

    let public = Api::at("https://bascule.example.com").await;
    let id = store_preview(&public, page).await;
    let reader = public.token("reader", &[Scope::Read]).await;
    let auditor = public.token("auditor", &[Scope::Audit]).await;
    let path = format!("/previews/{id}");
    let asked = public.get(&path, "").await;
    assert_eq!(asked.status, 401);
    assert!(asked.headers["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    assert_eq!(public.get(&path, &reader).await.status, 200);
    assert_eq!(public.get(&path, &auditor).await.status, 403);
    let prompted = public.client.get(format!("http://{}{path}", public.at)).basic_auth("any", Some(&reader));
    assert_eq!(prompted.send().await.unwrap().status(), 200);
    let json = public.get(&format!("/api/v1{path}"), &reader).await.json();
    assert_eq!(json["page"]["notes"], json!([hostile]));
}
