//! How a run ends, and whose end counts.

use std::collections::BTreeSet;
use std::time::Duration;

use bascule::queue::{self, Lane, NewJob, Source, State, Unsettled, Verdict};
use insta::assert_snapshot;
use serde_json::{Value, json};
use sqlx::Executor;

use super::{LONG, OVER, claim, job, let_time_pass, put, rows, source};
use crate::support::database::Database;

#[tokio::test]
async fn a_failed_try_comes_back_later_with_its_error_and_the_twelfth_is_the_last() {
    let database = Database::new().await;
    put(&database.pool, &[job("shop#1")]).await;
    for attempt in 1..=12 {
        let job = claim(&database, 10).await.remove(0);
        assert_eq!(job.attempt, attempt);
        let verdict = Verdict::Retry { error: format!("Gitea said 502 ({attempt})") };
        source(&database).settle(&job, &verdict).await.unwrap();
        assert_eq!(claim(&database, 10).await, [], "not before its delay");
        let_time_pass(&database).await;
    }
    let [(key, state, attempt, error)] = rows(&database).await.try_into().unwrap();
    assert_eq!((key.as_str(), state, attempt), ("shop#1", State::Failed, 12));
    assert_snapshot!(error.unwrap(), @"gave up after 12 tries; the last: Gitea said 502 (12)");

    // An operator gives it a new beginning; a success forgets the failure.
    let mut connection = database.pool.acquire().await.unwrap();
    let id = queue::list(&mut connection, Some(State::Failed), None, 1).await.unwrap()[0].id;
    assert!(queue::retry(&mut connection, id).await.unwrap());
    assert!(!queue::retry(&mut connection, id).await.unwrap(), "it is not failed any more");
    let job = claim(&database, 10).await.remove(0);
    assert_eq!(job.attempt, 1);
    source(&database).settle(&job, &Verdict::Done).await.unwrap();
    assert_eq!(rows(&database).await, []);
}

#[tokio::test]
async fn a_delay_is_stored_grows_and_is_spread() {
    let database = Database::new().await;
    let jobs: Vec<_> = (0..40).map(|n| job(&format!("shop#{n}"))).collect();
    put(&database.pool, &jobs).await;
    for longest in [1.0, 2.0, 4.0] {
        for job in claim(&database, 40).await {
            source(&database).settle(&job, &Verdict::Retry { error: "no".to_owned() }).await.unwrap();
        }
        let delays: Vec<f64> = sqlx::query_scalar("SELECT extract(epoch FROM run_at - now())::float8 FROM job")
            .fetch_all(&database.owner)
            .await
            .unwrap();
        // Not longer than allowed; how much shorter depends on how long this test took to look.
        assert!(delays.iter().all(|delay| *delay <= longest), "{delays:?}");
        let distinct: BTreeSet<_> = delays.iter().map(|delay| (delay * 1e6) as i64).collect();
        assert!(distinct.len() > 20, "{delays:?}");
        let_time_pass(&database).await;
    }
}

#[tokio::test]
async fn a_snooze_and_a_hand_back_count_as_no_try() {
    let database = Database::new().await;
    put(&database.pool, &[job("shop#1")]).await;
    for wait in [LONG, Duration::ZERO] {
        let job = claim(&database, 10).await.remove(0);
        assert_eq!(job.attempt, 1);
        source(&database).settle(&job, &Verdict::Snooze { wait }).await.unwrap();
        if wait == LONG {
            assert_eq!(claim(&database, 10).await, []);
            let_time_pass(&database).await;
        }
    }
    assert_eq!(claim(&database, 10).await.remove(0).attempt, 1, "handed back: due at once");
}

#[tokio::test]
async fn what_is_away_for_a_day_costs_no_try_and_waits_grow_to_five_minutes() {
    let database = Database::new().await;
    put(&database.pool, &[job("shop#1")]).await;
    let (mut growing, mut most) = (Vec::new(), 0.0_f64);
    for _ in 0..300 {
        let job = claim(&database, 10).await.remove(0);
        assert_eq!(job.attempt, 1);
        let verdict = Verdict::Later { error: "Gitea said 502".to_owned() };
        assert!(!job.ends_for_good(&verdict));
        source(&database).settle(&job, &verdict).await.unwrap();
        let wait: f64 = sqlx::query_scalar("SELECT extract(epoch FROM run_at - now())::float8 FROM job")
            .fetch_one(&database.owner)
            .await
            .unwrap();
        most = most.max(wait);
        growing.push(most);
        let_time_pass(&database).await;
    }
    assert!(growing[2] <= 4.0 && growing[5] > 8.0, "{growing:?}");
    assert!(most > 150.0 && most <= 300.0, "spread over the upper half of five minutes: {most}");
    assert_eq!(rows(&database).await, [("shop#1".into(), State::Pending, 0, Some("Gitea said 502".into()))]);

    // What fails in another way begins to count, and the next outage to grow, from the beginning.
    let job = claim(&database, 10).await.remove(0);
    source(&database).settle(&job, &Verdict::Retry { error: "no".to_owned() }).await.unwrap();
    let waits: i32 = sqlx::query_scalar("SELECT waits FROM job").fetch_one(&database.owner).await.unwrap();
    assert_eq!(waits, 0);
}

