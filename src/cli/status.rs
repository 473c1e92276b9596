//! `bascule status` and `bascule history`: what runs where, and what ran there before.

use std::time::Duration;

use super::client::{Client, ClientError};
use super::deployments::{named, summed_up};
use super::table::{self, Column, Output, Said};
use serde_json::Value;

/// What runs where, and what holds it back.
#[derive(Debug, clap::Args)]
pub struct Status {
    /// One environment: `[REPOSITORY:]NAME`.
    #[arg(value_name = "ENV")]
    pub environment: Option<String>,
    /// Stay, and show it again whenever it is another.
    #[arg(long)]
    pub watch: bool,
    /// At most so many.
    #[arg(long, default_value_t = 200)]
    pub limit: usize,
    /// How to show it.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// An environment's deployments, newest first.
#[derive(Debug, clap::Args)]
pub struct History {
    /// The environment: `[REPOSITORY:]NAME`.
    #[arg(value_name = "ENV")]
    pub environment: String,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// How to show it.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Between two looks of `--watch`: a rollout takes longer, and a server does not feel it.
const LOOK: Duration = Duration::from_secs(2);

const NOW: &[Column] = &[
    ("REPOSITORY", "/repository"),
    ("ENVIRONMENT", "/name"),
    ("STATE", "/deployment_state"),
    ("NUMBER", "/deployment"),
    ("COMMIT", "/commit"),
    ("HELD", "/hold/reason"),
    ("BECAUSE", "/hold/detail"),
    ("LIFTED BY", "/hold/lifts"),
];

const BEFORE: &[Column] = &[
    ("NUMBER", "/number"),
    ("STATE", "/state"),
    ("COMMIT", "/commit_short"),
    ("PULLS", "/pulls"),
    ("APPROVED BY", "/approved_by"),
    ("ANSWER", "/answer"),
    ("STARTED", "/started_at"),
];

impl Status {
    /// Asks the server.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ask(&self, client: &Client) -> Result<Said, ClientError> {
        let (repository, name) = match self.environment.as_deref().map(named) {
            Some((repository, name)) => (repository, Some(name)),
            None => (None, None),
        };
        let items = client.pages("environments", &[("repository", repository), ("name", name)], self.limit).await?;
        match &self.environment {
            Some(asked) if items.is_empty() => Err(absent(asked)),
            _ => Ok(table::show(self.output, NOW, &items)),
        }
    }
}

impl Status {
    /// Asks again and again, until the server does not answer or somebody ends us.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn watch(&self, client: &Client) -> Result<Said, ClientError> {
        let mut shown = None;
        loop {
            let said = self.ask(client).await?;
            if shown.as_ref() != Some(&said) {
                super::print::say(&said.text);
                shown = Some(said);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl History {
    /// Asks the server.
    ///
    /// # Errors
    /// See [`ClientError`]; a name that is several environments' is one.
    pub async fn ask(&self, client: &Client) -> Result<Said, ClientError> {
        let (repository, name) = named(&self.environment);
        let found = client.pages("environments", &[("repository", repository), ("name", Some(name))], 20).await?;
        let id = match found.as_slice() {
            [] => return Err(absent(&self.environment)),
            [one] => &one["id"],
            several => {
                let names: Vec<String> =
                    several.iter().map(|one| format!("{}:{}", text(&one["repository"]), text(&one["name"]))).collect();
                return Err(ClientError::Absent(format!("which one? {}", names.join(", "))));
            }
        };
        let items = client.pages(&format!("environments/{id}/deployments"), &[], self.limit).await?;
        Ok(match self.output {
            Output::Json => table::show(self.output, BEFORE, &items),
            Output::Table => {
                let rows: Vec<Value> = items.into_iter().map(summed_up).collect();
                table::show(self.output, BEFORE, &rows)
            }
        })
    }
}

fn text(value: &Value) -> String {
    table::plain(value.as_str().unwrap_or_default())
}

fn absent(asked: &str) -> ClientError {
    ClientError::Absent(format!("there is no environment `{}`; `bascule status` lists them", table::plain(asked)))
}
