//! `bascule connect`.

use std::path::PathBuf;

/// Asks a forge what our App or token may there, and sees to the webhooks of the granted repositories: shows each, makes
/// what is missing and brings into order what is not. Run again, it finds nothing to do.
///
/// Ends with 0 when all is in order, 1 when something is left for a person (or, with `--dry-run`, to be done), 2 when
/// it could not be found out.
#[derive(Debug, clap::Args)]
pub struct Connect {
    /// The forge's name in `bascule.toml`: the `work` of `[forge.work]`.
    pub forge: String,
    /// The server's file; without it, `bascule.toml` here or in /etc/bascule.
    #[arg(long, short)]
    pub config: Option<PathBuf>,
    /// Show what would be done, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Set the secret of every webhook anew: forges show it to nobody, so a wrong one looks like a right one.
    #[arg(long)]
    pub renew_secrets: bool,
}
