//! The command line: one file for each command, named as it is typed. These hold the arguments and, for clients of a
//! server, the requests; what works without a server is in `local/`, and `main.rs` brings both together.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

pub mod adopt;
pub mod agent;
pub mod audit;
pub mod check;
pub mod client;
pub mod clusters;
pub mod completions;
pub mod connect;
pub mod deliveries;
mod deployments;
pub mod diff;
pub mod drift;
pub mod emergency;
pub mod environments;
pub mod freeze;
pub mod init;
pub mod jobs;
pub mod judge;
pub mod kept;
pub mod listed;
pub mod login;
pub mod loopback;
pub mod pager;
pub mod preview;
pub mod print;
pub mod repositories;
pub mod restored;
pub mod rollback;
pub mod schema;
pub mod serve;
pub mod status;
pub mod sync;
pub mod table;
pub mod token;
pub mod wait;

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
    /// See to the webhooks of the granted repositories, and say what our token may.
    Connect(connect::Connect),
    /// Run the server.
    Serve(serve::Serve),
    /// Run in a cluster that the server cannot reach, and dial it.
    Agent(agent::Agent),
    /// Bring the database to this version.
    Migrate(serve::Migrate),
    /// Sign in to a server through your forge.
    Login(login::Login),
    /// Sign out, here and there.
    Logout(login::Logout),
    /// What runs where, and what holds it back.
    Status(status::Status),
    /// Wait until an environment is healthy at a commit, for CI: 0 healthy, 1 failed, 2 could not, 3 too long, 4 held.
    Wait(wait::Wait),
    /// What is not in the clusters as it was left.
    Drift(drift::Drift),
    /// Apply again what drifted.
    Heal(drift::Heal),
    /// Open a pull request that writes what drifted into the repository, as it is in the cluster.
    Adopt(adopt::Adopt),
    /// Ask for a sync.
    Sync(sync::Sync),
    /// Sync nothing new for a while.
    Freeze(freeze::Freeze),
    /// End that.
    Unfreeze(freeze::Unfreeze),
    /// Let what an environment waits for pass, as one of two people.
    Emergency(emergency::Emergency),
    /// Go back to what was healthy before.
    Rollback(rollback::Rollback),
    /// End a pin, or try again after a failure.
    Resume(rollback::Resume),
    /// An environment's deployments, newest first.
    History(status::History),
    /// Every environment, and the end of one that nobody follows any more.
    Environments(environments::Environments),
    /// The clusters that environments go to.
    Clusters(clusters::Clusters),
    /// Previews, whole.
    Preview(preview::Preview),
    /// The log that can be proven, and its reports.
    Audit(audit::Audit),
    /// What forges delivered.
    Deliveries(deliveries::Deliveries),
    /// The queue.
    Jobs(jobs::Jobs),
    /// Whose a granted name is, on the server's host.
    Repositories(repositories::Repositories),
    /// A database that was put back from a backup, on the server's host.
    Restored(restored::Restored),
    /// Machine tokens, on the server's host.
    Token(token::Token),
    /// Print the JSON Schema of one of the files, for editors.
    Schema(schema::Schema),
    /// Judge by policies, in a box: what the server starts for each change.
    #[command(hide = true)]
    Judge(judge::Judge),
    /// Print completions for a shell.
    Completions(completions::Completions),
}

/// Commands of the contract that this version does not build: refused by name.
const LATER: &[&str] = &["approve", "clusters move"];

/// Reads the arguments; the error is what to exit with, everything already said.
///
/// # Errors
/// Help and version were asked for (0), or the arguments cannot be understood (2).
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, ExitCode> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    Arguments::try_parse_from(&arguments).map_err(|error| {
        if let Some(name) = later(&error, &arguments) {
            print::complain(&format!("bascule: `{name}` is not in this version"));
            return ExitCode::from(2);
        }
        let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        // Nothing can be done when the terminal is gone.
        drop(error.print());
        if asked { ExitCode::SUCCESS } else { ExitCode::from(2) }
    })
}

/// The command of a later version that was typed: its words, as far as clap did not know them.
fn later(error: &clap::Error, arguments: &[OsString]) -> Option<&'static str> {
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let words: Vec<&str> = arguments.iter().skip(1).filter_map(|word| word.to_str()).collect();
    let end = words.iter().position(|word| word == unknown)?;
    let typed = words[..=end].iter().filter(|word| !word.starts_with('-')).copied().collect::<Vec<_>>().join(" ");
    LATER.iter().find(|name| **name == typed).copied()
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
        let refused = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let error = Arguments::try_parse_from(&words).unwrap_err();
            later(&error, &words)
        };
        assert_eq!(refused("bascule approve production --reason x"), Some("approve"));
        assert_eq!(refused("bascule clusters move prod"), Some("clusters move"));
        assert_eq!(refused("bascule rolback"), None);
        assert_eq!(refused("bascule jobs rollback"), None);
    }
}
