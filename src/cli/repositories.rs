//! `bascule repositories`: whose a name is. On the server's host, from its file: it gives away what a grant trusts.

use std::path::PathBuf;

use clap::Subcommand;

use super::table::Output;

/// Repositories as the server knows them, and whose a granted name is.
#[derive(Debug, clap::Args)]
pub struct Repositories {
    /// The server's file; without it, `bascule.toml` here or in /etc/bascule.
    #[arg(long, short, global = true)]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub act: Act,
}

/// What to do with repositories.
#[derive(Debug, Subcommand)]
pub enum Act {
    /// All of them, with the forge's number of each and what is done with it.
    List {
        /// How to show them.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Gives a name to the repository that has it on the forge now, which was re-created or renamed.
    Accept {
        /// `FORGE/OWNER/NAME`.
        name: String,
        /// The forge's number of the repository, where several took the name one after another.
        #[arg(long)]
        id: Option<i64>,
    },
}
