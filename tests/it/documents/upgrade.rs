//! `docs/upgrade.md`, as far as it can be held before there is an older release: one version's servers go on with a database
//! that the next version has migrated, hand over to each other, and are not started anew. What the next version differs in
//! here is what its migration did: a column more in every table, and a table more.

use std::path::Path;
use std::process::Command;

use sqlx::{AssertSqlSafe, Executor as _, PgPool};

use crate::fake::forge::{FakeForge, Merge, Pr, SECRET, TOKEN};
use crate::parts::program;
use crate::plane::on_plane;
use crate::support::database::Database;
use crate::support::server::Server;
use crate::support::shop::{self, until, web};

const NAMESPACE: &str = "upgrade";

/// What the next version's migrations do: they add, and take nothing away. One statement at a time, as nobody who is at work
/// is to wait for all of them.
async fn migrates(owner: &PgPool) {
    let tables = "SELECT relname::text FROM pg_class
                  WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
                    AND relname <> '_sqlx_migrations'";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(owner).await.unwrap();
    assert!(tables.len() > 30, "{tables:?}");
    for table in tables {
        let adds = format!("ALTER TABLE {table} ADD COLUMN of_tomorrow text NOT NULL DEFAULT 'later'");
        owner.execute(AssertSqlSafe(adds)).await.unwrap();
    }
    owner.execute("CREATE TABLE of_tomorrow (id bigint PRIMARY KEY)").await.unwrap();
    owner.execute("INSERT INTO _sqlx_migrations VALUES (9000, 'of tomorrow', now(), true, '', 0)").await.unwrap();
}

async fn ready(server: &Server) -> (u16, String) {
    #[expect(clippy::disallowed_methods, reason = "whoever sends requests to servers that are ready, on loopback")]
    let answer = reqwest::get(format!("http://{}/readyz", server.admin)).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap().trim().to_owned())
}

/// What a command says on standard output and error, and how it ends.
fn typed(folder: &Path, command: &str, environment: &[(&str, &str)]) -> (String, Option<i32>) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_bascule"));
    program.args(command.split(' ')).current_dir(folder).env_clear().envs(environment.iter().copied());
    let ran = program.output().unwrap();
    (String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap().trim().to_owned(), ran.status.code())
}

#[test]
fn servers_go_on_with_a_migrated_database_and_hand_over_one_by_one() {
    on_plane(async |plane| {
        let (forge, database) = (FakeForge::start().await, Database::new().await);
        let (url, owner) = (database.server_url(), database.owner_url());
        let tools = program("kustomize").unwrap();
        let path = format!("{}:/usr/bin:/bin", tools.parent().unwrap().display());
        let environment = [
            ("PATH", path.as_str()),
            ("DATABASE_URL", &url),
            ("BASCULE_MIGRATE_URL", &owner),
            ("SECRET", SECRET),
            ("TOKEN", TOKEN),
        ];
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = shop::configuration(&forge, plane.kubeconfig(), NAMESPACE, "1h")
            .replace("[forge.work]", "migrate_url = { env = \"BASCULE_MIGRATE_URL\" }\n[forge.work]");
        for folder in [&one, &other] {
            std::fs::write(folder.path().join("bascule.toml"), &file).unwrap();
        }
        let first = Server::start(one.path(), &environment);
        // Two servers of one installation have its keys.
        std::fs::create_dir_all(other.path().join("data")).unwrap();
        for key in std::fs::read_dir(one.path().join("data")).unwrap().map(|entry| entry.unwrap().path()) {
            if key.extension().is_some_and(|extension| extension == "key") {
                std::fs::copy(&key, other.path().join("data").join(key.file_name().unwrap())).unwrap();
            }
        }
        let second = Server::start(other.path(), &environment);
        let tells = |server: &Server| forge.hooks_to(&format!("http://{}/webhooks/work", server.listens));
        tells(&first);
        let shop = shop::opens(&forge, plane, NAMESPACE).await;
        let number: i64 = until(&owner, "SELECT pull_number FROM preview WHERE shown_at IS NOT NULL").await;
        forge.comments("lee", &Pr { repository: shop.id, number }, "/bascule approve").await;
        let _: i64 = until(&owner, "SELECT number FROM deployment WHERE state = 'healthy'").await;
        assert_eq!(ready(&first).await, (200, "ready".to_owned()));

        // The next version migrates, while both run and a pull request is open.
        let pr = forge.opens_pull("dev", &shop, &[("deploy/web.yaml", &web("2"))]).await;
        let _: i64 =
            until(&owner, "SELECT pull_number FROM preview WHERE shown_at IS NOT NULL AND pull_number > 1").await;
        migrates(&database.owner).await;
        for server in [&first, &second] {
            let word = "ready, until the newer version that migrated the database takes over";
            assert_eq!(ready(server).await, (200, word.to_owned()));
        }
        // What the one was told of, both go on with.
        forge.approves("lee", &pr).await;
        let _: i64 = until(&owner, "SELECT count(*) FROM approval HAVING count(*) = 2").await;
        tells(&second);
        forge.merges("dev", &pr, Merge::Commit).await;
        let _: i64 = until(&owner, "SELECT number FROM deployment WHERE state = 'healthy' AND number = 2").await;

        // The one ends, the other goes on, and the program of before comes back by no way.
        let log = first.stops();
        let pr = forge.opens_pull("dev", &shop, &[("deploy/web.yaml", &web("3"))]).await;
        let _: i64 =
            until(&owner, "SELECT pull_number FROM preview WHERE shown_at IS NOT NULL AND pull_number > 2").await;
        forge.approves("lee", &pr).await;
        let _: i64 = until(&owner, "SELECT count(*) FROM approval HAVING count(*) = 3").await;
        forge.merges("dev", &pr, Merge::Commit).await;
        let _: i64 = until(&owner, "SELECT number FROM deployment WHERE state = 'healthy' AND number = 3").await;
        for command in ["serve --log error", "migrate"] {
            let (said, ended) = typed(one.path(), command, &environment);
            assert!(
                said.contains("the database is newer than this bascule (it is at version 9000"),
                "{command}: {said}"
            );
            assert_eq!(ended, Some(2), "{command}: {said}");
        }

        // Nothing was done twice, and nobody stumbled over what is new.
        let twice: i64 =
            until(&owner, "SELECT count(*) FROM (SELECT number FROM deployment GROUP BY number HAVING count(*) > 1) d")
                .await;
        let failed: i64 = until(&owner, "SELECT count(*) FROM job WHERE state = 'failed'").await;
        assert_eq!((twice, failed), (0, 0));
        let object = plane.get(&format!("/api/v1/namespaces/{NAMESPACE}/configmaps/web")).await.unwrap();
        assert_eq!(object["data"]["value"], "3");
        for log in [log, second.stops()] {
            let bad: Vec<&String> = log.iter().filter(|line| line.contains("\"level\":\"ERROR\"")).collect();
            assert!(bad.is_empty(), "{bad:#?}");
        }
    });
}
