//! `bascule emergency`: as one of two people, let what an environment waits for pass; and the report of those that wait for
//! their review.

use serde_json::{Value, json};

use super::audit::Report;
use super::client::{Client, ClientError};
use super::deployments::named;
use super::table::{self, Column, Output, Said};

/// Let what an environment waits for pass, as one of two people whom `may.emergency` names.
#[derive(Debug, clap::Args)]
pub struct Emergency {
    /// The environment: `[REPOSITORY:]NAME`.
    #[arg(value_name = "ENV")]
    pub environment: String,
    /// Why: it is in the log, and in the issue that asks for the review.
    #[arg(long)]
    pub reason: String,
    /// How to show what was asked for.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

impl Emergency {
    /// Asks the server.
    ///
    /// # Errors
    /// See [`ClientError`]; a name that is several environments' is one.
    pub async fn ask(&self, client: &Client) -> Result<Said, ClientError> {
        let typed = self.environment.as_str();
        let (repository, name) = named(typed);
        let found = client.pages("environments", &[("repository", repository), ("name", Some(name))], 20).await?;
        let id = &super::status::the_one(found, typed)?["id"];
        let said = client.post_with(&format!("environments/{id}/emergency"), &json!({ "reason": self.reason })).await?;
        let mut shown = table::show_one(self.output, &said);
        if self.output == Output::Table {
            let text = said["said"].as_str().unwrap_or_default();
            shown.text = format!("{}: {}\n", table::plain(typed), table::plain(text));
        }
        Ok(shown)
    }
}

const COLUMNS: &[Column] = &[
    ("ENVIRONMENT", "/environment"),
    ("NUMBER", "/number"),
    ("COMMIT", "/commit_short"),
    ("BY", "/by"),
    ("PASSED OVER", "/passed_over"),
    ("BEGAN", "/began_at"),
    ("REVIEWED BY", "/reviewed_by"),
];

/// The report; with `--open` it fails while one waits for its review.
pub(super) async fn report(client: &Client, asked: &Report) -> Result<Said, ClientError> {
    if asked.current || asked.from.is_some() || asked.to.is_some() {
        let why = "the report emergencies takes `--env`, `--open` and `--limit`";
        return Err(ClientError::Absent(why.to_owned()));
    }
    let (repository, environment) = asked.env.as_deref().map_or((None, None), |env| {
        let (repository, name) = named(env);
        (repository, Some(name))
    });
    let query =
        [("repository", repository), ("environment", environment), ("open", asked.open.then(|| "true".to_owned()))];
    let items = client.pages("reports/emergencies", &query, asked.limit).await?;
    let is_good = !asked.open || items.is_empty();
    let shown = match asked.output {
        Output::Json => table::show(asked.output, COLUMNS, &items),
        Output::Table => {
            let rows: Vec<Value> = items.into_iter().map(summed_up).collect();
            table::show(asked.output, COLUMNS, &rows)
        }
    };
    Ok(Said { is_good, ..shown })
}

fn summed_up(mut one: Value) -> Value {
    let joined = |list: &Value| {
        let texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.collect::<Vec<_>>().join("; ")
    };
    let short: String = one["commit"].as_str().unwrap_or_default().chars().take(7).collect();
    let (by, passed) = (joined(&one["people"]), joined(&one["passed"]));
    one["commit_short"] = short.into();
    one["by"] = by.into();
    one["passed_over"] = passed.into();
    one
}
