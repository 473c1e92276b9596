//! What drifted, as the API and the command line show it, and asking to have it put right.

use bascule::db::adoptions::{self, Adoption};
use bascule::ids::TraceId;
use bascule::web::token::Scope;
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::Executor as _;
use tokio::process::Command;
use uuid::Uuid;

use super::Api;

/// Two environments, one of which has two objects that drifted: one of them under a name that moves cursors.
const MADE: &str = "
    INSERT INTO repository (forge, forge_id, full_name, default_branch) VALUES ('work', 1, 'acme/shop', 'main');
    INSERT INTO environment (repository_id, name, cluster, namespace, branch)
    SELECT id, unnest(ARRAY['production', 'staging']), 'prod', 'shop', 'main' FROM repository;
    INSERT INTO inventory (cluster_uid, api_group, kind, namespace, name, environment_id, api_version, uid, hash)
    SELECT 'c', '', 'ConfigMap', 'shop', name, 1, 'v1', 'u', '\\x00' FROM unnest(ARRAY['web', E'b\\u001b[2J', 'well', 'was']) AS name;
    INSERT INTO drift (cluster_uid, api_group, kind, namespace, name, what, fields, by_whom, detail, since, heals, healed_at, trouble, ended_at)
    VALUES ('c', '', 'ConfigMap', 'shop', 'web', 'changed', '[\".data.value\"]', '[\"kubectl-edit\"]', NULL, '2026-11-21T08:00:00Z', 2,
            '2026-11-21T08:30:00Z', 'no', NULL),
           ('c', '', 'ConfigMap', 'shop', E'b\\u001b[2J', 'gone', '[]', '[]', NULL, '2026-11-21T07:00:00Z', 0, NULL, NULL, NULL),
           ('c', '', 'ConfigMap', 'shop', 'was', 'gone', '[]', '[]', NULL, '2026-11-21T06:00:00Z', 1, '2026-11-21T06:00:00Z', NULL,
            '2026-11-21T06:00:00Z')";

pub(super) async fn types(api: &Api, token: &str, line: &str) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
    let server = [("BASCULE_SERVER", api.url()), ("BASCULE_TOKEN", token.to_owned())];
    let ran = command.args(line.split(' ')).env_clear().envs(server).output().await.unwrap();
    (ran.status.code().unwrap(), String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap())
}

#[tokio::test]
async fn what_drifted_is_listed_counted_and_put_right_by_whoever_may_ask_for_a_sync() {
    let api = Api::new().await;
    let token = api.token("ci", &[Scope::Read, Scope::Operate]).await;
    let reader = api.token("reader", &[Scope::Read]).await;
    api.database.owner.execute(MADE).await.unwrap();

    let all = api.get("/api/v1/drift", &reader).await.json();
    let objects =
        |page: &Value| page["items"].as_array().unwrap().iter().map(|one| one["object"].clone()).collect::<Vec<_>>();
    assert_eq!(
        objects(&all),
        [json!("ConfigMap shop/b\u{1b}[2J"), json!("ConfigMap shop/web")],
        "newest first, and none that is over"
    );
    assert_eq!(
        all["items"][1],
        json!({ "id": 1, "repository": "work/acme/shop", "environment": "production", "environment_id": 1, "cluster": "prod",
            "object": "ConfigMap shop/web", "what": "changed", "fields": [".data.value"], "by": ["kubectl-edit"], "detail": null,
            "since": "2026-11-21T08:00:00Z", "heals": 2, "healed_at": "2026-11-21T08:30:00Z", "trouble": "no",
            "exits": ["heal", "adopt"] })
    );
    let first = api.get("/api/v1/drift?limit=1", &reader).await.json();
    let next = api.get(&format!("/api/v1/drift?limit=1&before={}", first["items"][0]["id"]), &reader).await.json();
    assert_eq!([objects(&first), objects(&next)].concat(), objects(&all), "page by page");
    assert_eq!(objects(&api.get("/api/v1/drift?name=staging", &reader).await.json()), [] as [Value; 0]);
    assert_eq!(api.get("/api/v1/drift?nam=x", &reader).await.status, 400);
    assert_eq!(api.get("/api/v1/drift", "").await.status, 401);
    let environments = api.get("/api/v1/environments", &reader).await.json();
    assert_eq!(environments["items"][1]["drift"], json!({ "objects": 2, "since": "2026-11-21T07:00:00Z" }));
    assert_eq!(environments["items"][0].get("drift"), None, "nothing is known of that one");

    let clusters = api.get("/api/v1/clusters", &reader).await.json();
    let prod = json!({ "name": "prod", "environments": 2, "objects": 4, "drifted": 2, "syncing": 0, "away": 0, "watched": false, "agent": null });
    assert_eq!(clusters, json!({ "items": [prod], "next": null }));
    assert_eq!(api.get("/api/v1/clusters?before=prod", &reader).await.json()["items"], json!([]));
    let away = "INSERT INTO cluster_watch VALUES ('prod', 'one', now() + interval '1 minute');
                INSERT INTO hold (environment_id, reason, detail, lifts) VALUES (2, 'cluster-away', 'away', 'nothing')";
    api.database.owner.execute(away).await.unwrap();
    let (code, said) = types(&api, &reader, "clusters list").await;
    let cells: Vec<&str> = said.lines().nth(3).unwrap_or_default().split_whitespace().collect();
    assert_eq!((code, cells.as_slice()), (0, ["│", "prod", "2", "4", "2", "0", "1", "true", "│"].as_slice()), "{said}");
    api.database.owner.execute("DELETE FROM hold").await.unwrap();

    let (code, said) = types(&api, &reader, "drift").await;
    assert_eq!(code, 0, "{said}");
    for part in [
        "work/acme/shop:production",
        ".data.value",
        "kubectl-edit",
        "put right 2 times, last at 2026-11-21T08:30:00Z; kubectl-edit changes it again",
        "it could not be put right: no",
        "`bascule heal work/acme/shop:production` puts it back; `bascule adopt work/acme/shop:production` keeps it, by a pull request",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains('\u{1b}'), "{said:?}");
    let (code, said) = types(&api, &reader, "drift staging").await;
    assert_eq!((code, said.as_str()), (0, "none\n"));
    let (code, said) = types(&api, &reader, "drift nowhere").await;
    assert!(code == 2 && said.contains("there is no environment `nowhere`"), "{code} {said}");
    let (_, said) = types(&api, &reader, "status").await;
    assert!(said.contains("2 objects are not as it was left, since 2026-11-21T07:00:00Z\n  shown by bascule drift work/acme/shop:production"), "{said}");

    let (code, said) = types(&api, &reader, "heal production").await;
    assert!(code != 0, "{said}");
    let (code, said) = types(&api, &token, "heal production").await;
    assert!(code == 0 && said.contains("`bascule drift production` says what is left"), "{code} {said}");
    let jobs: Vec<(String, Value)> =
        sqlx::query_as("SELECT kind, payload FROM job").fetch_all(&api.database.owner).await.unwrap();
    assert_eq!(jobs, [("sync_environment".to_owned(), json!({ "environment": 1, "heal": true }))]);
    assert_eq!(api.actions().await.iter().filter(|action| *action == "heal.asked").count(), 1);
    // What asks for the gate asks for both then, and a look that comes later takes nothing from that.
    assert_eq!(api.post("/api/v1/environments/1/sync", &token).await.status, 200);
    api.post("/api/v1/environments/1/heal", &token).await;
    let both: Value = sqlx::query_scalar("SELECT payload FROM job").fetch_one(&api.database.owner).await.unwrap();
    assert_eq!(both, json!({ "environment": 1, "heal": true, "gate": true, "asked": true }));
    let freeze = "INSERT INTO frozen (id, environment_id, by_whom, reason, began_at)
                  VALUES ('00000000-0000-7000-8000-00000000000f', 1, 'work/lee (5)', 'by hand', now())";
    api.database.owner.execute(freeze).await.unwrap();
    let (_, said) = types(&api, &token, "heal production").await;
    assert!(
        said.contains("nothing is put right while it is frozen until somebody ends it by work/lee: by hand"),
        "{said}"
    );
}

