//! `bascule rollback` and `bascule resume`: back to what was healthy before, and on from there, as in a pull request.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, ClientError};
use super::deployments::named;
use super::table::{self, Output, Said, plain};

/// Go back to the objects of what was healthy before, and stay there until somebody says otherwise.
#[derive(Debug, clap::Args)]
pub struct Rollback {
    /// The environment: `[REPOSITORY:]NAME`.
    #[arg(value_name = "ENV")]
    pub environment: String,
    /// The deployment's number, or seven digits of its commit at least. Without it, the healthy content before what runs.
    #[arg(long, value_name = "N|COMMIT")]
    pub to: Option<String>,
    /// Why: everybody who asks what holds the environment reads it.
    #[arg(long)]
    pub reason: Option<String>,
    /// Only say what it would do.
    #[arg(long)]
    pub dry_run: bool,
    /// How to show what comes of it.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// End a pin, or try again after a failure: it goes on as far as the gate lets it.
#[derive(Debug, clap::Args)]
pub struct Resume {
    /// The environment: `[REPOSITORY:]NAME`.
    #[arg(value_name = "ENV")]
    pub environment: String,
    /// How to show what was so until now.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// How often it is asked what became of a way back, and how many times: as a rule the dry runs of a large set take seconds.
const PAUSE: Duration = Duration::from_millis(500);
const TIMES: u32 = 60;
/// Objects that are listed; the others are counted.
const LISTED: usize = 20;

impl Rollback {
    /// Asks the server, and for a while what became of it.
    ///
    /// # Errors
    /// See [`ClientError`]; a name that is several environments' is one.
    pub async fn ask(&self, client: &Client) -> Result<Said, ClientError> {
        let id = environment(client, &self.environment).await?;
        let body = json!({ "to": self.to, "reason": self.reason, "dry_run": self.dry_run });
        let said = client.post_with(&format!("environments/{id}/rollback"), &body).await?;
        let mut now = said.clone();
        if let Some(id) = said["id"].as_str() {
            for _ in 0..TIMES {
                now = client.get(&format!("rollbacks/{id}"), &[]).await?;
                if now["state"] != "asked" {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        let mut shown = table::show_one(self.output, &now);
        shown.is_good = now["state"] != "refused";
        if self.output == Output::Table {
            shown.text = self.told(&said, &now);
        }
        Ok(shown)
    }

    fn told(&self, said: &Value, now: &Value) -> String {
        let name = plain(&self.environment);
        let text = |value: &Value| plain(value.as_str().unwrap_or_default());
        let commit: String = text(&said["commit"]).chars().take(7).collect();
        let way = format!("from #{} to #{} ({commit}); {}", said["from"], said["to"], text(&said["what"]));
        if said["id"].is_null() {
            let objects = said["objects"].as_array().cloned().unwrap_or_default();
            let lines = objects.iter().take(LISTED);
            let mut told = format!("{name} would go back {way}\n");
            told +=
                &lines.map(|one| format!("  {:8}{}\n", text(&one["does"]), text(&one["object"]))).collect::<String>();
            let more = objects.len().saturating_sub(LISTED) as u64 + said["more"].as_u64().unwrap_or_default();
            if more > 0 {
                told += &format!("  and {more} more\n");
            }
            return told;
        }
        match now["state"].as_str() {
            Some("started") => format!(
                "{name} goes back {way}: it is deployment #{}, and pinned there until `bascule resume {name}`\n",
                now["number"]
            ),
            Some("refused") => format!("{name}: nothing was rolled back: {}\n", text(&now["why"])),
            _ => format!("{name} is asked to go back {way}; `bascule status {name}` says what comes of it\n"),
        }
    }
}

impl Resume {
    /// Asks the server.
    ///
    /// # Errors
    /// See [`ClientError`]; a name that is several environments' is one.
    pub async fn ask(&self, client: &Client) -> Result<Said, ClientError> {
        let id = environment(client, &self.environment).await?;
        let said = client.post(&format!("environments/{id}/resume")).await?;
        let mut shown = table::show_one(self.output, &said);
        if self.output == Output::Table {
            let name = plain(&self.environment);
            shown.text = match said["from"].as_str() {
                Some(from) => format!(
                    "{name} goes on as far as the gate lets it; until now: {}\n  `bascule status {name}` says what comes of it\n",
                    plain(from)
                ),
                None => format!("{name}: there is nothing to resume from\n"),
            };
        }
        Ok(shown)
    }
}

async fn environment(client: &Client, typed: &str) -> Result<Value, ClientError> {
    let (repository, name) = named(typed);
    let found = client.pages("environments", &[("repository", repository), ("name", Some(name))], 20).await?;
    Ok(super::status::the_one(found, typed)?["id"].clone())
}
