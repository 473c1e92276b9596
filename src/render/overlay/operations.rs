//! JSON patches (RFC 6902): what most of them are made of. What would be refused is outside, for the tool to refuse.

use serde::Deserialize;
use serde_json::Value;

use super::budget::Budget;
use super::object::Object;
use super::{Outside, outside};

/// One operation.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Operation {
    Add { path: String, value: Value },
    Replace { path: String, value: Value },
    Remove { path: String },
    Test { path: String, value: Value },
}

pub(super) fn read(value: Value) -> Result<Vec<Operation>, Outside> {
    let read: Result<Vec<Operation>, _> = serde_json::from_value(value);
    match read {
        Ok(operations) if !operations.is_empty() => Ok(operations),
        _ => outside("a JSON patch of the rarer kind"),
    }
}

/// Applies all of them. Who the object is stays as it was. `annotated`: kustomize has put annotations of its own there
/// before, so that there always are some.
pub(super) fn apply(
    object: &mut Object,
    operations: &[Operation],
    annotated: bool,
    budget: &mut Budget,
) -> Result<(), Outside> {
    for what in ["labels", "annotations"] {
        budget.spend(2 + object.map(what).map_or(0, serde_json::Map::len))?;
    }
    let was = (object.id(), object.namespace().map(str::to_owned));
    if annotated && object.map("annotations").is_none() {
        object.set("annotations", Some(Value::Object(serde_json::Map::new())));
    }
    let mut json = Value::Object(std::mem::take(&mut object.json));
    operations.iter().try_for_each(|operation| one(&mut json, operation, annotated, budget))?;
    let Value::Object(map) = json else { return outside("a JSON patch takes the whole object away") };
    object.json = map;
    // kustomize writes the annotations anew, where there are any.
    if object.map("annotations").is_some_and(serde_json::Map::is_empty) {
        object.set("annotations", None);
    }
    object.check()?;
    if was != (object.id(), object.namespace().map(str::to_owned)) {
        return outside("a JSON patch alters who an object is");
    }
    object.merged = false;
    Ok(())
}

fn one(json: &mut Value, operation: &Operation, annotated: bool, budget: &mut Budget) -> Result<(), Outside> {
    let (Operation::Add { path, .. }
    | Operation::Replace { path, .. }
    | Operation::Remove { path }
    | Operation::Test { path, .. }) = operation;
    budget.written(path.len())?;
    match operation {
        Operation::Add { value, .. } | Operation::Replace { value, .. } | Operation::Test { value, .. } => {
            budget.copied(value)?;
        }
        Operation::Remove { .. } => budget.spend(1)?,
    }
    let Some(pointer) = path.strip_prefix('/') else { return outside("a JSON patch of the whole object") };
    let steps: Vec<String> = pointer.split('/').map(unescaped).collect::<Result<_, _>>()?;
    budget.spend(steps.len())?;
    let Some((last, above)) = steps.split_last() else { return outside("a JSON patch of the whole object") };
    let in_metadata = steps.first().is_some_and(|step| step == "metadata");
    let in_annotations = in_metadata && steps.get(1).is_some_and(|step| step == "annotations");
    let whole = match operation {
        Operation::Add { .. } => true,
        Operation::Replace { .. } => annotated,
        Operation::Remove { .. } | Operation::Test { .. } => false,
    };
    // kustomize's own annotations are among them while it works.
    if (in_metadata && steps.len() == 1)
        || (in_annotations && steps.len() == 2 && !whole)
        || (in_annotations && matches!(operation, Operation::Test { .. }))
    {
        return outside("a JSON patch of all annotations");
    }
    let mut at = json;
    for step in above {
        let next = match at {
            Value::Object(map) => map.get_mut(step),
            Value::Array(items) => items.get_mut(index(step)?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        };
        at = match next {
            Some(next) => next,
            None => return outside("a JSON patch leads to nothing"),
        };
    }
    match (at, operation) {
        (Value::Object(map), Operation::Add { value, .. }) => {
            map.insert(last.clone(), value.clone());
            Ok(())
        }
        (Value::Object(map), Operation::Replace { value, .. }) if map.contains_key(last) => {
            map.insert(last.clone(), value.clone());
            Ok(())
        }
        (Value::Object(map), Operation::Remove { .. }) if map.contains_key(last) => {
            map.remove(last);
            Ok(())
        }
        (Value::Object(map), Operation::Test { value, .. }) if map.get(last) == Some(value) => Ok(()),
        (Value::Array(items), Operation::Add { value, .. }) => {
            let place = if last == "-" { items.len() } else { index(last)? };
            if place > items.len() {
                return outside("a JSON patch leads beyond a list");
            }
            // What is behind it moves.
            budget.spend((items.len() - place) / 16)?;
            items.insert(place, value.clone());
            Ok(())
        }
        (Value::Array(items), Operation::Replace { value, .. }) => match items.get_mut(index(last)?) {
            Some(item) => {
                *item = value.clone();
                Ok(())
            }
            None => outside("a JSON patch leads beyond a list"),
        },
        (Value::Array(items), Operation::Remove { .. }) if index(last)? < items.len() => {
            budget.spend(items.len() / 16)?;
            items.remove(index(last)?);
            Ok(())
        }
        (Value::Array(items), Operation::Test { value, .. }) if items.get(index(last)?) == Some(value) => Ok(()),
        _ => outside("a JSON patch leads to nothing, or tests what is not so"),
    }
}

fn unescaped(step: &str) -> Result<String, Outside> {
    if step.is_empty() {
        return outside("a JSON patch of a field without a name");
    }
    Ok(step.replace("~1", "/").replace("~0", "~"))
}

fn index(step: &str) -> Result<usize, Outside> {
    let is_plain =
        step == "0" || (!step.starts_with('0') && step.bytes().all(|b| b.is_ascii_digit()) && step.len() < 7);
    step.parse().ok().filter(|_| is_plain).map_or_else(|| outside("a JSON patch counts in an unusual way"), Ok)
}
