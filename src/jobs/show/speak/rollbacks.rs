//! `rollback` and `resume`: what is answered, and what is stored with the end of the job. What became of a way back takes the
//! answer's place.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::json;
use sqlx::PgConnection;

use super::may::Permitted;
use crate::audit::{self, NewEntry};
use crate::db::environments::{Environment, EnvironmentState};
use crate::db::holds;
use crate::db::pins;
use crate::db::rollbacks::{self, Became, NewRollback, Rollback};
use crate::event::back_to::BackTo;
use crate::event::command::{Command, Selector};
use crate::ids::{EnvironmentName, TraceId};
use crate::jobs::error::JobError;
use crate::jobs::gather::place::{Asked, actor};
use crate::jobs::gather::repository::Repository;
use crate::jobs::route::attend_pull;
use crate::preview::{Answer, Answered};
use crate::queue::{self, NewJob};

/// What commands do, in the order in which they were given.
#[derive(Debug, Default)]
pub(super) struct WaysBack(Vec<Act>);

#[derive(Debug)]
enum Act {
    Back(Box<NewRollback>, NewEntry),
    /// With what has it told where a way back was asked for that is taken back, where a pin is told of, and where it was to be reverted.
    Resume {
        environment: i64,
        by: String,
        now: Timestamp,
        entry: NewEntry,
        tells: Vec<NewJob>,
    },
}

impl WaysBack {
    pub(super) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    pub(super) async fn record(&self, conn: &mut PgConnection) -> Result<(), JobError> {
        for act in &self.0 {
            match act {
                Act::Back(new, entry) => {
                    rollbacks::ask(&mut *conn, new).await?;
                    audit::append(&mut *conn, entry).await?;
                }
                Act::Resume { environment, by, now, entry, tells } => {
                    pins::resume(&mut *conn, *environment, by, *now).await?;
                    queue::enqueue_all(&mut *conn, tells).await?;
                    audit::append(&mut *conn, entry).await?;
                }
            }
        }
        Ok(())
    }

    /// The environments that have something to do now: of each, whether its gate is judged as for one who asks.
    pub(super) fn moved(&self) -> impl Iterator<Item = (i64, bool)> {
        self.0.iter().map(|act| match act {
            Act::Back(new, _) => (new.environment, false),
            Act::Resume { environment, .. } => (*environment, true),
        })
    }
}

/// What a command starts: with entries about each environment.
pub(super) async fn ways_back(
    repository: &Repository<'_>,
    asked: &Asked,
    place: i64,
    may: &Permitted,
    (cause, trace): (String, TraceId),
) -> Result<WaysBack, JobError> {
    let clock = &repository.context.clock;
    let by = actor(&asked.by);
    let entry = |name: &EnvironmentName, action, detail| NewEntry {
        actor: by.clone(),
        action,
        subject: format!("{} {name}", repository.granted_name()),
        detail,
        cause: cause.clone(),
        trace,
    };
    let mut acts = Vec::new();
    let mut conn = repository.context.pool.acquire().await?;
    for environment in &may.permitted {
        let name = &environment.name;
        match &asked.command {
            Command::Rollback { to, reason, .. } => {
                let Ok(way) = way(&mut conn, environment, to.as_ref()).await? else { continue };
                let new = NewRollback {
                    id: clock.new_id(),
                    environment: environment.id,
                    back_to: way.back.deployment,
                    by: by.clone(),
                    reason: reason.clone(),
                    is_by_itself: false,
                    asked_in: Some((place, asked.id)),
                    trace,
                    asked_at: clock.now(),
                };
                let detail = json!({
                    "rollback": new.id, "back_to": way.back.number, "from": way.runs.new.number, "comment": asked.id,
                    "reason": reason,
                });
                acts.push(Act::Back(Box::new(new), entry(name, "rollback.asked", detail)));
            }
            Command::Resume { .. } => {
                if resumable(&mut conn, environment).await?.is_none() {
                    continue;
                }
                let entry = entry(name, "environment.resumed", json!({ "comment": asked.id }));
                let open = rollbacks::open(&mut conn, environment.id).await?;
                let mut places: BTreeSet<i64> =
                    open.and_then(|open| open.new.asked_in).map(|(place, _)| place).into_iter().collect();
                if let Some(pin) = pins::standing(&mut conn, environment.id).await? {
                    places.extend(pins::told_in(&mut conn, &pin).await?);
                }
                let tells = places.into_iter().map(|place| attend_pull(&repository.row.key, place, trace)).collect();
                let (environment, by, now) = (environment.id, by.clone(), clock.now());
                acts.push(Act::Resume { environment, by, now, entry, tells });
            }
            _ => {}
        }
    }
    Ok(WaysBack(acts))
}

async fn way(
    conn: &mut PgConnection,
    environment: &Environment,
    to: Option<&BackTo>,
) -> Result<Result<rollbacks::Way, String>, JobError> {
    if environment.state != EnvironmentState::Active {
        return Ok(Err("it is not in the default branch's file any more".to_owned()));
    }
    Ok(rollbacks::way(conn, environment, to).await?.map_err(|why| why.to_string()))
}

