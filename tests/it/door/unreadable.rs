//! Signed, but not to be read: kept, set aside, listed, and never the forge's or the worker's trouble.

use serde_json::{Value, json};
use tokio::process::Command;

use bascule::web::token::{self, Scope};
use jiff::SignedDuration;

use super::Door;
use super::wire::{Client, Delivery, altered, recorded};

/// Sends all on one connection; each is answered 202 and quarantined, and causes nothing.
async fn check(deliveries: Vec<(String, Delivery)>) -> Door {
    let door = Door::new().await;
    let mut client = Client::connect(door.at).await;
    let all = deliveries.len();
    for (name, delivery) in deliveries {
        let answer = client.ask(delivery.bytes()).await.unwrap_or_else(|| panic!("{name}: no answer"));
        assert_eq!(answer.status, 202, "{name}");
        let (id, state, reason) = door.stored().await.pop().unwrap();
        assert_eq!(
            (id.as_str(), state.as_str()),
            (delivery.headers[2].1.as_str(), "quarantined"),
            "{name}: {reason:?}"
        );
        assert!(reason.is_some_and(|reason| !reason.contains(char::is_control)), "{name}");
        // The forge tries once more: it is known, and nothing begins.
        assert_eq!(client.ask(delivery.bytes()).await.unwrap().status, 202, "{name}");
    }
    assert_eq!(door.stored().await.len(), all);
    assert_eq!(door.jobs().await, [""; 0]);
    assert_eq!(door.count("SELECT count(*) FROM push").await, 0);
    door
}

/// Ids that sort as they are sent.
fn id(number: usize) -> String {
    format!("{number:04}")
}

