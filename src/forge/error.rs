//! What can go wrong with a forge, told by its fate: what the caller has to do about it.

use std::time::Duration;

use jiff::Timestamp;

use crate::ids::ForgeName;

/// What an error means for the work that met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Down, slow, overloaded, or not speaking its API at the moment: the same call later.
    Retry {
        /// At least this long, when the forge said so.
        after: Option<Duration>,
    },
    /// Our account may not: only a person can change that. Nothing may be concluded about what was asked for.
    Refused,
    /// It is not there (any more), or not under this name.
    Gone,
    /// The forge will not take this request as it is, or its answer is not one we can read; the same call again is
    /// useless.
    Invalid,
}

/// A call that did not give what was asked for. `Display` is fit for a pull request: no secret, no address.
#[derive(Debug, thiserror::Error)]
#[error("forge {forge}: {what}")]
pub struct ForgeError {
    /// Which forge.
    pub forge: ForgeName,
    /// What to do about it.
    pub fate: Fate,
    /// The answer's status, when there was an answer.
    pub status: Option<u16>,
    /// When it was refused, by the forge's own clock, where it says that.
    pub at: Option<Timestamp>,
    /// One sentence: what was asked, and what came.
    pub what: String,
    /// The cause below, for the log.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ForgeError {
    /// Whether the same call may succeed later by itself.
    pub fn is_passing(&self) -> bool {
        matches!(self.fate, Fate::Retry { .. })
    }

    /// Whether the forge says that it is not there.
    pub fn is_gone(&self) -> bool {
        self.fate == Fate::Gone
    }
}

/// A forge's answer, or why there is none.
pub type Result<T> = std::result::Result<T, ForgeError>;
