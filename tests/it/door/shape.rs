//! What a call may look like: its path, its method, its size, and the length it says it has.

use bascule::webhook::body::Limits;
use serde_json::json;

use super::Door;
use super::wire::{Client, Delivery, altered, pushed_to, sign};

const CAP: usize = 64 << 10;

async fn small() -> Door {
    Door::bounded(Limits { body: CAP, ..Limits::default() }).await
}

/// A signed body of exactly this many bytes that is well read.
fn sized(id: &str, bytes: usize) -> Delivery {
    let empty =
        json!({ "action": "labeled", "number": 7, "repository": { "id": 1, "full_name": "acme/shop" }, "x": "" });
    let padding = "x".repeat(bytes - empty.to_string().len());
    let mut body = empty;
    body["x"] = padding.into();
    Delivery::gitea("pull_request", id, body.to_string())
}

#[tokio::test]
async fn a_body_over_the_cap_is_refused_by_what_it_says_before_it_is_read() {
    let door = small().await;
    for bytes in [CAP + 1, 25 << 20, usize::MAX / 4] {
        let head = sized("a", 1_000).head();
        let mut client = Client::connect(door.at).await;
        // Whoever asks first is not told to go on, and whoever does not is answered without a byte of it.
        let head = format!("{head}expect: 100-continue\r\ncontent-length: {bytes}\r\n\r\n");
        let answer = client.ask(head).await.unwrap();
        assert_eq!((answer.status, answer.closes()), (413, true), "{bytes}");
        assert_eq!(client.rest().await, b"");
    }
    assert_eq!(door.send(&sized("cap", CAP)).await.status, 202, "exactly the cap is fine");
    assert_eq!(door.stored().await.len(), 1);
}

#[tokio::test]
async fn a_body_that_does_not_say_its_length_is_cut_at_the_cap() {
    let door = small().await;
    let mut client = Client::connect(door.at).await;
    assert_eq!(client.ask(sized("fits", CAP).chunked(1_000)).await.unwrap().status, 202);
    let mut client = Client::connect(door.at).await;
    let answer = client.ask(sized("over", CAP + 1).chunked(1_000)).await.unwrap();
    assert_eq!((answer.status, answer.closes()), (413, true));
    // One that never ends.
    let mut client = Client::connect(door.at).await;
    client.write(format!("{}transfer-encoding: chunked\r\n\r\n", sized("endless", 1_000).head())).await.unwrap();
    while client.write(format!("400\r\n{}\r\n", "x".repeat(1 << 10))).await.is_ok() {}
    client.rest().await;
    assert_eq!(door.stored().await.len(), 1);
}

