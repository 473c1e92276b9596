//! `bascule check`.

use std::path::PathBuf;

/// Reads the files as the server would, and says what is wrong with file, line, column and what to do.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// A file, or a folder with one or both; without it, this folder or the repository around it.
    pub path: Option<PathBuf>,
    /// Ask the forges and clusters, too: not in this version.
    #[arg(long, hide = true)]
    pub live: bool,
}
