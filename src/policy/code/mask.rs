//! What a policy says is shown to everybody who reads the pull request; a Secret's values are not.

use serde_json::Value;

use super::{Matter, Opinion};

/// Shorter ones are words that stand everywhere.
const SHORTEST: usize = 4;

/// Takes the values of Secrets out of every message.
pub(super) fn secrets(opinion: &mut Opinion, matter: &Matter) {
    let secrets = matter.objects.iter().filter(|pair| pair.key.kind == "Secret" && pair.key.group.is_empty());
    let mut values: Vec<String> = Vec::new();
    for object in secrets.flat_map(|pair| [&pair.old, &pair.new]).flatten() {
        for field in ["data", "stringData"] {
            let Some(Value::Object(entries)) = object.get(field) else { continue };
            for value in entries.values().filter_map(Value::as_str) {
                values.extend(decoded(value));
                values.push(value.to_owned());
            }
        }
    }
    // Longer ones first: one may be part of another.
    values.retain(|value| value.len() >= SHORTEST);
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values.dedup();
    let messages = opinion.found.iter_mut().map(|finding| &mut finding.message).chain(&mut opinion.broken);
    for message in messages {
        for value in &values {
            if message.contains(value.as_str()) {
                *message = message.replace(value.as_str(), "‹secret›");
            }
        }
    }
}

fn decoded(text: &str) -> Option<String> {
    use base64::Engine as _;
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).ok()?).ok()
}
