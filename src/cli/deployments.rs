//! How environments are named on the command line, and a deployment as a person reads it.

use serde_json::Value;

/// `[REPOSITORY:]NAME`: an environment's name holds no colon.
pub(super) fn named(environment: &str) -> (Option<String>, String) {
    match environment.rsplit_once(':') {
        Some((repository, name)) => (Some(repository.to_owned()), name.to_owned()),
        None => (None, environment.to_owned()),
    }
}

/// The state of one whose sync ended well, and that runs on until what `verify` asks for has held.
pub(super) const VERIFYING: &str = "verifying";

/// Adds the cells a person reads to a deployment.
pub(super) fn summed_up(mut deployment: Value) -> Value {
    let mut approvals = deployment["approvals"].as_array().cloned().unwrap_or_default();
    approvals.retain(|one| one["not_counted"].is_null());
    let each = |of: &dyn Fn(&Value) -> String| approvals.iter().map(of).collect::<Vec<_>>().join("; ");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let person = |one: &Value| format!("{} by {}", text(&one["person"]), text(&one["source"]));
    let change = |one: &Value| {
        let digits: String = text(&one["change"]).trim_start_matches("b1:").chars().take(12).collect();
        let exact = if one["exact"] == Value::Bool(true) { "exactly" } else { "in part" };
        format!("{digits} {exact}")
    };
    let (people, changes) = (each(&person), each(&change));
    let commit: String = text(&deployment["commit"]).chars().take(7).collect();
    let environment = format!("{}:{}", text(&deployment["repository"]), text(&deployment["environment"]));
    let set: String = text(&deployment["set"]).trim_start_matches("s1:").chars().take(12).collect();
    if deployment["state"] == "running" && deployment["outcome"].is_object() {
        deployment["state"] = VERIFYING.into();
    }
    deployment["set_short"] = Value::String(set);
    let way = deployment["rollback"].clone();
    let people = if way.is_object() {
        let by = if way["by_itself"] == Value::Bool(true) { "itself".to_owned() } else { text(&way["by"]) };
        // The account's number is for the log.
        format!("rollback of #{} to #{} by {}", way["taken_away"], way["to"], by.split(" (").next().unwrap_or_default())
    } else {
        people
    };
    deployment["approved_by"] = Value::String(people);
    deployment["approved_change"] = Value::String(changes);
    deployment["commit_short"] = Value::String(commit);
    deployment["environment"] = Value::String(environment);
    deployment
}
