//! The API and the pages, over a real socket and a real PostgreSQL.

use std::net::SocketAddr;
use std::path::PathBuf;

use bascule::audit::checkpoint::{Checkpoints, Signer};
use bascule::audit::signing::Signing;
use bascule::audit::{self, NewEntry};
use bascule::clock::Clock;
use bascule::ids::TraceId;
use bascule::queue::Bell;
use bascule::web;
use bascule::web::token::{self, Scope};
use jiff::SignedDuration;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::Mutex;

use crate::support::database::Database;

pub(crate) struct Api {
    pub(crate) database: Database,
    pub(crate) clock: Clock,
    at: SocketAddr,
    pub(crate) public_key: Vec<u8>,
    pub(crate) signing: Mutex<Signing>,
    pub(crate) folder: PathBuf,
    client: reqwest::Client,
    _serving: tokio::task::JoinSet<()>,
    _kept: tempfile::TempDir,
}

/// What was answered.
pub(crate) struct Answered {
    pub(crate) status: u16,
    kind: String,
    headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl Api {
    pub(crate) async fn new() -> Self {
        Self::at("http://127.0.0.1:8080").await
    }

    pub(crate) async fn at(public_url: &str) -> Self {
        let database = Database::new().await;
        let kept = tempfile::tempdir().unwrap();
        let folder = kept.path().join("checkpoints");
        let signer = Signer::generate().unwrap();
        let checkpoints = Checkpoints::open(&folder, &signer).unwrap();
        let clock = Clock::manual("2026-11-21T09:00:00Z".parse().unwrap());
        let public_key = signer.public_key();
        let signing = Mutex::new(Signing::open(database.pool.clone(), signer, checkpoints).unwrap());
        let state = web::State {
            pool: database.pool.clone(),
            clock: clock.clone(),
            bell: Bell::new("web"),
            checkpoints: folder.clone(),
            public_key: public_key.clone(),
            public_url: public_url.to_owned(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let service = web::router(state).into_make_service_with_connect_info::<SocketAddr>();
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(async move { axum::serve(listener, service).await.unwrap() });
        #[expect(clippy::disallowed_methods, reason = "the client of a test")]
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { database, clock, at, public_key, signing, folder, client, _serving: serving, _kept: kept }
    }

    pub(crate) async fn token(&self, name: &str, scopes: &[Scope]) -> String {
        token::create(&self.database.pool, &self.clock, name, scopes, SignedDuration::from_hours(1)).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answered {
        self.ask(self.client.get(format!("http://{}{path}", self.at)), token).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str) -> Answered {
        self.ask(self.client.post(format!("http://{}{path}", self.at)), token).await
    }

    pub(crate) async fn ask(&self, request: reqwest::RequestBuilder, token: &str) -> Answered {
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let kind = headers.get("content-type").map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
        Answered { status, kind, headers, text: response.text().await.unwrap() }
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    pub(crate) async fn append(&self, count: usize) {
        let mut connection = self.database.pool.acquire().await.unwrap();
        append(&mut connection, count).await;
    }

    /// As [`Self::append`], at a time of the database that is long over.
    pub(crate) async fn append_long_ago(&self, count: usize) {
        let mut root = PgConnection::connect(&self.database.administrator_url()).await.unwrap();
        root.execute("CREATE SCHEMA past").await.unwrap();
        root.execute(
            "CREATE FUNCTION past.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
             $$ SELECT pg_catalog.clock_timestamp() - interval '1 hour' $$",
        )
        .await
        .unwrap();
        root.execute("SET search_path = past, pg_catalog, public").await.unwrap();
        append(&mut root, count).await;
    }

    pub(crate) async fn sign(&self) {
        self.signing.lock().await.sign(self.clock.now()).await.unwrap();
    }

    /// As somebody who owns the whole PostgreSQL server.
    pub(crate) async fn tamper(&self, statements: &[&str]) {
        let mut root = PgConnection::connect(&self.database.administrator_url()).await.unwrap();
        root.execute("ALTER TABLE audit_entry DISABLE TRIGGER ALL").await.unwrap();
        for statement in statements {
            root.execute(AssertSqlSafe((*statement).to_owned())).await.unwrap();
        }
        root.execute("ALTER TABLE audit_entry ENABLE TRIGGER ALL").await.unwrap();
    }

    pub(crate) async fn actions(&self) -> Vec<String> {
        let mut connection = self.database.pool.acquire().await.unwrap();
        let rows = audit::read::after(&mut connection, 0, 1_000).await.unwrap();
        rows.into_iter().map(|row| row.action).collect()
    }
}

pub(crate) async fn append(connection: &mut PgConnection, count: usize) {
    for n in 0..count {
        let entry = NewEntry {
            actor: "bascule".to_owned(),
            action: "sync.started",
            subject: "work/acme/shop production".to_owned(),
            detail: json!({ "n": n }),
            cause: "test".to_owned(),
            trace: TraceId(uuid::Uuid::nil()),
        };
        audit::append(connection, &entry).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_is_answered_without_a_good_token_that_has_the_scope() {
    let api = Api::new().await;
    let reader = api.token("reader", &[Scope::Read]).await;
    let ended = api.token("ended", &[Scope::Read, Scope::Operate, Scope::Audit]).await;
    token::revoke(&api.database.pool, &api.clock, "ended").await.unwrap();
    let nobody = format!("bsc_{}", "A".repeat(43));
    for path in ["/api/v1/environments", "/api/v1/audit", "/api/v1/openapi.json", "/api/v1/reports/exceptions"] {
        for bad in ["", "x", "bsc_", &nobody, &ended, reader.trim_start_matches("bsc_"), &format!("{reader}x")] {
            let answered = api.get(path, bad).await;
            assert_eq!((answered.status, answered.kind.as_str()), (401, "application/problem+json"), "{path} {bad}");
            assert!(answered.headers.contains_key("www-authenticate"));
        }
    }
    assert_eq!(api.get("/api/v1/environments", &reader).await.status, 200);
    for path in [
        "/api/v1/audit",
        "/api/v1/audit/1",
        "/api/v1/audit/verify",
        "/api/v1/audit/export",
        "/api/v1/reports/deployments",
    ] {
        let answered = api.get(path, &reader).await;
        assert_eq!((answered.status, answered.kind.as_str()), (403, "application/problem+json"), "{path}");
    }
    for path in ["/api/v1/jobs/1/retry", "/api/v1/deliveries/0190f4ab-0000-7000-8000-000000000000/replay"] {
        assert_eq!(api.post(path, &reader).await.status, 403, "{path}");
    }
    let basic = api.client.get(format!("http://{}/api/v1/environments", api.at)).basic_auth("me", Some(&reader));
    assert_eq!(basic.send().await.unwrap().status(), 401, "a browser would send it along with other sites' requests");
    api.clock.advance(SignedDuration::from_hours(2));
    assert_eq!(api.get("/api/v1/environments", &reader).await.status, 401, "expired");
    let stored: Vec<u8> = sqlx::query_scalar("SELECT hash FROM api_token WHERE name = 'reader'")
        .fetch_one(&api.database.owner)
        .await
        .unwrap();
    assert_eq!(stored.len(), 32);
    assert_eq!(api.actions().await, ["token.created", "token.created", "token.revoked"]);
}

#[tokio::test]
async fn a_token_has_a_name_for_ever_scopes_and_an_end() {
    let api = Api::new().await;
    let make = |name: &'static str, scopes: &'static [Scope], hours: i64| {
        token::create(&api.database.pool, &api.clock, name, scopes, SignedDuration::from_hours(hours))
    };
    make("ci", &[Scope::Read], 1).await.unwrap();
    token::revoke(&api.database.pool, &api.clock, "ci").await.unwrap();
    let mut told = Vec::new();
    for (name, scopes, hours) in [
        ("ci", &[Scope::Read][..], 1),
        ("a b", &[Scope::Read], 1),
        ("x", &[], 1),
        ("x", &[Scope::Read], 0),
        ("x", &[Scope::Read], 9_000),
    ] {
        told.push(make(name, scopes, hours).await.unwrap_err().to_string());
    }
    told.push(token::revoke(&api.database.pool, &api.clock, "ci").await.unwrap_err().to_string());
    insta::assert_snapshot!(told.join("\n"), @r"
    there is, or was, a token `ci`: choose another name, so that the log always names one
    a token's name is 1 to 63 letters, digits, `-`, `_` or `.`
    a token has at least one scope: read, operate, audit
    a token lives for at least a minute and at most 366 days
    a token lives for at least a minute and at most 366 days
    there is no token `ci` that is not revoked already
    ");
}

#[tokio::test]
async fn the_log_is_read_in_pages_and_every_look_is_an_entry() {
    let api = Api::new().await;
    let auditor = api.token("auditor", &[Scope::Audit]).await;
    api.append(5).await;
    let (mut path, mut seen, mut pages) = ("/api/v1/audit?limit=2&action=sync.started".to_owned(), Vec::new(), 0);
    loop {
        let page = api.get(&path, &auditor).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|entry| entry["seq"].as_i64().unwrap()));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/audit?limit=2&action=sync.started&before={next}"),
            None => break,
        }
    }
    assert_eq!((seen, pages), (vec![6, 5, 4, 3, 2], 3));
    for bad in
        ["before=x", "limit=0", "limit=x", "unknown=1", "from=yesterday", "subject=%00", "before=1;drop table job"]
    {
        let answered = api.get(&format!("/api/v1/audit?{bad}"), &auditor).await;
        assert_eq!((answered.status, answered.kind.as_str()), (400, "application/problem+json"), "{bad}");
    }
    let injected = api.get("/api/v1/audit?subject=%27%20OR%20true%20--", &auditor).await.json();
    assert_eq!(injected["items"], json!([]));
    assert_eq!(api.get("/api/v1/audit/2", &auditor).await.json()["detail"], json!({ "n": 0 }));
    assert_eq!(api.get("/api/v1/audit/999", &auditor).await.status, 404);
    assert_eq!(api.get("/api/v1/audit/x", &auditor).await.status, 404);
    let export = api.get("/api/v1/audit/export", &auditor).await;
    assert_eq!(export.kind, "application/x-ndjson");
    let actions = api.actions().await;
    assert_eq!(export.text.lines().count(), actions.len(), "the export ends with its own entry");
    insta::assert_snapshot!(actions[6..].join(" "), @"audit.read audit.read audit.read audit.read audit.read audit.exported");
}

pub(crate) async fn store_preview(api: &Api, page: Value) -> i64 {
    sqlx::query(
        "INSERT INTO repository (forge, forge_id, full_name, default_branch) VALUES ('work', 1, 'acme/shop', 'main')",
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

#[tokio::test]
async fn a_preview_is_a_page_that_runs_nothing_and_is_shown_to_whom_it_may() {
    let hostile = "</p><script>alert(1)</script>";
    let page = json!({ "subject": { "kind": "pull", "head": "a".repeat(40), "into": hostile },
        "outcome": { "kind": "untouched" }, "notes": [hostile] });
    let api = Api::new().await;
    let id = store_preview(&api, page.clone()).await;
    let shown = api.get(&format!("/previews/{id}"), "").await;
    assert_eq!((shown.status, shown.kind.as_str()), (200, "text/html; charset=utf-8"), "{}", shown.text);
    assert!(!shown.text.contains("<script") && shown.text.contains("&lt;script&gt;"));
    let policy = shown.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"));
    assert_eq!(api.get("/previews/999", "").await.status, 404);

    let public = Api::at("https://bascule.example.com").await;
    let id = store_preview(&public, page).await;
    let reader = public.token("reader", &[Scope::Read]).await;
    let auditor = public.token("auditor", &[Scope::Audit]).await;
    let path = format!("/previews/{id}");
    let asked = public.get(&path, "").await;
    assert_eq!(asked.status, 401);
    assert!(asked.headers["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    assert_eq!(public.get(&path, &reader).await.status, 200);
    assert_eq!(public.get(&path, &auditor).await.status, 403);
    let prompted = public.client.get(format!("http://{}{path}", public.at)).basic_auth("any", Some(&reader));
    assert_eq!(prompted.send().await.unwrap().status(), 200);
    let json = public.get(&format!("/api/v1{path}"), &reader).await.json();
    assert_eq!(json["page"]["notes"], json!([hostile]));
}

#[tokio::test]
async fn a_delivery_is_replayed_and_a_failed_job_gets_a_new_beginning() {
    let api = Api::new().await;
    let operator = api.token("operator", &[Scope::Read, Scope::Operate]).await;
    let body = include_bytes!("../fixtures/gitea/pull-opened.json");
    let id = api.clock.new_id();
    sqlx::query(
        "INSERT INTO delivery (id, forge, delivery_id, event, body, body_hash, trace, state, reason)
         VALUES ($1, 'work', 'd1', 'pull_request', $2, $3, $1, 'quarantined', 'an older version could not read it')",
    )
    .bind(id)
    .bind(&body[..])
    .bind(vec![0u8; 32])
    .execute(&api.database.owner)
    .await
    .unwrap();
    let listed = api.get("/api/v1/deliveries?state=quarantined", &operator).await.json();
    assert_eq!(listed["items"][0]["id"], json!(id));
    assert!(api.get(&format!("/api/v1/deliveries/{id}"), &operator).await.json()["body"].as_str().unwrap().len() > 100);
    let replayed = api.post(&format!("/api/v1/deliveries/{id}/replay"), &operator).await.json();
    assert_eq!((&replayed["state"], replayed["jobs"].as_array().unwrap().len()), (&json!("done"), 1), "{replayed}");
    let jobs = api.get("/api/v1/jobs?state=pending", &operator).await.json();
    assert_eq!(jobs["items"][0]["kind"], json!("attend_pull"), "{jobs}");
    let job = jobs["items"][0]["id"].as_i64().unwrap();
    assert_eq!(api.post(&format!("/api/v1/jobs/{job}/retry"), &operator).await.status, 409, "it has not failed");
    api.database.owner.execute("UPDATE job SET state = 'failed', ended_at = now(), error = 'no'").await.unwrap();
    let retried = api.post(&format!("/api/v1/jobs/{job}/retry"), &operator).await.json();
    assert_eq!(retried["state"], json!("pending"), "{retried}");
    assert_eq!(api.actions().await, ["token.created", "delivery.replayed", "job.retried"]);
    assert_eq!(api.post("/api/v1/environments", &operator).await.status, 405);
}

#[tokio::test]
async fn a_delivery_of_our_own_comment_is_no_news_when_it_is_replayed() {
    let api = Api::new().await;
    let operator = api.token("operator", &[Scope::Read, Scope::Operate]).await;
    let id = api.clock.new_id();
    sqlx::query(
        "INSERT INTO delivery (id, forge, delivery_id, event, body, body_hash, trace, state)
         VALUES ($1, 'work', 'd1', 'issue_comment', $2, $3, $1, 'done')",
    )
    .bind(id)
    .bind(&include_bytes!("../fixtures/gitea/comment-created.json")[..])
    .bind(vec![0u8; 32])
    .execute(&api.database.owner)
    .await
    .unwrap();
    let replay = async || api.post(&format!("/api/v1/deliveries/{id}/replay"), &operator).await.json();
    assert_eq!(replay().await["jobs"].as_array().unwrap().len(), 1, "somebody wrote it");
    api.database.owner.execute("DELETE FROM job").await.unwrap();
    api.database.owner.execute("INSERT INTO own_account VALUES ('work', 3)").await.unwrap();
    let ours = replay().await;
    assert_eq!((&ours["state"], &ours["reason"]), (&json!("ignored"), &json!("we wrote it ourselves")));
    assert_eq!(ours["jobs"], json!([]));
    assert_eq!(api.get("/api/v1/jobs?state=pending", &operator).await.json()["items"], json!([]));
}

#[tokio::test]
async fn the_description_names_every_route_and_needs_a_token_for_each() {
    let api = Api::new().await;
    let reader = api.token("reader", &[Scope::Read]).await;
    let document = api.get("/api/v1/openapi.json", &reader).await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 16, "{:?}", paths.keys());
    for (path, methods) in paths {
        let path = path.replace("{id}", "1").replace("{seq}", "1");
        for method in methods.as_object().unwrap().keys() {
            let answered = if method == "post" { api.post(&path, "").await } else { api.get(&path, "").await };
            assert_eq!(answered.status, 401, "{method} {path}");
        }
    }
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

#[tokio::test]
async fn who_approved_what_runs_and_was_it_exactly_that() {
    let api = Api::new().await;
    store_deployments(&api).await;
    let token = api.token("auditor", &[Scope::Audit, Scope::Read]).await;
    let told = |report: Value| -> Vec<String> {
        let items = report["items"].as_array().unwrap_or_else(|| panic!("{report}")).clone();
        let line = |one: Value| {
            let approvals = one["approvals"].as_array().unwrap().iter();
            let people: Vec<String> = approvals
                .map(|a| format!("{} {} {} {}", a["person"], a["exact"], a["reason"], a["not_counted"]))
                .collect();
            format!("{} {} current={} {people:?}", one["number"], one["answer"], one["current"])
        };
        items.into_iter().map(line).collect()
    };
    let all = told(api.get("/api/v1/reports/deployments?environment=production", &token).await.json());
    insta::assert_snapshot!(all.join("\n"), @r#"
    3 "unapproved" current=true ["\"work/dev (2)\" true null \"contributor: opened the pull request\""]
    2 "held" current=false ["\"work/lead (3)\" true \"hotfix\" null"]
    1 "exact" current=false ["\"work/lead (3)\" true null null"]
    "#);
    let exceptions = told(api.get("/api/v1/reports/exceptions", &token).await.json());
    assert_eq!(exceptions, all[..2]);
    let newest = told(api.get("/api/v1/deployments?current=true&repository=work/acme/shop", &token).await.json());
    assert_eq!(newest, all[..1]);
    let page = api.get("/api/v1/deployments?limit=2", &token).await.json();
    let next = page["next"].as_str().unwrap().to_owned();
    assert_eq!(told(api.get(&format!("/api/v1/deployments?limit=2&before={next}"), &token).await.json()), all[2..]);
    let environments = api.get("/api/v1/environments?name=production", &token).await.json();
    let environment = &environments["items"][0];
    assert_eq!((&environment["deployment"], &environment["hold"]), (&json!(3), &Value::Null), "{environment}");
    let own = api.get(&format!("/api/v1/environments/{}/deployments", environment["id"]), &token).await.json();
    assert_eq!(told(own), all);
    assert_eq!(api.get("/api/v1/environments/99/deployments", &token).await.status, 404);
    assert_eq!(api.actions().await, ["token.created", "audit.reported", "audit.reported"]);
}

#[tokio::test]
async fn a_scrape_tells_the_queue_and_readiness_asks_the_database() {
    let database = Database::new().await;
    let unmigrated = Database::unmigrated().await;
    let recorded = bascule::telemetry::record().unwrap();
    crate::queue::put(&database.pool, &[crate::queue::job("a"), crate::queue::job("b")]).await;
    let mut serving = tokio::task::JoinSet::new();
    let mut addresses = Vec::new();
    for pool in [database.pool.clone(), unmigrated.owner.clone()] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(listener.local_addr().unwrap());
        let routes = web::admin_router(pool, recorded.clone());
        serving.spawn(async move { axum::serve(listener, routes).await.unwrap() });
    }
    let get = async |at: &SocketAddr, path: &str| {
        let answered = reqwest::get(format!("http://{at}{path}")).await.unwrap();
        (answered.status().as_u16(), answered.text().await.unwrap())
    };
    let (status, text) = get(&addresses[0], "/metrics").await;
    assert_eq!(status, 200);
    assert!(text.contains(r#"bascule_queue_jobs{lane="default",state="due"} 2"#), "{text}");
    assert!(text.contains(r#"bascule_environments_held{reason="uncovered"} 0"#), "{text}");
    assert!(text.contains("bascule_database_up 1") && text.contains("# HELP bascule_queue_jobs"), "{text}");
    for at in &addresses {
        assert_eq!(get(at, "/healthz").await, (200, "alive\n".to_owned()));
    }
    assert_eq!(get(&addresses[0], "/readyz").await, (200, "ready\n".to_owned()));
    let (status, why) = get(&addresses[1], "/readyz").await;
    assert!(status == 503 && why.contains("bascule migrate"), "{status} {why}");
    let (status, text) = get(&addresses[1], "/metrics").await;
    assert!(status == 200 && text.contains("bascule_database_up 0"), "{text}");
}
