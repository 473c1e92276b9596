//! How a session ends, what a browser may be made to do by other pages, and what the log says of it.

use jiff::SignedDuration;

use super::{Browser, House};
use crate::fake::forge::Right;

#[tokio::test]
async fn a_session_ends_when_it_is_over_unused_or_left() {
    let house = House::new().await;
    let mut alice = house.signs_in("alice").await;
    let begun = alice.set.clone();
    assert_eq!(begun, [""; 0], "the page after it sets nothing");
    let who = house.at("/api/v1/session");
    let mut hours = 0;
    while alice.open(&who).await.status == 200 {
        house.clock.advance(SignedDuration::from_hours(1));
        hours += 1;
    }
    assert_eq!(hours, 12, "a day's work, however much it is used");

    let mut alice = house.signs_in("alice").await;
    house.clock.advance(SignedDuration::from_mins(119));
    assert_eq!(alice.open(&who).await.status, 200);
    house.clock.advance(SignedDuration::from_mins(120));
    assert_eq!(alice.open(&who).await.status, 401, "not used for two hours");

    let mut alice = house.signs_in("alice").await;
    let page = alice.open(&house.at("/sign-in")).await;
    let csrf = page.field("csrf");
    let session = alice.cookies["bascule"].clone();
    // Another page can have a browser send this, but not so that we take it for ours.
    for (from, token) in [
        ("https://evil.example", csrf.as_str()),
        ("null", &csrf),
        ("", &csrf),
        (&house.url, ""),
        (&house.url, "another"),
    ] {
        assert_eq!(alice.submit(&house.at("/sign-out"), from, &[("csrf", token)]).await.status, 403, "{from} {token}");
    }
    assert_eq!(alice.open(&house.at("/sign-out")).await.status, 405);
    assert_eq!(alice.open(&who).await.status, 200);
    assert_eq!(alice.submit(&house.at("/sign-out"), &house.url, &[("csrf", &csrf)]).await.status, 303);
    assert!(!alice.cookies.contains_key("bascule"), "gone here");
    alice.cookies.insert("bascule".to_owned(), session);
    assert_eq!(alice.open(&who).await.status, 401, "and there");
    let kept: i64 =
        sqlx::query_scalar("SELECT count(*) FROM session WHERE person->>'login' = 'alice' AND expires_at > $1")
            .bind("2026-01-05T21:30:00Z".parse::<jiff::Timestamp>().map(jiff_sqlx::Timestamp::from).unwrap())
            .fetch_one(&house.database.owner)
            .await
            .unwrap();
    assert_eq!(kept, 1, "the unused one waits for its end; the one that was left is gone");
    assert_eq!(
        house.log().await,
        [
            "work/alice person.signed_in person work/alice (sign-in through work)",
            "work/alice person.signed_in person work/alice (sign-in through work)",
            "work/alice person.signed_in person work/alice (sign-in through work)",
            "work/alice person.signed_out person work/alice (signed out)",
        ]
    );
}

#[tokio::test]
async fn what_changes_something_needs_a_page_of_ours_and_the_right_to_write() {
    let house = House::new().await;
    let mut alice = house.signs_in("alice").await;
    let csrf = alice.open(&house.at("/sign-in")).await.field("csrf");
    let retry = house.at("/api/v1/jobs/1/retry");
    house.forge.lets("alice", &house.shop, Right::Write);
    let asked = async |alice: &mut Browser, url: &str, from: &str, csrf: &str| {
        let request = alice.client().post(url).header("x-bascule-csrf", csrf);
        let request = if from.is_empty() { request } else { request.header("origin", from) };
        alice.send(request, url).await.status
    };
    for (from, token) in [("https://evil.example", csrf.as_str()), ("", &csrf), (&house.url, "")] {
        assert_eq!(asked(&mut alice, &retry, from, token).await, 403, "{from} {token}");
    }
    assert_eq!(asked(&mut alice, &retry, &house.url, &csrf).await, 200);

    for (job, status) in [(1, 200), (2, 404), (9, 404)] {
        assert_eq!(alice.open(&house.at(&format!("/api/v1/jobs/{job}"))).await.status, status, "{job}");
    }

    // An act asks for the right anew: what was so a moment ago does not count.
    sqlx::query("UPDATE job SET state = 'failed', ended_at = now()").execute(&house.database.owner).await.unwrap();
    house.forge.lets("alice", &house.shop, Right::Read);
    assert_eq!(asked(&mut alice, &retry, &house.url, &csrf).await, 403);
    house.forge.lets("alice", &house.shop, Right::None);
    assert_eq!(asked(&mut alice, &retry, &house.url, &csrf).await, 404);
    assert_eq!(asked(&mut alice, &house.at("/api/v1/jobs/2/retry"), &house.url, &csrf).await, 404);
    let replay = house.at("/api/v1/deliveries/00000002-0000-7000-8000-00000000000d/replay");
    assert_eq!(asked(&mut alice, &replay, &house.url, &csrf).await, 404);
    assert_eq!(house.log().await.last().unwrap(), "work/alice job.retried job 1 (api)");
}

#[tokio::test]
async fn over_https_a_cookie_is_of_this_server_alone() {
    let api = crate::api::Api::at("https://bascule.example.com").await;
    let signed_out = Browser::new().submit(&format!("{}/sign-out", api.url()), "", &[]).await;
    assert_eq!(signed_out.headers["set-cookie"], "__Host-bascule=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0; Secure");
    let plain = House::new().await;
    let mut alice = Browser::of("alice");
    let forge = alice.open(&plain.at("/sign-in/work")).await.to();
    let back = alice.open(&forge).await.to();
    alice.open(&back).await;
    let session = alice.set.iter().find(|set| set.starts_with("bascule=")).unwrap();
    assert!(session.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=43200"), "{session}");
    // What it says is nowhere in the database.
    let stored: String = sqlx::query_scalar("SELECT string_agg(s::text, '') FROM session s")
        .fetch_one(&plain.database.owner)
        .await
        .unwrap();
    assert!(!stored.contains(&alice.cookies["bascule"]) && !stored.contains("token-of-a-person"), "{stored}");
}
