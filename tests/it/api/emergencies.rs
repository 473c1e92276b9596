//! The report of emergencies, by the API and at the command line; and who may not ask for one.

use bascule::web::token::Scope;
use sqlx::Executor;
use tokio::process::Command;

use super::{Api, store_deployments};

async fn reported(api: &Api, token: &str, more: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
    command.args(["audit", "report", "emergencies"]).args(more).env_clear();
    command.env("BASCULE_SERVER", format!("http://{}", api.at)).env("BASCULE_TOKEN", token);
    let ran = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ran.status.code().unwrap(), text(ran.stdout) + &text(ran.stderr))
}

#[tokio::test]
async fn an_emergency_that_nobody_reviewed_fails_the_report_until_somebody_did() {
    let api = Api::new().await;
    store_deployments(&api).await;
    let auditor = api.token("auditor", &[Scope::Audit]).await;
    assert_eq!(reported(&api, &auditor, &["--open"]).await.0, 0, "there is none");
    let made = r#"INSERT INTO emergency (deployment_id, environment_id, requests, people, reasons, passed, began_at)
        SELECT id, environment_id, '[]', '[{"forge":"work","id":3,"login":"kim"},{"forge":"work","id":4,"login":"olga"}]',
               '["the tills","I see it"]', '["after: staging"]', '2026-11-21T08:00:00Z' FROM deployment WHERE number = 2"#;
    api.database.owner.execute(made).await.unwrap();
    let (code, said) = reported(&api, &auditor, &["--open"]).await;
    assert_eq!(code, 1, "{said}");
    for word in ["production", "kim", "olga", "after: staging"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let answered = api.get("/api/v1/reports/deployments", &auditor).await;
    let items = answered.json()["items"].clone();
    let marked: Vec<i64> = items
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["emergency"] == true)
        .map(|one| one["number"].as_i64().unwrap())
        .collect();
    assert_eq!(marked, [2], "{}", answered.text);
    assert_eq!(reported(&api, &auditor, &[]).await.0, 0, "without --open it only tells");
    assert_eq!(reported(&api, &auditor, &["--open", "--env", "staging"]).await.0, 0);
    let reviewed = "UPDATE emergency SET reviewed_at = now(), reviewed_by = 'work/lee (5)'";
    api.database.owner.execute(reviewed).await.unwrap();
    assert_eq!(reported(&api, &auditor, &["--open"]).await.0, 0);
    let (code, said) = reported(&api, &auditor, &["--output", "json"]).await;
    assert!(code == 0 && said.contains("work/lee (5)"), "{said}");
    let (code, said) = reported(&api, &auditor, &["--current"]).await;
    assert!(code == 2 && said.contains("takes"), "{said}");
}

#[tokio::test]
async fn no_token_asks_for_an_emergency() {
    let api = Api::new().await;
    let made =
        "INSERT INTO repository (forge, forge_id, full_name, default_branch) VALUES ('work', 1, 'acme/shop', 'main');
         INSERT INTO environment (repository_id, name, cluster, namespace, branch)
         SELECT id, 'production', 'prod', 'shop', 'main' FROM repository;";
    api.database.owner.execute(made).await.unwrap();
    let operator = api.token("operator", &[Scope::Operate]).await;
    let asks = |reason: &'static str| {
        let request = api.client.post(format!("http://{}/api/v1/environments/1/emergency", api.at));
        api.ask(request.body(reason), &operator)
    };
    let refused = asks(r#"{"reason":"the tills"}"#).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert_eq!(asks(r#"{"reason":"--"}"#).await.status, 400, "words are asked for");
    let asked: i64 =
        sqlx::query_scalar("SELECT count(*) FROM emergency_request").fetch_one(&api.database.owner).await.unwrap();
    assert_eq!(asked, 0);
}
