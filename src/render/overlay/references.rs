//! Names of other objects, written anew once those objects have other names.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::budget::Budget;
use super::facts::{Facts, Gvk};
use super::object::{NO_NAMESPACE, Object};
use super::{Outside, fields, outside, text};

/// Follows every reference of every object.
pub(super) fn follow(list: &mut [Object], budget: &mut Budget) -> Result<(), Outside> {
    let all: Vec<Named> = list.iter().map(Named::of).collect();
    // Only what had another name, or another namespace, is ever looked for.
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, named) in all.iter().enumerate() {
        for name in &named.names {
            let places = by_name.entry(name).or_default();
            if places.last() != Some(&place) {
                places.push(place);
            }
        }
    }
    // Everything is walked even when nothing was renamed: kustomize does, and refuses what it cannot walk through.
    for (place, object) in list.iter_mut().enumerate() {
        let me = &all[place];
        let role = role_ref(object);
        let namespaces = subjects_namespaces(object)?;
        let first = object.first_id();
        for (target, spec) in Facts::get().references_of(me.kind.as_str()) {
            if !spec.of.selects(&first.api_version, &first.kind) {
                continue;
            }
            let is_role = spec.path.len() == 2 && spec.path[0].name == "roleRef";
            let search = Search {
                all: &all,
                by_name: &by_name,
                me,
                target,
                role: role.as_ref().filter(|_| is_role),
                namespaces: &namespaces,
            };
            let mut json = Value::Object(std::mem::take(&mut object.json));
            let mut act = |at: &mut Value, budget: &mut Budget| search.set(at, budget);
            let walked = fields::at(&mut json, &spec.path, None, &mut act, budget);
            if let Value::Object(map) = json {
                object.json = map;
            }
            walked?;
        }
    }
    Ok(())
}

/// What is asked of an object that may be meant.
struct Named {
    api_version: String,
    kind: String,
    name: String,
    written_namespace: Option<String>,
    namespace: String,
    first_namespace: String,
    /// The names it had before.
    names: Vec<String>,
    /// The kinds it had before.
    kinds: Vec<String>,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
}

impl Named {
    fn of(object: &Object) -> Self {
        let id = object.id();
        Self {
            namespace: id.namespace,
            first_namespace: object.first_id().namespace,
            written_namespace: object.namespace().map(str::to_owned),
            names: object.previous.iter().map(|id| id.name.clone()).collect(),
            kinds: object.previous.iter().map(|id| id.kind.clone()).collect(),
            prefixes: object.prefixes.clone(),
            suffixes: object.suffixes.clone(),
            api_version: id.api_version,
            kind: id.kind,
            name: id.name,
        }
    }

    fn was(&self, of: &Gvk) -> bool {
        self.kinds.iter().any(|kind| of.selects(&self.api_version, kind))
    }
}

struct Search<'s> {
    all: &'s [Named],
    by_name: &'s HashMap<&'s str, Vec<usize>>,
    /// Who refers.
    me: &'s Named,
    /// The kind that is referred to.
    target: &'s Gvk,
    /// What a binding says it binds.
    role: Option<&'s Gvk>,
    /// Namespaces of the accounts a binding names.
    namespaces: &'s BTreeSet<String>,
}