#[tokio::test]
async fn what_is_refused_is_asked_less_and_less_often_until_a_person_says_that_it_may_be() {
    let database = Database::new().await;
    put(&database.pool, &[job("shop#1")]).await;
    let refused = Verdict::Refused { error: "Gitea does not let us".to_owned() };
    let mut most = 0.0_f64;
    for _ in 0..30 {
        let job = claim(&database, 10).await.remove(0);
        assert!(!job.ends_for_good(&refused));
        source(&database).settle(&job, &refused).await.unwrap();
        let wait: f64 = sqlx::query_scalar("SELECT extract(epoch FROM run_at - now())::float8 FROM job")
            .fetch_one(&database.owner)
            .await
            .unwrap();
        most = most.max(wait);
        let_time_pass(&database).await;
    }
    assert!(most > 1_700.0 && most <= 3_600.0, "spread over the upper half of an hour: {most}");
    let job = claim(&database, 10).await.remove(0);
    source(&database).settle(&job, &refused).await.unwrap();
    assert_eq!(rows(&database).await, [("shop#1".into(), State::Refused, 0, Some("Gitea does not let us".into()))]);

    let mut connection = database.pool.acquire().await.unwrap();
    let depth = queue::depths(&mut connection).await.unwrap().remove(1);
    assert_eq!((depth.due, depth.later, depth.refused), (0, 0, 1));
    let id = queue::list(&mut connection, Some(State::Refused), None, 1).await.unwrap()[0].id;
    assert!(queue::retry(&mut connection, id).await.unwrap(), "somebody gave the permission, and says so");
    assert!(!queue::retry(&mut connection, id).await.unwrap(), "it is due already");
    let job = claim(&database, 10).await.remove(0);
    source(&database).settle(&job, &refused).await.unwrap();
    assert_eq!(queue::hurry_refused(&mut connection).await.unwrap(), 1, "another token was read");

    // Something else is the matter now: that is no refusal any more.
    let job = claim(&database, 10).await.remove(0);
    source(&database).settle(&job, &Verdict::Later { error: "502".to_owned() }).await.unwrap();
    assert_eq!(rows(&database).await, [("shop#1".into(), State::Pending, 0, Some("502".into()))]);
}

#[tokio::test]
async fn what_was_enqueued_while_a_job_failed_becomes_one_with_it() {
    let database = Database::new().await;
    put(&database.pool, &[job("shop#1")]).await;
    let running = claim(&database, 10).await.remove(0);
    put(&database.pool, &[NewJob { payload: json!("newer"), ..job("shop#1") }]).await;
    source(&database).settle(&running, &Verdict::Retry { error: "no".to_owned() }).await.unwrap();
    assert_eq!(rows(&database).await, [("shop#1".into(), State::Pending, 1, Some("no".into()))]);
    let next = claim(&database, 10).await.remove(0);
    assert_eq!((next.payload, next.attempt), (json!("newer"), 2), "at once, because something new happened");
}

#[tokio::test]
async fn what_was_asked_for_is_kept_whatever_a_job_waits_for_and_what_was_done_is_not_asked_for_again() {
    let database = Database::new().await;
    let (retry, later) = (Verdict::Retry { error: "no".to_owned() }, Verdict::Later { error: "no".to_owned() });
    for verdict in [retry, later, Verdict::Snooze { wait: OVER }, Verdict::Refused { error: "no".to_owned() }] {
        put(&database.pool, &[NewJob { payload: json!({ "id": 1, "gate": true, "heal": true }), ..job("shop#1") }])
            .await;
        let running = claim(&database, 10).await.remove(0);
        let mut connection = database.pool.acquire().await.unwrap();
        queue::amend(&mut connection, &running, &json!({ "heal": false, "look": true })).await.unwrap();
        put(&database.pool, &[NewJob { payload: json!({ "id": 1, "look": true }), ..job("shop#1") }]).await;
        source(&database).settle(&running, &verdict).await.unwrap();
        let_time_pass(&database).await;
        let next = claim(&database, 10).await.remove(0);
        let all = json!({ "id": 1, "gate": true, "heal": false, "look": true });
        assert_eq!(next.payload, all, "{verdict:?}");
        assert!(matches!(queue::amend(&mut connection, &running, &json!({})).await, Err(Unsettled::Lost(_))));
        queue::finish(&mut connection, &next).await.unwrap();
    }
}

