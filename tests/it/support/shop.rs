//! What a real server of one shop starts from: one repository, one environment, and Lee, who has to approve.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;

use crate::fake::forge::{FakeForge, Right, Shop};
use crate::parts::ControlPlane;

/// Longer than anything a test waits for.
const PATIENCE: Duration = Duration::from_secs(240);

/// The server's file. Memory is compared with the forge so often.
pub(crate) fn configuration(forge: &FakeForge, kubeconfig: &Path, namespace: &str, sweeps: &str) -> String {
    format!(
        r#"version = 1
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
log_format = "json"
[database]
url = {{ env = "DATABASE_URL" }}
[forge.work]
kind = "gitea"
url = "{}"
webhook_secrets = [{{ env = "SECRET" }}]
token = {{ env = "TOKEN" }}
[cluster.test]
kubeconfig = {{ file = "{}" }}
[grant.shop]
repositories = ["work/acme/shop"]
clusters = ["test"]
namespaces = ["{namespace}"]
[sweep]
pulls = "{sweeps}"
branches = "{sweeps}"
"#,
        forge.url(),
        kubeconfig.display()
    )
}

/// What it deploys.
pub(crate) fn web(value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: web }}\ndata: {{ value: '{value}' }}\n")
}

/// The repository, with `web("1")`, and a namespace for it. The forge's clock is set by the server's, which is everybody's: what
/// happened long ago is not looked for.
pub(crate) async fn opens(forge: &FakeForge, plane: &ControlPlane, namespace: &str) -> Shop {
    forge.is_of_today();
    let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
    plane.request(Method::POST, "/api/v1/namespaces", Some(&body)).await.unwrap();
    let rules = format!(
        "version: 1\nenvironments:\n  production:\n    path: deploy\n    cluster: test\n    namespace: {namespace}\n    \
         consent: {{ approvals: [{{ count: 1, users: [lee] }}] }}\n"
    );
    let shop = forge.repository("acme/shop", &[(".bascule.yaml", &rules), ("deploy/web.yaml", &web("1"))]).await;
    for login in ["dev", "lee"] {
        forge.lets(login, &shop, Right::Write);
    }
    shop
}

/// Asks a database until there is an answer.
pub(crate) async fn until<T>(url: &str, query: &'static str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    // A database that is put back is not the one that was asked before.
    let pool = PgPool::connect(url).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = sqlx::query_scalar::<_, T>(query).fetch_optional(&pool).await.unwrap() {
            pool.close().await;
            return found;
        }
        if Instant::now() > deadline {
            panic!("it does not come to: {query}\n{}", instead(&pool).await);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What there is where something else was awaited.
async fn instead(pool: &PgPool) -> String {
    let all = "SELECT 'deployment ' || number || ' ' || state || coalesce(' ' || outcome::text, '') FROM deployment
               UNION ALL SELECT 'hold ' || reason || ' ' || detail FROM hold
               UNION ALL SELECT 'job ' || kind || ' ' || key || ' ' || state || coalesce(' ' || error, '') FROM job";
    sqlx::query_scalar::<_, String>(all).fetch_all(pool).await.unwrap().join("\n")
}
