//! Whether an object fits the schema of a definition that no cluster serves yet: what a server's dry run would say of its
//! shape. Paths and rules are told, never values.
//!
//! Types, declared fields, what is required, words of a list, sizes and patterns are looked at. `oneOf` and its like, and
//! validations in CEL, are the server's alone.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

/// Faults that are told of one object.
const MOST: usize = 10;
/// Steps of work for one object: a value is one, as is each character or word that it is compared by.
const STEPS: usize = 50_000;
/// Steps that it takes to read a pattern.
const PATTERN: usize = 500;
/// Characters of a pattern that is looked at, and bytes that it may become.
const LONGEST_PATTERN: usize = 1_000;
const LARGEST_PATTERN: usize = 64 * 1024;
/// Names of schemas that lead to each other.
const NAMES: usize = 5;
/// Words that are told of a list of them.
const WORDS: usize = 10;
/// Characters of a fault, and of a word or a name within.
const SAID: usize = 300;
const WORD: usize = 60;

/// How an object fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// Nothing is wrong with it by what is looked at.
    Fits,
    /// What is wrong; never empty.
    Faults(Vec<String>),
    /// Nothing was found wrong, and it is too much to be looked at whole.
    TooMuch,
    /// The definition has no schema for its version.
    NoSchema,
}

/// How an object fits the schema its definition has for its version.
pub fn fit(definition: &Value, object: &Value) -> Fit {
    let schema = || {
        let version = object.get("apiVersion").and_then(Value::as_str)?.rsplit('/').next()?;
        let versions = definition.pointer("/spec/versions")?.as_array()?;
        let own = versions.iter().find(|one| one.get("name").and_then(Value::as_str) == Some(version))?;
        own.pointer("/schema/openAPIV3Schema")
    };
    match schema() {
        Some(schema) => walked(schema, None, object),
        None => Fit::NoSchema,
    }
}

/// How an object fits a schema that names others of these, as a server tells them of all it serves.
pub(super) fn fit_served(schema: &Value, named: &Map<String, Value>, object: &Value) -> Fit {
    walked(schema, Some(named), object)
}

fn walked(schema: &Value, named: Option<&Map<String, Value>>, object: &Value) -> Fit {
    let mut walk = Walk { named, path: Vec::new(), faults: Vec::new(), left: STEPS, patterns: BTreeMap::new() };
    let ended = walk.value(schema, object, Embedded::Yes);
    match (walk.faults.is_empty(), ended) {
        (false, _) => Fit::Faults(walk.faults),
        (true, Some(())) => Fit::Fits,
        (true, None) => Fit::TooMuch,
    }
}

/// Whether a value is an object of its own, with fields that every such has.
#[derive(Clone, Copy, PartialEq)]
enum Embedded {
    Yes,
    No,
}

#[derive(Clone, Copy)]
enum Step<'v> {
    Field(&'v str),
    Item(usize),
}

/// A walk through an object. Each of its functions gives `None` where it ends: enough is found, or too much was looked at.
struct Walk<'v> {
    /// Schemas by name, where they name each other.
    named: Option<&'v Map<String, Value>>,
    path: Vec<Step<'v>>,
    faults: Vec<String>,
    left: usize,
    /// Each that was read; `None`: of another dialect than ours, or too large.
    patterns: BTreeMap<&'v str, Option<Regex>>,
}

impl<'v> Walk<'v> {
    fn costs(&mut self, steps: usize) -> Option<()> {
        self.left = self.left.checked_sub(steps)?;
        Some(())
    }

