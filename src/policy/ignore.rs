//! `ignore:` of an environment: fields whose changes nobody wants to read. For display alone: digests, policies and the
//! rules of consent never see any of this.
//!
//! ```yaml
//! ignore:
//!   replicas: { kinds: [apps/Deployment], fields: [spec.replicas] }
//!   build-ids: { fields: ["**.annotations['example.com/build']"], values: "[0-9]+" }
//!   checksums: none     # shows what is hidden when the file says nothing
//! ```
//!
//! A field is written as the keys and items that lead to it, from the object's root: names with dots between them, and
//! `['…']` around a name that has other characters. An item of a list has the name it is called by, or its place from 0.
//! Within a name `*` is any run of characters and `?` one; a name that is `**` is any number of names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::block::{Block, Keys, map, named};
use super::document::{Node, Value};
use super::globs::{kind_matches, kind_pattern_fault, segments_match};
use super::located::Complaints;
use super::rules::Environment;
use crate::ids::{EnvironmentName, ObjectKey};

/// The keys of one rule.
pub const IGNORE_KEYS: Keys = Keys { known: &["kinds", "fields", "values"], later: &[] };

/// Rules of one environment, and fields of one rule: each is tried on every field that changed.
const MOST: usize = 50;
/// Characters of one field, and of what its values look like.
const LONGEST: usize = 500;
/// Kinds, fields and patterns of one environment, and characters of them all: a file may give thousands of environments, and
/// each has its own.
const MOST_TEXTS: usize = 200;
const MOST_CHARACTERS: usize = 8 << 10;
/// Patterns of one file: each is compiled when the file is read.
const MOST_PATTERNS: usize = 100;
/// Bytes that a compiled pattern may take: enough for moments, and compiled in half a millisecond.
const LARGEST: usize = 1 << 17;
/// Bytes of a value that a pattern is tried on; a longer one is shown.
const LONGEST_VALUE: usize = 64 << 10;

/// What is hidden when the file says nothing. It takes a rule of the same name to change one.
const KNOWN: [(&str, &[&str], &str); 2] = [
    ("checksums", &["*"], "**.annotations['checksum/*']"),
    (
        "ca-bundles",
        &[
            "admissionregistration.k8s.io/*",
            "apiextensions.k8s.io/CustomResourceDefinition",
            "apiregistration.k8s.io/APIService",
        ],
        "**.caBundle",
    ),
];

/// A rule; without fields it hides nothing, and stands in the way of a known one of its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ignore {
    /// `Kind`, `group/Kind` or `group/*`; none is every kind.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub kinds: BTreeSet<String>,
    /// Where the fields are.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub fields: BTreeSet<String>,
    /// What both values have to look like, the old one and the new one, as a whole: a regular expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<String>,
}

/// Reads the rules of an environment.
pub(super) fn ignore(node: &Node, complaints: &mut Complaints) -> Option<BTreeMap<String, Ignore>> {
    let before = complaints.len();
    let entries = map(node, "of `ignore`", complaints)?;
    let mut all = BTreeMap::new();
    for (key, node) in named(entries) {
        if key.name.parse::<EnvironmentName>().is_err() {
            let advice = "write up to 63 letters, digits, `-`, `_` or `.`, as in an environment's name";
            complaints.add(&key.at, format!("`{}` cannot be the name of a rule", key.name), advice);
        }
        match &node.value {
            // Also of one that `defaults` have.
            Value::Text(text) if text == "none" => {
                all.insert(key.name.clone(), Ignore::default());
            }
            _ => {
                all.extend(one(&key.name, node, complaints).map(|rule| (key.name.clone(), rule)));
            }
        }
    }
    if all.len() > MOST {
        complaints.add(&node.at, format!("`ignore` has more than {MOST} rules"), "make one rule of several");
    }
    let texts = || all.values().flat_map(|rule| rule.kinds.iter().chain(&rule.fields).chain(&rule.values));
    if texts().count() > MOST_TEXTS || texts().map(String::len).sum::<usize>() > MOST_CHARACTERS {
        let problem = format!("`ignore` has more than {MOST_TEXTS} texts, or {MOST_CHARACTERS} characters in them");
        complaints.add(&node.at, problem, "use `*` and `**`");
    }
    (complaints.len() == before).then_some(all)
}

