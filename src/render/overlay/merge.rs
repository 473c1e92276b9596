//! Strategic merge: mappings are merged, a null takes a field away, a list is replaced, unless the kind is built in and
//! its list has a key by which elements are found.
//!
//! kustomize walks through the whole object when it patches any of it, and so tidies lists that nothing patches (elements
//! with one key twice, for instance). Where it would, this is outside.

use serde_json::{Map, Value};

use super::budget::Budget;
use super::facts::{Facts, Schema};
use super::object::Object;
use super::{Outside, outside};

/// Merges a patch into an object, whose kind, name and namespace stay.
pub(super) fn apply(object: &mut Object, patch: &Object, budget: &mut Budget) -> Result<(), Outside> {
    let facts = Facts::get();
    let schema = facts.schema(object.api_version(), object.kind());
    let (api_version, kind) = (object.json.get("apiVersion").cloned(), object.json.get("kind").cloned());
    let (name, namespace) = (object.name().to_owned(), object.namespace().map(str::to_owned));
    let mut merge = Merge { facts, budget, again: object.merged };
    merge.mapping_is_tidy(&object.json, schema, true)?;
    merge.mapping(&mut object.json, &patch.json, schema, true)?;
    for (key, value) in [("apiVersion", api_version), ("kind", kind)] {
        if let Some(value) = value {
            object.json.insert(key.to_owned(), value);
        }
    }
    object.set("name", Some(name.into()));
    object.set("namespace", namespace.map(Value::from));
    object.merged = true;
    object.check()
}

struct Merge<'b> {
    facts: &'static Facts,
    budget: &'b mut Budget,
    /// Nulls of the object are no longer nulls to kustomize once it merged something into it.
    again: bool,
}

