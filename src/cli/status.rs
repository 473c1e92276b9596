//! `bascule status` and `bascule history`: what runs where, and what ran there before.

use std::time::Duration;

use super::client::{Client, ClientError};
use super::deployments::{VERIFYING, named, summed_up};
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
    ("ENVIRONMENT", "/full_name"),
    ("CLUSTER", "/cluster"),
    ("RUNS", "/runs"),
    ("STATE", "/deployment_state"),
    ("COMMIT", "/commit_short"),
    ("HELD", "/hold/reason"),
];

const BEFORE: &[Column] = &[
    ("NUMBER", "/number"),
    ("STATE", "/state"),
    ("COMMIT", "/commit_short"),
    ("SET", "/set_short"),
    ("PULLS", "/places"),
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
        if let (Some(asked), true) = (&self.environment, items.is_empty()) {
            return Err(absent(asked));
        }
        match self.output {
            Output::Json => Ok(table::show(self.output, NOW, &items)),
            Output::Table => {
                // Sentences do not fit into columns: why something is held is said below.
                let holds: String = items.iter().filter_map(held).chain(items.iter().filter_map(judged)).collect();
                let holds: String = holds + &items.iter().filter_map(drifted).collect::<String>();
                let items_frozen: String = items.iter().filter_map(frozen).collect();
                let rows: Vec<Value> = items.into_iter().map(now).collect();
                let mut said = table::show(self.output, NOW, &rows);
                said.text += &items_frozen;
                said.text += &put_back(&client.get("restored", &[]).await?["waiting"]);
                // Programs ask for the jobs; people look here.
                let query = [("state", Some("refused".to_owned()))];
                said.text += &(holds + &refusals(&client.pages("jobs", &query, REFUSALS + 1).await?));
                said.text += &client.pages("forges", &[], 200).await?.iter().filter_map(short_of).collect::<String>();
                Ok(said)
            }
        }
    }
}

/// Adds the cells a person reads to an environment.
pub(super) fn now(mut environment: Value) -> Value {
    environment["full_name"] = Value::String(full_name(&environment));
    let number = environment["deployment"].as_i64();
    environment["runs"] = number.map_or(Value::Null, |number| Value::String(format!("#{number}")));
    let commit: String = environment["commit"].as_str().unwrap_or_default().chars().take(7).collect();
    environment["commit_short"] = Value::String(commit);
    if environment["verifying"] == Value::Bool(true) {
        environment["deployment_state"] = VERIFYING.into();
    }
    // One that is not there any more still runs what it ran.
    if environment["state"] != "active" {
        environment["deployment_state"] = environment["state"].clone();
    }
    environment
}

/// Why an environment is held, and what lifts it.
fn held(environment: &Value) -> Option<String> {
    let hold = environment.get("hold").filter(|hold| hold.is_object())?;
    let said = |name: &str| text(&hold[name]);
    let (name, lifts) = (table::plain(&full_name(environment)), said("lifts"));
    Some(format!("{name} is held ({}): {}\n  lifted by {lifts}\n", said("reason"), said("detail")))
}

/// Findings of one environment that are written out; the others are counted.
const FINDINGS: usize = 5;

/// What the platform's policies say of what is deployed.
fn judged(environment: &Value) -> Option<String> {
    let says = environment["policies"]["says"].as_array().filter(|says| !says.is_empty())?;
    let mut text = format!("{} is not as the platform's policies want it:\n", table::plain(&full_name(environment)));
    says.iter().take(FINDINGS).for_each(|one| text += &format!("  {}\n", self::text(one)));
    if says.len() > FINDINGS {
        text += &format!("  and {} more\n", says.len() - FINDINGS);
    }
    Some(text)
}

/// That objects are not as they were left.
fn drifted(environment: &Value) -> Option<String> {
    let drift = environment.get("drift").filter(|drift| drift.is_object())?;
    let since = drift["since"].as_str().and_then(table::to_the_second).unwrap_or_default();
    let (name, objects) = (table::plain(&full_name(environment)), drift["objects"].as_i64().unwrap_or_default());
    let objects = if objects == 1 { "1 object is".to_owned() } else { format!("{objects} objects are") };
    Some(format!("{name} has drifted: {objects} not as it was left, since {since}\n  shown by bascule drift {name}\n"))
}

