//! Every recorded delivery, and what must not be believed.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::*;

fn work() -> ForgeName {
    "work".parse().unwrap()
}

/// `tests/fixtures/gitea/{name}`: the event's header and the body.
fn recorded(name: &str) -> (String, Vec<u8>) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gitea");
    let headers = std::fs::read_to_string(folder.join(format!("{name}.headers"))).unwrap();
    let event = headers.lines().find_map(|line| line.strip_prefix("X-Gitea-Event: ")).unwrap();
    (event.to_owned(), std::fs::read(folder.join(format!("{name}.json"))).unwrap())
}

fn told(delivered: &Delivered) -> String {
    let who =
        |account: &Option<Account>| account.as_ref().map_or("nobody".to_owned(), |a| format!("{} ({})", a.login, a.id));
    let id = |account: &Option<i64>| account.map_or("somebody".to_owned(), |id| id.to_string());
    let at = |commit: &Option<CommitId>| commit.as_ref().map_or("nothing".to_owned(), |c| c.short().to_owned());
    let what = match &delivered.event {
        Event::PullChanged { number, head_push: None } => format!("pull {number} changed"),
        Event::PullChanged { number, head_push: Some(push) } => {
            format!("pull {number} changed: {} ({}) pushed {}", push.pusher.login, push.pusher.id, push.after.short())
        }
        Event::ReviewChanged { number } => format!("a review of {number} changed"),
        Event::ReviewEdited { number, review } => format!("review {review} of {number} edited"),
        Event::LookAsked { numbers, .. } => format!("a look at {numbers:?} asked"),
        Event::CommentCreated { number, comment, by } => {
            format!("comment {comment} on {number} created by {}", id(by))
        }
        Event::CommentEdited { number, comment, by } => format!("comment {comment} on {number} edited by {}", id(by)),
        Event::Pushed { branch, before, after, pusher } => {
            format!("{} moved {branch} from {} to {}", who(pusher), at(before), at(after))
        }
        Event::GroupFormed { branch } => format!("{branch} is to be judged"),
        Event::ChecksChanged => "a check changed".to_owned(),
        Event::RepositoryChanged => "the repository changed".to_owned(),
        Event::InstallationChanged => "an installation changed".to_owned(),
        Event::Ping => "a ping".to_owned(),
        Event::Ignored { why } => format!("ignored: {why}"),
    };
    let repository = delivered.repositories.first().map_or("-".to_owned(), |r| format!("{} ({})", r.full_name, r.id));
    format!("{repository}: {what}")
}

/// As Gitea 1.26 writes it (`modules/structs/hook.go`, `CommitStatusPayload`).
#[test]
fn a_status_of_somebody_elses_that_is_over_is_news() {
    let read = |state: &str, context: &str| {
        let body = serde_json::json!({
            "commit": { "id": "1".repeat(40) }, "context": context, "created_at": "2026-01-05T09:00:00Z",
            "description": "", "id": 7, "repository": { "id": 1, "full_name": "acme/shop" },
            "sender": { "id": 2, "login": "ci" }, "sha": "1".repeat(40), "state": state, "target_url": "",
            "updated_at": null,
        });
        told(&super::read(&work(), "status", body.to_string().as_bytes()).unwrap())
    };
    assert_eq!(read("success", "ci/test"), "acme/shop (1): a check changed");
    assert_eq!(read("failure", "ci/test"), "acme/shop (1): a check changed");
    assert_eq!(read("pending", "ci/test"), "-: ignored: a check that is not over");
    assert_eq!(read("success", "bascule/consent"), "-: ignored: a status of our own");
}

#[test]
fn every_recorded_delivery_is_read() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gitea");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".headers").map(str::to_owned))
        .collect();
    names.sort();
    let lines: Vec<String> = names
        .iter()
        .map(|name| {
            let (event, body) = recorded(name);
            format!("{name:24} {}", told(&read(&work(), &event, &body).unwrap()))
        })
        .collect();
    assert_snapshot!(lines.join("\n"), @r"
    branch-created           acme/shop (1): ignored: the push that created it is told too
    branch-deleted           acme/shop (1): alice (2) moved change-1 from nothing to nothing
    comment-created          acme/shop (1): comment 4 on 1 created by 3
    comment-deleted          acme/shop (1): comment 4 on 1 edited by somebody
    comment-edited           acme/shop (1): comment 4 on 1 edited by 3
    issue-comment-created    acme/shop (1): comment 40 on 7 created by 3
    issue-opened             acme/shop (1): ignored: not an event we act on
    pull-closed              acme/shop (1): pull 1 changed
    pull-head-moved          acme/shop (1): pull 1 changed: bob (3) pushed 963388d
    pull-merged              acme/shop (1): pull 1 changed
    pull-opened              acme/shop (1): pull 1 changed
    pull-reopened            acme/shop (1): pull 1 changed
    pull-retargeted          acme/shop (1): pull 1 changed
    pull-title-edited        acme/shop (1): pull 1 changed
    push                     acme/shop (1): bob (3) moved change-1 from 0a40ef2 to 963388d
    push-forced              acme/shop (1): bob (3) moved change-review from 99a1636 to 272b04b
    push-new-branch          acme/shop (1): alice (2) moved change-1 from nothing to 0a40ef2
    push-of-a-merge          acme/shop (1): carol (4) moved main from d13adf6 to fecf027
    push-tag                 acme/shop (1): ignored: not a push to a branch
    repository-created       acme/other (2): the repository changed
    repository-deleted       acme/renamed (2): the repository changed
    review-approved          acme/shop (1): a review of 1 changed
    review-changes-requested acme/shop (1): a review of 1 changed
    review-commented         acme/shop (1): a review of 1 changed
    review-text-edited       acme/shop (1): comment 29 on 6 edited by 3
    tag-deleted              acme/shop (1): ignored: not a push to a branch
    webhook-tried            acme/shop (1): a ping
    ");
}

