//! What a policy says is shown to everybody who reads the pull request; a Secret's values are not.

use serde_json::Value;

use super::{Matter, Opinion};

/// Shorter ones are words that stand everywhere.
const SHORTEST: usize = 4;
/// And of the lines of one, shorter ones may be of anything: `-----`, `{`.
const SHORTEST_LINE: usize = 16;

/// Takes the values of Secrets out of every message.
pub(super) fn secrets(opinion: &mut Opinion, matter: &Matter) {
    let secrets = matter.objects.iter().filter(|pair| pair.key.kind == "Secret" && pair.key.group.is_empty());
    let mut values: Vec<String> = Vec::new();
    for object in secrets.flat_map(|pair| [&pair.old, &pair.new]).flatten() {
        for field in ["data", "stringData"] {
            let Some(Value::Object(entries)) = object.get(field) else { continue };
            for value in entries.values().filter_map(Value::as_str) {
                for value in decoded(value).into_iter().chain([value.to_owned()]) {
                    // As a policy may write it: its lines one by one, or as JSON.
                    let lines = value.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE);
                    values.extend(lines.map(str::to_owned));
                    values.extend(written(&value));
                    values.push(value);
                }
            }
        }
    }
    // Longer ones first: one may be part of another.
    values.retain(|value| value.len() >= SHORTEST);
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values.dedup();
    for message in opinion.messages() {
        for value in &values {
            if message.contains(value.as_str()) {
                *message = message.replace(value.as_str(), "‹secret›");
            }
        }
    }
}

/// As it stands between the quotes of JSON.
fn written(value: &str) -> Option<String> {
    let json = serde_json::to_string(value).ok()?;
    Some(json.strip_prefix('"')?.strip_suffix('"')?.to_owned())
}

fn decoded(text: &str) -> Option<String> {
    use base64::Engine as _;
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).ok()?).ok()
}
