//! YAML in, read as `kubectl` reads it.
//!
//! One reading serves all dialects. Plain files and a chart's output are text that `kubectl` and `helm` themselves read
//! by YAML 1.1's rules, so `no` is `false`. kustomize has already decided (there `no` is a string) and its writer quotes
//! whatever those rules would misread, so reading its output by them gives back what it meant.
//!
//! Where we are stricter than `kubectl`, we refuse instead of guessing: a key written twice, a null key, an integer
//! beyond 64 bits (it would round it), a number too large for a float.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

use super::canonical::EXACT;
use super::error::{ManifestError, Problem};

/// Who wrote the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Files of the repository, as they are.
    Plain,
    /// The output of `kustomize build`.
    Kustomize,
    /// The output of `helm template`: `# Source:` comments name the template, hooks are looked at.
    Helm,
}

/// How much a render may give. The sum over all files counts, so that many small files are no way around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of text.
    pub bytes: usize,
    /// Objects, after lists are taken apart.
    pub objects: usize,
    /// Mappings, sequences and scalars. An object has some hundreds; a large CRD has twenty thousand.
    pub nodes: usize,
    /// Nesting. The API server itself stops at 10,000, no real object passes 40.
    pub depth: usize,
    /// Uses of anchors.
    pub aliases: usize,
    /// Parser events that anchors may be expanded to, in one file.
    pub expanded: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 32 * 1024 * 1024, objects: 5_000, nodes: 2_000_000, depth: 64, aliases: 1_000, expanded: 250_000 }
    }
}

/// One document, or one item of a `List`.
#[derive(Clone, PartialEq)]
pub struct Parsed {
    /// The file, or the template a chart names.
    pub file: String,
    /// The line its document begins at, from 1.
    pub line: u64,
    /// What is written; always a mapping.
    pub json: Map<String, Value>,
    /// Who wrote it.
    pub dialect: Dialect,
}

impl fmt::Debug for Parsed {
    /// Names the place only: the content may be a Secret.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Parsed({}:{})", self.file, self.line)
    }
}

impl Parsed {
    pub(super) fn error(&self, object: Option<String>, problem: Problem) -> ManifestError {
        ManifestError { file: Some(self.file.clone()), line: Some(self.line), object, problem }
    }
}

/// Reads all documents of all files, in order; empty documents are skipped, lists taken apart. Every file is looked at,
/// so that one bad file does not hide the next one's errors; over a limit of the whole, nothing more is read.
pub fn parse(
    files: &[(String, Vec<u8>)],
    dialect: Dialect,
    limits: &Limits,
) -> Result<Vec<Parsed>, Vec<ManifestError>> {
    let whole = |problem| ManifestError { file: None, line: None, object: None, problem };
    let bytes = files.iter().fold(0usize, |sum, (_, text)| sum.saturating_add(text.len()));
    if bytes > limits.bytes {
        return Err(vec![whole(Problem::TooManyBytes(limits.bytes))]);
    }
    let (mut parsed, mut errors) = (Vec::new(), Vec::new());
    let mut nodes_left = limits.nodes;
    for (file, text) in files {
        match documents(text, limits, nodes_left) {
            Ok(documents) => {
                let sources = Sources::of(text, dialect);
                for document in documents {
                    let line = document.referenced.line();
                    let file = sources.at(line).unwrap_or(file).to_owned();
                    nodes_left = nodes_left.saturating_sub(count(&document.value.0));
                    take_apart(document.value.0, &file, line, dialect, &mut parsed, &mut errors);
                }
            }
            Err((line, problem)) => {
                errors.push(ManifestError { file: Some(file.clone()), line, object: None, problem });
            }
        }
        if parsed.len() > limits.objects {
            return Err(vec![whole(Problem::TooManyObjects(limits.objects))]);
        }
    }
    if errors.is_empty() { Ok(parsed) } else { Err(errors) }
}

fn documents(text: &[u8], limits: &Limits, nodes: usize) -> Result<Vec<Spanned<Exact>>, (Option<u64>, Problem)> {
    let text = std::str::from_utf8(text).map_err(|_| (None, Problem::NotText))?;
    // Snippets are off because an error must never show a line of a Secret.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: limits.objects.saturating_mul(4),
            max_nodes: nodes,
            max_events: nodes.saturating_mul(2).saturating_add(1_000),
            max_depth: limits.depth,
            max_aliases: limits.aliases,
            max_anchors: limits.aliases,
            max_recorded_anchor_events: limits.expanded,
            enforce_alias_anchor_ratio: false,
            max_total_scalar_bytes: limits.bytes,
            max_total_comment_bytes: limits.bytes,
            max_buffered_comment_events: 10_000
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: limits.expanded },
        legacy_octal_numbers: true,
        with_snippet: false
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let place = error.location().map(|place| place.line()).filter(|line| *line > 0);
        (place, Problem::NotYaml(words(&error)))
    })
}

/// The values of one text's documents, empty ones left out; or why it cannot be read.
pub(super) fn values(text: &[u8]) -> Result<Vec<Value>, String> {
    let limits = Limits::default();
    let read = documents(text, &limits, limits.nodes).map_err(|(_, problem)| problem.to_string())?;
    Ok(read.into_iter().map(|document| document.value.0).filter(|value| !value.is_null()).collect())
}

