//! From what is written to what is sent: only what a person may wish for.
//!
//! * What the server alone sets (`metadata.uid`, `resourceVersion`, `managedFields` …, a null `creationTimestamp`
//!   wherever generators leave one) is dropped: an exported object can be committed as it is. `status` of built-in kinds
//!   too; a custom kind may use it as plain data, and the server drops it where it is not.
//! * A Secret's `stringData` becomes `data`. Sent as it is, a key later dropped from it would never be deleted, and
//!   drift would be invisible.
//! * Our own annotations are refused: `bascule.dev/environment` is written by the sync alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::OUR_PREFIX;
use super::checks::check;
use super::error::Problem;
use super::identity::Identity;
use super::scope::is_built_in_group;
use super::{hooks, sealed};

const SERVER_ONLY: &[&str] = &[
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Brings a manifest into the shape that is hashed and sent.
pub(super) fn shape(json: &mut Map<String, Value>, identity: &Identity) -> Result<(), Vec<Problem>> {
    let is_secret = identity.group.is_empty() && identity.kind == "Secret";
    let sealed = sealed::faults(json, is_secret);
    if !sealed.is_empty() {
        return Err(sealed.into_iter().map(Problem::Sealed).collect());
    }
    let mut problems = marks(json);
    if is_built_in_group(&identity.group) {
        json.remove("status");
    }
    if let Some(metadata) = json.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !SERVER_ONLY.contains(&key.as_str()));
        // Empty or null is the same as absent; the server does not even record who owns it.
        for key in ["annotations", "labels"] {
            if metadata.get(key).is_some_and(|map| map.is_null() || map.as_object().is_some_and(Map::is_empty)) {
                metadata.remove(key);
            }
        }
    }
    for value in json.values_mut() {
        drop_null_timestamps(value);
    }
    problems.extend(check(json, identity));
    // What is sealed stays as it is written: it is brought into shape when it is opened.
    if is_secret && json.contains_key(sealed::BLOCK) {
        if hooks::hook(&Value::Object(json.clone())).is_some() {
            let why = "is a hook, and a sealed Secret cannot be one: make it an object of the set";
            problems.push(Problem::Sealed(why.to_owned()));
        }
    } else if is_secret {
        problems.extend(secret(json));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Pod templates and volume claim templates written by Go programs carry `metadata.creationTimestamp: null`.
fn drop_null_timestamps(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut)
                && metadata.get("creationTimestamp").is_some_and(Value::is_null)
            {
                metadata.remove("creationTimestamp");
            }
            map.values_mut().for_each(drop_null_timestamps);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_null_timestamps),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn marks(json: &Map<String, Value>) -> Vec<Problem> {
    let metadata = json.get("metadata");
    let of = |what: &str| metadata.and_then(|metadata| metadata.get(what)).and_then(Value::as_object);
    let all = ["annotations", "labels"].into_iter().filter_map(of).flatten();
    let ours = all.filter_map(|(key, value)| Some((key.strip_prefix(OUR_PREFIX)?, value)));
    let refusal = |(name, value): (&str, &Value)| match (name, value.as_str()) {
        ("prune", Some("never")) => None,
        ("prune", _) => {
            Some(format!("carries {OUR_PREFIX}prune with another value than `never`, the only one it takes"))
        }
        ("environment", _) => Some(format!("carries {OUR_PREFIX}environment, which only a sync writes: remove it")),
        ("wave", Some(wave)) if wave.trim().parse::<i64>().is_ok() => None,
        ("wave", _) => Some(format!("carries {OUR_PREFIX}wave with something else than a whole number in quotes")),
        ("hook", Some("pre-sync" | "post-sync")) => None,
        ("hook", _) => Some(format!("carries {OUR_PREFIX}hook with another value than `pre-sync` or `post-sync`")),
        ("hook-delete-policy", Some(_)) => None,
        ("hook-run", _) => Some(format!("carries {OUR_PREFIX}hook-run, which only a sync writes: remove it")),
        _ => Some(format!("carries an annotation or label under {OUR_PREFIX} that does not exist: remove it")),
    };
    ours.filter_map(refusal).map(Problem::OurMark).collect()
}

/// A Secret's values as the API server takes them; nothing that is said of them quotes one.
pub(super) fn secret(json: &mut Map<String, Value>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut bad = |key: &str, why: &str| {
        let key: String = key.chars().take(80).flat_map(char::escape_debug).collect();
        problems.push(Problem::BadSecret(format!("its key `{key}` {why}")));
    };
    let mut data = match json.remove("data") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(map)) => map,
        Some(_) => {
            return vec![Problem::BadSecret("its data is not a mapping of names to base64".to_owned())];
        }
    };
    for (key, value) in &mut data {
        // Line breaks and spaces inside base64 are what editors and `base64` itself leave; the server drops them too.
        let text = value.as_str().map(|text| text.split_ascii_whitespace().collect::<String>());
        match text.map(|text| STANDARD.decode(text)) {
            Some(Ok(bytes)) => *value = STANDARD.encode(bytes).into(),
            Some(Err(_)) => bad(key, "in data is not base64: use stringData for plain text"),
            None if value.is_null() => *value = "".into(),
            None => bad(key, "in data is not text: quote it"),
        }
    }
    match json.remove("stringData") {
        None | Some(Value::Null) => {}
        Some(Value::Object(map)) => {
            for (key, value) in map {
                match value {
                    Value::String(text) => {
                        data.insert(key, STANDARD.encode(text).into());
                    }
                    Value::Null => {
                        data.insert(key, "".into());
                    }
                    Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                        bad(&key, "in stringData is not text: quote it");
                    }
                }
            }
        }
        Some(_) => problems.push(Problem::BadSecret("its stringData is not a mapping of names to text".to_owned())),
    }
    if !data.is_empty() {
        json.insert("data".to_owned(), Value::Object(data));
    }
    problems
}
