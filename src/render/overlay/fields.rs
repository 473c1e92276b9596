//! Setting fields that kustomize knows the places of.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::budget::Budget;
use super::facts::{Facts, Part, Spec};
use super::object::{Id, Object};
use super::written::Replicas;
use super::{Outside, outside};

/// What is done at the end of a path. It pays for what it writes.
pub(super) type Act<'a> = &'a mut dyn FnMut(&mut Value, &mut Budget) -> Result<(), Outside>;

/// Goes down a path and acts on what it leads to, in each element of the lists on the way. Where `make` is given, what is
/// missing is made: mappings on the way, and that at its end. Nothing is made where the path expects a list.
pub(super) fn at(
    value: &mut Value,
    path: &[Part],
    make: Option<&Value>,
    act: Act<'_>,
    budget: &mut Budget,
) -> Result<(), Outside> {
    budget.spend(1)?;
    let Some((part, rest)) = path.split_first() else { return act(value, budget) };
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| at(item, path, make, act, budget)),
        Value::Object(map) => {
            if let Some(made) = make
                && !part.list
                && !map.contains_key(&part.name)
            {
                let new = if rest.is_empty() { made.clone() } else { Value::Object(Map::new()) };
                map.insert(part.name.clone(), new);
            }
            match map.get_mut(&part.name) {
                Some(Value::Null) => outside("a field that is to be set is null"),
                Some(next) => at(next, rest, make, act, budget),
                None => Ok(()),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            outside("a field that should lead on is a value")
        }
    }
}

/// Goes down the path of each spec that is for the object.
pub(super) fn each(
    object: &mut Object,
    specs: &[Spec],
    made: Option<&Value>,
    act: Act<'_>,
    budget: &mut Budget,
) -> Result<(), Outside> {
    budget.spend(specs.len())?;
    let (api_version, kind) = (object.api_version().to_owned(), object.kind().to_owned());
    let mut json = Value::Object(std::mem::take(&mut object.json));
    let walked = specs
        .iter()
        .filter(|spec| spec.of.selects(&api_version, &kind))
        .try_for_each(|spec| at(&mut json, &spec.path, made.filter(|_| spec.create), act, budget));
    if let Value::Object(map) = json {
        object.json = map;
    }
    walked
}

/// Labels on the object itself.
pub(super) fn own_labels() -> Spec {
    let part = |name: &str| Part { name: name.to_owned(), list: false };
    Spec { path: vec![part("metadata"), part("labels")], of: super::facts::Gvk::default(), create: true }
}

/// Sets one entry of the mappings at these places.
pub(super) fn entry(
    object: &mut Object,
    specs: &[Spec],
    key: &str,
    value: &str,
    budget: &mut Budget,
) -> Result<(), Outside> {
    let mut set = |at: &mut Value, budget: &mut Budget| match at {
        Value::Object(map) => {
            budget.written(key.len() + value.len())?;
            map.insert(key.to_owned(), value.into());
            Ok(())
        }
        _ => outside("labels or annotations are not a mapping"),
    };
    each(object, specs, Some(&Value::Object(Map::new())), &mut set, budget)
}

/// Puts all of them into a namespace.
pub(super) fn namespace(list: Vec<Object>, namespace: &str, budget: &mut Budget) -> Result<Vec<Object>, Outside> {
    let mut count: HashMap<Id, usize> = HashMap::new();
    for object in &list {
        *count.entry(object.id()).or_default() += 1;
    }
    // The name of a Namespace is set here too, but of the built-in kind only.
    let of_v1 = &Facts::get().namespace;
    let of_others: Vec<Spec> = of_v1.iter().filter(|spec| spec.of.kind != "Namespace").cloned().collect();
    let mut moved = Vec::with_capacity(list.len());
    for mut object in list {
        let before = object.id();
        object.remember(budget)?;
        budget.written(namespace.len())?;
        if !object.is_cluster_scoped() {
            object.set("namespace", Some(namespace.into()));
        }
        if matches!(object.kind(), "RoleBinding" | "ClusterRoleBinding") {
            subjects(&mut object, namespace, budget)?;
        }
        let specs = if object.api_version() == "v1" { of_v1 } else { &of_others };
        let mut set = |at: &mut Value, budget: &mut Budget| match at {
            Value::String(text) => {
                budget.written(namespace.len())?;
                namespace.clone_into(text);
                Ok(())
            }
            _ => outside("a namespace is not text"),
        };
        each(&mut object, specs, Some(&Value::String(String::new())), &mut set, budget)?;
        if let Some(left) = count.get_mut(&before) {
            *left -= 1;
        }
        let now = count.entry(object.id()).or_default();
        *now += 1;
        if *now > 1 {
            return outside("two objects become one in this namespace");
        }
        moved.push(object);
    }
    Ok(moved)
}

/// The namespace's own account is meant by `default`; every other subject is left alone.
fn subjects(object: &mut Object, namespace: &str, budget: &mut Budget) -> Result<(), Outside> {
    match object.json.get_mut("subjects") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(subjects)) => subjects.iter_mut().try_for_each(|subject| {
            budget.spend(1)?;
            let Value::Object(subject) = subject else { return outside("a subject is not a mapping") };
            if subject.get("namespace").is_some_and(|namespace| !namespace.is_string()) {
                return outside("a subject's namespace is not text");
            }
            if subject.get("name").and_then(Value::as_str) == Some("default") {
                budget.written(namespace.len())?;
                subject.insert("namespace".to_owned(), namespace.into());
            }
            Ok(())
        }),
        Some(_) => outside("subjects are not a list"),
    }
}

/// Sets the replicas of what has, or ever had, this name.
pub(super) fn replicas(list: &mut [Object], replicas: &Replicas, budget: &mut Budget) -> Result<(), Outside> {
    let mut found = false;
    for spec in &Facts::get().replicas {
        for object in list.iter_mut() {
            budget.spend(2 + object.previous.len())?;
            let named = |id: &Id| id.name == replicas.name && spec.of.selects(&id.api_version, &id.kind);
            if !object.previous.iter().any(named) && !named(&object.id()) {
                continue;
            }
            found = true;
            let mut set = |at: &mut Value, _: &mut Budget| match at {
                Value::Number(_) | Value::String(_) | Value::Bool(_) => {
                    *at = replicas.count.into();
                    Ok(())
                }
                _ => outside("replicas are not a number"),
            };
            each(object, std::slice::from_ref(spec), Some(&Value::from(0)), &mut set, budget)?;
        }
    }
    if found { Ok(()) } else { outside("replicas are for an object that is not there") }
}