#[tokio::test]
async fn a_length_that_lies_ends_the_connection_and_stores_nothing() {
    let door = Door::new().await;
    let delivery = sized("a", 1_000);
    let (head, body) = (delivery.head(), String::from_utf8(delivery.body.clone()).unwrap());
    for (name, lie) in [
        ("negative", "content-length: -1\r\n\r\n".to_owned()),
        ("with a plus", format!("content-length: +1000\r\n\r\n{body}")),
        ("hex", format!("content-length: 0x3e8\r\n\r\n{body}")),
        ("a list", format!("content-length: 1000, 1000\r\n\r\n{body}")),
        ("two", format!("content-length: 1000\r\ncontent-length: 999\r\n\r\n{body}")),
        ("empty", format!("content-length:\r\n\r\n{body}")),
        ("more than a number holds", format!("content-length: {}\r\n\r\n{body}", "9".repeat(40))),
        ("an encoding we do not know", format!("transfer-encoding: gzip\r\n\r\n{body}")),
        ("chunked, and then something", format!("transfer-encoding: chunked, gzip\r\n\r\n{body}")),
        ("chunks of no size", format!("transfer-encoding: chunked\r\n\r\nzz\r\n{body}\r\n0\r\n\r\n")),
        ("a chunk longer than it says", format!("transfer-encoding: chunked\r\n\r\n3e7\r\n{body}\r\n0\r\n\r\n")),
        (
            "a chunk of 2^64 bytes",
            format!("transfer-encoding: chunked\r\n\r\n10000000000000000\r\n{body}\r\n0\r\n\r\n"),
        ),
    ] {
        let mut client = Client::connect(door.at).await;
        let answer = client.ask(format!("{head}{lie}")).await.unwrap_or_else(|| panic!("{name}: no answer"));
        assert_eq!(answer.status, 400, "{name}");
        client.rest().await;
        assert_eq!(door.stored().await, [], "{name}");
    }
    // Too short: the sender hangs up before the end.
    for ending in [
        format!("{head}content-length: 1001\r\n\r\n{body}"),
        format!("{head}transfer-encoding: chunked\r\n\r\n3e8\r\n{body}\r\n"),
    ] {
        let mut client = Client::connect(door.at).await;
        client.write(ending).await.unwrap();
        client.finish().await;
        let said = String::from_utf8(client.rest().await).unwrap();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 400"), "{said}");
    }
    // Too long: what is over is the next request, and none.
    let mut client = Client::connect(door.at).await;
    let shorter = Delivery::gitea("ping", "b", &body.as_bytes()[..999]);
    assert_eq!(client.ask([shorter.bytes(), b"}".to_vec()].concat()).await.unwrap().status, 200);
    client.finish().await;
    let rest = String::from_utf8(client.rest().await).unwrap();
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400"), "{rest}");
    assert_eq!(door.stored().await, []);
}

#[tokio::test]
async fn a_request_with_two_lengths_hides_no_second_one() {
    let door = Door::new().await;
    let hidden = sized("hidden", 300).bytes();
    let mut outer = sized("outer", 1_000);
    for lengths in
        ["content-length: 5\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 5"]
    {
        outer = outer.with("x-gitea-delivery", &format!("outer-{}", &lengths[..1]));
        let body = format!("{:x}\r\n{}\r\n0\r\n\r\n", outer.body.len(), String::from_utf8(outer.body.clone()).unwrap());
        let whole = [format!("{}{lengths}\r\n\r\n{body}", outer.head()).into_bytes(), hidden.clone()].concat();
        let mut client = Client::connect(door.at).await;
        let answer = client.ask(whole).await.unwrap();
        assert!(answer.closes(), "{answer:?}");
        assert_eq!(client.rest().await, b"", "what follows is not read as a request");
    }
    assert!(!door.stored().await.iter().any(|(id, ..)| id == "hidden"));
}

#[tokio::test]
async fn a_body_that_does_not_call_itself_json_is_refused() {
    let door = Door::new().await;
    let json = r#"{"action":"labeled","number":7,"repository":{"id":1,"full_name":"acme/shop"}}"#;
    let form = format!("payload={}", json.replace('"', "%22"));
    let formed = Delivery::gitea("pull_request", "a", form).with("content-type", "application/x-www-form-urlencoded");
    let answer = door.send(&formed).await;
    assert_eq!((answer.status, answer.closes()), (415, true));
    assert_eq!(answer.text, "set the webhook's content type to application/json\n");
    let of = |kind: &str| Delivery::gitea("pull_request", "a", json).with("content-type", kind);
    for kind in ["", "text/plain", "application/jsonp", "application/json5", "json", "text/json", "multipart/form-data"]
    {
        assert_eq!(door.send(&of(kind)).await.status, 415, "{kind}");
    }
    assert_eq!(door.send(&of("").without("content-type")).await.status, 415);
    assert_eq!(door.stored().await, []);
    for (id, kind) in
        ["application/json", "application/json; charset=utf-8", "Application/JSON ;x=y"].iter().enumerate()
    {
        let delivery = of(kind).with("x-gitea-delivery", &id.to_string());
        assert_eq!(door.send(&delivery).await.status, 202, "{kind}");
    }
}