impl Merge<'_> {
    fn mapping(
        &mut self,
        old: &mut Map<String, Value>,
        new: &Map<String, Value>,
        schema: Schema,
        top: bool,
    ) -> Result<(), Outside> {
        if !top {
            may_be_embedded(schema, new)?;
        }
        for (key, value) in new {
            self.budget.spend(1)?;
            self.budget.written(key.len())?;
            no_directive(key)?;
            let (below, keys) = self.facts.below(schema, key);
            match (old.get_mut(key), value) {
                (Some(Value::Null), _) if self.again => return outside("a null is patched a second time"),
                (_, Value::Null) => {
                    old.remove(key);
                }
                (None | Some(Value::Null), value) => {
                    let added = self.added(value, below, keys)?;
                    old.insert(key.clone(), added);
                }
                (Some(Value::Object(old)), Value::Object(new)) => self.mapping(old, new, below, false)?,
                (Some(Value::Array(old)), Value::Array(new)) => self.list(old, new, below, keys)?,
                (Some(old), new) if is_scalar(old) && is_scalar(new) => {
                    self.budget.copied(new)?;
                    old.clone_from(new);
                }
                _ => return outside("a patch makes something else of a field"),
            }
        }
        Ok(())
    }

    /// What a patch adds, without the nulls in it.
    fn added(&mut self, new: &Value, schema: Schema, keys: &[String]) -> Result<Value, Outside> {
        self.budget.spend(1)?;
        match new {
            Value::Object(map) => {
                let mut added = Map::new();
                self.mapping(&mut added, map, schema, false)?;
                Ok(Value::Object(added))
            }
            Value::Array(items) => {
                let mut added = Vec::new();
                self.list(&mut added, items, schema, keys)?;
                Ok(Value::Array(added))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.budget.copied(new)?;
                Ok(new.clone())
            }
        }
    }

    fn list(&mut self, old: &mut Vec<Value>, new: &[Value], schema: Schema, keys: &[String]) -> Result<(), Outside> {
        if keys.is_empty() {
            new.iter().try_for_each(|item| self.is_plain(item))?;
            *old = new.to_vec();
            return Ok(());
        }
        let both: Vec<&Value> = old.iter().chain(new).collect();
        let keys = used_keys(&both, keys)?;
        let (of_old, of_new) = (self.marks(old.iter(), &keys)?, self.marks(new.iter(), &keys)?);
        let mut olds: Vec<Option<Value>> = std::mem::take(old).into_iter().map(Some).collect();
        let mut places = std::collections::HashMap::new();
        for (place, mark) in of_old.iter().enumerate() {
            places.insert(mark, place);
        }
        let mut merged = Vec::with_capacity(olds.len() + new.len());
        for (item, mark) in new.iter().zip(&of_new) {
            let place = places.get(mark).copied();
            let Value::Object(item) = item else { return outside("a list that is merged by a key has a value") };
            let mut whole = match place.and_then(|place| olds.get_mut(place)).and_then(Option::take) {
                Some(Value::Object(whole)) => whole,
                _ => Map::new(),
            };
            self.mapping(&mut whole, item, schema, false)?;
            match place {
                // Found by several keys, it stays behind what is new; by one, it moves to the patch's place.
                Some(place) if keys.len() > 1 => olds[place] = Some(Value::Object(whole)),
                _ => merged.push(Value::Object(whole)),
            }
        }
        merged.extend(olds.into_iter().flatten());
        *old = merged;
        Ok(())
    }

    /// What tells the elements of a list apart; none may be there twice.
    fn marks<'v>(
        &mut self,
        items: impl Iterator<Item = &'v Value>,
        keys: &[String],
    ) -> Result<Vec<Vec<String>>, Outside> {
        let mut marks = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for item in items {
            self.budget.spend(keys.len())?;
            let mark: Option<Vec<String>> = keys.iter().map(|key| item.get(key).and_then(word)).collect();
            // They are copied and compared, however long they are.
            self.budget.spend(mark.iter().flatten().map(|word| word.len() / 32).sum())?;
            match mark {
                Some(mark) if seen.insert(mark.clone()) => marks.push(mark),
                _ => return outside("a list that is merged by a key has an element twice, or without its key"),
            }
        }
        Ok(marks)
    }

    /// A list that replaces another is taken as it is, and paid for as what is copied.
    fn is_plain(&mut self, value: &Value) -> Result<(), Outside> {
        self.budget.spend(1)?;
        match value {
            Value::Null => outside("a list in a patch has a null"),
            Value::Array(items) => items.iter().try_for_each(|item| self.is_plain(item)),
            Value::Object(map) => map.iter().try_for_each(|(key, value)| {
                no_directive(key)?;
                self.budget.written(key.len())?;
                self.is_plain(value)
            }),
            Value::String(text) => self.budget.written(text.len()),
            Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }

    /// Whether walking through it leaves it as it is.
    fn mapping_is_tidy(&mut self, map: &Map<String, Value>, schema: Schema, top: bool) -> Result<(), Outside> {
        if !top {
            may_be_embedded(schema, map)?;
        }
        for (key, value) in map {
            self.budget.spend(1)?;
            let (below, keys) = self.facts.below(schema, key);
            match value {
                Value::Object(map) => self.mapping_is_tidy(map, below, false)?,
                Value::Array(items) if !keys.is_empty() => {
                    let every: Vec<&Value> = items.iter().collect();
                    if keys == [""] {
                        let words: Option<std::collections::HashSet<String>> = items.iter().map(word).collect();
                        if words.is_none_or(|words| words.len() != items.len()) {
                            return outside("a list of values that is merged has one twice");
                        }
                        continue;
                    }
                    let keys = used_keys(&every, keys)?;
                    self.marks(items.iter(), &keys)?;
                    for item in items {
                        if let Value::Object(map) = item {
                            self.mapping_is_tidy(map, below, false)?;
                        }
                    }
                }
                Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        Ok(())
    }
}

/// Of several keys those that are written: all of them everywhere, or the first alone.
fn used_keys(items: &[&Value], keys: &[String]) -> Result<Vec<String>, Outside> {
    let Some((first, more)) = keys.split_first() else { return outside("a list has no key") };
    if first.is_empty() {
        return outside("a list of values is merged");
    }
    let have =
        items.iter().flat_map(|item| more.iter().map(|key| item.get(key).is_some())).filter(|have| *have).count();
    match have {
        0 => Ok(vec![first.clone()]),
        all if all == items.len() * more.len() => Ok(keys.to_vec()),
        _ => outside("a list is merged by several keys, of which some are not written"),
    }
}

/// A mapping that names a kind of its own, within what kustomize has no list keys for: it may look those up.
fn may_be_embedded(schema: Schema, map: &Map<String, Value>) -> Result<(), Outside> {
    let is_object = map.contains_key("apiVersion") && map.contains_key("kind");
    if is_object && !matches!(schema, Schema::Type(_)) && map.values().any(has_list) {
        return outside("an object within an object");
    }
    Ok(())
}

fn has_list(value: &Value) -> bool {
    match value {
        Value::Array(_) => true,
        Value::Object(map) => map.values().any(has_list),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn no_directive(key: &str) -> Result<(), Outside> {
    if key.starts_with('$') {
        outside(format!("`{}` in a patch", key.chars().take(40).collect::<String>()))
    } else {
        Ok(())
    }
}

fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_))
}

/// A scalar as it is written.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) if number.is_i64() => Some(number.to_string()),
        _ => None,
    }
}
