//! What can go wrong with a cluster, by what it means for the one who asked.

use std::time::Duration;

use serde_json::Value;

use super::rights;
use crate::manifest::without_secrets;
use crate::sync::FieldConflict;

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The same request may succeed, not before this long.
    Retry {
        /// What the server asked for; `None` leaves it to the caller.
        after: Option<Duration>,
    },
    /// Nobody can be reached there; whatever else was to be done with this cluster would end the same.
    Away,
    /// Look again: what the request was about is another one now, or gone.
    Look,
    /// Somebody else holds what it was about; only they, or a person, can let go.
    Held,
    /// The same request never succeeds.
    Never,
}

/// An answer that is not a success, or none. `Display` is fit for a person and holds no value of an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// Nobody answered, or not as a Kubernetes API server does.
    #[error("the cluster cannot be reached: {0}")]
    Unreachable(String),
    /// It answered, and did not take our credentials.
    #[error("the cluster does not accept our credentials (401)")]
    Unauthorized,
    /// No answer within the limit; whether it did anything is unknown.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// It is busy or broken for the moment.
    #[error("{message} ({status})")]
    Busy {
        /// The HTTP status.
        status: u16,
        /// What it says.
        message: String,
        /// When it wants to be asked again.
        after: Option<Duration>,
    },
    /// Field managers hold fields with other values.
    #[error("{}", conflicts(.0))]
    Conflict(Vec<FieldConflict>),
    /// The object changed, was recreated or appeared since it was looked at.
    #[error("it changed since it was looked at: {0}")]
    Stale(String),
    /// There is no such object, or its namespace is not there.
    #[error("{0}")]
    NotFound(String),
    /// The cluster serves no such kind at this version.
    #[error("the cluster serves no {0}")]
    NotServed(String),
    /// It says no: not allowed, or not valid. With everything it names, never a value.
    #[error("{message} ({status})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// It was not sent: what it is made of cannot be had.
    #[error("{0}")]
    Unsendable(String),
    /// The configuration of the cluster cannot be used.
    #[error("{0}")]
    Configuration(String),
}

impl ClusterError {
    /// What to do about it.
    pub fn fate(&self) -> Fate {
        match self {
            Self::Unreachable(_) | Self::Unauthorized | Self::Configuration(_) => Fate::Away,
            Self::Timeout(_) => Fate::Retry { after: None },
            Self::Busy { after, .. } => Fate::Retry { after: *after },
            Self::Conflict(_) => Fate::Held,
            Self::Stale(_) => Fate::Look,
            Self::NotFound(_) | Self::NotServed(_) | Self::Refused { .. } | Self::Unsendable(_) => Fate::Never,
        }
    }

    pub(super) fn unreadable(what: &str) -> Self {
        Self::Unreachable(format!("its answer is not what an API server says: {what}"))
    }
}

fn conflicts(fields: &[FieldConflict]) -> String {
    let held: Vec<_> = fields.iter().map(|held| format!("`{}` holds `{}`", held.manager, held.path)).collect();
    held.join(", ")
}

/// How much of a server's words is kept: some dump whole objects.
const WORDS: usize = 600;