/// A freeze for which nothing waits yet: one for which something does is told with what is held.
fn frozen(environment: &Value) -> Option<String> {
    let frozen = environment.get("frozen").filter(|frozen| frozen.is_object() && environment["hold"].is_null())?;
    let until = frozen["until"].as_str().and_then(table::to_the_second);
    let until = until.map_or_else(|| "until somebody ends it".to_owned(), |until| format!("until {until}"));
    let name = table::plain(&full_name(environment));
    Some(format!("{name} is frozen {until} by {}: {}\n", text(&frozen["by"]), text(&frozen["reason"])))
}

fn full_name(environment: &Value) -> String {
    let word = |name: &str| environment[name].as_str().unwrap_or_default().to_owned();
    format!("{}:{}", word("repository"), word("name"))
}

/// A database that came from a backup: no environment shows that what left it stays.
fn put_back(waiting: &Value) -> String {
    let Some(at) = waiting["noticed_at"].as_str().and_then(table::to_the_second) else { return String::new() };
    format!(
        "the database was put back from a backup (found {at}): no sync deletes anything until an operator has looked\n  lifted \
         by bascule restored confirm, on the server's host\n"
    )
}

/// A forge that has no room for what is to be done, or asked for a pause.
fn short_of(forge: &Value) -> Option<String> {
    let (name, waiting) = (text(&forge["forge"]), forge["waiting"].as_i64().unwrap_or_default());
    let second = |time: &Value| time.as_str().and_then(table::to_the_second);
    let mut told = String::new();
    for account in forge["accounts"].as_array().into_iter().flatten() {
        let whose = match text(&account["account"]) {
            whose if whose.is_empty() => name.clone(),
            whose => format!("{name}/{whose}"),
        };
        if let Some(until) = second(&account["paused_until"]) {
            told += &format!("{whose} asked for a pause until {until}\n");
        }
        if waiting > 0 {
            let count = |what: &str| account[what].as_u64().unwrap_or_default();
            let left = account["left"].as_u64().map(|left| format!(", {left} calls left of the hour"));
            told += &format!(
                "{whose}: {} points and {} comments in the last minute, {} comments in the last hour{}\n",
                count("points_a_minute"),
                count("creations_a_minute"),
                count("creations_an_hour"),
                left.unwrap_or_default(),
            );
        }
    }
    if waiting > 0 {
        let (until, why) = (second(&forge["until"]).unwrap_or_default(), text(&forge["why"]));
        let because = if why.is_empty() { String::new() } else { format!(": {why}") };
        told += &format!("{waiting} jobs wait for {name}, the first until {until}{because}\n");
    }
    Some(told).filter(|told| !told.is_empty())
}

/// Refused jobs that are shown beside the environments.
const REFUSALS: usize = 3;

/// What waits for a person, because something does not let us in.
fn refusals(jobs: &[Value]) -> String {
    let mut told = String::new();
    for job in jobs.iter().take(REFUSALS) {
        let next = job["run_at"].as_str().and_then(table::to_the_second).unwrap_or_default();
        told += &format!(
            "the job {} {} is refused: {}\n  tried again at {next}, or at once by `bascule jobs retry {}`\n",
            text(&job["kind"]),
            text(&job["key"]),
            text(&job["error"]),
            job["id"].as_i64().unwrap_or_default(),
        );
    }
    if jobs.len() > REFUSALS {
        told += "more jobs are refused: `bascule jobs list --state refused`\n";
    }
    told
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
        let id = &the_one(found, &self.environment)?["id"];
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

/// That there is an environment of that name.
pub(super) fn known(found: Vec<Value>, asked: &str) -> Result<(), ClientError> {
    if found.is_empty() { Err(absent(asked)) } else { Ok(()) }
}

/// Of the environments that were found by what was asked for, the one that was meant.
pub(super) fn the_one(mut found: Vec<Value>, asked: &str) -> Result<Value, ClientError> {
    match (found.pop(), found.as_slice()) {
        (None, _) => Err(absent(asked)),
        (Some(one), []) => Ok(one),
        (Some(last), others) => {
            let all = others.iter().chain([&last]);
            let names: Vec<String> =
                all.map(|one| format!("{}:{}", text(&one["repository"]), text(&one["name"]))).collect();
            Err(ClientError::Absent(format!("which one? {}", names.join(", "))))
        }
    }
}

fn text(value: &Value) -> String {
    table::plain(value.as_str().unwrap_or_default())
}

fn absent(asked: &str) -> ClientError {
    ClientError::Absent(format!("there is no environment `{}`; `bascule status` lists them", table::plain(asked)))
}
