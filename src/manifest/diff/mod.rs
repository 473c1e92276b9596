//! What a person reads of a change: each object by itself, written as YAML, its changed lines with some around them.
//!
//! ```text
//! Value ──lines──▶ (compared text, shown text, path) ──align──▶ runs ──hunks──▶ ObjectDiff
//!                   secret::… decides what is shown
//! ```
//!
//! Lines are compared as they are and shown redacted, so that a secret's change is always visible and its value never:
//! what is shown holds neither the value nor anything it could be guessed by, at most its fingerprint under a key. Digests
//! and policies never pass through here (invariant 15).
//!
//! All bounds are sizes, not times: the same objects give the same text on a busy machine.

mod align;
mod lines;
mod quiet;
mod quoted;
mod secret;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::ObjectKey;

use super::fingerprint::Fingerprints;
use super::notable::{Notable, notable};
use super::order::{apply_order, delete_order};
use super::sealed::{self, is_sealed};
use super::set::{Object, RenderedSet};
use align::{Run, align};
use lines::{Line, lines};
use quiet::{Hidden, hidden};
use secret::Mark;

pub use quiet::Quiet;
pub use quoted::without_secrets;

/// Lines kept around a change, as `diff -u` does.
const CONTEXT: usize = 3;
/// Bytes of one object that are compared line by line; the API server takes no request over 3 MiB.
const MOST_COMPARED: usize = 3 * 1024 * 1024;
/// Lines shown of one object; more becomes a summary. The largest CRDs in use have 20,000.
const MOST_LINES: usize = 25_000;
/// Bytes shown of one object; more becomes a summary.
const MOST_BYTES: usize = 2 * 1024 * 1024;
/// Characters shown of one line; the rest is counted.
const LONGEST_LINE: usize = 1_000;
/// Paths named by a summary.
const MOST_PATHS: usize = 20;

/// What happens to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// It is new.
    Added,
    /// Its content differs.
    Changed,
    /// It leaves.
    Removed,
}

/// One object's difference, redacted and without invisible characters: fit to be stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectDiff {
    /// Which object.
    pub key: ObjectKey,
    /// What happens to it.
    pub verb: Verb,
    /// The file it comes from (came from, when it is removed).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Lines that are new.
    pub plus: usize,
    /// Lines that leave.
    pub minus: usize,
    /// What is shown of it.
    pub body: Body,
    /// What is looked for first in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notable: Vec<Notable>,
    /// How many of its fields changed and are not shown, by the name of the rule that hides them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hidden: BTreeMap<String, usize>,
}

/// What is shown of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// Nothing but its name: it is removed.
    Name,
    /// Its lines.
    Hunks(Vec<Hunk>),
    /// Too large to be shown: the paths that differ, with their sizes. All its lines count as plus and minus when it is
    /// even too large to be compared.
    TooLarge(Vec<String>),
}

/// Lines that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hunk {
    /// Where in the object its first change is: `spec.template.spec.containers[web]`; empty at the root.
    pub path: String,
    /// Each begins with ` `, `+` or `-`, and holds no line break.
    pub lines: Vec<String>,
}

/// How much text may still be shown, in bytes: shared by all objects of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room(pub usize);

impl Default for Room {
    /// 16 MiB: a whole render of half the permitted size, shown in full.
    fn default() -> Self {
        Self(16 * 1024 * 1024)
    }
}

/// How differences are written; never what is different.
#[derive(Clone, Copy)]
pub struct Manner<'m> {
    /// What tells hidden values apart; without it nothing is said of them.
    pub fingerprints: Option<&'m Fingerprints>,
    /// Which fields nobody wants to read.
    pub quiet: &'m Quiet<'m>,
}

impl Manner<'_> {
    /// Everything is shown but secrets, of which nothing is said.
    pub const PLAIN: Self = Manner { fingerprints: None, quiet: &|_, _, _| None };

    fn mark(&self) -> Mark<'_> {
        self.fingerprints.map_or(Mark::Bare, Mark::Of)
    }
}

/// Everything that differs between two sets of one environment, in the order it would be done: added and changed as
/// they are applied, then removed as they are deleted. `None` is the empty set.
pub fn compare(old: Option<&RenderedSet>, new: &RenderedSet, manner: Manner<'_>, room: &mut Room) -> Vec<ObjectDiff> {
    let before = |key| old.and_then(|old| old.objects.get(key));
    let applied = apply_order(new.objects.keys()).into_iter().map(|key| (before(key), new.objects.get(key)));
    let gone = old.iter().flat_map(|old| delete_order(old.objects.keys()));
    let gone = gone.filter(|key| !new.objects.contains_key(key)).map(|key| (before(key), None));
    applied.chain(gone).filter_map(|(old, new)| diff(old, new, manner, room)).collect()
}

/// The difference of one object; `None` when there is none.
pub fn diff(old: Option<&Object>, new: Option<&Object>, manner: Manner<'_>, room: &mut Room) -> Option<ObjectDiff> {
    let named = |object: &Object, verb| ObjectDiff {
        key: object.key.clone(),
        verb,
        file: object.file.clone(),
        plus: 0,
        minus: 0,
        body: Body::Name,
        notable: Vec::new(),
        hidden: BTreeMap::new(),
    };
    match (old, new) {
        (None, None) => None,
        (Some(old), None) => Some(named(old, Verb::Removed)),
        (None, Some(new)) => {
            let shown = ObjectDiff { notable: notable(None, new), ..named(new, Verb::Added) };
            Some(written(shown, None, &new.json, manner, room))
        }
        (Some(old), Some(new)) if old.hash == new.hash => None,
        (Some(old), Some(new)) => {
            let shown = ObjectDiff { notable: notable(Some(old), new), ..named(new, Verb::Changed) };
            Some(written(shown, Some(&old.json), &new.json, manner, room))
        }
    }
}

