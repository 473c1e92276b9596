//! A repository where nothing happens costs its forge next to nothing, however many pull requests are open.

use std::collections::BTreeMap;
use std::time::Duration;

use bascule::app;
use bascule::clock::Clock;
use bascule::config::{self, Environ};
use bascule::jobs;
use bascule::queue::{Bell, Lane, Lease, PgSource, Source as _, Verdict};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::fake::forge::{FakeForge, SECRET, TOKEN, Tongue};
use crate::support::database::Database;

const TERM: Duration = Duration::from_secs(600);

/// A server that only sweeps.
struct Sweeper {
    context: jobs::Context,
    source: PgSource,
    database: Database,
    _folder: tempfile::TempDir,
}

impl Sweeper {
    /// Of `acme/shop`.
    async fn of(forge: &FakeForge) -> Self {
        Self::by(forge, "token = { env = \"TOKEN\" }", TOKEN, "acme/shop").await
    }

    /// Of these, by this way to sign in and its secret.
    async fn by(forge: &FakeForge, sign_in: &str, secret: &str, repositories: &str) -> Self {
        let (database, folder) = (Database::new().await, tempfile::tempdir().unwrap());
        let text = format!(
            r#"version = 1
[database]
url = {{ env = "DATABASE_URL" }}
data_dir = "./data"
[forge.work]
kind = "{}"
url = "{}"
webhook_secrets = [{{ env = "SECRET" }}]
{sign_in}
[cluster.paper]
[grant.shop]
repositories = ["work/{repositories}"]
clusters = ["paper"]
namespaces = ["shop"]
"#,
            forge.tongue().kind(),
            forge.url()
        );
        std::fs::write(folder.path().join("bascule.toml"), text).unwrap();
        let path = Environ::of_process().get("PATH").unwrap_or_default().to_owned();
        let url = database.server_url();
        let given = [("PATH", path.as_str()), ("DATABASE_URL", &url), ("SECRET", SECRET), ("TOKEN", secret)];
        let environ = Environ::from_iter(given);
        let loaded = config::load(Some(&folder.path().join("bascule.toml")), &environ).unwrap();
        let clock = Clock::manual("2026-01-05T09:00:00Z".parse().unwrap());
        let (bell, pool) = (Bell::new("a server"), database.pool.clone());
        let context = app::context(&loaded.server, &environ, &clock, &[5; 32], &pool, &bell).await.unwrap();
        Self { context, source: PgSource::new(pool, "a server".to_owned()), database, _folder: folder }
    }

    /// One sweep, and how many jobs it found a reason for.
    async fn sweeps(&self) -> u64 {
        app::sweep_all(&self.context).await.unwrap();
        while let Some(job) = self.source.claim(Lane::Sweep, 1, TERM).await.unwrap().pop() {
            let lease = Lease::new(job.fence, Instant::now(), TERM, CancellationToken::new());
            assert_eq!(Box::pin(jobs::run(&self.context, &job, &lease)).await, Verdict::Done);
            self.source.settle(&job, &Verdict::Done).await.unwrap();
        }
        // Whoever would work on them is not here.
        sqlx::query("DELETE FROM job").execute(&self.database.owner).await.unwrap().rows_affected()
    }

    async fn entries(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM audit_entry").fetch_one(&self.database.owner).await.unwrap()
    }
}

#[tokio::test]
async fn a_sweep_of_a_thousand_quiet_pull_requests_is_twenty_four_calls_and_no_write() {
    let forge = FakeForge::start().await;
    let shop = forge.repository("acme/shop", &[("README.md", "# shop\n")]).await;
    let pull = forge.opens_pull("dev", &shop, &[("README.md", "# Shop\n")]).await;
    forge.has_many_like(&pull, 999);
    let server = Sweeper::of(&forge).await;
    assert_eq!(server.sweeps().await, 1_001, "each pull request, and the default branch, is news once");
    forge.take_calls();
    let before = server.entries().await;

    assert_eq!(server.sweeps().await, 0, "nothing happened since");
    assert_eq!(server.entries().await, before, "and there is nothing to tell");
    let mut calls = BTreeMap::<String, usize>::new();
    forge.take_calls().into_iter().for_each(|call| *calls.entry(call).or_default() += 1);
    let calls: Vec<String> = calls.into_iter().map(|(call, times)| format!("{times} × {call}")).collect();
    insta::assert_snapshot!(calls.join("\n"), @"
    1 × GET /repos/acme/shop/branches
    1 × GET /repos/acme/shop/issues/comments
    21 × GET /repos/acme/shop/pulls
    1 × GET /repositories/3
    ");
}

#[tokio::test]
async fn a_quiet_repository_of_github_costs_nothing_of_its_limit() {
    let forge = FakeForge::that_speaks(Tongue::GitHub).await;
    let shop = forge.repository("acme/shop", &[("README.md", "# shop\n")]).await;
    let pull = forge.opens_pull("dev", &shop, &[("README.md", "# Shop\n")]).await;
    forge.has_many_like(&pull, 2);
    let server = Sweeper::of(&forge).await;
    assert_eq!(server.sweeps().await, 4);
    let counted = async || {
        let (before, calls) = (forge.calls_left(), forge.calls());
        let found = server.sweeps().await;
        (found, before - forge.calls_left(), forge.calls() - calls)
    };
    let (found, counts, _) = counted().await;
    assert!(found == 0 && counts <= 1, "comments are asked for since the first look: {found} {counts}");
    // A thousand of them cost a thousand times nothing.
    assert_eq!(counted().await, (0, 0, 5), "five calls, and each is answered as unchanged");

    forge.comments("dev", &pull, "is anybody there?").await;
    let (found, counts, _) = counted().await;
    assert_eq!(found, 1, "what is said is heard all the same");
    assert!((1..5).contains(&counts), "and only what it changed is told: {counts}");
}

#[tokio::test]
async fn an_app_that_was_given_hundreds_of_repositories_finds_each_that_a_pattern_grants() {
    let forge = FakeForge::that_speaks(Tongue::GitHub).await;
    let app = forge.has_app("acme", &[("metadata", "read")]);
    let first = forge.has_many_repositories("acme", 250)[0];
    let sign_in = format!("app = {{ id = {}, private_key = {{ env = \"TOKEN\" }} }}", app.id);
    let server = Sweeper::by(&forge, &sign_in, &app.private_key, "acme/*").await;
    let known = "INSERT INTO repository (forge, forge_id, full_name, default_branch)
                 SELECT 'work', $1, 'acme/r0', 'main'";
    sqlx::query(known).bind(first).execute(&server.database.owner).await.unwrap();
    forge.take_calls();
    app::sweep_all(&server.context).await.unwrap();
    sqlx::query("DELETE FROM job WHERE kind <> 'sweep_installations'").execute(&server.database.owner).await.unwrap();
    let job = server.source.claim(Lane::Sweep, 1, TERM).await.unwrap().pop().unwrap();
    let lease = Lease::new(job.fence, Instant::now(), TERM, CancellationToken::new());
    assert_eq!(Box::pin(jobs::run(&server.context, &job, &lease)).await, Verdict::Done);
    let found = "SELECT count(*) FROM job WHERE kind = 'sweep_repository'";
    let found: i64 = sqlx::query_scalar(found).fetch_one(&server.database.owner).await.unwrap();
    assert_eq!(found, 249, "all that are new, however many pages they are on");
    let pages = forge.take_calls().into_iter().filter(|call| call.ends_with("/installation/repositories"));
    assert_eq!(pages.count(), 3);
}
