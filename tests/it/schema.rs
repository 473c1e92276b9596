//! The JSON Schemas of both files: they take what the readers take, refuse what the readers refuse by key, and know the
//! same keys.

use std::collections::BTreeSet;
use std::path::Path;

use bascule::policy::block::Keys;
use bascule::{config, policy};
use regex::Regex;
use serde_json::{Value, json};

/// As much of JSON Schema as ours and GitHub's description use; a word it does not know fails the test, so that none is
/// taken for checked.
pub(crate) fn faults(schema: &Value, value: &Value, root: &Value, at: &str) -> Vec<String> {
    let Value::Object(words) = schema else {
        return if schema == &json!(true) { Vec::new() } else { vec![format!("{at}: nothing is allowed here")] };
    };
    if value.is_null() && words.get("nullable") == Some(&json!(true)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut expect = |good: bool, why: String| {
        if !good {
            found.push(format!("{at}: {why}"));
        }
    };
    let mut inner = Vec::new();
    for (word, wanted) in words {
        match word.as_str() {
            "$schema" | "title" | "description" | "definitions" | "default" | "examples" | "example" | "deprecated"
            | "nullable" | "format" | "patternProperties" => {}
            "properties" if words.contains_key("additionalProperties") => {}
            "properties" => {
                let anything = json!(true);
                for (key, value) in value.as_object().into_iter().flatten() {
                    inner.extend(faults(property(words, key, &anything), value, root, &format!("{at}.{key}")));
                }
            }
            "type" if wanted == "number" => expect(value.is_number(), format!("{value} is no {wanted}")),
            "type" => expect(type_of(value) == wanted, format!("{value} is no {wanted}")),
            "const" => expect(value == wanted, format!("{value} is not {wanted}")),
            "enum" => expect(wanted.as_array().unwrap().contains(value), format!("{value} is none of {wanted}")),
            "minLength" => expect(value.as_str().is_none_or(|s| !s.is_empty()), "is empty".to_owned()),
            "minItems" => expect(value.as_array().is_none_or(|a| !a.is_empty()), "is empty".to_owned()),
            "maxLength" => {
                let most = wanted.as_u64().unwrap() as usize;
                expect(value.as_str().is_none_or(|s| s.chars().count() <= most), format!("is longer than {wanted}"));
            }
            "maxItems" => {
                let most = wanted.as_u64().unwrap() as usize;
                expect(value.as_array().is_none_or(|a| a.len() <= most), format!("has more than {wanted}"));
            }
            "minimum" => expect(value.as_i64() >= wanted.as_i64(), format!("{value} is below {wanted}")),
            "maximum" => expect(value.as_i64() <= wanted.as_i64(), format!("{value} is above {wanted}")),
            "uniqueItems" => {
                let items: Vec<&Value> = value.as_array().into_iter().flatten().collect();
                let texts: BTreeSet<String> = items.iter().map(|item| item.to_string()).collect();
                expect(texts.len() == items.len(), "has something twice".to_owned());
            }
            "pattern" => {
                let regex = Regex::new(wanted.as_str().unwrap()).unwrap();
                expect(value.as_str().is_none_or(|s| regex.is_match(s)), format!("{value} is not like {wanted}"));
            }
            "required" => {
                for key in wanted.as_array().unwrap() {
                    expect(value.get(key.as_str().unwrap()).is_some(), format!("{key} is missing"));
                }
            }
            "$ref" => {
                let named = root.pointer(wanted.as_str().unwrap().trim_start_matches('#')).unwrap();
                inner.extend(faults(named, value, root, at));
            }
            "allOf" => {
                inner.extend(wanted.as_array().unwrap().iter().flat_map(|one| faults(one, value, root, at)));
            }
            "anyOf" | "oneOf" => {
                let good = wanted.as_array().unwrap().iter().filter(|one| faults(one, value, root, at).is_empty());
                let count = good.count();
                expect(count == 1 || (word == "anyOf" && count > 1), format!("fits {count} of the alternatives"));
            }
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    inner.extend(faults(wanted, item, root, &format!("{at}[{n}]")));
                }
            }
            "additionalProperties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    inner.extend(faults(property(words, key, wanted), value, root, &format!("{at}.{key}")));
                }
            }
            unknown => panic!("the test does not know `{unknown}`"),
        }
    }
    found.extend(inner);
    found
}

fn property<'s>(words: &'s serde_json::Map<String, Value>, key: &str, otherwise: &'s Value) -> &'s Value {
    if let Some(schema) = words.get("properties").and_then(|properties| properties.get(key)) {
        return schema;
    }
    let patterns = words.get("patternProperties").and_then(Value::as_object).into_iter().flatten();
    patterns.into_iter().find(|(pattern, _)| Regex::new(pattern).unwrap().is_match(key)).map_or(otherwise, |(_, s)| s)
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_i64() || n.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn check(schema: &str, value: &Value) -> Vec<String> {
    let schema: Value = serde_json::from_str(schema).unwrap();
    faults(&schema, value, &schema, "")
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn toml(text: &str) -> Value {
    toml::from_str(text).unwrap()
}

/// The first section of each case, and whether the reader finds it good.
fn cases(folder: &str) -> Vec<(String, String, bool)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(folder);
    let read = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let (given, expected) = text.split_once("-- expected --\n").unwrap();
        let first = given.split_once(" --\n").unwrap().1.split("\n-- ").next().unwrap().to_owned() + "\n";
        let good = expected.starts_with("folders below") || expected.starts_with("Server {");
        (path.file_stem().unwrap().to_string_lossy().into_owned(), first, good)
    };
    std::fs::read_dir(folder).unwrap().map(|entry| read(entry.unwrap().path())).collect()
}

