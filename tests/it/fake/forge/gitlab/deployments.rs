//! The deployments of a project's environments, which are there when something is deployed to them.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::server::Call;
use super::super::state::{Deployment, DeploymentWord, Repository, State};
use super::wire::{NOT_FOUND, Page, bad, found, made};

/// What one may be made as, or become.
const STATES: [&str; 4] = ["running", "success", "failed", "canceled"];

/// Below `deployments`.
pub(super) fn call(state: &mut State, call: &Call, at: &Repository, rest: &[&str]) -> Page {
    let find = |state: &State, id: &str| {
        state.deployments.iter().position(|one| one.id.to_string() == id && one.repository == at.id)
    };
    match (call.method.as_str(), rest) {
        ("GET", []) => {
            let asked = |key: &str| call.query.get(key).map(String::as_str);
            let wants = |one: &&Deployment| {
                one.repository == at.id && asked("environment").is_none_or(|name| name == one.environment)
            };
            // Oldest first, unless it is asked for otherwise.
            Page::List(state.deployments.iter().filter(wants).map(|one| state.gl_deployment(one)).collect())
        }
        ("POST", []) => {
            let needed = ["environment", "sha", "ref", "status"];
            if let Some(lacking) = needed.iter().find(|key| call.text(key).is_empty()) {
                return bad(&format!("{lacking} is missing"));
            }
            if !call.body["tag"].is_boolean() || !STATES.contains(&call.text("status").as_str()) {
                return bad("status does not have a valid value");
            }
            if !state.commits.contains_key(&call.text("sha")) {
                return bad("The branch or tag does not exist");
            }
            let (id, at_time) = (state.id(), state.tick());
            let word = DeploymentWord {
                id,
                state: call.text("status"),
                description: String::new(),
                url: String::new(),
                at: at_time,
            };
            let deployment = Deployment {
                id,
                repository: at.id,
                commit: call.text("sha"),
                reference: call.text("ref"),
                environment: call.text("environment"),
                description: String::new(),
                payload: Value::Null,
                creator: "bascule".to_owned(),
                words: vec![word],
                at: at_time,
            };
            let page = state.gl_deployment(&deployment);
            state.deployments.push(deployment);
            made(page)
        }
        ("GET", [id]) => match find(state, id) {
            Some(place) => found(state.gl_deployment(&state.deployments[place])),
            None => Page::Refused(StatusCode::NOT_FOUND, "404 Deployment Not Found".to_owned()),
        },
        ("PUT", [id]) => {
            let Some(place) = find(state, id) else {
                return Page::Refused(StatusCode::NOT_FOUND, "404 Deployment Not Found".to_owned());
            };
            let wanted = call.text("status");
            let now = state.deployments[place].words.last().map(|word| word.state.clone()).unwrap_or_default();
            if now == wanted || !STATES.contains(&wanted.as_str()) {
                return bad(&format!("Status cannot transition via :{wanted} from :{now}"));
            }
            let (id, at) = (state.id(), state.tick());
            let word = DeploymentWord { id, state: wanted, description: String::new(), url: String::new(), at };
            state.deployments[place].words.push(word);
            found(state.gl_deployment(&state.deployments[place]))
        }
        _ => NOT_FOUND,
    }
}

impl State {
    fn gl_deployment(&self, one: &Deployment) -> Value {
        let newest = one.words.last().expect("made in a state");
        json!({
            "id": one.id,
            "iid": one.id,
            "ref": one.reference,
            "sha": one.commit,
            "created_at": one.at,
            "updated_at": newest.at,
            "user": self.gl_user(&one.creator),
            "environment": { "id": one.environment.len(), "name": one.environment, "external_url": null },
            "deployable": null,
            "status": newest.state,
        })
    }
}
