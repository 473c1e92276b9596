//! Effects that were begun by who died: closed as unknown when a server starts, unless somebody is at it, or will be.

use std::time::Duration;

use bascule::audit::{self, NewEntry};
use bascule::ids::TraceId;
use bascule::queue::{NewJob, Source as _, Verdict};
use serde_json::json;
use uuid::Uuid;

use crate::queue::{claim, job, put, source};
use crate::reload::Server;
use crate::support::database::Database;

const FILE: &str = r#"version = 1
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
log_format = "json"
[database]
url = { env = "DATABASE_URL" }
"#;

/// What is begun and has no end, by what caused it.
async fn unended(database: &Database) -> Vec<String> {
    let query = "SELECT cause FROM audit_entry e
                 WHERE opens AND NOT EXISTS (SELECT FROM audit_entry o WHERE o.intent = e.seq) ORDER BY seq";
    sqlx::query_scalar(query).fetch_all(&database.owner).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_will_run_again_is_closed_when_a_server_starts_and_what_another_one_runs_is_not() {
    let database = Database::new().await;
    put(&database.pool, &[job("running"), job("failed")]).await;
    for one in claim(&database, 2).await {
        if one.key == "failed" {
            source(&database).settle(&one, &Verdict::Fail { error: "it is broken".to_owned() }).await.unwrap();
        }
    }
    put(&database.pool, &[NewJob { run_after: Duration::from_secs(3_600), ..job("waiting") }]).await;
    let trace = Uuid::from_u128(5);
    for cause in ["job preview running", "job preview failed", "job preview waiting", "job preview gone"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("deployment {trace}")])
    {
        let entry = NewEntry {
            actor: "bascule".to_owned(),
            action: "preview.post",
            subject: "work/acme/shop#1".to_owned(),
            detail: json!({}),
            cause,
            trace: TraceId(trace),
        };
        audit::intent(&mut database.pool.acquire().await.unwrap(), &entry).await.unwrap();
    }
    assert_eq!(unended(&database).await.len(), 5);

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bascule.toml"), FILE).unwrap();
    let (mut server, _) = Server::start(folder.path(), &database);
    let said = server.hears("effects of jobs that nobody runs any more are closed as unknown");
    assert_eq!(said["closed"], 3);
    server.stops();
    assert_eq!(unended(&database).await, ["job preview running", "job preview waiting"]);
    let unknown = "SELECT count(*) FROM audit_entry WHERE action = 'intent.unknown' AND trace = $1";
    let unknown: i64 = sqlx::query_scalar(unknown).bind(trace).fetch_one(&database.owner).await.unwrap();
    assert_eq!(unknown, 3, "each is the end of the trace that began it");
}
