//! How an answer of a server is shown: a table for people, JSON for programs. What the server sends may hold what anybody
//! wrote, so nothing of it moves a cursor or hides a word.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// How to show it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// What a command has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Whole lines.
    pub text: String,
    /// Whether it is good: else the command exits with 1.
    pub is_good: bool,
}

impl Said {
    /// Something that is good.
    pub fn good(text: String) -> Self {
        Self { text, is_good: true }
    }
}

/// A heading, and where in an item its cell is (a JSON pointer).
pub type Column = (&'static str, &'static str);

/// Shows items.
pub fn show(output: Output, columns: &[Column], items: &[Value]) -> Said {
    Said::good(match output {
        Output::Json => json(&Value::Array(items.to_vec())),
        Output::Table if items.is_empty() => "none\n".to_owned(),
        Output::Table => {
            let mut table = Table::new();
            table.load_style(presets::UTF8_BORDERS_ONLY).set_header(columns.iter().map(|(heading, _)| *heading));
            // As wide as the terminal; elsewhere each row is a line.
            table.set_content_arrangement(ContentArrangement::Dynamic);
            for item in items {
                table.add_row(columns.iter().map(|(_, at)| brief(item.pointer(at).unwrap_or(&Value::Null))));
            }
            table.trim_fmt() + "\n"
        }
    })
}

/// Shows one thing, each field on a line of its own.
pub fn show_one(output: Output, thing: &Value) -> Said {
    Said::good(match (output, thing) {
        (Output::Table, Value::Object(fields)) => {
            let widest = fields.keys().map(|name| name.chars().count()).max().unwrap_or(0);
            fields.iter().map(|(name, value)| format!("{:widest$}  {}\n", plain(name), cell(value))).collect()
        }
        _ => json(thing),
    })
}

/// A value in a column: a time to the second, since what is finer is in `--output json`.
fn brief(value: &Value) -> String {
    match value {
        Value::String(text) => to_the_second(text).unwrap_or_else(|| plain(text)),
        other => cell(other),
    }
}

/// `2026-11-21T13:05:40.123456Z` without what stands behind the second; nothing of what is no time.
pub fn to_the_second(text: &str) -> Option<String> {
    let time =
        text.strip_suffix('Z').filter(|text| text.contains('T') && text.parse::<jiff::civil::DateTime>().is_ok())?;
    Some(time.split('.').next().unwrap_or(time).to_owned() + "Z")
}

/// A value in one line.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text),
        Value::Array(items) if items.iter().all(|item| !item.is_object()) => {
            items.iter().map(cell).collect::<Vec<_>>().join(", ")
        }
        other => plain(&other.to_string()),
    }
}

/// JSON with everything invisible escaped: in JSON, that stands inside strings only.
pub fn json(value: &Value) -> String {
    escaped(&format!("{value:#}")) + "\n"
}

/// The same of JSON that is a text already.
pub fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_invisible(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                text += &format!("\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// Text without anything a terminal obeys or does not show.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_invisible(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xAD | 0x61C | 0x180E | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0xFEFF | 0xFFF9..=0xFFFB
            | 0xE0000..=0xE0FFF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_server_sends_moves_no_cursor_and_hides_nothing() {
        let items = [json!({ "name": "a\u{1b}[2Jb\u{202e}c\u{9b}31m", "list": [1, "x\ny"], "none": null })];
        let columns: &[Column] = &[("NAME", "/name"), ("LIST", "/list"), ("NONE", "/none")];
        let shown = show(Output::Table, columns, &items);
        assert!(shown.text.contains(r"a\u{1b}[2Jb\u{202e}c\u{9b}31m"), "{}", shown.text);
        for text in [shown.text, show(Output::Json, columns, &items).text, show_one(Output::Table, &items[0]).text] {
            assert!(!text.chars().any(|c| c != '\n' && is_invisible(c)), "{text:?}");
        }
        let back: Value = serde_json::from_str(&json(&items[0])).unwrap();
        assert_eq!(back, items[0], "JSON says the same");
        assert_eq!(show(Output::Table, columns, &[]).text, "none\n");
        assert_eq!(to_the_second("2026-11-21T13:05:40.123456Z").as_deref(), Some("2026-11-21T13:05:40Z"));
        assert_eq!(to_the_second("2026-11-21T13:05:40Z").as_deref(), Some("2026-11-21T13:05:40Z"));
        assert!(["", "Z", "T.Z", "2026-11-21", "\u{1b}T.Z"].iter().all(|text| to_the_second(text).is_none()));
    }
}
