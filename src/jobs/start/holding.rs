//! What an environment is held for, stored and shown where people can consent to it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::json;
use sqlx::PgConnection;

use super::Stands;
use super::gate::memberships;
use crate::audit::{self, NewEntry};
use crate::consent::{BY_ITSELF, Held, explain};
use crate::db::environments::Environment;
use crate::db::freezes::Freeze;
use crate::db::holds::{self, AwaitedAt, HeldChange, Hold};
use crate::db::{deployments, previews};
use crate::ids::CommitId;
use crate::jobs::context::Context;
use crate::jobs::error::{ClusterAway, JobError};
use crate::jobs::gather::branch::{self, Walked};
use crate::jobs::gather::repository::Repository;
use crate::jobs::route::{attend_pull, look_at_checks};
use crate::jobs::show::writer::Writer;
use crate::jobs::step::Step;
use crate::jobs::work;
use crate::policy::windows::{self, Window};
use crate::preview::{held_issue, is_held_issue};
use crate::queue::{self, Claimed, Lane, Lease};
use crate::sync::{HoldReason, Relief};

/// Why a covered commit is not synced yet.
pub(super) struct Waits {
    pub(super) reason: HoldReason,
    /// In words.
    pub(super) why: String,
    /// What is typed for it.
    pub(super) lifts: String,
    /// When it is over by itself.
    pub(super) wakes: Option<Timestamp>,
}

impl Waits {
    /// For another environment, for checks, or for somebody's word.
    pub(super) fn other(why: String, lifts: String) -> Self {
        Self { reason: HoldReason::Waiting, why, lifts, wakes: None }
    }
}

/// Of one that is frozen. When that is over, it is looked at again: by whoever ends it, or by the clock.
pub(super) fn frozen(environment: &Environment, freeze: &Freeze) -> Waits {
    let (name, reason) = (&environment.name, HoldReason::Frozen);
    let lifts = match freeze.environment {
        Some(_) => reason.lifted_by(name, None, 0),
        None => "bascule unfreeze --everything, on the server's host".to_owned(),
    };
    Waits { reason, why: format!("{name} is {}", freeze.sentence()), lifts, wakes: None }
}

/// Of one that goes on to where it stands, when it is not the time for that. There is nothing newer that an emergency could
/// be asked for, so it waits until the windows open.
pub(super) fn shut_where_it_stands(walked: &Walked, now: Timestamp) -> Option<Waits> {
    let entry = walked.position.as_ref().and_then(|position| position.set.entry());
    let own = entry.and_then(|entry| walked.court.entries.get(entry)).map(|rules| rules.windows.as_slice());
    let mut lists: Vec<&[Window]> = own.into_iter().collect();
    lists.extend(walked.court.floors.iter().map(|(_, floor)| floor.windows.as_slice()));
    lists.retain(|list| !list.is_empty());
    if windows::is_open(&lists, now) {
        return None;
    }
    let state = windows::state(&lists, now);
    let opens = match state.until {
        Some(until) => format!("it opens `{}`", windows::moment(&lists, until)),
        None => "it does not open within 400 days".to_owned(),
    };
    let name = &walked.environment.name;
    let why = format!("{name} is outside its windows, `{}`; {opens}", windows::words(&lists));
    Some(Waits { reason: HoldReason::Window, why, lifts: BY_ITSELF.to_owned(), wakes: state.until })
}

/// Of one that is pinned. A rollback that failed is told as every failure is, and sent once more by the same line.
pub(super) fn pinned(environment: &Environment, stands: &Stands) -> Option<Waits> {
    let name = &environment.name;
    let pin = stands.pin.as_ref()?;
    let outcome = stands.last.as_ref().and_then(|last| Some((last.new.number, &last.ended.as_ref()?.outcome)));
    let trouble = outcome.and_then(|(number, outcome)| Some((number, outcome, outcome.hold()?)));
    Some(match trouble {
        None => {
            let reason = HoldReason::Pinned;
            Waits {
                reason,
                why: format!("{name} is {}", pin.sentence()),
                lifts: reason.lifted_by(name, None, 0),
                wakes: None,
            }
        }
        Some((number, outcome, reason)) => Waits {
            reason,
            why: format!("#{number}: {}; {name} is {}", outcome.sentence(), pin.sentence()),
            lifts: reason.lifted_by(name, None, 0),
            wakes: None,
        },
    })
}

