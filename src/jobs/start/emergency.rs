//! An emergency at the gate: what is ahead of an environment, who asked for it to pass, and what it passes over.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::shut;
use crate::consent::{self, Covered, HashedSet, State, explain};
use crate::db::emergencies::{self, Aim, Request};
use crate::db::holds::Ahead;
use crate::db::sets;
use crate::ids::Account;
use crate::jobs::error::JobError;
use crate::jobs::gather::branch::Walked;
use crate::jobs::gather::repository::Repository;
use crate::jobs::gather::{checks, people};
use crate::jobs::work;
use crate::policy::rules::{Environment, SyncMode};

/// Where an environment would go if nothing were in its way.
pub(super) struct Goal {
    /// As it is stored with a hold.
    pub(super) ahead: Ahead,
    set: HashedSet,
}

/// The held change's end, else the newest covered commit. Of a first set there is none: nothing runs that could be in need.
pub(super) async fn goal(repository: &Repository<'_>, walked: &Walked) -> Result<Option<Goal>, JobError> {
    let Some(position) = &walked.position else { return Ok(None) };
    let (commit, set) = match (&walked.walk.held, walked.walk.covered.last()) {
        (Some(held), _) => {
            let mut conn = repository.context.pool.acquire().await?;
            (held.to.clone(), sets::load_hashed(&mut conn, &held.new_set).await?)
        }
        (None, Some(covered)) => (covered.commit.clone(), covered.set.clone()),
        (None, None) => return Ok(None),
    };
    let change = consent::Change::between(Some(&position.set), &set);
    let change = change.digest(&repository.row.key, &walked.environment.name);
    let ahead = Ahead { commit, set: set.digest(), change, since: repository.context.clock.now() };
    Ok(Some(Goal { ahead, set }))
}

/// What became of what people asked for.
pub(super) enum Urgent {
    /// Nobody asked, or not enough people, or it needs nobody to pass, or its rules have nothing sent.
    No,
    /// Enough did, and it does not pass.
    Stopped(String),
    /// It passes.
    Passes(Passing),
}

/// An emergency that passes.
pub(super) struct Passing {
    /// One of each person.
    pub(super) requests: Vec<Request>,
    /// What it passes over, in words.
    pub(super) passed: Vec<String>,
}

impl Passing {
    /// As the log tells it.
    pub(super) fn told(&self) -> Value {
        let by = self.requests.iter().map(|one| {
            json!({ "request": one.id, "person": one.person, "reason": one.reason, "source": one.source, "at": one.at })
        });
        json!({ "by": by.collect::<Vec<_>>(), "passed": self.passed })
    }

    /// The commit it goes to, with what its change carries.
    pub(super) fn covered(&self, walked: &mut Walked, goal: Goal) -> Option<Covered> {
        let Some(held) = &walked.walk.held else { return walked.walk.covered.last().cloned() };
        let name = &walked.environment.name;
        let given = [held.pull, walked.shown_in].into_iter().flatten().filter_map(|number| walked.places.get(&number));
        let given = given.flat_map(|place| place.recorded(name)).filter(|one| one.state == State::Stands);
        let spends = given.map(|one| one.approval.key).collect();
        walked.walk.let_pass(&walked.line, goal.set, spends)
    }
}

/// Judges what people asked for. Only for the very change they were shown, and from what runs now.
pub(super) async fn urgent(repository: &Repository<'_>, walked: &Walked, goal: &Goal) -> Result<Urgent, JobError> {
    let context = repository.context;
    let Some(position) = &walked.position else { return Ok(Urgent::No) };
    let read = |set: &HashedSet| set.entry().and_then(|entry| walked.court.entries.get(entry));
    let Some(rules) = read(&position.set) else { return Ok(Urgent::No) };
    let Some(whom) = rules.may.emergency.as_ref().filter(|_| rules.sync.mode != SyncMode::None) else {
        return Ok(Urgent::No);
    };
    let mut conn = context.pool.acquire().await?;
    let mut requests = emergencies::asked(&mut conn, walked.environment.id, context.clock.now()).await?;
    drop(conn);
    let Ahead { commit, set, change, .. } = &goal.ahead;
    let aim = Aim { from_set: position.set.digest(), to_commit: commit.clone(), to_set: *set, change: *change };
    requests.retain(|one| one.aim == aim);
    if requests.is_empty() {
        return Ok(Urgent::No);
    }
    let accounts: BTreeSet<Account> = requests.iter().map(|one| one.person.clone()).collect();
    let people = work::boxed(people::people(repository, &accounts, [whom])).await;
    if let Some(why) = people.away {
        return Err(JobError::Away(why));
    }
    let Some(counted) = consent::enough(requests.iter().map(|one| &one.person), whom, &people) else {
        return Ok(Urgent::No);
    };
    let counted: Vec<Account> = counted.into_iter().cloned().collect();
    let first = |account: &Account| requests.iter().find(|one| one.person == *account).cloned();
    let requests: Vec<Request> = counted.iter().filter_map(first).collect();

    if let Some(why) = walked.walk.held.as_ref().and_then(consent::stops) {
        return Ok(Urgent::Stopped(why));
    }
    let own = read(&goal.set).unwrap_or(rules);
    if own.sync.mode == SyncMode::None {
        // Whoever writes that nothing is to be sent means it in an emergency, too.
        return Ok(Urgent::No);
    }
    if let Some(why) = checks(repository, own, goal).await? {
        return Ok(Urgent::Stopped(why));
    }
    let passed = passed(walked, own, goal, rules);
    Ok(if passed.is_empty() { Urgent::No } else { Urgent::Passes(Passing { requests, passed }) })
}

/// Checks are no consent, and no hour: an emergency does not pass over them.
async fn checks(repository: &Repository<'_>, own: &Environment, goal: &Goal) -> Result<Option<String>, JobError> {
    let wanted = &own.consent.checks;
    if wanted.is_empty() {
        return Ok(None);
    }
    let awaited = checks::read(repository, &goal.ahead.commit, wanted).await?;
    Ok(awaited.map(|awaited| awaited.sentence(&own.name, &goal.ahead.commit)))
}

/// What would hold it otherwise.
fn passed(walked: &Walked, own: &Environment, goal: &Goal, rules: &Environment) -> Vec<String> {
    let name = &walked.environment.name;
    let mut passed = Vec::new();
    if let Some(held) = &walked.walk.held {
        passed.push(explain(name, &held.verdict, &walked.court.people, None));
    }
    let unmet = own.after.iter().filter(|after| {
        let before = walked.befores.get(&(after.environment.clone(), goal.ahead.commit.clone()));
        // Of what is not covered nobody asked what comes before it.
        before.is_none_or(|before| !before.soaks_for(after).is_some_and(|left| left.is_zero()))
    });
    if own.sync.mode == SyncMode::Manual {
        passed.push("sync.mode: manual".to_owned());
    }
    passed.extend(unmet.map(|after| format!("after: {}", after.environment)));
    passed.extend(shut::own(rules, walked.reading.at));
    passed
}