#[test]
fn the_schema_takes_what_the_readers_take() {
    for (name, text, _) in cases("policy").into_iter().filter(|(_, _, good)| *good) {
        assert_eq!(check(policy::repository::SCHEMA, &yaml(&text)), [""; 0], "policy/{name}");
    }
    for (name, text, _) in cases("config").into_iter().filter(|(_, _, good)| *good) {
        assert_eq!(check(config::SCHEMA, &toml(&text)), [""; 0], "config/{name}");
    }
    assert_eq!(check(config::SCHEMA, &toml(config::REFERENCE)), [""; 0]);
}

#[test]
fn the_schema_refuses_what_is_wrong_without_knowing_the_world() {
    let shape_alone = |name: &str| {
        ["unknown_keys", "later_keys", "version_", "wrong_kinds", "secrets_", "a_forge_without"]
            .iter()
            .any(|begin| name.starts_with(begin))
    };
    for (name, text, good) in cases("policy").into_iter().filter(|(name, ..)| shape_alone(name)) {
        assert!(!good && !check(policy::repository::SCHEMA, &yaml(&text)).is_empty(), "policy/{name}");
    }
    for (name, text, good) in cases("config").into_iter().filter(|(name, ..)| shape_alone(name)) {
        assert!(!good && !check(config::SCHEMA, &toml(&text)).is_empty(), "config/{name}");
    }
}

#[test]
fn schemas_and_readers_know_the_same_keys() {
    let keys_of =
        |schema: &Value| -> BTreeSet<String> { schema["properties"].as_object().unwrap().keys().cloned().collect() };
    let same = |schema: &Value, keys: Keys, what: &str| {
        assert_eq!(keys_of(schema), keys.known.iter().map(|key| (*key).to_owned()).collect(), "{what}");
    };
    let repository: Value = serde_json::from_str(policy::repository::SCHEMA).unwrap();
    same(&repository, policy::repository::FILE_KEYS, "file");
    for (name, keys) in [
        ("environment", policy::environment::ENVIRONMENT_KEYS),
        ("follow", policy::environment::FOLLOW_KEYS),
        ("window", policy::windows::WINDOW_KEYS),
        ("after", policy::after::AFTER_KEYS),
        ("verify", policy::verify::VERIFY_KEYS),
        ("deletions", policy::environment::DELETIONS_KEYS),
        ("sync", policy::environment::SYNC_KEYS),
        ("helm", policy::environment::HELM_KEYS),
        ("chart", policy::environment::CHART_KEYS),
        ("ignored", policy::ignore::IGNORE_KEYS),
        ("limits", policy::repository::LIMITS_KEYS),
        ("may", policy::environment::MAY_KEYS),
        ("whom", policy::approvals::WHOM_KEYS),
        ("rule", policy::approvals::RULE_KEYS),
        ("owners", policy::approvals::OWNERS_KEYS),
        ("policy", policy::policies::POLICY_KEYS),
        ("health", policy::health::HEALTH_KEYS),
        ("when", policy::approvals::WHEN_KEYS),
    ] {
        same(&repository["definitions"][name], keys, name);
    }
    same(&repository["definitions"]["consent"]["anyOf"][1], policy::environment::CONSENT_KEYS, "consent");
    same(&repository["definitions"]["drift"]["anyOf"][1], policy::on_drift::DRIFT_KEYS, "drift");

    let server: Value = serde_json::from_str(config::SCHEMA).unwrap();
    same(&server, config::FILE_KEYS, "file");
    for (name, keys) in [
        ("server", config::SERVER_KEYS),
        ("database", config::DATABASE_KEYS),
        ("audit", config::AUDIT_KEYS),
        ("forge", config::FORGE_KEYS),
        ("app", config::APP_KEYS),
        ("application", config::APPLICATION_KEYS),
        ("cluster", config::CLUSTER_KEYS),
        ("registry", config::REGISTRY_KEYS),
        ("prometheus", config::PROMETHEUS_KEYS),
        ("secrets", config::SECRETS_KEYS),
        ("group", config::GROUP_KEYS),
        ("grant", config::GRANT_KEYS),
        ("kinds", config::KINDS_KEYS),
        ("floor", config::FLOOR_KEYS),
        ("health", policy::health::HEALTH_KEYS),
        ("window", policy::windows::WINDOW_KEYS),
        ("rule", policy::approvals::FLOOR_RULE_KEYS),
        ("sweep", config::SWEEP_KEYS),
    ] {
        same(&server["definitions"][name], keys, name);
    }
}
