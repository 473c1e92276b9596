//! What is rendered and never needed is forgotten after a while; what was shown, held or deployed is not.

use bascule::clock::Clock;
use bascule::db::{check_runs, redeliveries, sets, told_deployments};
use sqlx::{AssertSqlSafe, Executor as _};

use crate::support::database::Database;

/// A set of one object (`a3` is set `a`'s digest, and so on) of so many days ago.
fn set(letter: char, object: char, days: u32) -> String {
    let (digest, hash) = (letter.to_string().repeat(64), object.to_string().repeat(64));
    format!(
        "INSERT INTO object_content VALUES (decode('{hash}', 'hex'), 'sealed') ON CONFLICT DO NOTHING;
         INSERT INTO rendered_set (digest, target, hashes, created_at)
         VALUES (decode('{digest}', 'hex'), '{{}}', '[[\"key\", \"{hash}\"]]', now() - interval '{days} days');
         INSERT INTO render_cache (input_hash, set_digest, reads, kinds, renderer, created_at)
         VALUES (decode('{digest}', 'hex'), decode('{digest}', 'hex'), '{{}}', '{{}}', 'plain', now() - interval '{days} days');"
    )
}

#[tokio::test]
async fn old_renders_go_and_what_was_deployed_or_is_new_stays() {
    let database = Database::new().await;
    let made = [
        set('a', '1', 40),
        set('b', '2', 40),
        // Shares its object with the old one.
        set('c', '1', 2),
        set('d', '3', 40),
        "INSERT INTO repository (forge, forge_id, full_name, default_branch) VALUES ('work', 1, 'acme/shop', 'main');
         INSERT INTO environment (repository_id, name, cluster, namespace, branch, position_set)
         VALUES (1, 'production', 'prod', 'shop', 'main', decode(repeat('b', 64), 'hex'));"
            .to_owned(),
    ];
    database.owner.execute(AssertSqlSafe(made.concat())).await.unwrap();

    // As the server's role: it needs no more than it has.
    let gone = sets::tidy(&database.pool, Clock::system().now() - sets::KEPT).await.unwrap();
    assert_eq!(gone, 2);
    let left = async |of: &str| -> Vec<String> {
        let rows = format!(
            "SELECT substr(encode({of}, 'hex'), 1, 1) FROM {} ORDER BY 1",
            match of {
                "hash" => "object_content",
                "digest" => "rendered_set",
                _ => "render_cache",
            }
        );
        sqlx::query_scalar(AssertSqlSafe(rows)).fetch_all(&database.owner).await.unwrap()
    };
    assert_eq!(left("digest").await, ["b", "c"]);
    assert_eq!(left("hash").await, ["1", "2"]);
    assert_eq!(left("input_hash").await, ["c"]);
    assert_eq!(sets::tidy(&database.pool, Clock::system().now() - sets::KEPT).await.unwrap(), 0);
}

/// A time so many days ago.
fn ago(days: u32) -> String {
    format!("now() - interval '{days} days'")
}

#[tokio::test]
async fn what_a_forge_was_told_is_forgotten_when_nobody_can_come_back_to_it() {
    let database = Database::new().await;
    let pull = |number: u32, state: &str, head: &str, days: u32| {
        format!(
            "INSERT INTO pull (repository_id, number, title, state, base_branch, base_sha, head_sha, head_branch, from_fork, touched_at)
             VALUES (1, {number}, '', '{state}', 'main', 'b', '{head}', 'h', false, {});",
            ago(days)
        )
    };
    let run = |commit: &str, days: u32| {
        format!(
            "INSERT INTO check_run (repository_id, commit_sha, as_status, begun_at) VALUES (1, '{commit}', true, {});",
            ago(days)
        )
    };
    let deployment = |number: u32, state: &str, said: &str, days: u32| {
        format!(
            "INSERT INTO deployment (id, environment_id, number, commit_sha, set_digest, change_digest, pulls, approvals, state, trace, fence, started_at)
             VALUES (md5('{number}')::uuid, 1, {number}, repeat('c', 40), decode(repeat('a', 64), 'hex'), '', '[]', '[]', '{state}', md5('t')::uuid, 1, {});
             INSERT INTO told_deployment (deployment_id, number, said) VALUES (md5('{number}')::uuid, {number}, '{said}');",
            ago(days)
        )
    };
    let mut made = vec![
        set('a', '1', 40),
        "INSERT INTO repository (forge, forge_id, full_name, default_branch) VALUES ('hub', 1, 'acme/shop', 'main');
         INSERT INTO environment (repository_id, name, cluster, namespace, branch) VALUES (1, 'production', 'prod', 'shop', 'main');"
            .to_owned(),
        pull(1, "merged", "merged", 40),
        pull(2, "merged", "just-merged", 2),
        pull(3, "open", "open", 40),
        pull(4, "closed", "closed", 40),
        "INSERT INTO preview (repository_id, pull_number, head_sha, base_sha, page, looks, trace)
             VALUES (1, 3, 'before-open', 'b', '{}', '{}', md5('t')::uuid), (1, 1, 'before-merged', 'b', '{}', '{}', md5('t')::uuid);
         INSERT INTO merge_group (repository_id, branch, head_sha, status_hash) VALUES (1, 'q', 'queued', '');"
            .to_owned(),
        ["merged", "before-merged", "just-merged", "open", "before-open", "closed", "queued"].map(|of| run(of, 40)).concat(),
        run("young", 2),
        format!("INSERT INTO redelivery VALUES ('hub', 'old', 0, 1, {}), ('hub', 'young', 0, 2, {});", ago(40), ago(2)),
        deployment(1, "healthy", "replaced", 50),
        deployment(2, "failed", "failed", 50),
        // Said otherwise than it stands: it is still to be told.
        deployment(3, "healthy", "running", 50),
    ];
    made.extend(
        (4..=24).map(|number| deployment(number, "healthy", if number < 24 { "replaced" } else { "healthy" }, 40)),
    );
    database.owner.execute(AssertSqlSafe(made.concat())).await.unwrap();

    let (pool, before) = (&database.pool, Clock::system().now() - sets::KEPT);
    assert_eq!(redeliveries::tidy(pool, before).await.unwrap(), 1);
    assert_eq!(check_runs::tidy(pool, before).await.unwrap(), 2);
    let left = "SELECT commit_sha FROM check_run ORDER BY 1";
    let left: Vec<String> = sqlx::query_scalar(left).fetch_all(&database.owner).await.unwrap();
    assert_eq!(left, ["before-open", "closed", "just-merged", "open", "queued", "young"]);

    let untold = async || told_deployments::untold(&mut pool.acquire().await.unwrap(), 1, 100).await.unwrap();
    let before_that = untold().await;
    assert_eq!(
        told_deployments::tidy(pool, before).await.unwrap(),
        3,
        "1, 2, and 4: those may be rolled back to no more"
    );
    assert_eq!(untold().await, before_that, "and nothing is told again for that");
}
