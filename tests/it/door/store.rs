//! What is answered 202 is committed: many in one commit, one by itself at once, and none without.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;
use sqlx::{Executor, Row};
use tokio::sync::{Barrier, watch};

use bascule::app::listen::Patience;
use bascule::webhook::body::Limits;

use super::wire::{Answer, Client, Delivery, altered, pushed_to};
use super::{Door, counted};
use crate::support::database::Database;

/// Transactions that stored deliveries: PostgreSQL writes on each row by which it was made.
const COMMITS: &str = "SELECT count(DISTINCT xmin::text) FROM delivery";

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_at_once_share_a_few_commits() {
    const ALL: usize = 500;
    let door = Door::new().await;
    // Nobody sends the last byte before everybody has sent the others: all of them are in flight.
    let ready = Arc::new(Barrier::new(ALL));
    let sent = join_all((0..ALL).map(|number| {
        let (at, ready) = (door.at, Arc::clone(&ready));
        async move {
            let bytes = pushed_to(1 + number as i64 % 50, &number.to_string()).bytes();
            let (most, last) = bytes.split_at(bytes.len() - 1);
            let mut client = Client::connect(at).await;
            client.write(most).await.unwrap();
            ready.wait().await;
            client.ask(last).await.unwrap().status
        }
    }));
    let answers = sent.await;
    assert!(answers.iter().all(|status| *status == 202));
    assert_eq!(door.stored().await.len(), ALL);
    let commits = door.count(COMMITS).await;
    assert!(commits <= 100, "{commits}");
    assert_eq!(door.jobs().await.len(), 50, "one for each pull request");
}

#[tokio::test]
async fn a_lone_one_waits_for_nobody() {
    let door = Door::new().await;
    let mut client = Client::connect(door.at).await;
    for number in 1..=20 {
        // The next one is not sent before this one was answered: who waited for company would wait for ever.
        assert_eq!(client.ask(pushed_to(1, &number.to_string()).bytes()).await.unwrap().status, 202);
        assert_eq!(door.count(COMMITS).await, number);
    }
}

