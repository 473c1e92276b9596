//! Deliveries late, twice, and in any order: what the door makes of them. What a job makes of it afterwards is told in
//! the stories.

use bascule::queue::{self, Lane, PgSource, Source as _};
use serde_json::json;

use super::Door;
use super::wire::{Delivery, altered, pushed_to, recorded};
use crate::queue::LONG;

#[tokio::test]
async fn the_same_delivery_twice_is_one_row_and_one_job() {
    let door = Door::new().await;
    for _ in 0..3 {
        assert_eq!(door.send(&pushed_to(1, "a")).await.status, 202);
    }
    let rows = (door.stored().await.len(), door.jobs().await.len(), door.count("SELECT count(*) FROM push").await);
    assert_eq!(rows, (1, 1, 1));
}

#[tokio::test]
async fn the_same_body_under_a_new_id_only_has_the_truth_read_again() {
    let door = Door::new().await;
    let approved = |id: &str| Delivery::gitea("pull_request_approved", id, recorded("review-approved").2);
    assert_eq!(door.send(&approved("of-last-week")).await.status, 202);
    let source = PgSource::new(door.database.pool.clone(), "worker".to_owned());
    let job = source.claim(Lane::Default, 9, LONG).await.unwrap().remove(0);
    // A job says where to look, and nothing of what somebody said.
    assert_eq!(job.payload, json!({ "forge": "work", "repository": 1, "number": 1 }));
    queue::finish(&mut door.database.pool.acquire().await.unwrap(), &job).await.unwrap();
    for id in ["replayed", "and-again"] {
        assert_eq!(door.send(&approved(id)).await.status, 202);
    }
    assert_eq!(door.jobs().await, ["attend_pull work/1#1"]);
    assert_eq!(door.stored().await.len(), 3);
}

#[tokio::test]
async fn a_redelivery_of_what_is_still_to_be_done_does_not_do_it_twice() {
    let door = Door::new().await;
    let source = PgSource::new(door.database.pool.clone(), "worker".to_owned());
    assert_eq!(door.send(&pushed_to(1, "a")).await.status, 202);
    assert_eq!(door.send(&pushed_to(1, "a")).await.status, 202, "while it waits");
    let job = source.claim(Lane::Default, 9, LONG).await.unwrap().remove(0);
    assert_eq!(door.send(&pushed_to(1, "a")).await.status, 202, "while it runs");
    assert!(source.claim(Lane::Default, 9, LONG).await.unwrap().is_empty());
    queue::finish(&mut door.database.pool.acquire().await.unwrap(), &job).await.unwrap();
    assert_eq!(door.send(&pushed_to(1, "a")).await.status, 202, "afterwards");
    assert_eq!(door.jobs().await, [""; 0]);
    // News during a run is one more run, whatever there was of it.
    for id in ["b", "c", "d"] {
        assert_eq!(door.send(&pushed_to(1, id)).await.status, 202);
    }
    assert_eq!(source.claim(Lane::Default, 9, LONG).await.unwrap().len(), 1);
    assert_eq!(door.send(&pushed_to(1, "e")).await.status, 202);
    assert_eq!(door.jobs().await.len(), 2, "one runs and one waits");
}

#[tokio::test]
async fn two_pushes_told_in_the_wrong_order_are_one_look_and_two_pushers() {
    let door = Door::new().await;
    for (id, head, who) in [("second", "b".repeat(40), "bob"), ("first", "a".repeat(40), "alice")] {
        let told = altered("pull-head-moved", id, |body| {
            body["pull_request"]["head"]["sha"] = head.into();
            body["sender"]["login"] = who.into();
        });
        assert_eq!(door.send(&told).await.status, 202);
    }
    assert_eq!(door.jobs().await, ["attend_pull work/1#1"]);
    let pushers: Vec<String> =
        sqlx::query_scalar("SELECT left(after_sha, 1) || ' ' || (pusher ->> 'login') FROM push ORDER BY 1")
            .fetch_all(&door.database.owner)
            .await
            .unwrap();
    assert_eq!(pushers, ["a alice", "b bob"], "who pushed cannot be asked for later");
}

#[tokio::test]
async fn every_delivery_of_a_repository_spoils_a_judgement_that_was_made_before_it() {
    let door = Door::new().await;
    sqlx::query(
        "INSERT INTO repository (forge, forge_id, full_name, default_branch) VALUES ('work', 1, 'acme/shop', 'main')",
    )
    .execute(&door.database.owner)
    .await
    .unwrap();
    let facts = "SELECT fact_version FROM repository";
    let mut last = door.count(facts).await;
    for (id, name) in
        ["pull-head-moved", "review-approved", "comment-edited", "push", "pull-retargeted"].iter().enumerate()
    {
        let (event, _, body) = recorded(name);
        for (turn, moved) in [(0, true), (1, false)] {
            assert_eq!(door.send(&Delivery::gitea(&event, &id.to_string(), body.clone())).await.status, 202);
            let now = door.count(facts).await;
            assert_eq!(now > last, moved, "{name}, turn {turn}");
            last = now;
        }
    }
}
