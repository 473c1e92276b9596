//! The log as it is read by others, each look an entry of its own.

use bascule::web::token::Scope;
use serde_json::json;

use super::Api;

#[tokio::test]
async fn the_log_is_read_in_pages_and_every_look_is_an_entry() {
    let api = Api::new().await;
    let auditor = api.token("auditor", &[Scope::Audit]).await;
    api.append(5).await;
    let (mut path, mut seen, mut pages) = ("/api/v1/audit?limit=2&action=sync.started".to_owned(), Vec::new(), 0);
    loop {
        let page = api.get(&path, &auditor).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|entry| entry["seq"].as_i64().unwrap()));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/audit?limit=2&action=sync.started&before={next}"),
            None => break,
        }
    }
    assert_eq!((seen, pages), (vec![6, 5, 4, 3, 2], 3));
    for bad in
        ["before=x", "limit=0", "limit=x", "unknown=1", "from=yesterday", "subject=%00", "before=1;drop table job"]
    {
        let answered = api.get(&format!("/api/v1/audit?{bad}"), &auditor).await;
        assert_eq!((answered.status, answered.kind.as_str()), (400, "application/problem+json"), "{bad}");
    }
    let injected = api.get("/api/v1/audit?subject=%27%20OR%20true%20--", &auditor).await.json();
    assert_eq!(injected["items"], json!([]));
    assert_eq!(api.get("/api/v1/audit/2", &auditor).await.json()["detail"], json!({ "n": 0 }));
    assert_eq!(api.get("/api/v1/audit/999", &auditor).await.status, 404);
    assert_eq!(api.get("/api/v1/audit/x", &auditor).await.status, 404);
    let export = api.get("/api/v1/audit/export", &auditor).await;
    assert_eq!(export.kind, "application/x-ndjson");
    let actions = api.actions().await;
    assert_eq!(export.text.lines().count(), actions.len(), "the export ends with its own entry");
    insta::assert_snapshot!(actions[6..].join(" "), @"audit.read audit.read audit.read audit.read audit.read audit.exported");
}