/// What there is to resume from, in words; `None`: nothing.
async fn resumable(conn: &mut PgConnection, environment: &Environment) -> Result<Option<&'static str>, JobError> {
    if pins::standing(&mut *conn, environment.id).await?.is_some() {
        return Ok(Some("it is pinned no more, and goes on as far as the gate lets it"));
    }
    if rollbacks::is_open(&mut *conn, environment.id).await? {
        return Ok(Some("the way back is taken back before it was tried; it goes on as far as the gate lets it"));
    }
    let hold = holds::get(conn, environment.id).await?;
    let failed = hold.is_some_and(|hold| hold.is_of_a_failure());
    Ok(failed.then_some("what failed is sent once more, or what is newer, as far as the gate lets it"))
}

/// What is answered: of each environment what begins now, or why nothing does.
pub(super) async fn answer(
    repository: &Repository<'_>,
    asked: &Asked,
    selector: &Selector,
    may: &Permitted,
) -> Result<String, JobError> {
    // What begins now comes last: `told` puts something else in its place.
    let (mut sentences, mut begins) = (Vec::new(), Vec::new());
    for (name, is_left_to_some) in &may.refused {
        let whom = if *is_left_to_some { "those whom its `may` names" } else { "somebody with write access" };
        sentences.push(format!("{name}: that is said by {whom}"));
    }
    let mut conn = repository.context.pool.acquire().await?;
    for environment in &may.permitted {
        let name = &environment.name;
        match &asked.command {
            Command::Rollback { to, .. } => match way(&mut conn, environment, to.as_ref()).await? {
                Ok(way) => {
                    let (number, commit) = (way.back.number, way.back.commit.short());
                    let (begun, what) = (on_its_way(name), way.sentence());
                    begins.push(format!("{begun}from #{} to #{number} ({commit}); {what}", way.runs.new.number));
                }
                Err(why) => sentences.push(format!("{name}: nothing is rolled back: {why}")),
            },
            _ => sentences.push(match resumable(&mut conn, environment).await? {
                Some(what) => format!("{name}: {what}"),
                None => format!("{name}: there is nothing to resume from"),
            }),
        }
    }
    sentences.append(&mut begins);
    Ok(if sentences.is_empty() { format!("no environment is called {selector}") } else { sentences.join("; ") })
}

/// How the answer begins for an environment that goes back.
fn on_its_way(name: &EnvironmentName) -> String {
    format!("{name}: on its way back ")
}

/// Answers to ways back say what became of them. What is said of other environments stays in front of it.
pub(super) async fn told(repository: &Repository<'_>, place: i64, answers: &mut [Answer]) -> Result<(), JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    let all = rollbacks::asked_in(&mut conn, repository.row.id, place).await?;
    let standing = pins::standing_of(&mut conn, all.values().flatten().map(|(_, way)| way)).await?;
    for answer in answers {
        let Some(ways) = all.get(&answer.asked) else { continue };
        let told = ways.iter().filter(|(_, way)| way.became.is_some());
        let is_over = |way: &Rollback| !standing.contains(&way.new.id);
        let mut sentences: Vec<String> = told
            .map(|(name, way)| beginning(name, way) + &of_its_pin(name, way, is_over(way)) + &revert(way))
            .collect();
        if sentences.len() < ways.len() {
            continue;
        }
        if let Answered::Said { sentence } = &answer.answered {
            let becomes = ways.iter().flat_map(|(name, way)| [on_its_way(name), beginning(name, way)]);
            let at = becomes.filter_map(|one| sentence.find(&one)).min().unwrap_or_default();
            let others = sentence.get(..at).unwrap_or_default().trim_end_matches("; ");
            if !others.is_empty() {
                sentences.insert(0, others.to_owned());
            }
        }
        answer.answered = Answered::Said { sentence: sentences.join("; ") };
    }
    Ok(())
}

/// How a sentence begins, whatever comes of the pin later.
fn beginning(name: &EnvironmentName, way: &Rollback) -> String {
    let to = format!("#{} ({})", way.back_to, way.commit.short());
    match &way.became {
        None => format!("{name}: on its way back to {to}"),
        Some(Became::Deployment { number, taken_away, .. }) => {
            format!("{name}: #{number} takes #{taken_away} back to {to}")
        }
        Some(Became::Refused(why)) => format!("{name}: nothing was rolled back: {why}"),
    }
}

/// What is said of the pull request that reverts it.
fn revert(way: &Rollback) -> String {
    way.revert.as_ref().map(|revert| format!("; {}", revert.sentence())).unwrap_or_default()
}

/// What is said of its pin, where it left one.
fn of_its_pin(name: &EnvironmentName, way: &Rollback, is_over: bool) -> String {
    match &way.became {
        None | Some(Became::Refused(_)) => String::new(),
        Some(Became::Deployment { .. }) if is_over => ", where it is pinned no more".to_owned(),
        Some(Became::Deployment { .. }) => format!(", where it is pinned until `/bascule resume {name}`"),
    }
}
