//! Whether two renders of the same content gave the same, the second on another machine at another time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::words::{Words, at_another_time};
use super::{Limits as RenderLimits, archive};

use crate::manifest::{Dialect, Limits, parse};

/// Objects that are named; the others are counted.
const NAMED: usize = 5;
/// Fields of one object that are named.
const FIELDS: usize = 3;

/// A chart's files at another time: in its templates, in those of the charts packed into it, which are unpacked for that, and
/// wherever else there may be one, when it makes templates of texts.
pub(super) fn later(contents: Vec<(String, Vec<u8>)>, limits: &RenderLimits) -> Vec<(String, Vec<u8>)> {
    let mut contents = unpacked(contents, limits);
    let is_template = |path: &str| path.split('/').any(|name| name == "templates");
    let mut words = Words::default();
    contents.iter().filter(|(path, _)| is_template(path)).for_each(|(_, content)| words.read(content));
    let everywhere = words.makes_templates();
    for (_, content) in contents.iter_mut().filter(|(path, _)| everywhere || is_template(path)) {
        if let Ok(text) = std::str::from_utf8(content) {
            *content = at_another_time(text).into_bytes();
        }
    }
    contents
}

/// The same with the files of packed charts in folders, as helm reads them just as well. One that would come to lie where
/// something is stays packed.
fn unpacked(contents: Vec<(String, Vec<u8>)>, limits: &RenderLimits) -> Vec<(String, Vec<u8>)> {
    let taken: BTreeSet<String> = contents.iter().map(|(path, _)| path.clone()).collect();
    let is_taken = |path: &str| taken.contains(path) || taken.iter().any(|one| one.starts_with(&format!("{path}/")));
    let mut all = Vec::with_capacity(contents.len());
    for (path, content) in contents {
        let folder = path
            .rsplit_once('/')
            .map(|(folder, _)| folder)
            .filter(|folder| *folder == "charts" || folder.ends_with("/charts"));
        let (true, Some(folder)) = (path.ends_with(".tgz"), folder) else {
            all.push((path, content));
            continue;
        };
        let files = archive::files(&path, &content, limits).unwrap_or_default();
        let tops: BTreeSet<&str> = files.keys().filter_map(|file| file.split('/').next()).collect();
        if files.is_empty() || tops.iter().any(|top| is_taken(&format!("{folder}/{top}"))) {
            all.push((path, content));
            continue;
        }
        // What is packed into it is unpacked in turn; nobody packs deeper than is looked through.
        let files = files.into_iter().map(|(file, content)| (format!("{folder}/{file}"), content)).collect();
        all.extend(unpacked(files, limits));
    }
    all
}

/// What differs, in words without a value; `None` when nothing does. Values may be secret, and are not there the next time.
pub(super) fn difference(one: &[u8], other: &[u8]) -> Option<String> {
    if one == other {
        return None;
    }
    let (Some(one), Some(other)) = (objects(one), objects(other)) else {
        return Some("what comes out".to_owned());
    };
    let mut found = Vec::new();
    for (name, object) in &one {
        match other.get(name) {
            None => found.push(format!("the name of a {}", kind(name))),
            Some(again) => {
                let mut fields = Vec::new();
                compare(object, again, String::new(), &mut fields);
                let more = fields.len().saturating_sub(FIELDS);
                fields.truncate(FIELDS);
                if more > 0 {
                    fields.push(format!("{more} more"));
                }
                if !fields.is_empty() {
                    found.push(format!("{name}: {}", fields.join(", ")));
                }
            }
        }
    }
    found.dedup();
    let more = found.len().saturating_sub(NAMED);
    found.truncate(NAMED);
    if more > 0 {
        found.push(format!("and {more} more objects"));
    }
    // Objects in another order, or only their comments: nothing that would be sent.
    (!found.is_empty()).then(|| found.join("; "))
}

fn kind(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

/// By `Kind namespace/name`; the how-manieth where one is there twice.
fn objects(text: &[u8]) -> Option<BTreeMap<String, Value>> {
    let parsed = parse(&[(String::new(), text.to_vec())], Dialect::Helm, &Limits::default()).ok()?;
    let mut found = BTreeMap::new();
    for one in parsed {
        let word = |pointer: &[&str]| {
            let mut at = one.json.get(*pointer.first()?)?;
            for key in pointer.get(1..)? {
                at = at.get(*key)?;
            }
            at.as_str()
        };
        let (kind, name) = (word(&["kind"]).unwrap_or("object"), word(&["metadata", "name"]).unwrap_or("?"));
        let name = match word(&["metadata", "namespace"]) {
            Some(namespace) => format!("{kind} {namespace}/{name}"),
            None => format!("{kind} {name}"),
        };
        let name: String = name.chars().take(150).flat_map(char::escape_debug).collect();
        let mut key = name.clone();
        let mut times = 1;
        while found.contains_key(&key) {
            times += 1;
            key = format!("{name} ({times})");
        }
        found.insert(key, Value::Object(one.json));
    }
    Some(found)
}

/// The fields that differ, deepest first names them best.
fn compare(one: &Value, other: &Value, at: String, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let keys = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key)));
            for key in keys {
                let shown: String = key.chars().take(80).flat_map(char::escape_debug).collect();
                let below = if at.is_empty() { shown } else { format!("{at}.{shown}") };
                match (one.get(key), other.get(key)) {
                    (Some(one), Some(other)) => compare(one, other, below, found),
                    _ => found.push(format!("a key of `{}`", if at.is_empty() { "it" } else { &at })),
                }
            }
            found.dedup();
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (n, (one, other)) in one.iter().zip(other).enumerate() {
                compare(one, other, format!("{at}[{n}]"), found);
            }
        }
        _ if one == other => {}
        _ => found.push(format!("`{at}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_without_its_values() {
        let secret = |name: &str, value: &str| {
            format!(
                "apiVersion: v1\nkind: Secret\nmetadata: {{ name: {name} }}\ndata: {{ password: {value}, user: a }}\n---\n"
            )
        };
        let told = |one: String, other: String| difference(one.as_bytes(), other.as_bytes());
        assert_eq!(told(secret("a", "x"), secret("a", "x")), None);
        assert_eq!(told(secret("a", "x"), format!("# again\n{}", secret("a", "x"))), None);
        assert_eq!(told(secret("a", "x"), secret("a", "y")).as_deref(), Some("Secret a: `data.password`"));
        assert_eq!(told(secret("a-1", "x"), secret("a-2", "x")).as_deref(), Some("the name of a Secret"));
        assert_eq!(told("a: [".to_owned(), "b: [".to_owned()).as_deref(), Some("what comes out"));
        let map =
            |key: &str| format!("kind: C\nmetadata: {{ name: a }}\ndata: {{ {key}: 1 }}\nlist: [1, {{ b: {key} }}]\n");
        assert_eq!(told(map("x"), map("y")).as_deref(), Some("C a: a key of `data`, `list[1].b`"));
        let many = |value: &str| (0..9).map(|n| secret(&format!("s{n}"), value)).collect::<String>();
        assert!(told(many("x"), many("y")).unwrap().ends_with("; and 4 more objects"));
    }
}
