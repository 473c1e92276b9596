//! `freeze` and `unfreeze`: what is answered, and what is stored with the end of the job.

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::may::Permitted;
use crate::audit::{self, NewEntry};
use crate::clock::Clock;
use crate::db::freezes::{self, Freeze};
use crate::event::command::{Command, Selector};
use crate::jobs::error::JobError;
use crate::jobs::gather::place::{Asked, actor};
use crate::jobs::gather::repository::Repository;

/// What commands do to freezes, in the order in which they were given: the last one stands.
#[derive(Debug, Default)]
pub(super) struct Freezing(Vec<Typed>);

/// One command.
#[derive(Debug, Default)]
struct Typed {
    acts: Vec<Act>,
    /// What the log says of it, if it does anything.
    entry: Option<NewEntry>,
}

#[derive(Debug)]
enum Act {
    Begin(Freeze),
    /// Of this environment, by whom, when.
    End(i64, String, Timestamp),
}

impl Freezing {
    pub(super) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// The environments whose freeze ends: what was held for it goes on.
    pub(super) fn ended(&self) -> impl Iterator<Item = i64> {
        self.acts().filter_map(|act| match act {
            Act::End(environment, ..) => Some(*environment),
            Act::Begin(_) => None,
        })
    }

    fn acts(&self) -> impl Iterator<Item = &Act> {
        self.0.iter().flat_map(|typed| &typed.acts)
    }

    /// The same, with what the log says of it.
    pub(super) fn logged_as(mut self, entry: Option<NewEntry>) -> Self {
        self.0.iter_mut().for_each(|typed| typed.entry.clone_from(&entry));
        self
    }

    fn begun(&self) -> impl Iterator<Item = &Freeze> {
        self.acts().filter_map(|act| match act {
            Act::Begin(freeze) => Some(freeze),
            Act::End(..) => None,
        })
    }

    pub(super) async fn record(&self, conn: &mut PgConnection) -> Result<(), JobError> {
        for Typed { acts, entry } in &self.0 {
            let mut does = false;
            for act in acts {
                match act {
                    Act::Begin(freeze) => {
                        freezes::begin(&mut *conn, freeze).await?;
                        does = true;
                    }
                    Act::End(environment, by, now) => {
                        does |= freezes::end(&mut *conn, Some(*environment), by, *now).await?;
                    }
                }
            }
            // Where none stood nothing ended, and there is nothing to say of it.
            if let Some(entry) = entry.as_ref().filter(|_| does) {
                audit::append(&mut *conn, entry).await?;
            }
        }
        Ok(())
    }

    /// What the log says of it: the action and its detail. `None`: nothing is done.
    pub(super) fn said(&self, environments: Value, comment: i64) -> Option<(&'static str, Value)> {
        match self.acts().next()? {
            Act::Begin(freeze) => {
                let (reason, until) = (&freeze.reason, &freeze.until);
                let detail =
                    json!({ "environments": environments, "comment": comment, "reason": reason, "until": until });
                Some((FROZEN, detail))
            }
            Act::End(..) => Some((UNFROZEN, json!({ "environments": environments, "comment": comment }))),
        }
    }
}

const FROZEN: &str = "environment.frozen";
const UNFROZEN: &str = "environment.unfrozen";

/// What a command begins and ends. One whose end is not after its beginning begins nothing.
pub(super) fn freezing(clock: &Clock, asked: &Asked, may: &Permitted) -> Freezing {
    let by = actor(&asked.by);
    match &asked.command {
        Command::Freeze { reason, until, .. } => {
            let end = until.map(|until| until.moment(asked.at));
            // Read so late that it is over, too: nothing is left to begin.
            if end.is_some_and(|end| end.is_none_or(|end| end <= clock.now())) {
                return Freezing::default();
            }
            let new = |environment: i64| Freeze {
                id: clock.new_id(),
                environment: Some(environment),
                by: by.clone(),
                reason: reason.clone(),
                until: end.flatten(),
                began_at: clock.now(),
            };
            of_command(may.permitted.iter().map(|one| Act::Begin(new(one.id))))
        }
        Command::Unfreeze { .. } => {
            let end = |environment: i64| Act::End(environment, by.clone(), clock.now());
            of_command(may.permitted.iter().map(|one| end(one.id)))
        }
        _ => Freezing::default(),
    }
}

fn of_command(acts: impl Iterator<Item = Act>) -> Freezing {
    Freezing(vec![Typed { acts: acts.collect(), entry: None }])
}

/// What is answered: of each environment what is so from now on, or who may say it.
pub(super) async fn answer(
    repository: &Repository<'_>,
    asked: &Asked,
    selector: &Selector,
    may: &Permitted,
) -> Result<String, JobError> {
    let clock = &repository.context.clock;
    let does = matches!(asked.command, Command::Freeze { .. });
    let mut sentences = Vec::new();
    for (name, is_left_to_some) in &may.refused {
        let whom = if *is_left_to_some { "those whom its `may` names" } else { "somebody with write access" };
        sentences.push(format!("{name}: that is said by {whom}"));
    }
    let freezing = freezing(clock, asked, may);
    let begun: Vec<&Freeze> = freezing.begun().collect();
    if does && begun.is_empty() && !may.permitted.is_empty() {
        sentences.push("that end is past; nothing was done".to_owned());
    }
    for freeze in begun {
        let name = may.permitted.iter().find(|one| Some(one.id) == freeze.environment).map(|one| one.name.as_str());
        let (name, end) = (name.unwrap_or_default(), freeze.end());
        sentences.push(format!("{name}: nothing new is synced {end}; `/bascule unfreeze {name}` ends it"));
    }
    let mut conn = repository.context.pool.acquire().await?;
    for environment in may.permitted.iter().filter(|_| !does) {
        let name = &environment.name;
        // What is ended now is stored after it was answered: what stays is of everything.
        let more = freezes::standing(&mut conn, None, clock.now()).await?;
        sentences.push(match more {
            Some(more) => format!("{name}: its own freeze ends; everything is {}", more.sentence()),
            None => format!("{name}: no freeze is left"),
        });
    }
    Ok(if sentences.is_empty() { format!("no environment is called {selector}") } else { sentences.join("; ") })
}
