//! What is put in, and who takes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bascule::ids::TraceId;
use bascule::queue::{self, Lane, NewJob, Source, Unsettled, Verdict};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use super::{LONG, claim, job, put, rows, source};
use crate::support::database::Database;

#[tokio::test]
async fn ten_thousand_events_about_one_thing_are_one_job_with_the_newest_of_them() {
    let database = Database::new().await;
    let next = Arc::new(AtomicUsize::new(0));
    let writers = (0..16).map(|_| {
        let (pool, next) = (database.pool.clone(), next.clone());
        async move {
            let mut connection = pool.acquire().await.unwrap();
            while next.fetch_add(1, Ordering::SeqCst) < 10_000 {
                queue::enqueue(&mut connection, &job("shop#1")).await.unwrap();
            }
        }
    });
    futures::future::join_all(writers).await;
    let newest = NewJob {
        payload: json!({ "pull": 2 }),
        trace: TraceId(Uuid::from_u128(2)),
        lane: Lane::Sync,
        run_after: LONG,
        ..job("shop#1")
    };
    put(&database.pool, &[newest]).await;
    put(&database.pool, &[NewJob { lane: Lane::Sweep, payload: json!({ "pull": 3 }), ..job("shop#1") }]).await;

    let jobs = source(&database).claim(Lane::Sync, 10, LONG).await.unwrap();
    let seen: Vec<_> = jobs.iter().map(|job| (job.key.as_str(), job.payload["pull"].clone(), job.attempt)).collect();
    assert_eq!(seen, [("shop#1", json!(3), 1)], "newest payload, earliest time, most urgent lane");
}

#[tokio::test]
async fn of_one_batch_the_last_of_a_key_wins() {
    let database = Database::new().await;
    let numbered = |n: u32| NewJob { payload: json!(n), ..job("shop#1") };
    put(&database.pool, &[numbered(1), job("shop#2"), numbered(2), numbered(3)]).await;
    let jobs: BTreeMap<_, _> = claim(&database, 10).await.into_iter().map(|job| (job.key, job.payload)).collect();
    assert_eq!(jobs, BTreeMap::from([("shop#1".into(), json!(3)), ("shop#2".into(), json!({ "pull": 1 }))]));
}

#[tokio::test]
async fn a_job_exists_with_the_transaction_that_makes_it_necessary_or_not_at_all() {
    let database = Database::new().await;
    let mut transaction = database.pool.begin().await.unwrap();
    queue::enqueue(&mut transaction, &job("shop#1")).await.unwrap();
    assert_eq!(claim(&database, 10).await, []);
    transaction.rollback().await.unwrap();
    assert_eq!(rows(&database).await, []);
}

#[tokio::test]
async fn one_runs_and_one_waits_and_the_one_that_waits_is_not_taken_before_the_other_ends() {
    let database = Database::new().await;
    put(&database.pool, &[job("shop#1")]).await;
    let first = claim(&database, 10).await.remove(0);
    put(&database.pool, &[job("shop#1")]).await;
    put(&database.pool, &[job("shop#1")]).await;
    assert_eq!(claim(&database, 10).await, [], "its key is running");

    let mut connection = database.pool.acquire().await.unwrap();
    queue::finish(&mut connection, &first).await.unwrap();
    let second = claim(&database, 10).await.remove(0);
    assert!(second.fence > first.fence, "{} after {}", second.fence, first.fence);
    assert!(matches!(queue::finish(&mut connection, &first).await, Err(Unsettled::Lost(_))), "ended already");
}

#[tokio::test]
async fn shares_are_served_in_turn_so_that_a_flood_delays_others_by_one_job() {
    let database = Database::new().await;
    let of = |share: &str, n: usize| NewJob { share: share.to_owned(), ..job(&format!("{share}#{n}")) };
    let flood: Vec<_> = (0..500).map(|n| of("loud", n)).collect();
    put(&database.pool, &flood).await;
    put(&database.pool, &[of("quiet", 1), of("quiet", 2), of("calm", 1)]).await;

    let keys: BTreeSet<_> = claim(&database, 5).await.into_iter().map(|job| job.key).collect();
    let share = |share: &str| keys.iter().filter(|key| key.starts_with(share)).count();
    assert_eq!((share("loud"), share("quiet"), share("calm")), (2, 2, 1), "{keys:?}");
    // All of them run, so the next goes to whoever runs least.
    put(&database.pool, &[of("new", 1)]).await;
    assert_eq!(claim(&database, 1).await[0].key, "new#1");
}

