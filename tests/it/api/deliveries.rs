//! What was set aside, and is tried again.

use bascule::web::token::Scope;
use serde_json::json;
use sqlx::Executor;

use super::Api;

#[tokio::test]
async fn a_delivery_is_replayed_and_a_failed_job_gets_a_new_beginning() {
    let api = Api::new().await;
    let operator = api.token("operator", &[Scope::Read, Scope::Operate]).await;
    let body = include_bytes!("../../fixtures/gitea/pull-opened.json");
    let id = api.clock.new_id();
    sqlx::query(
        "INSERT INTO delivery (id, forge, delivery_id, event, body, body_hash, trace, state, reason)
         VALUES ($1, 'work', 'd1', 'pull_request', $2, $3, $1, 'quarantined', 'an older version could not read it')",
    )
    .bind(id)
    .bind(&body[..])
    .bind(vec![0u8; 32])
    .execute(&api.database.owner)
    .await
    .unwrap();
    let listed = api.get("/api/v1/deliveries?state=quarantined", &operator).await.json();
    assert_eq!(listed["items"][0]["id"], json!(id));
    assert!(api.get(&format!("/api/v1/deliveries/{id}"), &operator).await.json()["body"].as_str().unwrap().len() > 100);
    let replayed = api.post(&format!("/api/v1/deliveries/{id}/replay"), &operator).await.json();
    assert_eq!((&replayed["state"], replayed["jobs"].as_array().unwrap().len()), (&json!("done"), 1), "{replayed}");
    let jobs = api.get("/api/v1/jobs?state=pending", &operator).await.json();
    assert_eq!(jobs["items"][0]["kind"], json!("attend_pull"), "{jobs}");
    let job = jobs["items"][0]["id"].as_i64().unwrap();
    assert_eq!(api.post(&format!("/api/v1/jobs/{job}/retry"), &operator).await.status, 409, "it has not failed");
    api.database.owner.execute("UPDATE job SET state = 'failed', ended_at = now(), error = 'no'").await.unwrap();
    let retried = api.post(&format!("/api/v1/jobs/{job}/retry"), &operator).await.json();
    assert_eq!(retried["state"], json!("pending"), "{retried}");
    assert_eq!(api.actions().await, ["token.created", "delivery.replayed", "job.retried"]);
    assert_eq!(api.post("/api/v1/environments", &operator).await.status, 405);
}

#[tokio::test]
async fn a_delivery_of_our_own_comment_is_no_news_when_it_is_replayed() {
    let api = Api::new().await;
    let operator = api.token("operator", &[Scope::Read, Scope::Operate]).await;
    let id = api.clock.new_id();
    sqlx::query(
        "INSERT INTO delivery (id, forge, delivery_id, event, body, body_hash, trace, state)
         VALUES ($1, 'work', 'd1', 'issue_comment', $2, $3, $1, 'done')",
    )
    .bind(id)
    .bind(&include_bytes!("../../fixtures/gitea/comment-created.json")[..])
    .bind(vec![0u8; 32])
    .execute(&api.database.owner)
    .await
    .unwrap();
    let replay = async || api.post(&format!("/api/v1/deliveries/{id}/replay"), &operator).await.json();
    assert_eq!(replay().await["jobs"].as_array().unwrap().len(), 1, "somebody wrote it");
    api.database.owner.execute("DELETE FROM job").await.unwrap();
    api.database.owner.execute("INSERT INTO own_account VALUES ('work', 3)").await.unwrap();
    let ours = replay().await;
    assert_eq!((&ours["state"], &ours["reason"]), (&json!("ignored"), &json!("we wrote it ourselves")));
    assert_eq!(ours["jobs"], json!([]));
    assert_eq!(api.get("/api/v1/jobs?state=pending", &operator).await.json()["items"], json!([]));
}
