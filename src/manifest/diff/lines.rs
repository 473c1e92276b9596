//! An object as lines of YAML for reading: identity first, then keys in order, a list's items by their name.

use std::borrow::Cow;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::ids::ObjectKey;

use super::super::visible::{is_invisible, visible};
use super::LONGEST_LINE;
use super::quiet::Hidden;
use super::secret::{self, Mark, is_private_key, is_secret_name};

/// Stands where a value was that a rule hides.
const BY_RULE: &str = "(hidden by rule)";
/// `kubectl`'s copy of the whole object.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// One line: what it is, what is shown of it, where it is.
#[derive(Debug)]
pub(super) struct Line {
    /// As it is, secrets too: never leaves this module.
    pub(super) compared: String,
    /// What is shown instead, when that differs.
    shown: Option<String>,
    /// Whether all of its value is hidden.
    pub(super) secret: bool,
    /// The value's own path.
    pub(super) path: Rc<str>,
    /// The path of the mapping or list it is in.
    pub(super) within: Rc<str>,
}

impl Line {
    /// The line as text, behind its sign; `note` follows a hidden value.
    pub(super) fn show(&self, sign: char, note: &str) -> String {
        let text = self.shown.as_ref().unwrap_or(&self.compared);
        let mut shown = format!("{sign}{text}");
        if !note.is_empty() && shown.ends_with(')') {
            shown.pop();
            shown.push_str(note);
            shown.push(')');
        }
        shown
    }
}

/// All lines of an object, or of a value that is none. What is hidden has one line, which is the same on both sides.
pub(super) fn lines(key: Option<&ObjectKey>, json: &Value, mark: Mark<'_>, hidden: &Hidden) -> Vec<Line> {
    let is_secret = key.is_some_and(|key| key.group.is_empty() && key.kind == "Secret");
    let mut writer = Writer { lines: Vec::new(), is_secret, mark, hidden, trail: Vec::new() };
    let root: Rc<str> = Rc::from("");
    match json {
        Value::Object(map) => writer.map(map, 0, &root, ""),
        other => writer.scalar("", other, &root, &root, 0, Hide::ByLook),
    }
    writer.lines
}

#[derive(Clone, Copy, PartialEq)]
enum Hide {
    /// What the value looks like decides.
    ByLook,
    /// All of it.
    All,
}

struct Writer<'w> {
    lines: Vec<Line>,
    is_secret: bool,
    mark: Mark<'w>,
    hidden: &'w Hidden,
    /// The way to what is written, kept while anything is hidden.
    trail: Vec<String>,
}

