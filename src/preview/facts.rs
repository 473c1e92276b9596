//! What a person who judges a change looks for first, in words: a line each, above the diffs.

use std::collections::BTreeMap;

use super::markdown::{clip, code};
use super::page::EnvironmentRow;
use super::words::{count, name, object};
use crate::manifest::Notable;

/// Objects named by one line; the rest is counted.
const OBJECTS: usize = 3;
/// Characters of a value in a comment.
const VALUE: usize = 120;

impl Notable {
    /// The fact without its object: `image shop:1 → shop:2`. `value` writes values from outside as the place wants them.
    pub fn words(&self, value: impl Fn(&str) -> String) -> String {
        let between = |old: &Option<String>, new: &Option<String>| {
            let or_none = |side: &Option<String>| side.as_deref().map_or_else(|| "not set".to_owned(), &value);
            format!("{} → {}", or_none(old), or_none(new))
        };
        match self {
            Self::Image { old: None, new: Some(new), .. } => format!("new container with image {}", value(new)),
            Self::Image { old: Some(old), new: None, .. } => format!("no container with image {} any more", value(old)),
            Self::Image { old, new, .. } => format!("image {}", between(old, new)),
            Self::Replicas { old, new } => format!("replicas {}", between(old, new)),
            Self::Resources { what, old, new, .. } => format!("{} {}", value(what), between(old, new)),
            Self::Access { given: true, what } => format!("allows {}", value(what)),
            Self::Access { given: false, what } => format!("allows no more {}", value(what)),
            Self::Exposure { what, old, new } => format!("reached by {} {}", value(what), between(old, new)),
            Self::Fixed { field } => {
                format!("{} cannot be changed in place: the sync would fail", value(field))
            }
            Self::Hook { acts } => format!("{} hook: runs once for this set, and is awaited", value(acts)),
            Self::More { count: more } => format!("{} in its lines", count(*more, "more such fact")),
        }
    }

    /// The container it is of.
    fn container(&self) -> Option<&str> {
        match self {
            Self::Image { container, .. } | Self::Resources { container, .. } => Some(container),
            Self::Replicas { .. }
            | Self::Access { .. }
            | Self::Exposure { .. }
            | Self::Fixed { .. }
            | Self::Hook { .. }
            | Self::More { .. } => None,
        }
    }

    /// [`Notable::words`] with the container, for plain text.
    pub fn sentence(&self) -> String {
        let of = self.container().map(|container| format!(" (container {container})")).unwrap_or_default();
        format!("{}{of}", self.words(str::to_owned))
    }

    /// Whether it is read before the others: what fails, who may do more, what can be reached.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::Fixed { .. } | Self::Access { given: true, .. } | Self::Exposure { .. } => true,
            Self::Image { .. }
            | Self::Replicas { .. }
            | Self::Resources { .. }
            | Self::Access { given: false, .. }
            | Self::Hook { .. }
            | Self::More { .. } => false,
        }
    }
}

/// The facts of all environments as a list, at most `most` of them, warnings first. What several objects have alike is one
/// line.
pub(super) fn facts(rows: &[EnvironmentRow], most: usize) -> String {
    let several = rows.iter().filter(|row| !row.objects().is_empty()).count() > 1;
    // Warnings first, else in the order of environments and objects.
    let mut lines: BTreeMap<(bool, usize), (String, Vec<String>)> = BTreeMap::new();
    let mut places: BTreeMap<String, (bool, usize)> = BTreeMap::new();
    for row in rows {
        for one in row.objects() {
            for fact in &one.diff.notable {
                let mark = if fact.is_warning() { "⚠ " } else { "" };
                let text = format!("{mark}{}", fact.words(|value| code(&clip(value, VALUE))));
                let next = (!fact.is_warning(), places.len());
                let place = *places.entry(text.clone()).or_insert(next);
                let within = if several { format!("{} ", name(row)) } else { String::new() };
                let named = format!("{within}{}", object(&one.diff.key));
                let (_, objects) = lines.entry(place).or_insert_with(|| (text, Vec::new()));
                if objects.last() != Some(&named) {
                    objects.push(named);
                }
            }
        }
    }
    let mut written = String::new();
    for (text, objects) in lines.values().take(most) {
        let more = objects.len().saturating_sub(OBJECTS);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let named: Vec<&str> = objects.iter().take(OBJECTS).map(String::as_str).collect();
        written.push_str(&format!("- {text}: {}{more}\n", named.join(", ")));
    }
    if lines.len() > most {
        written.push_str(&format!("- and {} more, beside the objects\n", count(lines.len() - most, "such line")));
    }
    if written.is_empty() { written } else { written + "\n" }
}
