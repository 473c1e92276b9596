//! How long the door waits, and how much it holds, for somebody it does not know yet.

use std::time::Duration;

use bascule::app::listen::Patience;
use bascule::webhook::body::Limits;
use futures::future::join_all;
use tokio::sync::{mpsc, watch};

use super::wire::{Client, Delivery, pushed_to};
use super::{Door, counted};
use crate::support::database::Database;

/// Short, because what is tested is that it ends, and not when.
const SOON: Duration = Duration::from_millis(300);
const NEVER: Duration = Duration::from_secs(3_600);

/// Writes one byte after the other, and between them others deliver, until the connection is ended for it; what it
/// was told then.
async fn drip(door: &Door, mut client: Client, bytes: &[u8]) -> String {
    for (sent, byte) in bytes.iter().enumerate() {
        let other = pushed_to(1, &format!("beside-{sent}"));
        assert_eq!(door.send(&other).await.status, 202, "others are not affected");
        if client.write([*byte]).await.is_err() {
            break;
        }
    }
    String::from_utf8(client.rest().await).unwrap()
}

#[tokio::test]
async fn headers_that_drip_are_cut_off() {
    let patience = Patience { headers: SOON, ..Patience::default() };
    let door = Door::with(Database::new().await, Limits::default(), patience).await;
    let endless = format!("POST /webhooks/work HTTP/1.1\r\nx-drip: {}", "x".repeat(60_000));
    let told = drip(&door, Client::connect(door.at).await, endless.as_bytes()).await;
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 408"), "{told}");
}

