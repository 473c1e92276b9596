//! An object on its way through kustomizations, with the names it had.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::budget::{Budget, OBJECTS};
use super::facts::Facts;
use super::{Outside, outside, text};

/// What kustomize calls the namespace of what is in none.
pub(super) const NO_NAMESPACE: &str = "_non_namespaceable_";

/// Bytes of a name, of a kind, of the key of a label. No API server takes as many.
const LONGEST: usize = 512;

/// What tells objects apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Id {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
    /// `default` where none is written.
    pub(super) namespace: String,
}

/// An object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) json: Map<String, Value>,
    /// Who it was before each change of its name or namespace, oldest first.
    pub(super) previous: Vec<Id>,
    pub(super) prefixes: Vec<String>,
    pub(super) suffixes: Vec<String>,
    /// Its name gets a hash of its content.
    pub(super) hashed: bool,
    /// A strategic merge patch was applied: kustomize then reads its nulls differently.
    pub(super) merged: bool,
}

impl Object {
    /// An object as written, if it is one that is carried through unchanged where nothing changes it.
    pub(super) fn new(value: Value) -> Result<Self, Outside> {
        let Value::Object(json) = value else { return outside("a manifest is not a mapping") };
        let object = Self {
            json,
            previous: Vec::new(),
            prefixes: Vec::new(),
            suffixes: Vec::new(),
            hashed: false,
            merged: false,
        };
        object.check()?;
        Ok(object)
    }

    /// What every object must be, after each change too.
    pub(super) fn check(&self) -> Result<(), Outside> {
        let word = |value: Option<&Value>| value.and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        let Some(metadata) = self.json.get("metadata").and_then(Value::as_object) else {
            return outside("an object has no metadata");
        };
        if !word(self.json.get("apiVersion")) || !word(self.json.get("kind")) || !word(metadata.get("name")) {
            return outside("an object has no apiVersion, kind or name");
        }
        if metadata.get("namespace").is_some_and(|namespace| !word(Some(namespace))) {
            return outside("a namespace is not text");
        }
        for what in ["labels", "annotations"] {
            match metadata.get(what) {
                None => {}
                Some(Value::Object(map)) if map.values().all(Value::is_string) && !map.is_empty() => {}
                Some(_) => return outside("labels or annotations are empty, or not text"),
            }
        }
        let own = |key: &String| key.contains("config.kubernetes.io/") || key.contains("config.k8s.io/");
        if self.map("annotations").is_some_and(|all| all.keys().any(own)) {
            return outside("an object has annotations for kustomize itself");
        }
        if [self.name(), self.namespace().unwrap_or_default()].iter().any(|name| name.contains(',')) {
            return outside("a name has a comma");
        }
        // They are copied, compared and searched in for each thing that is done: no step may be longer than others.
        let words = [self.api_version(), self.kind(), self.name(), self.namespace().unwrap_or_default()];
        let mut keys = ["labels", "annotations"].into_iter().filter_map(|what| self.map(what)).flat_map(Map::keys);
        if words.iter().any(|word| word.len() > LONGEST) || keys.any(|key| key.len() > LONGEST) {
            return outside("a name is longer than any can be");
        }
        Ok(())
    }

