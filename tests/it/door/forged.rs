//! Forged deliveries: of every kind of forge thousands, each made of a genuine one in some way that somebody might try.
//! None is taken, and none is read.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bascule::clock::Clock;
use bascule::webhook::Endpoint;
use bascule::webhook::signature::{Refused, claimed, verify};

use super::victims::{BODY, Victim, victims};
use super::ways::WAYS;
use super::wire::{Client, Delivery, sign};
use super::{Door, telemetry};
use crate::support::random::Random;

/// Where the random ones begin; `FORGED_SEED=… cargo test` compiles another one in.
const SEED: &str = match option_env!("FORGED_SEED") {
    Some(seed) => seed,
    None => "20261121",
};
/// Different forgeries of each kind of forge.
const FORGERIES: usize = 10_000;
/// Those of them that are sent to a real door.
const SENT: usize = 300;

/// Different forgeries, with the way each was made; every way in its turn.
fn forgeries(victim: &Victim, random: &mut Random) -> Vec<(&'static str, Delivery)> {
    let (mut made, mut seen) = (Vec::with_capacity(FORGERIES), HashSet::new());
    for (name, way) in WAYS.iter().filter(|(name, _)| !victim.no_ways.contains(name)).cycle() {
        let delivery = way(victim, random);
        if !victim.would_send(&delivery) && seen.insert((delivery.headers.clone(), delivery.body.clone())) {
            made.push((*name, delivery));
        }
        if made.len() == FORGERIES {
            break;
        }
    }
    made
}

