//! `bascule sync`: asks for a sync, as `/bascule sync ENV` in a pull request does.

use super::client::{Client, ClientError};
use super::deployments::named;
use super::table::{self, Output, Said};

/// Ask for a sync: it goes as far as the gate lets it, and what failed is sent once more.
#[derive(Debug, clap::Args)]
pub struct Sync {
    /// The environment: `[REPOSITORY:]NAME`.
    #[arg(value_name = "ENV")]
    pub environment: String,
    /// How to show what was asked for.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

impl Sync {
    /// Asks the server.
    ///
    /// # Errors
    /// See [`ClientError`]; a name that is several environments' is one.
    pub async fn ask(&self, client: &Client) -> Result<Said, ClientError> {
        let (repository, name) = named(&self.environment);
        let found = client.pages("environments", &[("repository", repository), ("name", Some(name))], 20).await?;
        let id = &super::status::the_one(found, &self.environment)?["id"];
        let asked = client.post(&format!("environments/{id}/sync")).await?;
        let mut said = table::show_one(self.output, &asked);
        if self.output == Output::Table {
            let environment = table::plain(&self.environment);
            said.text =
                format!("{environment}: a sync is asked for; `bascule status {environment}` says what comes of it\n");
        }
        Ok(said)
    }
}
