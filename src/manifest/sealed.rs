//! Secrets that are kept encrypted with SOPS: what may be sealed, and what is made of it.
//!
//! A sealed Secret is hashed, stored and judged as it is written. Only its `data` and `stringData` may be sealed, since
//! everybody has to see what it is; and only to recipients of age, since everything else in a `sops` block is an address
//! of a key service that the repository chose, and that a program with our rights would call.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// The key that `sops` adds to what it encrypts.
pub(super) const BLOCK: &str = "sops";
/// What an encrypted value begins with.
const SEALED: &str = "ENC[AES256_GCM,";
/// The parts of a Secret that may be sealed.
const PARTS: [&str; 2] = ["data", "stringData"];
/// Recipients of one Secret: each is tried with each key. Teams have a few.
const MOST_RECIPIENTS: usize = 100;
/// Bytes of one sealed Secret: what it is sealed of has at most 1 MiB, which base64 makes a third more.
const MOST_BYTES: usize = 2 << 20;
/// What a `sops` block may have beside its recipients: words about the sealing itself, which name no place.
const ABOUT: [&str; 12] = [
    "lastmodified",
    "mac",
    "version",
    "encrypted_regex",
    "encrypted_suffix",
    "encrypted_comment_regex",
    "unencrypted_regex",
    "unencrypted_suffix",
    "unencrypted_comment_regex",
    "mac_only_encrypted",
    "shamir_threshold",
    "age",
];
/// Stands for a sealed value where the API server is asked before anybody may open it: what JSON of any kind of Secret
/// can be.
const PLACEHOLDER: &str = "e30=";

/// Whether an object is sealed.
pub fn is_sealed(object: &Value) -> bool {
    object.get(BLOCK).is_some()
}

/// Why a sealed object cannot be taken, each with what to do. An object without a `sops` block has none to give, unless a
/// value of it is sealed and cannot be opened any more.
pub(super) fn faults(object: &Map<String, Value>, is_secret: bool) -> Vec<String> {
    let Some(block) = object.get(BLOCK) else {
        let lost = is_secret && PARTS.iter().filter_map(|part| object.get(*part)).any(holds_sealed);
        let why = "has sealed values and no `sops` block, without which nobody can open them: commit the file as sops wrote it";
        return if lost { vec![why.to_owned()] } else { Vec::new() };
    };
    if !is_secret {
        let why =
            "is sealed with SOPS, and only a Secret's data may be: keep what is secret in a Secret, and this in clear";
        return vec![why.to_owned()];
    }
    let mut found = Vec::new();
    let outside = object.iter().filter(|(key, _)| *key != BLOCK && !PARTS.contains(&key.as_str()));
    for (key, _) in outside.filter(|(_, value)| holds_sealed(value)) {
        found.push(format!(
            "has a sealed `{}`, and only data and stringData may be sealed: seal it with `encrypted_regex: ^(data|stringData)$`",
            plain(key)
        ));
    }
    if object.keys().any(|key| key.starts_with(SEALED)) {
        found.push("has a sealed name of a field".to_owned());
    }
    for part in PARTS {
        match object.get(part) {
            None | Some(Value::Null) => {}
            Some(Value::Object(values)) => {
                found.extend(values.iter().filter_map(|(key, value)| open(part, key, value)))
            }
            Some(_) => found.push(format!("has a `{part}` that is not a mapping of names to sealed values")),
        }
    }
    if PARTS.iter().all(|part| object.get(*part).and_then(Value::as_object).is_none_or(Map::is_empty)) {
        found.push("has a `sops` block and nothing sealed: remove the block".to_owned());
    }
    if serde_json::to_vec(object).is_ok_and(|bytes| bytes.len() > MOST_BYTES) {
        found.push(format!("is sealed and larger than {} MiB", MOST_BYTES >> 20));
    }
    found.extend(block_faults(block));
    found
}

/// What cannot be opened to a text that a Secret takes. Sealed by halves, a Secret shows in the repository what its author took for hidden.
fn open(part: &str, key: &str, value: &Value) -> Option<String> {
    let kind = match value.as_str() {
        Some("") => Some("str"),
        Some(text) => kind(text),
        None => None,
    };
    let Some(kind) = kind else {
        return Some(format!(
            "has a value in clear beside sealed ones, `{}` in {part}: seal all with `encrypted_regex: ^(data|stringData)$`",
            plain(key)
        ));
    };
    (kind != "str")
        .then(|| format!("has a sealed value that is not text, `{}` in {part}: quote it, and seal it anew", plain(key)))
}

/// What a value was before it was sealed, as sops writes it beside it. Read whole: sops looks for the first match in a text, however it
/// goes on, and what kind a value is of is bound by nothing.
fn kind(text: &str) -> Option<&str> {
    let inner = text.strip_prefix(SEALED)?.strip_suffix(']')?;
    let is_base64 = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
    let mut parts = inner.split(',');
    for name in ["data:", "iv:", "tag:"] {
        parts.next()?.strip_prefix(name).filter(|value| is_base64(value))?;
    }
    let kind = parts.next()?.strip_prefix("type:")?;
    (parts.next().is_none() && kind.bytes().all(|b| b.is_ascii_lowercase())).then_some(kind)
}