fn one(name: &str, node: &Node, complaints: &mut Complaints) -> Option<Ignore> {
    let what = format!("in `{name}` of `ignore`");
    let block = Block::open(node, &what, IGNORE_KEYS, complaints)?;
    let mut rule = Ignore::default();
    for (written, at) in block.texts("kinds", complaints).unwrap_or_default() {
        if let Some(advice) = kind_pattern_fault(written) {
            complaints.add(at, format!("`{written}` names no kind"), advice);
        }
        rule.kinds.insert(written.to_owned());
    }
    let fields = block.texts("fields", complaints).unwrap_or_default();
    if fields.is_empty() {
        let advice = "write where they are: `fields: [spec.replicas]`";
        complaints.add(block.at, format!("`{name}` of `ignore` names no fields"), advice);
    }
    for (written, at) in fields {
        match way(written) {
            Ok(_) => {
                rule.fields.insert(written.to_owned());
            }
            Err(advice) => complaints.add(at, format!("`{written}` is no field"), advice),
        }
    }
    if rule.fields.len() > MOST {
        complaints.add(block.at, format!("`{name}` of `ignore` has more than {MOST} fields"), "use `*` and `**`");
    }
    // Whether it is a pattern was said when the file was read.
    rule.values = block.text("values", complaints).map(|(written, _)| written.to_owned());
    Some(rule)
}

/// Complains about patterns that are none, in the blocks of a file as they are written: there are few of them, whatever the
/// number of environments they give. Each text is compiled once.
pub(super) fn check_patterns<'n>(blocks: impl Iterator<Item = &'n Node>, complaints: &mut Complaints) {
    let entry = |node: &'n Node, name: &str| {
        let Value::Map(entries) = &node.value else { return None };
        entries.iter().find(|(key, _)| key.name == name).map(|(_, value)| value)
    };
    let mut known: BTreeMap<&str, bool> = BTreeMap::new();
    for ignore in blocks.filter_map(|block| entry(block, "ignore")) {
        let Value::Map(rules) = &ignore.value else { continue };
        for (key, rule) in named(rules) {
            let Some(node) = entry(rule, "values") else { continue };
            let Value::Text(written) = &node.value else { continue };
            if !known.contains_key(written.as_str()) && known.len() >= MOST_PATTERNS {
                let problem = format!("the file has more than {MOST_PATTERNS} different `values` in `ignore`");
                complaints.add(&node.at, problem, "make one rule of several");
                return;
            }
            if !*known.entry(written).or_insert_with(|| pattern(written).is_some()) {
                let problem = format!("`values` of `{}` is no regular expression, or too large a one", key.name);
                let advice =
                    "write a regular expression for the whole value, as of the Rust crate regex: `sha256:[0-9a-f]{64}`";
                complaints.add(&node.at, problem, advice);
            }
        }
    }
}

/// For the whole of a value.
fn pattern(written: &str) -> Option<Regex> {
    if written.chars().count() > LONGEST {
        return None;
    }
    let sized = |text: &str| RegexBuilder::new(text).size_limit(LARGEST).build().ok();
    // By itself too, or what closes the group would be read as ours.
    sized(written).and_then(|_| sized(&format!(r"\A(?s:{written})\z")))
}

