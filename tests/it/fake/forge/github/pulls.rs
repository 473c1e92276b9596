//! Pull requests and their reviews.

use std::cmp::Reverse;

use serde_json::json;

use super::super::server::Call;
use super::super::state::{Pull, Repository, State};
use super::wire::{NOT_FOUND, Page, found};

pub(super) fn call(state: &State, call: &Call, at: &Repository, rest: &[&str]) -> Page {
    let number = rest.first().and_then(|number| number.parse().ok());
    let pull = number.and_then(|number| state.pull(at.id, number));
    match (call.method.as_str(), rest, pull) {
        ("GET", [], _) => list(state, call, at),
        ("GET", [_], Some(pull)) => found(state.gh_pull(pull)),
        ("GET", [_, "reviews"], Some(pull)) => {
            let mine =
                state.reviews.iter().filter(|one| (one.repository, one.number) == (pull.repository, pull.number));
            Page::List(mine.map(|review| state.gh_review(review)).collect())
        }
        ("GET", [_, "merge"], Some(pull)) if pull.merge.is_some() => found(json!({})),
        _ => NOT_FOUND,
    }
}

fn list(state: &State, call: &Call, at: &Repository) -> Page {
    let asked = |key: &str| call.query.get(key).map(String::as_str);
    let wants = |pull: &&Pull| {
        let of_state = match asked("state").unwrap_or("open") {
            "all" => true,
            "closed" => !pull.is_open,
            _ => pull.is_open,
        };
        let owner = state.repository(pull.head_repository).name.split('/').next().unwrap_or_default();
        let head = format!("{owner}:{}", pull.head);
        of_state
            && asked("base").is_none_or(|wanted| wanted == pull.base)
            && asked("head").is_none_or(|wanted| wanted == head)
    };
    let mut all: Vec<&Pull> = state.pulls.iter().filter(|pull| pull.repository == at.id).filter(wants).collect();
    let sort = asked("sort").unwrap_or("created");
    if !["created", "updated", "popularity", "long-running"].contains(&sort) {
        // The real one takes what it does not know for the default.
        all.sort_by_key(|pull| Reverse(pull.number));
    } else if sort == "updated" {
        all.sort_by_key(|pull| (pull.updated, pull.number));
    } else {
        all.sort_by_key(|pull| (pull.created, pull.number));
    }
    if asked("direction").unwrap_or(if sort == "created" { "desc" } else { "asc" }) == "desc" {
        all.reverse();
    }
    Page::List(all.into_iter().map(|pull| state.gh_pull_simple(pull)).collect())
}
