//! `bascule adopt`: what drifted is written into the repository as it is in the cluster, by a pull request.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, ClientError};
use super::deployments::named;
use super::table::{self, Output, Said, plain};

/// Open a pull request that writes what drifted into the repository, as it is in the cluster.
#[derive(Debug, clap::Args)]
pub struct Adopt {
    /// The environment: `[REPOSITORY:]NAME`.
    #[arg(value_name = "ENV")]
    pub environment: String,
    /// One object: `Deployment/web`. Without it, everything that drifted.
    #[arg(value_name = "KIND/NAME")]
    pub object: Option<String>,
    /// How to show what comes of it.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// How often it is asked what came of it, and how many times: it is rendered for each field.
const PAUSE: Duration = Duration::from_millis(500);
const TIMES: u32 = 120;

impl Adopt {
    /// Asks the server, and for a while what came of it.
    ///
    /// # Errors
    /// See [`ClientError`]; a name that is several environments' is one.
    pub async fn ask(&self, client: &Client) -> Result<Said, ClientError> {
        let (repository, name) = named(&self.environment);
        let found = client.pages("environments", &[("repository", repository), ("name", Some(name))], 20).await?;
        let id = &super::status::the_one(found, &self.environment)?["id"];
        let body = json!({ "object": self.object });
        let mut now = client.post_with(&format!("environments/{id}/adopt"), &body).await?;
        if let Some(id) = now["id"].as_str().map(str::to_owned) {
            for _ in 0..TIMES {
                if now["state"] != "asked" {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
                now = client.get(&format!("adoptions/{id}"), &[]).await?;
            }
        }
        let mut shown = table::show_one(self.output, &now);
        shown.is_good = now["state"] != "refused";
        if self.output == Output::Table {
            shown.text = self.told(&now);
        }
        Ok(shown)
    }

    fn told(&self, now: &Value) -> String {
        let name = plain(&self.environment);
        let text = |value: &Value| plain(value.as_str().unwrap_or_default());
        match now["state"].as_str() {
            Some("opened") => format!(
                "{name}: {} writes what is live into the repository; you are its author, and it is reviewed as any other\n",
                text(&now["shown_as"])
            ),
            Some("refused") => format!("{name}: nothing is adopted: {}\n", text(&now["why"])),
            _ => format!(
                "{name}: a pull request is being made; `bascule audit list --action adoption.opened` says which\n"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_it_is_said_and_moves_no_cursor() {
        let adopt = Adopt { environment: "production".to_owned(), object: None, output: Output::Table };
        let told = |now: Value| adopt.told(&now);
        assert_eq!(
            told(json!({ "state": "refused", "why": "no\u{1b}[2J" })),
            "production: nothing is adopted: no\\u{1b}[2J\n"
        );
        assert!(told(json!({ "state": "opened", "shown_as": "#7" })).starts_with("production: #7 writes what is live"));
        assert!(told(json!({ "state": "asked" })).contains("is being made"));
    }
}
