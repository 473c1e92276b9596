//! `drift:`: what is done when the cluster is not as it was left.

use serde::{Deserialize, Serialize};

use super::block::{Block, one_of};
use super::located::Complaints;

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

/// Reads it.
pub(super) fn on_drift(block: &Block<'_>, complaints: &mut Complaints) -> OnDrift {
    let words = [("report", OnDrift::Report), ("heal", OnDrift::Heal)];
    let written = block.text("drift", complaints);
    written.and_then(|written| one_of(written, "drift", &words, complaints)).unwrap_or_default()
}
