//! Workers that die, stand still, or lose their connections, in processes of their own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bascule::queue::worker::{self, Settings};
use bascule::queue::{self, Bell, Claimed, Lane, Lease, NewJob, PgSource, Source, State, Verdict};
use insta::assert_snapshot;
use rustix::process::Signal;
use serde_json::json;
use sqlx::postgres::PgListener;
use sqlx::{Executor, PgPool};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{LONG, job, put, rows, source};
use crate::support::child::{TestChild, say};
use crate::support::database::Database;

/// A lease that ends soon after its holder.
const SHORT: Duration = Duration::from_secs(1);
/// What a write outside may take at most, in these tests.
const MARGIN: Duration = Duration::from_millis(200);

/// What the jobs of a child do is in their payload.
fn told_to(what: &str, key: &str) -> NewJob {
    NewJob { payload: json!(what), ..job(key) }
}

fn start(role: &str, database: &Database, term: Duration) -> TestChild {
    TestChild::start("worker", &[role, &database.server_url(), &term.as_millis().to_string()])
}

/// Asks until a job can be had: the database's clock says when.
async fn take_over(database: &Database, term: Duration) -> Claimed {
    loop {
        if let Some(job) = source(database).claim(Lane::Default, 1, term).await.unwrap().pop() {
            return job;
        }
    }
}

/// Jobs record themselves here, with their end; a second record of one key is refused.
async fn make_ledger(database: &Database) {
    database.owner.execute("CREATE TABLE ledger (key text PRIMARY KEY, fence bigint NOT NULL)").await.unwrap();
    database.owner.execute("GRANT SELECT, INSERT ON ledger TO bascule_app").await.unwrap();
}

