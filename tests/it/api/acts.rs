//! Acts that are asked for once more under the key of the first time, since an answer may be lost.

use bascule::web::once;
use bascule::web::token::Scope;
use jiff::SignedDuration;
use sqlx::Executor;

use super::{Answered, Api};

impl Api {
    async fn act(&self, path: &str, token: &str, key: &str, body: &'static str) -> Answered {
        let request = self.client.post(format!("http://{}/api/v1/{path}", self.at));
        self.ask(request.header("idempotency-key", key).body(body), token).await
    }

    async fn asked(&self) -> usize {
        self.actions().await.iter().filter(|action| *action == "sync.asked").count()
    }
}

#[tokio::test]
async fn an_act_asked_for_again_under_its_key_is_done_once_and_answered_alike_for_a_day() {
    let api = Api::new().await;
    let scopes = [Scope::Read, Scope::Operate];
    let (ci, other) = (api.token("ci", &scopes).await, api.token("other", &scopes).await);
    let made =
        "INSERT INTO repository (forge, forge_id, full_name, default_branch) VALUES ('work', 1, 'acme/shop', 'main');
         INSERT INTO environment (repository_id, name, cluster, namespace, branch)
         SELECT id, unnest(ARRAY['production', 'staging']), 'prod', 'shop', 'main' FROM repository;";
    api.database.owner.execute(made).await.unwrap();
    let sync = "environments/1/sync";

    let first = api.act(sync, &ci, "\"8e03978e-40d5\"", "").await;
    assert_eq!(first.status, 200, "{}", first.text);
    let again = api.act(sync, &ci, "8e03978e-40d5", "").await;
    assert_eq!((again.status, again.json(), api.asked().await), (200, first.json(), 1));
    // Something else under the same key is a mistake, whatever of it is another.
    for (path, body) in
        [(sync, "{}"), ("environments/2/sync", ""), ("environments/1/sync?x=1", ""), ("jobs/1/retry", "")]
    {
        let answered = api.act(path, &ci, "8e03978e-40d5", body).await;
        assert_eq!((answered.status, answered.kind.as_str()), (422, "application/problem+json"), "{path}");
    }
    // Another's key is another one, and so is no key at all.
    assert_eq!(api.act(sync, &other, "8e03978e-40d5", "").await.status, 200);
    assert_eq!(api.post("/api/v1/environments/1/sync", &ci).await.status, 200);
    assert_eq!(api.asked().await, 3);
    for bad in ["", "\"\"", "a b", &"x".repeat(256)] {
        assert_eq!(api.act(sync, &ci, bad, "").await.status, 400, "{bad}");
    }

    // What was refused is not kept; what was done is, also when it is not there any more.
    let retry = "jobs/1/retry";
    assert_eq!(api.act(retry, &ci, "k2", "").await.status, 409, "it has not failed");
    api.database.owner.execute("UPDATE job SET state = 'failed', ended_at = now(), error = 'no'").await.unwrap();
    let retried = api.act(retry, &ci, "k2", "").await;
    assert_eq!(retried.status, 200, "{}", retried.text);
    api.database.owner.execute("DELETE FROM job").await.unwrap();
    assert_eq!(api.act(retry, &ci, "k2", "").await.json(), retried.json());
    assert_eq!(api.act(retry, &ci, "k3", "").await.status, 404);
    // One that is being done elsewhere right now is not done beside it.
    let (left, right) = tokio::join!(api.act(sync, &ci, "k4", ""), api.act(sync, &ci, "k4", ""));
    assert!(
        [left.status, right.status].iter().all(|status| [200, 409].contains(status)),
        "{} {}",
        left.text,
        right.text
    );
    assert_eq!(api.asked().await, 4);

    // Elsewhere no answer is kept, and that is said.
    let request = api.client.delete(format!("http://{}/api/v1/session", api.at)).header("idempotency-key", "k5");
    assert_eq!(api.ask(request, &ci).await.status, 400);
    let reading = api.client.get(format!("http://{}/api/v1/jobs", api.at)).header("idempotency-key", "k5");
    assert_eq!(api.ask(reading, &ci).await.status, 200);

    api.clock.advance(SignedDuration::from_hours(25));
    let ci = api.token("next", &scopes).await;
    assert_eq!(api.act(sync, &ci, "8e03978e-40d5", "").await.status, 200);
    let now = api.clock.now();
    assert_eq!(once::tidy(&api.database.pool, now).await.unwrap(), 4, "as the server's role");
    assert_eq!(once::tidy(&api.database.pool, now).await.unwrap(), 0);
}
