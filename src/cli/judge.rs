//! `bascule judge`: not for people. What asks policies is a process of its own.

use std::path::PathBuf;

/// Carries out an order that is in a file.
#[derive(Debug, clap::Args)]
pub struct Judge {
    /// The file.
    pub order: PathBuf,
}