#[tokio::test]
async fn there_is_one_path_for_a_forge_and_one_method() {
    let door = Door::new().await;
    let delivery = sized("a", 300);
    for method in ["GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "QUERY"] {
        let line = format!("{method} /webhooks/work HTTP/1.1");
        let mut client = Client::connect(door.at).await;
        client.write(delivery.clone().to(&line).bytes()).await.unwrap();
        client.finish().await;
        let said = String::from_utf8(client.rest().await).unwrap();
        assert!(said.starts_with("HTTP/1.1 405 "), "{method}: {said}");
    }
    for path in [
        "/webhooks/%77ork",
        "/webhooks/wor%6B",
        "/webhooks/work%2F",
        "/webhooks/work%00",
        "/webhooks/work%20",
        "/webhooks/work/",
        "/webhooks/work//",
        "//webhooks/work",
        "/webhooks//work",
        "/./webhooks/work",
        "/webhooks/../webhooks/work",
        "/x/..%2fwebhooks/work",
        "/webhooks/berg/../work",
        "/Webhooks/work",
        "/webhooks/Work",
        "/webhooks/work;x=y",
        "/webhooks/",
        "/webhooks",
        "/webhooks/%",
        "/webhooks/%zz",
        "/webhooks/%ff",
        "/webhooks/nobody",
        "/webhooks/*",
        "/webhooks/{forge}",
        "/webhooks/work.json",
        "/api/v1/../../webhooks/work",
    ] {
        let answer = door.send(&delivery.clone().to(&format!("POST {path} HTTP/1.1"))).await;
        assert!([404, 405].contains(&answer.status), "{path}: {}", answer.status);
    }
    for line in [
        "POST * HTTP/1.1",
        "POST webhooks/work HTTP/1.1",
        "POST  /webhooks/work HTTP/1.1",
        "POST /webhooks/work HTTP/3.0",
        "POST /webhooks/work",
        "POST /webhooks/w ork HTTP/1.1",
        "PRI * HTTP/2.0",
    ] {
        let mut client = Client::connect(door.at).await;
        let answer = client.ask(delivery.clone().to(line).bytes()).await;
        assert!(answer.is_none_or(|answer| (400..500).contains(&answer.status)), "{line}");
        client.rest().await;
    }
    assert_eq!(door.stored().await, []);
    assert_eq!(door.send(&delivery).await.status, 202);
}

#[tokio::test]
async fn a_delivery_has_one_id_and_one_event() {
    let door = Door::new().await;
    for name in ["x-gitea-delivery", "x-gitea-event"] {
        let long = "a".repeat(201);
        for value in ["", " ", "a b", "a\tb", "é", &long] {
            let answer = door.send(&sized("a", 300).with(name, value)).await;
            assert_eq!((answer.status, answer.closes()), (400, true), "{name}: {value}");
        }
        assert_eq!(door.send(&sized("a", 300).without(name)).await.status, 400, "{name}");
        assert_eq!(door.send(&sized("a", 300).also(name, "b")).await.status, 400, "{name} twice");
    }
    assert_eq!(door.stored().await, []);
}

#[tokio::test]
async fn what_we_do_not_know_is_taken_kept_and_ignored() {
    let door = Door::new().await;
    let body = r#"{"repository":{"id":1,"full_name":"acme/shop"},"new":{"in":["a","later","version"]}}"#;
    for event in ["package", "workflow_run", "fork", "star", "unheard-of", "..", "Push"] {
        assert_eq!(door.send(&Delivery::gitea(event, event, body)).await.status, 202, "{event}");
    }
    let of = |name, id, action: &str| altered(name, id, |body| body["action"] = action.into());
    for (name, id, action) in
        [("pull-opened", "b1", "labeled"), ("pull-opened", "b2", ""), ("comment-created", "b3", "pinned")]
    {
        assert_eq!(door.send(&of(name, id, action)).await.status, 202, "{name}: {action}");
    }
    assert!(door.stored().await.iter().all(|(_, state, reason)| state == "ignored" && reason.is_some()));
    assert_eq!((door.stored().await.len(), door.jobs().await.len()), (10, 0));
    // Fields we do not name do not make a delivery unreadable.
    let grown = altered("pull-opened", "c", |body| {
        body["pull_request"]["new_in_2030"] = json!({ "deep": [1, 2.5, null] });
        body["repository"]["id2"] = json!(-1);
    });
    assert_eq!(door.send(&grown).await.status, 202);
    assert_eq!(door.jobs().await, ["attend_pull work/1#1"]);
    // A ping is answered and is nothing to keep, but only of somebody who can sign it.
    let ping = Delivery::gitea("ping", "d", r#"{"zen":"…"}"#);
    let answer = door.send(&ping).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "pong\n"));
    assert_eq!(door.send(&ping.without("x-gitea-signature")).await.status, 401);
    assert_eq!(door.stored().await.len(), 11);
}

