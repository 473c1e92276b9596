//! Fields whose new value is not shown, because a rule says that nobody wants to read it: for display alone.
//!
//! A rule hides a value that became another one, in a field that is there on both sides. A field that comes or goes is
//! shown, and so is one whose path is not its own, as that of an item which shares its name with a second.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::lines::{LAST_APPLIED, is_secret_flag, item_name};
use super::secret::{is_redacted, is_secret_name};
use crate::ids::ObjectKey;

/// Answers which rule hides a field, by the keys and items that lead to it, and by both its values: those only of a field
/// that hides no secret, of which no rule of a repository's may say that nobody sees it change.
pub type Quiet<'q> = dyn Fn(&ObjectKey, &[String], Option<[&str; 2]>) -> Option<String> + 'q;

/// What is hidden of one object: the way to each field, with the rule's name.
pub(super) type Hidden = BTreeMap<Vec<String>, String>;

/// The fields of an object that are hidden.
pub(super) fn hidden(key: &ObjectKey, old: &Value, new: &Value, quiet: &Quiet<'_>) -> Hidden {
    let mut walk = Walk { key, quiet, trail: Vec::new(), hidden: Hidden::new() };
    walk.value(old, new, false);
    walk.hidden
}

struct Walk<'w, 'q> {
    key: &'w ObjectKey,
    quiet: &'w Quiet<'q>,
    trail: Vec<String>,
    hidden: Hidden,
}

impl Walk<'_, '_> {
    fn value(&mut self, old: &Value, new: &Value, is_secret: bool) {
        match (old, new) {
            (Value::Object(old), Value::Object(new)) => {
                let named = |map: &serde_json::Map<String, Value>| {
                    map.get("name").and_then(Value::as_str).is_some_and(is_secret_name)
                };
                let is_named_secret = named(old) || named(new);
                let of_secret = self.key.group.is_empty() && self.key.kind == "Secret" && self.trail.len() == 1;
                for (key, old) in old {
                    let Some(new) = new.get(key) else { continue };
                    let is_secret = is_secret_name(key)
                        || key == LAST_APPLIED
                        || (key == "value" && is_named_secret)
                        || (of_secret && (self.trail[0] == "data" || self.trail[0] == "stringData"));
                    self.below(key.clone(), old, new, is_secret);
                }
            }
            (Value::Array(old), Value::Array(new)) => {
                let before = apart(old);
                for (name, (place, item)) in apart(new) {
                    let Some((was, of_old)) = before.get(&name) else { continue };
                    let follows_flag = |list: &[Value], place: usize| {
                        place.checked_sub(1).and_then(|place| list.get(place)?.as_str()).is_some_and(is_secret_flag)
                    };
                    let is_secret = is_secret || follows_flag(old, *was) || follows_flag(new, place);
                    self.below(name, of_old, item, is_secret);
                }
            }
            (Value::Object(_) | Value::Array(_) | Value::Null, _)
            | (_, Value::Object(_) | Value::Array(_) | Value::Null) => {}
            (old, new) if old == new => {}
            (old, new) => {
                let (old, new) = (text(old), text(new));
                let is_redacted = is_secret || is_redacted(&old) || is_redacted(&new);
                let values = (!is_redacted).then_some([old.as_str(), new.as_str()]);
                if let Some(rule) = (self.quiet)(self.key, &self.trail, values) {
                    self.hidden.insert(self.trail.clone(), rule);
                }
            }
        }
    }

    fn below(&mut self, step: String, old: &Value, new: &Value, is_secret: bool) {
        self.trail.push(step);
        self.value(old, new, is_secret);
        self.trail.pop();
    }
}

/// The items of a list that no other of it is called like, each with its place.
fn apart(items: &[Value]) -> BTreeMap<String, (usize, &Value)> {
    let (mut all, mut twice) = (BTreeMap::new(), BTreeSet::new());
    for (place, item) in items.iter().enumerate() {
        let name = item_name(item, place);
        if all.insert(name.clone(), (place, item)).is_some() {
            twice.insert(name);
        }
    }
    all.retain(|name, _| !twice.contains(name));
    all
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