    fn word(&self, key: &str) -> &str {
        self.json.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn api_version(&self) -> &str {
        self.word("apiVersion")
    }

    pub(super) fn kind(&self) -> &str {
        self.word("kind")
    }

    fn metadata(&self, key: &str) -> Option<&Value> {
        self.json.get("metadata").and_then(|metadata| metadata.get(key))
    }

    pub(super) fn name(&self) -> &str {
        self.metadata("name").and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn namespace(&self) -> Option<&str> {
        self.metadata("namespace").and_then(Value::as_str)
    }

    /// Labels or annotations.
    pub(super) fn map(&self, key: &str) -> Option<&Map<String, Value>> {
        self.metadata(key).and_then(Value::as_object)
    }

    /// Sets a field of the metadata; `None` takes it away.
    pub(super) fn set(&mut self, key: &str, value: Option<Value>) {
        if let Some(metadata) = self.json.get_mut("metadata").and_then(Value::as_object_mut) {
            match value {
                Some(value) => metadata.insert(key.to_owned(), value),
                None => metadata.remove(key),
            };
        }
    }

    /// Gives it another name, remembering this one.
    pub(super) fn rename(&mut self, name: String, budget: &mut Budget) -> Result<(), Outside> {
        if name.len() > LONGEST {
            return outside("a name is longer than any can be");
        }
        // It is written without quotes, as what it reads like.
        if !text::is_text(&name) {
            return outside("a name reads like a number");
        }
        self.remember(budget)?;
        budget.written(name.len())?;
        self.set("name", Some(name.into()));
        Ok(())
    }

    /// Once for each that it was: asked is only who it was at first, and whether it ever was somebody.
    pub(super) fn remember(&mut self, budget: &mut Budget) -> Result<(), Outside> {
        let id = self.id();
        budget.spend(4 + self.previous.len())?;
        if !self.previous.contains(&id) {
            budget.written(id.api_version.len() + id.kind.len() + id.name.len() + id.namespace.len())?;
            self.previous.push(id);
        }
        Ok(())
    }

    pub(super) fn is_cluster_scoped(&self) -> bool {
        Facts::get().is_cluster_scoped(self.api_version(), self.kind())
    }

    /// Who it is now.
    pub(super) fn id(&self) -> Id {
        let namespace = match self.namespace() {
            _ if self.is_cluster_scoped() => NO_NAMESPACE,
            Some(namespace) => namespace,
            None => "default",
        };
        Id {
            api_version: self.api_version().to_owned(),
            kind: self.kind().to_owned(),
            name: self.name().to_owned(),
            namespace: namespace.to_owned(),
        }
    }

    /// Who it was at first.
    pub(super) fn first_id(&self) -> Id {
        self.previous.first().cloned().unwrap_or_else(|| self.id())
    }

    /// Whether it is, or ever was, this one.
    fn was(&self, id: &Id) -> bool {
        // Asked of every object for each patch and each generator: most are told from their names alone.
        let may_be = self.name() == id.name && self.kind() == id.kind && self.api_version() == id.api_version;
        self.previous.contains(id) || (may_be && self.id() == *id)
    }
}

/// The first two that are, or ever were, this one.
pub(super) fn who_was(
    list: &[Object],
    id: &Id,
    budget: &mut Budget,
) -> Result<(Option<usize>, Option<usize>), Outside> {
    budget.spend(list.iter().map(|object| 1 + object.previous.len()).sum())?;
    let mut found = list.iter().enumerate().filter(|(_, object)| object.was(id)).map(|(place, _)| place);
    Ok((found.next(), found.next()))
}

/// Objects that are told apart by who they are.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) list: Vec<Object>,
    ids: HashSet<Id>,
}

impl Objects {
    pub(super) fn new(list: Vec<Object>) -> Result<Self, Outside> {
        let mut objects = Self::default();
        objects.append(list)?;
        Ok(objects)
    }

    pub(super) fn append(&mut self, more: Vec<Object>) -> Result<(), Outside> {
        if self.list.len() + more.len() > OBJECTS {
            return outside("it has more objects than a set may hold");
        }
        for object in more {
            if !self.ids.insert(object.id()) {
                return outside("an object is there twice");
            }
            self.list.push(object);
        }
        Ok(())
    }
}

/// The objects of a text, lists taken apart.
pub(super) fn read(text: &[u8], budget: &mut Budget) -> Result<Vec<Object>, Outside> {
    let mut objects = Vec::new();
    for document in text::documents(text, budget)? {
        take_apart(document, &mut objects, 0)?;
    }
    Ok(objects)
}

fn take_apart(mut document: Value, objects: &mut Vec<Object>, depth: usize) -> Result<(), Outside> {
    if has_null_in_list(&document) {
        return outside("a list has an empty item");
    }
    let is_list = document.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    if !is_list {
        objects.push(Object::new(document)?);
        return Ok(());
    }
    match document.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if depth < 4 => {
            items.into_iter().try_for_each(|item| take_apart(item, objects, depth + 1))
        }
        _ => outside("a list has no items"),
    }
}

fn has_null_in_list(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| item.is_null() || has_null_in_list(item)),
        Value::Object(map) => map.values().any(has_null_in_list),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
