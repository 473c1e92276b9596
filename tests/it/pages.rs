//! Every list of the API, page by page: the same as in one piece, whatever is added meanwhile.

use bascule::web::token::Scope;
use serde_json::Value;

use crate::api::{Api, store_deployments};

/// Rows of a list; the entries of the log come by reading it.
const MORE: [&str; 5] = [
    "INSERT INTO environment (repository_id, name, cluster, namespace, branch)
     SELECT r.id, 'e' || n, 'prod', 'shop-' || n, 'main' FROM repository r, generate_series(1, 4) n",
    "INSERT INTO preview (repository_id, pull_number, head_sha, base_sha, page, looks, trace)
     SELECT r.id, n, repeat('a', 40), repeat('b', 40), '{}', '{}', gen_random_uuid() FROM repository r, generate_series(2, 5) n",
    "INSERT INTO delivery (id, forge, delivery_id, event, body, body_hash, trace, state, reason)
     SELECT ('0000000' || n || '-0000-7000-8000-000000000000')::uuid, 'work', 'd' || n, 'push', '', '\\x00',
            gen_random_uuid(), 'quarantined', 'no' FROM generate_series(1, 5) n",
    "INSERT INTO job (kind, key, lane, share, payload, trace)
     SELECT 'attend_pull', 'k' || n, 'default', 'work/1', '{}', gen_random_uuid() FROM generate_series(1, 5) n",
    "INSERT INTO deployment (id, environment_id, number, commit_sha, set_digest, change_digest, pulls, approvals, state,
                             trace, fence, finished_at)
     SELECT ('0000000' || n || '-0000-7000-8000-000000000000')::uuid, d.environment_id, n, d.commit_sha, d.set_digest,
            d.change_digest, '[]', '[]', 'healthy', gen_random_uuid(), n, now()
     FROM deployment d, generate_series(4, 5) n WHERE d.number = 3",
];

const LISTS: [&str; 12] = [
    "/api/v1/audit?action=sync.started",
    "/api/v1/environments?repository=acme/shop",
    "/api/v1/environments/1/deployments?",
    "/api/v1/deployments?",
    "/api/v1/deployments?environment=production",
    "/api/v1/reports/deployments?",
    "/api/v1/reports/exceptions?",
    "/api/v1/deliveries?",
    "/api/v1/deliveries?state=quarantined",
    "/api/v1/jobs?state=pending",
    "/api/v1/previews?",
    "/api/v1/previews?repository=work/acme/shop",
];

/// What tells one item from another.
fn name(item: &Value) -> String {
    item.get("id").or(item.get("seq")).unwrap_or_else(|| panic!("{item}")).to_string()
}

fn names(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap_or_else(|| panic!("{page}")).iter().map(name).collect()
}

#[tokio::test]
async fn every_list_is_the_same_page_by_page_as_in_one_piece() {
    let api = Api::new().await;
    store_deployments(&api).await;
    for statement in MORE {
        sqlx::query(statement)
            .execute(&api.database.owner)
            .await
            .unwrap_or_else(|error| panic!("{error}: {statement}"));
    }
    api.append(5).await;
    let token = api.token("all", &[Scope::Read, Scope::Audit]).await;
    for list in LISTS {
        let whole = api.get(list, &token).await.json();
        let all = names(&whole);
        assert!(all.len() >= 4, "{list}: {all:?}");
        assert!(whole["next"].is_null(), "{list}");
        for limit in [1, 2, 3, all.len()] {
            let (mut seen, mut before) = (Vec::new(), None);
            loop {
                let cursor = before.map(|before| format!("&before={before}")).unwrap_or_default();
                let page = api.get(&format!("{list}&limit={limit}{cursor}").replace("?&", "?"), &token).await.json();
                assert!(names(&page).len() <= limit, "{list}");
                seen.extend(names(&page));
                before = page["next"].as_str().map(str::to_owned);
                if before.is_none() {
                    break;
                }
                assert!(seen.len() <= all.len(), "{list}: it comes to no end");
            }
            assert_eq!(seen, all, "{list} by {limit}");
        }
        for bad in ["before=x", "limit=0", "limit=-1", "limit=x", "before=", "unknown=1"] {
            let refused = api.get(&format!("{list}&{bad}").replace("?&", "?"), &token).await;
            assert_eq!(refused.status, 400, "{list} {bad}: {}", refused.text);
        }
    }
}
