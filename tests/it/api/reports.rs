//! Who approved what runs in production, and was it exactly that?

use bascule::web::token::Scope;
use serde_json::{Value, json};

use super::{Api, store_deployments};

#[tokio::test]
async fn who_approved_what_runs_and_was_it_exactly_that() {
    let api = Api::new().await;
    store_deployments(&api).await;
    let token = api.token("auditor", &[Scope::Audit, Scope::Read]).await;
    let told = |report: Value| -> Vec<String> {
        let items = report["items"].as_array().unwrap_or_else(|| panic!("{report}")).clone();
        let line = |one: Value| {
            let approvals = one["approvals"].as_array().unwrap().iter();
            let people: Vec<String> = approvals
                .map(|a| format!("{} {} {} {}", a["person"], a["exact"], a["reason"], a["not_counted"]))
                .collect();
            format!("{} {} current={} {people:?}", one["number"], one["answer"], one["current"])
        };
        items.into_iter().map(line).collect()
    };
    let all = told(api.get("/api/v1/reports/deployments?environment=production", &token).await.json());
    insta::assert_snapshot!(all.join("\n"), @r#"
    3 "unapproved" current=true ["\"work/dev (2)\" true null \"contributor: opened the pull request\""]
    2 "held" current=false ["\"work/lead (3)\" true \"hotfix\" null"]
    1 "exact" current=false ["\"work/lead (3)\" true null null"]
    "#);
    let exceptions = told(api.get("/api/v1/reports/exceptions", &token).await.json());
    assert_eq!(exceptions, all[..2]);
    let newest = told(api.get("/api/v1/deployments?current=true&repository=work/acme/shop", &token).await.json());
    assert_eq!(newest, all[..1]);
    let page = api.get("/api/v1/deployments?limit=2", &token).await.json();
    let next = page["next"].as_str().unwrap().to_owned();
    assert_eq!(told(api.get(&format!("/api/v1/deployments?limit=2&before={next}"), &token).await.json()), all[2..]);
    let environments = api.get("/api/v1/environments?name=production", &token).await.json();
    let environment = &environments["items"][0];
    assert_eq!((&environment["deployment"], &environment["hold"]), (&json!(3), &Value::Null), "{environment}");
    let own = api.get(&format!("/api/v1/environments/{}/deployments", environment["id"]), &token).await.json();
    assert_eq!(told(own), all);
    assert_eq!(api.get("/api/v1/environments/99/deployments", &token).await.status, 404);
    assert_eq!(api.actions().await, ["token.created", "audit.reported", "audit.reported"]);
}
