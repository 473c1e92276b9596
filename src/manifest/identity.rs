//! Who an object is: group, version, kind, namespace, name, checked so that they are printable and what an API server
//! takes, before anything else looks at them.

use serde_json::{Map, Value};

use super::error::{ManifestError, Problem};
use super::yaml::Parsed;

/// What a manifest says it is, before its scope is known.
pub(super) struct Identity {
    /// API group, empty for the core group.
    pub(super) group: String,
    /// As written: `apps/v1`.
    pub(super) api_version: String,
    /// As written.
    pub(super) kind: String,
    /// `metadata.namespace`, where it says one.
    pub(super) namespace: Option<String>,
    /// `metadata.name`.
    pub(super) name: String,
}

/// Reads the identity, or says everything that is wrong with it.
pub(super) fn identify(parsed: &Parsed) -> Result<Identity, Vec<ManifestError>> {
    let json = &parsed.json;
    let empty = Map::new();
    let metadata = json.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
    let text = |map: &Map<String, Value>, key| match map.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        _ => None,
    };
    let (api_version, kind) = (text(json, "apiVersion"), text(json, "kind"));
    let (name, namespace) = (text(metadata, "name"), text(metadata, "namespace"));
    let mut problems = Vec::new();
    let absent = |field: &str, written: Option<&Value>| match written {
        Some(Value::Number(_) | Value::Bool(_)) => bad(field, "it must be text: quote it"),
        _ => Problem::Missing(field.to_owned()),
    };
    for (field, value) in [("apiVersion", &api_version), ("kind", &kind)] {
        if value.is_none() {
            problems.push(absent(field, json.get(field)));
        }
    }
    match (&name, metadata.get("generateName")) {
        (None, Some(_)) => problems.push(Problem::GenerateName),
        (None, None) => problems.push(absent("metadata.name", metadata.get("name"))),
        (Some(_), _) => {}
    }
    if metadata.get("namespace").is_some_and(|value| !value.is_string() && !value.is_null()) {
        problems.push(bad("metadata.namespace", "it must be text"));
    }
    problems.extend(api_version.iter().filter_map(|text| check_api_version(text)));
    problems.extend(kind.iter().filter_map(|text| check_kind(text)));
    problems.extend(name.iter().filter_map(|text| check_name(text)));
    problems.extend(namespace.iter().filter_map(|text| check_namespace(text)));
    if let (true, Some(api_version), Some(kind), Some(name)) =
        (problems.is_empty(), api_version, kind.clone(), name.clone())
    {
        let group = api_version.split_once('/').map_or("", |(group, _)| group).to_owned();
        return Ok(Identity { group, api_version, kind, namespace, name });
    }
    let named = [kind, name].into_iter().flatten().map(|word| clean(&word)).collect::<Vec<_>>().join(" ");
    let named = Some(named).filter(|named| !named.is_empty());
    Err(problems.into_iter().map(|problem| parsed.error(named.clone(), problem)).collect())
}

/// What an error may say of a name that was refused: short, and without anything a terminal or page would act on.
fn clean(word: &str) -> String {
    word.chars().take(80).map(|c| if c.is_ascii_graphic() && c != '`' { c } else { '?' }).collect()
}

fn bad(field: &str, rule: &str) -> Problem {
    Problem::BadName { field: field.to_owned(), rule: rule.to_owned() }
}

/// A DNS-1123 subdomain or label: lower-case letters, digits, `-` (and `.`), beginning and ending with a letter or digit.
fn is_dns(text: &str, longest: usize, dots: bool) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || (dots && b == b'.');
    text.len() <= longest
        && text.bytes().all(inner)
        && edge(text.as_bytes().first())
        && edge(text.as_bytes().last())
        && !text.contains("..")
}

fn check_api_version(text: &str) -> Option<Problem> {
    let (group, version) = text.split_once('/').map_or((None, text), |(group, version)| (Some(group), version));
    let good = is_dns(version, 63, false) && group.is_none_or(|group| is_dns(group, 253, true));
    (!good).then(|| bad("apiVersion", "it is `version` or `group/version`"))
}

fn check_kind(text: &str) -> Option<Problem> {
    let good = text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    (!good).then(|| bad("kind", "it has up to 63 letters and digits, and begins with a letter"))
}

/// Most names are DNS names; those of RBAC only have to be one path segment, so this is the wider rule, in ASCII.
fn check_name(text: &str) -> Option<Problem> {
    let good = text.len() <= 253
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b'%')
        && text != "."
        && text != "..";
    (!good).then(|| bad("metadata.name", "it has up to 253 visible ASCII characters without `/` and `%`"))
}

fn check_namespace(text: &str) -> Option<Problem> {
    (!is_dns(text, 63, false)).then(|| {
        bad("metadata.namespace", "it has up to 63 lower-case letters, digits and `-`, with none at its edges")
    })
}
