//! A repository: its branches, pushes, commits, statuses and hooks.

use serde_json::{Value, json};

use super::super::server::Call;
use super::super::state::{Activity, Moved, Repository, State, Status};
use super::app::Caller;
use super::checks;
use super::deliveries;
use super::deployments;
use super::wire::{NOT_FOUND, Page, found, made};

/// The longest line beside a status.
const LONGEST_DESCRIPTION: usize = 140;

pub(super) fn call(state: &mut State, caller: &Caller, call: &Call, at: &Repository, rest: &[&str]) -> Page {
    match (call.method.as_str(), rest) {
        ("GET", []) => found(state.gh_full_repository(at)),
        ("GET", ["branches"]) => {
            let page = |(name, tip): (&String, &String)| {
                let url = state.gh_repository_url(at.id, &format!("commits/{tip}"));
                json!({ "name": name, "commit": { "sha": tip, "url": url }, "protected": false })
            };
            Page::List(at.branches.iter().map(page).collect())
        }
        ("GET", ["branches", name @ ..]) => {
            let name = name.join("/");
            match at.branches.get(&name) {
                Some(tip) => found(state.gh_branch(at, &name, tip)),
                None => Page::Refused(axum::http::StatusCode::NOT_FOUND, "Branch not found".to_owned()),
            }
        }
        ("GET", ["activity"]) => activity(state, call, at),
        ("GET", ["commits", reference, "statuses"]) => match commit_of(state, at, reference) {
            Some(sha) => Page::List(newest_first(state, at, &sha).map(|one| state.gh_status(one)).collect()),
            None => NOT_FOUND,
        },
        ("GET", ["commits", reference, "check-runs"]) => match commit_of(state, at, reference) {
            Some(sha) => checks::of_commit(state, call, at, &sha),
            None => no_commit(reference),
        },
        ("GET", ["commits", reference, "status"]) => match commit_of(state, at, reference) {
            Some(sha) => combined(state, at, &sha),
            None => NOT_FOUND,
        },
        ("GET", ["commits", reference @ ..]) => {
            let reference = reference.join("/");
            match commit_of(state, at, &reference) {
                Some(sha) => found(state.gh_commit(at.id, &sha)),
                None => no_commit(&reference),
            }
        }
        (_, ["check-runs", rest @ ..]) => checks::call(state, caller, call, at, rest),
        (_, ["deployments", rest @ ..]) => deployments::call(state, caller, call, at, rest),
        ("POST", ["statuses", sha]) => set_status(state, caller, call, at, sha),
        ("GET", ["hooks"]) => {
            let hooks = state.hook_name.iter().chain(&state.hook).take(1).map(|url| state.gh_hook(at, url));
            Page::List(hooks.collect())
        }
        (_, ["hooks", "1", "deliveries", rest @ ..]) => deliveries::call(state, call, Some(at.id), rest),
        _ => NOT_FOUND,
    }
}

/// As it is said of one: not "not found".
fn no_commit(reference: &str) -> Page {
    let why = format!("No commit found for SHA: {reference}");
    Page::Refused(axum::http::StatusCode::UNPROCESSABLE_ENTITY, why)
}

fn commit_of(state: &State, at: &Repository, reference: &str) -> Option<String> {
    let name = reference.trim_start_matches("heads/");
    let sha = at.branches.get(name).cloned().unwrap_or_else(|| reference.to_owned());
    state.commits.contains_key(&sha).then_some(sha)
}

/// Newest first, page by page after a cursor. The pushes of a branch from before it was made are nobody's.
fn activity(state: &State, call: &Call, at: &Repository) -> Page {
    let asked = |key: &str| call.query.get(key).map(String::as_str);
    let wants = |one: &&Activity| {
        let reference = format!("refs/heads/{}", one.branch);
        asked("ref").is_none_or(|wanted| wanted == one.branch || wanted == reference)
            && asked("actor").is_none_or(|wanted| wanted == one.by)
            && asked("activity_type").is_none_or(|wanted| wanted == kind(one))
    };
    let mine = state.activities.iter().filter(|one| one.repository == at.id).filter(wants);
    let mut all: Vec<Value> = mine.map(|one| page(state, one)).collect();
    if asked("direction") != Some("asc") {
        all.reverse();
    }
    Page::ByCursor("after", all)
}

