//! The end of an environment that nobody follows: two people forget it or have it destroyed. A machine does neither, but for
//! forgetting what has lost its repository.

use bascule::web::token::Scope;
use serde_json::{Value, json};
use sqlx::Executor as _;

use super::{Browser, House};
use crate::fake::forge::Right;

impl House {
    /// What a page of ours would send for this person, with its answer.
    async fn asks(&self, browser: &mut Browser, act: &str, objects: i64) -> (u16, Value) {
        let csrf = browser.open(&self.at("/sign-in")).await.field("csrf");
        let url = self.at(&format!("/api/v1/environments/1/{act}"));
        let request = browser.client().post(&url).header("x-bascule-csrf", csrf).header("origin", &self.url);
        let request = request.body(json!({ "objects": objects, "reason": "moved away" }).to_string());
        let seen = browser.send(request, &url).await;
        (seen.status, serde_json::from_str(&seen.text).unwrap())
    }

    async fn ask_as_machine(&self, token: &str, act: &str, objects: i64) -> (u16, Value) {
        let request =
            Browser::new().client().post(self.at(&format!("/api/v1/environments/1/{act}"))).bearer_auth(token);
        let request = request.body(json!({ "objects": objects, "reason": "its repository is gone" }).to_string());
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    async fn has_objects(&self) {
        let objects =
            "INSERT INTO inventory (cluster_uid, api_group, kind, namespace, name, environment_id, api_version, hash)
            SELECT 'uid', '', 'ConfigMap', 'shop1', unnest(ARRAY['a', 'b']), 1, 'v1', '\\x00'";
        self.database.owner.execute(objects).await.unwrap();
    }

    async fn is_orphaned(&self) {
        self.database.owner.execute("UPDATE environment SET state = 'orphaned' WHERE id = 1").await.unwrap();
    }

    async fn state(&self) -> (String, i64) {
        let state = sqlx::query_scalar("SELECT state FROM environment WHERE id = 1");
        let count = sqlx::query_scalar("SELECT count(*) FROM inventory WHERE environment_id = 1");
        let owner = &self.database.owner;
        (state.fetch_one(owner).await.unwrap(), count.fetch_one(owner).await.unwrap())
    }

    async fn jobs(&self) -> i64 {
        let jobs = sqlx::query_scalar("SELECT count(*) FROM job WHERE kind = 'sync_environment'");
        jobs.fetch_one(&self.database.owner).await.unwrap()
    }
}

#[tokio::test]
async fn two_people_destroy_what_nobody_follows_and_each_says_the_number() {
    let house = House::new().await;
    house.has_objects().await;
    for login in ["alice", "bob"] {
        house.forge.lets(login, &house.shop, Right::Write);
    }
    let (mut alice, mut bob) = (house.signs_in("alice").await, house.signs_in("bob").await);
    assert_eq!(house.asks(&mut alice, "destroy", 2).await.0, 409, "it is followed");
    house.is_orphaned().await;
    assert_eq!(house.asks(&mut alice, "destroy", 3).await.0, 409, "it was not looked at");
    let (status, answer) = house.asks(&mut alice, "destroy", 2).await;
    assert_eq!((status, answer["state"].as_str()), (200, Some("asked")), "{answer}");
    let (status, answer) = house.asks(&mut alice, "destroy", 2).await;
    assert_eq!(status, 409, "one person is not two: {answer}");
    assert_eq!(house.jobs().await, 0);

    // Who may only read agrees to nothing, and a day later nobody remembers what was asked.
    house.forge.lets("bob", &house.shop, Right::Read);
    assert_eq!(house.asks(&mut bob, "destroy", 2).await.0, 403);
    house.forge.lets("bob", &house.shop, Right::Write);
    house.clock.advance(jiff::SignedDuration::from_hours(25));
    let (mut alice, mut bob) = (house.signs_in("alice").await, house.signs_in("bob").await);
    let (_, answer) = house.asks(&mut bob, "destroy", 2).await;
    assert_eq!(answer["state"], "asked", "{answer}");
    let (_, answer) = house.asks(&mut alice, "destroy", 2).await;
    assert_eq!((answer["state"].as_str(), house.jobs().await), (Some("agreed"), 1), "{answer}");
    assert_eq!(house.asks(&mut bob, "destroy", 2).await.0, 409, "it is being done");
    let log = house.log().await;
    assert_eq!(
        log[log.len() - 2..],
        [
            "work/bob environment.destroy_asked work/acme/shop production1 (api)",
            "work/alice environment.destroy_agreed work/acme/shop production1 (api)"
        ]
    );
}

#[tokio::test]
async fn two_people_forget_what_nobody_follows_and_a_machine_what_lost_its_repository() {
    let house = House::new().await;
    house.has_objects().await;
    for login in ["alice", "bob"] {
        house.forge.lets(login, &house.shop, Right::Write);
    }
    let (mut alice, mut bob) = (house.signs_in("alice").await, house.signs_in("bob").await);
    let machine = house.machine(&[Scope::Read, Scope::Operate]).await;
    assert_eq!(house.asks(&mut alice, "forget", 2).await.0, 409, "it is followed");
    house.database.owner.execute("UPDATE repository SET state = 'gone'").await.unwrap();
    assert_eq!(house.ask_as_machine(&machine, "destroy", 2).await.0, 403, "a machine is no person");
    assert_eq!(house.ask_as_machine(&machine, "forget", 1).await.0, 409);
    assert_eq!(house.state().await, ("active".to_owned(), 2));
    let (status, answer) = house.ask_as_machine(&machine, "forget", 2).await;
    assert_eq!((status, answer["state"].as_str()), (200, Some("forgotten")), "{answer}");
    assert_eq!(house.state().await, ("forgotten".to_owned(), 0));

    house
        .database
        .owner
        .execute("UPDATE repository SET state = 'active'; UPDATE environment SET state = 'orphaned'")
        .await
        .unwrap();
    house.has_objects().await;
    let listed = Browser::new().client().get(house.at("/api/v1/environments?name=production1")).bearer_auth(&machine);
    let listed: Value = serde_json::from_str(&listed.send().await.unwrap().text().await.unwrap()).unwrap();
    let hold = &listed["items"][0]["hold"];
    assert_eq!(hold["reason"], "orphaned", "{listed}");
    insta::assert_snapshot!(format!("{}\n{}", hold["detail"], hold["lifts"]), @r#"
    "the default branch's file does not name it, or names another target for it: its 2 objects stay as they are"
    "bascule environments forget work/acme/shop:production1"
    "#);
    // With what it stands at its rules would be gone: nobody takes them away alone, nor does a token.
    assert_eq!(house.ask_as_machine(&machine, "forget", 2).await.0, 403);
    let (status, answer) = house.asks(&mut alice, "forget", 2).await;
    assert_eq!((status, answer["state"].as_str()), (200, Some("asked")), "{answer}");
    assert_eq!(house.asks(&mut alice, "forget", 2).await.0, 409, "one person is not two");
    let (_, answer) = house.asks(&mut bob, "destroy", 2).await;
    assert_eq!(answer["state"], "asked", "whoever asked to forget it did not ask for it to be deleted: {answer}");
    assert_eq!((house.state().await, house.jobs().await), (("orphaned".to_owned(), 2), 0));
    let (_, answer) = house.asks(&mut alice, "forget", 2).await;
    assert_eq!(answer["state"], "asked", "nor the other way round: {answer}");
    house.clock.advance(jiff::SignedDuration::from_hours(25));
    let (mut alice, mut bob) = (house.signs_in("alice").await, house.signs_in("bob").await);
    let (_, answer) = house.asks(&mut bob, "forget", 2).await;
    assert_eq!(answer["state"], "asked", "a day later nobody remembers: {answer}");
    let (status, answer) = house.asks(&mut alice, "forget", 2).await;
    assert_eq!((status, answer["state"].as_str()), (200, Some("forgotten")), "{answer}");
    assert_eq!(house.state().await, ("forgotten".to_owned(), 0));
    let log = house.log().await;
    assert_eq!(
        log[log.len() - 2..],
        [
            "work/bob environment.forget_asked work/acme/shop production1 (api)",
            "work/alice environment.forgotten work/acme/shop production1 (api)"
        ]
    );
}
