//! `bascule token`: machine tokens. Made on the server's host, from its file: whoever can read that file can do more.

use std::path::PathBuf;

use clap::Subcommand;
use jiff::SignedDuration;

use super::table::Output;
use crate::ids::{ClusterName, NoSpan, Span};

/// Machine tokens, which can never approve; and those of people who signed in with `bascule login`.
#[derive(Debug, clap::Args)]
pub struct Token {
    /// The server's file; without it, `bascule.toml` here or in /etc/bascule.
    #[arg(long, short, global = true)]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub act: Act,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum Act {
    /// Makes one and shows it, once.
    Create {
        /// What the log calls it, for ever.
        name: String,
        /// What it may do: read (environments, deployments, previews, deliveries, jobs), operate (replay, retry, sync, freeze),
        /// audit (the log and its reports); or, alone, agent:CLUSTER (be the agent of that cluster).
        #[arg(long, value_name = "SCOPE", value_parser = scope, value_delimiter = ',', required = true)]
        scope: Vec<Scope>,
        /// How long it lives: 90d, 12h, 30m; at most 366d.
        #[arg(long, default_value = "90d", value_parser = duration)]
        expires: SignedDuration,
    },
    /// All of them, also those that ended.
    List {
        /// How to show them.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Ends one now.
    Revoke {
        /// Its name; of a person's, the id that `list` shows.
        name: String,
    },
}

/// What a token may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Read environments, deployments, previews, deliveries and jobs.
    Read,
    /// Replay deliveries, retry jobs.
    Operate,
    /// Read, verify and export the log, and its reports.
    Audit,
    /// Be the agent of this cluster.
    Agent(ClusterName),
}

fn scope(text: &str) -> Result<Scope, String> {
    match text {
        "read" => Ok(Scope::Read),
        "operate" => Ok(Scope::Operate),
        "audit" => Ok(Scope::Audit),
        _ => match text.strip_prefix("agent:").map(str::parse) {
            Some(Ok(cluster)) => Ok(Scope::Agent(cluster)),
            Some(Err(_)) => Err("write the cluster's name as the server's file has it: `agent:production`".to_owned()),
            None => Err("it is `read`, `operate`, `audit` or `agent:CLUSTER`".to_owned()),
        },
    }
}

/// How long a token may live is known where it is made.
fn duration(text: &str) -> Result<SignedDuration, String> {
    let span: Span = text.parse().map_err(|error: NoSpan| error.to_string())?;
    let seconds = i64::try_from(span.seconds()).map_err(|_| NoSpan.to_string())?;
    Ok(SignedDuration::from_secs(seconds))
}
