//! Mistakes that a server answers with a bare 500 and no field: found here, in the preview, with the place.
//!
//! Only what holds for every server is checked: text where a mapping of text is the type, and lists whose items are told
//! apart by a name. Everything else is the schema's, which the cluster's dry run knows.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::error::Problem;
use super::identity::Identity;
use super::scope::is_built_in_group;
use super::visible::visible;

/// Lists of built-in kinds whose items Kubernetes merges by this field; twice the same is refused by server-side apply.
const KEYED: &[(&str, &str)] = &[
    ("containers", "name"),
    ("env", "name"),
    ("ephemeralContainers", "name"),
    ("imagePullSecrets", "name"),
    ("initContainers", "name"),
    ("volumeDevices", "devicePath"),
    ("volumeMounts", "mountPath"),
    ("volumes", "name"),
];

/// What is wrong, each with its place.
pub(super) fn check(json: &Map<String, Value>, identity: &Identity) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(metadata) = json.get("metadata").and_then(Value::as_object) {
        texts(metadata, "metadata", &["labels", "annotations"], &mut problems);
    }
    if identity.group.is_empty() && identity.kind == "ConfigMap" {
        texts(json, "", &["data", "binaryData"], &mut problems);
    }
    if is_built_in_group(&identity.group)
        && let Some(spec) = json.get("spec")
    {
        walk(spec, "spec", &mut problems);
    }
    problems
}

/// Mappings of names to text: a number or boolean there was meant as text and not quoted.
fn texts(holder: &Map<String, Value>, path: &str, names: &[&str], problems: &mut Vec<Problem>) {
    for name in names {
        let path = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
        for (key, value) in holder.get(*name).and_then(Value::as_object).into_iter().flatten() {
            if !value.is_string() && !value.is_null() {
                problems.push(Problem::Unquoted(format!("{path}[{}]", visible(key))));
            }
        }
    }
}

fn walk(value: &Value, path: &str, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(map) => {
            if let Some(metadata) = map.get("metadata").and_then(Value::as_object) {
                texts(metadata, &format!("{path}.metadata"), &["labels", "annotations"], problems);
            }
            for (key, inner) in map {
                let path = format!("{path}.{}", visible(key));
                if let (Some((_, by)), Value::Array(items)) = (KEYED.iter().find(|(list, _)| list == key), inner) {
                    keyed(items, by, &path, problems);
                }
                if let ("env", Value::Array(items)) = (key.as_str(), inner) {
                    environment(items, &path, problems);
                }
                walk(inner, &path, problems);
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                let name = item.get("name").and_then(Value::as_str).map_or_else(|| place.to_string(), visible);
                walk(item, &format!("{path}[{name}]"), problems);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn keyed(items: &[Value], by: &str, path: &str, problems: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    for name in items.iter().filter_map(|item| item.get(by).and_then(Value::as_str)) {
        if !seen.insert(name) {
            problems.push(Problem::ListedTwice(format!("{path}[{}]", visible(name))));
        }
    }
}

fn environment(items: &[Value], path: &str, problems: &mut Vec<Problem>) {
    for item in items {
        if item.get("value").is_some_and(|value| !value.is_string() && !value.is_null()) {
            let name = item.get("name").and_then(Value::as_str).unwrap_or("?");
            problems.push(Problem::Unquoted(format!("{path}[{}].value", visible(name))));
        }
    }
}
