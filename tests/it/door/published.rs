//! What GitHub itself publishes of its webhooks goes through the door: every example, and the least that every described
//! payload may hold. `tools/fetch` brings them; what is read is held against that and not against our memory.

use std::collections::BTreeMap;

use bascule::event::{Delivered, Event};
use bascule::webhook::github;
use bascule::webhook::payload::Unreadable;
use insta::assert_snapshot;
use serde_json::{Map, Value, json};

use super::Door;
use super::wire::{Client, Delivery};
use crate::parts;

/// The examples, and how many there are of each; fewer would prove less.
const EXAMPLES: [(&str, usize); 6] =
    [("api.github.com", 329), ("ghes-31", 49), ("ghes-32", 49), ("ghes-33", 50), ("ghes-34", 124), ("ghes-35", 125)];
/// The descriptions, and how many webhooks each has.
const DESCRIPTIONS: [(&str, usize); 8] = [
    ("api.github.com", 261),
    ("ghec", 282),
    ("ghes-3.14", 241),
    ("ghes-3.15", 241),
    ("ghes-3.16", 247),
    ("ghes-3.17", 254),
    ("ghes-3.18", 255),
    ("ghes-3.19", 259),
];

fn published(path: &str) -> Value {
    let file = parts::shared(&format!("published/@octokit/{path}")).unwrap();
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// Of an edition: event, and payload.
fn examples(edition: &str) -> Vec<(String, Value)> {
    let events = published(&format!("webhooks-examples/{edition}/index.json"));
    let of = |event: &Value| -> Vec<(String, Value)> {
        let name = event["name"].as_str().unwrap();
        event["examples"].as_array().unwrap().iter().map(|one| (name.to_owned(), one.clone())).collect()
    };
    events.as_array().unwrap().iter().flat_map(of).collect()
}

fn read(event: &str, payload: &Value) -> Result<Delivered, Unreadable> {
    github::read(&"hub".parse().unwrap(), event, payload.to_string().as_bytes())
}

/// What an event is, without what it names.
fn word(event: &Event) -> String {
    match event {
        Event::PullChanged { head_push: None, .. } => "pull changed".to_owned(),
        Event::PullChanged { head_push: Some(_), .. } => "pull changed by a push".to_owned(),
        Event::ReviewChanged { .. } => "review changed".to_owned(),
        Event::ReviewEdited { .. } => "review edited".to_owned(),
        Event::LookAsked { .. } => "look asked".to_owned(),
        Event::CommentCreated { .. } => "comment created".to_owned(),
        Event::CommentEdited { .. } => "comment edited".to_owned(),
        Event::Pushed { after: Some(_), .. } => "branch pushed".to_owned(),
        Event::Pushed { after: None, .. } => "branch deleted".to_owned(),
        Event::GroupFormed { .. } => "group formed".to_owned(),
        Event::ChecksChanged => "checks changed".to_owned(),
        Event::RepositoryChanged => "repository changed".to_owned(),
        Event::InstallationChanged => "installation changed".to_owned(),
        Event::Ping => "ping".to_owned(),
        Event::Ignored { why } => format!("ignored: {why}"),
    }
}

/// Lines `event.action → what`, with how often; events we do not act on are one line.
fn table(payloads: &[(String, Value)]) -> String {
    let mut lines = BTreeMap::<String, usize>::new();
    for (event, payload) in payloads {
        let delivered = read(event, payload).unwrap_or_else(|error| panic!("{event}: {error}: {payload}"));
        let action = payload["action"].as_str().map_or(String::new(), |action| format!(".{action}"));
        let line = match word(&delivered.event) {
            unknown if unknown == "ignored: not an event we act on" => unknown,
            what => format!("{event}{action}: {what}"),
        };
        *lines.entry(line).or_default() += 1;
    }
    lines.iter().map(|(line, times)| format!("{times:3} {line}")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn every_published_example_is_taken_and_none_is_set_aside() {
    let door = Door::new().await;
    let mut all = Vec::new();
    for (edition, expected) in EXAMPLES {
        let examples = examples(edition);
        assert_eq!(examples.len(), expected, "{edition}");
        let one = |(number, (event, payload)): (usize, (String, Value))| {
            Delivery::github(&event, &format!("{edition}-{number}-{event}"), payload.to_string())
        };
        all.extend(examples.into_iter().enumerate().map(one));
    }
    // As GitHub sends them, several at a time.
    let sending = all.chunks(100).map(async |some| {
        let mut client = Client::connect(door.at).await;
        let mut pings = 0;
        for delivery in some {
            let answer = client.ask(delivery.bytes()).await.unwrap_or_else(|| panic!("{}: no answer", delivery.head()));
            assert!([200, 202].contains(&answer.status), "{}: {}", delivery.head(), answer.text);
            pings += usize::from(answer.status == 200);
        }
        pings
    });
    let pings: usize = futures::future::join_all(sending).await.into_iter().sum();
    let sent = all.len();
    assert_eq!((sent, pings), (726, 11));
    let stored = door.stored().await;
    assert_eq!(stored.len(), sent - pings);
    let aside: Vec<_> = stored.iter().filter(|(_, state, _)| state == "quarantined").collect();
    assert!(aside.is_empty(), "{aside:?}");
    let caused = "SELECT kind || ': ' || count(*) FROM job GROUP BY kind ORDER BY 1";
    let caused: Vec<String> = sqlx::query_scalar(caused).fetch_all(&door.database.owner).await.unwrap();
    assert_snapshot!(caused.join("\n"), @"
    attend_group: 1
    attend_pull: 4
    follow_branch: 1
    look_at_checks: 2
    sweep_repository: 8
    ");
}

#[test]
fn every_published_example_is_what_it_says_it_is() {
    assert_snapshot!(table(&examples("api.github.com")), @"
      3 check_run.completed: checks changed
      3 check_run.created: ignored: nothing of it is shown or judged
      1 check_run.requested_action: ignored: nothing of it is shown or judged
      2 check_run.rerequested: look asked
      4 check_suite.completed: checks changed
      3 check_suite.requested: ignored: nothing of it is shown or judged
      2 check_suite.rerequested: look asked
      5 create: ignored: the push that created it is told too
      4 delete: ignored: not a branch
    220 ignored: not an event we act on
      2 installation.created: repository changed
      2 installation.deleted: repository changed
      1 installation.new_permissions_accepted: repository changed
      1 installation.suspend: ignored: it names no repository
      1 installation.unsuspend: ignored: it names no repository
      2 installation_repositories.added: repository changed
      1 installation_repositories.removed: repository changed
      5 issue_comment.created: comment created
      2 issue_comment.deleted: comment edited
      2 issue_comment.edited: comment edited
      2 merge_group.checks_requested: group formed
      4 ping: ping
      2 pull_request.assigned: ignored: changes nothing we show or judge
      2 pull_request.closed: pull changed
      3 pull_request.converted_to_draft: pull changed
      2 pull_request.labeled: ignored: changes nothing we show or judge
      2 pull_request.locked: ignored: changes nothing we show or judge
      4 pull_request.opened: pull changed
      3 pull_request.ready_for_review: pull changed
      2 pull_request.reopened: pull changed
      1 pull_request.review_request_removed: ignored: changes nothing we show or judge
      1 pull_request.review_requested: ignored: changes nothing we show or judge
      1 pull_request.synchronize: pull changed by a push
      2 pull_request.unassigned: ignored: changes nothing we show or judge
      2 pull_request.unlabeled: ignored: changes nothing we show or judge
      2 pull_request.unlocked: ignored: changes nothing we show or judge
      1 pull_request_review.dismissed: review changed
      3 pull_request_review.submitted: review changed
      2 push: branch pushed
      5 push: ignored: not a push to a branch
      2 repository.created: repository changed
      2 repository.edited: repository changed
      2 repository.privatized: repository changed
      3 repository.publicized: repository changed
      1 repository.renamed: repository changed
      3 repository.transferred: repository changed
      4 status: checks changed
    ");
    let older: Vec<_> = EXAMPLES[1..].iter().flat_map(|(edition, _)| examples(edition)).collect();
    assert_snapshot!(table(&older), @"
      2 check_run.completed: checks changed
      7 check_run.created: ignored: nothing of it is shown or judged
      7 check_suite.completed: checks changed
      2 check_suite.requested: ignored: nothing of it is shown or judged
      2 check_suite.rerequested: look asked
      7 create: ignored: the push that created it is told too
      7 delete: ignored: not a branch
    276 ignored: not an event we act on
      2 installation.created: repository changed
      7 installation.deleted: ignored: it names no repository
      7 installation_repositories.added: repository changed
      2 installation_repositories.removed: repository changed
      7 issue_comment.created: comment created
      2 issue_comment.deleted: comment edited
      2 issue_comment.edited: comment edited
      7 ping: ping
      2 pull_request.assigned: ignored: changes nothing we show or judge
      2 pull_request.closed: pull changed
      2 pull_request.labeled: ignored: changes nothing we show or judge
      7 pull_request.opened: pull changed
      2 pull_request.unassigned: ignored: changes nothing we show or judge
      2 pull_request.unlabeled: ignored: changes nothing we show or judge
      7 pull_request_review.submitted: review changed
      7 push: ignored: not a push to a branch
      2 repository.created: repository changed
      2 repository.deleted: repository changed
      2 repository.privatized: repository changed
      7 repository.publicized: repository changed
      7 status: checks changed
    ");
}

/// The least a described payload may hold: what is required and nothing else, and nothing where that may be. Of a list one,
/// since an empty one would ask nothing of its members.
fn least(description: &Value, schema: &Value, name: &str) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = description.pointer(reference.strip_prefix('#').unwrap());
        return least(description, target.unwrap_or_else(|| panic!("{reference} leads nowhere")), name);
    }
    let least_of = |schema: &Value| least(description, schema, name);
    for choice in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[choice].as_array() {
            let all: Vec<Value> = choices.iter().map(least_of).collect();
            return all.iter().find(|one| one.is_null()).unwrap_or(&all[0]).clone();
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let mut whole = Map::new();
        for part in parts {
            whole.extend(least_of(part).as_object().cloned().unwrap_or_default());
        }
        return whole.into();
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    let may_be = |kind: &str| {
        let named = &schema["type"];
        named == kind || named.as_array().is_some_and(|kinds| kinds.iter().any(|one| one == kind))
    };
    if may_be("null") || schema["nullable"] == true {
        Value::Null
    } else if may_be("object") || schema["properties"].is_object() {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let required = required.iter().map(|name| name.as_str().unwrap());
        let one = |name: &str| (name.to_owned(), least(description, &schema["properties"][name], name));
        Value::Object(required.map(one).collect())
    } else if may_be("array") {
        json!([least_of(&schema["items"])])
    } else if may_be("integer") || may_be("number") {
        json!(1)
    } else if may_be("boolean") {
        json!(false)
    } else if may_be("string") {
        // What Git names has a shape that the description does not tell.
        match name {
            "before" | "after" | "sha" | "head_sha" | "base_sha" => json!("0123456789abcdef0123456789abcdef01234567"),
            "ref" => json!("refs/heads/main"),
            _ => json!("x"),
        }
    } else {
        Value::Null
    }
}

/// Of an edition: event, and the least payload of each of its shapes.
fn described(edition: &str, webhooks: usize) -> Vec<(String, Value)> {
    let description = published(&format!("openapi-webhooks/generated/{edition}.json"));
    let all = description["webhooks"].as_object().unwrap();
    assert_eq!(all.len(), webhooks, "{edition}");
    let mut payloads = Vec::new();
    for webhook in all.values() {
        let event = webhook["post"]["operationId"].as_str().unwrap().split('/').next().unwrap().replace('-', "_");
        let schema = &webhook["post"]["requestBody"]["content"]["application/json"]["schema"];
        let whole = match schema["$ref"].as_str() {
            Some(reference) => description.pointer(&reference[1..]).unwrap(),
            None => schema,
        };
        let alone = std::slice::from_ref(whole);
        let shapes = whole["oneOf"].as_array().or(whole["anyOf"].as_array()).map_or(alone, Vec::as_slice);
        payloads.extend(shapes.iter().map(|shape| (event.clone(), least(&description, shape, ""))));
    }
    payloads
}

#[test]
fn whatever_a_payload_may_leave_out_is_not_missed() {
    let mut tables = BTreeMap::<String, Vec<&str>>::new();
    for (edition, webhooks) in DESCRIPTIONS {
        let known = table(&described(edition, webhooks));
        let known = known.lines().filter(|line| !line.contains("ignored: "));
        tables.entry(known.collect::<Vec<_>>().join("\n")).or_default().push(edition);
    }
    let told: Vec<String> =
        tables.iter().map(|(table, editions)| format!("{}\n{table}", editions.join(", "))).collect();
    assert_snapshot!(told.join("\n\n"), @"
    api.github.com, ghec, ghes-3.14, ghes-3.15, ghes-3.16, ghes-3.17, ghes-3.18, ghes-3.19
      1 check_run.completed: checks changed
      1 check_run.rerequested: look asked
      1 check_suite.completed: checks changed
      1 check_suite.rerequested: look asked
      1 installation_repositories.added: repository changed
      1 installation_repositories.removed: repository changed
      1 issue_comment.created: comment created
      1 issue_comment.deleted: comment edited
      1 issue_comment.edited: comment edited
      1 ping: ping
      1 pull_request.closed: pull changed
      1 pull_request.converted_to_draft: pull changed
      1 pull_request.edited: pull changed
      1 pull_request.opened: pull changed
      1 pull_request.ready_for_review: pull changed
      1 pull_request.reopened: pull changed
      1 pull_request.synchronize: pull changed by a push
      1 pull_request_review.dismissed: review changed
      1 pull_request_review.edited: review edited
      1 pull_request_review.submitted: review changed
      1 push: branch pushed
      1 repository.archived: repository changed
      1 repository.created: repository changed
      1 repository.deleted: repository changed
      1 repository.edited: repository changed
      1 repository.privatized: repository changed
      1 repository.publicized: repository changed
      1 repository.renamed: repository changed
      1 repository.transferred: repository changed
      1 repository.unarchived: repository changed
    ");
}