#[tokio::test]
async fn a_job_that_failed_for_good_stands_beside_what_comes_after_it() {
    let database = Database::new().await;
    put(&database.pool, &[job("shop#1")]).await;
    for round in 1..=2 {
        let running = claim(&database, 10).await.remove(0);
        put(&database.pool, &[job("shop#1")]).await;
        let error = format!("not readable ({round})");
        source(&database).settle(&running, &Verdict::Fail { error }).await.unwrap();
        let states: Vec<_> = rows(&database).await.into_iter().map(|(_, state, _, error)| (state, error)).collect();
        assert!(states.contains(&(State::Failed, Some(format!("not readable ({round})")))), "{states:?}");
        assert_eq!(states.len(), 2, "one failed, one pending: {states:?}");
    }
    let mut connection = database.pool.acquire().await.unwrap();
    let id = queue::list(&mut connection, Some(State::Failed), None, 1).await.unwrap()[0].id;
    assert!(queue::retry(&mut connection, id).await.unwrap(), "the pending one is it");
    assert_eq!(rows(&database).await.len(), 1);
}

#[tokio::test]
async fn a_failure_is_forgotten_only_by_a_job_that_was_asked_for_as_much() {
    let database = Database::new().await;
    let mut connection = database.pool.acquire().await.unwrap();
    let asked = |payload: Value| NewJob { payload, ..job("shop#1") };
    let fail = Verdict::Fail { error: "not readable".to_owned() };
    for payload in [json!({ "id": 1, "gate": true }), json!({ "id": 1, "heal": true })] {
        put(&database.pool, &[asked(payload)]).await;
        let running = claim(&database, 10).await.remove(0);
        source(&database).settle(&running, &fail).await.unwrap();
    }
    // A look that ends well says nothing of the gate.
    put(&database.pool, &[asked(json!({ "id": 1, "look": true }))]).await;
    let look = claim(&database, 10).await.remove(0);
    queue::finish(&mut connection, &look).await.unwrap();
    let failed = queue::list(&mut connection, Some(State::Failed), None, 2).await.unwrap();
    assert_eq!(failed.len(), 1);
    // Whoever has it tried again has both done, and a look that waits beside them.
    put(&database.pool, &[asked(json!({ "id": 1, "look": true }))]).await;
    assert!(queue::retry(&mut connection, failed[0].id).await.unwrap());
    let all = claim(&database, 10).await.remove(0);
    assert_eq!(all.payload, json!({ "id": 1, "gate": true, "heal": true, "look": true }));
    source(&database).settle(&all, &fail).await.unwrap();
    put(&database.pool, &[asked(json!({ "id": 1, "gate": true, "heal": true, "look": true, "asked": true }))]).await;
    let running = claim(&database, 10).await.remove(0);
    queue::finish(&mut connection, &running).await.unwrap();
    assert_eq!(rows(&database).await, []);
}

