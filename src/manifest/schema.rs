//! Whether an object fits the schema of a definition that no cluster serves yet: what a server's dry run would say of its
//! shape. Paths and rules are told, never values.
//!
//! Types, declared fields, what is required, words of a list, sizes and patterns are looked at. `oneOf` and its like, and
//! validations in CEL, are the server's alone.

use regex::Regex;
use serde_json::{Map, Value};

/// Faults that are told of one object.
const MOST: usize = 10;

/// What is wrong with an object by the schema its definition has for its version; `None` where there is none.
pub fn faults(definition: &Value, object: &Value) -> Option<Vec<String>> {
    let api_version = object.get("apiVersion").and_then(Value::as_str)?;
    let version = api_version.rsplit('/').next()?;
    let versions = definition.pointer("/spec/versions")?.as_array()?;
    let own = versions.iter().find(|one| one.get("name").and_then(Value::as_str) == Some(version))?;
    let schema = own.pointer("/schema/openAPIV3Schema")?;
    let mut faults = Vec::new();
    walk(schema, object, "", Embedded::Yes, &mut faults);
    Some(faults)
}

/// Whether a value is an object of its own, with fields that every such has.
#[derive(Clone, Copy, PartialEq)]
enum Embedded {
    Yes,
    No,
}

fn walk(schema: &Value, value: &Value, path: &str, embedded: Embedded, faults: &mut Vec<String>) {
    let says = |name: &str| schema.get(name).and_then(Value::as_bool) == Some(true);
    let mut fault = |what: String| {
        if faults.len() < MOST {
            faults.push(format!("{}: {what}", if path.is_empty() { "." } else { path }));
        }
    };
    if value.is_null() && says("nullable") {
        return;
    }
    let is_int_or_string = says("x-kubernetes-int-or-string") && (value.is_string() || is_whole(value));
    if let Some(wanted) = schema.get("type").and_then(Value::as_str).filter(|_| !is_int_or_string)
        && !is_of(wanted, value)
    {
        return fault(format!("expected {wanted}, got {}", kind(value)));
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array).filter(|words| !words.contains(value)) {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        fault(format!("has to be one of {}", words.join(", ")));
    }
    for rule in sizes(schema, value) {
        fault(rule);
    }
    match value {
        Value::Object(map) => fields(schema, map, path, embedded, faults),
        Value::Array(items) => {
            let Some(of_items) = schema.get("items") else { return };
            for (place, item) in items.iter().enumerate() {
                walk(of_items, item, &format!("{path}[{place}]"), is_embedded(of_items), faults);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn fields(schema: &Value, map: &Map<String, Value>, path: &str, embedded: Embedded, faults: &mut Vec<String>) {
    let declared = schema.get("properties").and_then(Value::as_object);
    let others = schema.get("additionalProperties");
    let keeps_others = schema.get("x-kubernetes-preserve-unknown-fields").and_then(Value::as_bool) == Some(true);
    for (name, value) in map {
        let inner = format!("{path}.{name}");
        let is_everybodys = embedded == Embedded::Yes && ["apiVersion", "kind", "metadata"].contains(&name.as_str());
        if is_everybodys {
            continue;
        }
        match (declared.and_then(|declared| declared.get(name)), others) {
            (Some(own), _) => walk(own, value, &inner, is_embedded(own), faults),
            (None, Some(own @ Value::Object(_))) => walk(own, value, &inner, is_embedded(own), faults),
            (None, Some(Value::Bool(true))) => {}
            (None, _) if keeps_others => {}
            (None, _) if faults.len() < MOST => faults.push(format!("{inner}: field not declared in schema")),
            (None, _) => {}
        }
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for name in required.filter(|name| !map.contains_key(*name)) {
        if faults.len() < MOST {
            faults.push(format!("{path}.{name}: required, and not there"));
        }
    }
}

fn is_embedded(schema: &Value) -> Embedded {
    match schema.get("x-kubernetes-embedded-resource").and_then(Value::as_bool) {
        Some(true) => Embedded::Yes,
        Some(false) | None => Embedded::No,
    }
}

/// The sizes and patterns that a value does not keep to.
fn sizes(schema: &Value, value: &Value) -> Vec<String> {
    let length = match value {
        Value::String(text) => Some((text.chars().count(), "minLength", "maxLength")),
        Value::Array(items) => Some((items.len(), "minItems", "maxItems")),
        Value::Object(map) => Some((map.len(), "minProperties", "maxProperties")),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    };
    let mut broken = Vec::new();
    if let Some((length, least, most)) = length {
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok());
        broken.extend(bound(least).filter(|bound| length < *bound).map(|bound| format!("{least} is {bound}")));
        broken.extend(bound(most).filter(|bound| length > *bound).map(|bound| format!("{most} is {bound}")));
    }
    if let Some(number) = value.as_f64() {
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        broken.extend(bound("minimum").filter(|bound| number < *bound).map(|bound| format!("minimum is {bound}")));
        broken.extend(bound("maximum").filter(|bound| number > *bound).map(|bound| format!("maximum is {bound}")));
    }
    // A pattern of another dialect than ours is the server's to judge.
    let pattern = schema.get("pattern").and_then(Value::as_str).and_then(|pattern| Regex::new(pattern).ok());
    if let (Some(pattern), Some(text)) = (pattern, value.as_str())
        && !pattern.is_match(text)
    {
        broken.push(format!("does not match {pattern}"));
    }
    broken
}

fn is_of(wanted: &str, value: &Value) -> bool {
    match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => is_whole(value),
        "number" => value.is_number(),
        _ => true,
    }
}

fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_judged_by_the_schema_of_its_version() {
        let schema = json!({"type": "object", "required": ["spec"], "properties": {"spec": {
        "type": "object", "required": ["size"],
        "properties": {
            "size": {"type": "integer", "minimum": 1}, "colour": {"type": "string", "enum": ["red", "blue"]},
            "port": {"x-kubernetes-int-or-string": true, "type": "integer"},
            "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 3, "nullable": true},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "items": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "boolean"}}}},
            "pod": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {}},
        }}}});
        let definition = json!({"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}});
        let said = |spec: Value| {
            let object = json!({"apiVersion": "x.io/v1", "kind": "X", "metadata": {"name": "x"}, "spec": spec});
            faults(&definition, &object).unwrap()
        };
        let good = json!({"size": 1, "colour": "red", "port": "http", "name": null, "labels": {"a": "b"}, "free": {"b": 1},
            "items": [{"a": true}], "pod": {"kind": "Pod", "metadata": {}}});
        assert_eq!(said(good), [""; 0]);
        let bad = json!({"size": "large", "colour": "s3cret", "port": true, "name": "ABCD", "labels": {"a": 1},
            "bogus": 1, "items": [{"b": 1}, 2]});
        insta::assert_snapshot!(said(bad).join("\n"), @r#"
        .spec.bogus: field not declared in schema
        .spec.colour: has to be one of "red", "blue"
        .spec.items[0].b: field not declared in schema
        .spec.items[1]: expected object, got a number
        .spec.labels.a: expected string, got a number
        .spec.name: maxLength is 3
        .spec.name: does not match ^[a-z]+$
        .spec.port: expected integer, got a boolean
        .spec.size: expected integer, got text
        "#);
        assert_eq!(said(json!({})), [".spec.size: required, and not there"]);
        assert_eq!(said(json!({"size": 0})), [".spec.size: minimum is 1"]);
        assert_eq!(faults(&definition, &json!({"apiVersion": "x.io/v2"})), None, "no such version, no claim");
    }
}
