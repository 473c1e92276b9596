//! What is rendered and never needed is forgotten after a while; what was shown, held or deployed is not.

use bascule::clock::Clock;
use bascule::db::sets;
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