/// Stores what the environment is held for, and has it shown: in its pull request, else in an issue of ours. `waits`: why
/// an older, covered commit is not synced yet, and what is typed for that.
pub(super) async fn hold(
    context: &Context,
    job: &Claimed,
    lease: &Lease,
    repository: &Repository<'_>,
    walked: &Walked,
    (held, waits, awaits): (&Held, Option<Waits>, Vec<AwaitedAt>),
    merged: &[i64],
) -> Result<(), JobError> {
    let environment = &walked.environment;
    let mut detail = explain(&environment.name, &held.verdict, &walked.court.people, None);
    let thaws = waits.as_ref().is_some_and(|waits| waits.reason == HoldReason::Frozen);
    let wakes = waits.as_ref().and_then(|waits| waits.wakes);
    if let Some(Waits { why, lifts, .. }) = waits {
        detail += &format!("; of what came before it, {why} ({lifts})");
    }
    let deletions = usize::try_from(held.verdict.deletions.unwrap_or_default()).unwrap_or(usize::MAX);
    let reason = if held.verdict.deletions.is_some() { HoldReason::OverCap } else { HoldReason::Uncovered };
    let lifts = match &held.verdict.closed {
        // Nobody can approve it.
        Some(why) => corrected(why, &environment.branch),
        None => match held.verdict.only_denials().next() {
            Some(denial) => denial.line_to_type(&environment.name, &held.digest),
            None => reason.lifted_by(&environment.name, Some(&held.digest), deletions),
        },
    };
    let change = HeldChange {
        from_commit: held.from.clone(),
        from_set: held.old_set,
        to_commit: held.to.clone(),
        to_set: held.new_set,
        digest: held.digest,
    };
    let mut conn = context.pool.acquire().await?;
    let before = holds::get(&mut conn, environment.id).await?;
    drop(conn);
    let same_place = before.as_ref().filter(|hold| hold.change.as_ref().is_some_and(|one| one.digest == held.digest));
    let shown_in = match (held.pull, same_place.and_then(|hold| hold.shown_in)) {
        (_, Some(number)) | (Some(number), None) => Some(number),
        (None, None) => {
            let earlier = before.as_ref().and_then(|hold| hold.shown_in);
            Some(issue(Writer::new(repository, lease), repository, environment, &held.to, earlier).await?)
        }
    };
    let hold = Hold {
        environment: environment.id,
        reason: reason.as_str().to_owned(),
        detail,
        lifts,
        change: Some(change),
        shown_in,
        awaits,
        thaws,
        wakes,
        ahead: walked.ahead.clone(),
    };
    store(context, job, repository, walked, hold, merged).await
}

/// What ends it where nobody can approve it. Who mends a floor's policy is no author of the repository's.
fn corrected(why: &str, branch: &str) -> String {
    let of_floor = why.split('`').nth(1).is_some_and(|name| why.starts_with("policy `") && name.contains('/'));
    let commit = format!("nothing to type: a commit on {branch} that corrects it");
    if of_floor {
        format!("{commit}, or whoever runs the server mends that policy, which is a floor's")
    } else {
        commit
    }
}

