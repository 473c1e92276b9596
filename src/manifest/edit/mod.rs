//! Writing a few values into a YAML file that people keep: its comments, its order and every other byte of it stay.
//!
//! ```text
//!   text ──▶ where each value stands ──▶ the smallest piece of text is another one ──▶ read again: exactly the edits, and nothing else
//! ```
//!
//! The proof is the last step: what is read of the new text has to be what is read of the old one with the edits done to it, in all of its
//! documents. What could be written only by guessing is refused, and why is said: anchors, aliases, tags and merged mappings, where what is
//! written is not all that is read; comments within what would go.

mod tree;
mod written;

use std::ops::Range;

use granit_parser::{ScalarStyle, StructureStyle};
use serde_json::{Map, Value};

use self::tree::{Body, Node};
use super::yaml;

/// One step from a value into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The value of a key.
    Key(String),
    /// The item of a list that has these values: what it lacks of them is none of its names.
    Item(Map<String, Value>),
    /// The item at a place.
    At(usize),
}

/// A value that becomes another one.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// Where.
    pub path: Vec<Step>,
    /// What it becomes; `None`: it goes.
    pub to: Option<Value>,
}

/// Why a text was not edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotEdited(pub String);

fn no<T>(why: &str) -> Result<T, NotEdited> {
    Err(NotEdited(why.to_owned()))
}

/// How people write a path: `.spec.containers[name="web"].image`.
pub fn shown(path: &[Step]) -> String {
    path.iter().fold(String::new(), |shown, step| match step {
        Step::Key(key) => format!("{shown}.{key}"),
        Step::At(at) => format!("{shown}[{at}]"),
        Step::Item(keys) => {
            let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("{shown}[{}]", keys.join(","))
        }
    })
}

/// The values of a text's documents, empty ones left out.
///
/// # Errors
/// It is not YAML.
pub fn documents(text: &str) -> Result<Vec<Value>, NotEdited> {
    yaml::values(text.as_bytes()).map_err(NotEdited)
}

/// What is at a path.
pub fn at<'v>(value: &'v Value, path: &[Step]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::At(at) => value.get(at),
        Step::Item(keys) => value.as_array()?.get(place(value.as_array()?, keys)?),
    })
}

/// Does an edit to a value; what leads to what it sets is made where it is not there. `false`: it cannot be done.
pub fn change(value: &mut Value, edit: &Edit) -> bool {
    let Some((last, path)) = edit.path.split_last() else {
        return edit.to.clone().map(|to| *value = to).is_some();
    };
    let mut within = value;
    for (step, next) in path.iter().zip(edit.path.iter().skip(1)) {
        if edit.to.is_some() {
            make(within, step, next);
        }
        let inner = match (step, within) {
            (Step::Key(key), Value::Object(map)) => map.get_mut(key),
            (Step::At(at), Value::Array(items)) => items.get_mut(*at),
            (Step::Item(keys), Value::Array(items)) => place(items, keys).and_then(|at| items.get_mut(at)),
            _ => None,
        };
        let Some(inner) = inner else { return false };
        within = inner;
    }
    match (last, within, edit.to.clone()) {
        (Step::Key(key), Value::Object(map), Some(to)) => {
            map.insert(key.clone(), to);
            true
        }
        (Step::Key(key), Value::Object(map), None) => map.remove(key).is_some(),
        (Step::At(at), Value::Array(items), Some(to)) if *at <= items.len() => {
            match items.get_mut(*at) {
                Some(item) => *item = to,
                None => items.push(to),
            }
            true
        }
        (Step::At(at), Value::Array(items), None) if *at < items.len() => {
            items.remove(*at);
            true
        }
        (Step::Item(keys), Value::Array(items), to) => match (place(items, keys), to) {
            (Some(at), None) => {
                items.remove(at);
                true
            }
            (Some(at), Some(to)) => {
                items[at] = to;
                true
            }
            (None, Some(to)) => {
                items.push(to);
                true
            }
            (None, None) => false,
        },
        _ => false,
    }
}

/// Makes what leads further, where it is not there.
fn make(within: &mut Value, step: &Step, next: &Step) {
    match (step, within) {
        (Step::Key(key), Value::Object(map)) if !map.contains_key(key) => {
            let is_map = matches!(next, Step::Key(_));
            map.insert(key.clone(), if is_map { Value::Object(Map::new()) } else { Value::Array(Vec::new()) });
        }
        (Step::Item(keys), Value::Array(items)) if !items.iter().any(|item| is_it(item, keys)) => {
            items.push(Value::Object(keys.clone()));
        }
        _ => {}
    }
}