impl Writer<'_> {
    /// `lead` stands before the first key's line (`- `), whose other keys are then indented to match.
    fn map(&mut self, map: &Map<String, Value>, indent: usize, path: &Rc<str>, lead: &str) {
        let env_value_hidden = map.get("name").and_then(Value::as_str).is_some_and(is_secret_name);
        let mut keys: Vec<&String> = map.keys().collect();
        keys.sort_by_key(|key| (first(key, path), *key));
        for (place, key) in keys.into_iter().enumerate() {
            let Some(value) = map.get(key) else { continue };
            let inner: Rc<str> = join(path, key).into();
            let lead = if place == 0 { lead } else { "" };
            let pad = indent - lead.len();
            let head = format!("{:pad$}{lead}{}:", "", written_scalar(key));
            let hide =
                if self.hides(path, key) || (key == "value" && env_value_hidden) { Hide::All } else { Hide::ByLook };
            self.enter(|| key.clone());
            self.entry(&head, value, indent, &inner, path, hide);
            self.trail.pop();
        }
    }

    fn enter(&mut self, step: impl FnOnce() -> String) {
        if !self.hidden.is_empty() {
            self.trail.push(step());
        }
    }

    /// Whether all below this key is hidden: a Secret's values, `kubectl`'s copy of the object, a secret's name.
    fn hides(&self, path: &str, key: &str) -> bool {
        (self.is_secret && (path == "data" || path == "stringData")) || key == LAST_APPLIED || is_secret_name(key)
    }

    fn entry(&mut self, head: &str, value: &Value, indent: usize, path: &Rc<str>, within: &Rc<str>, hide: Hide) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                self.push(head.to_owned(), None, false, path, within);
                self.map(map, indent + 2, path, "");
            }
            Value::Array(items) if !items.is_empty() => {
                self.push(head.to_owned(), None, false, path, within);
                self.list(items, indent, path, hide);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) | Value::Array(_) => {
                self.scalar(head, value, path, within, indent + 2, hide);
            }
        }
    }

    fn list(&mut self, items: &[Value], indent: usize, path: &Rc<str>, hide: Hide) {
        let mut flag_before = false;
        for (place, item) in items.iter().enumerate() {
            let inner: Rc<str> = format!("{path}[{}]", item_name(item, place)).into();
            // `--password`, then its value as an argument of its own.
            let this = if flag_before { Hide::All } else { hide };
            flag_before = item.as_str().is_some_and(is_secret_flag);
            self.enter(|| item_name(item, place));
            match item {
                Value::Object(map) if !map.is_empty() => self.map(map, indent + 2, &inner, "- "),
                _ => self.entry(&format!("{:indent$}-", ""), item, indent + 2, &inner, path, this),
            }
            self.trail.pop();
        }
    }

    fn scalar(&mut self, head: &str, value: &Value, path: &Rc<str>, within: &Rc<str>, indent: usize, hide: Hide) {
        if self.hidden.contains_key(&self.trail) {
            return self.push(format!("{head} {BY_RULE}"), None, false, path, within);
        }
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) if hide == Hide::All => &number.to_string(),
            other => {
                // What a boolean or null says is no secret, and empty containers hold none.
                let plain = if other.is_object() { "{}".to_owned() } else { other.to_string() };
                return self.push(format!("{head} {plain}"), None, false, path, within);
            }
        };
        if hide == Hide::All || is_private_key(text) {
            let compared = format!("{head} {}", Value::from(text.as_str()));
            let shown = match text.is_empty() {
                true => format!("{head} \"\""),
                false => format!("{head} {}", self.mark.of(&self.meant(text, path))),
            };
            return self.push(compared, Some(shown), !text.is_empty(), path, within);
        }
        if !text.contains('\n') || has_invisible(text) {
            let line = |text: &str| format!("{head} {}", written_scalar(text));
            let shown = shorten(text, |text| secret::hide(text, self.mark));
            return self.push(line(text), shown.map(|shown| line(&shown)), false, path, within);
        }
        self.push(format!("{head} {}", block_head(text)), None, false, path, within);
        let (mut below, mut suspects) = (secret::Below::default(), secret::Suspects::of(text));
        let (pad, mut at) = (" ".repeat(indent), 0);
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            let is_suspect = suspects.are_in(at..at + line.len());
            at += line.len() + 1;
            let hide = |line: &str| if is_suspect || below.is_open() { below.hide(line, self.mark) } else { None };
            let written = |line: &str| format!("{pad}{}", line.replace('\t', "    "));
            // Tabs are shown as spaces and compared as they are.
            let shown = shorten(line, hide).map(|shown| written(&shown));
            let shown = shown.or_else(|| line.contains('\t').then(|| written(line)));
            self.push([pad.as_str(), line].concat(), shown, false, path, path);
        }
    }

    /// What a hidden text stands for: in a Secret it is written in base64, so that the same value has one fingerprint
    /// wherever it stands.
    fn meant<'t>(&self, text: &'t str, path: &str) -> Cow<'t, [u8]> {
        let decoded = (self.is_secret && (path.starts_with("data.") || path.starts_with("data[")))
            .then(|| STANDARD.decode(text).ok())
            .flatten();
        decoded.map_or(Cow::Borrowed(text.as_bytes()), Cow::Owned)
    }

    fn push(&mut self, compared: String, shown: Option<String>, secret: bool, path: &Rc<str>, within: &Rc<str>) {
        let (path, within) = (Rc::clone(path), Rc::clone(within));
        self.lines.push(Line { compared, shown, secret, path, within });
    }
}

/// The text with its secrets hidden and, when it is long, its end counted instead of shown; `None` when neither changes
/// it. Secrets are looked for well past the cut, so that none is only cut in half.
fn shorten(text: &str, mut hide: impl FnMut(&str) -> Option<String>) -> Option<String> {
    // Of so few bytes there are no more characters.
    if text.len() <= LONGEST_LINE {
        return hide(text);
    }
    let cut = |text: &str, at: usize| text.char_indices().nth(at).map(|(end, _)| end);
    let Some(end) = cut(text, LONGEST_LINE) else { return hide(text) };
    let more = text.get(end..).unwrap_or_default().chars().count();
    let start = text.get(..cut(text, 4 * LONGEST_LINE).unwrap_or(text.len())).unwrap_or(text);
    let hidden = hide(start);
    let shown = hidden.as_deref().unwrap_or(start);
    let shown = shown.get(..cut(shown, LONGEST_LINE).unwrap_or(shown.len())).unwrap_or(shown);
    Some(format!("{shown} … ({more} more characters)"))
}

/// Whether anything in it but tabs and the ends of its lines cannot be seen.
fn has_invisible(text: &str) -> bool {
    let is_plain = |byte: &u8| matches!(byte, b'\n' | b'\t' | b' '..=b'~');
    // Of most text its bytes tell that.
    !text.as_bytes().iter().all(is_plain) && text.chars().any(|c| c != '\n' && c != '\t' && is_invisible(c))
}

