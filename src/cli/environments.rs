//! `bascule environments`: every environment there is, and the end of one that nobody follows any more. Each act says what
//! it would do before it does it: it takes the exact number of objects, which it prints.

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{Client, ClientError};
use super::deployments::named;
use super::table::{self, Column, Output, Said};

/// Environments, and the end of one that nobody follows any more.
#[derive(Debug, clap::Args)]
pub struct Environments {
    /// What to do.
    #[command(subcommand)]
    pub act: Act,
}

/// What to do with environments.
#[derive(Debug, Subcommand)]
pub enum Act {
    /// All of them, with what each has in its cluster.
    List {
        /// Only those in this state: `active`, `orphaned`, `forgotten`.
        #[arg(long)]
        state: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 200)]
        limit: usize,
        /// How to show them.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Lets go of one that nobody follows: its objects stay as they are. Without `--objects` it says what that would mean.
    Forget(End),
    /// Has everything deleted that one has which nobody follows. Two people say so. Without `--objects` it says what that
    /// would mean.
    Destroy(End),
}

/// Which, and the word that it was looked at.
#[derive(Debug, clap::Args)]
pub struct End {
    /// The environment: `[REPOSITORY:]NAME`.
    #[arg(value_name = "ENV")]
    pub environment: String,
    /// Exactly as many objects as it has: does it.
    #[arg(long, requires = "reason")]
    pub objects: Option<u64>,
    /// Why; it is in the log.
    #[arg(long)]
    pub reason: Option<String>,
    /// How to show what came of it.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

const ALL: &[Column] = &[
    ("ENVIRONMENT", "/full_name"),
    ("CLUSTER", "/cluster"),
    ("NAMESPACE", "/namespace"),
    ("STATE", "/state"),
    ("OBJECTS", "/objects"),
    ("COMMIT", "/commit_short"),
];

/// Objects that are written out; the others are counted.
const WRITTEN: usize = 20;

impl Act {
    /// Asks the server.
    ///
    /// # Errors
    /// See [`ClientError`]; a name that is several environments' is one.
    pub async fn ask(&self, client: &Client) -> Result<Said, ClientError> {
        match self {
            Self::List { state, limit, output } => {
                let mut items = client.pages("environments", &[], *limit).await?;
                items.retain(|one| state.as_ref().is_none_or(|state| one["state"] == state.as_str()));
                if *output == Output::Table {
                    items = items.into_iter().map(super::status::now).collect();
                }
                Ok(table::show(*output, ALL, &items))
            }
            Self::Forget(end) => end.ask(client, "forget").await,
            Self::Destroy(end) => end.ask(client, "destroy").await,
        }
    }
}

impl End {
    async fn ask(&self, client: &Client, act: &str) -> Result<Said, ClientError> {
        let (repository, name) = named(&self.environment);
        let mut found = client.pages("environments", &[("repository", repository), ("name", Some(name))], 20).await?;
        // Its name may be another's by now: of the same name, the one that is meant is followed by nobody.
        if found.len() > 1 {
            found.retain(|one| one["state"] == "orphaned");
        }
        let id = super::status::the_one(found, &self.environment)?["id"].clone();
        let Some(objects) = self.objects else {
            let now = client.get(&format!("environments/{id}/objects"), &[]).await?;
            let mut said = table::show_one(self.output, &now);
            if self.output == Output::Table {
                said.text = would(act, &table::plain(&self.environment), &now);
            }
            return Ok(said);
        };
        let body = json!({ "objects": objects, "reason": self.reason });
        let answer = client.post_with(&format!("environments/{id}/{act}"), &body).await?;
        let mut said = table::show_one(self.output, &answer);
        if self.output == Output::Table {
            said.text = done(&table::plain(&self.environment), &answer);
        }
        Ok(said)
    }
}

/// What an act would do, and what to type for it.
fn would(act: &str, environment: &str, now: &Value) -> String {
    let text = |name: &str| table::plain(now[name].as_str().unwrap_or_default());
    let count = now["count"].as_u64().unwrap_or_default();
    if now["orphaned"].is_null() {
        return format!(
            "{environment} is followed: take it out of `.bascule.yaml` on the default branch first. Nothing is deleted by that\n"
        );
    }
    let what = match act {
        "forget" => "forgotten: these objects would stay in the cluster as they are, and be nobody's",
        _ => "destroyed: these objects, and what hooks left, would be deleted, each as far as it is provably ours",
    };
    let mut told = format!("{environment}: {}\n{environment} would be {what}\n", text("orphaned"));
    let objects = now["objects"].as_array().map(Vec::as_slice).unwrap_or_default();
    for object in objects.iter().take(WRITTEN) {
        told += &format!("  {}\n", table::plain(object.as_str().unwrap_or_default()));
    }
    if objects.len() > WRITTEN {
        told += &format!("  and {} more: `--output json` has all\n", objects.len() - WRITTEN);
    }
    if act == "forget" {
        told +=
            "two people with write access have to say so, the second within a day; of a repository that is gone, one\n";
    } else if !now["destroy_asked_by"].is_null() {
        told += &format!("{} asked for it, and it takes a second person\n", text("destroy_asked_by"));
    } else {
        told += "two people with write access have to say so, the second within a day\n";
    }
    told + &format!("to do it: bascule environments {act} {environment} --objects {count} --reason …\n")
}

fn done(environment: &str, answer: &Value) -> String {
    let count = answer["objects"].as_u64().unwrap_or_default();
    match answer["state"].as_str() {
        Some("forgotten") => format!("{environment} is forgotten; {count} objects stay as they are\n"),
        Some("asked") => {
            format!("{environment}: it is done when a second person types the same line, within a day\n")
        }
        _ => format!("{environment} is being destroyed: {count} objects; `bascule audit list` says what came of it\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_would_do_is_said_before_it_is_done() {
        let orphaned = json!({ "orphaned": "the file does not name it", "count": 2, "destroy_asked_by": null,
            "objects": ["ConfigMap shop/a", "ConfigMap shop/b\u{1b}[2J"] });
        let asked =
            json!({ "orphaned": "x", "count": 1, "objects": ["ConfigMap shop/a"], "destroy_asked_by": "work/ann (3)" });
        let followed = json!({ "orphaned": null, "count": 2, "objects": [] });
        let all = [
            would("forget", "production", &orphaned),
            would("destroy", "production", &orphaned),
            would("destroy", "production", &asked),
            would("forget", "production", &followed),
        ];
        insta::assert_snapshot!(all.join("\n"), @r"
        production: the file does not name it
        production would be forgotten: these objects would stay in the cluster as they are, and be nobody's
          ConfigMap shop/a
          ConfigMap shop/b\u{1b}[2J
        two people with write access have to say so, the second within a day; of a repository that is gone, one
        to do it: bascule environments forget production --objects 2 --reason …

        production: the file does not name it
        production would be destroyed: these objects, and what hooks left, would be deleted, each as far as it is provably ours
          ConfigMap shop/a
          ConfigMap shop/b\u{1b}[2J
        two people with write access have to say so, the second within a day
        to do it: bascule environments destroy production --objects 2 --reason …

        production: x
        production would be destroyed: these objects, and what hooks left, would be deleted, each as far as it is provably ours
          ConfigMap shop/a
        work/ann (3) asked for it, and it takes a second person
        to do it: bascule environments destroy production --objects 1 --reason …

        production is followed: take it out of `.bascule.yaml` on the default branch first. Nothing is deleted by that
        ");
        let state = |state: &str| done("production", &json!({ "objects": 2, "state": state }));
        insta::assert_snapshot!([state("forgotten"), state("asked"), state("agreed")].concat(), @r"
        production is forgotten; 2 objects stay as they are
        production: it is done when a second person types the same line, within a day
        production is being destroyed: 2 objects; `bascule audit list` says what came of it
        ");
    }
}