fn is_it(item: &Value, keys: &Map<String, Value>) -> bool {
    item.is_object() && keys.iter().all(|(key, value)| item.get(key).is_none_or(|is| is == value))
}

/// Which item is meant, if it is exactly one.
fn place(items: &[Value], keys: &Map<String, Value>) -> Option<usize> {
    let mut found = items.iter().enumerate().filter(|(_, item)| is_it(item, keys)).map(|(at, _)| at);
    found.next().filter(|_| found.next().is_none())
}

/// A text with these values in one of its documents (of those that are not empty, from 0).
///
/// # Errors
/// [`NotEdited`]: it cannot be done without touching anything else, or without guessing.
pub fn edit(text: &str, document: usize, edits: &[Edit]) -> Result<String, NotEdited> {
    let mut wanted = documents(text)?;
    let mut new = text.to_owned();
    for edit in edits {
        let value = wanted.get_mut(document).ok_or_else(|| NotEdited("there is no such document".to_owned()))?;
        let mut smallest = Vec::new();
        match (at(value, &edit.path), &edit.to) {
            (Some(old), Some(to)) => differences(&edit.path, old, to, &mut smallest),
            (None, None) => return no("it is not there"),
            (Some(_), None) | (None, Some(_)) => smallest.push(edit.clone()),
        }
        for one in smallest {
            new = edit_one(&new, document, &one)?;
        }
        if !change(value, edit) {
            return no("there is no such place in it");
        }
    }
    if text.contains('\r') && new.lines().count() != text.lines().count() {
        return no("its lines end in a way in which no line can be added");
    }
    let read = documents(&new).map_err(|_| NotEdited("it could not be read again".to_owned()))?;
    if read == wanted { Ok(new) } else { no("more than that would be read otherwise") }
}

/// A text of its own, for a value that is a mapping.
pub fn text(value: &Value) -> String {
    written::block(value, 0) + "\n"
}

/// The smallest edits that make one value of another.
fn differences(path: &[Step], old: &Value, new: &Value, edits: &mut Vec<Edit>) {
    let below = |step: Step| path.iter().cloned().chain([step]).collect::<Vec<_>>();
    match (old, new) {
        _ if old == new => {}
        (Value::Object(old), Value::Object(new)) if !old.is_empty() && !new.is_empty() => {
            for (key, value) in new {
                match old.get(key) {
                    Some(old) => differences(&below(Step::Key(key.clone())), old, value, edits),
                    None => edits.push(Edit { path: below(Step::Key(key.clone())), to: Some(value.clone()) }),
                }
            }
            for key in old.keys().filter(|key| !new.contains_key(*key)) {
                edits.push(Edit { path: below(Step::Key(key.clone())), to: None });
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (at, (old, new)) in old.iter().zip(new).enumerate() {
                differences(&below(Step::At(at)), old, new, edits);
            }
        }
        _ => edits.push(Edit { path: path.to_vec(), to: Some(new.clone()) }),
    }
}

/// One text and its places.
struct Page<'t> {
    text: &'t str,
    comments: &'t [Range<usize>],
}

fn edit_one(text: &str, document: usize, edit: &Edit) -> Result<String, NotEdited> {
    let tree = tree::read(text)?;
    let is_empty = |node: &&Node| matches!(&node.body, Body::Scalar(ScalarStyle::Plain, text) if matches!(text.as_str(), "" | "~" | "null"));
    let root = tree.documents.iter().flatten().filter(|node| !is_empty(node)).nth(document);
    let root = root.ok_or_else(|| NotEdited("there is no such document".to_owned()))?;
    let page = Page { text, comments: &tree.comments };
    let linked = || no("an anchor, an alias, a tag or a merged mapping is in the way");
    let (mut parent, mut node) = (None, root);
    for (done, step) in edit.path.iter().enumerate() {
        if node.is_linked {
            return linked();
        }
        let found = match (&node.body, step) {
            (Body::Map(_, entries), Step::Key(key)) => entries.iter().position(|(name, _)| name.text() == Some(key)),
            (Body::List(_, items), Step::At(at)) => Some(*at).filter(|at| *at < items.len()),
            (Body::List(_, items), Step::Item(keys)) => {
                let mut found = items.iter().enumerate().filter(|(_, item)| has(item, keys)).map(|(at, _)| at);
                found.next().filter(|_| found.next().is_none())
            }
            _ => return no("there is no such place in it"),
        };
        let Some(at) = found else {
            let Some(to) = &edit.to else { return no("it is not there") };
            return page.adds(node, step, nested(&edit.path[done + 1..], to.clone(), step));
        };
        let inner = match &node.body {
            Body::Map(_, entries) => entries.get(at).map(|(_, value)| value),
            Body::List(_, items) => items.get(at),
            Body::Scalar(..) => None,
        };
        parent = Some((node, at));
        node = inner.ok_or_else(|| NotEdited("there is no such place in it".to_owned()))?;
    }
    if node.links() {
        return linked();
    }
    match (&edit.to, parent) {
        (Some(to), _) => page.replaces(node, to),
        (None, Some((parent, at))) => page.removes(parent, at),
        (None, None) => no("a whole document does not go"),
    }
}

