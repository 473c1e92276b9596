//! Drift: an object of ours that is not in the cluster as we left it, and whose hand that was.
//!
//! ```text
//!   a watch of metadata ─> sighting ─(another mark, or gone)─> suspect
//!   suspect ─> read in full ─> glance ─┬─ our fields hash as they did: settled
//!                                      ├─ gone, another one's, another object: drift
//!                                      └─ other values: the server is asked what an apply would change
//!                                                         nothing: settled (a rewrite of its own) ─ something: drift
//! ```
//!
//! A sighting is cheap and may be wrong about what it means, never about whether something happened: whatever can change a field of
//! ours changes the mark. A status changes no mark where a kind counts generations; what else others write costs one read.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ids::ObjectKey;
use crate::manifest::HashKey;

use super::FIELD_MANAGER;
use super::fields::{own_entry, project};
use super::plan::{Recorded, Seen};

/// Of everything in an object's metadata that tells whether somebody's hand may have been on a field of ours: all of it, but what moves
/// with a status. Of the managed fields it is our own entry alone; where a kind counts generations, the version is left out. A label
/// that is not ours any more because somebody took it has to move it, too: nobody else tells when it is put back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mark(pub [u8; 32]);

impl std::fmt::Debug for Mark {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Mark({})", &hex::encode(self.0)[..12])
    }
}

impl Mark {
    /// Of an object, or of its metadata alone: both give the same.
    pub fn of(key: &HashKey, object: &Value) -> Self {
        let mut metadata = object.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
        metadata.remove("managedFields");
        if metadata.get("generation").is_some_and(|generation| !generation.is_null()) {
            metadata.remove("resourceVersion");
        }
        for (name, value) in &mut metadata {
            if name.ends_with("Timestamp") {
                *value = second(value).map_or(Value::Null, Value::from);
            }
        }
        let entry = own_entry(object);
        let of_entry = |name: &str| entry.and_then(|entry| entry.get(name));
        let told = json!([metadata, of_entry("fieldsV1"), of_entry("time").and_then(second), of_entry("apiVersion")]);
        Self(key.hash(&told).0)
    }
}

/// To the second, as a server writes it, whoever wrote it out again in between.
fn second(time: &Value) -> Option<i64> {
    time.as_str()?.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

/// An object as a watch shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The server's id.
    pub uid: String,
    /// The version that was seen.
    pub resource_version: String,
    /// Of its metadata.
    pub mark: Mark,
    /// Whether it says itself that it is one of ours: others are forgotten at once, unless we know them.
    pub is_ours: bool,
}

/// What is remembered of an object of the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Which.
    pub key: ObjectKey,
    /// Whose: our number of the environment.
    pub environment: i64,
    /// The one we wrote; `None` when no answer was recorded.
    pub uid: Option<String>,
    /// Its mark when it was last found to be as we left it.
    pub mark: Option<Mark>,
    /// The drift it is in, by the mark it had then; `None` within: it was gone.
    pub drifted: Option<Option<Mark>>,
    /// Whether a look at it is asked for already.
    pub is_suspect: bool,
    /// Whether a sync of its environment is on its way, which decides by itself.
    pub is_syncing: bool,
}

impl Known {
    /// Whether it has to be read, since what is seen of it now is not what was looked at last.
    pub fn has_moved(&self, now: Option<&Sighting>) -> bool {
        let Some(uid) = &self.uid else { return false };
        let mark = now.map(|seen| seen.mark);
        match self.drifted {
            Some(then) => then != mark,
            None => now.is_none_or(|seen| seen.uid != *uid) || self.mark != mark,
        }
    }
}

/// In which way an object is not as we left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Fields of ours have other values.
    Changed,
    /// It is not there.
    Gone,
    /// There is another one of its name.
    Replaced,
    /// It says that it belongs to somebody else.
    Owned,
    /// It is on its way out.
    Leaving,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Changed, Self::Gone, Self::Replaced, Self::Owned, Self::Leaving];

    /// As stored, counted and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Gone => "gone",
            Self::Replaced => "replaced",
            Self::Owned => "owned",
            Self::Leaving => "leaving",
        }
    }

    /// Reads a stored word.
    pub fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.as_str() == text)
    }

    /// Whether to apply again is worth a try. What belongs to somebody else is theirs, and what is on its way out is written to in
    /// vain: it comes back when it is gone.
    pub fn can_be_healed(self) -> bool {
        match self {
            Self::Changed | Self::Gone | Self::Replaced => true,
            Self::Owned | Self::Leaving => false,
        }
    }
}

/// What is wrong with one object: paths and names, never a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// In which way.
    pub what: What,
    /// Fields that an apply would change; may be none where the server cannot be asked.
    pub fields: Vec<String>,
    /// The field managers that hold them now; none is known of what was taken away.
    pub by: Vec<String>,
    /// What else is to be said.
    pub detail: Option<String>,
}