#[tokio::test]
async fn ten_thousand_of_everything_are_one_job() {
    let door = Door::new().await;
    let commit = json!({ "id": "a".repeat(40), "message": "x", "added": ["a"], "removed": [], "modified": ["b"] });
    let push = altered("push", "a", |body| {
        body["commits"] = json!(vec![commit; 10_000]);
        body["total_commits"] = json!(10_000);
    });
    let label = json!({ "id": 1, "name": "x", "color": "ff0000" });
    let pull = altered("pull-opened", "b", |body| {
        body["pull_request"]["labels"] = json!(vec![label; 10_000]);
        body["pull_request"]["requested_reviewers"] = json!(vec![json!({ "id": 1 }); 10_000]);
    });
    for delivery in [push, pull] {
        assert_eq!(door.send(&delivery).await.status, 202, "{} bytes", delivery.body.len());
    }
    assert_eq!(door.jobs().await, ["attend_pull work/1#1", "follow_branch work/1@change-1"]);
}

#[tokio::test]
async fn no_address_in_a_body_is_called_or_carried_on() {
    let door = Door::new().await;
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let mut addresses =
        ["", "javascript:alert(1)", "file:///etc/passwd", "//evil", "\u{0}"].map(str::to_owned).to_vec();
    addresses.push(format!("http://{}/x", trap.local_addr().unwrap()));
    for (id, address) in addresses.iter().enumerate() {
        let delivery = altered("pull-head-moved", &id.to_string(), |body| replace_addresses(body, address));
        assert!(String::from_utf8_lossy(&delivery.body).matches(&*json!(address).to_string()).count() > 20);
        assert_eq!(door.send(&delivery).await.status, 202, "{address}");
    }
    assert_eq!(trap.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody called");
    let payload: serde_json::Value =
        sqlx::query_scalar("SELECT payload FROM job").fetch_one(&door.database.owner).await.unwrap();
    assert_eq!(payload, json!({ "forge": "work", "repository": 1, "number": 1 }), "ids, and nothing else");
}

/// Every `…url` in it.
fn replace_addresses(body: &mut serde_json::Value, address: &str) {
    match body {
        serde_json::Value::Object(map) => map.iter_mut().for_each(|(name, value)| match value {
            serde_json::Value::String(text) if name.ends_with("url") => address.clone_into(text),
            value => replace_addresses(value, address),
        }),
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| replace_addresses(item, address)),
        _ => {}
    }
}

#[tokio::test]
async fn a_connection_serves_one_delivery_after_the_other() {
    let door = Door::new().await;
    let mut client = Client::connect(door.at).await;
    for number in 1..=3 {
        assert_eq!(client.ask(pushed_to(number, &number.to_string()).bytes()).await.unwrap().status, 202);
    }
    // Refused, it ends; pipelined behind it is nothing that would be heard.
    let refused = pushed_to(4, "4").with("x-gitea-signature", &sign("other", b""));
    let answer = client.ask([refused.bytes(), pushed_to(5, "5").bytes()].concat()).await.unwrap();
    assert_eq!((answer.status, answer.closes()), (401, true));
    client.rest().await;
    assert_eq!(door.stored().await.len(), 3);
}