#[tokio::test]
async fn an_id_that_comes_again_is_known_by_its_body() {
    let door = Door::new().await;
    let mut bodies: Vec<_> = (1..=5).map(|number| pushed_to(number, "the-same")).collect();
    assert_eq!(door.send(&bodies[0]).await.status, 202);
    assert_eq!(door.send(&bodies[0]).await.status, 202);
    let conflicts = counted("work", "conflict");
    for other in bodies.drain(1..) {
        let answer = door.send(&other).await;
        assert_eq!((answer.status, answer.text.as_str()), (409, "this delivery id came before with another body\n"));
    }
    assert!(counted("work", "conflict") >= conflicts + 4);
    assert_eq!(door.stored().await.len(), 1);
    assert_eq!(door.jobs().await, ["attend_pull work/1#1"], "what was refused is not acted on");
    assert_eq!(door.count("SELECT count(DISTINCT body_hash) FROM delivery_conflict").await, 4, "kept as evidence");
    // The same id from another forge is another delivery.
    let elsewhere = Delivery::forgejo("pull_request_sync", "the-same", "{}");
    assert_eq!(door.send(&elsewhere).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_comes_many_times_at_once_is_stored_once() {
    let door = Door::new().await;
    let (one, other) = (pushed_to(1, "twin"), pushed_to(2, "twin"));
    let answers = join_all((0..40).map(|turn| door.send(if turn % 2 == 0 { &one } else { &other }))).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    for (which, status) in [(0, statuses[0]), (1, statuses[1])] {
        assert!(statuses.iter().skip(which).step_by(2).all(|other| *other == status), "{statuses:?}");
    }
    assert_eq!(BTreeSet::from_iter(statuses), [202, 409].into());
    assert_eq!((door.stored().await.len(), door.jobs().await.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_the_database_refuses_costs_only_itself() {
    let door = Door::new().await;
    door.database.owner.execute("ALTER TABLE push ADD CONSTRAINT poison CHECK (branch <> 'poison')").await.unwrap();
    let push = |branch: &str| {
        altered("push", &format!("to-{branch}"), |body| body["ref"] = format!("refs/heads/{branch}").into())
    };
    let deliveries: Vec<_> = (0..30).map(|n| if n == 13 { push("poison") } else { push(&n.to_string()) }).collect();
    let answers = join_all(deliveries.iter().map(|delivery| door.send(delivery))).await;
    assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");
    let aside: Vec<_> = door.stored().await.into_iter().filter(|(_, state, _)| state == "quarantined").collect();
    assert_eq!(aside.len(), 1);
    insta::assert_snapshot!(aside[0].2.as_deref().unwrap(), @"the database refused what it says: the constraint `poison` refused it");
    assert_eq!(door.jobs().await.len(), 29);
    assert_eq!(door.send(&push("poison")).await.status, 202, "and is known when it comes again");
    assert_eq!(door.stored().await.len(), 30);
}

/// Delivers one after the other, each with an id of its own, until told to stop; ids that were answered 202, and all
/// answers that were not.
async fn pour(
    at: std::net::SocketAddr,
    who: usize,
    seen: watch::Sender<(usize, usize)>,
    stop: watch::Receiver<bool>,
) -> (Vec<String>, Vec<Answer>) {
    let (mut stored, mut others) = (Vec::new(), Vec::new());
    for number in 0.. {
        if *stop.borrow() {
            break;
        }
        let id = format!("{who}-{number}");
        let answer = Client::connect(at).await.ask(pushed_to(1 + number % 9, &id).bytes()).await.unwrap();
        let taken = answer.status == 202;
        if taken {
            stored.push(id)
        } else {
            others.push(answer)
        }
        seen.send_modify(|(good, bad)| if taken { *good += 1 } else { *bad += 1 });
    }
    (stored, others)
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_down_nothing_is_taken_and_afterwards_everything_that_was_is_there() {
    let database = Database::on_its_own().await;
    let door = Door::with(database, Limits::default(), Patience::default()).await;
    let (seen, mut count) = watch::channel((0, 0));
    let (stop, stopped) = watch::channel(false);
    let pouring = join_all((0..20).map(|who| pour(door.at, who, seen.clone(), stopped.clone())));
    let conductor = async {
        count.wait_for(|(good, _)| *good >= 100).await.unwrap();
        door.database.server.stop().await.unwrap();
        let (before, _) = *count.wait_for(|(_, bad)| *bad >= 20).await.unwrap();
        door.database.server.start_again().await.unwrap();
        count.wait_for(|(good, _)| *good >= before + 100).await.unwrap();
        stop.send(true).unwrap();
    };
    let (poured, ()) = tokio::join!(pouring, conductor);
    let stored: BTreeSet<String> = door.stored().await.into_iter().map(|(id, ..)| id).collect();
    for (acknowledged, others) in poured {
        assert!(acknowledged.iter().all(|id| stored.contains(id)), "answered 202 and not there");
        for answer in others {
            assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (503, "5"));
        }
    }
    // Each with its job: one for each of the nine pull requests, because nobody works here.
    assert_eq!(door.jobs().await.len(), 9);
}

#[tokio::test]
async fn a_delivery_its_job_and_its_push_are_one_commit_of_one_trace() {
    let door = Door::new().await;
    assert_eq!(door.send(&pushed_to(1, "a")).await.status, 202);
    let row = sqlx::query(
        "SELECT d.trace = j.trace AS one_trace, d.xmin = j.xmin AND d.xmin = p.xmin AS one_commit, p.branch
         FROM delivery d, job j, push p",
    );
    let row = row.fetch_one(&door.database.owner).await.unwrap();
    let found: (bool, bool, String) = (row.get(0), row.get(1), row.get(2));
    assert_eq!(found, (true, true, "refs/pull/1/head".to_owned()));
}