/// The paths at which two values differ, as the API server writes them (`.data.a`), at most `most`: names, and no values.
pub fn differing(old: &Value, new: &Value, most: usize) -> Vec<String> {
    let paths = lines::changed_paths(old, new, most).into_iter();
    paths.map(|path| format!(".{}", path.rsplit_once(" (").map_or(path.as_str(), |(path, _sizes)| path))).collect()
}

/// Whether a value of this name would not be shown to people as it is.
pub fn looks_secret(name: &str, value: &str) -> bool {
    secret::is_secret_name(name) || secret::is_redacted(value)
}

/// Whether what comes after it in a list is such a value: `--password`.
pub fn is_secret_flag(item: &str) -> bool {
    lines::is_secret_flag(item)
}

/// The difference of an environment's own rules: what its entry in the set stands for. No hunks: they are the same.
pub fn diff_rules(old: Option<&Value>, new: &Value) -> Vec<Hunk> {
    let lines = |rules| lines(None, rules, Mark::Bare, &Hidden::new());
    let before = old.map(lines).unwrap_or_default();
    let after = lines(new);
    hunks(&before, &after, &align(&before, &after))
}

fn written(mut shown: ObjectDiff, old: Option<&Value>, new: &Value, manner: Manner<'_>, room: &mut Room) -> ObjectDiff {
    let sealed = (is_sealed(new) || old.is_some_and(is_sealed)).then(|| sealed::shown(old, new));
    let (old, new) = sealed.as_ref().map_or((old, new), |(old, new)| (old.as_ref(), new));
    let (old_bytes, old_lines) = old.map(lines::measure).unwrap_or_default();
    let (new_bytes, new_lines) = lines::measure(new);
    let summary = || Body::TooLarge(lines::changed_paths(old.unwrap_or(&Value::Null), new, MOST_PATHS));
    if old_bytes.max(new_bytes) > MOST_COMPARED {
        (shown.plus, shown.minus, shown.body) = (new_lines, old_lines, summary());
        return shown;
    }
    // What is new is read as a whole.
    let hidden = old.map(|old| hidden(&shown.key, old, new, manner.quiet)).unwrap_or_default();
    let before = old.map(|old| lines(Some(&shown.key), old, manner.mark(), &hidden)).unwrap_or_default();
    let after = lines(Some(&shown.key), new, manner.mark(), &hidden);
    let runs = align(&before, &after);
    for run in &runs {
        shown.minus += run.old.len();
        shown.plus += run.new.len();
    }
    let hunks = hunks(&before, &after, &runs);
    let bytes: usize = hunks.iter().flat_map(|hunk| &hunk.lines).map(String::len).sum();
    let count: usize = hunks.iter().map(|hunk| hunk.lines.len()).sum();
    shown.body = if count > MOST_LINES || bytes > MOST_BYTES.min(room.0) {
        summary()
    } else {
        room.0 -= bytes;
        for rule in hidden.into_values() {
            *shown.hidden.entry(rule).or_default() += 1;
        }
        Body::Hunks(hunks)
    };
    shown
}

/// Groups the runs, with their context, into hunks; runs whose context would touch share one.
fn hunks(before: &[Line], after: &[Line], runs: &[Run]) -> Vec<Hunk> {
    // A value that was there before and is another one now is said to have changed; a new one is only redacted.
    let left: BTreeSet<&str> = runs
        .iter()
        .flat_map(|run| &before[run.old.clone()])
        .filter(|line| line.secret)
        .map(|line| &*line.path)
        .collect();
    let mut groups: Vec<Vec<&Run>> = Vec::new();
    for run in runs {
        match groups.last_mut() {
            Some(group) if group.last().is_some_and(|last| run.new.start - last.new.end <= 2 * CONTEXT) => {
                group.push(run)
            }
            _ => groups.push(vec![run]),
        }
    }
    groups.iter().map(|group| hunk(before, after, group, &left)).collect()
}

fn hunk(before: &[Line], after: &[Line], group: &[&Run], left: &BTreeSet<&str>) -> Hunk {
    let mut lines = Vec::new();
    let mut at = group.first().map_or(0, |run| run.new.start.saturating_sub(CONTEXT));
    let mut path = None;
    for run in group {
        lines.extend(after[at..run.new.start].iter().map(|line| line.show(' ', "")));
        for line in &before[run.old.clone()] {
            path.get_or_insert(&line.within);
            lines.push(line.show('-', ""));
        }
        for line in &after[run.new.clone()] {
            path.get_or_insert(&line.within);
            let changed = if line.secret && left.contains(&*line.path) { ", changed" } else { "" };
            lines.push(line.show('+', changed));
        }
        at = run.new.end;
    }
    let end = after.len().min(at + CONTEXT);
    lines.extend(after[at..end].iter().map(|line| line.show(' ', "")));
    Hunk { path: path.map(ToString::to_string).unwrap_or_default(), lines }
}

#[cfg(test)]
mod tests;