#[tokio::test]
async fn a_job_that_was_to_wait_is_due_when_it_is_asked_for_at_once_and_not_later_for_one_that_waits() {
    let database = Database::new().await;
    put(&database.pool, &[NewJob { run_after: LONG, ..job("shop#1") }]).await;
    assert_eq!(claim(&database, 10).await, []);
    put(&database.pool, &[job("shop#1")]).await;
    let running = claim(&database, 10).await.remove(0);
    put(&database.pool, &[job("shop#1")]).await;
    // What waits for its time comes back to one that is due.
    source(&database).settle(&running, &Verdict::Snooze { wait: LONG }).await.unwrap();
    assert_eq!(claim(&database, 10).await.len(), 1);
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_can_neither_finish_nor_renew_nor_settle() {
    let database = Database::new().await;
    put(&database.pool, &[job("shop#1")]).await;
    let old = source(&database).claim(Lane::Default, 1, OVER).await.unwrap().remove(0);
    let new = claim(&database, 1).await.remove(0);
    assert!(new.fence > old.fence);

    let mut connection = database.pool.acquire().await.unwrap();
    assert!(matches!(queue::finish(&mut connection, &old).await, Err(Unsettled::Lost(_))));
    assert!(matches!(queue::confirm(&mut connection, &old).await, Err(Unsettled::Lost(_))));
    let renewal = source(&database).renew(&[(old.id, old.fence), (new.id, new.fence)], LONG).await.unwrap();
    assert_eq!((renewal.renewed, renewal.lost), (vec![new.id], vec![old.id]));
    for verdict in [
        Verdict::Done,
        Verdict::Retry { error: "no".to_owned() },
        Verdict::Snooze { wait: LONG },
        Verdict::Later { error: "no".to_owned() },
        Verdict::Refused { error: "no".to_owned() },
        Verdict::Fail { error: "no".to_owned() },
    ] {
        source(&database).settle(&old, &verdict).await.unwrap();
    }
    assert_eq!(rows(&database).await[0].1, State::Running, "the new holder's");
    queue::confirm(&mut connection, &new).await.unwrap();
    queue::finish(&mut connection, &new).await.unwrap();
}

#[tokio::test]
async fn a_record_is_not_written_by_a_worker_that_lost_its_lease() {
    let database = Database::new().await;
    put(&database.pool, &[job("shop#1")]).await;
    let old = source(&database).claim(Lane::Default, 1, OVER).await.unwrap().remove(0);
    // It begins to record; the job is taken over; its finish must not commit.
    let mut record = database.pool.begin().await.unwrap();
    record.execute("UPDATE installation SET key_check = 'written by the old one'").await.unwrap();
    claim(&database, 1).await.remove(0);
    assert!(queue::finish(&mut record, &old).await.is_err());
    record.rollback().await.unwrap();
}

#[tokio::test]
async fn a_job_that_is_being_finished_is_not_taken_over_and_holds_up_no_other_lease() {
    let database = Database::new().await;
    put(&database.pool, &[job("shop#1"), job("shop#2")]).await;
    let jobs = source(&database).claim(Lane::Default, 2, OVER).await.unwrap();
    let mut record = database.pool.begin().await.unwrap();
    queue::confirm(&mut record, &jobs[0]).await.unwrap();

    let held: Vec<_> = jobs.iter().map(|job| (job.id, job.fence)).collect();
    let renewal = source(&database).renew(&held, OVER).await.unwrap();
    assert_eq!((renewal.renewed, renewal.lost), (vec![jobs[1].id], vec![]), "neither renewed nor lost: in good hands");
    let taken: Vec<_> = claim(&database, 10).await.into_iter().map(|job| job.key).collect();
    assert_eq!(taken, [jobs[1].key.clone()]);
    queue::finish(&mut record, &jobs[0]).await.unwrap();
    record.commit().await.unwrap();
}

#[tokio::test]
async fn five_dead_workers_make_a_job_poison_and_the_others_go_on() {
    let database = Database::new().await;
    put(&database.pool, &[job("bomb"), NewJob { run_after: LONG, ..job("later") }]).await;
    for life in 1..=5 {
        let jobs = source(&database).claim(Lane::Default, 10, OVER).await.unwrap();
        assert_eq!(jobs.iter().map(|job| (job.key.as_str(), job.attempt)).collect::<Vec<_>>(), [("bomb", life)]);
        // An event about it in between does not save it.
        put(&database.pool, &[job("bomb")]).await;
    }
    let_time_pass(&database).await;
    // The one put in last is still there, and starts anew; the poisoned one waits for a person.
    let keys: Vec<_> = claim(&database, 10).await.into_iter().map(|job| (job.key, job.attempt)).collect();
    assert!(keys.contains(&("later".to_owned(), 1)), "{keys:?}");
    let failed = queue::list(&mut database.pool.acquire().await.unwrap(), Some(State::Failed), None, 10).await.unwrap();
    assert_eq!(failed.len(), 1);
    assert_snapshot!(failed[0].error.as_deref().unwrap(), @"poison: 5 workers died on it, the last was worker 1");
}

#[tokio::test]
async fn an_end_of_its_own_forgets_dead_workers() {
    let database = Database::new().await;
    put(&database.pool, &[job("unlucky")]).await;
    for _ in 0..3 {
        for _ in 0..4 {
            assert_eq!(source(&database).claim(Lane::Default, 10, OVER).await.unwrap().len(), 1);
        }
        let job = claim(&database, 10).await.remove(0);
        source(&database).settle(&job, &Verdict::Snooze { wait: Duration::ZERO }).await.unwrap();
    }
    assert_eq!(rows(&database).await[0].1, State::Pending);
}
