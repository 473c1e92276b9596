//! One reader for the maps of both files: known keys are taken, unknown ones get a suggestion, those of later versions
//! are refused by name, and `x-…` is left alone.

use super::document::{Key, Node, Value};
use super::located::{Complaints, Place, did_you_mean};
use crate::ids::Span;

/// The keys of one kind of map.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    /// Keys that are read.
    pub known: &'static [&'static str],
    /// Keys the contract reserves and this version does not build: refused, never ignored.
    pub later: &'static [&'static str],
}

/// A map being read, every key of it already judged.
#[derive(Debug, Clone, Copy)]
pub struct Block<'n> {
    /// Where the map begins.
    pub at: &'n Place,
    entries: &'n [(Key, Node)],
}

impl<'n> Block<'n> {
    /// Opens a map and complains about every key that does not belong in it. `what` names the map in complaints:
    /// "in environment `staging`".
    pub fn open(node: &'n Node, what: &str, keys: Keys, complaints: &mut Complaints) -> Option<Self> {
        let entries = map(node, what, complaints)?;
        for (key, _) in named(entries) {
            judge_key(key, what, keys, complaints);
        }
        Some(Self { at: &node.at, entries })
    }

    /// The value of a key; a key with nothing after it is not there.
    pub fn get(&self, key: &str) -> Option<&'n Node> {
        let found = self.entries.iter().find(|(k, _)| k.name == key).map(|(_, value)| value);
        found.filter(|node| node.value != Value::Nothing)
    }

    /// Whether the key is written, even with nothing after it.
    pub fn place_of(&self, key: &str) -> Option<&'n Place> {
        self.entries.iter().find(|(k, _)| k.name == key).map(|(k, _)| &k.at)
    }

    /// The text of a key.
    pub fn text(&self, key: &str, complaints: &mut Complaints) -> Option<(&'n str, &'n Place)> {
        text(self.get(key)?, key, complaints)
    }

    /// The texts of a key's list.
    pub fn texts(&self, key: &str, complaints: &mut Complaints) -> Option<Vec<(&'n str, &'n Place)>> {
        let items = list(self.get(key)?, key, complaints)?;
        Some(items.iter().filter_map(|item| text(item, key, complaints)).collect())
    }

    /// `true` or `false` of a key.
    pub fn flag(&self, key: &str, complaints: &mut Complaints) -> Option<bool> {
        let node = self.get(key)?;
        match &node.value {
            Value::Flag(flag) => Some(*flag),
            Value::Text(text) if node.at.line == 0 && (text == "true" || text == "false") => Some(text == "true"),
            other => wrong_kind(node, key, other, "true or false", complaints),
        }
    }

    /// A whole number of a key, not below `least`.
    pub fn number(&self, key: &str, least: u32, complaints: &mut Complaints) -> Option<u32> {
        let node = self.get(key)?;
        let number = match &node.value {
            Value::Number(number) => *number,
            // An environment variable is always text.
            Value::Text(text) if node.at.line == 0 && text.parse::<i64>().is_ok() => text.parse().ok()?,
            other => return wrong_kind(node, key, other, "a whole number", complaints),
        };
        let fits = u32::try_from(number).ok().filter(|n| *n >= least);
        if fits.is_none() {
            let advice = format!("write a whole number from {least} to {}", u32::MAX);
            complaints.add(&node.at, format!("`{key}` is {number}"), advice);
        }
        fits
    }

    /// A duration of a key (`90s`, `5m`, `1h30m`) in seconds, from 1 s to `longest`.
    pub fn seconds(&self, key: &str, longest: u64, complaints: &mut Complaints) -> Option<u64> {
        let node = self.get(key)?;
        let read = match &node.value {
            Value::Text(text) => text.parse().ok().map(Span::seconds).filter(|s| (1..=longest).contains(s)),
            _ => None,
        };
        if read.is_none() {
            let problem = format!("`{key}` is no duration between 1s and {}", Span::of_seconds(longest));
            complaints.add(&node.at, problem, "write it as `90s`, `5m` or `1h30m`");
        }
        read
    }
}

/// The entries of a map that are ours to read: all but `x-…`.
pub fn named(entries: &[(Key, Node)]) -> impl Iterator<Item = &(Key, Node)> {
    entries.iter().filter(|(key, _)| !key.name.starts_with("x-"))
}

fn judge_key(key: &Key, what: &str, keys: Keys, complaints: &mut Complaints) {
    let name = key.name.as_str();
    if keys.known.contains(&name) {
        return;
    }
    if keys.later.contains(&name) {
        let advice = "remove it: it is reserved for a later one, and nothing it asks for would be done";
        return complaints.add(&key.at, format!("`{name}` {what} is not in this version"), advice);
    }
    let advice = match did_you_mean(name, keys.known.iter().copied()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("known here are {}; keys of your own begin with `x-`", listed(keys.known)),
    };
    complaints.add(&key.at, format!("unknown key `{name}` {what}"), advice);
}

/// `` `a`, `b`, `c` `` for people.
pub fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The entries of a map, or a complaint.
pub fn map<'n>(node: &'n Node, what: &str, complaints: &mut Complaints) -> Option<&'n [(Key, Node)]> {
    match &node.value {
        Value::Map(entries) => Some(entries),
        other => {
            let problem = format!("expected a map {what}, found {}", other.what());
            complaints.add(&node.at, problem, "write `key: value` lines here");
            None
        }
    }
}

/// The items of a list, or a complaint.
pub fn list<'n>(node: &'n Node, key: &str, complaints: &mut Complaints) -> Option<&'n [Node]> {
    match &node.value {
        Value::List(items) => Some(items),
        other => wrong_kind(node, key, other, "a list", complaints),
    }
}

/// The text of a value, or a complaint. A number or `yes` is not quietly made text: `01` would become `1`.
pub fn text<'n>(node: &'n Node, key: &str, complaints: &mut Complaints) -> Option<(&'n str, &'n Place)> {
    match &node.value {
        Value::Text(text) if !text.is_empty() => Some((text, &node.at)),
        Value::Text(_) => {
            complaints.add(&node.at, format!("`{key}` is empty"), "write a value, or remove the key");
            None
        }
        Value::Number(_) | Value::Flag(_) | Value::Strange(_) => {
            let problem = format!("`{key}` takes text, found {}", node.value.what());
            complaints.add(&node.at, problem, "put the value in quotes");
            None
        }
        other => wrong_kind(node, key, other, "text", complaints),
    }
}

/// One of a closed list of words, or a complaint with the nearest.
pub fn one_of<T: Copy>(
    written: (&str, &Place),
    key: &str,
    words: &[(&'static str, T)],
    complaints: &mut Complaints,
) -> Option<T> {
    let found = words.iter().find(|(word, _)| *word == written.0).map(|(_, value)| *value);
    if found.is_none() {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let advice = match did_you_mean(written.0, names.iter().copied()) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("write one of {}", listed(&names)),
        };
        complaints.add(written.1, format!("`{key}` cannot be `{}`", written.0), advice);
    }
    found
}

fn wrong_kind<T>(node: &Node, key: &str, found: &Value, wanted: &str, complaints: &mut Complaints) -> Option<T> {
    complaints.add(&node.at, format!("`{key}` takes {wanted}, found {}", found.what()), format!("write {wanted}"));
    None
}
