//! The files, their includes and the environment as one tree of placed values.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environ::Environ;
use crate::policy::document::{Key, LARGEST_FILE, Node, Value};
use crate::policy::located::{Complaints, Place};

/// Reads one TOML text. `None` when it cannot be read, which `complaints` then says.
pub(super) fn read_toml(file: &str, text: &str, complaints: &mut Complaints) -> Option<Node> {
    let file: Arc<str> = file.into();
    let start = Place { file: file.clone(), line: 1, column: 1 };
    if text.len() > LARGEST_FILE {
        let problem = format!("the file has {} bytes, more than the {LARGEST_FILE} that are read", text.len());
        complaints.add(&start, problem, "split it with `include`");
        return None;
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or_else(|| start.clone(), |span| Place::of_offset(&file, text, span.start));
        let message = error.message().lines().next().unwrap_or_default();
        complaints.add(&at, format!("this is not TOML that can be read: {message}"), "correct the TOML at this place");
    }
    if !errors.is_empty() {
        return None;
    }
    let placed = Placed { file: &file, text };
    Some(Node { at: start, value: placed.table(table.get_ref()) })
}

struct Placed<'t> {
    file: &'t Arc<str>,
    text: &'t str,
}

impl Placed<'_> {
    fn at(&self, offset: usize) -> Place {
        Place::of_offset(self.file, self.text, offset)
    }

    fn table(&self, table: &DeTable<'_>) -> Value {
        let mut entries: Vec<(Key, Node)> = table
            .iter()
            .map(|(key, value)| {
                let name = key.get_ref().to_string();
                (Key { at: self.at(key.span().start), name }, self.node(value))
            })
            .collect();
        entries.sort_by(|(a, _), (b, _)| a.at.cmp(&b.at));
        Value::Map(entries)
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let read = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| Value::Strange(number.as_str().to_owned()), Value::Number),
            DeValue::Float(number) => Value::Strange(number.as_str().to_owned()),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Datetime(date) => Value::Strange(date.to_string()),
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => self.table(table),
        };
        Node { at: self.at(value.span().start), value: read }
    }
}

/// Lays `more` over `tree`: maps are joined, and a key that both have is a complaint naming both places.
pub(super) fn join(tree: &mut Node, more: Node, complaints: &mut Complaints) {
    let Node { value: Value::Map(more), .. } = more else { return };
    let Value::Map(entries) = &mut tree.value else { return };
    for (key, node) in more {
        let Some((first, present)) = entries.iter_mut().find(|(present, _)| present.name == key.name) else {
            entries.push((key, node));
            continue;
        };
        match (&present.value, &node.value) {
            (Value::Map(_), Value::Map(_)) => join(present, node, complaints),
            _ => complaints.add(&key.at, format!("`{}` is already given at {}", key.name, first.at), "remove one"),
        }
    }
}

/// The files an `include` entry names, from the folder of the file that says it, in order. A `*` may stand in the last
/// segment only; the error is advice.
pub(super) fn included(folder: &Path, glob: &str) -> Result<Vec<PathBuf>, String> {
    let path = folder.join(glob);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err("name a file, or files with `*`: `conf.d/*.toml`".to_owned());
    };
    if parent.to_string_lossy().contains('*') {
        return Err("`*` may stand in the file's name only: `conf.d/*.toml`".to_owned());
    }
    if !name.contains('*') {
        return Ok(vec![path]);
    }
    let entries = match std::fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("make the folder readable: {error}")),
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok())
        .filter(|entry| entry.file_name().to_str().is_some_and(|file| crate::policy::name_matches(name, file)))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    Ok(found)
}

/// Lays the environment's `BASCULE__…` over the tree. Each replaces the whole value of its key.
pub(super) fn lay_environment_over(tree: &mut Node, environ: &Environ, complaints: &mut Complaints) {
    for (path, variable, text) in environ.overrides() {
        let at = Place::whole(variable);
        if path.iter().any(String::is_empty) {
            complaints.add(&at, "this names no key", "write `BASCULE__SECTION__KEY` or `BASCULE__SECTION__NAME__KEY`");
            continue;
        }
        if let Some(value) = variable_value(&at, text, complaints) {
            set(tree, &path, Node { at: at.clone(), value });
        }
    }
}

/// Lists and tables are written as in the file; everything else is text, which the key's reader may take as a number.
fn variable_value(at: &Place, text: &str, complaints: &mut Complaints) -> Option<Value> {
    if !text.trim_start().starts_with(['[', '{']) {
        return Some(Value::Text(text.to_owned()));
    }
    match DeValue::parse(text) {
        Ok(value) => Some(everywhere(Placed { file: &at.file, text }.node(&value), at).value),
        Err(error) => {
            complaints.add(at, format!("this is not TOML that can be read: {}", error.message()), "correct the value");
            None
        }
    }
}

/// A variable has no lines: every place in it is the variable.
fn everywhere(node: Node, at: &Place) -> Node {
    let value = match node.value {
        Value::List(items) => Value::List(items.into_iter().map(|item| everywhere(item, at)).collect()),
        Value::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| (Key { at: at.clone(), name: key.name }, everywhere(value, at)))
                .collect(),
        ),
        other => other,
    };
    Node { at: at.clone(), value }
}

/// Sets the value at a path, making maps on the way. A variable cannot tell `my-forge` from `my_forge` or `My_Forge`,
/// so a name that is already there is found whichever way it is written.
fn set(tree: &mut Node, path: &[String], node: Node) {
    let Some((first, rest)) = path.split_first() else {
        *tree = node;
        return;
    };
    if !matches!(tree.value, Value::Map(_)) {
        tree.value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = &mut tree.value else { return };
    let same = |name: &str| name.to_ascii_lowercase().replace('-', "_") == *first;
    let index = match entries.iter().position(|(key, _)| same(&key.name)) {
        Some(index) => index,
        None => {
            let key = Key { at: node.at.clone(), name: first.clone() };
            entries.push((key, Node { at: node.at.clone(), value: Value::Map(Vec::new()) }));
            entries.len() - 1
        }
    };
    set(&mut entries[index].1, rest, node);
}
