//! What of a live object is ours: the fields the server lists for our field manager, with their values.
//!
//! The server rewrites what it is sent (quantities, defaults, admission), so what was sent is never compared with what
//! is live. Instead the server's answer to our write is projected to our fields and hashed, and a later look at the
//! object is projected and hashed alike. Equal hashes: nobody touched anything of ours.

use serde_json::{Map, Value};

use crate::manifest::HashKey;

use super::FIELD_MANAGER;

/// One level of a `fieldsV1`: paths and what is below them.
type Fields = Map<String, Value>;

/// Of our fields and their values in a live object, under the installation's key: values may be secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LiveHash(pub [u8; 32]);

impl std::fmt::Debug for LiveHash {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "LiveHash({})", &hex::encode(self.0)[..12])
    }
}

impl LiveHash {
    /// Hashes what is ours of `live`. `sent` is the object as we sent it: where it has an empty map or list, others
    /// may fill it without taking anything from us.
    pub fn of(key: &HashKey, live: &Value, sent: &Value) -> Self {
        let (fields, values) = match own_entry(live).and_then(|entry| entry.get("fieldsV1")).and_then(Value::as_object)
        {
            Some(fields) => (Value::Object(fields.clone()), project(live, fields, Some(sent))),
            None => (Value::Null, Value::Null),
        };
        Self(key.hash(&Value::Array(vec![fields, values])).0)
    }
}

/// Our entry of `metadata.managedFields`: applied by us, not to a subresource. An `Update` under our name is another
/// owner.
pub(super) fn own_entry(live: &Value) -> Option<&Value> {
    live.pointer("/metadata/managedFields")?.as_array()?.iter().find(|entry| {
        entry.get("manager").and_then(Value::as_str) == Some(FIELD_MANAGER)
            && entry.get("operation").and_then(Value::as_str) == Some("Apply")
            && entry.get("subresource").and_then(Value::as_str).unwrap_or_default().is_empty()
    })
}

/// Whether the server lists us as an applier of the object.
pub fn applied_by_us(live: &Value) -> bool {
    own_entry(live).is_some()
}

/// The fields that are ours, as the server lists them.
pub fn own_fields(live: &Value) -> Option<&Value> {
    own_entry(live)?.get("fieldsV1")
}

pub(super) fn project(live: &Value, fields: &Fields, sent: Option<&Value>) -> Value {
    if fields.keys().all(|name| name == ".") {
        return match sent {
            Some(Value::Object(map)) if map.is_empty() => Value::Object(Map::new()),
            Some(Value::Array(list)) if list.is_empty() => Value::Array(Vec::new()),
            _ => live.clone(),
        };
    }
    match live {
        Value::Object(map) => Value::Object(project_map(map, fields, sent)),
        Value::Array(list) => Value::Array(project_list(list, fields, sent)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => live.clone(),
    }
}

/// A field we own and that is absent in the live object is normal (a zero value we sent); it is left out.
fn project_map(map: &Map<String, Value>, fields: &Fields, sent: Option<&Value>) -> Map<String, Value> {
    let ours = |(path, below): (&String, &Value)| {
        let name = path.strip_prefix("f:")?;
        let value = map.get(name)?;
        let sent = sent.and_then(|sent| sent.get(name));
        Some((name.to_owned(), project(value, below.as_object()?, sent)))
    };
    fields.iter().filter_map(ours).collect()
}

/// In the order of the live list, since a change of order is a change of ours; items of others are left out.
fn project_list(list: &[Value], fields: &Fields, sent: Option<&Value>) -> Vec<Value> {
    let mut keyed: Vec<(Map<String, Value>, &Fields)> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    let mut indices: Vec<(usize, &Fields)> = Vec::new();
    for (path, below) in fields {
        let Some(below) = below.as_object() else { continue };
        if let Some(keys) = path.strip_prefix("k:").and_then(|json| serde_json::from_str(json).ok()) {
            keyed.push((keys, below));
        } else if let Some(value) = path.strip_prefix("v:").and_then(|json| serde_json::from_str(json).ok()) {
            values.push(value);
        } else if let Some(index) = path.strip_prefix("i:").and_then(|index| index.parse().ok()) {
            indices.push((index, below));
        }
    }
    let sent_items = sent.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let ours = |(at, item): (usize, &Value)| {
        if let Some((keys, below)) = keyed.iter().find(|(keys, _)| matches_keys(item, keys, Missing::IsZero)) {
            if below.len() == 1 && below.contains_key(".") {
                return Some(Value::Object(keys.clone()));
            }
            let sent = sent_items.iter().find(|sent| matches_keys(sent, keys, Missing::IsAny));
            return Some(project(item, below, sent));
        }
        if values.contains(item) {
            return Some(item.clone());
        }
        indices.iter().find(|(index, _)| *index == at).map(|(_, below)| project(item, below, sent_items.get(at)))
    };
    list.iter().enumerate().filter_map(ours).collect()
}

/// What a key means that an item of a list does not have.
#[derive(Clone, Copy)]
enum Missing {
    /// In a live object: the zero value of its type, as the server keys such an item.
    IsZero,
    /// In what we sent: whatever the server filled in.
    IsAny,
}

fn matches_keys(item: &Value, keys: &Map<String, Value>, missing: Missing) -> bool {
    keys.iter().all(|(name, wanted)| match (item.get(name), missing) {
        (Some(value), _) => value == wanted,
        (None, Missing::IsAny) => true,
        (None, Missing::IsZero) => match wanted {
            Value::String(text) => text.is_empty(),
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::Bool(flag) => !flag,
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        },
    })
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