/// `a.b['c.d']` → a, b, c.d; or what to write instead.
fn way(written: &str) -> Result<Vec<String>, &'static str> {
    const SHAPE: &str = "write names with dots between them, and `['…']` around one that has other characters: \
                         `spec.template.metadata.annotations['example.com/*']`";
    if written.chars().count() > LONGEST {
        return Err("write a shorter one");
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_*?".contains(c);
    let (mut names, mut rest) = (Vec::new(), written);
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix("['") {
            let (name, after) = quoted.split_once("']").ok_or(SHAPE)?;
            names.push(name.to_owned());
            rest = after;
        } else if let Some(item) = rest.strip_prefix('[') {
            let (name, after) = item.split_once(']').ok_or(SHAPE)?;
            names.push(name.to_owned());
            rest = after;
        } else {
            let name = if names.is_empty() { rest } else { rest.strip_prefix('.').ok_or(SHAPE)? };
            let end = name.find(|c| !is_plain(c)).unwrap_or(name.len());
            let (name, after) = name.split_at(end);
            names.push(name.to_owned());
            rest = after;
        }
        if names.last().is_some_and(String::is_empty) {
            return Err(SHAPE);
        }
    }
    if names.is_empty() || names.iter().all(|name| name.chars().all(|c| c == '*')) {
        return Err("name the fields: what hides everything would hide what is consented to");
    }
    Ok(names)
}

/// The rules of an environment, ready to be asked.
#[derive(Debug)]
pub struct Noise(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    name: String,
    kinds: BTreeSet<String>,
    ways: Vec<Vec<String>>,
    values: Option<Look>,
    is_known: bool,
}

/// What values look like, compiled when a field first asks for it: most rules meet none of theirs in a change.
#[derive(Debug)]
struct Look {
    written: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Look {
    fn is_of(&self, values: [&str; 2]) -> bool {
        // A pattern that is none any more hides nothing.
        values.iter().all(|value| value.len() <= LONGEST_VALUE)
            && self
                .compiled
                .get_or_init(|| pattern(&self.written))
                .as_ref()
                .is_some_and(|pattern| values.iter().all(|value| pattern.is_match(value)))
    }
}

impl Ignore {
    /// What hides by both: rules that are the same, and in the place of each other one a rule that hides nothing.
    pub fn of_both(one: &BTreeMap<String, Self>, other: &BTreeMap<String, Self>) -> BTreeMap<String, Self> {
        let agreed = |name: &String| one.get(name).filter(|rule| other.get(name) == Some(rule)).cloned();
        one.keys().chain(other.keys()).map(|name| (name.clone(), agreed(name).unwrap_or_default())).collect()
    }
}

impl Noise {
    /// Those in force: of an environment that is new, only the known ones.
    pub fn of(environment: Option<&Environment>) -> Self {
        let none = BTreeMap::new();
        let written = environment.map_or(&none, |environment| &environment.ignore);
        let mut rules: Vec<Rule> = Vec::new();
        for (name, kinds, field) in KNOWN.iter().filter(|(name, ..)| !written.contains_key(*name)) {
            let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
            let ways = way(field).into_iter().collect();
            rules.push(Rule { name: (*name).to_owned(), kinds, ways, values: None, is_known: true });
        }
        for (name, rule) in written {
            let ways = rule.fields.iter().filter_map(|field| way(field).ok()).collect();
            let values = rule.values.clone().map(|written| Look { written, compiled: OnceLock::new() });
            rules.push(Rule { name: name.clone(), kinds: rule.kinds.clone(), ways, values, is_known: false });
        }
        Self(rules)
    }

    /// The rule that hides a field: the names that lead to it, and its two values where they are no secret. What hides a
    /// secret is hidden by no rule of a repository's; the known ones are of sums over it.
    pub fn hides(&self, key: &ObjectKey, trail: &[String], values: Option<[&str; 2]>) -> Option<String> {
        let trail: Vec<&str> = trail.iter().map(String::as_str).collect();
        let hides = |rule: &&Rule| {
            let looks = || match (values, &rule.values) {
                (None, _) => rule.is_known,
                (Some(_), None) => true,
                (Some(values), Some(look)) => look.is_of(values),
            };
            let is_way =
                |way: &Vec<String>| segments_match(&way.iter().map(String::as_str).collect::<Vec<_>>(), &trail);
            (rule.kinds.is_empty() || rule.kinds.iter().any(|kind| kind_matches(kind, &key.group, &key.kind)))
                && rule.ways.iter().any(is_way)
                // Last: values are long, and a repository writes what they are tried with.
                && looks()
        };
        self.0.iter().find(hides).map(|rule| rule.name.clone())
    }
}

#[cfg(test)]
#[path = "ignore_tests.rs"]
mod tests;
