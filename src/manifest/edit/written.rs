//! How a value is written into a file of somebody else's: as it was written before, where that is possible.

use granit_parser::ScalarStyle;
use serde_json::Value;

use super::super::visible::is_invisible;

/// Words that some reader of YAML takes for something else than text.
const WORDS: [&str; 13] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "none", "~"];

/// Units behind a number that make a quantity of it, which no reader takes for a number.
const UNITS: [&str; 11] = ["m", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi"];

/// A scalar on one line, as `before` was written.
pub(super) fn scalar(value: &Value, before: Option<ScalarStyle>) -> Option<String> {
    let text = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => return Some(value.to_string()),
        Value::String(text) => text,
        Value::Array(items) => return items.is_empty().then(|| "[]".to_owned()),
        Value::Object(map) => return map.is_empty().then(|| "{}".to_owned()),
    };
    let is_clear = !text.chars().any(is_invisible);
    Some(match before {
        Some(ScalarStyle::SingleQuoted) if is_clear => format!("'{}'", text.replace('\'', "''")),
        Some(ScalarStyle::Plain) | None if is_bare(text) => text.clone(),
        _ => quoted(text),
    })
}

/// A value in braces, on one line.
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let entries: Vec<String> =
                map.iter().map(|(key, value)| format!("{}: {}", name(key), flow(value))).collect();
            if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        _ => scalar(value, None).unwrap_or_default(),
    }
}

/// A value over lines of its own, each but the first behind so much indentation.
pub(super) fn block(value: &Value, indent: usize) -> String {
    let space = " ".repeat(indent);
    match value {
        Value::Object(map) if !map.is_empty() => {
            let entries = map.iter().map(|(key, value)| format!("{}:{}", name(key), below(value, indent)));
            entries.collect::<Vec<_>>().join(&format!("\n{space}"))
        }
        Value::Array(items) if !items.is_empty() => {
            let items = items.iter().map(|item| format!("- {}", block(item, indent + 2)));
            items.collect::<Vec<_>>().join(&format!("\n{space}"))
        }
        Value::String(text) => literal(text, indent).unwrap_or_else(|| scalar(value, None).unwrap_or_default()),
        _ => scalar(value, None).unwrap_or_default(),
    }
}

/// What stands behind a key's colon, where the key stands behind so much indentation.
pub(super) fn below(value: &Value, indent: usize) -> String {
    match value {
        Value::Object(map) if !map.is_empty() => {
            format!("\n{}{}", " ".repeat(indent + 2), block(value, indent + 2))
        }
        Value::Array(items) if !items.is_empty() => {
            format!("\n{}{}", " ".repeat(indent), block(value, indent))
        }
        _ => format!(" {}", block(value, indent + 2)),
    }
}

/// A text of several lines as a block of them, each behind so much indentation; `None`: it cannot be written so exactly.
pub(super) fn literal(text: &str, indent: usize) -> Option<String> {
    let lines: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split('\n').collect();
    let odd = |line: &&str| line.chars().any(|c| c != '\t' && is_invisible(c));
    let first = lines.first()?;
    if lines.len() < 2 && !text.ends_with('\n')
        || first.trim().is_empty()
        || first.starts_with([' ', '\t'])
        || lines.iter().any(odd)
        || lines.last().is_some_and(|last| last.trim().is_empty())
    {
        return None;
    }
    let header = if text.ends_with('\n') { "|" } else { "|-" };
    let space = " ".repeat(indent);
    let lines = lines.iter().map(|line| if line.is_empty() { String::new() } else { format!("{space}{line}") });
    Some(format!("{header}\n{}", lines.collect::<Vec<_>>().join("\n")))
}

/// A key.
pub(super) fn name(key: &str) -> String {
    if is_bare(key) { key.to_owned() } else { quoted(key) }
}

/// In double quotes: also what cannot be seen is read as it is.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_invisible(c) && u32::from(c) > 0xffff => out.push_str(&format!("\\U{:08x}", u32::from(c))),
            c if is_invisible(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Whether every reader takes it for the same text without quotes, also between braces.
fn is_bare(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:@+=-".contains(c);
    if text.is_empty()
        || !text.chars().all(plain)
        || text.ends_with(':')
        || WORDS.contains(&text.to_ascii_lowercase().as_str())
    {
        return false;
    }
    let first = text.chars().next().unwrap_or(' ');
    if first.is_ascii_alphabetic() || first == '/' {
        return true;
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_quantity = UNITS.iter().any(|unit| text.strip_suffix(unit).is_some_and(digits));
    let is_version = text.matches('.').count() >= 2 && text.split('.').all(digits);
    first.is_ascii_digit() && (is_quantity || is_version)
}
