//! `bascule restored`: a database that was put back from a backup. On the server's host, from its file.

use std::path::PathBuf;

use clap::Subcommand;

use super::table::Output;

/// Whether the database was put back from a backup, and the word that lets syncs delete again.
#[derive(Debug, clap::Args)]
pub struct Restored {
    /// The server's file; without it, `bascule.toml` here or in /etc/bascule.
    #[arg(long, short, global = true)]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub act: Act,
}

/// What to do about a database that was put back.
#[derive(Debug, Subcommand)]
pub enum Act {
    /// What was noticed and is not confirmed.
    Show {
        /// How to show it.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Says that it was put back, where no server can notice: the signed heads came from the same backup.
    Declare {
        /// Why; it is in the log.
        #[arg(long)]
        reason: String,
    },
    /// Lets syncs delete again, and puts the signed heads of what was lost aside.
    Confirm {
        /// Why; it is in the log.
        #[arg(long)]
        reason: String,
    },
}
