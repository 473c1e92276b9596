//! `bascule clusters list`: where environments go.

use clap::Subcommand;

use super::client::{Client, ClientError};
use super::table::{self, Column, Output, Said};

/// The clusters that environments go to.
#[derive(Debug, clap::Args)]
pub struct Clusters {
    /// What to do.
    #[command(subcommand)]
    pub act: Act,
}

/// What to do with clusters.
#[derive(Debug, Subcommand)]
pub enum Act {
    /// All of them, with what is there and what is wrong with it.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 200)]
        limit: usize,
        /// How to show them.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
}

const ALL: &[Column] = &[
    ("CLUSTER", "/name"),
    ("ENVIRONMENTS", "/environments"),
    ("OBJECTS", "/objects"),
    ("DRIFTED", "/drifted"),
    ("SYNCING", "/syncing"),
    ("AWAY FOR", "/away"),
    ("WATCHED", "/watched"),
    ("AGENT", "/agent/state"),
];

impl Act {
    /// Asks the server.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ask(&self, client: &Client) -> Result<Said, ClientError> {
        let Self::List { limit, output } = self;
        Ok(table::show(*output, ALL, &client.pages("clusters", &[], *limit).await?))
    }
}