pub(super) fn is_secret_flag(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|name| !name.contains('=') && is_secret_name(name))
}

/// Keys that come first: the identity at the root and under metadata, the name of a list's item.
fn first(key: &str, path: &str) -> usize {
    let order: &[&str] = if path.is_empty() { &["apiVersion", "kind", "metadata"] } else { &["name", "namespace"] };
    order.iter().position(|name| *name == key).unwrap_or(order.len())
}

fn join(path: &str, key: &str) -> String {
    let plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    match (path.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        (_, false) => format!("{path}[{}]", written_scalar(key)),
    }
}

/// What a list's item is called: the field Kubernetes merges such lists by, else its place.
pub(super) fn item_name(item: &Value, place: usize) -> String {
    let by = |field| item.get(field).and_then(Value::as_str).filter(|name| !name.is_empty());
    let named = by("name").or_else(|| by("mountPath")).or_else(|| by("ip")).or_else(|| by("topologyKey"));
    match (named, item.get("containerPort").or_else(|| item.get("port")).and_then(Value::as_i64)) {
        (Some(name), _) => visible(name),
        (None, Some(port)) => port.to_string(),
        (None, None) => place.to_string(),
    }
}

fn block_head(text: &str) -> String {
    let indicator = if text.starts_with([' ', '\n']) { "2" } else { "" };
    let chomp = match (text.ends_with('\n'), text.ends_with("\n\n")) {
        (false, _) => "-",
        (true, false) => "",
        (true, true) => "+",
    };
    format!("|{indicator}{chomp}")
}

/// Text as a YAML scalar on one line: plain where every reader takes it for the same text, else quoted, with everything
/// invisible written out.
fn written_scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { visible(&Value::from(text).to_string()) }
}

fn is_plain(text: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || "_-./:@+,=()~%^;<>$* &?!|[]{}#'\"\\".contains(c);
    let starts = |c: char| c.is_alphanumeric() || "_/.$(<^+".contains(c);
    text.chars().next().is_some_and(starts)
        && text.chars().all(|c| inner(c) && !is_invisible(c))
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([':', ' '])
        && !is_other_than_text(text)
}

/// Whether some YAML reader takes the plain text for a boolean, null, number or date.
fn is_other_than_text(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let word =
        ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", ".inf", ".nan"].contains(&lower.as_str());
    let number = text.starts_with(|c: char| c.is_ascii_digit() || c == '+' || c == '.')
        && text.chars().all(|c| c.is_ascii_hexdigit() || "xXoO_+-.:".contains(c));
    word || number
}

/// The paths whose values differ, at most `most`, each with its sizes when it is text.
pub(super) fn changed_paths(old: &Value, new: &Value, most: usize) -> Vec<String> {
    let mut found = Vec::new();
    walk(old, new, "", most, &mut found);
    found
}

fn walk(old: &Value, new: &Value, path: &str, most: usize, found: &mut Vec<String>) {
    if found.len() >= most || old == new {
        return;
    }
    match (old, new) {
        (Value::Object(_) | Value::Null, Value::Object(_) | Value::Null) => {
            let empty = Map::new();
            let (a, b) = (old.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let (a, b) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                walk(a, b, &join(path, key), most, found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (place, (a, b)) in a.iter().zip(b).enumerate() {
                walk(a, b, &format!("{path}[{}]", item_name(b, place)), most, found);
            }
        }
        _ => found.push(format!("{path} ({} → {})", size(old), size(new))),
    }
}

/// Bytes of text, and lines it would be written in.
pub(super) fn measure(value: &Value) -> (usize, usize) {
    let sum = |sizes: &mut dyn Iterator<Item = (usize, usize)>| {
        sizes.fold((0, 1), |sum, size| (sum.0 + size.0, sum.1 + size.1))
    };
    match value {
        Value::Object(map) => sum(&mut map.iter().map(|(key, value)| {
            let (bytes, lines) = measure(value);
            (bytes + key.len(), lines)
        })),
        Value::Array(items) => sum(&mut items.iter().map(measure)),
        Value::String(text) => (text.len(), 1 + text.bytes().filter(|b| *b == b'\n').count()),
        Value::Null | Value::Bool(_) | Value::Number(_) => (4, 1),
    }
}

fn size(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => format!("{} bytes", text.len()),
        Value::Array(items) => format!("{} items", items.len()),
        Value::Object(map) => format!("{} keys", map.len()),
        Value::Bool(_) | Value::Number(_) => "a value".to_owned(),
    }
}
