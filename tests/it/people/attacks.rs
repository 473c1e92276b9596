//! Sign-ins that are not one's own: each of these gets nobody in.

use jiff::SignedDuration;

use super::{Browser, House};

/// Goes to the forge, and gives the address the forge sends the browser back to, which is not opened.
async fn half_way(house: &House, browser: &mut Browser, to: &str) -> String {
    let begun = browser.open(&house.at(&format!("/sign-in/work{to}"))).await;
    let forge = browser.open(&begun.to()).await;
    forge.to()
}

fn is_in(browser: &Browser) -> bool {
    browser.cookies.contains_key("bascule")
}

#[tokio::test]
async fn a_sign_in_is_good_once_and_for_the_browser_that_began_it() {
    let house = House::new().await;
    let mut alice = Browser::of("alice");

    // Somebody else's browser: with no attempt, and with one of its own.
    let back = half_way(&house, &mut alice, "").await;
    let mut mallory = Browser::of("mallory");
    assert_eq!(mallory.open(&back).await.status, 400);
    half_way(&house, &mut mallory, "").await;
    assert_eq!(mallory.open(&back).await.status, 400);
    assert!(!is_in(&mallory));

    // Her own, once. The same again does nothing, with what was kept of the attempt put back and with a new code, too.
    let attempt = alice.cookies["bascule-sign-in"].clone();
    assert_eq!(alice.open(&back).await.status, 303);
    let session = alice.cookies["bascule"].clone();
    assert!(!alice.cookies.contains_key("bascule-sign-in"), "the attempt is over");
    assert_eq!(alice.open(&back).await.status, 400);
    alice.cookies.insert("bascule-sign-in".to_owned(), attempt.clone());
    assert_eq!(alice.open(&back).await.status, 403, "the forge knows the code no more");
    let fresh = half_way(&house, &mut Browser::of("alice"), "").await;
    let fresh = fresh.split_once("code=").unwrap().1.split('&').next().unwrap().to_owned();
    let old = back.split_once("code=").unwrap().1.split('&').next().unwrap().to_owned();
    alice.cookies.insert("bascule-sign-in".to_owned(), attempt);
    assert_eq!(alice.open(&back.replace(&old, &fresh)).await.status, 403, "a code of another attempt has another key");
    assert_eq!(alice.cookies["bascule"], session, "nothing of it touched her session");

    // Mallory's code in Alice's attempt: she would act as Mallory, and tell him what she does.
    let mut alice = Browser::of("alice");
    let hers = half_way(&house, &mut alice, "").await;
    let his = half_way(&house, &mut Browser::of("mallory"), "").await;
    let state = hers.split_once("&state=").unwrap().1;
    let mixed = format!("{}&state={state}", his.split_once("&state=").unwrap().0);
    assert_eq!(alice.open(&mixed).await.status, 403);
    assert!(!is_in(&alice));

    // Too late, without a code, without a state, at a forge that is none, with a state of another forge's.
    for (path, status) in [
        ("/sign-in/work/callback", 400),
        ("/sign-in/work/callback?error=access_denied", 400),
        ("/sign-in/work/callback?code=a", 400),
        ("/sign-in/other/callback?code=a&state=b", 400),
        ("/sign-in/other", 404),
        ("/sign-in/W%2e%2e", 404),
    ] {
        assert_eq!(alice.open(&house.at(path)).await.status, status, "{path}");
    }
    let late = half_way(&house, &mut alice, "").await;
    house.clock.advance(SignedDuration::from_mins(10));
    assert_eq!(alice.open(&late).await.status, 400);
    let elsewhere = half_way(&house, &mut alice, "").await.replace("/sign-in/work/", "/sign-in/other/");
    assert_eq!(alice.open(&elsewhere).await.status, 400);
    let denied = half_way(&house, &mut alice, "").await;
    let denied = format!(
        "{}error=access_denied&state={}",
        denied.split_once("code=").unwrap().0,
        denied.split_once("&state=").unwrap().1
    );
    assert_eq!(alice.open(&denied).await.status, 403);
    assert!(!is_in(&alice));
}

#[tokio::test]
async fn a_sign_in_leads_nowhere_but_here() {
    let house = House::new().await;
    for to in ["https%3A%2F%2Fevil.example", "%2F%2Fevil.example", "%2F%5Cevil.example", "%2Fa%0d%0aX%3A%20y", ""] {
        let mut alice = Browser::of("alice");
        let back = half_way(&house, &mut alice, &format!("?to={to}")).await;
        assert_eq!(alice.open(&back).await.to(), house.at("/sign-in"), "{to}");
    }
    assert_eq!(Browser::new().open(&house.at("/sign-in/work?to=/&to=/x")).await.status, 400);
    assert_eq!(Browser::new().open(&house.at("/sign-in?next=https://evil.example")).await.status, 400);
    // The place is part of the attempt: another one in the cookie is another attempt.
    let mut alice = Browser::of("alice");
    let back = half_way(&house, &mut alice, "?to=%2Fpreviews%2F1").await;
    let attempt = alice.cookies["bascule-sign-in"].clone();
    let changed = format!("{}.L2V2aWw", attempt.rsplit_once('.').unwrap().0);
    alice.cookies.insert("bascule-sign-in".to_owned(), changed);
    assert_eq!(alice.open(&back).await.status, 400);
}

#[tokio::test]
async fn a_code_of_another_application_or_for_another_place_is_none() {
    let house = House::new().await;
    // An application that somebody else registered at the same forge, with our place to come back to.
    house.forge.application("other", &house.at("/sign-in/work/callback"));
    let mut alice = Browser::of("alice");
    let begun = alice.open(&house.at("/sign-in/work")).await.to();
    assert!(begun.contains("code_challenge_method=S256") && !begun.contains("elucsab"), "{begun}");
    let other = alice.open(&begun.replace("client_id=bascule", "client_id=other")).await.to();
    assert_eq!(alice.open(&other).await.status, 403);
    // Ours, with another place: the forge does not even ask her.
    let begun = alice.open(&house.at("/sign-in/work")).await.to();
    let elsewhere = begun.replace("callback", "callback%2F..%2Fx");
    assert_ne!(begun, elsewhere);
    assert_eq!(alice.open(&elsewhere).await.status, 400);
    assert!(!is_in(&alice));
    assert_eq!(house.forge.tokens_given(), 0);
}

#[tokio::test]
async fn a_session_that_somebody_put_into_a_browser_is_of_no_use_to_them() {
    let house = House::new().await;
    let mallory = house.signs_in("mallory").await;
    let planted = mallory.cookies["bascule"].clone();
    let mut alice = Browser::of("alice");
    alice.cookies.insert("bascule".to_owned(), planted.clone());
    alice.follow(&house.at("/sign-in/work")).await;
    assert_ne!(alice.cookies["bascule"], planted, "a sign-in is a session of its own");
    let mut with_it = Browser::new();
    with_it.cookies.insert("bascule".to_owned(), planted);
    assert_eq!(with_it.open(&house.at("/api/v1/session")).await.status, 401, "and the one before is over");
    // What was never one of ours stays none.
    with_it.cookies.insert("bascule".to_owned(), "A".repeat(43));
    assert_eq!(with_it.open(&house.at("/api/v1/session")).await.status, 401);
    // Two of a name are not both ours.
    let twice = format!("bascule={}; bascule=x", alice.cookies["bascule"]);
    let asked = Browser::new().client().get(house.at("/api/v1/session")).header("cookie", twice);
    assert_eq!(asked.send().await.unwrap().status(), 401);
}
