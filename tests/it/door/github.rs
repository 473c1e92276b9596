//! What GitHub tells, at an endpoint of its kind: what comes of it, and what has to be there.

use bascule::ids::{Account, ForgeName};
use bascule::web::token::{self, Scope};
use bascule::webhook::github;
use insta::assert_snapshot;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::Door;
use super::wire::{Client, Delivery};

const HEAD: &str = "963388d5c1a1b1ed1b0cd1a9b1ed1b0cd1a9b1ed";
/// A branch of a merge queue.
const QUEUED: &str = "gh-readonly-queue/main/pr-7-963388d5c1a1b1ed1b0cd1a9b1ed1b0cd1a9b1ed";
const NONE: &str = "0000000000000000000000000000000000000000";

/// The fields of ours that an event has, and those every event has.
fn payload(fields: Value) -> Value {
    let mut payload = json!({
        "repository": { "id": 1, "full_name": "acme/shop" },
        "sender": { "id": 2, "login": "ann", "type": "User" },
        "installation": { "id": 9 },
    });
    payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    payload
}

/// A pull request as checks list it, of repository `base`.
fn listed(number: i64, base: i64) -> Value {
    json!({ "number": number, "base": { "ref": "main", "repo": { "id": base } } })
}

/// One of each that something comes of, with what has to be there.
fn told() -> Vec<(&'static str, Value, &'static [&'static str])> {
    let pull = |action: &str| payload(json!({ "action": action, "number": 7, "pull_request": {} }));
    let review = |action: &str| {
        payload(
            json!({ "action": action, "pull_request": { "number": 7 }, "review": { "id": 70, "user": { "id": 2 } } }),
        )
    };
    let comment = |action: &str| {
        payload(json!({ "action": action, "issue": { "number": 7 }, "comment": { "id": 700, "user": { "id": 2 } } }))
    };
    let check = |of: &str| {
        let pulls = [listed(7, 1), listed(8, 5)];
        payload(json!({ "action": "rerequested", of: { "head_sha": HEAD, "pull_requests": pulls } }))
    };
    // Of a fork's pull request, or of another repository's.
    let of_none =
        json!({ "action": "rerequested", "check_run": { "head_sha": HEAD, "pull_requests": [listed(7, 5)] } });
    let mut pushed = pull("synchronize");
    pushed["after"] = json!(HEAD);
    let push = |before: &str, after: &str| {
        let pusher = json!({ "name": "somebody", "email": "else@example.com" });
        payload(json!({ "ref": "refs/heads/topic", "before": before, "after": after, "pusher": pusher }))
    };
    const REPOSITORY: [&str; 3] = ["/repository", "/repository/id", "/repository/full_name"];
    const PULL: &[&str] = &["/action", "/number", REPOSITORY[0], REPOSITORY[1], REPOSITORY[2]];
    const REVIEW: &[&str] =
        &["/action", "/pull_request", "/pull_request/number", "/review/id", REPOSITORY[0], REPOSITORY[1]];
    const COMMENT: &[&str] =
        &["/action", "/issue", "/issue/number", "/comment", "/comment/id", REPOSITORY[0], REPOSITORY[1]];
    const PUSH: &[&str] = &["/ref", "/before", "/after", REPOSITORY[0], REPOSITORY[1], REPOSITORY[2]];
    let mut all: Vec<(&str, Value, &[&str])> =
        ["opened", "closed", "reopened", "edited", "ready_for_review", "converted_to_draft"]
            .iter()
            .map(|action| ("pull_request", pull(action), PULL))
            .collect();
    all.extend([
        ("pull_request", pushed, &["/action", "/number", "/after", "/repository"][..]),
        ("pull_request_review", review("submitted"), REVIEW),
        ("pull_request_review", review("dismissed"), REVIEW),
        ("pull_request_review", review("edited"), REVIEW),
        ("issue_comment", comment("created"), COMMENT),
        ("issue_comment", comment("edited"), COMMENT),
        ("issue_comment", comment("deleted"), COMMENT),
        ("push", push(NONE, HEAD), PUSH),
        ("push", push(HEAD, NONE), PUSH),
        ("delete", payload(json!({ "ref": "topic", "ref_type": "branch" })), &["/ref", "/ref_type", "/repository"]),
        (
            "check_run",
            check("check_run"),
            &[
                "/action",
                "/check_run",
                "/check_run/head_sha",
                "/check_run/pull_requests",
                "/check_run/pull_requests/0/number",
                "/check_run/pull_requests/1/base/repo/id",
                "/repository",
            ],
        ),
        ("check_suite", check("check_suite"), &["/action", "/check_suite", "/repository/id"]),
        ("check_run", payload(of_none), &["/action"]),
        (
            "merge_group",
            payload(
                json!({ "action": "checks_requested", "merge_group": { "head_ref": format!("refs/heads/{QUEUED}") } }),
            ),
            &["/action", "/merge_group", "/merge_group/head_ref", "/repository/id"],
        ),
        ("repository", payload(json!({ "action": "renamed" })), &["/action", "/repository", "/repository/id"]),
        (
            "installation_repositories",
            json!({
                "action": "added",
                "repositories_added": [{ "id": 3, "full_name": "acme/new" }],
                "repositories_removed": [{}],
            }),
            &["/action", "/repositories_added", "/repositories_added/0/id"],
        ),
        (
            "installation_repositories",
            json!({ "action": "removed", "repositories_removed": [{ "id": 1, "full_name": "acme/shop" }] }),
            &["/repositories_removed", "/repositories_removed/0/full_name"],
        ),
        (
            "installation",
            json!({ "action": "created", "repositories": [{ "id": 4, "full_name": "acme/x" }] }),
            &["/repositories/0"],
        ),
    ]);
    all
}

fn delivery(event: &str, id: &str, payload: &Value) -> Delivery {
    Delivery::github(event, id, payload.to_string())
}

#[tokio::test]
async fn what_github_tells_causes_what_giteas_same_delivery_does() {
    let door = Door::new().await;
    let mut lines = Vec::new();
    for (number, (event, payload, _)) in told().iter().enumerate() {
        assert_eq!(door.send(&delivery(event, &number.to_string(), payload)).await.status, 202, "{event}");
        let action = payload["action"].as_str().unwrap_or("-");
        lines.push(format!("{event} {action}: {}", door.jobs().await.join(", ")));
        sqlx::query("DELETE FROM job").execute(&door.database.owner).await.unwrap();
    }
    assert!(door.stored().await.iter().all(|(_, state, _)| state == "done"), "{:?}", door.stored().await);
    assert_snapshot!(lines.join("\n"), @r"
    pull_request opened: attend_pull hub/1#7
    pull_request closed: attend_pull hub/1#7
    pull_request reopened: attend_pull hub/1#7
    pull_request edited: attend_pull hub/1#7
    pull_request ready_for_review: attend_pull hub/1#7
    pull_request converted_to_draft: attend_pull hub/1#7
    pull_request synchronize: attend_pull hub/1#7
    pull_request_review submitted: attend_pull hub/1#7
    pull_request_review dismissed: attend_pull hub/1#7
    pull_request_review edited: attend_pull hub/1#7
    issue_comment created: attend_pull hub/1#7
    issue_comment edited: attend_pull hub/1#7
    issue_comment deleted: attend_pull hub/1#7
    push -: follow_branch hub/1@topic
    push -: follow_branch hub/1@topic
    delete -: follow_branch hub/1@topic
    check_run rerequested: attend_pull hub/1#7
    check_suite rerequested: attend_pull hub/1#7
    check_run rerequested: sweep_repository hub/1
    merge_group checks_requested: attend_group hub/1@gh-readonly-queue/main/pr-7-963388d5c1a1b1ed1b0cd1a9b1ed1b0cd1a9b1ed
    repository renamed: sweep_repository hub/1
    installation_repositories added: sweep_repository hub/3
    installation_repositories removed: sweep_repository hub/1
    installation created: sweep_repository hub/4
    ");
    let pushes = "SELECT branch || ' ' || left(after_sha, 7) || ' ' || (pusher ->> 'login') FROM push ORDER BY 1";
    let pushes: Vec<String> = sqlx::query_scalar(pushes).fetch_all(&door.database.owner).await.unwrap();
    assert_eq!(pushes, ["refs/pull/7/head 963388d ann", "topic 963388d ann"], "who sent it, not whom Git names");
    let edited = "SELECT comment_id FROM comment_edit ORDER BY 1";
    let edited: Vec<i64> = sqlx::query_scalar(edited).fetch_all(&door.database.owner).await.unwrap();
    assert_eq!(edited, [-70, 700], "a review's text, and a comment");
}

#[tokio::test]
async fn a_field_of_githubs_that_is_missing_or_something_else_sets_its_delivery_aside() {
    let door = Door::new().await;
    let mut client = Client::connect(door.at).await;
    let mut names = Vec::new();
    for (event, payload, required) in told() {
        for pointer in required {
            let mut broken = vec![];
            for value in [json!(null), json!([]), json!(true), json!({}), json!(-1.5)] {
                let mut payload = payload.clone();
                let whole = payload.pointer_mut(pointer).unwrap();
                // An empty list is one.
                if !(whole.is_array() && value.is_array()) {
                    *whole = value;
                    broken.push(payload);
                }
            }
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            let mut gone = payload.clone();
            if let Some(parent) = gone.pointer_mut(parent).and_then(Value::as_object_mut) {
                parent.remove(field);
                broken.push(gone);
            }
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

#[test]
fn nobody_is_taken_for_who_pushed_where_github_does_not_say() {
    let hub: ForgeName = "hub".parse().unwrap();
    let pusher = |sender: Value| -> Option<Account> {
        let push = payload(json!({ "ref": "refs/heads/main", "before": HEAD, "after": HEAD, "sender": sender }));
        match github::read(&hub, "push", push.to_string().as_bytes()).unwrap().event {
            bascule::event::Event::Pushed { pusher, .. } => pusher,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(pusher(Value::Null), None);
    assert_eq!(pusher(json!({ "id": 10137, "login": "ghost", "type": "User" })), None, "a deleted account");
    let bot = pusher(json!({ "id": 49699333, "login": "dependabot[bot]", "type": "Bot" })).unwrap();
    assert_eq!((bot.id, bot.login.as_str()), (49_699_333, "dependabot[bot]"));
}

#[tokio::test]
async fn what_is_nothing_to_us_is_kept_and_spoils_no_judgement() {
    let door = Door::new().await;
    sqlx::query(
        "INSERT INTO repository (forge, forge_id, full_name, default_branch) VALUES ('hub', 1, 'acme/shop', 'main')",
    )
    .execute(&door.database.owner)
    .await
    .unwrap();
    let many = |count: i64| -> Value { (1..=count).map(|id| json!({ "id": id, "full_name": "acme/x" })).collect() };
    let ours = payload(json!({ "action": "completed", "check_run": { "name": "bascule/preview" } }));
    for (id, (event, payload)) in [
        ("workflow_job", payload(json!({ "action": "completed" }))),
        ("status", payload(json!({ "state": "pending", "context": "ci/test" }))),
        ("status", payload(json!({ "state": "success", "context": "bascule/preview" }))),
        ("check_run", payload(json!({ "action": "created", "check_run": {} }))),
        ("check_suite", payload(json!({ "action": "requested", "check_suite": {} }))),
        ("check_run", ours),
        ("merge_group", payload(json!({ "action": "destroyed", "merge_group": {} }))),
        ("create", payload(json!({ "ref": "topic", "ref_type": "branch" }))),
        ("installation", json!({ "action": "suspend" })),
        // A later GitHub's.
        ("unheard_of", json!({ "repository": "renamed to something else" })),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(door.send(&delivery(event, &id.to_string(), &payload)).await.status, 202, "{event}");
    }
    let reasons: Vec<String> = door
        .stored()
        .await
        .into_iter()
        .map(|(id, state, reason)| format!("{id} {state}: {}", reason.unwrap()))
        .collect();
    assert_snapshot!(reasons.join("\n"), @"
    0 ignored: not an event we act on
    1 ignored: a check that is not over
    2 ignored: a status of our own
    3 ignored: nothing of it is shown or judged
    4 ignored: nothing of it is shown or judged
    5 ignored: a check of our own
    6 ignored: nothing is to be answered
    7 ignored: the push that created it is told too
    8 ignored: it names no repository
    9 ignored: not an event we act on
    ");
    assert_eq!(door.jobs().await, [""; 0]);
    let before = door.count("SELECT fact_version FROM repository").await;
    // A check that is over is looked at, where somebody waits for it, and spoils no judgement either.
    for (id, (event, payload)) in [
        ("status", payload(json!({ "state": "failure", "context": "ci/test" }))),
        ("check_run", payload(json!({ "action": "completed", "check_run": {} }))),
        ("check_suite", payload(json!({ "action": "completed", "check_suite": {} }))),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(door.send(&delivery(event, &format!("check-{id}"), &payload)).await.status, 202, "{event}");
    }
    assert_eq!(door.count("SELECT count(*) FROM job WHERE kind = 'look_at_checks'").await, 1);
    assert_eq!(door.count("SELECT fact_version FROM repository").await, before);
    assert_eq!(door.send(&delivery("pull_request", "a", &told()[0].1)).await.status, 202);
    assert!(door.count("SELECT fact_version FROM repository").await > before, "and this one does");
    assert_eq!(before, 0);
    // As many as are looked at at once.
    let hundred = json!({ "action": "created", "repositories": many(100) });
    assert_eq!(door.send(&delivery("installation", "b", &hundred)).await.status, 202);
    assert_eq!(door.count("SELECT count(*) FROM job WHERE kind = 'sweep_repository'").await, 100);
    // Of more the forge is asked, page by page; what the delivery says of them is a hint.
    let more = json!({ "action": "added", "repositories_added": many(101) });
    assert_eq!(door.send(&delivery("installation_repositories", "c", &more)).await.status, 202);
    assert_eq!(door.count("SELECT count(*) FROM job WHERE kind = 'sweep_repository'").await, 100);
    assert_eq!(door.count("SELECT count(*) FROM job WHERE kind = 'sweep_installations' AND key = 'hub'").await, 1);
}

#[tokio::test]
async fn giteas_delivery_at_a_github_is_read_as_githubs_or_not_at_all() {
    let door = Door::new().await;
    // Gitea writes GitHub's headers, too; only the address says whose a delivery is.
    let pull = json!({ "head": { "sha": HEAD } });
    let body = payload(json!({ "action": "synchronized", "number": 7, "pull_request": pull })).to_string();
    let gitea = Delivery::gitea("pull_request", "a", body.as_str());
    let hub = Delivery::github("pull_request", "a", body.as_str());
    let both = |own: &Delivery, other: &Delivery| {
        let mut both = own.clone();
        both.headers.extend(other.headers[2..].iter().cloned());
        both
    };
    assert_eq!(door.send(&gitea.clone().to("POST /webhooks/hub HTTP/1.1")).await.status, 401);
    assert_eq!(door.send(&hub.clone().to("POST /webhooks/work HTTP/1.1")).await.status, 401);
    assert_eq!(door.send(&both(&gitea, &hub)).await.status, 202);
    assert_eq!(door.jobs().await, ["attend_pull work/1#7"], "a push, as Gitea spells it");
    assert_eq!(door.send(&both(&hub, &gitea)).await.status, 202);
    let stored = door.stored().await;
    assert_eq!(stored.len(), 2);
    assert!(stored.iter().any(|(_, state, _)| state == "ignored"), "GitHub has no such action: {stored:?}");
}

#[tokio::test]
async fn a_delivery_of_githubs_is_replayed_as_githubs() {
    let door = Door::new().await;
    assert_eq!(door.send(&delivery("pull_request_review", "a", &told()[7].1)).await.status, 202);
    sqlx::query("DELETE FROM job").execute(&door.database.owner).await.unwrap();
    let id: String = sqlx::query_scalar("SELECT id::text FROM delivery").fetch_one(&door.database.owner).await.unwrap();
    let hour = SignedDuration::from_hours(1);
    let token = token::create(&door.database.pool, &door.clock, "operator", &[Scope::Operate], hour).await.unwrap();
    let replay = async || {
        let line = format!("POST /api/v1/deliveries/{id}/replay HTTP/1.1");
        let headers =
            vec![("host".to_owned(), "bascule".to_owned()), ("authorization".to_owned(), format!("Bearer {token}"))];
        door.send(&Delivery { line, headers, body: Vec::new() }).await
    };
    assert_eq!(replay().await.status, 200);
    assert_eq!(door.jobs().await, ["attend_pull hub/1#7"]);
    // A Gitea's review has its number elsewhere: read as one of those, it would be set aside.
    door.endpoints.set(std::collections::BTreeMap::new());
    let answer = replay().await;
    assert_eq!(answer.status, 409);
    assert!(answer.text.contains("not configured any more"), "{}", answer.text);
}

#[tokio::test]
async fn the_largest_delivery_that_github_sends_is_taken() {
    let door = Door::new().await;
    // GitHub does not send what would be larger than 25 MB. A push lists up to thousands of commits with all their files.
    let mut push = payload(json!({ "ref": "refs/heads/main", "before": NONE, "after": HEAD, "commits": "" }));
    push["commits"] = "x".repeat((25 << 20) - push.to_string().len()).into();
    let largest = delivery("push", "a", &push);
    assert_eq!(largest.body.len(), 25 << 20);
    assert_eq!(door.send(&largest).await.status, 202);
    assert_eq!(door.jobs().await, ["follow_branch hub/1@main"]);
    let head = format!("{}content-length: {}\r\n\r\n", delivery("push", "b", &push).head(), (25 << 20) + 1);
    assert_eq!(Client::connect(door.at).await.ask(head).await.unwrap().status, 413);
}
