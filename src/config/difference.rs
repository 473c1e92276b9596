//! What a load changed, for its audit entry. Secrets are references in both, so nothing here has to be hidden.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::policy::document::{Node, Value};

/// Sections whose keys are read at start: listeners, the database, and keys that everything stored depends on.
const AT_START: [&str; 3] = ["server.", "database.", "audit."];

/// The keys that differ between two loads, by their paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Keys that were not there, with their values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub added: BTreeMap<String, String>,
    /// Keys that are gone, with the values they had.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub removed: BTreeMap<String, String>,
    /// Keys with another value: before and after.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub changed: BTreeMap<String, (String, String)>,
}

impl Difference {
    /// Whether both loads say the same.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The paths of all keys it names.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let one_sided = self.added.keys().chain(self.removed.keys());
        one_sided.chain(self.changed.keys()).map(String::as_str)
    }
}

/// Whether a key is read at start only: what it says now counts from the next start on.
pub fn is_read_at_start(path: &str) -> bool {
    AT_START.iter().any(|section| path.starts_with(section))
}

/// Every key by its path, with its value as written: what one load is compared with the next by.
pub type Keys = BTreeMap<String, String>;

/// What `new` changed; before the first load there were no keys.
pub fn difference(old: &Keys, new: &Keys) -> Difference {
    let mut before = old.clone();
    let mut difference = Difference::default();
    for (key, value) in new.clone() {
        match before.remove(&key) {
            None => drop(difference.added.insert(key, value)),
            Some(was) if was != value => drop(difference.changed.insert(key, (was, value))),
            Some(_) => {}
        }
    }
    difference.removed = before;
    difference
}

pub(super) fn keys(tree: &Node) -> Keys {
    let mut found = Keys::new();
    flatten("", tree, &mut found);
    found
}

/// Keys of the user's own are not ours to record: nobody checked that they hold no secret.
fn flatten(path: &str, node: &Node, found: &mut Keys) {
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            for (key, node) in crate::policy::block::named(entries) {
                let path = if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
                flatten(&path, node, found);
            }
        }
        _ => drop(found.insert(path.to_owned(), written(node))),
    }
}

fn written(node: &Node) -> String {
    match &node.value {
        Value::Nothing => String::new(),
        Value::Flag(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::Strange(text) => text.clone(),
        Value::List(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Map(entries) => {
            let inner =
                crate::policy::block::named(entries).map(|(key, node)| format!("{} = {}", key.name, written(node)));
            format!("{{ {} }}", inner.collect::<Vec<_>>().join(", "))
        }
    }
}