fn kind(one: &Activity) -> &'static str {
    match (one.how, &one.before, &one.head) {
        (_, _, None) => "branch_deletion",
        (_, None, Some(_)) => "branch_creation",
        (Moved::Merged, ..) => "pr_merge",
        (Moved::Forced, ..) => "force_push",
        (Moved::Pushed, ..) => "push",
    }
}

fn page(state: &State, one: &Activity) -> Value {
    let nothing = "0".repeat(40);
    json!({
        "id": one.id,
        "node_id": format!("PSH_{}", one.id),
        "before": one.before.as_ref().unwrap_or(&nothing),
        "after": one.head.as_ref().unwrap_or(&nothing),
        "ref": format!("refs/heads/{}", one.branch),
        "timestamp": one.at,
        "activity_type": kind(one),
        "actor": state.gh_user(&one.by),
    })
}

fn newest_first<'a>(state: &'a State, at: &Repository, sha: &str) -> impl Iterator<Item = &'a Status> {
    let (id, sha) = (at.id, sha.to_owned());
    state.statuses.iter().rev().filter(move |status| status.repository == id && status.commit == sha)
}

/// The newest of each context, and what they come to.
fn combined(state: &State, at: &Repository, sha: &str) -> Page {
    let mut newest: Vec<&Status> = Vec::new();
    for status in newest_first(state, at, sha) {
        if !newest.iter().any(|known| known.context.eq_ignore_ascii_case(&status.context)) {
            newest.push(status);
        }
    }
    let any = |states: &[&str]| newest.iter().any(|status| states.contains(&status.state.as_str()));
    let whole = match () {
        () if any(&["failure", "error"]) => "failure",
        () if newest.is_empty() || any(&["pending"]) => "pending",
        () => "success",
    };
    let beside = json!({
        "state": whole,
        "sha": sha,
        "total_count": newest.len(),
        "repository": state.gh_repository(at),
        "commit_url": state.gh_repository_url(at.id, &format!("commits/{sha}")),
        "url": state.gh_repository_url(at.id, &format!("commits/{sha}/status")),
    });
    let pages = newest.into_iter().map(|status| {
        let mut page = state.gh_status(status);
        // The short form does not say whose it is.
        page.as_object_mut().unwrap().remove("creator");
        page
    });
    Page::Within("statuses", pages.collect(), beside)
}

fn set_status(state: &mut State, caller: &Caller, call: &Call, at: &Repository, sha: &str) -> Page {
    let invalid = |field, why: String| Page::Invalid { resource: "Status", field, why };
    if !state.commits.contains_key(sha) {
        return no_commit(sha);
    }
    if !["error", "failure", "pending", "success"].contains(&call.text("state").as_str()) {
        return invalid("state", "state is not included in the list".to_owned());
    }
    if call.text("description").chars().count() > LONGEST_DESCRIPTION {
        return invalid(
            "description",
            format!("description is too long (maximum is {LONGEST_DESCRIPTION} characters)"),
        );
    }
    let url = call.text("target_url");
    if !url.is_empty() && !url.starts_with("http://") && !url.starts_with("https://") {
        return invalid("target_url", "target_url must use http(s) scheme".to_owned());
    }
    let context = Some(call.text("context")).filter(|context| !context.is_empty());
    let status = Status {
        id: state.id(),
        repository: at.id,
        commit: sha.to_owned(),
        context: context.unwrap_or_else(|| "default".to_owned()),
        state: call.text("state"),
        description: call.text("description"),
        target_url: url,
        creator: caller.login().to_owned(),
        at: state.tick(),
    };
    let page = state.gh_status(&status);
    state.statuses.push(status);
    made(page)
}
