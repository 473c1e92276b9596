//! The log of what was delivered, and what was lost: an app's, or that of a repository's webhook.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::hook::Try;
use super::super::server::Call;
use super::super::state::State;
use super::wire::{NOT_FOUND, Page};

/// `repository`: whose webhook's; all that an app is told.
pub(super) fn call(state: &mut State, call: &Call, repository: Option<i64>, rest: &[&str]) -> Page {
    let is_here = |one: &&Try| repository.is_none_or(|id| about(one) == Some(id));
    match (call.method.as_str(), rest) {
        ("GET", []) => {
            let wanted = call.query.get("status").map(String::as_str);
            let is_wanted = |one: &&Try| wanted.is_none_or(|status| (status == "success") == went_well(one));
            let shown = state.tries.iter().rev().filter(is_here).filter(is_wanted).map(|one| page(state, one));
            Page::ByCursor("cursor", shown.collect())
        }
        ("POST", [id, "attempts"]) => {
            let Some(one) = state.tries.iter().filter(is_here).find(|one| one.id.to_string() == *id) else {
                return NOT_FOUND;
            };
            state.again.push(one.delivery.clone());
            Page::One(StatusCode::ACCEPTED, json!({}))
        }
        _ => NOT_FOUND,
    }
}

fn about(one: &Try) -> Option<i64> {
    let body: Value = serde_json::from_slice(&one.delivery.body).unwrap();
    body["repository"]["id"].as_i64()
}

fn went_well(one: &Try) -> bool {
    one.answered.is_some_and(|status| (200..300).contains(&status))
}

fn page(state: &State, one: &Try) -> Value {
    let body: Value = serde_json::from_slice(&one.delivery.body).unwrap();
    let is_first = state.tries.iter().find(|other| other.delivery.id == one.delivery.id).unwrap().id == one.id;
    json!({
        "id": one.id,
        "guid": one.delivery.id,
        "delivered_at": one.at,
        "redelivery": !is_first,
        "duration": 0.27,
        "status": match one.answered {
            None => "failed to connect",
            Some(_) if went_well(one) => "OK",
            Some(_) => "Invalid HTTP Response",
        },
        "status_code": one.answered.unwrap_or(502),
        "event": one.delivery.event,
        "action": body["action"],
        "installation_id": body["installation"]["id"],
        "repository_id": about(one),
        "throttled_at": null,
    })
}
