//! Workers in one process: slots, lanes, panics, calls, an orderly stop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bascule::queue::worker::{self, Settings};
use bascule::queue::{Bell, Claimed, Lane, Lease, NewJob, PgSource, State, Verdict};
use insta::assert_snapshot;
use serde_json::json;
use sqlx::{Executor, PgPool};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{LONG, job, put, rows};
use crate::support::database::Database;

/// What a test's handler saw.
#[derive(Default)]
struct Seen {
    running: Mutex<BTreeMap<String, u32>>,
    most_of_one_key: AtomicUsize,
    ended: AtomicUsize,
    all_ended: Notify,
}

/// Runs workers until `count` jobs have ended.
async fn run_until<H: worker::Handler>(
    database: &Database,
    workers: usize,
    settings: &Settings,
    handler: H,
    done: impl Future<Output = ()>,
) {
    let handler = Arc::new(handler);
    let stop = CancellationToken::new();
    let all = (0..workers).map(|n| {
        let name = format!("worker {n}");
        let bell = Bell::new(&name);
        let source = Arc::new(PgSource::new(database.pool.clone(), name));
        worker::run(source, handler.clone(), bell, settings.clone(), stop.clone())
    });
    let all = futures::future::join_all(all);
    tokio::join!(all, async {
        done.await;
        stop.cancel();
    });
}

