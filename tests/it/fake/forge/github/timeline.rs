//! What happened in a pull request or an issue: the whole, and events alone.

use serde_json::{Value, json};

use super::super::server::Call;
use super::super::state::{Repository, State, Turn, Turned};
use super::page::object;
use super::said::said;
use super::wire::{NOT_FOUND, Page};

pub(super) fn call(state: &State, call: &Call, at: &Repository, rest: &[&str]) -> Page {
    let ["issues", number, which] = *rest else { return NOT_FOUND };
    let Ok(number) = number.parse::<i64>() else { return NOT_FOUND };
    let is_issue = state.issues.iter().any(|issue| (issue.repository, issue.number) == (at.id, number));
    if call.method != "GET" || !is_issue && state.pull(at.id, number).is_none() {
        return NOT_FOUND;
    }
    let mut all = Vec::new();
    for turn in state.turns.iter().filter(|turn| (turn.repository, turn.number) == (at.id, number)) {
        all.extend(turned(state, turn).into_iter().map(|page| (turn.id, page)));
    }
    if let Some(pull) = state.pull(at.id, number) {
        for push in &pull.pushes {
            if push.is_forced {
                let page = event(state, at, (push.id, push.at), &push.by, "head_ref_force_pushed", push.commits.last());
                all.push((push.id, page));
            } else if which == "timeline" {
                // Newest first as they are kept; and who pushed them is not told, only whose they say they are.
                all.extend(push.commits.iter().rev().map(|sha| (push.id, committed(state, at, sha))));
            }
        }
    }
    if which == "timeline" {
        let of_it = |repository: i64, its: i64| (repository, its) == (at.id, number);
        for review in state.reviews.iter().filter(|review| of_it(review.repository, review.number)) {
            let mut page = state.gh_review(review);
            page["event"] = "reviewed".into();
            page["updated_at"] = json!(review.updated);
            page["state"] = if review.dismissed { "dismissed".into() } else { said(review.says).to_lowercase().into() };
            all.push((review.id, page));
        }
        for comment in state.comments.iter().filter(|said| of_it(said.repository, said.number) && !said.of_review) {
            let mut page = state.gh_comment(comment);
            page["event"] = "commented".into();
            page["actor"] = page["user"].clone();
            all.push((comment.id, page));
        }
    }
    all.sort_by_key(|(id, _)| *id);
    Page::List(all.into_iter().map(|(_, page)| page).collect())
}

fn event(
    state: &State,
    at: &Repository,
    (id, time): (i64, jiff::Timestamp),
    by: &str,
    what: &str,
    commit: Option<&String>,
) -> Value {
    let url = |sha: &String| state.gh_repository_url(at.id, &format!("commits/{sha}"));
    json!({
        "id": id,
        "node_id": format!("E_{id}"),
        "url": state.gh_repository_url(at.id, &format!("issues/events/{id}")),
        "actor": state.gh_user(by),
        "event": what,
        "commit_id": commit,
        "commit_url": commit.map(url),
        "created_at": time,
        "performed_via_github_app": null,
    })
}

/// One event, or two where a merge also closes.
fn turned(state: &State, turn: &Turn) -> Vec<Value> {
    let at = state.repository(turn.repository);
    let one = |what: &str, commit: Option<&String>| event(state, at, (turn.id, turn.at), &turn.by, what, commit);
    let with = |what: &str, more: Value| {
        let mut page = one(what, None);
        page.as_object_mut().unwrap().extend(object(more));
        page
    };
    match &turn.what {
        Turned::Closed => vec![with("closed", json!({ "state_reason": null }))],
        Turned::Merged(commit) => vec![one("merged", Some(commit)), with("closed", json!({ "state_reason": null }))],
        Turned::Reopened => vec![with("reopened", json!({ "state_reason": null }))],
        // The branches are not told.
        Turned::Retargeted(..) => vec![one("base_ref_changed", None)],
        Turned::Titled(from, to) => vec![with("renamed", json!({ "rename": { "from": from, "to": to } }))],
        Turned::Drafted => vec![one("convert_to_draft", None)],
        Turned::Readied => vec![one("ready_for_review", None)],
        Turned::Dismissed(review, says) => {
            let told = json!({ "state": said(*says).to_lowercase(), "review_id": review, "dismissal_message": "" });
            vec![with("review_dismissed", json!({ "dismissed_review": told }))]
        }
    }
}

fn committed(state: &State, at: &Repository, sha: &str) -> Value {
    let page = state.gh_commit(at.id, sha);
    json!({
        "event": "committed",
        "sha": sha,
        "node_id": page["node_id"],
        "url": page["commit"]["url"],
        "html_url": page["html_url"],
        "author": page["commit"]["author"],
        "committer": page["commit"]["committer"],
        "tree": page["commit"]["tree"],
        "message": page["commit"]["message"],
        "parents": [],
        "verification": page["commit"]["verification"],
    })
}