#[test]
fn a_recorded_delivery_verifies_under_its_secret_and_no_other() {
    use crate::webhook::signature::{Kind, claimed, verify};
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gitea");
    let text = std::fs::read_to_string(folder.join("pull-opened.headers")).unwrap();
    let headers: axum::http::HeaderMap = text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.parse::<axum::http::HeaderName>().unwrap(), value.parse().unwrap()))
        .collect();
    let signature = claimed(Kind::Gitea, &headers).unwrap();
    let (_, body) = recorded("pull-opened");
    verify(&["fixture-secret".to_owned().into()], &signature, &body, jiff::Timestamp::UNIX_EPOCH).unwrap();
    assert!(verify(&["another-secret".to_owned().into()], &signature, &body, jiff::Timestamp::UNIX_EPOCH).is_err());
}

/// A recorded delivery with one value replaced.
fn altered(name: &str, pointer: &str, value: Value) -> Result<Delivered, Unreadable> {
    let (event, body) = recorded(name);
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    *body.pointer_mut(pointer).unwrap_or_else(|| panic!("{name} has no {pointer}")) = value;
    read(&work(), &event, &serde_json::to_vec(&body).unwrap())
}

#[test]
fn numbers_commits_and_names_that_are_none_make_a_delivery_unreadable() {
    let bad_numbers =
        || [json!(null), json!(-1), json!(0), json!(1.5), json!("1"), json!(u64::MAX), json!([]), json!({})];
    for value in bad_numbers() {
        for (name, pointer) in [
            ("pull-opened", "/number"),
            ("pull-opened", "/repository/id"),
            ("review-approved", "/number"),
            ("comment-created", "/comment/id"),
            ("comment-created", "/issue/number"),
        ] {
            assert!(altered(name, pointer, value.clone()).is_err(), "{name}{pointer} = {value}");
        }
    }
    for value in [json!(null), json!("main"), json!("abc"), json!("A".repeat(40)), json!([])] {
        assert!(altered("push", "/after", value.clone()).is_err(), "after = {value}");
    }
    for value in [json!("refs/heads/"), json!("refs/heads/a\nb"), json!("refs/heads/\u{1b}[0m"), json!(7)] {
        assert!(altered("push", "/ref", value.clone()).is_err(), "ref = {value}");
    }
    assert!(altered("push", "/repository", json!(null)).is_err());
    assert!(altered("push", "/repository/full_name", json!("a/b\nc")).is_err());
    assert!(altered("pull-opened", "/action", json!(null)).is_err());
}

#[test]
fn what_is_not_json_or_is_made_to_hurt_is_unreadable() {
    let deep = "[".repeat(100_000);
    let hidden =
        format!("{{\"x\":{}1{},\"repository\":{{\"id\":1,\"full_name\":\"a/b\"}}}}", "[".repeat(99), "]".repeat(99));
    for event in ["push", "pull_request", "issue_comment", "repository", "ping", "unheard_of"] {
        for body in [deep.as_str(), hidden.as_str(), "", "null", "[]", "7", "{", "\u{feff}{}", "{\"repository\":[]}"] {
            let body_is_fine = matches!(event, "ping" | "unheard_of") && body == "{}";
            assert!(
                body_is_fine || read(&work(), event, body.as_bytes()).is_err(),
                "{event}: {}",
                &body[..body.len().min(40)]
            );
        }
        assert!(read(&work(), event, b"\xff\xfe{}").is_err(), "{event}: not UTF-8");
    }
}

#[test]
fn what_we_do_not_know_is_ignored_and_what_is_not_there_is_nobody() {
    let ignored = |delivered: Result<Delivered, Unreadable>| matches!(delivered.unwrap().event, Event::Ignored { .. });
    assert!(ignored(read(&work(), "unheard_of", b"{}")));
    assert!(ignored(altered("pull-opened", "/action", json!("labeled"))));
    assert!(ignored(altered("comment-created", "/action", json!("pinned"))));
    let pusher = |value| match altered("push", "/pusher", value).unwrap().event {
        Event::Pushed { pusher, .. } => pusher,
        other => panic!("{other:?}"),
    };
    assert_eq!(pusher(json!(null)), None);
    assert_eq!(pusher(json!({ "id": -1, "login": "Ghost" })), None);
    assert_eq!(
        pusher(json!({ "id": -2, "login": "gitea-actions" })).map(|account| account.id),
        Some(-2),
        "no person, but known"
    );
}