fn quick() -> Settings {
    Settings { poll: Duration::from_millis(20), ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_workers_run_every_job_once_and_no_key_twice_at_once() {
    let database = Database::new().await;
    let jobs: Vec<_> = (0..300).map(|n| NewJob { share: format!("{}", n % 7), ..job(&format!("key {n}")) }).collect();
    put(&database.pool, &jobs).await;
    let seen = Arc::new(Seen::default());
    let handler = {
        let (seen, pool) = (seen.clone(), database.pool.clone());
        move |job: Claimed, lease: Lease| {
            let (seen, pool) = (seen.clone(), pool.clone());
            async move {
                let now = {
                    let mut running = seen.running.lock().unwrap();
                    let now = running.entry(job.key.clone()).or_default();
                    *now += 1;
                    *now as usize
                };
                seen.most_of_one_key.fetch_max(now, Ordering::SeqCst);
                assert_eq!(lease.fence(), job.fence);
                assert!(lease.check(Duration::from_secs(1)).is_ok());
                // Half of them are enqueued again by something that happens meanwhile.
                if job.payload["again"].is_null() && job.id % 2 == 0 {
                    let again = NewJob { payload: json!({ "again": true }), ..super::job(&job.key) };
                    put(&pool, &[again]).await;
                }
                *seen.running.lock().unwrap().get_mut(&job.key).unwrap() -= 1;
                if seen.ended.fetch_add(1, Ordering::SeqCst) + 1 == 450 {
                    seen.all_ended.notify_one();
                }
                Verdict::Done
            }
        }
    };
    run_until(&database, 4, &quick(), handler, seen.all_ended.notified()).await;
    assert_eq!(seen.ended.load(Ordering::SeqCst), 450);
    assert_eq!(seen.most_of_one_key.load(Ordering::SeqCst), 1);
    assert_eq!(rows(&database).await, []);
}

#[tokio::test]
async fn a_panic_is_a_failed_try_with_its_text_and_the_worker_lives_on() {
    let database = Database::new().await;
    put(&database.pool, &[job("panics"), job("works")]).await;
    let (sender, mut worked) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |job: Claimed, _: Lease| {
        let sender = sender.clone();
        async move {
            assert!(job.key != "panics", "no such tree: {}", job.key);
            sender.send(()).unwrap();
            Verdict::Done
        }
    };
    run_until(&database, 1, &quick(), handler, async { worked.recv().await.unwrap() }).await;
    let [(key, state, _, error)] = rows(&database).await.try_into().unwrap();
    assert_eq!((key.as_str(), state), ("panics", State::Pending));
    assert_snapshot!(error.unwrap(), @"panicked: no such tree: panics");
}

#[tokio::test]
async fn previews_that_fill_their_slots_do_not_delay_a_sync() {
    let database = Database::new().await;
    let previews: Vec<_> = (0..50).map(|n| job(&format!("shop#{n}"))).collect();
    put(&database.pool, &previews).await;
    let started = Arc::new(AtomicUsize::new(0));
    let (synced, mut sync_ended) = tokio::sync::mpsc::unbounded_channel();
    let handler = {
        let (started, pool) = (started.clone(), database.pool.clone());
        move |job: Claimed, lease: Lease| {
            let (started, pool, synced) = (started.clone(), pool.clone(), synced.clone());
            async move {
                if job.lane == Lane::Sync {
                    synced.send(()).unwrap();
                    return Verdict::Done;
                }
                // The last free slot is taken: now a sync comes in, while no preview ever ends.
                if started.fetch_add(1, Ordering::SeqCst) + 1 == 3 {
                    put(&pool, &[NewJob { lane: Lane::Sync, ..super::job("shop production") }]).await;
                }
                lease.unless_stopping(std::future::pending()).await
            }
        }
    };
    let mut settings = quick();
    settings.slots.insert(Lane::Default, 3);
    run_until(&database, 1, &settings, handler, async { sync_ended.recv().await.unwrap() }).await;
    assert_eq!(started.load(Ordering::SeqCst), 3, "no more than its slots");
    let states: BTreeSet<_> =
        rows(&database).await.into_iter().map(|(_, state, attempt, _)| (state.as_str(), attempt)).collect();
    assert_eq!(states, BTreeSet::from([("pending", 0)]), "an orderly stop hands the three back at once, uncounted");
}

#[tokio::test]
async fn a_job_that_only_waits_leaves_its_slot_to_the_next() {
    let database = Database::new().await;
    let jobs: Vec<_> = ["waits 1", "waits 2", "works 1", "works 2"].map(job).into();
    put(&database.pool, &jobs).await;
    let at_work = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (sender, mut worked) = tokio::sync::mpsc::unbounded_channel();
    let handler = {
        let (at_work, most) = (at_work.clone(), most.clone());
        move |job: Claimed, lease: Lease| {
            let (at_work, most, sender) = (at_work.clone(), most.clone(), sender.clone());
            async move {
                most.fetch_max(at_work.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                if job.key.starts_with("waits") {
                    at_work.fetch_sub(1, Ordering::SeqCst);
                    let _rest = lease.rests();
                    return lease.unless_stopping(std::future::pending()).await;
                }
                tokio::task::yield_now().await;
                at_work.fetch_sub(1, Ordering::SeqCst);
                sender.send(()).unwrap();
                Verdict::Done
            }
        }
    };
    // Only the slot that was left can wake it: it would look again after ten minutes.
    let mut settings = Settings { poll: LONG, ..Settings::default() };
    settings.slots.insert(Lane::Default, 1);
    run_until(&database, 1, &settings, handler, async {
        worked.recv().await.unwrap();
        worked.recv().await.unwrap();
    })
    .await;
    assert_eq!(most.load(Ordering::SeqCst), 1, "and no more are at work than there are slots");
    let left: Vec<_> = rows(&database).await.into_iter().map(|(key, ..)| key).collect();
    assert_eq!(left, ["waits 1", "waits 2"]);
}

#[tokio::test]
async fn a_bell_wakes_workers_here_and_in_other_servers_with_one_call_for_many() {
    let database = Database::new().await;
    let stop = CancellationToken::new();
    let (ours, theirs) = (Bell::new("ours"), Bell::new("theirs"));
    let (sender, mut ran) = tokio::sync::mpsc::unbounded_channel();
    let handler = Arc::new(move |job: Claimed, _: Lease| {
        let sender = sender.clone();
        async move {
            sender.send(job.key).unwrap();
            Verdict::Done
        }
    });
    // Only a bell can wake this one: it looks once at its start, and then after ten minutes.
    let settings = Settings { poll: LONG, ..Settings::default() };
    let source = Arc::new(PgSource::new(database.pool.clone(), "theirs".to_owned()));
    let listening = PgPool::connect(&database.server_url()).await.unwrap();
    let mut heard = sqlx::postgres::PgListener::connect(&database.server_url()).await.unwrap();
    heard.listen("bascule_jobs").await.unwrap();
    let all = async {
        tokio::join!(
            worker::run(source, handler, theirs.clone(), settings, stop.clone()),
            ours.carry(listening.clone(), stop.clone()),
            theirs.carry(listening.clone(), stop.clone()),
        )
    };
    tokio::join!(all, async {
        // Until both listen, a call may be lost, as may any: this test waits for them as PostgreSQL lists them.
        while sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()",
        )
        .fetch_one(&listening)
        .await
        .unwrap()
            < 3
        {
            tokio::task::yield_now().await;
        }
        let jobs: Vec<_> = (0..200).map(|n| job(&format!("shop#{n}"))).collect();
        put(&database.pool, &jobs).await;
        for _ in 0..200 {
            ours.ring(Lane::Default);
        }
        for _ in 0..200 {
            ran.recv().await.unwrap();
        }
        stop.cancel();
    });
    listening.execute("SELECT pg_notify('bascule_jobs', 'that was all')").await.unwrap();
    let mut calls = 0;
    while heard.recv().await.unwrap().payload() != "that was all" {
        calls += 1;
    }
    assert!((1..=2).contains(&calls), "{calls} calls for 200 jobs");
}
