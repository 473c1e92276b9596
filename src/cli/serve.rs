//! `bascule serve` and `bascule migrate`: the server's own commands.

use std::path::PathBuf;

/// Runs the server.
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// The server's file; without it, `bascule.toml` here or in /etc/bascule.
    #[arg(long, short)]
    pub config: Option<PathBuf>,
    /// What is logged: `info`, `debug`, `warn,bascule::jobs=debug` …
    #[arg(long, default_value = "info")]
    pub log: String,
    /// One JSON object a line instead of text for people, whatever `server.log_format` says.
    #[arg(long)]
    pub log_json: bool,
}

/// Brings the database to this program's version, as its owner.
#[derive(Debug, clap::Args)]
pub struct Migrate {
    /// The server's file; without it, `bascule.toml` here or in /etc/bascule.
    #[arg(long, short)]
    pub config: Option<PathBuf>,
}
