//! A day of a real server: what it counted is what happened, what it logged can be read, and its token is nowhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use bascule::config::Environ;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::fake::forge::{FakeForge, Fault, Merge, Pr, SECRET, TOKEN};
use crate::parts::{ControlPlane, program};
use crate::plane::on_plane;
use crate::support::database::Database;
use crate::support::script;
use crate::support::server::Server;
use crate::support::shop::{self, until, web};

const NAMESPACE: &str = "a-day";

async fn count(database: &Database, query: &'static str) -> f64 {
    let count: i64 = sqlx::query_scalar(query).fetch_one(&database.owner).await.unwrap();
    f64::from(i32::try_from(count).unwrap())
}

/// Everything `/metrics` tells: a metric with its labels, and its value.
async fn scrape(server: &Server) -> BTreeMap<String, f64> {
    #[expect(clippy::disallowed_methods, reason = "whoever collects the metrics, on loopback")]
    let text = reqwest::get(format!("http://{}/metrics", server.admin)).await.unwrap().text().await.unwrap();
    let told = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    told.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

/// The sum of a metric over those of its labels that hold `with`.
fn sum(told: &BTreeMap<String, f64>, name: &str, with: &str) -> f64 {
    let is_it = |key: &&String| key.split('{').next() == Some(name) && key.contains(with);
    told.keys().filter(is_it).map(|key| told[key]).sum()
}

/// A `git` that writes down what it was called with, and does it.
fn recorded_git(folder: &Path) -> std::path::PathBuf {
    let (programs, record) = (folder.join("programs"), folder.join("git.argv"));
    std::fs::create_dir(&programs).unwrap();
    let records = format!("printf '%s\\n' \"$*\" >>{}\nexec git \"$@\"", record.display());
    script::write(&programs.join("git"), &records);
    programs
}

/// A held first set, a preview, a fetch that fails, an approval, a merge, and a direct push that is held.
async fn a_day(forge: &FakeForge, plane: &ControlPlane, server: &Server, database: &str) {
    forge.hooks_to(&format!("http://{}/webhooks/work", server.listens));
    let shop = shop::opens(forge, plane, NAMESPACE).await;
    let number: i64 = until(database, "SELECT pull_number FROM preview WHERE shown_at IS NOT NULL").await;
    forge.comments("lee", &Pr { repository: shop.id, number }, "/bascule approve").await;
    let _: i64 = until(database, "SELECT number FROM deployment WHERE state = 'healthy'").await;

    forge.breaks_at("info/refs", Fault::Status(403));
    let pr = forge.opens_pull("dev", &shop, &[("deploy/web.yaml", &web("2"))]).await;
    server.hears(|line| line["error"].as_str().is_some_and(|error| error.contains("refused to let git")));
    forge.recovers();
    let _: i64 =
        until(database, "SELECT pull_number FROM preview WHERE shown_at IS NOT NULL AND pull_number > 1").await;
    forge.approves("lee", &pr).await;
    let _: i64 = until(database, "SELECT count(*) FROM approval HAVING count(*) = 2").await;
    forge.merges("dev", &pr, Merge::Commit).await;
    let _: i64 = until(database, "SELECT number FROM deployment WHERE state = 'healthy' AND number = 2").await;
    forge.pushes_to("dev", &shop, "main", &[("deploy/web.yaml", &web("3"))]).await;
    let _: i64 = until(database, "SELECT shown_in FROM hold WHERE shown_in IS NOT NULL").await;
    let _: i64 = until(database, "SELECT count(*) FROM job HAVING count(*) = 0").await;
}

#[test]
fn a_day_is_counted_as_it_was_logged_line_by_line_and_the_token_is_nowhere() {
    on_plane(|plane| async move {
        let (forge, database) = (FakeForge::start().await, Database::new().await);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("bascule.toml"),
            shop::configuration(&forge, plane.kubeconfig(), NAMESPACE, "1h"),
        )
        .unwrap();
        let tools = program("kustomize").unwrap();
        let ours = Environ::of_process().get("PATH").unwrap_or_default().to_owned();
        let programs = recorded_git(folder.path());
        let path = format!("{}:{}:{ours}", programs.display(), tools.parent().unwrap().display());
        let url = database.server_url();
        let environment = [("PATH", path.as_str()), ("DATABASE_URL", &url), ("SECRET", SECRET), ("TOKEN", TOKEN)];
        let server = Server::start(folder.path(), &environment);
        assert!(folder.path().join("data/mirrors").is_dir(), "beside the file, wherever it was started");

        a_day(&forge, plane, &server, &database.owner_url()).await;
        let told = scrape(&server).await;
        let calls = forge.take_calls();
        let wrote =
            |call: &&String| call.contains("/comments") && !call.starts_with("GET") && !call.contains("/reactions");
        let comments = calls.iter().filter(wrote).count();
        let counted = [
            ("bascule_job_seconds_count", "", count(&database, "SELECT last_value FROM job_fence").await),
            ("bascule_jobs_total", "", count(&database, "SELECT last_value FROM job_fence").await),
            ("bascule_webhook_deliveries_total", "", count(&database, "SELECT count(*) FROM delivery").await),
            ("bascule_audit_entries_total", "", count(&database, "SELECT count(*) FROM audit_entry").await),
            ("bascule_syncs_started_total", "", 2.0),
            ("bascule_syncs_total", "state=\"healthy\"", 2.0),
            ("bascule_objects_sent_total", "", 2.0),
            ("bascule_environments_held", "reason=\"uncovered\"", 1.0),
            ("bascule_environments_held", "", 1.0),
            (
                "bascule_holds_total",
                "reason=\"uncovered\"",
                count(&database, "SELECT count(*) FROM audit_entry WHERE action = 'environment.held' AND detail->>'reason' = 'uncovered'").await,
            ),
            ("bascule_comments_written_total", "", f64::from(u32::try_from(comments).unwrap())),
            ("bascule_forge_calls_total", "", f64::from(u32::try_from(calls.len()).unwrap())),
            ("bascule_queue_jobs", "", 0.0),
        ];
        let rendered = count(&database, "SELECT count(*) FROM render_cache").await;
        assert!(sum(&told, "bascule_renders_total", "") >= rendered, "once for each content, and afresh before a sync");
        let wrong: Vec<String> = counted
            .into_iter()
            .filter(|(name, with, truth)| (sum(&told, name, with) - truth).abs() > f64::EPSILON)
            .map(|(name, with, truth)| format!("{name}{{{with}}}: told {}, is {truth}", sum(&told, name, with)))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}\n{calls:#?}");

        let log = server.stops();
        let argv = std::fs::read_to_string(folder.path().join("git.argv")).unwrap();
        assert!(argv.lines().any(|line| line.contains(" fetch ")), "{argv}");
        let encoded = STANDARD.encode(format!("x-access-token:{TOKEN}"));
        for line in log.iter().map(String::as_str).chain(argv.lines()) {
            for secret in [TOKEN, encoded.as_str(), SECRET] {
                assert!(!line.contains(secret), "{line}");
            }
        }
        assert!(log.len() > 20, "{log:#?}");
        for line in &log {
            let read: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            for key in ["timestamp", "level", "message", "target"] {
                assert!(read[key].is_string(), "{key}: {line}");
            }
        }
    });
}

/// How many sweeps came to their end.
async fn sweeps(server: &Server) -> f64 {
    sum(&scrape(server).await, "bascule_job_seconds_count", "kind=\"sweep_repository\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_compared_with_the_forge_as_often_as_the_file_says() {
    let (forge, database) = (FakeForge::start().await, Database::new().await);
    forge.repository("acme/shop", &[("README.md", "# shop\n")]).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kubeconfig"), "apiVersion: v1\nkind: Config\n").unwrap();
    let hourly = shop::configuration(&forge, Path::new("kubeconfig"), NAMESPACE, "1h");
    let file = folder.path().join("bascule.toml");
    std::fs::write(&file, hourly.replace("branches = \"1h\"", "branches = \"1s\"")).unwrap();
    let url = database.server_url();
    let environment = [("PATH", "/usr/bin:/bin"), ("DATABASE_URL", &*url), ("SECRET", SECRET), ("TOKEN", TOKEN)];
    let server = Server::start(folder.path(), &environment);
    // One at the start, and others only because a second is over.
    let deadline = Instant::now() + Duration::from_secs(60);
    while sweeps(&server).await < 4.0 {
        assert!(Instant::now() < deadline, "no more than {} sweeps came", sweeps(&server).await);
    }
}
