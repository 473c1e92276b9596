//! `bascule wait`: for a pipeline that goes on when a commit is deployed and well.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::client::{Client, ClientError};
use super::deployments::named;
use super::table::{Output, plain};
use crate::ids::{CommitId, NoSpan, Span};

/// Wait until an environment is healthy at a commit or a newer one: 0 healthy, 1 failed, 2 could not, 3 too long, 4 held.
#[derive(Debug, clap::Args)]
pub struct Wait {
    /// The environment: `[REPOSITORY:]NAME`.
    #[arg(value_name = "ENV")]
    pub environment: String,
    /// The whole commit id, on the branch it follows: after a merge, what is on the branch then.
    #[arg(long, value_name = "SHA")]
    pub commit: CommitId,
    /// At most so long: `90s`, `10m`, `1h30m`.
    #[arg(long, default_value = "10m", value_parser = duration)]
    pub timeout: Duration,
    /// How to say what came of it; what is waited for meanwhile goes to standard error as text.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Between two looks at first, and at most: a sync takes seconds to minutes.
const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(15);

/// How the waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Healthy: 0.
    Healthy,
    /// A sync failed: 1.
    Stopped,
    /// It took longer than was allowed: 3.
    TooLong,
    /// A person has to do something first, or a check failed: 4.
    Held,
}

impl End {
    /// What the command exits with; 2 is that nothing could be found out.
    pub fn code(self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Stopped => 1,
            Self::TooLong => 3,
            Self::Held => 4,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Stopped => "stopped",
            Self::TooLong => "timeout",
            Self::Held => "held",
        }
    }
}

/// How things stand with a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stands {
    Healthy,
    Stopped { why: String, lifts: String },
    Held { why: String, lifts: String },
    Waits(String),
}

impl Wait {
    /// Asks again and again, less and less often. A server that was reached once may be away for a while.
    ///
    /// # Errors
    /// See [`ClientError`]; a server that is away at the end is one.
    pub async fn wait(&self, client: &Client) -> Result<End, ClientError> {
        let until = Instant::now() + self.timeout;
        let (mut pause, mut told, mut was_reached) = (FIRST, String::new(), false);
        loop {
            let looked = self.look(client).await;
            let is_late = Instant::now() >= until;
            match looked {
                Ok(environment) => {
                    was_reached = true;
                    let stands = stands(&environment, &self.commit);
                    match stands {
                        Stands::Healthy => return Ok(self.end(End::Healthy, &environment, "", "")),
                        Stands::Stopped { why, lifts } => {
                            return Ok(self.end(End::Stopped, &environment, &why, &lifts));
                        }
                        Stands::Held { why, lifts } => return Ok(self.end(End::Held, &environment, &why, &lifts)),
                        Stands::Waits(why) if is_late => return Ok(self.end(End::TooLong, &environment, &why, "")),
                        Stands::Waits(why) => {
                            if told != why {
                                super::print::complain(&format!("{} waits: {why}", plain(&self.environment)));
                                (told, pause) = (why, FIRST);
                            }
                        }
                    }
                }
                Err(error) if is_late || !(was_reached && passes(&error)) => return Err(error),
                Err(error) => super::print::complain(&format!("{error}; asked again")),
            }
            tokio::time::sleep_until((Instant::now() + pause).min(until)).await;
            pause = (pause * 3 / 2).min(LONGEST);
        }
    }

    async fn look(&self, client: &Client) -> Result<Value, ClientError> {
        let (repository, name) = named(&self.environment);
        let query = [("repository", repository), ("name", Some(name)), ("commit", Some(self.commit.to_string()))];
        let mut found = client.pages("environments", &query, 20).await?;
        // One that was forgotten does not stand in the way of the one that is there.
        let is_active = found.iter().any(|one| one["state"] == "active");
        found.retain(|one| !is_active || one["state"] == "active");
        super::status::the_one(found, &self.environment)
    }

    /// Says what came of it.
    fn end(&self, end: End, environment: &Value, why: &str, lifts: &str) -> End {
        let name = plain(&self.environment);
        let text = match self.output {
            Output::Json => {
                let said = json!({
                    "environment": environment["name"], "repository": environment["repository"], "commit": self.commit,
                    "result": end.word(), "healthy_commit": environment["healthy_commit"],
                    "deployment": environment["deployment"], "why": why, "lifts": lifts,
                });
                super::table::escaped(&said.to_string())
            }
            Output::Table => match end {
                End::Healthy => format!("{name} is healthy at {} or newer", self.commit.short()),
                End::Stopped | End::Held if lifts.is_empty() => format!("{name}: {why}"),
                End::Stopped | End::Held => format!("{name}: {why}\n  lifted by {lifts}"),
                End::TooLong => format!("{name} is not there yet: {why}"),
            },
        };
        super::print::say(&text);
        end
    }
}

/// What a server that is being restarted, or has much to do, answers.
fn passes(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } => true,
        ClientError::Refused { status, .. } => status.is_server_error() || status.as_u16() == 429,
        _ => false,
    }
}

