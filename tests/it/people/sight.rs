//! A person sees what they may read on their forge, and nothing tells them of the rest.

use bascule::web::token::Scope;
use jiff::SignedDuration;
use serde_json::Value;

use super::{Browser, House};
use crate::fake::forge::{Fault, Right, Tongue};

/// Every list there is for people.
const LISTS: [&str; 6] = ["environments", "clusters", "deployments", "previews", "deliveries", "jobs"];

/// How many entries each list has for this browser, or the status of a refusal.
async fn counts(house: &House, browser: &mut Browser) -> Vec<String> {
    let mut all = Vec::new();
    for list in LISTS {
        let seen = browser.open(&house.at(&format!("/api/v1/{list}"))).await;
        let answer: Value = serde_json::from_str(&seen.text).unwrap();
        let count =
            answer["items"].as_array().map_or_else(|| answer["status"].to_string(), |all| all.len().to_string());
        assert!(
            !seen.text.contains("vault") && !seen.text.contains("production2") && !seen.text.contains("prod2"),
            "{list}: {}",
            seen.text
        );
        all.push(format!("{list} {count}"));
    }
    all
}

#[tokio::test]
async fn a_person_sees_exactly_what_they_may_read_on_the_forge() {
    let house = House::new().await;
    house.forge.makes_us_site_admin();
    let mut alice = house.signs_in("alice").await;
    let one_each = LISTS.map(|list| format!("{list} 1"));
    assert_eq!(counts(&house, &mut alice).await, one_each);
    let filtered = alice.open(&house.at("/api/v1/environments?repository=work/acme/vault")).await;
    assert!(filtered.text.contains("\"items\":[]"), "{}", filtered.text);
    assert!(alice.open(&house.at("/previews/1")).await.text.contains("of acme/shop"));
    for (path, status) in [
        ("/api/v1/previews/1", 200),
        ("/api/v1/environments/1/deployments", 200),
        ("/api/v1/openapi.json", 200),
        // What she may not read is not there, and what is not there looks the same.
        ("/previews/2", 404),
        ("/previews/99", 404),
        ("/api/v1/previews/2", 404),
        ("/api/v1/environments/2/deployments", 404),
        ("/api/v1/deliveries/00000002-0000-7000-8000-00000000000d", 404),
        ("/api/v1/deliveries/00000009-0000-7000-8000-00000000000d", 404),
        // She reads the shop; what a delivery said is for who writes to it.
        ("/api/v1/deliveries/00000001-0000-7000-8000-00000000000d", 403),
        ("/api/v1/audit", 403),
        ("/api/v1/audit/1", 403),
        ("/api/v1/audit/export", 403),
        ("/api/v1/reports/deployments", 403),
    ] {
        let seen = alice.open(&house.at(path)).await;
        assert_eq!(seen.status, status, "{path}: {}", seen.text);
        assert!(!seen.text.contains("vault"), "{path}: {}", seen.text);
    }
    let unread = alice.open(&house.at("/previews/2")).await.text;
    assert_eq!(unread, alice.open(&house.at("/previews/99")).await.text);

    // One question for each repository and one for her in five minutes, however much she looks.
    house.forge.take_calls();
    counts(&house, &mut alice).await;
    assert_eq!(house.forge.take_calls(), [""; 0]);

    // A right that is taken away is gone five minutes later at the latest.
    house.forge.lets("alice", &house.shop, Right::None);
    house.clock.advance(SignedDuration::from_mins(5));
    let nothing = LISTS.map(|list| format!("{list} 0"));
    assert_eq!(counts(&house, &mut alice).await, nothing);
    assert_eq!(alice.open(&house.at("/previews/1")).await.status, 404);

    // A forge that is away says nothing, so nothing is shown; and then it does again.
    house.forge.lets("alice", &house.shop, Right::Read);
    house.clock.advance(SignedDuration::from_mins(5));
    house.forge.breaks(Fault::Status(502));
    assert_eq!(counts(&house, &mut alice).await, LISTS.map(|list| format!("{list} 503")));
    let away = alice.open(&house.at("/previews/1")).await;
    assert_eq!(away.status, 503);
    assert!(away.text.contains("your forge does not say now what you may see"), "{}", away.text);
    house.forge.recovers();
    assert_eq!(counts(&house, &mut alice).await, one_each);

    // Who may not sign in there any more sees nothing here.
    house.forge.suspends("alice");
    house.clock.advance(SignedDuration::from_mins(5));
    assert_eq!(counts(&house, &mut alice).await, nothing);

    // A machine sees everything its scopes let it see.
    let machine = house.machine(&[Scope::Read]).await;
    for list in LISTS {
        let request = alice.client().get(house.at(&format!("/api/v1/{list}"))).bearer_auth(&machine);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["items"].as_array().unwrap().len(), 2, "{list}");
    }
}

#[tokio::test]
async fn nobody_is_answered_who_is_nobody() {
    let house = House::new().await;
    let mut stranger = Browser::new();
    for list in LISTS {
        assert_eq!(stranger.open(&house.at(&format!("/api/v1/{list}"))).await.status, 401, "{list}");
    }
    let page = stranger.open(&house.at("/previews/1")).await;
    assert_eq!((page.status, page.to()), (303, house.at("/sign-in?to=%2Fpreviews%2F1")));
    let door = stranger.follow(&house.at("/previews/1")).await;
    assert_eq!(door.status, 200);
    assert!(!door.text.contains("acme") && door.text.contains("Sign in through <strong>work"), "{}", door.text);
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(door.headers[name], value);
    }
    let policy = door.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{policy}");
    // The sign-in leads back to where they were.
    let mut alice = Browser::of("alice");
    let landed = alice.follow(&house.at("/sign-in/work?to=%2Fpreviews%2F1")).await;
    assert!(landed.text.contains("of acme/shop"), "{}", landed.text);
}

/// What differs from forge to forge is where they ask and how they say no.
#[tokio::test]
async fn people_sign_in_through_every_forge() {
    for tongue in [Tongue::Gitea, Tongue::GitHub, Tongue::GitLab] {
        let house = House::on(tongue).await;
        let mut bob = house.signs_in("bob").await;
        let seen = bob.open(&house.at("/api/v1/environments")).await;
        assert!(seen.text.contains("acme/vault") && !seen.text.contains("acme/shop"), "{tongue:?}: {}", seen.text);
        let refused = bob.open(&house.at("/sign-in/work/callback?code=x&state=y")).await;
        assert_eq!(refused.status, 400, "{tongue:?}");
    }
}