#[tokio::test]
async fn bodies_that_are_no_json_object_are_set_aside() {
    let deep = 100_000;
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("100,000 arrays", "[".repeat(deep).into()),
        ("100,000 arrays that end", ("[".repeat(deep) + &"]".repeat(deep)).into()),
        ("100,000 objects", (r#"{"repository":"#.repeat(deep) + "1" + &"}".repeat(deep)).into()),
        ("deep in a field nobody reads", format!(r#"{{"x":{}1{}}}"#, "[".repeat(99), "]".repeat(99)).into()),
        (
            "deep after a string with brackets",
            format!(r#"{{"x":"\"]]]","y":{}1{}}}"#, "[".repeat(99), "]".repeat(99)).into(),
        ),
        ("nothing", Vec::new()),
        ("null", "null".into()),
        ("an array", "[]".into()),
        ("an array of what it should be", format!("[{}]", String::from_utf8(recorded("push").2).unwrap()).into()),
        ("a number", "7".into()),
        ("a string", r#""push""#.into()),
        ("half", "{".into()),
        ("two", "{}{}".into()),
        ("a comment", "{/**/}".into()),
        ("not a number", r#"{"number":NaN}"#.into()),
        ("a form", "payload=%7B%7D".into()),
        ("with a byte order mark", "\u{feff}{}".into()),
        ("UTF-16", "{\0}\0".into()),
        ("not UTF-8", b"{\"x\":\"\xff\"}".to_vec()),
        ("half a surrogate", r#"{"ref":"\ud800","before":"","after":""}"#.into()),
        ("a NUL", b"{\"ref\":\"\0\"}".to_vec()),
        ("a number of 100,000 digits", format!(r#"{{"number":{}}}"#, "9".repeat(100_000)).into()),
    ];
    let mut deliveries = Vec::new();
    for (name, body) in bodies {
        for event in ["push", "pull_request", "issue_comment", "pull_request_approved", "repository", "delete"] {
            deliveries.push((format!("{event}: {name}"), Delivery::gitea(event, &id(deliveries.len()), body.clone())));
        }
    }
    let twice = r#"{"action":"opened","number":1,"number":2,"repository":{"id":1,"full_name":"acme/shop"}}"#;
    deliveries.push(("a field twice".to_owned(), Delivery::gitea("pull_request", &id(deliveries.len()), twice)));
    // Some readers take a list of values for an object with them in that order.
    for (event, list) in [
        ("pull_request", json!(["opened", 1, null, null, { "id": 1, "full_name": "acme/shop" }])),
        ("pull_request", json!({ "action": "opened", "number": 1, "repository": [1, "acme/shop"] })),
        ("repository", json!([{ "id": 1, "full_name": "acme/shop" }])),
        (
            "issue_comment",
            json!({ "action": "created", "issue": [1], "comment": [1], "repository": { "id": 1, "full_name": "a/b" } }),
        ),
    ] {
        deliveries.push((list.to_string(), Delivery::gitea(event, &id(deliveries.len()), list.to_string())));
    }
    check(deliveries).await;
}

/// What each kind of delivery has to say.
const REQUIRED: &[(&str, &[&str])] = &[
    ("push", &["/ref", "/before", "/after", "/repository", "/repository/id", "/repository/full_name"]),
    ("branch-deleted", &["/ref", "/ref_type", "/repository", "/repository/id", "/repository/full_name"]),
    ("pull-opened", &["/action", "/number", "/repository", "/repository/id", "/repository/full_name"]),
    ("pull-head-moved", &["/action", "/number", "/pull_request/head", "/pull_request/head/sha", "/repository/id"]),
    ("review-approved", &["/number", "/repository", "/repository/id"]),
    ("comment-created", &["/action", "/issue", "/issue/number", "/comment", "/comment/id", "/repository/id"]),
    ("repository-created", &["/repository", "/repository/id", "/repository/full_name"]),
];

#[tokio::test]
async fn a_required_field_that_is_nothing_or_something_else_sets_its_delivery_aside() {
    let mut deliveries = Vec::new();
    for (name, pointers) in REQUIRED {
        for pointer in *pointers {
            for value in [json!(null), json!([]), json!([{}]), json!(true), json!({}), json!(-1.5)] {
                let delivery =
                    altered(name, &id(deliveries.len()), |body| *body.pointer_mut(pointer).unwrap() = value.clone());
                deliveries.push((format!("{name}{pointer} = {value}"), delivery));
            }
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            let gone = altered(name, &id(deliveries.len()), |body| {
                body.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field);
            });
            deliveries.push((format!("{name} without {pointer}"), gone));
        }
    }
    check(deliveries).await;
}

#[tokio::test]
async fn numbers_that_name_nothing_set_their_delivery_aside() {
    let mut deliveries = Vec::new();
    for (name, pointer) in [
        ("pull-opened", "number"),
        ("pull-opened", "id"),
        ("comment-created", "number"),
        ("comment-created", "id"),
        ("push", "id"),
    ] {
        let (event, _, body) = recorded(name);
        let body: Value = serde_json::from_slice(&body).unwrap();
        for number in [
            "-1",
            "0",
            "-9223372036854775808",
            "9223372036854775808",
            "18446744073709551616",
            "1e400",
            "1.0",
            "1e2",
            "-0",
            "01",
            "\"1\"",
        ] {
            // As text: not every number survives our own JSON.
            let text = mark(body.clone(), name, pointer).to_string().replace("\"MARK\"", number);
            let delivery = Delivery::gitea(&event, &id(deliveries.len()), text);
            deliveries.push((format!("{name} {pointer} = {number}"), delivery));
        }
    }
    check(deliveries).await;
}

fn mark(mut body: Value, name: &str, field: &str) -> Value {
    let at = match (name, field) {
        ("comment-created", "number") => "/issue/number",
        ("comment-created", "id") => "/comment/id",
        (_, "number") => "/number",
        _ => "/repository/id",
    };
    *body.pointer_mut(at).unwrap() = json!("MARK");
    body
}

#[tokio::test]
async fn names_that_none_can_have_set_their_delivery_aside() {
    let mut deliveries = Vec::new();
    for (name, pointer, values) in [
        (
            "push",
            "/ref",
            vec![
                json!("refs/heads/"),
                json!("refs/heads/a\nb"),
                json!("refs/heads/\u{1b}[2K"),
                json!("refs/heads/a\u{0}"),
            ],
        ),
        ("push", "/ref", vec![json!(format!("refs/heads/{}", "x".repeat(100_000)))]),
        (
            "push",
            "/after",
            vec![
                json!(""),
                json!("main"),
                json!("A".repeat(40)),
                json!("a".repeat(39)),
                json!("a".repeat(41)),
                json!("-".repeat(40)),
            ],
        ),
        ("push", "/before", vec![json!(""), json!("--upload-pack=x"), json!("0".repeat(39))]),
        (
            "push",
            "/repository/full_name",
            vec![json!(""), json!("a/b\nc"), json!("a/\u{0}"), json!("x".repeat(100_000))],
        ),
        ("push", "/pusher/login", vec![json!("a\u{0}b"), json!("a\nb"), json!(""), json!("x".repeat(100_000))]),
        ("pull-head-moved", "/sender/login", vec![json!("a\u{0}b"), json!("\u{1b}[1m")]),
        ("branch-deleted", "/sender/login", vec![json!("a\u{0}b")]),
        ("branch-deleted", "/ref", vec![json!(""), json!("a\u{7f}b")]),
    ] {
        for value in values {
            let delivery =
                altered(name, &id(deliveries.len()), |body| *body.pointer_mut(pointer).unwrap() = value.clone());
            deliveries.push((format!("{name}{pointer} = {:.60}", value.to_string()), delivery));
        }
    }
    check(deliveries).await;
}

#[tokio::test]
async fn what_was_set_aside_is_listed_for_people_and_read_again_when_they_ask() {
    let door = check(vec![("null".to_owned(), Delivery::gitea("push", "the-odd-one", "null"))]).await;
    assert_eq!(door.send(&Delivery::gitea("push", "the-good-one", recorded("push").2)).await.status, 202);
    let hour = SignedDuration::from_hours(1);
    let scopes = [Scope::Read, Scope::Operate];
    let token = token::create(&door.database.pool, &door.clock, "operator", &scopes, hour).await.unwrap();
    let bascule = async |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
        command
            .args(arguments)
            .env_clear()
            .env("BASCULE_SERVER", format!("http://{}", door.at))
            .env("BASCULE_TOKEN", &token);
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let listed: Value =
        serde_json::from_str(&bascule(&["deliveries", "list", "--state", "quarantined", "--output", "json"]).await)
            .unwrap();
    let listed = listed.as_array().or_else(|| listed["items"].as_array()).unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    insta::assert_snapshot!(format!("{} {} {}", listed[0]["delivery_id"], listed[0]["event"], listed[0]["reason"]), @r#""the-odd-one" "push" "not the JSON this event has: invalid type: null, expected an object at line 1 column 4""#);
    let odd = listed[0]["id"].as_str().unwrap();
    assert!(bascule(&["deliveries", "list"]).await.contains("quarantined"));
    assert!(bascule(&["deliveries", "show", odd]).await.contains("null"));
    let again = bascule(&["deliveries", "replay", odd]).await;
    assert!(again.contains("quarantined"), "{again}");
    assert_eq!(door.jobs().await, ["follow_branch work/1@change-1"], "of the good one");
}
