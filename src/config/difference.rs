//! What a load changed, for its audit entry. Secrets are references in both, so nothing here has to be hidden.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Loaded;
use crate::policy::document::{Node, Value};

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
}

/// What `new` changed; without `old`, everything is added.
pub fn difference(old: Option<&Loaded>, new: &Loaded) -> Difference {
    let mut before = BTreeMap::new();
    if let Some(old) = old {
        flatten("", &old.tree, &mut before);
    }
    let mut after = BTreeMap::new();
    flatten("", &new.tree, &mut after);

    let mut difference = Difference::default();
    for (key, value) in after {
        match before.remove(&key) {
            None => drop(difference.added.insert(key, value)),
            Some(was) if was != value => drop(difference.changed.insert(key, (was, value))),
            Some(_) => {}
        }
    }
    difference.removed = before;
    difference
}

/// Keys of the user's own are not ours to record: nobody checked that they hold no secret.
fn flatten(path: &str, node: &Node, found: &mut BTreeMap<String, String>) {
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
