//! ConfigMaps and Secrets made of files and literals, and the hash of their content that ends their names.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::budget::Budget;
use super::build::Build;
use super::object::{self, Object, Objects};
use super::written::{Generator, Kustomization, Options};
use super::{Outside, outside, text};
use crate::manifest::canonical_json;

type Data = BTreeMap<String, Vec<u8>>;

/// Adds what a kustomization generates, ConfigMaps first.
pub(super) fn generate(
    build: &mut Build<'_>,
    folder: &str,
    kustomization: &Kustomization,
    mut objects: Objects,
) -> Result<Objects, Outside> {
    let maps = kustomization.config_map_generator.iter().map(|one| ("ConfigMap", one));
    let secrets = kustomization.secret_generator.iter().map(|one| ("Secret", one));
    for (kind, generator) in maps.chain(secrets) {
        let options = generator.options.within(&kustomization.generator_options, &mut build.budget)?;
        let data = data(build, folder, generator)?;
        let made = make(kind, generator, &options, data)?;
        objects = absorb(objects, made, &generator.behavior, &mut build.budget)?;
    }
    Ok(objects)
}

fn data(build: &mut Build<'_>, folder: &str, from: &Generator) -> Result<Data, Outside> {
    let mut data = Data::new();
    // An entry of a generated mapping takes much more memory than the few bytes it may be written in.
    let mut add = |key: &str, value: &[u8], budget: &mut Budget| {
        budget.spend(4)?;
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if key.is_empty() || key.len() > 253 || key == "." || key.starts_with("..") || !key.bytes().all(fits) {
            return outside("a generated key is not one a ConfigMap can have");
        }
        match data.insert(key.to_owned(), value.to_vec()) {
            None => Ok(()),
            Some(_) => outside("a generated key is there twice"),
        }
    };
    for name in from.envs.iter().chain([&from.env]).filter(|name| !name.is_empty()) {
        let content = build.file(folder, name)?;
        build.budget.bytes(content.len())?;
        for (key, value) in variables(content)? {
            add(key, value.as_bytes(), &mut build.budget)?;
        }
    }
    for literal in &from.literals {
        let Some((key, value)) = literal.split_once('=') else { return outside("a literal is not key=value") };
        add(key, unquoted(value).as_bytes(), &mut build.budget)?;
    }
    for source in &from.files {
        let (key, path) = match source.split_once('=') {
            None => (source.rsplit('/').next().unwrap_or_default(), source.as_str()),
            Some((_, path)) if path.contains('=') => return outside("a file's name has an equals sign"),
            Some((key, path)) => (key, path),
        };
        let content = build.file(folder, path)?;
        build.budget.bytes(content.len())?;
        add(key, content, &mut build.budget)?;
    }
    Ok(data)
}

/// The lines of an `.env` file.
fn variables(content: &[u8]) -> Result<Vec<(&str, &str)>, Outside> {
    let content = std::str::from_utf8(content).map_err(|_| Outside::new("an env file is not UTF-8"))?;
    if !text::is_safe(content) || content.lines().any(|line| line.len() > 60_000) {
        return outside("an env file has odd or very long lines");
    }
    let mut variables = Vec::new();
    for line in content.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        if key.starts_with(|c: char| c.is_ascii_digit()) {
            return outside("an env file names a variable that cannot be one");
        }
        variables.push((key, value));
    }
    Ok(variables)
}

/// Without the quotes around it, if they are a pair.
fn unquoted(value: &str) -> &str {
    let within = |mark: char| value.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark));
    within('"').or_else(|| within('\'')).unwrap_or(value)
}

fn make(kind: &str, from: &Generator, options: &Options, data: Data) -> Result<Object, Outside> {
    let is_secret = kind == "Secret";
    if from.name.is_empty()
        || !text::is_text(&from.name)
        || (!from.namespace.is_empty() && !text::is_text(&from.namespace))
    {
        return outside("a generator's name or namespace is empty, or reads like a number");
    }
    if !is_secret && !from.of.is_empty() {
        return outside("a ConfigMap has no type");
    }
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), from.name.as_str().into());
    if !from.namespace.is_empty() {
        metadata.insert("namespace".to_owned(), from.namespace.as_str().into());
    }
    for (key, entries) in [("labels", &options.labels), ("annotations", &options.annotations)] {
        if !entries.is_empty() {
            let map = entries.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
            metadata.insert(key.to_owned(), Value::Object(map));
        }
    }
    let mut json = Map::new();
    json.insert("apiVersion".to_owned(), "v1".into());
    json.insert("kind".to_owned(), kind.into());
    json.insert("metadata".to_owned(), Value::Object(metadata));
    let (mut plain, mut binary) = (Map::new(), Map::new());
    for (key, value) in data {
        if is_secret {
            plain.insert(key, base64(&value).into());
            continue;
        }
        match String::from_utf8(value) {
            Ok(value) if text::is_kept(&value) => plain.insert(key, value.into()),
            Ok(_) => return outside("a generated value has characters that readers treat differently"),
            Err(bytes) => binary.insert(key, base64(bytes.as_bytes()).into()),
        };
    }
    for (key, entries) in [("data", plain), ("binaryData", binary)] {
        // A Secret's data is written even when there is none.
        if !entries.is_empty() || (is_secret && key == "data") {
            json.insert(key.to_owned(), Value::Object(entries));
        }
    }
    if is_secret {
        let of = if from.of.is_empty() { "Opaque" } else { &from.of };
        json.insert("type".to_owned(), of.into());
    }
    if options.immutable {
        json.insert("immutable".to_owned(), true.into());
    }
    let mut object = Object::new(Value::Object(json))?;
    object.hashed = !options.disable_name_suffix_hash;
    Ok(object)
}

