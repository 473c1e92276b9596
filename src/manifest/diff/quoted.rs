//! What others say of an object: the values of secrets that they quote are hidden.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::secret::{self, Mark, REDACTED};

/// Shorter values are not looked for: they are in every other word.
const SHORTEST: usize = 4;
/// The same of one line of a value that has several: what is quoted of a file is mostly one of its lines, and its shorter
/// ones are in every other file.
const SHORTEST_LINE: usize = 8;

/// A message without the values of these objects that are Secrets, as they are written, as they are meant and as they are
/// quoted, and without whatever else looks like a secret. Only of objects whose values the reader wrote: what is hidden by
/// the values of others tells whether somebody guessed one.
pub fn without_secrets<'o>(message: &str, objects: impl IntoIterator<Item = &'o Value>) -> String {
    let mut values: Vec<String> = objects.into_iter().flat_map(values).collect();
    // The longest first: one may be a part of another.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    let mut text = message.to_owned();
    for value in values.iter().filter(|value| value.len() >= SHORTEST) {
        text = text.replace(value.as_str(), REDACTED);
    }
    let lines = text.lines().map(|line| secret::hide(line, Mark::Bare).unwrap_or_else(|| line.to_owned()));
    lines.collect::<Vec<_>>().join("\n")
}

fn values(object: &Value) -> Vec<String> {
    if object.get("kind").and_then(Value::as_str) != Some("Secret") {
        return Vec::new();
    }
    let below = |name: &str| object.get(name).and_then(Value::as_object).into_iter().flat_map(|map| map.values());
    let written: Vec<&str> = below("data").chain(below("stringData")).filter_map(Value::as_str).collect();
    let decoded = written.iter().filter_map(|value| String::from_utf8(STANDARD.decode(value).ok()?).ok());
    let meant: Vec<String> = decoded.flat_map(|value| [value.trim().to_owned(), value]).collect();
    let mut plain: Vec<String> = written.into_iter().map(str::to_owned).chain(meant).collect();
    let lines = plain.iter().filter(|value| value.trim().contains('\n')).flat_map(|value| value.lines());
    let lines = lines.map(str::trim).filter(|line| line.len() >= SHORTEST_LINE);
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    plain.extend(lines);
    // Servers quote what has lines or quotes in it as a string of a program.
    let quoted = plain.iter().map(|value| {
        let quoted = Value::from(value.as_str()).to_string();
        quoted[1..quoted.len() - 1].to_owned()
    });
    let quoted: Vec<String> = quoted.collect();
    plain.into_iter().chain(quoted).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_about_a_secret_quotes_none_of_its_values() {
        let object = json!({"kind": "Secret", "data": {"token": "aHVudGVyMg==", "short": "YWI="}});
        let said = |message: &str| without_secrets(message, [&object]);
        assert_eq!(
            said("`hunter2` is too short, and so is aHVudGVyMg=="),
            "`(redacted)` is too short, and so is (redacted)"
        );
        assert_eq!(said("about"), "about", "what is too short to be told from other words is left");
        assert_eq!(said("it has password=open"), "it has password=(redacted)");
        let file = json!({"kind": "Secret", "stringData": {"file": "begins\n  amqp-word-of-ours\nends\n"}});
        let said = without_secrets("begins with amqp-word-of-ours, and ends", [&file]);
        assert_eq!(said, "begins with (redacted), and ends", "a line of it is as secret as all of it");
        let plain = json!({"kind": "ConfigMap", "data": {"a": "denied"}});
        assert_eq!(without_secrets("denied: no team", [&plain]), "denied: no team");
    }
}
