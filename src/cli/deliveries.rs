//! `bascule deliveries`: what came in, and once more.

use clap::Subcommand;

use super::client::{Client, ClientError};
use super::listed::Listed;
use super::table::{self, Column, Output, Said};

/// What forges delivered.
#[derive(Debug, clap::Args)]
pub struct Deliveries {
    /// What to do.
    #[command(subcommand)]
    pub act: Act,
}

/// What to do with deliveries.
#[derive(Debug, Subcommand)]
pub enum Act {
    /// Deliveries, newest first.
    List {
        /// Only done, ignored or quarantined ones.
        #[arg(long)]
        state: Option<String>,
        /// How much of it.
        #[command(flatten)]
        listed: Listed,
    },
    /// One, with what it said.
    Show {
        /// Its id.
        id: uuid::Uuid,
        /// How to show it.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Reads one again and does what it causes.
    Replay {
        /// Its id.
        id: uuid::Uuid,
    },
}

const DELIVERY: &[Column] = &[
    ("ID", "/id"),
    ("AT", "/received_at"),
    ("FORGE", "/forge"),
    ("EVENT", "/event"),
    ("STATE", "/state"),
    ("BECAUSE", "/reason"),
];

impl Act {
    /// Asks the server.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ask(&self, client: &Client) -> Result<Said, ClientError> {
        match self {
            Self::List { state, listed } => {
                listed.ask(client, "deliveries", &[("state", state.clone())], DELIVERY).await
            }
            Self::Show { id, output } => {
                Ok(table::show_one(*output, &client.get(&format!("deliveries/{id}"), &[]).await?))
            }
            Self::Replay { id } => {
                Ok(table::show_one(Output::Table, &client.post(&format!("deliveries/{id}/replay")).await?))
            }
        }
    }
}