/// What is added below the last step that is there.
fn nested(rest: &[Step], to: Value, from: &Step) -> Value {
    let inner = match rest.split_first() {
        None => to,
        Some((Step::Key(key), more)) => {
            Value::Object([(key.clone(), nested(more, to, &Step::At(0)))].into_iter().collect())
        }
        Some((step, more)) => Value::Array(vec![nested(more, to, step)]),
    };
    match (from, inner) {
        (Step::Item(keys), Value::Object(map)) => {
            Value::Object(keys.iter().map(|(key, value)| (key.clone(), value.clone())).chain(map).collect())
        }
        (_, inner) => inner,
    }
}

fn has(item: &Node, keys: &Map<String, Value>) -> bool {
    let Body::Map(_, entries) = &item.body else { return false };
    keys.iter().all(|(key, wanted)| {
        let value = entries.iter().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value);
        let is = |text: &str| match wanted {
            Value::String(wanted) => wanted == text,
            Value::Number(wanted) => wanted.to_string() == text,
            Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => false,
        };
        value.is_none_or(|value| value.text().is_some_and(is))
    })
}

impl Page<'_> {
    fn with(&self, range: Range<usize>, new: &str) -> Result<String, NotEdited> {
        let (Some(before), Some(after)) = (self.text.get(..range.start), self.text.get(range.end..)) else {
            return no("a place in it cannot be found again");
        };
        Ok(format!("{before}{new}{after}"))
    }

    fn line_of(&self, at: usize) -> usize {
        self.text.get(..at).and_then(|text| text.rfind('\n')).map_or(0, |at| at + 1)
    }

    fn column(&self, at: usize) -> usize {
        at - self.line_of(at)
    }

    /// Where the line ends that has the end of a value on it: behind its line feed.
    fn line_end(&self, at: usize) -> usize {
        self.text.get(at..).and_then(|rest| rest.find('\n')).map_or(self.text.len(), |end| at + end + 1)
    }

    /// Whether only white space is before a place on its line.
    fn is_first_on_line(&self, at: usize) -> bool {
        self.text.get(self.line_of(at)..at).is_some_and(|before| before.trim().is_empty())
    }

    fn has_comment(&self, range: &Range<usize>) -> bool {
        self.comments.iter().any(|comment| comment.start >= range.start && comment.end <= range.end)
    }

    fn without_comments(&self, range: Range<usize>) -> Result<Range<usize>, NotEdited> {
        if self.has_comment(&range) { no("there are comments within what would go") } else { Ok(range) }
    }

    fn replaces(&self, node: &Node, to: &Value) -> Result<String, NotEdited> {
        match (&node.body, to) {
            (Body::Scalar(..), Value::Array(_) | Value::Object(_)) => {
                self.with(node.span.clone(), &self.spaced(node, &written::flow(to)))
            }
            (Body::Scalar(ScalarStyle::Literal | ScalarStyle::Folded, _), Value::String(text)) => {
                let lines = self.text.get(node.span.clone()).unwrap_or_default().lines().skip(1);
                let indent = lines
                    .filter(|line| !line.trim().is_empty())
                    .map(|line| line.len() - line.trim_start_matches(' ').len())
                    .next();
                let block = indent.and_then(|indent| written::literal(text, indent));
                let new = block.or_else(|| written::scalar(to, Some(ScalarStyle::DoubleQuoted)));
                self.with(node.span.clone(), &new.unwrap_or_default())
            }
            (Body::Scalar(style, _), _) => {
                let new = written::scalar(to, Some(*style)).unwrap_or_default();
                self.with(node.span.clone(), &self.spaced(node, &new))
            }
            (Body::List(StructureStyle::Block, _) | Body::Map(StructureStyle::Block, _), _) => {
                let span = self.without_comments(node.span.clone())?;
                let new = written::block(to, self.column(span.start));
                self.with(span, &new)
            }
            (Body::List(..) | Body::Map(..), _) => {
                let span = self.without_comments(node.span.clone())?;
                self.with(span, &written::flow(to))
            }
        }
    }

    /// What is left empty has no space of its own before it.
    fn spaced(&self, node: &Node, new: &str) -> String {
        let before = self.text.get(..node.span.start).and_then(|before| before.chars().last());
        if node.span.is_empty() && before.is_some_and(|before| before == ':' || before == '-') {
            return format!(" {new}");
        }
        new.to_owned()
    }

    fn removes(&self, parent: &Node, at: usize) -> Result<String, NotEdited> {
        // Of each part: where it begins, and where it ends.
        let (style, parts, empty): (_, Vec<Range<usize>>, _) = match &parent.body {
            Body::Map(style, entries) => {
                (style, entries.iter().map(|(key, value)| key.span.start..value.end()).collect(), "{}")
            }
            Body::List(style, items) => (style, items.iter().map(|item| item.span.start..item.end()).collect(), "[]"),
            Body::Scalar(..) => return no("there is no such place in it"),
        };
        let (Some(part), next) = (parts.get(at), parts.get(at + 1)) else { return no("it is not there") };
        if parts.len() == 1 {
            return self.with(self.without_comments(parent.span.clone())?, empty);
        }
        if *style == StructureStyle::Flow {
            let before = at.checked_sub(1).and_then(|at| parts.get(at));
            let range = match (before, next) {
                (_, Some(next)) => part.start..next.start,
                (Some(before), None) => before.end..part.end,
                (None, None) => part.clone(),
            };
            return self.with(self.without_comments(range)?, "");
        }
        let begins = match &parent.body {
            Body::List(..) => self.dash_of(part.start)?,
            Body::Map(..) | Body::Scalar(..) => part.start,
        };
        if self.is_first_on_line(begins) {
            let lines = self.line_of(begins)..self.line_end(part.end);
            // A comment on its own line within goes with nothing; one behind a value goes with it.
            let inner = self.comments.iter().filter(|one| one.start >= lines.start && one.end <= lines.end);
            if inner.clone().any(|one| self.is_first_on_line(one.start)) {
                return no("there are comments within what would go");
            }
            return self.with(lines, "");
        }
        // The first key behind a dash: the next one takes its place.
        match next.filter(|_| matches!(parent.body, Body::Map(..))) {
            Some(next) => self.with(self.without_comments(part.start..next.start)?, ""),
            None => no("it shares its line with something else"),
        }
    }

    /// The dash before an item.
    fn dash_of(&self, item: usize) -> Result<usize, NotEdited> {
        let before = self.text.get(self.line_of(item)..item).unwrap_or_default();
        match before.rfind('-').filter(|at| before.get(at + 1..).is_some_and(|rest| rest.trim().is_empty())) {
            Some(at) => Ok(self.line_of(item) + at),
            None => no("an item of a list is written in an unusual way"),
        }
    }

    fn adds(&self, node: &Node, step: &Step, to: Value) -> Result<String, NotEdited> {
        match (&node.body, step) {
            (Body::Map(StructureStyle::Block, entries), Step::Key(key)) => {
                let Some((first, _)) = entries.first() else { return no("there is no such place in it") };
                let column = self.column(first.span.start);
                let line = format!("{}:{}", written::name(key), written::below(&to, column));
                self.line_after(node.end(), column, &line)
            }
            (Body::Map(StructureStyle::Flow, entries), Step::Key(key)) => {
                let entry = format!("{}: {}", written::name(key), written::flow(&to));
                match entries.last() {
                    Some((_, last)) => self.with(last.end()..last.end(), &format!(", {entry}")),
                    None => self.with(node.span.clone(), &format!("{{ {entry} }}")),
                }
            }
            (Body::List(StructureStyle::Block, items), Step::Item(_) | Step::At(_)) => {
                let Some(first) = items.first() else { return no("there is no such place in it") };
                let column = self.column(self.dash_of(first.span.start)?);
                self.line_after(node.end(), column, &format!("- {}", written::block(&to, column + 2)))
            }
            (Body::List(StructureStyle::Flow, items), Step::Item(_) | Step::At(_)) => match items.last() {
                Some(last) => self.with(last.end()..last.end(), &format!(", {}", written::flow(&to))),
                None => self.with(node.span.clone(), &format!("[{}]", written::flow(&to))),
            },
            _ => no("there is no such place in it"),
        }
    }

    /// Lines behind the one on which something ends.
    fn line_after(&self, end: usize, column: usize, lines: &str) -> Result<String, NotEdited> {
        let at = self.line_end(end);
        let break_before = if self.text.get(..at).is_some_and(|before| before.ends_with('\n')) { "" } else { "\n" };
        self.with(at..at, &format!("{break_before}{}{lines}\n", " ".repeat(column)))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