#[tokio::test]
async fn hundreds_of_shares_are_each_served_once_before_one_is_served_again() {
    let database = Database::new().await;
    let of = |n: usize, k: usize| NewJob { share: format!("share {n}"), ..job(&format!("{n}#{k}")) };
    let jobs: Vec<_> = (0..200).flat_map(|n| [of(n, 1), of(n, 2), of(n, 3)]).collect();
    put(&database.pool, &jobs).await;
    let source = source(&database);
    let mut served: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..20 {
        for job in source.claim(Lane::Default, 10, LONG).await.unwrap() {
            *served.entry(job.key.split('#').next().unwrap().to_owned()).or_default() += 1;
            source.settle(&job, &Verdict::Done).await.unwrap();
        }
    }
    assert_eq!((served.len(), served.values().max()), (200, Some(&1)));
}

#[tokio::test]
async fn the_one_that_is_due_is_found_among_hundreds_of_shares_that_wait() {
    let database = Database::new().await;
    let of = |n: usize| NewJob { share: format!("share {n:03}"), run_after: LONG, ..job(&format!("{n}")) };
    let jobs: Vec<_> = (0..300).map(of).collect();
    put(&database.pool, &jobs).await;
    let source = source(&database);
    assert_eq!(source.claim(Lane::Default, 4, LONG).await.unwrap(), []);
    for due in [250, 3, 299] {
        put(&database.pool, &[NewJob { run_after: Duration::ZERO, ..of(due) }]).await;
        let keys: Vec<_> = source.claim(Lane::Default, 4, LONG).await.unwrap().into_iter().map(|job| job.key).collect();
        assert_eq!(keys, [due.to_string()]);
    }
}

#[tokio::test]
async fn lanes_do_not_see_each_other() {
    let database = Database::new().await;
    let sync = NewJob { lane: Lane::Sync, ..job("shop production") };
    put(&database.pool, &[job("shop#1"), sync, NewJob { lane: Lane::Sweep, ..job("pulls") }]).await;
    for (lane, key) in [(Lane::Sync, "shop production"), (Lane::Default, "shop#1"), (Lane::Sweep, "pulls")] {
        let jobs = source(&database).claim(lane, 10, LONG).await.unwrap();
        assert_eq!(jobs.iter().map(|job| job.key.as_str()).collect::<Vec<_>>(), [key]);
    }
}

#[tokio::test]
async fn a_transaction_held_open_keeps_nobody_from_claiming() {
    let database = Database::new().await;
    put(&database.pool, &[job("shop#1"), job("shop#2")]).await;
    let mut slow = database.pool.begin().await.unwrap();
    slow.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    slow.execute("SELECT count(*) FROM job").await.unwrap();
    queue::enqueue(&mut slow, &job("shop#3")).await.unwrap();
    let mut locking = PgConnection::connect(&database.server_url()).await.unwrap();
    let mut locked = locking.begin().await.unwrap();
    locked.execute("SELECT * FROM job WHERE key = 'shop#1' FOR UPDATE").await.unwrap();

    let taken: Vec<_> = claim(&database, 10).await.into_iter().map(|job| job.key).collect();
    assert_eq!(taken, ["shop#2"]);
    locked.rollback().await.unwrap();
    assert_eq!(claim(&database, 10).await[0].key, "shop#1");
    slow.commit().await.unwrap();
    assert_eq!(claim(&database, 10).await[0].key, "shop#3");
}

#[tokio::test]
async fn depth_is_told_per_lane() {
    let database = Database::new().await;
    put(&database.pool, &[job("a"), job("b"), job("c"), NewJob { run_after: LONG, ..job("d") }]).await;
    let bad = claim(&database, 1).await.remove(0);
    source(&database).settle(&bad, &Verdict::Fail { error: "no".to_owned() }).await.unwrap();
    claim(&database, 1).await;
    let depths = queue::depths(&mut database.pool.acquire().await.unwrap()).await.unwrap();
    let of = |lane| depths.iter().find(|depth| depth.lane == lane).unwrap();
    let default = of(Lane::Default);
    assert_eq!((default.due, default.later, default.running, default.failed), (1, 1, 1, 1));
    assert!(default.oldest > 0.0);
    assert_eq!((of(Lane::Sync).due, of(Lane::Sync).oldest), (0, 0.0));
}