/// The issue a held change without a pull request is shown in: the one of before while it is open, else a new one.
async fn issue(
    writer: Writer<'_>,
    repository: &Repository<'_>,
    environment: &Environment,
    commit: &CommitId,
    earlier: Option<i64>,
) -> Result<i64, JobError> {
    let (forge, at) = (repository.forge(), &repository.at);
    if let Some(number) = earlier
        && !branch::is_pull(repository, number).await?
    {
        match forge.issue(at, number).await {
            Ok(issue) if issue.is_open => return Ok(number),
            Ok(_) => {}
            Err(error) if error.is_gone() => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Whose it is for ever: names of environments come again, and an account may serve two installations.
    let whose = format!("{}/{}", repository.context.installation, environment.id);
    if let Some(number) = unknown_issue(repository, &whose).await? {
        return Ok(number);
    }
    let (title, body) = held_issue(&environment.name, commit, &whose);
    Ok(writer.issue(environment.name.as_str(), &title, &body).await??.number)
}

/// One that a worker opened who died before it could store its number: ours by account and marker, and nothing was ever
/// said in it.
async fn unknown_issue(repository: &Repository<'_>, whose: &str) -> Result<Option<i64>, JobError> {
    let ourselves = repository.ourselves().await?;
    let ours = repository.forge().open_issues_of(&repository.at, &ourselves.login).await?;
    let mut conn = repository.context.pool.acquire().await?;
    for issue in ours {
        let is_ours = issue.author.as_ref() == Some(ourselves) && is_held_issue(&issue.body, whose);
        if is_ours && previews::of(&mut conn, repository.row.id, issue.number).await?.is_empty() {
            return Ok(Some(issue.number));
        }
    }
    Ok(None)
}

/// Nothing is newer than the position: whatever consent was missing is missed no more. What the position itself is held
/// for, it is held for again.
pub(super) async fn lift(
    context: &Context,
    job: &Claimed,
    repository: &Repository<'_>,
    walked: &Walked,
) -> Result<(), JobError> {
    let environment = &walked.environment;
    let mut tx = context.pool.begin().await?;
    queue::confirm(&mut tx, job).await?;
    let Some(hold) = holds::get(&mut tx, environment.id).await? else { return Ok(()) };
    if !hold.ends_with(Relief::NothingNewer) {
        return Ok(());
    }
    holds::lift(&mut tx, environment.id).await?;
    let last = deployments::list(&mut tx, environment.id, None, 1).await?.pop().and_then(|last| last.ended);
    let outcome = last.map(|ended| ended.outcome).unwrap_or_default();
    let still = outcome.hold();
    if let Some(reason) = still {
        let lifts = reason.lifted_by(&environment.name, None, 0);
        holds::put(&mut tx, &plain(environment, reason, outcome.sentence(), &lifts)).await?;
    }
    if let Some(number) = hold.shown_in {
        queue::enqueue(&mut tx, &attend_pull(&repository.row.key, number, job.trace)).await?;
    }
    let entry =
        entry(repository, &walked.environment, "hold.lifted", json!({ "reason": hold.reason, "still": still }), job);
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    repository.met(Step::HoldLifted);
    context.bell.ring(Lane::Default);
    Ok(())
}

/// A hold that waits for no consent, over one that perhaps does: what waits stays the change to approve, and is shown
/// where it was. That is where people look for what to type next.
pub(super) fn beside(walked: &Walked, reason: HoldReason, detail: String, lifts: &str) -> Hold {
    let hold = plain(&walked.environment, reason, detail, lifts);
    Hold { change: walked.waiting.clone(), shown_in: walked.shown_in, ahead: walked.ahead.clone(), ..hold }
}

/// A hold that waits for no consent.
fn plain(environment: &Environment, reason: HoldReason, detail: String, lifts: &str) -> Hold {
    Hold {
        environment: environment.id,
        reason: reason.as_str().to_owned(),
        detail,
        lifts: lifts.to_owned(),
        change: None,
        shown_in: None,
        awaits: Vec::new(),
        thaws: reason == HoldReason::Frozen,
        wakes: None,
        ahead: None,
    }
}

/// Stores a hold, says so once, and has it shown. Whom the judgement that holds took for whom is said with it, and again
/// when the forge answers something else; not each time it is judged.
pub(super) async fn store(
    context: &Context,
    job: &Claimed,
    repository: &Repository<'_>,
    walked: &Walked,
    mut hold: Hold,
    merged: &[i64],
) -> Result<(), JobError> {
    let mut tx = context.pool.begin().await?;
    queue::confirm(&mut tx, job).await?;
    let before = holds::get(&mut tx, hold.environment).await?;
    if let Some(stopped) = &walked.stopped {
        hold.detail += &format!("; the emergency does not pass: {stopped}");
    }
    if let (Some(ahead), Some(known)) = (&mut hold.ahead, before.as_ref().and_then(|before| before.ahead.as_ref()))
        && ahead.is_still(known)
    {
        ahead.since = known.since;
    }
    let change = hold.change.as_ref();
    let memberships = json!(memberships(walked));
    let detail = json!({
        "reason": hold.reason, "detail": hold.detail, "lifts": hold.lifts, "shown_in": hold.shown_in,
        "change": change.map(|change| change.digest), "to": change.map(|change| &change.to_commit),
        "memberships": memberships,
    });
    let entry = entry(repository, &walked.environment, HELD, detail, job);
    let told = audit::read::newest_detail(&mut tx, &entry.subject, HELD).await?;
    let is_answered_anew = told.is_none_or(|told| told["memberships"] != memberships);
    let is_same = before.as_ref() == Some(&hold);
    if is_same && !is_answered_anew {
        return Ok(());
    }
    if !is_same {
        holds::put(&mut tx, &hold).await?;
        let shown = hold.shown_in.into_iter().chain(before.as_ref().and_then(|hold| hold.shown_in));
        let told: BTreeSet<i64> = shown.chain(merged.iter().copied()).collect();
        for number in told {
            queue::enqueue(&mut tx, &attend_pull(&repository.row.key, number, job.trace)).await?;
        }
        if !hold.awaits.is_empty() {
            // What was reported since they were read was told before anybody waited for it.
            queue::enqueue(&mut tx, &look_at_checks(&repository.row.key, job.trace)).await?;
        }
    }
    let is_news = before.is_none_or(|before| before.reason != hold.reason || before.change != hold.change);
    if is_news || is_answered_anew {
        audit::append(&mut tx, &entry).await?;
    }
    tx.commit().await?;
    repository.met(Step::HoldStored);
    if is_news {
        metrics::counter!("bascule_holds_total", "reason" => hold.reason.clone()).increment(1);
    }
    context.bell.ring(Lane::Default);
    Ok(())
}

/// Nothing can be judged before a cluster is asked, and it cannot be: stored and said once. What waits for consent goes on
/// waiting. The next judgement finds something else, or nothing to hold for.
pub(super) async fn away(
    context: &Context,
    job: &Claimed,
    repository: &Repository<'_>,
    environment: &Environment,
    away: &ClusterAway,
) -> Result<(), JobError> {
    let merged = branch::merged_since(repository, environment).await?;
    let mut tx = context.pool.begin().await?;
    queue::confirm(&mut tx, job).await?;
    let before = holds::get(&mut tx, environment.id).await?;
    let whose = if away.environment == environment.name {
        String::new()
    } else {
        format!(" of {}, which it comes after,", away.environment)
    };
    let detail =
        format!("the cluster {}{whose} cannot be used, and is tried again by itself: {}", away.cluster, away.why);
    let reason = HoldReason::ClusterAway;
    let hold = plain(environment, reason, detail, &reason.lifted_by(&environment.name, None, 0));
    let (change, shown_in) = before.as_ref().map_or((None, None), |hold| (hold.change.clone(), hold.shown_in));
    let hold = Hold { change, shown_in, ..hold };
    if before.as_ref() == Some(&hold) {
        return Ok(());
    }
    holds::put(&mut tx, &hold).await?;
    let told: BTreeSet<i64> = hold.shown_in.into_iter().chain(merged).collect();
    for number in told {
        queue::enqueue(&mut tx, &attend_pull(&repository.row.key, number, job.trace)).await?;
    }
    let is_news = before.is_none_or(|before| before.reason != hold.reason);
    if is_news {
        let detail = json!({ "reason": hold.reason, "detail": hold.detail, "lifts": hold.lifts });
        audit::append(&mut tx, &entry(repository, environment, HELD, detail, job)).await?;
    }
    tx.commit().await?;
    repository.met(Step::HoldStored);
    if is_news {
        metrics::counter!("bascule_holds_total", "reason" => hold.reason).increment(1);
    }
    context.bell.ring(Lane::Default);
    Ok(())
}

const HELD: &str = "environment.held";

/// Lifts the hold of an environment and says so. `false` when there was none.
pub(super) async fn lift_hold(
    conn: &mut PgConnection,
    job: &Claimed,
    repository: &Repository<'_>,
    walked: &Walked,
) -> Result<bool, JobError> {
    let Some(reason) = holds::lift(conn, walked.environment.id).await? else { return Ok(false) };
    audit::append(conn, &entry(repository, &walked.environment, "hold.lifted", json!({ "reason": reason }), job))
        .await?;
    Ok(true)
}

/// An entry of the log about an environment.
pub(super) fn entry(
    repository: &Repository<'_>,
    environment: &Environment,
    action: &'static str,
    detail: serde_json::Value,
    job: &Claimed,
) -> NewEntry {
    NewEntry {
        actor: "bascule".to_owned(),
        action,
        subject: format!("{} {}", repository.granted_name(), environment.name),
        detail,
        cause: work::cause(job),
        trace: job.trace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floors_policy_is_mended_by_whoever_runs_the_server_and_ours_by_a_commit() {
        let commit = "nothing to type: a commit on main that corrects it";
        assert_eq!(corrected("policy `pods` denies it", "main"), commit);
        assert_eq!(corrected("the owners of `a/b` cannot be read", "main"), commit);
        assert_eq!(
            corrected("policy `production/pods` cannot be asked: no such key", "main"),
            format!("{commit}, or whoever runs the server mends that policy, which is a floor's")
        );
    }
}