/// The parser's words without the place they end in, which the error has as its own field; our own where a person
/// needs to know what to do.
fn words(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    match error.without_snippet() {
        Error::DuplicateMappingKey { key: Some(key), .. } => written_twice(key),
        Error::NonFiniteFloat { .. } => NOT_FINITE.to_owned(),
        Error::Budget { breach, .. } => over(breach),
        Error::RecursiveReferencesRequireWeakTypes { .. } => "an anchor refers to itself".to_owned(),
        other => {
            let text = other.to_string();
            // Some breaches arrive as text only, with the parser's own field names in it.
            if text.starts_with("budget breached") {
                return "it is too large, or its anchors hold too much".to_owned();
            }
            let first = text.lines().next().unwrap_or_default();
            let end = first.find(" at line ").unwrap_or(first.len());
            first.get(..end).unwrap_or(first).to_owned()
        }
    }
}

fn over(breach: &serde_saphyr::budget::BudgetBreach) -> String {
    use serde_saphyr::budget::BudgetBreach as Over;
    match breach {
        Over::Depth { .. } => "it is nested too deeply",
        Over::Documents { .. } => "it has too many documents",
        Over::Aliases { .. } | Over::Anchors { .. } => "it has too many anchors or aliases",
        Over::RecordedAnchorEvents { .. } | Over::RecordedAnchorBytes { .. } => "its anchors hold too much",
        Over::MergeKeys { .. } => "it has too many merge keys",
        // The rest are all measures of size, and the parser may learn new ones.
        _ => "it is too large",
    }
    .to_owned()
}

fn written_twice(key: &str) -> String {
    let key: String = key.chars().take(80).flat_map(char::escape_debug).collect();
    format!("the key `{key}` is written twice")
}

const NOT_FINITE: &str = "a number is not finite: quote it if it is meant as text";

fn count(value: &Value) -> usize {
    match value {
        Value::Object(map) => 1 + map.values().map(|inner| 1 + count(inner)).sum::<usize>(),
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

/// A document, or the items of a `List` and of typed lists (`ConfigMapList`), as `kubectl` takes them apart.
fn take_apart(
    value: Value,
    file: &str,
    line: u64,
    dialect: Dialect,
    parsed: &mut Vec<Parsed>,
    errors: &mut Vec<ManifestError>,
) {
    let Value::Object(mut json) = value else {
        if !value.is_null() {
            let file = Some(file.to_owned());
            errors.push(ManifestError { file, line: Some(line), object: None, problem: Problem::NotAnObject });
        }
        return;
    };
    let kind = json.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_list = kind.ends_with("List") && json.get("items").is_some_and(Value::is_array);
    if !is_list {
        // An empty mapping is what a template leaves behind when all of it is switched off.
        if !json.is_empty() {
            parsed.push(Parsed { file: file.to_owned(), line, json, dialect });
        }
        return;
    }
    let api_version = json.get("apiVersion").cloned();
    let Some(Value::Array(items)) = json.remove("items") else { return };
    for mut item in items {
        if let (Value::Object(map), Some(one)) = (&mut item, kind.strip_suffix("List").filter(|one| !one.is_empty())) {
            map.entry("kind").or_insert_with(|| one.into());
            if let Some(api_version) = &api_version {
                map.entry("apiVersion").or_insert_with(|| api_version.clone());
            }
        }
        take_apart(item, file, line, dialect, parsed, errors);
    }
}

/// Which template each line of a chart's output comes from.
struct Sources<'a>(Vec<(u64, &'a str)>);

impl<'a> Sources<'a> {
    fn of(text: &'a [u8], dialect: Dialect) -> Self {
        let text = match dialect {
            Dialect::Helm => std::str::from_utf8(text).unwrap_or_default(),
            Dialect::Plain | Dialect::Kustomize => "",
        };
        let named = |(line, text): (u64, &'a str)| Some((line, text.strip_prefix("# Source: ")?.trim_end()));
        Self((1..).zip(text.lines()).filter_map(named).collect())
    }

    fn at(&self, line: u64) -> Option<&'a str> {
        let next = self.0.partition_point(|(at, _)| *at <= line);
        next.checked_sub(1).and_then(|last| self.0.get(last)).map(|(_, source)| *source)
    }
}

/// A value that is exactly what was written, or an error.
#[derive(Debug)]
struct Exact(Value);

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ExactVisitor).map(Self)
    }
}

struct ExactVisitor;

impl<'de> Visitor<'de> for ExactVisitor {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a YAML value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        number(value).map(Value::Number)
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Exact(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(Key(key)) = entries.next_key()? {
            let Exact(value) = entries.next_value()?;
            // The parser compares keys as written; `on` and `yes` are both "true" only here.
            if map.contains_key(&key) {
                return Err(A::Error::custom(written_twice(&key)));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

fn number<E: serde::de::Error>(value: f64) -> Result<Number, E> {
    if value.fract() == 0.0 {
        // An integer too large for 64 bits arrives here already rounded: refused, never sent as another number.
        if value.abs() >= EXACT {
            return Err(E::custom("a number is too large to be kept exactly: quote it if it is meant as text"));
        }
        return Ok(Number::from(value as i64));
    }
    Number::from_f64(value).ok_or_else(|| E::custom(NOT_FINITE))
}

/// A mapping's key: JSON has only text, so other scalars become the text `kubectl` makes of them.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(KeyVisitor).map(Self)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = String;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key that is text, a number or a boolean")
    }
    fn visit_bool<E>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }
    fn visit_i64<E>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }
    fn visit_u64<E>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<String, E> {
        number(value).map(|number| number.to_string())
    }
    fn visit_str<E>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }
    fn visit_string<E>(self, value: String) -> Result<String, E> {
        Ok(value)
    }
}

#[cfg(test)]
#[path = "yaml_tests.rs"]
mod tests;
