//! Rows that a server would have stored.

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::Api;

pub(crate) async fn store_preview(api: &Api, page: Value) -> i64 {
    sqlx::query(
        "INSERT INTO repository (forge, forge_id, full_name, default_branch) VALUES ('work', 1, 'acme/shop', 'main')
         ON CONFLICT (forge, forge_id) DO NOTHING",
    )
    .execute(&api.database.owner)
    .await
    .unwrap();
    sqlx::query_scalar(
        "INSERT INTO preview (repository_id, pull_number, head_sha, base_sha, page, looks, trace)
         VALUES ((SELECT id FROM repository), 1, $1, $1, $2, '{}', $3) RETURNING id",
    )
    .bind("a".repeat(40))
    .bind(page)
    .bind(uuid::Uuid::nil())
    .fetch_one(&api.database.owner)
    .await
    .unwrap()
}

/// An environment that asks one person, with three deployments: by a pull request, by an owner of a held change, and by
/// nobody.
pub(crate) async fn store_deployments(api: &Api) {
    store_preview(api, json!({})).await;
    let statements = format!(
        r#"
        INSERT INTO environment_entry (hash, block)
            VALUES ('\x{entry}', '{{"consent":{{"approvals":[{{"count":1,"roles":["write"]}}]}}}}');
        INSERT INTO rendered_set (digest, target, hashes)
            SELECT decode(repeat(n, 32), 'hex'), '{{}}', '[["entry","{entry}"]]' FROM unnest(ARRAY['01','02','03']) n;
        INSERT INTO environment (repository_id, name, cluster, namespace, branch, position_commit, position_set)
            SELECT id, 'production', 'prod', 'shop', 'main', repeat('c', 40), decode(repeat('03', 32), 'hex') FROM repository;
        INSERT INTO deployment (id, environment_id, number, commit_sha, set_digest, from_set, change_digest, pulls,
                                approvals, state, trace, fence, finished_at)
            SELECT ('0000000' || n || '-0000-7000-8000-000000000000')::uuid, e.id, n, repeat('c', 40),
                   decode(repeat('0' || n, 32), 'hex'), NULL, decode(repeat('a' || n, 32), 'hex'), '[1]', '[]', 'healthy',
                   ('0000000' || n || '-0000-7000-8000-000000000000')::uuid, n, now()
            FROM environment e, generate_series(1, 3) n;
        INSERT INTO approval (id, repository_id, environment_id, pull_number, base_branch, reviewed_head, shown_as, head_set,
                              change_digest, preview_id, person, source, source_id, policy_digest, reason, given_at)
            SELECT ('0000000' || n || '-0000-7000-8000-00000000000a')::uuid, e.repository_id, e.id, 1, 'main',
                   repeat('c', 40), CASE n WHEN 2 THEN 'held' ELSE 'pull' END, decode(repeat('0' || n, 32), 'hex'),
                   decode(repeat('a' || n, 32), 'hex'), p.id,
                   CASE n WHEN 3 THEN '{{"forge":"work","id":2,"login":"dev"}}'::jsonb
                          ELSE '{{"forge":"work","id":3,"login":"lead"}}' END, 'review', n, '\x00',
                   CASE n WHEN 2 THEN 'hotfix' END, '2026-11-21T08:00:00Z'
            FROM environment e, preview p, generate_series(1, 3) n;
        INSERT INTO approval_use (approval_id, deployment_id, why_not)
            SELECT a.id, d.id, CASE d.number WHEN 3 THEN 'contributor: opened the pull request' END
            FROM approval a JOIN deployment d ON d.number = a.source_id;
        "#,
        entry = "ee".repeat(32)
    );
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&api.database.owner).await.unwrap();
}
