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
    /// Make a GitHub App in a browser on this machine, and print the section for `bascule.toml`; the forge need not be there.
    #[arg(long, conflicts_with_all = ["dry_run", "renew_secrets"])]
    pub create_app: bool,
    /// The organization whose App it is; without it, your own account's.
    #[arg(long, requires = "create_app", value_parser = organization)]
    pub organization: Option<String>,
    /// GitHub Enterprise Server's address, where `bascule.toml` does not say it; else github.com.
    #[arg(long, requires = "create_app")]
    pub url: Option<String>,
    /// A folder for the App's secrets: files that only you can read.
    #[arg(long, requires = "create_app", default_value = ".")]
    pub directory: PathBuf,
    /// The port to listen on, to come by `ssh -L PORT:127.0.0.1:PORT` from another machine's browser; 0 is any.
    #[arg(long, requires = "create_app", default_value_t = 0)]
    pub port: u16,
    /// Only print the address to open.
    #[arg(long, requires = "create_app")]
    pub no_browser: bool,
}

fn organization(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    is_name.then(|| text.to_owned()).ok_or_else(|| "write it as in the address of its page".to_owned())
}
