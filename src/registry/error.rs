//! What a registry did instead of giving a chart.

use crate::ids::RegistryName;

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It may be there later.
    Later,
    /// Whoever runs this server has to do something.
    Refused,
    /// Whoever writes the repository has to: the same will be answered again.
    Never,
}

/// An error of a registry. `Display` is fit for the author of the repository: it names the registry as the server's file does.
#[derive(Debug, thiserror::Error)]
#[error("registry `{registry}`: {what}")]
pub struct RegistryError {
    /// Which.
    pub registry: RegistryName,
    /// What becomes of it.
    pub fate: Fate,
    /// What it did.
    pub what: String,
    /// Where that is known from, for the log.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What is wrong with something that was read, before it is known of whom it came.
pub(super) type Fault = (Fate, String);
