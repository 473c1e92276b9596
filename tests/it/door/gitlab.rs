//! What GitLab tells, at an endpoint of its kind: what comes of it, and what has to be there. The payloads are made of
//! the fields its documentation lists ("Webhook events", "System hooks").

use bascule::event::Event;
use bascule::ids::{Account, ForgeName};
use bascule::web::token::{self, Scope};
use bascule::webhook::gitlab;
use insta::assert_snapshot;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::Door;
use super::wire::{Client, Delivery};

const HEAD: &str = "963388d5c1a1b1ed1b0cd1a9b1ed1b0cd1a9b1ed";
const NONE: &str = "0000000000000000000000000000000000000000";

/// The fields of ours that an event has, and those most events have.
fn payload(kind: &str, fields: Value) -> Value {
    let mut payload = json!({
        "object_kind": kind,
        "event_type": kind,
        "user": { "id": 2, "name": "Ann", "username": "ann", "avatar_url": null, "email": "[REDACTED]" },
        "project": {
            "id": 1,
            "name": "Shop",
            "namespace": "Platform",
            "path_with_namespace": "acme/platform/shop",
            "default_branch": "main",
            "web_url": "https://gitlab.example.com/acme/platform/shop",
        },
        "repository": { "name": "Shop", "homepage": "https://gitlab.example.com/acme/platform/shop" },
    });
    payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    payload
}

/// A merge request's, with what else its attributes have.
fn pull(action: &str, more: Value) -> Value {
    let mut attributes = json!({
        "id": 700, "iid": 7, "action": action, "state": "opened", "title": "Up", "source_branch": "topic",
        "target_branch": "main", "source_project_id": 5, "target_project_id": 1, "author_id": 2,
        "last_commit": { "id": HEAD, "author": { "name": "somebody", "email": "else@example.com" } },
    });
    attributes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    payload("merge_request", json!({ "object_attributes": attributes, "changes": {}, "labels": [] }))
}