#[tokio::test]
async fn what_drifted_is_adopted_by_no_machine_and_what_came_of_it_is_said() {
    let api = Api::new().await;
    let token = api.token("ci", &[Scope::Read, Scope::Operate]).await;
    let reader = api.token("reader", &[Scope::Read]).await;
    api.database.owner.execute(MADE).await.unwrap();
    assert_eq!(api.post("/api/v1/environments/1/adopt", &reader).await.status, 403);
    let everything = async |environment: i64| {
        let url = format!("http://{}/api/v1/environments/{environment}/adopt", api.at);
        api.ask(api.client.post(url).json(&json!({})), &token).await
    };
    // Whoever asks is the author of what is opened, and a token is nobody.
    let refused = everything(1).await;
    assert_eq!(refused.status, 403);
    let said = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(said.starts_with("a machine token cannot ask for an adoption"), "{said}");
    let mut conn = api.database.pool.acquire().await.unwrap();
    let (id, trace) = (Uuid::new_v4(), TraceId(Uuid::new_v4()));
    let (by, asked_at) = ("work/dev (2)".to_owned(), Timestamp::UNIX_EPOCH);
    let new = Adoption { id, environment: 1, of: None, by, asked_in: None, trace, asked_at };
    adoptions::ask(&mut conn, &new).await.unwrap();
    drop(conn);
    let at = format!("/api/v1/adoptions/{id}");
    let asked = api.get(&at, &reader).await.json();
    assert_eq!(
        [&asked["state"], &asked["by"], &asked["object"]],
        [&json!("asked"), &json!("work/dev (2)"), &Value::Null]
    );
    assert_eq!(api.get(&at, "").await.status, 401);
    assert_eq!(api.get("/api/v1/adoptions/00000000-0000-0000-0000-000000000000", &reader).await.status, 404);
    let came = "UPDATE our_pull SET number = 7, shown_as = '#7', ended_at = now()";
    api.database.owner.execute(came).await.unwrap();
    let opened = api.get(&at, &reader).await.json();
    assert_eq!([&opened["state"], &opened["number"], &opened["shown_as"]], [&json!("opened"), &json!(7), &json!("#7")]);

    for (line, said) in [
        ("adopt production", "a machine token cannot ask for an adoption"),
        ("adopt nowhere", "there is no environment `nowhere`"),
    ] {
        let (code, told) = types(&api, &token, line).await;
        assert!(code == 2 && told.contains(said), "{line}: {code} {told}");
    }
}
