//! The command line: one file for each command, named as it is typed. These hold the arguments and, for clients of a
//! server, the requests; what works without a server is in `local/`, and `main.rs` brings both together.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

pub mod audit;
pub mod check;
pub mod client;
pub mod completions;
pub mod deliveries;
pub mod diff;
pub mod init;
pub mod jobs;
pub mod pager;
pub mod preview;
pub mod print;
pub mod schema;
pub mod serve;
pub mod status;
pub mod table;
pub mod token;

/// Preview, consent, sync, proof: a server between pull requests and deployments.
#[derive(Debug, Parser)]
#[command(name = "bascule", version, max_term_width = 100, propagate_version = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command, in the order of a newcomer's week.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write both files for what is found in a repository.
    Init(init::Init),
    /// Validate `.bascule.yaml` or `bascule.toml`: 0 good, 1 bad, 2 could not.
    Check(check::Check),
    /// Show what a branch or uncommitted work would change: 0 nothing, 1 something, 2 cannot tell.
    Diff(diff::Diff),
    /// Run the server.
    Serve(serve::Serve),
    /// Bring the database to this version.
    Migrate(serve::Migrate),
    /// What runs where, and what holds it back.
    Status(status::Status),
    /// An environment's deployments, newest first.
    History(status::History),
    /// Previews, whole.
    Preview(preview::Preview),
    /// The log that can be proven, and its reports.
    Audit(audit::Audit),
    /// What forges delivered.
    Deliveries(deliveries::Deliveries),
    /// The queue.
    Jobs(jobs::Jobs),
    /// Machine tokens, on the server's host.
    Token(token::Token),
    /// Print the JSON Schema of one of the files, for editors.
    Schema(schema::Schema),
    /// Print completions for a shell.
    Completions(completions::Completions),
}

/// Commands of the contract that this version does not build: refused by name.
const LATER: &[&str] = &[
    "agent",
    "connect",
    "login",
    "wait",
    "drift",
    "heal",
    "adopt",
    "rollback",
    "resume",
    "freeze",
    "unfreeze",
    "approve",
    "environments",
    "clusters",
];

/// Reads the arguments; the error is what to exit with, everything already said.
///
/// # Errors
/// Help and version were asked for (0), or the arguments cannot be understood (2).
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, ExitCode> {
    Arguments::try_parse_from(arguments).map_err(|error| {
        if let Some(name) = later(&error) {
            print::complain(&format!("bascule: `{name}` is not in this version"));
            return ExitCode::from(2);
        }
        let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        // Nothing can be done when the terminal is gone.
        drop(error.print());
        if asked { ExitCode::SUCCESS } else { ExitCode::from(2) }
    })
}

fn later(error: &clap::Error) -> Option<&str> {
    match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(name))) if LATER.contains(&name.as_str()) => {
            Some(name)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_sound_and_none_is_both_here_and_later() {
        let command = Arguments::command();
        command.clone().debug_assert();
        let here: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        assert!(LATER.iter().all(|later| !here.contains(later)), "{here:?}");
    }

    #[test]
    fn a_later_command_is_known_by_name() {
        let refused = |word: &str| Arguments::try_parse_from(["bascule", word]).unwrap_err();
        assert_eq!(later(&refused("rollback")), Some("rollback"));
        assert_eq!(later(&refused("rolback")), None);
    }
}