    fn fault(&mut self, what: &str) -> Option<()> {
        let step = |step: &Step<'_>| match step {
            Step::Field(name) => format!(".{}", clipped(name, WORD)),
            Step::Item(place) => format!("[{place}]"),
        };
        let path: String = self.path.iter().map(step).collect();
        let path = if path.is_empty() { "." } else { &path };
        self.faults.push(clipped(&format!("{path}: {what}"), SAID));
        (self.faults.len() < MOST).then_some(())
    }

    fn within(&mut self, step: Step<'v>, look: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        self.path.push(step);
        let ended = look(self);
        self.path.pop();
        ended
    }

    fn value(&mut self, schema: &'v Value, value: &'v Value, embedded: Embedded) -> Option<()> {
        self.costs(1)?;
        // A server drops a field of its own kinds that is null.
        if value.is_null() && self.named.is_some() {
            return Some(());
        }
        let schema = self.meant(schema);
        let says = |name: &str| schema.get(name).and_then(Value::as_bool) == Some(true);
        if value.is_null() && says("nullable") {
            return Some(());
        }
        let is_int_or_string = says("x-kubernetes-int-or-string") && (value.is_string() || is_whole(value));
        if let Some(wanted) = schema.get("type").and_then(Value::as_str).filter(|_| !is_int_or_string)
            && !is_of(wanted, value)
        {
            return self.fault(&format!("expected {}, got {}", clipped(wanted, WORD), kind(value)));
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            self.costs(words.len())?;
            if !words.contains(value) {
                self.fault(&format!("has to be one of {}", listed(words)))?;
            }
        }
        for rule in sizes(schema, value) {
            self.fault(&rule)?;
        }
        match value {
            Value::String(text) => self.pattern(schema, text),
            Value::Object(map) => self.fields(schema, map, embedded),
            Value::Array(items) => {
                let Some(of_items) = schema.get("items") else { return Some(()) };
                for (place, item) in items.iter().enumerate() {
                    self.within(Step::Item(place), |walk| walk.value(of_items, item, is_embedded(of_items)))?;
                }
                Some(())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Some(()),
        }
    }

    /// The schema that another only names.
    fn meant(&self, mut schema: &'v Value) -> &'v Value {
        let Some(all) = self.named else { return schema };
        for _ in 0..NAMES {
            let only = schema.get("allOf").and_then(Value::as_array).filter(|all| all.len() == 1);
            let named = schema.get("$ref").or_else(|| only?.first()?.get("$ref")).and_then(Value::as_str);
            match named.and_then(|named| all.get(named.rsplit('/').next()?)) {
                Some(found) => schema = found,
                None => break,
            }
        }
        schema
    }

    /// A pattern of another dialect than ours is the server's to judge, as is one that is large.
    fn pattern(&mut self, schema: &'v Value, text: &str) -> Option<()> {
        let Some(pattern) = schema.get("pattern").and_then(Value::as_str) else { return Some(()) };
        if !self.patterns.contains_key(pattern) {
            self.costs(PATTERN)?;
            let small = (pattern.len() <= LONGEST_PATTERN).then(|| RegexBuilder::new(pattern));
            let read = small.and_then(|mut builder| builder.size_limit(LARGEST_PATTERN).build().ok());
            self.patterns.insert(pattern, read);
        }
        self.costs(text.len())?;
        match self.patterns.get(pattern) {
            Some(Some(read)) if !read.is_match(text) => {
                self.fault(&format!("does not match {}", clipped(pattern, SAID / 2)))
            }
            Some(_) | None => Some(()),
        }
    }

    fn fields(&mut self, schema: &'v Value, map: &'v Map<String, Value>, embedded: Embedded) -> Option<()> {
        let declared = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        let keeps_others = schema.get("x-kubernetes-preserve-unknown-fields").and_then(Value::as_bool) == Some(true)
            // Of a server's own kinds one without fields is anything: `RawExtension`.
            || (self.named.is_some() && declared.is_none() && others.is_none());
        for (name, value) in map {
            self.costs(1)?;
            let is_everybodys =
                embedded == Embedded::Yes && ["apiVersion", "kind", "metadata"].contains(&name.as_str());
            if is_everybodys {
                continue;
            }
            self.within(Step::Field(name), |walk| match (declared.and_then(|declared| declared.get(name)), others) {
                (Some(own), _) => walk.value(own, value, is_embedded(own)),
                (None, Some(own @ Value::Object(_))) => walk.value(own, value, is_embedded(own)),
                (None, Some(Value::Bool(true))) => Some(()),
                (None, _) if keeps_others => Some(()),
                (None, _) => walk.fault("field not declared in schema"),
            })?;
        }
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            self.costs(1)?;
            if !map.contains_key(name) {
                self.within(Step::Field(name), |walk| walk.fault("required, and not there"))?;
            }
        }
        Some(())
    }
}

fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// The first words of a list; one that is no word is told by its kind.
fn listed(words: &[Value]) -> String {
    let word = |one: &Value| match one {
        Value::String(word) => format!("\"{}\"", clipped(word, WORD)),
        Value::Null | Value::Bool(_) | Value::Number(_) => one.to_string(),
        Value::Array(_) | Value::Object(_) => kind(one).to_owned(),
    };
    let mut told: Vec<String> = words.iter().take(WORDS).map(word).collect();
    if words.len() > WORDS {
        told.push(format!("{} more", words.len() - WORDS));
    }
    told.join(", ")
}

fn is_embedded(schema: &Value) -> Embedded {
    match schema.get("x-kubernetes-embedded-resource").and_then(Value::as_bool) {
        Some(true) => Embedded::Yes,
        Some(false) | None => Embedded::No,
    }
}

/// The sizes that a value does not keep to.
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
            match fit(&definition, &object) {
                Fit::Faults(faults) => faults,
                Fit::Fits => Vec::new(),
                none @ (Fit::TooMuch | Fit::NoSchema) => panic!("{none:?}"),
            }
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
        assert_eq!(fit(&definition, &json!({"apiVersion": "x.io/v2"})), Fit::NoSchema, "no such version, no claim");
    }

    fn fits(schema: &Value, spec: &Value) -> Fit {
        let schema = json!({"properties": {"spec": schema}});
        let definition = json!({"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}});
        fit(&definition, &json!({"apiVersion": "x.io/v1", "kind": "X", "spec": spec}))
    }

    #[test]
    fn no_object_is_more_work_than_it_is_worth() {
        let of = |items: &Value| json!({"type": "array", "items": items});
        let many = |one: Value, number: usize| Value::from(vec![one; number]);
        let short = json!({"type": "string", "pattern": "^[a-z]+$"});
        assert_eq!(fits(&of(&short), &many(json!("a"), 10_000)), Fit::Fits);
        assert_eq!(fits(&of(&short), &many(json!("a"), 1_000_000)), Fit::TooMuch);
        assert_eq!(fits(&short, &json!("a".repeat(10_000_000))), Fit::TooMuch, "long text is not matched");
        let patterns: Map<String, Value> =
            (0..1_000).map(|at| (format!("a{at}"), json!({"pattern": format!("^a{{{at}}}$")}))).collect();
        let values: Map<String, Value> = (0..1_000).map(|at| (format!("a{at}"), json!("a".repeat(at)))).collect();
        assert_eq!(fits(&json!({"properties": patterns}), &values.into()), Fit::TooMuch, "nor are many patterns read");
        let large = json!({"pattern": "^((a{100}){100}){100}$"});
        assert_eq!(fits(&large, &json!("b")), Fit::Fits, "nor large ones: they are the server's to judge");
        let words: Vec<String> = (0..1_000).map(|at| format!("{at}{}", "x".repeat(1_000))).collect();
        let Fit::Faults(faults) = fits(&of(&json!({"enum": words})), &many(json!("a"), 1_000)) else {
            panic!("it fits")
        };
        assert_eq!(faults.len(), MOST);
        assert!(faults.iter().all(|fault| fault.chars().count() <= SAID + 1), "{faults:#?}");
        let deep = "x".repeat(1_000_000);
        let Fit::Faults(faults) = fits(&json!({"properties": {}}), &json!({deep: 1})) else { panic!("it fits") };
        assert!(faults[0].len() < 200, "{}", faults[0].len());
    }
}
