//! Which objects a patch's target means.

use regex::Regex;
use serde_json::{Map, Value};

use super::budget::Budget;
use super::facts::group_version;
use super::object::Object;
use super::written::Target;
use super::{Outside, outside};

/// The places of the objects a target means.
pub(super) fn places(list: &[Object], target: &Target, budget: &mut Budget) -> Result<Vec<usize>, Outside> {
    let said = [&target.group, &target.version, &target.kind, &target.name, &target.namespace];
    budget.spend(said.iter().map(|text| cost(text)).sum())?;
    let Target { group, version, kind, name, namespace, label_selector, annotation_selector } = target;
    let [group, version, kind, name, namespace] = [group, version, kind, name, namespace].map(|text| pattern(text));
    let (group, version, kind, name, namespace) = (group?, version?, kind?, name?, namespace?);
    let (labels, annotations) = (requirements(label_selector)?, requirements(annotation_selector)?);
    let conditions = labels.len() + annotations.len();
    let patterns: usize = said.iter().filter(|text| !is_word(text)).map(|text| text.len()).sum();
    for object in list {
        let names = object.name().len() + object.namespace().map_or(0, str::len) + object.kind().len();
        budget.spend(4 + conditions + names.saturating_mul(patterns) / 64)?;
    }
    let fits = |pattern: &Option<Regex>, text: &str| pattern.as_ref().is_none_or(|pattern| pattern.is_match(text));
    let selected = |object: &Object| {
        let (first, now) = (object.first_id(), object.id());
        let (its_group, its_version) = group_version(object.api_version());
        (fits(&namespace, &first.namespace) || fits(&namespace, &now.namespace))
            && (fits(&name, &first.name) || fits(&name, &now.name))
            && fits(&group, its_group)
            && fits(&version, its_version)
            && fits(&kind, object.kind())
            && labels.iter().all(|wanted| wanted.holds(object.map("labels")))
            && annotations.iter().all(|wanted| wanted.holds(object.map("annotations")))
    };
    Ok(list.iter().enumerate().filter(|(_, object)| selected(object)).map(|(place, _)| place).collect())
}

/// What it costs to make a pattern of a text.
fn cost(text: &str) -> usize {
    if text.is_empty() { 0 } else { 20 + text.len() * if is_word(text) { 1 } else { 8 } }
}

/// Whether it is a pattern of nothing but itself, which is found fast.
fn is_word(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-/".contains(&b))
}

/// The whole of a name, as a regular expression in which Go and we cannot differ.
fn pattern(text: &str) -> Result<Option<Regex>, Outside> {
    if text.is_empty() {
        return Ok(None);
    }
    let known = |c: char| c.is_ascii_alphanumeric() || "._-*+?|()/".contains(c);
    if text.len() > 200 || !text.chars().all(known) || text.contains("(?") {
        return outside("a target is a regular expression of the rarer kind");
    }
    let made = regex::RegexBuilder::new(&format!("^(?:{text})$")).size_limit(1 << 20).build();
    made.map(Some).map_err(|_| Outside::new("a target is not a regular expression"))
}

/// One condition of a label selector.
enum Wanted<'t> {
    Is(&'t str, &'t str),
    IsNot(&'t str, &'t str),
    Exists(&'t str),
    Lacks(&'t str),
}

impl Wanted<'_> {
    fn holds(&self, map: Option<&Map<String, Value>>) -> bool {
        let have = |key: &str| map.and_then(|map| map.get(key)).and_then(Value::as_str);
        match *self {
            Self::Is(key, value) => have(key) == Some(value),
            Self::IsNot(key, value) => have(key) != Some(value),
            Self::Exists(key) => have(key).is_some(),
            Self::Lacks(key) => have(key).is_none(),
        }
    }
}

fn requirements(selector: &str) -> Result<Vec<Wanted<'_>>, Outside> {
    if selector.is_empty() {
        return Ok(Vec::new());
    }
    let word = |text: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
        let ends = text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric());
        ends && text.len() <= 63 && text.bytes().all(inner)
    };
    let mut wanted = Vec::new();
    for part in selector.split(',').map(str::trim) {
        let (requirement, key, value) = if let Some((key, value)) = part.split_once("!=") {
            (Wanted::IsNot(key.trim(), value.trim()), key.trim(), value.trim())
        } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            (Wanted::Is(key.trim(), value.trim()), key.trim(), value.trim())
        } else if let Some(key) = part.strip_prefix('!') {
            (Wanted::Lacks(key.trim()), key.trim(), "x")
        } else {
            (Wanted::Exists(part), part, "x")
        };
        if !word(key) || !word(value) || value.contains('/') || matches!(key, "in" | "notin") {
            return outside("a selector of the rarer kind");
        }
        wanted.push(requirement);
    }
    Ok(wanted)
}