/// How an environment stands with a commit, by what the server says of it.
fn stands(environment: &Value, commit: &CommitId) -> Stands {
    let text = |value: &Value| plain(value.as_str().unwrap_or_default());
    let hold = &environment["hold"];
    let (reason, detail, lifts) = (text(&hold["reason"]), text(&hold["detail"]), text(&hold["lifts"]));
    if environment["state"] != "active" {
        let why = "it is orphaned: the default branch's file does not name it, or names another target".to_owned();
        return Stands::Held { why, lifts };
    }
    let number = environment["deployment"].as_i64().unwrap_or_default();
    let state = environment["deployment_state"].as_str().unwrap_or_default();
    let position = environment["commit"].as_str().unwrap_or_default();
    let is_behind = position != commit.as_str() && environment["passed"] != true;
    match (is_behind, state) {
        // Something else runs there than what it stands at.
        (false, "healthy") if reason == "pinned" => {
            Stands::Held { why: format!("it is held ({reason}): {detail}"), lifts }
        }
        (false, "healthy") => Stands::Healthy,
        (false, "failed" | "conflict") => {
            let why = if detail.is_empty() { state.to_owned() } else { detail };
            Stands::Stopped { why: format!("deployment #{number} failed: {why}"), lifts }
        }
        (false, _) if reason == "cluster-away" => Stands::Waits(detail),
        (false, _) => Stands::Waits(format!("deployment #{number} runs")),
        // A failure ends with the next commit, which may be on its way; what passes by itself is waited for.
        (true, _) if matches!(reason.as_str(), "failed" | "conflict" | "") => match state {
            "running" => Stands::Waits(format!("deployment #{number} of an older commit runs")),
            _ => Stands::Waits(format!("no sync to {} was started yet", commit.short())),
        },
        (true, _) if hold["ends"] != "itself" => {
            Stands::Held { why: format!("it is held ({reason}): {detail}"), lifts }
        }
        (true, _) => Stands::Waits(format!("it is held ({reason}): {detail} ({lifts})")),
    }
}

/// At most a day: whoever waits longer is asked again.
fn duration(written: &str) -> Result<Duration, String> {
    let span: Span = written.parse().map_err(|error: NoSpan| error.to_string())?;
    let fits = (1..=86_400).contains(&span.seconds());
    fits.then_some(Duration::from_secs(span.seconds())).ok_or_else(|| "wait at least `1s`, at most `1d`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_and_what_ends_it() {
        let commit: CommitId = "b".repeat(40).parse().unwrap();
        let older = "a".repeat(40);
        let told = |(commit_there, passed, state, reason): (&str, bool, &str, &str)| {
            let (reason, ends) = reason.split_once(' ').unwrap_or((reason, "itself"));
            let hold = json!({ "reason": reason, "detail": "what is missing", "lifts": "what to type", "ends": ends });
            let environment = json!({
                "state": "active", "commit": commit_there, "passed": passed, "deployment": 4, "deployment_state": state,
                "hold": if reason.is_empty() { Value::Null } else { hold },
            });
            format!("{passed} {state} {reason} {ends}: {:?}", stands(&environment, &commit))
        };
        let lines = [
            told((commit.as_str(), false, "healthy", "")),
            told((&older, true, "healthy", "")),
            told((&older, true, "healthy", "uncovered")),
            told((commit.as_str(), false, "healthy", "pinned person")),
            told((&older, true, "running", "")),
            told((&older, true, "running", "cluster-away")),
            told((&older, true, "failed", "failed")),
            told((&older, true, "conflict", "")),
            told((&older, false, "healthy", "")),
            told((&older, false, "running", "")),
            told((&older, false, "failed", "failed")),
            told((&older, false, "healthy", "waiting")),
            told((&older, false, "healthy", "waiting check")),
            told((&older, false, "running", "waiting person")),
            told((&older, false, "healthy", "uncovered person")),
            told((&older, false, "healthy", "cluster-away")),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r#"
        false healthy  itself: Healthy
        true healthy  itself: Healthy
        true healthy uncovered itself: Healthy
        false healthy pinned person: Held { why: "it is held (pinned): what is missing", lifts: "what to type" }
        true running  itself: Waits("deployment #4 runs")
        true running cluster-away itself: Waits("what is missing")
        true failed failed itself: Stopped { why: "deployment #4 failed: what is missing", lifts: "what to type" }
        true conflict  itself: Stopped { why: "deployment #4 failed: conflict", lifts: "" }
        false healthy  itself: Waits("no sync to bbbbbbb was started yet")
        false running  itself: Waits("deployment #4 of an older commit runs")
        false failed failed itself: Waits("no sync to bbbbbbb was started yet")
        false healthy waiting itself: Waits("it is held (waiting): what is missing (what to type)")
        false healthy waiting check: Held { why: "it is held (waiting): what is missing", lifts: "what to type" }
        false running waiting person: Held { why: "it is held (waiting): what is missing", lifts: "what to type" }
        false healthy uncovered person: Held { why: "it is held (uncovered): what is missing", lifts: "what to type" }
        false healthy cluster-away itself: Waits("it is held (cluster-away): what is missing (what to type)")
        "#);
        let gone = stands(&json!({ "state": "orphaned", "commit": commit, "deployment_state": "healthy" }), &commit);
        assert!(matches!(gone, Stands::Held { .. }), "{gone:?}");
    }

    #[test]
    fn nobody_waits_longer_than_a_day() {
        let seconds = |text: &str| duration(text).map(|time| time.as_secs());
        assert_eq!([seconds("90s"), seconds("1h30m"), seconds("1d")], [Ok(90), Ok(5_400), Ok(86_400)]);
        for wrong in ["", "10", "0s", "25h"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
