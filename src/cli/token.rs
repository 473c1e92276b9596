//! `bascule token`: machine tokens. Made on the server's host, from its file: whoever can read that file can do more.

use std::path::PathBuf;

use clap::Subcommand;
use jiff::SignedDuration;

use super::table::Output;

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
        /// What it may do.
        #[arg(long, value_enum, value_delimiter = ',', required = true)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scope {
    /// Read environments, deployments, previews, deliveries and jobs.
    Read,
    /// Replay deliveries, retry jobs.
    Operate,
    /// Read, verify and export the log, and its reports.
    Audit,
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    let read = || {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let count: i64 = digits.parse().ok().filter(|count| (1..=1_000_000).contains(count))?;
        match unit {
            "d" => Some(SignedDuration::from_hours(24 * count)),
            "h" => Some(SignedDuration::from_hours(count)),
            "m" => Some(SignedDuration::from_mins(count)),
            _ => None,
        }
    };
    read().ok_or_else(|| "write a number and d, h or m, like 90d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_a_number_and_a_unit() {
        assert_eq!(duration("90d"), Ok(SignedDuration::from_hours(2160)));
        assert_eq!(duration("30m"), Ok(SignedDuration::from_mins(30)));
        for bad in ["", "d", "90", "-1d", "0d", "9e9d", "1ü", "99999999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
