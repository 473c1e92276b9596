//! A backup, a day that is lost, and the restore, as `docs/backup.md` says: what the server makes of it, and what it leaves
//! alone until somebody has looked.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::PgPool;

use super::Document;
use crate::fake::forge::{FakeForge, Merge, Pr, Right, SECRET, Shop, TOKEN};
use crate::plane::on_plane;
use crate::support::database::Database;
use crate::support::server::Server;

const NAMESPACE: &str = "backup";

fn configuration(forge: &FakeForge, kubeconfig: &Path) -> String {
    format!(
        r#"version = 1
[server]
listen = "127.0.0.1:0"
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
namespaces = ["{NAMESPACE}"]
[sweep]
pulls = "1s"
branches = "1s"
"#,
        forge.url(),
        kubeconfig.display()
    )
}

const RULES: &str = "\
version: 1
environments:
  production:
    path: deploy
    cluster: test
    namespace: backup
    consent: { approvals: [{ count: 1, users: [lee] }] }
";

fn web(value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: web }}\ndata: {{ value: '{value}' }}\n")
}

/// Asks the database until there is an answer.
async fn until<T>(url: &str, query: &'static str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    let pool = PgPool::connect(url).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        if let Some(found) = sqlx::query_scalar::<_, T>(query).fetch_optional(&pool).await.unwrap() {
            pool.close().await;
            return found;
        }
        assert!(Instant::now() < deadline, "it does not come to: {query}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Where the first set is held, or what was lost of consent; approved there.
async fn lee_approves_what_is_held(forge: &FakeForge, shop: &Shop, url: &str) {
    let shown = "SELECT shown_in FROM hold WHERE reason = 'uncovered' AND shown_in IN
                     (SELECT pull_number FROM preview WHERE shown_at IS NOT NULL)";
    let number: i64 = until(url, shown).await;
    forge.comments("lee", &Pr { repository: shop.id, number }, "/bascule approve").await;
}

#[test]
fn a_database_of_yesterday_deletes_nothing_until_an_operator_has_looked() {
    on_plane(async |plane| {
        let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
        plane.request(reqwest::Method::POST, "/api/v1/namespaces", Some(&body)).await.unwrap();
        let (forge, database) = (FakeForge::start().await, Database::new().await);
        let (url, owner) = (database.server_url(), database.owner_url());
        let administrator = database.administrator_url();
        let mut page = Document::open("backup");
        std::fs::write(page.home.path().join("bascule.toml"), configuration(&forge, plane.kubeconfig())).unwrap();
        page.sets("BASCULE_MIGRATE_URL", owner.clone());
        page.sets("ADMIN_URL", format!("{}/postgres", administrator.rsplit_once('/').unwrap().0));
        page.sets("DATABASE_URL", url);
        page.sets("SECRET", SECRET);
        page.sets("TOKEN", TOKEN);
        page.calls("DATABASE bascule ", format!("DATABASE {} ", database.name));
        page.calls("TO bascule_lost", format!("TO {}_lost", database.name));

        let server = Server::start(page.home.path(), &page.environment());
        forge.hooks_to(&format!("http://{}/webhooks/work", server.listens));
        let shop = forge.repository("acme/shop", &[(".bascule.yaml", RULES), ("deploy/web.yaml", &web("1"))]).await;
        for login in ["dev", "lee"] {
            forge.lets(login, &shop, Right::Write);
        }
        lee_approves_what_is_held(&forge, &shop, &owner).await;
        let _: i64 = until(&owner, "SELECT number FROM deployment WHERE state = 'healthy'").await;
        page.follow("What to keep");

        // The day that is lost.
        let pr = forge.opens_pull("dev", &shop, &[("deploy/web.yaml", &web("2"))]).await;
        let _: i64 =
            until(&owner, "SELECT pull_number FROM preview WHERE shown_at IS NOT NULL AND pull_number > 1").await;
        forge.approves("lee", &pr).await;
        let _: i64 = until(&owner, "SELECT count(*) FROM approval HAVING count(*) = 2").await;
        forge.merges("dev", &pr, Merge::Commit).await;
        let before: Value =
            until(&owner, "SELECT outcome FROM deployment WHERE state = 'healthy' AND number = 2").await;
        server.stops();
        database.pool.close().await;
        database.owner.close().await;

        page.follow("Restore");
        page.starts("Restore", "bascule serve");
        let server = Server::start(page.home.path(), &page.environment());
        server.hears(|line| line["message"].as_str().is_some_and(|said| said.contains("put back from a backup")));
        forge.hooks_to(&format!("http://{}/webhooks/work", server.listens));
        let runs = async || {
            let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/web");
            plane.get(&path).await.unwrap()["data"]["value"].as_str().unwrap().to_owned()
        };
        // What was consented to since asks once more, and the cluster stays as it is.
        lee_approves_what_is_held(&forge, &shop, &owner).await;
        let outcome: Value =
            until(&owner, "SELECT outcome FROM deployment WHERE state = 'healthy' AND number = 2").await;
        assert_eq!((runs().await.as_str(), outcome), ("2", before), "the same is sent once more");

        let said = page.follow("What a restore from yesterday means");
        page.ends();
        assert!(said.contains("NOTICED") && said.contains("are in ") && said.contains("checkpoints-lost-"), "{said}");
        let open: i64 = until(&owner, "SELECT count(*) FROM restore WHERE confirmed_at IS NULL").await;
        assert_eq!(open, 0);
        server.stops();
        let said: Vec<String> = {
            let pool = PgPool::connect(&owner).await.unwrap();
            let said = "SELECT actor || ' ' || action FROM audit_entry WHERE action LIKE 'restore%' ORDER BY seq";
            let said = sqlx::query_scalar(said).fetch_all(&pool).await.unwrap();
            pool.close().await;
            said
        };
        assert_eq!(said, ["bascule restore.noticed", "operator restore.confirmed"]);
        // New heads are signed.
        let heads = std::fs::read_to_string(page.home.path().join("data/checkpoints/checkpoints.jsonl")).unwrap();
        assert_eq!(heads.lines().count(), 1, "{heads}");
    });
}
