//! A project: its branches, events, statuses and hooks.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::server::Call;
use super::super::state::{Activity, Pull, Repository, State, Status};
use super::deployments;
use super::wire::{NOT_FOUND, Page, bad, found, made};

pub(super) fn call(state: &mut State, call: &Call, at: &Repository, rest: &[&str]) -> Page {
    match (call.method.as_str(), rest) {
        ("GET", []) => found(state.gl_project(at)),
        ("GET", ["repository", "branches"]) => {
            Page::List(at.branches.iter().map(|(name, tip)| state.gl_branch(name, tip)).collect())
        }
        ("GET", ["repository", "branches", name]) => match at.branches.get(*name) {
            Some(tip) => found(state.gl_branch(name, tip)),
            None => Page::Refused(StatusCode::NOT_FOUND, "404 Branch Not Found".to_owned()),
        },
        ("GET", ["events"]) => events(state, call, at),
        ("GET", ["repository", "commits", sha, "statuses"]) => match state.commits.contains_key(*sha) {
            true => {
                let mine = |status: &&Status| status.repository == at.id && status.commit == *sha;
                let mut newest: Vec<&Status> = Vec::new();
                for status in state.statuses.iter().filter(mine).rev() {
                    if !newest.iter().any(|known| known.context == status.context) {
                        newest.push(status);
                    }
                }
                newest.reverse();
                Page::List(newest.into_iter().map(|status| state.gl_status(status)).collect())
            }
            false => Page::Refused(StatusCode::NOT_FOUND, "404 Commit Not Found".to_owned()),
        },
        ("GET", ["repository", "commits", sha, "merge_requests"]) => {
            let has = |push: &super::super::state::PullPush| push.commits.iter().any(|commit| commit == sha);
            let mine = state.pulls.iter().filter(|pull| pull.repository == at.id);
            let merged_as = |pull: &Pull| pull.merge.as_ref().is_some_and(|merged| merged.commit == *sha);
            let with = mine.filter(|pull| pull.head_sha == *sha || merged_as(pull) || pull.pushes.iter().any(has));
            Page::List(with.map(|pull| state.gl_pull_in_list(pull)).collect())
        }
        (_, ["deployments", rest @ ..]) => deployments::call(state, call, at, rest),
        ("POST", ["statuses", sha]) => set_status(state, call, at, sha),
        ("POST", ["hooks"]) => {
            let url = call.text("url");
            state.hook = Some(url.clone());
            made(state.gl_hook(at, &url))
        }
        ("GET", ["hooks"]) => Page::List(state.hook.iter().map(|url| state.gl_hook(at, url)).collect()),
        _ => NOT_FOUND,
    }
}

/// What was pushed, newest first, by day; other events are not asked for.
fn events(state: &State, call: &Call, at: &Repository) -> Page {
    let asked = |key: &str| call.query.get(key).map(String::as_str);
    if asked("action") != Some("pushed") {
        return bad("action does not have a valid value");
    }
    let day = |one: &Activity| one.at.strftime("%F").to_string();
    let wants = |one: &&Activity| one.repository == at.id && asked("after").is_none_or(|after| *day(one) > *after);
    let mut all: Vec<Value> = state.activities.iter().filter(wants).map(|one| event(state, one)).collect();
    if asked("sort") != Some("asc") {
        all.reverse();
    }
    Page::List(all)
}

fn event(state: &State, one: &Activity) -> Value {
    let (action, name) = match (&one.before, &one.head) {
        (_, None) => ("removed", "deleted"),
        (None, Some(_)) => ("created", "pushed new"),
        (Some(_), Some(_)) => ("pushed", "pushed to"),
    };
    json!({
        "id": one.id,
        "project_id": one.repository,
        "action_name": name,
        "target_id": null, "target_iid": null, "target_type": null, "target_title": null,
        "author_id": state.gl_user_id(&one.by),
        "author_username": one.by,
        "author": state.gl_user(&one.by),
        "created_at": one.at,
        "push_data": {
            "commit_count": 1,
            "action": action,
            "ref_type": "branch",
            "commit_from": one.before,
            "commit_to": one.head,
            "ref": one.branch,
            "commit_title": "Change files",
            "ref_count": null,
        },
    })
}

fn set_status(state: &mut State, call: &Call, at: &Repository, sha: &str) -> Page {
    let refused = |why: &str| Page::Refused(StatusCode::NOT_FOUND, why.to_owned());
    if !state.commits.contains_key(sha) {
        return refused("404 Commit Not Found");
    }
    let word = call.text("state");
    if !["pending", "running", "success", "failed", "canceled", "skipped"].contains(&word.as_str()) {
        return bad("state does not have a valid value");
    }
    // Whatever was ever pushed to a branch that is there is on it, as far as this fake knows.
    let is_on = |one: &Activity| one.repository == at.id && at.branches.contains_key(&one.branch);
    let on_branch = state.activities.iter().any(|one| is_on(one) && one.head.as_deref() == Some(sha));
    let reference = call.text("ref");
    if reference.is_empty() && !on_branch {
        return refused("404 References for commit Not Found");
    }
    let name = [call.text("name"), call.text("context")].into_iter().find(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| "default".to_owned());
    let known = state
        .statuses
        .iter()
        .rev()
        .find(|one| (one.repository, one.commit.as_str(), one.context.as_str()) == (at.id, sha, name.as_str()));
    if word == "pending" && known.is_some_and(|known| known.state == "pending") {
        let why =
            "Cannot transition status via :enqueue from :pending (Reason(s): Status cannot transition via \"enqueue\")";
        return bad(why);
    }
    // The stories speak in the words of the other forges.
    let told = if word == "failed" { "failure".to_owned() } else { word };
    let status = Status {
        id: state.id(),
        repository: at.id,
        commit: sha.to_owned(),
        context: name,
        state: told,
        description: call.text("description"),
        target_url: call.text("target_url"),
        creator: "bascule".to_owned(),
        at: state.tick(),
    };
    let page = state.gl_status(&status);
    state.statuses.push(status);
    made(page)
}