impl Drift {
    fn plain(what: What, detail: Option<String>) -> Self {
        Self { what, fields: Vec::new(), by: Vec::new(), detail }
    }
}

/// What a full look at one object says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Glance {
    /// It is as we left it.
    Settled,
    /// It is not.
    Drifted(Drift),
    /// Our fields have other values than the server answered; only the server knows whether that is drift.
    Ask,
}

/// Compares what is there with what we recorded. `owner` is what our owner annotation says.
pub fn glance(owner: &str, recorded: &Recorded, live: Option<&Seen>) -> Glance {
    let Some(seen) = live else { return Glance::Drifted(Drift::plain(What::Gone, None)) };
    if let Some(other) = seen.owner.as_ref().filter(|other| *other != owner) {
        return Glance::Drifted(Drift::plain(What::Owned, Some(format!("it belongs to `{other}`"))));
    }
    if let Some(how) = &seen.deleting {
        return Glance::Drifted(Drift::plain(What::Leaving, Some(format!("it is being deleted {how}"))));
    }
    if recorded.uid.as_ref() != Some(&seen.uid) {
        return Glance::Drifted(Drift::plain(What::Replaced, None));
    }
    if recorded.live.is_some() && recorded.live == seen.live { Glance::Settled } else { Glance::Ask }
}

/// A field manager that holds something which an apply of ours would change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hand {
    /// Its name, with the subresource it wrote through.
    pub name: String,
    /// Whether it applies, as we do, and did not only write.
    pub applies: bool,
}

/// Whose hand was on an object: of `live`, what `would` be after an apply that met no resistance.
pub fn hands(live: &Value, would: &Value) -> Vec<Hand> {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let text = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut hands: Vec<Hand> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let (manager, through) = (text(entry, "manager"), text(entry, "subresource"));
            let applies = text(entry, "operation") == "Apply";
            if manager == FIELD_MANAGER && applies && through.is_empty() {
                return None;
            }
            let fields = entry.get("fieldsV1").and_then(Value::as_object)?;
            let name = if through.is_empty() { manager } else { format!("{manager} with subresource {through}") };
            (project(live, fields, None) != project(would, fields, None)).then_some(Hand { name, applies })
        })
        .collect();
    hands.sort();
    hands.dedup();
    hands
}

/// What is sent of an object, without the fields that an autoscaler has by now: whoever writes through `scale` counts replicas, which is
/// their business for as long as they do. `kubectl scale` is a person's hand, as any other of theirs.
pub fn but_for_scalers(object: &Value, live: &Value) -> Value {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let text = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let scales =
        |entry: &&Value| text(entry, "subresource") == "scale" && !text(entry, "manager").starts_with("kubectl");
    let mut left = object.clone();
    for entry in entries.into_iter().flatten().filter(scales) {
        if let Some(fields) = entry.get("fieldsV1").and_then(Value::as_object) {
            take_out(&mut left, fields);
        }
    }
    left
}

fn take_out(value: &mut Value, fields: &serde_json::Map<String, Value>) {
    let Some(map) = value.as_object_mut() else { return };
    for (path, below) in fields {
        let (Some(name), Some(below)) = (path.strip_prefix("f:"), below.as_object()) else { continue };
        if below.is_empty() {
            map.remove(name);
        } else if let Some(inner) = map.get_mut(name) {
            take_out(inner, below);
        }
    }
}

/// Who keeps us from taking back what was ours: somebody who applies the field, too, has a say of their own. Whoever only wrote it,
/// by hand or as a controller, has none: it was ours when they did, and the rules say that it goes back.
pub fn in_the_way(hands: &[Hand]) -> Option<&Hand> {
    hands.iter().find(|hand| hand.applies)
}

/// Whether this field manager applies anything of an object.
pub fn applies(live: &Value, manager: &str) -> bool {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let is = |entry: &Value, name: &str, text: &str| entry.get(name).and_then(Value::as_str) == Some(text);
    entries.into_iter().flatten().any(|entry| is(entry, "manager", manager) && is(entry, "operation", "Apply"))
}

/// How long an object is left alone that was put right so often lately and is wrong again.
pub fn pause(times: u32) -> Duration {
    match times {
        0 => Duration::ZERO,
        times => (FIRST_PAUSE * 2_u32.saturating_pow(times - 1)).min(LONGEST_PAUSE),
    }
}

/// The first time may be a mistake of a person who types it again; a controller is back within seconds.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// Once an hour is enough to see whether somebody who fights back has stopped, and to be seen.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// After so long without drift whoever fought back has given in: longer than the longest pause.
pub const CALM: Duration = Duration::from_secs(2 * 60 * 60);

#[cfg(test)]
#[path = "drift_tests.rs"]
mod tests;