/// A note on something.
fn note(action: &str, on: &str, more: Value) -> Value {
    let mut body = payload(
        "note",
        json!({
            "project_id": 1,
            "object_attributes": {
                "id": 70, "note": "hm", "noteable_type": on, "noteable_id": 9, "author_id": 2, "system": false, "action": action,
            },
        }),
    );
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn push(before: &str, after: &str) -> Value {
    let mut push = payload(
        "push",
        json!({
            "event_name": "push", "ref": "refs/heads/topic", "before": before, "after": after, "checkout_sha": after,
            "user_id": 2, "user_name": "Ann", "user_username": "ann", "user_email": "", "project_id": 1,
            "commits": [], "total_commits_count": 0,
        }),
    );
    push.as_object_mut().unwrap().remove("user");
    push
}

/// As the whole instance tells of a project.
fn project(event: &str) -> Value {
    json!({
        "event_name": event, "created_at": "2026-11-21T07:30:58Z", "updated_at": "2026-11-21T07:38:22Z", "name": "Shop",
        "path": "shop", "path_with_namespace": "acme/shop", "old_path_with_namespace": "acme/platform/shop",
        "project_id": 1, "project_namespace_id": 23, "owner_name": "Acme", "owners": [], "project_visibility": "private",
    })
}

/// One of each that something comes of, with what has to be there.
fn told() -> Vec<(&'static str, Value, &'static [&'static str])> {
    const PULL: &[&str] =
        &["/object_attributes", "/object_attributes/iid", "/project", "/project/id", "/project/path_with_namespace"];
    const NOTE: &[&str] = &[
        "/object_attributes",
        "/object_attributes/id",
        "/object_attributes/noteable_type",
        "/project/id",
        "/project/path_with_namespace",
    ];
    const PUSH: &[&str] = &["/ref", "/before", "/after", "/project_id", "/project", "/project/path_with_namespace"];
    const PROJECT: &[&str] = &["/project_id", "/path_with_namespace"];
    let on_pull = || json!({ "merge_request": { "id": 700, "iid": 7, "target_project_id": 1 } });
    let on_issue = || json!({ "issue": { "id": 900, "iid": 7, "project_id": 1 } });
    let mut all: Vec<(&str, Value, &[&str])> =
        ["open", "close", "reopen", "update", "merge", "approval", "approved", "unapproval", "unapproved"]
            .iter()
            .map(|action| ("Merge Request Hook", pull(action, json!({})), PULL))
            .collect();
    // Of a system hook, the project has no number of its own.
    let mut of_instance = push(HEAD, HEAD);
    of_instance["project"].as_object_mut().unwrap().remove("id");
    all.extend([
        (
            "Merge Request Hook",
            pull("update", json!({ "oldrev": NONE })),
            &["/object_attributes/last_commit", "/object_attributes/last_commit/id"][..],
        ),
        (
            "Merge Request Hook",
            pull("unapproved", json!({ "system": true, "system_action": "approvals_reset_on_push" })),
            PULL,
        ),
        ("Note Hook", note("create", "MergeRequest", on_pull()), &["/merge_request", "/merge_request/iid"]),
        ("Note Hook", note("update", "MergeRequest", on_pull()), NOTE),
        ("Note Hook", note("create", "Issue", on_issue()), &["/issue", "/issue/iid"]),
        ("Confidential Note Hook", note("update", "Issue", on_issue()), NOTE),
        ("Push Hook", push(NONE, HEAD), PUSH),
        ("Push Hook", push(HEAD, NONE), PUSH),
        ("System Hook", of_instance, PUSH),
        ("System Hook", pull("open", json!({})), PULL),
        ("System Hook", project("project_create"), PROJECT),
        ("System Hook", project("project_destroy"), PROJECT),
        ("System Hook", project("project_rename"), PROJECT),
        ("System Hook", project("project_transfer"), PROJECT),
        ("System Hook", project("project_update"), PROJECT),
        ("Project Hook", project("project_destroy"), PROJECT),
    ]);
    all
}

/// A merge request was opened.
pub(super) fn opened() -> String {
    told()[0].1.to_string()
}

fn delivery(event: &str, id: &str, payload: &Value) -> Delivery {
    Delivery::gitlab(event, id, payload.to_string())
}

#[tokio::test]
async fn what_gitlab_tells_causes_what_the_others_same_delivery_does() {
    let door = Door::new().await;
    let mut lines = Vec::new();
    for (number, (event, payload, _)) in told().iter().enumerate() {
        assert_eq!(door.send(&delivery(event, &format!("{number:02}"), payload)).await.status, 202, "{event}");
        let action = payload.pointer("/object_attributes/action").or(payload.get("event_name"));
        lines.push(format!("{event} {}: {}", action.unwrap().as_str().unwrap(), door.jobs().await.join(", ")));
        sqlx::query("DELETE FROM job").execute(&door.database.owner).await.unwrap();
    }
    assert!(door.stored().await.iter().all(|(_, state, _)| state == "done"), "{:?}", door.stored().await);
    assert_snapshot!(lines.join("\n"), @r"
    Merge Request Hook open: attend_pull lab/1#7
    Merge Request Hook close: attend_pull lab/1#7
    Merge Request Hook reopen: attend_pull lab/1#7
    Merge Request Hook update: attend_pull lab/1#7
    Merge Request Hook merge: attend_pull lab/1#7
    Merge Request Hook approval: attend_pull lab/1#7
    Merge Request Hook approved: attend_pull lab/1#7
    Merge Request Hook unapproval: attend_pull lab/1#7
    Merge Request Hook unapproved: attend_pull lab/1#7
    Merge Request Hook update: attend_pull lab/1#7
    Merge Request Hook unapproved: attend_pull lab/1#7
    Note Hook create: attend_pull lab/1#7
    Note Hook update: attend_pull lab/1#7
    Note Hook create: attend_pull lab/1 issue 7
    Confidential Note Hook update: attend_pull lab/1 issue 7
    Push Hook push: follow_branch lab/1@topic
    Push Hook push: follow_branch lab/1@topic
    System Hook push: follow_branch lab/1@topic
    System Hook open: attend_pull lab/1#7
    System Hook project_create: sweep_repository lab/1
    System Hook project_destroy: sweep_repository lab/1
    System Hook project_rename: sweep_repository lab/1
    System Hook project_transfer: sweep_repository lab/1
    System Hook project_update: sweep_repository lab/1
    Project Hook project_destroy: sweep_repository lab/1
    ");
    let pushes =
        "SELECT DISTINCT branch || ' ' || left(after_sha, 7) || ' ' || (pusher ->> 'login') FROM push ORDER BY 1";
    let pushes: Vec<String> = sqlx::query_scalar(pushes).fetch_all(&door.database.owner).await.unwrap();
    assert_eq!(pushes, ["refs/pull/7/head 963388d ann", "topic 963388d ann"], "who pushed, not whom Git names");
    let edited = "SELECT comment_id FROM comment_edit ORDER BY 1";
    let edited: Vec<i64> = sqlx::query_scalar(edited).fetch_all(&door.database.owner).await.unwrap();
    assert_eq!(edited, [70]);
    let events = "SELECT DISTINCT event FROM delivery ORDER BY 1";
    let events: Vec<String> = sqlx::query_scalar(events).fetch_all(&door.database.owner).await.unwrap();
    assert_eq!(events, ["confidential_note", "merge_request", "note", "project", "push", "system"]);
}

#[tokio::test]
async fn a_field_of_gitlabs_that_is_missing_or_something_else_sets_its_delivery_aside() {
    let door = Door::new().await;
    let mut client = Client::connect(door.at).await;
    let mut names = Vec::new();
    for (event, payload, required) in told() {
        for pointer in required {
            let mut broken = vec![];
            for value in [json!(null), json!([]), json!(true), json!(-1.5)] {
                let mut payload = payload.clone();
                *payload.pointer_mut(pointer).unwrap() = value;
                broken.push(payload);
            }
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            let mut gone = payload.clone();
            gone.pointer_mut(parent).and_then(Value::as_object_mut).unwrap().remove(field);
            broken.push(gone);
            for payload in broken {
                let sent = delivery(event, &format!("{:05}", names.len()), &payload);
                assert_eq!(client.ask(sent.bytes()).await.unwrap().status, 202);
                names.push(format!("{event} {pointer}: {payload}"));
            }
        }
    }
    // In the order of their ids.
    for ((_, state, reason), name) in door.stored().await.iter().zip(&names) {
        assert!(state == "quarantined" && reason.is_some(), "{name}: {state}");
    }
    assert_eq!(door.stored().await.len(), names.len());
    assert_eq!(door.jobs().await, [""; 0]);
}

fn read(event: &str, payload: &Value) -> Event {
    let lab: ForgeName = "lab".parse().unwrap();
    gitlab::read(&lab, event, payload.to_string().as_bytes()).unwrap().event
}

#[test]
fn a_merge_request_and_an_issue_of_one_number_are_two_places() {
    let number = |payload: &Value| match read("note", payload) {
        Event::CommentCreated { number, comment: 70, by: Some(2) } => number,
        other => panic!("{other:?}"),
    };
    assert_eq!(number(&note("create", "MergeRequest", json!({ "merge_request": { "iid": 7 } }))), 7);
    assert_eq!(number(&note("create", "Issue", json!({ "issue": { "iid": 7 } }))), -7);
    // An older GitLab does not say what became of a note, and tells only of new ones.
    let mut old = note("create", "Issue", json!({ "issue": { "iid": 7 } }));
    old["object_attributes"].as_object_mut().unwrap().remove("action");
    assert_eq!(number(&old), -7);
}

#[test]
fn nobody_is_taken_for_who_pushed_or_edited_where_gitlab_does_not_say() {
    let pusher = |id: Value, username: Value| -> Option<Account> {
        let mut push = push(HEAD, HEAD);
        (push["user_id"], push["user_username"]) = (id, username);
        match read("push", &push) {
            Event::Pushed { pusher, .. } => pusher,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(pusher(Value::Null, json!("ann")), None);
    assert_eq!(pusher(json!(2), Value::Null), None);
    assert_eq!(pusher(json!(0), json!("ann")), None);
    assert_eq!(pusher(json!(9), json!("ghost")), None, "a deleted account");
    let bot = pusher(json!(31), json!("project_1_bot_0123456789abcdef")).unwrap();
    assert_eq!((bot.id, bot.login.as_str()), (31, "project_1_bot_0123456789abcdef"));
    let head_push = |user: Value| {
        let mut pull = pull("update", json!({ "oldrev": NONE }));
        pull["user"] = user;
        match read("merge_request", &pull) {
            Event::PullChanged { number: 7, head_push } => head_push,
            other => panic!("{other:?}"),
        }
    };
    assert!(head_push(Value::Null).is_none());
    let pushed = head_push(json!({ "id": 3, "username": "bea" })).unwrap();
    assert_eq!((pushed.after.as_str(), pushed.pusher.login.as_str()), (HEAD, "bea"));
    // Somebody with the right to it edits what another wrote.
    let mut edited = note("update", "MergeRequest", json!({ "merge_request": { "iid": 7 } }));
    edited["object_attributes"]["author_id"] = json!(3);
    assert_eq!(read("note", &edited), Event::CommentEdited { number: 7, comment: 70, by: None });
}

#[tokio::test]
async fn what_is_nothing_to_us_is_kept_and_spoils_no_judgement() {
    let door = Door::new().await;
    sqlx::query(
        "INSERT INTO repository (forge, forge_id, full_name, default_branch) VALUES ('lab', 1, 'acme/platform/shop', 'main')",
    )
    .execute(&door.database.owner)
    .await
    .unwrap();
    let with = |fields: Value| payload("x", fields);
    let mut tag = push(NONE, HEAD);
    tag["ref"] = json!("refs/tags/v1");
    for (id, (event, payload)) in [
        ("Tag Push Hook", tag.clone()),
        ("Issue Hook", with(json!({ "object_attributes": { "iid": 7, "action": "close" } }))),
        ("Confidential Issue Hook", with(json!({ "object_attributes": { "iid": 7, "action": "open" } }))),
        ("Note Hook", note("create", "Commit", json!({ "commit": { "id": HEAD } }))),
        ("Note Hook", note("create", "Snippet", json!({ "snippet": { "id": 53 } }))),
        ("Pipeline Hook", with(json!({ "object_attributes": { "id": 31, "status": "running" } }))),
        ("Job Hook", with(json!({ "build_id": 1977, "build_status": "created" }))),
        ("Deployment Hook", with(json!({ "status": "success" }))),
        ("Emoji Hook", with(json!({ "object_attributes": { "name": "eyes", "awardable_type": "Note" } }))),
        ("Wiki Page Hook", with(json!({ "object_attributes": { "slug": "home" } }))),
        ("Release Hook", json!({ "object_kind": "release", "action": "create" })),
        ("Milestone Hook", with(json!({ "action": "create" }))),
        ("Feature Flag Hook", with(json!({ "object_attributes": { "active": true } }))),
        ("Resource Access Token Hook", with(json!({ "object_attributes": { "expires_at": "2026-12-01" } }))),
        ("Vulnerability Hook", json!({ "object_kind": "vulnerability" })),
        ("Member Hook", json!({ "event_name": "user_add_to_group", "group_id": 78, "user_id": 41 })),
        ("Subgroup Hook", json!({ "event_name": "subgroup_create", "group_id": 10 })),
        ("System Hook", json!({ "event_name": "user_create", "user_id": 41 })),
        ("System Hook", json!({ "event_name": "group_rename", "full_path": "acme/better" })),
        ("System Hook", json!({ "event_name": "repository_update", "project_id": 1, "refs": ["refs/heads/main"] })),
        ("System Hook", json!({ "object_kind": "gitlab_subscription_member_approval", "action": "enqueue" })),
        // A later GitLab's.
        ("Unheard Of Hook", json!({ "project": "renamed to something else" })),
        ("unheard", json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(door.send(&delivery(event, &format!("{id:02}"), &payload)).await.status, 202, "{event}");
    }
    let reasons = "SELECT delivery_id || ' ' || event || ' ' || state || ': ' || reason FROM delivery ORDER BY 1";
    let reasons: Vec<String> = sqlx::query_scalar(reasons).fetch_all(&door.database.owner).await.unwrap();
    assert_snapshot!(reasons.join("\n"), @r"
    00 tag_push ignored: not a push to a branch
    01 issue ignored: not an event we act on
    02 confidential_issue ignored: not an event we act on
    03 note ignored: said where nobody consents
    04 note ignored: said where nobody consents
    05 pipeline ignored: a pipeline that is not over
    06 job ignored: not an event we act on
    07 deployment ignored: not an event we act on
    08 emoji ignored: not an event we act on
    09 wiki_page ignored: not an event we act on
    10 release ignored: not an event we act on
    11 milestone ignored: not an event we act on
    12 feature_flag ignored: not an event we act on
    13 resource_access_token ignored: not an event we act on
    14 vulnerability ignored: not an event we act on
    15 member ignored: not an event we act on
    16 subgroup ignored: not an event we act on
    17 system ignored: not an event we act on
    18 system ignored: not an event we act on
    19 system ignored: the pushes are told too
    20 system ignored: not an event we act on
    21 unheard_of ignored: not an event we act on
    22 unheard ignored: not an event we act on
    ");
    assert_eq!(door.count("SELECT fact_version FROM repository").await, 0);
    // What is of the repository, though nothing comes of it.
    let labelled = pull("relabelled", json!({}));
    let mut own = note("create", "Issue", json!({ "issue": { "iid": 7 } }));
    own["object_attributes"]["system"] = json!(true);
    for (id, event, payload) in
        [("a", "Merge Request Hook", &labelled), ("b", "Note Hook", &own), ("c", "Push Hook", &tag)]
    {
        assert_eq!(door.send(&delivery(event, id, payload)).await.status, 202);
    }
    assert_eq!(door.jobs().await, [""; 0]);
    assert_eq!(door.stored().await.iter().filter(|(_, state, _)| state != "ignored").count(), 0);
    assert_eq!(door.send(&delivery("Merge Request Hook", "d", &told()[0].1)).await.status, 202);
    assert!(door.count("SELECT fact_version FROM repository").await > 0, "and this one does");
}

#[tokio::test]
async fn our_own_note_is_no_news() {
    let door = Door::new().await;
    let ours = Account { forge: "lab".parse().unwrap(), id: 2, login: "bascule".to_owned() };
    bascule::db::ourselves::are(&mut door.database.pool.acquire().await.unwrap(), &ours).await.unwrap();
    let on = json!({ "merge_request": { "iid": 7 } });
    for (id, action) in [("a", "create"), ("b", "update")] {
        assert_eq!(door.send(&delivery("Note Hook", id, &note(action, "MergeRequest", on.clone()))).await.status, 202);
    }
    assert_eq!(door.jobs().await, [""; 0]);
    let mut theirs = note("update", "MergeRequest", on);
    theirs["user"]["id"] = json!(3);
    assert_eq!(door.send(&delivery("Note Hook", "c", &theirs)).await.status, 202);
    assert_eq!(door.jobs().await, ["attend_pull lab/1#7"], "somebody edits what is ours");
}

#[tokio::test]
async fn a_delivery_of_gitlabs_is_replayed_as_gitlabs() {
    let door = Door::new().await;
    let note = note("create", "Issue", json!({ "issue": { "iid": 7 } }));
    assert_eq!(door.send(&delivery("Note Hook", "a", &note)).await.status, 202);
    sqlx::query("DELETE FROM job").execute(&door.database.owner).await.unwrap();
    let id: String = sqlx::query_scalar("SELECT id::text FROM delivery").fetch_one(&door.database.owner).await.unwrap();
    let hour = SignedDuration::from_hours(1);
    let token = token::create(&door.database.pool, &door.clock, "operator", &[Scope::Operate], hour).await.unwrap();
    let line = format!("POST /api/v1/deliveries/{id}/replay HTTP/1.1");
    let headers =
        vec![("host".to_owned(), "bascule".to_owned()), ("authorization".to_owned(), format!("Bearer {token}"))];
    assert_eq!(door.send(&Delivery { line, headers, body: Vec::new() }).await.status, 200);
    assert_eq!(door.jobs().await, ["attend_pull lab/1 issue 7"]);
}