fn judged(victim: &Victim, delivery: &Delivery) -> Result<(), Refused> {
    let mut headers = HeaderMap::new();
    for (name, value) in &delivery.headers {
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let now = Clock::system().now();
    verify(&[victim.secret.to_owned().into()], &claimed(victim.kind, &headers)?, &delivery.body, now)
}

/// What the door of this process counted under a forge's name, beside refusals.
fn taken(name: &str) -> Vec<String> {
    let text = telemetry::record().unwrap().render();
    let ours =
        text.lines().filter(|line| line.contains(&format!("forge=\"{name}\"")) && !line.contains("_signature\""));
    ours.map(str::to_owned).collect()
}

#[tokio::test]
async fn ten_thousand_forgeries_of_each_forge_are_refused_unread() {
    println!("seed {SEED}");
    let mut random = Random(SEED.parse().expect("FORGED_SEED is a number"));
    let door = Door::new().await;
    let endpoint = |victim: &Victim| {
        let secret = victim.secret;
        Endpoint { kind: victim.kind, secrets: Arc::new(move || Some(vec![secret.to_owned().into()])) }
    };
    let victims = victims();
    door.endpoints.set(victims.each_ref().map(|victim| (victim.name.parse().unwrap(), endpoint(victim))).into());
    for victim in &victims {
        assert_eq!(judged(victim, &victim.genuine), Ok(()), "{:?}", victim.kind);
        let forged = forgeries(victim, &mut random);
        let mut ways = BTreeMap::<&str, usize>::new();
        for (way, delivery) in &forged {
            assert!(judged(victim, delivery).is_err(), "{:?}, {way}: {delivery:?}", victim.kind);
            *ways.entry(way).or_default() += 1;
        }
        println!("{:?}: {} forgeries: {ways:?}", victim.kind, forged.len());
        assert_eq!((forged.len(), ways.len()), (FORGERIES, WAYS.len() - victim.no_ways.len()));
        for (way, delivery) in forged.iter().step_by(FORGERIES / SENT) {
            let answer = Client::connect(door.at).await.ask(delivery.bytes()).await;
            let refused = answer.is_some_and(|answer| (answer.status, answer.text.as_str()) == (401, "refused\n"));
            assert!(refused, "{:?}, {way}: {delivery:?}", victim.kind);
        }
        assert_eq!(taken(victim.name), [""; 0], "nothing was read, or answered in another way");
    }
    assert_eq!(door.stored().await, []);
    assert_eq!(door.jobs().await, [""; 0]);
    for victim in &victims {
        assert_eq!(door.send(&victim.genuine).await.status, 202);
        assert_eq!(taken(victim.name).len(), 2, "one answer, and one reading: {:?}", taken(victim.name));
    }
}

/// A delivery is good where it was sent to, and at no other endpoint: neither of another kind of forge, nor of another forge of
/// the same kind.
#[tokio::test]
async fn what_one_forge_sent_is_taken_at_no_other_endpoint() {
    let door = Door::new().await;
    let victims = victims();
    let at = |name: &str, twin: &str| format!("across-{name}{twin}");
    // Each endpoint has a secret of its own, and so has its twin.
    let endpoints = victims.iter().flat_map(|victim| {
        ["", "-twin"].map(|twin| {
            let secret = if twin.is_empty() { victim.secret_of_its_own() } else { victim.secret_of_a_twin() };
            (
                at(victim.name, twin).parse().unwrap(),
                Endpoint { kind: victim.kind, secrets: Arc::new(move || Some(vec![secret.clone().into()])) },
            )
        })
    });
    door.endpoints.set(endpoints.collect());
    for (before, victim) in victims.iter().enumerate() {
        let sent = victim.with_digits(&victim.digits_under(&victim.secret_of_its_own(), BODY.as_bytes()));
        let to = |name: &str| sent.clone().to(&format!("POST /webhooks/{name} HTTP/1.1"));
        for other in &victims {
            for twin in ["", "-twin"].into_iter().filter(|twin| other.name != victim.name || !twin.is_empty()) {
                let answer = door.send(&to(&at(other.name, twin))).await;
                assert_eq!(
                    (answer.status, answer.text.as_str()),
                    (401, "refused\n"),
                    "{} at {}{twin}",
                    victim.name,
                    other.name
                );
            }
        }
        assert_eq!(door.stored().await.len(), before, "{}", victim.name);
        assert_eq!(door.send(&to(&at(victim.name, ""))).await.status, 202, "{}", victim.name);
    }
}

#[tokio::test]
async fn what_can_only_be_written_on_the_wire_is_no_signature_either() {
    let door = Door::new().await;
    let good = format!("sha256={}", sign(super::HUB_SECRET, BODY.as_bytes()));
    let bare = Delivery::github("pull_request", "a", BODY).without("x-hub-signature-256");
    let length = format!("content-length: {}", BODY.len());
    let whole = |lines: &str| format!("{}{lines}\r\n{length}\r\n\r\n{BODY}", bare.head());
    let chunk = format!("{:x}\r\n{BODY}\r\n0\r\n", BODY.len());
    for (name, bytes) in [
        ("a blank before the colon", whole(&format!("x-hub-signature-256 : {good}"))),
        ("underscores", whole(&format!("x_hub_signature_256: {good}"))),
        ("on the next line", whole(&format!("x-hub-signature-256:\r\n {good}"))),
        ("after a line that goes on", whole(&format!("x-request-id: a\r\n x-hub-signature-256: {good}"))),
        ("after a carriage return", whole(&format!("x-request-id: a\rx-hub-signature-256: {good}"))),
        ("after a zero byte", whole(&format!("x-request-id: a\0x-hub-signature-256: {good}"))),
        ("a zero byte in it", whole(&format!("x-hub-signature-256: {good}\0"))),
        ("a zero byte in its name", whole(&format!("x-hub-signature-256\0: {good}"))),
        ("without a colon", whole(&format!("x-hub-signature-256 {good}"))),
        (
            "behind the body",
            format!(
                "{}transfer-encoding: chunked\r\ntrailer: x-hub-signature-256\r\n\r\n{chunk}x-hub-signature-256: {good}\r\n\r\n",
                bare.head()
            ),
        ),
        ("in the body", format!("{}{length}\r\n\r\nx-hub-signature-256: {good}\r\n\r\n{BODY}", bare.head())),
        (
            "in the path",
            bare.clone().to(&format!("POST /webhooks/hub?x-hub-signature-256={good} HTTP/1.1")).head()
                + &format!("{length}\r\n\r\n{BODY}"),
        ),
    ] {
        let mut client = Client::connect(door.at).await;
        let answer = client.ask(bytes).await;
        assert!(answer.is_none_or(|answer| [400, 401].contains(&answer.status)), "{name}");
        client.rest().await;
    }
    assert_eq!(door.stored().await, []);
    assert_eq!(door.send(&Delivery::github("pull_request", "a", BODY)).await.status, 202);
}
