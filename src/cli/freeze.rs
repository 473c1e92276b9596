//! `bascule freeze` and `bascule unfreeze`: nothing new is synced for a while, as `/bascule freeze ENV` in a pull request says.
//! Of everything a server deploys, on its host.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::client::{Client, ClientError};
use super::deployments::named;
use super::table::{self, Output, Said};

/// Sync nothing new for a while; a sync that runs goes on.
#[derive(Debug, clap::Args)]
pub struct Freeze {
    /// What is frozen.
    #[command(flatten)]
    pub of: Of,
    /// Why: everybody who asks what holds an environment reads it.
    #[arg(long)]
    pub reason: String,
    /// How long (90m, 2h, 3d), or until when: a moment with its offset from UTC. Without it, until somebody ends it.
    #[arg(long)]
    pub until: Option<String>,
}

/// End a freeze: what was held for it is synced.
#[derive(Debug, clap::Args)]
pub struct Unfreeze {
    /// What is frozen.
    #[command(flatten)]
    pub of: Of,
}

/// One environment, or everything.
#[derive(Debug, clap::Args)]
pub struct Of {
    /// The environment: `[REPOSITORY:]NAME`.
    #[arg(value_name = "ENV", required_unless_present = "everything", conflicts_with = "everything")]
    pub environment: Option<String>,
    /// Everything the server deploys: on its host, from its file.
    #[arg(long)]
    pub everything: bool,
    /// With `--everything`: the server's file; without it, `bascule.toml` here or in /etc/bascule.
    #[arg(long, short, requires = "everything")]
    pub config: Option<PathBuf>,
    /// How to show what is so now.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

impl Freeze {
    /// Asks the server.
    ///
    /// # Errors
    /// See [`ClientError`]; a name that is several environments' is one.
    pub async fn ask(&self, client: &Client) -> Result<Said, ClientError> {
        self.of.ask(client, "freeze", &json!({ "reason": self.reason, "until": self.until })).await
    }
}

impl Unfreeze {
    /// Asks the server.
    ///
    /// # Errors
    /// See [`ClientError`]; a name that is several environments' is one.
    pub async fn ask(&self, client: &Client) -> Result<Said, ClientError> {
        self.of.ask(client, "unfreeze", &json!({})).await
    }
}

impl Of {
    async fn ask(&self, client: &Client, act: &str, body: &Value) -> Result<Said, ClientError> {
        let typed = self.environment.as_deref().unwrap_or_default();
        let (repository, name) = named(typed);
        let found = client.pages("environments", &[("repository", repository), ("name", Some(name))], 20).await?;
        let id = &super::status::the_one(found, typed)?["id"];
        let said = client.post_with(&format!("environments/{id}/{act}"), body).await?;
        let mut shown = table::show_one(self.output, &said);
        if self.output == Output::Table {
            let now = said["frozen"].as_str().unwrap_or("not frozen");
            shown.text = format!("{} is {}\n", table::plain(typed), table::plain(now));
        }
        Ok(shown)
    }
}