#[tokio::test]
async fn a_connection_on_which_nothing_comes_is_ended() {
    let patience = Patience { headers: SOON, ..Patience::default() };
    let door = Door::with(Database::new().await, Limits::default(), patience).await;
    for begun in ["", "P", "POST /webhooks/work HTTP/1.1\r\nhost: x\r\n"] {
        let mut client = Client::connect(door.at).await;
        client.write(begun).await.unwrap();
        client.rest().await;
    }
    // Nor after an answer.
    let mut client = Client::connect(door.at).await;
    assert_eq!(client.ask(pushed_to(1, "a").bytes()).await.unwrap().status, 202);
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_body_that_drips_is_cut_off_at_the_rate_floor() {
    let door = Door::bounded(Limits { rate_after: SOON, ..Limits::default() }).await;
    for chunked in [false, true] {
        let slow = pushed_to(2, "slow");
        let mut client = Client::connect(door.at).await;
        let (head, body) = if chunked {
            (format!("{}transfer-encoding: chunked\r\n\r\nfffff\r\n", slow.head()), " ".repeat(0xf_ffff).into_bytes())
        } else {
            (slow.whole_head(), slow.body)
        };
        client.write(head).await.unwrap();
        let told = drip(&door, client, &body).await;
        assert!(told.starts_with("HTTP/1.1 408") && told.contains("connection: close"), "{told}");
    }
    assert!(door.stored().await.iter().all(|(id, ..)| id != "slow"));
}

#[tokio::test]
async fn a_body_that_never_comes_to_its_end_is_cut_off_however_fast_it_comes() {
    let limits = Limits { body: usize::MAX >> 8, in_flight: 64 << 20, rate: 1, time: SOON, ..Limits::default() };
    let door = Door::bounded(limits).await;
    let mut client = Client::connect(door.at).await;
    let head = pushed_to(1, "a").head();
    client.write(format!("{head}transfer-encoding: chunked\r\n\r\n")).await.unwrap();
    let told = drip(&door, client, "1\r\nx\r\n".repeat(20_000).as_bytes()).await;
    assert!(told.starts_with("HTTP/1.1 408"), "{told}");
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_not_waited_for() {
    let door = Door::bounded(Limits { answer: SOON, ..Limits::default() }).await;
    let mut lock = door.database.owner.begin().await.unwrap();
    sqlx::query("LOCK TABLE delivery IN EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let answer = door.send(&pushed_to(1, "a")).await;
    assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (503, "5"));
    lock.rollback().await.unwrap();
    // It may have been stored after all: a later try is that one, or the first. So short a patience is not always enough.
    while door.send(&pushed_to(1, "a")).await.status != 202 {}
    assert_eq!(door.stored().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_strangers_with_large_bodies_get_no_more_memory_than_there_is_for_all() {
    const STRANGERS: usize = 1_000;
    const BODY: usize = 128 << 10;
    const AT_ONCE: usize = 8;
    let limits = Limits { body: BODY, in_flight: AT_ONCE * BODY, rate_after: NEVER, time: NEVER, ..Limits::default() };
    let patience = Patience { headers: NEVER, ..Patience::default() };
    let door = Door::with(Database::new().await, limits, patience).await;
    let full = counted("work", "full");
    let (turned_away, mut told) = mpsc::unbounded_channel();
    let (go_on, going_on) = watch::channel(false);
    let stranger = || {
        let (mut going_on, turned_away) = (going_on.clone(), turned_away.clone());
        async move {
            let forged = Delivery::gitea("push", "x", vec![b' '; BODY]).with("x-gitea-signature", &"0".repeat(64));
            let bytes = forged.bytes();
            let (most, last) = bytes.split_at(bytes.len() - 1);
            let mut client = Client::connect(door.at).await;
            let _ = client.write(most).await;
            tokio::select! {
                answer = client.answer() => {
                    turned_away.send(()).unwrap();
                    // The end of the connection may overtake the answer, while we still write.
                    answer.map_or(503, |answer| answer.status)
                }
                _ = going_on.wait_for(|go| *go) => client.ask(last).await.map_or(503, |answer| answer.status),
            }
        }
    };
    let strangers = join_all((0..STRANGERS).map(|_| stranger()));
    let conductor = async {
        // A body fits only as a whole, so all but a few are turned away while nobody can come to an end.
        for _ in 0..STRANGERS - AT_ONCE {
            told.recv().await.unwrap();
        }
        go_on.send(true).unwrap();
    };
    let (answers, ()) = tokio::join!(strangers, conductor);
    assert!(answers.iter().all(|status| [401, 503].contains(status)), "{answers:?}");
    assert!(answers.iter().filter(|status| **status == 401).count() <= AT_ONCE);
    assert!(counted("work", "full") >= full + (STRANGERS - AT_ONCE) as u64);
    assert_eq!(door.send(&pushed_to(1, "a")).await.status, 202, "their room was given back");
    assert_eq!(door.stored().await.len(), 1);
}

#[tokio::test]
async fn more_than_a_number_at_once_are_asked_to_come_again() {
    let door = Door::bounded(Limits { concurrent: 2, ..Limits::default() }).await;
    let mut holding = Vec::new();
    for number in 1..=2 {
        let delivery = pushed_to(number, &number.to_string());
        let mut client = Client::connect(door.at).await;
        // Told to go on: the door holds it now.
        client
            .write(format!(
                "{}expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
                delivery.head(),
                delivery.body.len()
            ))
            .await
            .unwrap();
        assert_eq!(client.answer().await.unwrap().status, 100);
        holding.push((client, delivery));
    }
    let answer = door.send(&pushed_to(3, "3")).await;
    assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (503, "5"));
    for (mut client, delivery) in holding {
        assert_eq!(client.ask(delivery.body).await.unwrap().status, 202);
    }
    assert_eq!(door.send(&pushed_to(3, "3")).await.status, 202);
}

#[tokio::test]
async fn connections_beyond_the_number_wait_for_one_to_end() {
    let patience = Patience { connections: 1, headers: SOON, ..Patience::default() };
    let door = Door::with(Database::new().await, Limits::default(), patience).await;
    let _silent = Client::connect(door.at).await;
    let answers = join_all((0..5).map(|number| async move { pushed_to(number + 1, &number.to_string()) }));
    for delivery in answers.await {
        assert_eq!(door.send(&delivery).await.status, 202);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_answers_what_it_has_begun() {
    let mut door = Door::new().await;
    let mut lock = door.database.owner.begin().await.unwrap();
    sqlx::query("LOCK TABLE delivery IN EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let delivery = pushed_to(1, "begun");
    let mut client = Client::connect(door.at).await;
    client
        .write(format!("{}expect: 100-continue\r\ncontent-length: {}\r\n\r\n", delivery.head(), delivery.body.len()))
        .await
        .unwrap();
    assert_eq!(client.answer().await.unwrap().status, 100);
    door.stop.cancel();
    client.write(&delivery.body).await.unwrap();
    lock.rollback().await.unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.closes()), (202, true));
    while door.tasks.join_next().await.is_some() {}
    assert_eq!(door.stored().await.len(), 1);
    assert!(tokio::net::TcpStream::connect(door.at).await.is_err(), "and takes no others");
}
