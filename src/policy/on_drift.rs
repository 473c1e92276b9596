//! `drift:`: what is done when the cluster is not as it was left.

use serde::{Deserialize, Serialize};

use super::block::{Block, Keys, one_of, text};
use super::document::{Node, Value};
use super::located::Complaints;

/// The keys of `drift`, where it is more than a word.
pub const DRIFT_KEYS: Keys = Keys { known: &["mode", "tell"], later: &[] };

/// What is done about drift.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDrift {
    /// It is shown.
    #[default]
    Report,
    /// What was deployed last is applied again.
    Heal,
}

impl OnDrift {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Reads it; and whether it is told in an issue.
pub(super) fn on_drift(block: &Block<'_>, complaints: &mut Complaints) -> (OnDrift, bool) {
    let words = [("report", OnDrift::Report), ("heal", OnDrift::Heal)];
    let mode = |node: &Node, complaints: &mut Complaints| {
        let written = text(node, "drift", complaints)?;
        one_of(written, "drift", &words, complaints)
    };
    let Some(node) = block.get("drift") else { return Default::default() };
    if matches!(node.value, Value::Text(_)) {
        return (mode(node, complaints).unwrap_or_default(), false);
    }
    let Some(block) = Block::open(node, "in `drift`", DRIFT_KEYS, complaints) else { return Default::default() };
    let done = block.get("mode").and_then(|node| mode(node, complaints)).unwrap_or_default();
    let tells =
        block.text("tell", complaints).and_then(|written| one_of(written, "tell", &[("issue", true)], complaints));
    (done, tells.unwrap_or_default())
}
