//! The page of deployments.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::server::Call;
use super::super::state::{Deployment, DeploymentWord, Repository, State};
use super::app::Caller;
use super::wire::{NOT_FOUND, Page, found, made};

const STATES: [&str; 7] = ["error", "failure", "inactive", "in_progress", "queued", "pending", "success"];

/// Below `deployments`.
pub(super) fn call(state: &mut State, caller: &Caller, call: &Call, at: &Repository, rest: &[&str]) -> Page {
    let invalid = |field, why: &str| Page::Invalid { resource: "Deployment", field, why: why.to_owned() };
    let find = |state: &State, id: &str| {
        state.deployments.iter().position(|one| one.id.to_string() == id && one.repository == at.id)
    };
    match (call.method.as_str(), rest) {
        ("GET", []) => {
            let asked = |key: &str| call.query.get(key).map(String::as_str);
            let wants = |one: &&Deployment| {
                one.repository == at.id
                    && asked("sha").is_none_or(|sha| sha == one.commit)
                    && asked("environment").is_none_or(|environment| environment == one.environment)
            };
            Page::List(state.deployments.iter().rev().filter(wants).map(|one| state.gh_deployment(one)).collect())
        }
        ("POST", []) => {
            let reference = call.text("ref");
            let commit = at.branches.get(&reference).cloned().unwrap_or_else(|| reference.clone());
            if !state.commits.contains_key(&commit) {
                let why = format!("No ref found for: {reference}");
                return Page::Refused(StatusCode::UNPROCESSABLE_ENTITY, why);
            }
            if call.body["auto_merge"] != false || call.body["required_contexts"] != json!([]) {
                // What is behind its branch is merged, and what is not green refused.
                return Page::Refused(StatusCode::CONFLICT, "Conflict: Commit status checks failed".to_owned());
            }
            let environment = Some(call.text("environment")).filter(|name| !name.is_empty());
            let deployment = Deployment {
                id: state.id(),
                repository: at.id,
                commit,
                reference,
                environment: environment.unwrap_or_else(|| "production".to_owned()),
                description: call.text("description"),
                payload: call.body["payload"].clone(),
                creator: caller.login().to_owned(),
                words: Vec::new(),
                at: state.tick(),
            };
            let page = state.gh_deployment(&deployment);
            state.deployments.push(deployment);
            made(page)
        }
        ("GET", [id]) => match find(state, id) {
            Some(place) => found(state.gh_deployment(&state.deployments[place])),
            None => NOT_FOUND,
        },
        ("GET", [id, "statuses"]) => match find(state, id) {
            Some(place) => {
                let one = &state.deployments[place];
                Page::List(one.words.iter().rev().map(|word| state.gh_deployment_word(one, word)).collect())
            }
            None => NOT_FOUND,
        },
        ("POST", [id, "statuses"]) => {
            let Some(place) = find(state, id) else { return NOT_FOUND };
            if !STATES.contains(&call.text("state").as_str()) {
                return invalid("state", "is not included in the list");
            }
            if call.text("description").chars().count() > 140 {
                return invalid("description", "is too long (maximum is 140 characters)");
            }
            let word = DeploymentWord {
                id: state.id(),
                state: call.text("state"),
                description: call.text("description"),
                url: call.text("log_url"),
                at: state.tick(),
            };
            state.deployments[place].words.push(word.clone());
            made(state.gh_deployment_word(&state.deployments[place], &word))
        }
        _ => NOT_FOUND,
    }
}

impl State {
    fn gh_deployment(&self, one: &Deployment) -> Value {
        let url = self.gh_repository_url(one.repository, &format!("deployments/{}", one.id));
        json!({
            "url": url,
            "id": one.id,
            "node_id": format!("DE_{}", one.id),
            "sha": one.commit,
            "ref": one.reference,
            "task": "deploy",
            "payload": one.payload,
            "original_environment": one.environment,
            "environment": one.environment,
            "description": one.description,
            "creator": self.gh_user(&one.creator),
            "created_at": one.at,
            "updated_at": one.words.last().map_or(one.at, |word| word.at),
            "statuses_url": format!("{url}/statuses"),
            "repository_url": self.gh_repository_url(one.repository, ""),
            "transient_environment": false,
            "production_environment": one.environment == "production",
            "performed_via_github_app": null,
        })
    }

    fn gh_deployment_word(&self, one: &Deployment, word: &DeploymentWord) -> Value {
        let deployment = self.gh_repository_url(one.repository, &format!("deployments/{}", one.id));
        json!({
            "url": format!("{deployment}/statuses/{}", word.id),
            "id": word.id,
            "node_id": format!("DES_{}", word.id),
            "state": word.state,
            "creator": self.gh_user(&one.creator),
            "description": word.description,
            "environment": one.environment,
            "target_url": word.url,
            "created_at": word.at,
            "updated_at": word.at,
            "deployment_url": deployment,
            "repository_url": self.gh_repository_url(one.repository, ""),
            "log_url": word.url,
            "performed_via_github_app": null,
        })
    }
}
