//! A preview: the page and the same in JSON.

use std::path::Path;

use bascule::web::token::Scope;
use serde_json::json;

use super::{Api, store_preview};
use crate::documents::comments;

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

/// Each as the server answers with it, beside the build's other files: `scripts/pages-check` looks at them in a browser.
#[tokio::test]
async fn the_pages_of_previews_are_served() {
    let api = Api::new().await;
    let here = api.token("here", &[Scope::Read]).await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, page) in
        [("small", comments::small()), ("failing", comments::failing()), ("oversize", comments::oversize())]
    {
        let id = store_preview(&api, serde_json::to_value(&page).unwrap()).await;
        for (layout, query) in [("unified", ""), ("split", "?layout=split"), ("found", "?find=web")] {
            let shown = api.get(&format!("/previews/{id}{query}"), &here).await;
            assert_eq!(shown.status, 200, "{name} {layout}");
            assert!(!shown.text.contains("hunter") && shown.text.ends_with("</html>\n"), "{name} {layout}");
            std::fs::write(folder.join(format!("{name}-{layout}.html")), &shown.text).unwrap();
        }
        let json = api.get(&format!("/api/v1/previews/{id}"), &here).await.json();
        assert_eq!(json["page"], serde_json::to_value(&page).unwrap(), "in JSON it is all of it");
    }
}
