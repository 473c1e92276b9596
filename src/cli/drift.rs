//! `bascule drift` and `bascule heal`: what is not in the clusters as it was left, and putting it right.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::client::{Client, ClientError};
use super::deployments::named;
use super::table::{self, Column, Output, Said};

/// What is not in the clusters as it was left: objects and fields, since when, and whose hand it was.
#[derive(Debug, clap::Args)]
pub struct Drift {
    /// One environment: `[REPOSITORY:]NAME`.
    #[arg(value_name = "ENV")]
    pub environment: Option<String>,
    /// At most so many objects.
    #[arg(long, default_value_t = 200)]
    pub limit: usize,
    /// How to show it.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Apply again what drifted: the content of the last deployment, and nothing newer.
#[derive(Debug, clap::Args)]
pub struct Heal {
    /// The environment: `[REPOSITORY:]NAME`.
    #[arg(value_name = "ENV")]
    pub environment: String,
    /// How to show what was asked for.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

const DRIFT: &[Column] = &[
    ("ENVIRONMENT", "/full_name"),
    ("OBJECT", "/object"),
    ("IS", "/what"),
    ("FIELDS", "/fields"),
    ("BY", "/by"),
    ("SINCE", "/since"),
];

impl Drift {
    /// Asks the server.
    ///
    /// # Errors
    /// See [`ClientError`]; a name that is no environment's is one.
    pub async fn ask(&self, client: &Client) -> Result<Said, ClientError> {
        let (repository, name) = match self.environment.as_deref().map(named) {
            Some((repository, name)) => (repository, Some(name)),
            None => (None, None),
        };
        let query = [("repository", repository), ("name", name)];
        if let Some(asked) = &self.environment {
            // Nothing that drifted, and nothing of that name, would look alike.
            super::status::known(client.pages("environments", &query, 1).await?, asked)?;
        }
        let mut items = client.pages("drift", &query, self.limit).await?;
        if self.output == Output::Json {
            return Ok(table::show(self.output, DRIFT, &items));
        }
        for one in &mut items {
            one["full_name"] = format!("{}:{}", text(&one["repository"]), text(&one["environment"])).into();
        }
        let told: String = items.iter().filter_map(more).collect();
        let mut said = table::show(self.output, DRIFT, &items);
        said.text += &told;
        said.text += &ways_out(&items);
        Ok(said)
    }
}

/// What to type, for each environment once.
fn ways_out(items: &[Value]) -> String {
    let mut of: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for one in items {
        let exits = one["exits"].as_array().into_iter().flatten().filter_map(Value::as_str);
        of.entry(text(&one["full_name"])).or_default().extend(exits);
    }
    let mut lines = String::new();
    for (name, exits) in of {
        let heal = exits.contains("heal").then(|| format!("`bascule heal {name}` puts it back"));
        let adopt = exits.contains("adopt").then(|| format!("`bascule adopt {name}` keeps it, by a pull request"));
        let ways: Vec<String> = heal.into_iter().chain(adopt).collect();
        if !ways.is_empty() {
            lines += &format!("{}\n", ways.join("; "));
        }
    }
    lines
}

/// What does not fit into columns.
fn more(one: &Value) -> Option<String> {
    let mut sentences = Vec::new();
    let detail = text(&one["detail"]);
    if !detail.is_empty() {
        sentences.push(detail);
    }
    let heals = one["heals"].as_u64().unwrap_or_default();
    let by: Vec<String> = one["by"].as_array().into_iter().flatten().map(text).collect();
    if heals > 0 && !by.is_empty() {
        let last = one["healed_at"].as_str().and_then(table::to_the_second).unwrap_or_default();
        sentences.push(format!("put right {heals} times, last at {last}; {} changes it again", by.join(", ")));
    }
    let trouble = text(&one["trouble"]);
    if !trouble.is_empty() {
        sentences.push(format!("it could not be put right: {trouble}"));
    }
    (!sentences.is_empty())
        .then(|| format!("{} in {}: {}\n", text(&one["object"]), text(&one["full_name"]), sentences.join("; ")))
}

fn text(value: &Value) -> String {
    table::plain(value.as_str().unwrap_or_default())
}

impl Heal {
    /// Asks the server.
    ///
    /// # Errors
    /// See [`ClientError`]; a name that is several environments' is one.
    pub async fn ask(&self, client: &Client) -> Result<Said, ClientError> {
        let (repository, name) = named(&self.environment);
        let found = client.pages("environments", &[("repository", repository), ("name", Some(name))], 20).await?;
        let id = &super::status::the_one(found, &self.environment)?["id"];
        let asked = client.post(&format!("environments/{id}/heal")).await?;
        let mut said = table::show_one(self.output, &asked);
        if self.output == Output::Table {
            let environment = table::plain(&self.environment);
            said.text = match asked["waits"].as_str() {
                Some(why) => format!("{environment}: nothing is put right while it is {}\n", table::plain(why)),
                None => format!(
                    "{environment}: what drifted is applied again; `bascule drift {environment}` says what is left\n"
                ),
            };
        }
        Ok(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_ways_out_are_named_once_for_each_environment_where_they_are_any() {
        let one = |name: &str, exits: &[&str]| json!({ "full_name": name, "exits": exits });
        let all = [one("a:p", &["heal", "adopt"]), one("a:p", &["heal"]), one("b:p", &["heal"]), one("c:p", &[])];
        insta::assert_snapshot!(ways_out(&all), @"
        `bascule heal a:p` puts it back; `bascule adopt a:p` keeps it, by a pull request
        `bascule heal b:p` puts it back
        ");
    }

    #[test]
    fn what_fits_into_no_column_is_said_below_and_moves_no_cursor() {
        let one = json!({ "full_name": "work/acme/shop:production", "object": "Deployment shop/web", "detail": null, "heals": 3,
            "by": ["kube-controller-manager with subresource scale"], "healed_at": "2026-01-05T09:00:00.5Z",
            "trouble": "no\u{1b}[2J" });
        insta::assert_snapshot!(more(&one).unwrap(), @r"
        Deployment shop/web in work/acme/shop:production: put right 3 times, last at 2026-01-05T09:00:00Z; kube-controller-manager with subresource scale changes it again; it could not be put right: no\u{1b}[2J
        ");
        assert_eq!(more(&json!({ "heals": 0, "by": ["kubectl-edit"] })), None);
    }
}
