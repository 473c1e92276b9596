//! A backup, a day that is lost, and the restore, as `docs/backup.md` says: what the server makes of it, and what it leaves
//! alone until somebody has looked.

use serde_json::Value;
use sqlx::PgPool;

use super::Document;
use crate::fake::forge::{FakeForge, Merge, Pr, SECRET, Shop, TOKEN};
use crate::plane::on_plane;
use crate::support::database::Database;
use crate::support::server::Server;
use crate::support::shop::{self, until, web};

const NAMESPACE: &str = "backup";

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
        let (forge, database) = (FakeForge::start().await, Database::new().await);
        let (url, owner) = (database.server_url(), database.owner_url());
        let administrator = database.administrator_url();
        let mut page = Document::open("backup");
        std::fs::write(
            page.home.path().join("bascule.toml"),
            shop::configuration(&forge, plane.kubeconfig(), NAMESPACE, "1s"),
        )
        .unwrap();
        page.sets("BASCULE_MIGRATE_URL", owner.clone());
        page.sets("ADMIN_URL", format!("{}/postgres", administrator.rsplit_once('/').unwrap().0));
        page.sets("DATABASE_URL", url);
        page.sets("SECRET", SECRET);
        page.sets("TOKEN", TOKEN);
        page.calls("DATABASE bascule ", format!("DATABASE {} ", database.name));
        page.calls("TO bascule_lost", format!("TO {}_lost", database.name));

        let server = Server::start(page.home.path(), &page.environment());
        forge.hooks_to(&format!("http://{}/webhooks/work", server.listens));
        let shop = shop::opens(&forge, plane, NAMESPACE).await;
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
        assert_eq!(runs().await, "2");

        let said = page.follow("What a restore from yesterday means");
        page.ends();
        assert!(said.contains("NOTICED") && said.contains("are in ") && said.contains("checkpoints-lost-"), "{said}");
        // The cluster may remember a higher number than the backup does: from here on it is counted above that.
        let outcome: Value =
            until(&owner, "SELECT outcome FROM deployment WHERE state = 'healthy' AND number = 2").await;
        assert_eq!((runs().await.as_str(), outcome), ("2", before), "the same is sent once more");
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
