//! `bascule jobs`: what waits, what runs, what is stuck.

use clap::Subcommand;

use super::client::{Client, ClientError};
use super::listed::Listed;
use super::table::{self, Column, Output, Said};

/// The queue.
#[derive(Debug, clap::Args)]
pub struct Jobs {
    /// What to do.
    #[command(subcommand)]
    pub act: Act,
}

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub enum Act {
    /// Jobs, newest first; a finished one is gone.
    List {
        /// Only pending, running, refused or failed ones. A refused one waits until a person gives us a permission.
        #[arg(long)]
        state: Option<String>,
        /// How much of it.
        #[command(flatten)]
        listed: Listed,
    },
    /// One, with what it is about and what its last try said.
    Show {
        /// Its number.
        id: i64,
        /// How to show it.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Gives one that failed or waits a new beginning.
    Retry {
        /// Its number.
        id: i64,
    },
}

const JOB: &[Column] = &[
    ("ID", "/id"),
    ("KIND", "/kind"),
    ("KEY", "/key"),
    ("LANE", "/lane"),
    ("STATE", "/state"),
    ("TRIES", "/attempt"),
    ("DUE", "/run_at"),
    ("ERROR", "/error"),
];

impl Act {
    /// Asks the server.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ask(&self, client: &Client) -> Result<Said, ClientError> {
        match self {
            Self::List { state, listed } => listed.ask(client, "jobs", &[("state", state.clone())], JOB).await,
            Self::Show { id, output } => Ok(table::show_one(*output, &client.get(&format!("jobs/{id}"), &[]).await?)),
            Self::Retry { id } => Ok(table::show_one(Output::Table, &client.post(&format!("jobs/{id}/retry")).await?)),
        }
    }
}
