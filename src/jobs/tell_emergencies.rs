//! Emergencies that nobody reviewed yet: each is told in an issue of ours, which says what was passed over; whoever owes the
//! review is reminded, and what they say there ends it. Closing the issue ends nothing: nobody would know who looked.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;

use super::context::Context;
use super::error::JobError;
use super::gather::place::{self, Asked, actor};
use super::gather::repository::{self, Repository};
use super::gather::{court, people};
use super::show::writer::Writer;
use super::work;
use crate::audit::{self, NewEntry};
use crate::consent::{Answer, Kind, Place};
use crate::db::emergencies::{self, Emergency, MOST_REMINDERS, REVIEW_WITHIN, Which};
use crate::db::{approvals, environments};
use crate::event::command::Command;
use crate::forge::{Comment, Reaction};
use crate::ids::{ForgeName, RepositoryKey};
use crate::policy::rules::Voters;
use crate::preview::{emergency_issue, emergency_reminder, is_emergency_issue, is_emergency_reminder};
use crate::queue::{Claimed, Lease};

/// Looked at in one run. A repository with more has other troubles.
const MOST: i64 = 100;

/// The payload.
#[derive(Debug, Deserialize)]
struct Ids {
    forge: ForgeName,
    repository: i64,
}

/// Runs the job.
///
/// # Errors
/// [`JobError`].
pub(super) async fn run(context: &Context, job: &Claimed, lease: &Lease) -> Result<(), JobError> {
    let ids: Ids = work::ids(job)?;
    let key = RepositoryKey { forge: ids.forge, id: ids.repository };
    let Some(repository) = repository::granted(context, &key, job).await? else {
        return work::finish(context, job).await;
    };
    let which = Which { repository: Some(repository.row.id), open: true, ..Which::default() };
    let mut conn = context.pool.acquire().await?;
    let open = emergencies::list(&mut conn, &which, MOST).await?;
    drop(conn);
    let mut first = None;
    for one in open {
        match work::boxed(attend(&repository, one, lease)).await {
            Ok(()) => {}
            // What is so of the others, too.
            Err(error @ (JobError::Lost(_) | JobError::NoRoom { .. })) => return Err(error),
            // One that cannot be told keeps nobody from hearing of the others.
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    match first {
        Some(error) => Err(error),
        None => work::finish(context, job).await,
    }
}

async fn attend(repository: &Repository<'_>, one: Emergency, lease: &Lease) -> Result<(), JobError> {
    let (writer, pool) = (Writer::new(repository, lease), &repository.context.pool);
    let known = match one.issue {
        Some(number) => match repository.forge().issue(&repository.at, number).await {
            Ok(issue) => Some(issue),
            Err(error) if error.is_gone() => None,
            Err(error) => return Err(error.into()),
        },
        None => None,
    };
    let issue = match known {
        Some(issue) => issue,
        None => {
            let issue = open(repository, &one, writer).await?;
            emergencies::told(&mut *pool.acquire().await?, one.deployment, Some(issue.number)).await?;
            issue
        }
    };
    let place = Place { number: issue.number, base_branch: repository.row.default_branch.clone() };
    let said = place::listen(repository, place, false).await?;
    let ourselves = repository.ourselves().await?;
    for asked in said.asked(ourselves) {
        let Command::Reviewed { reason } = &asked.command else { continue };
        let Some(counts) = counts(repository, &one, &asked).await? else { continue };
        if counts && issue.is_open {
            writer.end_issue(&issue).await??;
        }
        // A review has no number of its own in an issue, so each of these is a comment.
        let reaction = if counts { Reaction::Agreed } else { Reaction::Confused };
        if let Err(error) = writer.reaction(issue.number, asked.id, reaction).await? {
            tracing::debug!(%error, "cannot react to a command");
        }
        // At last: whoever dies before this says it all again, which changes nothing.
        record(repository, &one, &asked, (counts, reason.as_deref())).await?;
        if counts {
            return Ok(());
        }
    }
    let passed = repository.context.clock.now().duration_since(one.began_at);
    let due = i32::try_from(passed.as_secs() / REVIEW_WITHIN.as_secs()).unwrap_or(i32::MAX).min(MOST_REMINDERS);
    if due > one.reminders {
        // One comment, as everywhere: made at the first reminder, and brought up to date by each other.
        let is_it =
            |comment: &&Comment| comment.author.as_ref() == Some(ourselves) && is_emergency_reminder(&comment.body);
        let ours = said.comments.iter().find(is_it);
        let text = emergency_reminder(&one.name, due);
        if ours.is_none_or(|ours| ours.body.trim() != text.trim()) {
            writer.comment(issue.number, ours.map(|ours| ours.id), &text, None).await??;
        }
        emergencies::reminded(&mut *pool.acquire().await?, one.deployment, due).await?;
    }
    Ok(())
}

/// One that a worker opened who died before it could store its number, else a new one.
async fn open(
    repository: &Repository<'_>,
    one: &Emergency,
    writer: Writer<'_>,
) -> Result<crate::forge::Issue, JobError> {
    let ourselves = repository.ourselves().await?;
    let ours = repository.forge().open_issues_of(&repository.at, &ourselves.login).await?;
    let is_it = |issue: &crate::forge::Issue| {
        issue.author.as_ref() == Some(ourselves) && is_emergency_issue(&issue.body, &one.deployment)
    };
    if let Some(found) = ours.into_iter().find(is_it) {
        return Ok(found);
    }
    let people: Vec<(&str, &str)> =
        one.people.iter().map(|person| person.login.as_str()).zip(one.reasons.iter().map(String::as_str)).collect();
    let (title, body) = emergency_issue(&one.name, one.number, &one.deployment, &people, &one.passed);
    Ok(writer.issue(one.name.as_str(), &title, &body).await??)
}

/// Whether that was the review: somebody's whom the environment's rules name, and who did not take part. `None`: it was
/// answered before.
async fn counts(repository: &Repository<'_>, one: &Emergency, asked: &Asked) -> Result<Option<bool>, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    if !approvals::commands_done(&mut conn, repository.row.id, &[asked.id]).await?.is_empty() {
        return Ok(None);
    }
    let Some(environment) = environments::get(&mut conn, one.environment).await? else { return Ok(None) };
    let rules = environments::in_force(&mut conn, &environment).await?;
    drop(conn);
    let Some(rules) = rules else { return Ok(None) };
    let mut whom: Vec<Voters> = court::voters(repository, &rules, &[], &BTreeSet::new());
    whom.extend(rules.may.emergency.clone());
    let people = work::boxed(people::people(repository, &BTreeSet::from([asked.by.clone()]), &whom)).await;
    let is_asked = people.standings.get(&asked.by).is_some_and(|standing| {
        standing.kind == Kind::Person && whom.iter().any(|whom| people.is_one_of(standing, whom) == Answer::Yes)
    });
    let took_part = one.people.iter().any(|person| people.identities.same(person, &asked.by));
    match (is_asked && !took_part, people.away) {
        (true, _) => Ok(Some(true)),
        (false, Some(why)) => Err(JobError::Away(why)),
        (false, None) => Ok(Some(false)),
    }
}

/// Stores that it was answered, and the review.
async fn record(
    repository: &Repository<'_>,
    one: &Emergency,
    asked: &Asked,
    (counts, reason): (bool, Option<&str>),
) -> Result<(), JobError> {
    let context = repository.context;
    let mut tx = context.pool.begin().await?;
    let answer = if counts { "reviewed" } else { "not theirs to review" };
    approvals::command_done(&mut tx, repository.row.id, asked.id, answer).await?;
    if counts && emergencies::reviewed(&mut tx, one.deployment, &actor(&asked.by), context.clock.now()).await? {
        let entry = NewEntry {
            actor: actor(&asked.by),
            action: "emergency.reviewed",
            subject: format!("{} {}", repository.granted_name(), one.name),
            detail: json!({ "deployment": one.deployment, "number": one.number, "comment": asked.id, "reason": reason }),
            cause: work::cause(repository.job),
            trace: repository.job.trace,
        };
        audit::append(&mut tx, &entry).await?;
    }
    tx.commit().await?;
    Ok(())
}
