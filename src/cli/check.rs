//! `bascule check`.

use std::path::PathBuf;

/// Reads the files as the server would, and says what is wrong with file, line, column and what to do.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// A file, or a folder with one or both; without it, this folder or the repository around it.
    pub path: Option<PathBuf>,
    /// Ask what the server's file names, too: forges, webhooks, clusters, the database; and which walls stand around the
    /// renderers here. Changes nothing.
    #[arg(long)]
    pub live: bool,
}