async fn ledger(database: &Database) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM ledger").fetch_one(&database.owner).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_s_job_is_taken_over_when_its_lease_ends() {
    let database = Database::new().await;
    put(&database.pool, &[told_to("hang", "shop#1")]).await;
    let mut child = start("work", &database, SHORT);
    assert_eq!(child.hear(), "claimed shop#1 attempt 1");
    let before = queue::list(&mut database.pool.acquire().await.unwrap(), None, None, 1).await.unwrap().remove(0);
    child.kill();

    let job = take_over(&database, LONG).await;
    assert_eq!((job.id, job.attempt), (before.id, 2));
    let error = rows(&database).await[0].3.clone().unwrap();
    let child_name = before.holder.unwrap();
    assert_snapshot!(error.replace(&child_name, "CHILD"), @"the worker CHILD stopped renewing its lease");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stood_still_past_its_lease_can_do_nothing_more() {
    let database = Database::new().await;
    put(&database.pool, &[job("shop#1")]).await;
    let mut child = start("claim one", &database, SHORT);
    assert_eq!(child.hear(), "claimed and may write");
    child.signal(Signal::STOP);
    let new = take_over(&database, LONG).await;
    child.signal(Signal::CONT);
    database.pool.execute("NOTIFY go").await.unwrap();
    assert_eq!(child.hear(), "check: the job's lease is lost: another worker may hold it");
    assert_eq!(child.hear(), "finish: the job's lease is lost: another worker may hold it");
    assert_eq!(child.hear(), "renew: lost");
    queue::finish(&mut database.pool.acquire().await.unwrap(), &new).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stood_still_drops_the_job_it_lost_and_goes_on_with_others() {
    let database = Database::new().await;
    put(&database.pool, &[told_to("hang", "shop#1")]).await;
    let mut child = start("work", &database, SHORT);
    assert_eq!(child.hear(), "claimed shop#1 attempt 1");
    child.signal(Signal::STOP);
    let new = take_over(&database, LONG).await;
    child.signal(Signal::CONT);
    assert_eq!(child.hear(), "dropped shop#1");
    put(&database.pool, &[told_to("hang", "shop#2")]).await;
    assert_eq!(child.hear(), "claimed shop#2 attempt 1");
    queue::confirm(&mut database.pool.acquire().await.unwrap(), &new).await.expect("still the new one's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_asked_to_stop_hands_its_jobs_back_at_once() {
    let database = Database::new().await;
    put(&database.pool, &[told_to("hang", "shop#1"), told_to("hang", "shop#2")]).await;
    let mut child = start("work", &database, LONG);
    let claimed = BTreeSet::from([child.hear(), child.hear()]);
    assert_eq!(claimed, ["claimed shop#1 attempt 1", "claimed shop#2 attempt 1"].map(String::from).into());
    child.signal(Signal::TERM);
    let said: BTreeSet<_> = std::iter::from_fn(|| child.hear_or_end()).collect();
    assert_eq!(said, ["dropped shop#1", "dropped shop#2", "stopped"].map(String::from).into());
    let states: Vec<_> = rows(&database).await.into_iter().map(|(_, state, attempt, _)| (state, attempt)).collect();
    assert_eq!(states, [(State::Pending, 0), (State::Pending, 0)], "no lease had to run out, no try was counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_five_workers_is_set_aside_and_the_others_go_on() {
    let database = Database::new().await;
    make_ledger(&database).await;
    put(&database.pool, &[told_to("abort", "bomb")]).await;
    for life in 1..=5 {
        let mut child = start("work", &database, SHORT);
        assert_eq!(child.hear(), format!("claimed bomb attempt {life}"));
        assert_eq!(child.hear_or_end(), None, "it took its worker with it");
    }
    put(&database.pool, &[told_to("record", "shop#1")]).await;
    let mut child = start("work", &database, SHORT);
    assert_eq!(child.hear(), "claimed shop#1 attempt 1");
    assert_eq!(child.hear(), "recorded shop#1");
    while !rows(&database).await.iter().all(|(key, state, ..)| key == "bomb" && *state == State::Failed) {}
    assert_eq!(rows(&database).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_servers_do_everything_once() {
    const JOBS: usize = 150;
    let database = Database::new().await;
    make_ledger(&database).await;
    let mut recorded = PgListener::connect(&database.server_url()).await.unwrap();
    recorded.listen("recorded").await.unwrap();
    let children: Vec<_> = (0..3).map(|_| start("work", &database, LONG)).collect();
    let jobs: Vec<_> = (0..JOBS).map(|n| told_to("record", &format!("shop#{n}"))).collect();
    put(&database.pool, &jobs).await;
    for _ in 0..JOBS {
        recorded.recv().await.unwrap();
    }
    assert_eq!(ledger(&database).await, 150);
    assert_eq!(rows(&database).await, []);
    let attempts = children.into_iter().flat_map(|child| {
        child.signal(Signal::TERM);
        child.all_it_says().into_iter().filter(|line| line.starts_with("claimed"))
    });
    let attempts: Vec<_> = attempts.collect();
    assert_eq!(attempts.len(), JOBS, "each claimed once");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_connections_lose_no_job_and_double_no_record() {
    const JOBS: usize = 60;
    let database = Database::new().await;
    make_ledger(&database).await;
    let mut recorded = PgListener::connect(&database.administrator_url()).await.unwrap();
    recorded.listen("recorded").await.unwrap();
    let mut child = start("work", &database, SHORT);
    let jobs: Vec<_> = (0..JOBS).map(|n| told_to("record", &format!("shop#{n}"))).collect();
    put(&database.owner, &jobs).await;
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'bascule_server'
               AND datname = current_database()";
    let administrator = PgPool::connect(&database.administrator_url()).await.unwrap();
    let mut cuts: i64 = 0;
    for n in 0..JOBS {
        recorded.recv().await.unwrap();
        if n % 6 == 0 {
            cuts += sqlx::query_scalar::<_, i64>(cut).fetch_one(&administrator).await.unwrap();
        }
    }
    assert!(cuts >= 10, "{cuts}");
    while !rows_as_owner(&database).await.is_empty() {}
    assert_eq!(ledger(&database).await, 60);
    child.signal(Signal::TERM);
    while let Some(line) = child.hear_or_end() {
        assert!(!line.contains("twice"), "{line}");
    }
}

async fn rows_as_owner(database: &Database) -> Vec<queue::Job> {
    queue::list(&mut database.owner.acquire().await.unwrap(), None, None, 100).await.unwrap()
}

/// A worker that says what its jobs do; or one that claims a job by hand.
pub(crate) fn child(arguments: &[String]) {
    let [role, url, term] = arguments else { panic!("{arguments:?}") };
    let term = Duration::from_millis(term.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let pool = PgPool::connect(url).await.unwrap();
        let source = PgSource::new(pool.clone(), format!("child {}", std::process::id()));
        match role.as_str() {
            "work" => work(pool, source, term).await,
            "claim one" => claim_one(pool, source, term).await,
            _ => panic!("{role}"),
        }
    });
}

async fn work(pool: PgPool, source: PgSource, term: Duration) {
    let stop = CancellationToken::new();
    let settings = Settings { term, poll: Duration::from_millis(50), ..Settings::default() };
    let handler = Arc::new(move |job: Claimed, lease: Lease| {
        let pool = pool.clone();
        async move { run(&pool, job, lease).await }
    });
    let mut asked = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    let worker = worker::run(Arc::new(source), handler, Bell::new("child"), settings, stop.clone());
    tokio::join!(worker, async {
        asked.recv().await;
        stop.cancel();
    });
    say("stopped");
}

/// Says that its job was dropped.
struct Dropping(String);

impl Drop for Dropping {
    fn drop(&mut self) {
        say(&format!("dropped {}", self.0));
    }
}

async fn run(pool: &PgPool, job: Claimed, lease: Lease) -> Verdict {
    say(&format!("claimed {} attempt {}", job.key, job.attempt));
    match job.payload.as_str().unwrap() {
        "hang" => {
            let _says = Dropping(job.key);
            lease.unless_stopping(std::future::pending()).await
        }
        "abort" => std::process::abort(),
        "record" => match record(pool, &job).await {
            Ok(()) => {
                say(&format!("recorded {}", job.key));
                Verdict::Done
            }
            Err(error) => {
                if error.as_database_error().is_some_and(|said| said.is_unique_violation()) {
                    say(&format!("twice: {}", job.key));
                }
                Verdict::Snooze { wait: Duration::ZERO }
            }
        },
        other => panic!("{other}"),
    }
}

/// As every job records: what it did and its end, in one transaction.
async fn record(pool: &PgPool, job: &Claimed) -> Result<(), sqlx::Error> {
    let mut record = pool.begin().await?;
    sqlx::query("INSERT INTO ledger VALUES ($1, $2)").bind(&job.key).bind(job.fence).execute(&mut *record).await?;
    record.execute("NOTIFY recorded, 'one'").await?;
    match queue::finish(&mut record, job).await {
        Ok(()) => record.commit().await,
        Err(queue::Unsettled::Database(error)) => Err(error),
        Err(queue::Unsettled::Lost(_)) => Ok(()),
    }
}

async fn claim_one(pool: PgPool, source: PgSource, term: Duration) {
    let mut go = PgListener::connect_with(&pool).await.unwrap();
    go.listen("go").await.unwrap();
    let asked = Instant::now();
    let job = source.claim(Lane::Default, 1, term).await.unwrap().remove(0);
    let lease = Lease::new(job.fence, asked, term, CancellationToken::new());
    let may = if lease.check(MARGIN).is_ok() { "may" } else { "may not" };
    say(&format!("claimed and {may} write"));
    go.recv().await.unwrap();
    say(&format!("check: {}", lease.check(MARGIN).unwrap_err()));
    let mut connection = pool.acquire().await.unwrap();
    say(&format!("finish: {}", queue::finish(&mut connection, &job).await.unwrap_err()));
    let renewal = source.renew(&[(job.id, job.fence)], term).await.unwrap();
    say(if renewal.lost == [job.id] { "renew: lost" } else { "renew: not lost" });
}