/// In lines of 70, each ended, where it is longer than one.
fn base64(bytes: &[u8]) -> String {
    let whole = STANDARD.encode(bytes);
    if whole.len() < 70 {
        return whole;
    }
    let mut lines = String::with_capacity(whole.len() + whole.len() / 70 + 1);
    let mut rest = whole.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(70));
        lines.push_str(line);
        lines.push('\n');
        rest = next;
    }
    lines
}

/// Adds what was made, or puts it in the place of what is there.
fn absorb(mut objects: Objects, made: Object, behavior: &str, budget: &mut Budget) -> Result<Objects, Outside> {
    let (found, another) = object::who_was(&objects.list, &made.id(), budget)?;
    match (found, another, behavior) {
        (None, _, "" | "create") => {
            objects.append(vec![made])?;
            Ok(objects)
        }
        (Some(place), None, "merge" | "replace") => {
            let old = &objects.list[place];
            let new = instead_of(old, made, behavior == "merge", budget)?;
            // The others need not be told apart anew: it takes the place of what it is.
            if new.id() != old.id() {
                return outside("a generator makes something else of what is there");
            }
            objects.list[place] = new;
            Ok(objects)
        }
        _ => outside("a generator's behaviour does not fit what is there"),
    }
}

/// Keeps name, namespace, labels and annotations of what was there; when merged, its data too.
fn instead_of(old: &Object, mut made: Object, merge: bool, budget: &mut Budget) -> Result<Object, Outside> {
    for key in ["labels", "annotations"] {
        old.map(key).into_iter().chain(made.map(key)).try_for_each(|map| budget.entries(map))?;
        let mut all = old.map(key).cloned().unwrap_or_default();
        all.extend(made.map(key).cloned().unwrap_or_default());
        made.set(key, (!all.is_empty()).then_some(Value::Object(all)));
    }
    if old.json.contains_key("stringData") {
        return outside("a Secret with stringData is merged or replaced");
    }
    made.set("name", Some(old.name().into()));
    made.set("namespace", old.namespace().map(Value::from));
    if merge {
        let mut seen = Vec::new();
        for key in ["data", "binaryData"] {
            let mut all = match old.json.get(key) {
                None => Map::new(),
                Some(Value::Object(map)) if map.values().all(Value::is_string) => {
                    budget.entries(map)?;
                    map.clone()
                }
                Some(_) => return outside("data that is merged is not text"),
            };
            if let Some(Value::Object(new)) = made.json.remove(key) {
                all.extend(new);
            }
            seen.extend(all.keys().cloned());
            if !all.is_empty() {
                made.json.insert(key.to_owned(), Value::Object(all));
            }
        }
        seen.sort();
        if seen.windows(2).any(|pair| pair[0] == pair[1]) {
            return outside("a key is both text and binary");
        }
    }
    made.hashed &= old.hashed;
    budget.spend(old.previous.len())?;
    made.previous.clone_from(&old.previous);
    made.prefixes.clone_from(&old.prefixes);
    made.suffixes.clone_from(&old.suffixes);
    Ok(made)
}

/// The end of a generated object's name.
pub(super) fn hash(object: &Object) -> Result<String, Outside> {
    let texts = |key: &str| match object.json.get(key) {
        None => Ok(None),
        Some(Value::Object(map)) if map.values().all(Value::is_string) => Ok(Some(Value::Object(map.clone()))),
        Some(_) => outside("data of which a hash is made is not text"),
    };
    // kustomize looks for a field called `metadata/name`, and finds none.
    let mut hashed = Map::new();
    hashed.insert("kind".to_owned(), object.kind().into());
    hashed.insert("name".to_owned(), "".into());
    hashed.insert("data".to_owned(), texts("data")?.unwrap_or_else(|| "".into()));
    let also = match object.kind() {
        "ConfigMap" => "binaryData",
        "Secret" => {
            let of = match object.json.get("type") {
                Some(Value::String(of)) => of.as_str(),
                None => "",
                Some(_) => return outside("a Secret's type is not text"),
            };
            hashed.insert("type".to_owned(), of.into());
            "stringData"
        }
        _ => return outside("a hash of another kind"),
    };
    if let Some(more) = texts(also)? {
        hashed.insert(also.to_owned(), more);
    }
    let json = String::from_utf8(canonical_json(&Value::Object(hashed))).expect("JSON is UTF-8");
    // As Go writes it.
    let json = json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let digest = Sha256::digest(json.as_bytes());
    let mut hex = String::new();
    for byte in digest.iter().take(5) {
        let _ = write!(hex, "{byte:02x}");
    }
    // No vowels, so that no word comes of it.
    let replace = |c| match c {
        '0' => 'g',
        '1' => 'h',
        '3' => 'k',
        'a' => 'm',
        'e' => 't',
        other => other,
    };
    Ok(hex.chars().map(replace).collect())
}