/// Reads an answer that is not a success. `after` is its `Retry-After`, `about` the object that was sent.
pub(super) fn refusal(status: u16, body: &[u8], after: Option<Duration>, about: Option<&Value>) -> ClusterError {
    let Some(said) = serde_json::from_slice::<Value>(body).ok().filter(|said| said.get("kind").is_some()) else {
        // A path that nobody serves is answered in plain text, as is much of what stands before a server.
        return match status {
            401 => ClusterError::Unauthorized,
            404 => ClusterError::NotServed("such path".to_owned()),
            429 | 500..=599 => {
                ClusterError::Busy { status, message: "it answers with an error page".to_owned(), after }
            }
            _ => ClusterError::unreadable(&format!("status {status} without a reason")),
        };
    };
    let text = |pointer: &str| said.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let after =
        after.or_else(|| said.pointer("/details/retryAfterSeconds").and_then(Value::as_u64).map(Duration::from_secs));
    let (reason, raw) = (text("/reason"), text("/message"));
    let message = without_values(&said, about);
    match (status, reason) {
        (401, _) => ClusterError::Unauthorized,
        (404, _) => ClusterError::NotFound(message),
        (409, "AlreadyExists") => ClusterError::Stale(message),
        (409, _) => match field_conflicts(&said) {
            fields if fields.is_empty() => ClusterError::Stale(message),
            fields => ClusterError::Conflict(fields),
        },
        // A uid that no longer is that of the object is told as an immutable field, or in a 409 above.
        (422, _) if mentions_uid(&said) => ClusterError::Stale(message),
        // A namespace on its way out refuses new objects for as long as it takes.
        (403, _) if raw.contains("because it is being terminated") => ClusterError::Refused { status, message },
        // Mistakes of the object come as a bare 500; to retry them would never end.
        (500, "") if is_our_mistake(raw) => ClusterError::Refused { status, message },
        (429 | 500..=599, _) => ClusterError::Busy { status, message, after },
        (403, "Forbidden") => match rights::missing(&said) {
            Some(rule) => {
                let rule = without_secrets(&rule, about);
                ClusterError::Refused { status, message: format!("{message}: {rule}") }
            }
            None => ClusterError::Refused { status, message },
        },
        _ => ClusterError::Refused { status, message },
    }
}

fn is_our_mistake(message: &str) -> bool {
    ["failed to create typed patch object", "failed to convert new object", "failed to create manager for"]
        .iter()
        .any(|mistake| message.starts_with(mistake))
}

fn causes(said: &Value) -> &[Value] {
    said.pointer("/details/causes").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn mentions_uid(said: &Value) -> bool {
    causes(said).iter().any(|cause| cause.get("field").and_then(Value::as_str) == Some("metadata.uid"))
}

fn field_conflicts(said: &Value) -> Vec<FieldConflict> {
    let read = |cause: &Value| {
        let text = |name: &str| cause.get(name).and_then(Value::as_str);
        if text("reason") != Some("FieldManagerConflict") {
            return None;
        }
        let message = text("message").unwrap_or_default();
        let manager = message.strip_prefix("conflict with ").unwrap_or(message);
        // `"kubectl-edit" using apps/v1`, `"hpa" with subresource "scale" using apps/v1`
        let manager = manager.split(" using ").next().unwrap_or(manager).replace('"', "");
        Some(FieldConflict { manager, path: text("field").unwrap_or_default().to_owned() })
    };
    let mut fields: Vec<_> = causes(said).iter().filter_map(read).collect();
    fields.sort();
    fields.dedup();
    fields
}

/// What the server says, without the values it found: they may be secret, and some are kilobytes of a program's dump.
fn without_values(said: &Value, about: Option<&Value>) -> String {
    // What is secret is hidden before anything is cut: half a value is one too.
    let text =
        |value: &Value, name: &str| without_secrets(value.get(name).and_then(Value::as_str).unwrap_or_default(), about);
    let about_values = ["FieldValueInvalid", "FieldValueNotSupported", "FieldValueDuplicate", "FieldValueTooLong"];
    let parts: Vec<_> = causes(said)
        .iter()
        .map(|cause| {
            let (field, message) = (text(cause, "field"), text(cause, "message"));
            let message = if about_values.contains(&text(cause, "reason").as_str()) {
                after_value(&message)
            } else {
                first_line(&message)
            };
            if field.is_empty() { message } else { format!("{field}: {message}") }
        })
        .collect();
    let whole = if parts.is_empty() { redact_found(&text(said, "message")) } else { parts.join("; ") };
    if whole.chars().count() > WORDS { whole.chars().take(WORDS).chain(['…']).collect() } else { whole }
}

/// `Invalid value: {…}: field is immutable` → `field is immutable`.
fn after_value(message: &str) -> String {
    match message.rsplit_once(": ") {
        Some((_, rule)) => rule.to_owned(),
        None => "invalid value".to_owned(),
    }
}

/// Immutable fields come with a difference of the whole spec below the first line.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

/// `expected string, got &value.valueUnstructured{Value:"s3cret"}` and the like: everything after `got` is a value.
fn redact_found(message: &str) -> String {
    let line = |line: &str| match line.find(", got ") {
        Some(at) => line[..at].to_owned(),
        None => line.to_owned(),
    };
    message.lines().map(|text| line(text.trim())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
