//! A GitLab's two tokens: what is taken under which, once, and for how long.

use bascule::clock::Clock;

use super::gitlab::opened;
use super::wire::Delivery;
use super::{ATTIC_TOKEN, Door, LAB_TOKEN, counted};

#[tokio::test]
async fn a_delivery_counts_once_for_five_minutes_and_never_with_another_body() {
    let door = Door::new().await;
    let body = opened();
    let now = Clock::system().now().as_second();
    let sent =
        |id: &str, at: i64| Delivery::gitlab("Merge Request Hook", id, body.as_str()).signed_at(LAB_TOKEN, id, at);
    let (stale, doubled) = (counted("lab", "stale_signature"), counted("lab", "doubled_signature"));
    assert_eq!(door.send(&sent("a", now)).await.status, 202);
    assert_eq!(door.send(&sent("a", now)).await.status, 202, "the same bytes again");
    assert_eq!(door.send(&sent("a", now - 60)).await.status, 202, "sent again, and signed again");
    assert_eq!(door.send(&sent("a", now - 600)).await.status, 401, "heard long ago");
    assert_eq!(door.send(&sent("b", now - 310)).await.status, 401, "not heard, and too late");
    assert_eq!(door.send(&sent("b", now + 400)).await.status, 401, "from a clock that is ahead");
    assert_eq!(counted("lab", "stale_signature") - stale, 3);
    let other = Delivery::gitlab("Merge Request Hook", "a", format!("{body} "));
    assert_eq!(door.send(&other).await.status, 409);
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature", "x-gitlab-token"] {
        let twice = sent("b", now);
        let value = twice.headers.iter().find(|(there, _)| there == name).map_or("x", |(_, value)| value).to_owned();
        let twice = twice.without(name).also(name, &value).also(name, &value);
        assert_eq!(door.send(&twice).await.status, 401, "{name}");
    }
    assert_eq!(counted("lab", "doubled_signature") - doubled, 4);
    assert_eq!(door.stored().await.len(), 1);
    assert_eq!(door.jobs().await, ["attend_pull lab/1#7"]);
    // The id that counts is the one that was signed.
    let moved = sent("c", now).with("idempotency-key", "a").with("x-gitlab-event-uuid", "a");
    assert_eq!(door.send(&moved).await.status, 202);
    assert_eq!(door.stored().await.len(), 2);
}

#[tokio::test]
async fn a_gitlab_with_the_older_token_alone_is_taken_by_that_and_one_with_a_signing_token_never() {
    let door = Door::new().await;
    let body = opened();
    let sent = |id: &str, token: &str| Delivery::gitlab("Merge Request Hook", id, body.as_str()).with_token(token);
    let to_attic = |one: Delivery| one.to("POST /webhooks/attic HTTP/1.1");
    assert_eq!(door.send(&to_attic(sent("a", ATTIC_TOKEN))).await.status, 202);
    assert_eq!(door.send(&to_attic(sent("a", ATTIC_TOKEN))).await.status, 202, "once more, and stored once");
    let older = sent("b", ATTIC_TOKEN).without("idempotency-key");
    assert_eq!(door.send(&to_attic(older)).await.status, 202, "an older one, which has another word for its id");
    let nameless = sent("c", ATTIC_TOKEN).without("idempotency-key").without("x-gitlab-event-uuid");
    assert_eq!(door.send(&to_attic(nameless)).await.status, 400);
    for wrong in [LAB_TOKEN, "the token of atti", "The token of attic", "x"] {
        assert_eq!(door.send(&to_attic(sent("d", wrong))).await.status, 401, "{wrong}");
    }
    let signed = Delivery::gitlab("Merge Request Hook", "d", body.as_str());
    assert_eq!(door.send(&to_attic(signed)).await.status, 401, "signed for another, and no token");
    for token in [ATTIC_TOKEN, LAB_TOKEN, LAB_TOKEN.strip_prefix("whsec_").unwrap()] {
        assert_eq!(door.send(&sent("d", token)).await.status, 401, "no downgrade: {token}");
    }
    let stored: Vec<String> = door.stored().await.into_iter().map(|(id, ..)| id).collect();
    assert_eq!(stored, ["a", "event-b"]);
}

#[tokio::test]
async fn another_forges_headers_say_nothing_at_a_gitlab() {
    let door = Door::new().await;
    let body = opened();
    let gitlab = Delivery::gitlab("Merge Request Hook", "a", body.as_str());
    for (other, forge) in [
        (Delivery::gitea("pull_request", "a", body.as_str()), "work"),
        (Delivery::github("pull_request", "a", body.as_str()), "hub"),
    ] {
        assert_eq!(door.send(&other.clone().to("POST /webhooks/lab HTTP/1.1")).await.status, 401, "{forge}");
        assert_eq!(door.send(&gitlab.clone().to(&other.line)).await.status, 401, "{forge}");
        // With all headers of both, each is judged by its own.
        let mut both = gitlab.clone();
        both.headers.extend(other.headers[2..].iter().cloned());
        assert_eq!(door.send(&both).await.status, 202, "{forge}");
        let mut tampered = both.with("x-gitlab-token", LAB_TOKEN);
        tampered.body.push(b' ');
        assert_eq!(door.send(&tampered).await.status, 401, "{forge}");
    }
    assert_eq!(door.stored().await.len(), 1);
    assert_eq!(door.jobs().await, ["attend_pull lab/1#7"]);
}
