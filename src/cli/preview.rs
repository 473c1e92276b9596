//! `bascule preview show`: the whole of a preview, which a comment may not have room for.

use clap::Subcommand;
use serde_json::Value;

use super::client::{Client, ClientError};

/// Previews.
#[derive(Debug, clap::Args)]
pub struct Preview {
    /// What to do.
    #[command(subcommand)]
    pub act: Act,
}

/// How a preview is written; both hold all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people, as `bascule diff` writes one.
    #[default]
    #[value(alias = "table")]
    Diff,
    /// For programs.
    Json,
}

/// What to do with previews.
#[derive(Debug, Subcommand)]
pub enum Act {
    /// One, whole.
    Show {
        /// Its number: the one of `/previews/ID`.
        id: i64,
        /// How to show it.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
}

impl Act {
    /// Asks the server for the page, to be written as `bascule diff` writes one.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ask(&self, client: &Client) -> Result<(Output, Value), ClientError> {
        let Self::Show { id, output } = self;
        let mut preview = client.get(&format!("previews/{id}"), &[]).await?;
        Ok((*output, preview["page"].take()))
    }
}
