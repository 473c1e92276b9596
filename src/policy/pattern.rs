//! Placeholders: `"{app}-{site}"` stands for one environment for each folder that matches and each value of `for`.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{Key, Node, Value};
use super::located::{Complaints, Located};

/// What each placeholder of a pattern stands for, for one environment.
pub type Binding = BTreeMap<String, String>;

/// The placeholders of a text, in order; an error is the advice that mends its braces.
pub fn placeholders(text: &str) -> Result<Vec<&str>, &'static str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(brace) = rest.find(['{', '}']) {
        let inner = rest[brace..].strip_prefix('{').and_then(|after| after.split_once('}'));
        let Some((name, after)) = inner else { return Err("close each `{` with a `}`, around a name") };
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if name.is_empty() || name.len() > 63 || !plain {
            return Err("between `{` and `}` stands a name of letters, digits and `_`");
        }
        found.push(name);
        rest = after;
    }
    Ok(found)
}

/// `text` with its placeholders filled in; the error is the first that stands for nothing.
pub fn fill(text: &str, binding: &Binding) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        filled.push_str(before);
        filled.push_str(binding.get(name).ok_or_else(|| name.to_owned())?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// A copy of a tree with every text filled in. Keys stay as they are, and so do `ignore` and `verify`, whose patterns and queries
/// have braces of their own.
pub fn fill_tree(node: &Node, binding: &Binding, complaints: &mut Complaints) -> Node {
    let value = match &node.value {
        Value::Text(text) if text.contains(['{', '}']) => match filled(node, text, binding) {
            Ok(text) => Value::Text(text),
            Err(complaint) => {
                complaints.extend([complaint]);
                Value::Text(text.clone())
            }
        },
        Value::List(items) => Value::List(items.iter().map(|item| fill_tree(item, binding, complaints)).collect()),
        Value::Map(entries) => {
            let fill_entry = |(key, value): &(Key, Node)| {
                let has_braces = ["ignore", "verify"].contains(&key.name.as_str());
                let filled = if has_braces { value.clone() } else { fill_tree(value, binding, complaints) };
                (key.clone(), filled)
            };
            Value::Map(entries.iter().map(fill_entry).collect())
        }
        other => other.clone(),
    };
    Node { at: node.at.clone(), value }
}

fn filled(node: &Node, text: &str, binding: &Binding) -> Result<String, Located> {
    placeholders(text).map_err(|advice| Located::new(&node.at, format!("`{text}` cannot be read"), advice))?;
    fill(text, binding).map_err(|name| {
        let advice = if binding.is_empty() {
            "placeholders need a name with placeholders: `\"{app}-edge\":`".to_owned()
        } else {
            let known: Vec<&str> = binding.keys().map(String::as_str).collect();
            format!("capture it in `path` or list it in `for`; known here are {}", super::block::listed(&known))
        };
        Located::new(&node.at, format!("`{{{name}}}` stands for nothing"), advice)
    })
}

/// The folder of a pattern, with its captures: at most one in a segment, so that a folder is read in one way only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderPattern {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Plain(String),
    Capture { before: String, name: String, after: String },
}

impl FolderPattern {
    /// Reads `apps/{app}/edge`; the error is the advice that mends it.
    pub fn parse(path: &str) -> Result<Self, &'static str> {
        let mut segments = Vec::new();
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            segments.push(match placeholders(segment)?.as_slice() {
                [] => Segment::Plain(segment.to_owned()),
                [name] => {
                    let (before, after) = segment.split_once(&format!("{{{name}}}")).unwrap_or((segment, ""));
                    Segment::Capture { before: before.to_owned(), name: (*name).to_owned(), after: after.to_owned() }
                }
                _ => return Err("capture at most one placeholder between two slashes"),
            });
        }
        let mut seen = BTreeSet::new();
        let pattern = Self { segments };
        if pattern.captures().all(|name| seen.insert(name)) {
            Ok(pattern)
        } else {
            Err("capture each placeholder once")
        }
    }

    /// The names this path captures.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Plain(_) => None,
            Segment::Capture { name, .. } => Some(name.as_str()),
        })
    }

    /// The folder under which every match lies: the segments before the first capture.
    pub fn root(&self) -> String {
        let plain = self.segments.iter().map_while(|segment| match segment {
            Segment::Plain(text) => Some(text.as_str()),
            Segment::Capture { .. } => None,
        });
        plain.collect::<Vec<_>>().join("/")
    }

    /// What the captures stand for in `folder`; `None` when it does not match.
    pub fn matches(&self, folder: &str) -> Option<Binding> {
        let mut binding = Binding::new();
        let mut parts = folder.split('/');
        for segment in &self.segments {
            let part = parts.next()?;
            match segment {
                Segment::Plain(text) if text == part => {}
                Segment::Plain(_) => return None,
                Segment::Capture { before, name, after } => {
                    let captured = part.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?;
                    if captured.is_empty() {
                        return None;
                    }
                    binding.insert(name.clone(), captured.to_owned());
                }
            }
        }
        parts.next().is_none().then_some(binding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_in_one_way_only() {
        let pattern = FolderPattern::parse("apps/{app}/edge-{tier}").unwrap();
        let binding = pattern.matches("apps/shop/edge-a").unwrap();
        assert_eq!(binding, Binding::from([("app".into(), "shop".into()), ("tier".into(), "a".into())]));
        assert_eq!(pattern.root(), "apps");
        for other in ["apps/shop", "apps/shop/edge-", "apps/shop/edge-a/x", "apps//edge-a", "other/shop/edge-a"] {
            assert_eq!(pattern.matches(other), None, "{other}");
        }
        for bad in ["apps/{a}{b}", "apps/{a}-{b}", "{a}/{a}", "apps/{", "apps/}", "apps/{a b}", "apps/{}"] {
            assert!(FolderPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