fn block_faults(block: &Value) -> Vec<String> {
    let Some(block) = block.as_object() else { return vec!["has a `sops` that is no block of sops".to_owned()] };
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    // A program that opened it would call whatever address stands there.
    let others = block.iter().filter(|(key, value)| !ABOUT.contains(&key.as_str()) && !is_empty(value));
    let mut found: Vec<String> = others
        .map(|(key, _)| {
            format!("is sealed with `{}`, and only age is opened here: seal it to recipients of age alone", plain(key))
        })
        .collect();
    let ages = block.get("age").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if found.is_empty() && ages.is_empty() {
        found.push("is sealed to nobody: its `sops` block has no recipient of age".to_owned());
    }
    if ages.len() > MOST_RECIPIENTS {
        found.push(format!("is sealed to more than {MOST_RECIPIENTS} recipients"));
    }
    let is_whole = |one: &Value| ["recipient", "enc"].iter().all(|key| one.get(*key).is_some_and(Value::is_string));
    if !ages.iter().all(is_whole) {
        found.push(
            "has a recipient of age without its `recipient` or `enc`: commit the file as sops wrote it".to_owned(),
        );
    }
    found
}

fn holds_sealed(value: &Value) -> bool {
    match value {
        Value::String(text) => text.starts_with(SEALED),
        Value::Array(list) => list.iter().any(holds_sealed),
        Value::Object(map) => map.iter().any(|(key, value)| key.starts_with(SEALED) || holds_sealed(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn plain(key: &str) -> String {
    key.chars().take(80).flat_map(char::escape_debug).collect()
}

/// What `sops` is given of a sealed Secret: its sealed parts, and of its block what opening needs. Nothing that names a key
/// service or a program, whatever stands there; and nothing in clear, which it could take for sealed.
pub fn for_opening(object: &Value) -> Value {
    let ages = object.pointer("/sops/age").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let ages: Vec<Value> =
        ages.iter().map(|one| json!({"recipient": one.get("recipient"), "enc": one.get("enc")})).collect();
    let about = |key: &str| object.pointer(&format!("/sops/{key}")).cloned().unwrap_or(Value::Null);
    let block = json!({
        "age": ages,
        "lastmodified": about("lastmodified"),
        "mac": about("mac"),
        "version": about("version"),
        "encrypted_regex": "^(data|stringData)$",
    });
    let mut given = Map::from_iter([(BLOCK.to_owned(), block)]);
    for part in PARTS {
        if let Some(values) = object.get(part).filter(|values| values.is_object()) {
            given.insert(part.to_owned(), values.clone());
        }
    }
    Value::Object(given)
}

/// The Secret to send: the opened values in the place of the sealed ones.
///
/// # Errors
/// What is wrong with what was opened; without any of it.
pub fn with_opened(object: &Value, opened: &Value) -> Result<Value, String> {
    let mut whole = object.as_object().cloned().unwrap_or_default();
    whole.remove(BLOCK);
    for part in PARTS {
        whole.remove(part);
        let keys = |values: Option<&Value>| {
            let values = values.and_then(Value::as_object);
            values.into_iter().flat_map(Map::keys).cloned().collect::<BTreeSet<String>>()
        };
        if keys(opened.get(part)) != keys(object.get(part)) {
            return Err(format!("what is sealed as its {part} has other names than what was opened"));
        }
        match opened.get(part) {
            None | Some(Value::Null) => {}
            Some(Value::Object(values)) if !values.values().any(holds_sealed) => {
                whole.insert(part.to_owned(), Value::Object(values.clone()));
            }
            Some(_) => return Err(format!("what is sealed as its {part} is not values by name")),
        }
    }
    let faults = super::shape::secret(&mut whole);
    // What is said of it names keys, and no value.
    if let Some(fault) = faults.first() {
        return Err(format!("opened, {fault}"));
    }
    Ok(Value::Object(whole))
}

/// The Secret as the API server is asked about it while it is sealed: the same keys, and nothing of what is in them.
pub fn with_placeholders(object: &Value) -> Value {
    let mut whole = object.as_object().cloned().unwrap_or_default();
    whole.remove(BLOCK);
    let parts: Vec<Value> = PARTS.iter().filter_map(|part| whole.remove(*part)).collect();
    let keys = parts.iter().filter_map(Value::as_object).flat_map(Map::keys);
    let data: Map<String, Value> = keys.map(|key| (key.clone(), PLACEHOLDER.into())).collect();
    if !data.is_empty() {
        whole.insert("data".to_owned(), Value::Object(data));
    }
    Value::Object(whole)
}

/// What is shown of a sealed object: to whom it is sealed; and where nothing else tells that it changed, or it is sealed under
/// something else, that its block did.
pub(super) fn shown(old: Option<&Value>, new: &Value) -> (Option<Value>, Value) {
    let strip = |object: &Value, keep_block: bool| {
        let Some(block) = object.get(BLOCK) else { return object.clone() };
        let mut object = object.clone();
        let mut about = Map::new();
        let recipients = block.get("age").and_then(Value::as_array).into_iter().flatten();
        let recipients: Vec<Value> = recipients.filter_map(|one| one.get("recipient")).cloned().collect();
        about.insert("age".to_owned(), recipients.into());
        if keep_block {
            // Of what everybody may read in the repository; its letters alone would tell nobody anything.
            let written = Sha256::digest(super::canonical_json(block));
            about.insert("written".to_owned(), hex::encode(&written[..6]).into());
        }
        object[BLOCK] = Value::Object(about);
        object
    };
    let (before, after) = (old.map(|old| strip(old, false)), strip(new, false));
    // What its data is sealed under is no word of a person's, and may change what it opens to.
    let under = |object: &Value| -> Vec<Value> {
        let ages = object.pointer("/sops/age").and_then(Value::as_array).into_iter().flatten();
        ages.filter_map(|one| one.get("enc")).cloned().collect()
    };
    match old {
        Some(old) if before.as_ref() == Some(&after) || under(old) != under(new) => {
            (Some(strip(old, true)), strip(new, true))
        }
        _ => (before, after),
    }
}

#[cfg(test)]
#[path = "sealed_tests.rs"]
mod tests;