impl Search<'_> {
    fn set(&self, at: &mut Value, budget: &mut Budget) -> Result<(), Outside> {
        match at {
            Value::Null => Ok(()),
            Value::Array(items) => items.iter_mut().try_for_each(|item| match item {
                Value::Object(_) => self.set_mapping(item, budget),
                Value::Null => Ok(()),
                Value::Array(_) => outside("a reference is a list of lists"),
                Value::Bool(_) | Value::Number(_) | Value::String(_) => self.set_scalar(item, budget),
            }),
            Value::Object(_) => self.set_mapping(at, budget),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => self.set_scalar(at, budget),
        }
    }

    fn set_scalar(&self, at: &mut Value, budget: &mut Budget) -> Result<(), Outside> {
        let Value::String(name) = at else { return outside("a name that is referred to is not text") };
        if let Some(found) = self.find(name, |_| true, |a, b| a.name == b.name, budget)? {
            budget.written(found.name.len())?;
            *at = name_of(found)?;
        }
        Ok(())
    }

    /// A mapping with `name`, and maybe `namespace`: both are written.
    fn set_mapping(&self, at: &mut Value, budget: &mut Budget) -> Result<(), Outside> {
        let Value::Object(map) = at else { return outside("a reference is not a mapping") };
        let Some(Value::String(name)) = map.get("name") else { return outside("a reference has no name") };
        let namespace = match map.get("namespace") {
            None => None,
            Some(Value::String(namespace)) => Some(namespace.clone()),
            Some(_) => return outside("a reference's namespace is not text"),
        };
        let inside =
            |of: fn(&Named) -> &str, named: &Named, wanted: &str| of(named) == wanted && wanted != NO_NAMESPACE;
        let first = |named: &Named, wanted: &str| inside(|named| &named.first_namespace, named, wanted);
        let now = |named: &Named, wanted: &str| inside(|named| &named.namespace, named, wanted);
        // All are gone through for it.
        budget.spend(if namespace.is_some() { 1 + self.all.len() / 4 } else { 0 })?;
        // Where any object was in that namespace at first, only those are looked at.
        let any_at_first = namespace
            .as_deref()
            .is_some_and(|wanted| self.all.iter().any(|named| self.is_candidate(named) && first(named, wanted)));
        let fits = |named: &Named| match namespace.as_deref() {
            None => true,
            Some(wanted) if any_at_first => first(named, wanted),
            Some(wanted) => now(named, wanted),
        };
        let same = |a: &Named, b: &Named| a.name == b.name && a.written_namespace == b.written_namespace;
        let Some(found) = self.find(name, fits, same, budget)? else { return Ok(()) };
        if found.name == *name && found.written_namespace.is_none() {
            return Ok(());
        }
        let new = name_of(found)?;
        budget.written(found.name.len() + found.written_namespace.as_ref().map_or(0, String::len))?;
        map.insert("name".to_owned(), new);
        if let Some(namespace) = &found.written_namespace {
            if !text::is_text(namespace) {
                return outside("a namespace reads like a number");
            }
            map.insert("namespace".to_owned(), namespace.as_str().into());
        }
        Ok(())
    }

    /// Whether it is in reach of who refers: in its namespace, or in none.
    fn is_candidate(&self, named: &Named) -> bool {
        self.me.namespace == NO_NAMESPACE
            || named.namespace == NO_NAMESPACE
            || named.namespace == self.me.namespace
            || named.written_namespace.as_ref().is_some_and(|namespace| self.namespaces.contains(namespace))
    }

    fn find(
        &self,
        name: &str,
        fits: impl Fn(&Named) -> bool,
        same: impl Fn(&Named, &Named) -> bool,
        budget: &mut Budget,
    ) -> Result<Option<&Named>, Outside> {
        let me = self.me;
        let near = |named: &Named| {
            me.namespace == NO_NAMESPACE
                || named.namespace == NO_NAMESPACE
                || named.kind == "ServiceAccount"
                || named.namespace == me.namespace
        };
        let places = self.by_name.get(name).map(Vec::as_slice).unwrap_or_default();
        budget.spend(1 + places.len().saturating_mul(4))?;
        let mut found: Vec<&Named> = places
            .iter()
            .map(|place| &self.all[*place])
            .filter(|named| self.is_candidate(named) && fits(named))
            .filter(|named| named.was(self.target) && self.role.is_none_or(|role| named.was(role)) && near(named))
            .collect();
        if let [only] = found.as_slice() {
            return Ok(Some(only));
        }
        let ends = |a: &[String], b: &[String], either_empty: bool| {
            (either_empty && (a.is_empty() || b.is_empty())) || same_ending(a, b)
        };
        let alike = |named: &&Named, either_empty: bool| {
            ends(&named.prefixes, &me.prefixes, either_empty) && ends(&named.suffixes, &me.suffixes, either_empty)
        };
        found.retain(|named| alike(named, true));
        if found.len() > 1 {
            found.retain(|named| alike(named, false));
        }
        match found.as_slice() {
            [] => Ok(None),
            [first, rest @ ..] if rest.iter().all(|other| same(first, other)) => Ok(Some(first)),
            _ => outside("a name could be that of several objects"),
        }
    }
}

/// It is written without quotes, as what it reads like.
fn name_of(found: &Named) -> Result<Value, Outside> {
    if text::is_text(&found.name) { Ok(found.name.as_str().into()) } else { outside("a name reads like a number") }
}

/// Whether the shorter is how the longer ends.
fn same_ending(a: &[String], b: &[String]) -> bool {
    let (short, long) = if a.len() > b.len() { (b, a) } else { (a, b) };
    if short.is_empty() { long.is_empty() } else { long.ends_with(short) }
}

/// Group and kind of what a binding binds, where it says both.
fn role_ref(object: &Object) -> Option<Gvk> {
    let role = object.json.get("roleRef")?;
    let word = |key: &str| role.get(key).and_then(Value::as_str).map(str::to_owned);
    Some(Gvk { group: word("apiGroup")?, version: String::new(), kind: word("kind")? })
}

fn subjects_namespaces(object: &Object) -> Result<BTreeSet<String>, Outside> {
    let subjects = match object.json.get("subjects") {
        Some(Value::Array(subjects)) if object.kind() == "RoleBinding" => subjects,
        _ => return Ok(BTreeSet::new()),
    };
    let mut namespaces = BTreeSet::new();
    for subject in subjects {
        let account = subject.get("kind").and_then(Value::as_str) == Some("ServiceAccount");
        match subject.get("namespace") {
            Some(Value::String(namespace)) if account => {
                namespaces.insert(namespace.clone());
            }
            Some(Value::String(_)) | None => {}
            Some(_) => return outside("a subject's namespace is not text"),
        }
    }
    Ok(namespaces)
}
