//! What runs where, as the API and the command line show it.

use bascule::web::token::Scope;
use serde_json::json;
use sqlx::Executor as _;

use super::Api;
use super::drift::types;
use super::stored::store_deployments;

#[tokio::test]
async fn a_deployment_that_is_being_verified_is_told_from_one_that_runs() {
    let api = Api::new().await;
    let reader = api.token("reader", &[Scope::Read]).await;
    store_deployments(&api).await;
    let runs = "UPDATE deployment SET state = 'running', finished_at = NULL WHERE number = 3";
    for (change, state, verifying) in [
        (runs, "running", json!(null)),
        (r#"UPDATE deployment SET outcome = '{"created": 1}' WHERE number = 3"#, "verifying", json!(true)),
        ("UPDATE deployment SET state = 'healthy', finished_at = now() WHERE number = 3", "healthy", json!(null)),
    ] {
        api.database.owner.execute(change).await.unwrap();
        let seen = api.get("/api/v1/environments", &reader).await.json();
        assert_eq!(seen["items"][0]["verifying"], verifying, "{state}");
        for line in ["status", "history production"] {
            let (code, said) = types(&api, &reader, line).await;
            assert_eq!(code, 0, "{said}");
            assert!(said.split_whitespace().any(|word| word == state), "{line}, {state}: {said}");
        }
    }
}
