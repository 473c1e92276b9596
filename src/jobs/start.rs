//! The start of a sync: judge the gate, and in one transaction move the position, use the approvals up, and say so.
//!
//! What is held instead is stored as a hold, with the change it waits for, and shown where people can consent to it.

use std::collections::BTreeMap;

use serde_json::json;
use uuid::Uuid;

use super::branch::{self, Walked};
use super::contents::{Contents, FileAt};
use super::repository::{Opened, Repository};
use super::{Context, JobError, attend_pull, repository, sync_environment};
use crate::audit::{self, NewEntry};
use crate::consent::{Change, Covered, Destination, Held, Stale, State, Why, destination, explain};
use crate::db::environments::{self, At, Environment, EnvironmentState};
use crate::db::holds::{self, HeldChange, Hold};
use crate::db::{approvals, deployments, repositories};
use crate::ids::CommitId;
use crate::policy::rules::SyncMode;
use crate::queue::{self, Claimed, Lane};
use crate::sync::HoldReason;

/// How often new facts may overtake one judgement before the queue's delay is used.
const TRIES: usize = 3;

/// Judges an environment and starts its sync when there is something covered to go to. `true`: a deployment is running.
pub(super) async fn start(context: &Context, job: &Claimed, environment: i64) -> Result<bool, JobError> {
    let mut conn = context.pool.acquire().await?;
    if deployments::is_running(&mut conn, environment).await? {
        return Ok(true);
    }
    drop(conn);
    for _ in 0..TRIES {
        match try_start(context, job, environment).await? {
            Started::Running => return Ok(true),
            Started::Nothing => return Ok(false),
            Started::Overtaken => {}
        }
    }
    Err(JobError::Passing("new facts keep arriving from the forge while the gate is judged".to_owned()))
}

enum Started {
    Running,
    Nothing,
    Overtaken,
}

async fn try_start(context: &Context, job: &Claimed, environment: i64) -> Result<Started, JobError> {
    let cause = format!("job {} {}", job.id, job.kind);
    let mut conn = context.pool.acquire().await?;
    let Some(environment) = environments::get(&mut conn, environment).await? else { return Ok(Started::Nothing) };
    let Some(known) = repositories::get(&mut conn, environment.repository).await? else { return Ok(Started::Nothing) };
    drop(conn);
    let repository = match repository::open(context, &known.key).await? {
        Opened::Granted(repository) => repository,
        Opened::Silent | Opened::Recreated(_) | Opened::Gone => return Ok(Started::Nothing),
    };
    if environment.state != EnvironmentState::Active {
        return Ok(Started::Nothing);
    }
    let contents = Contents::new(&repository);
    let Some(walked) = super::boxed(branch::walked(&repository, &contents, environment, &cause, job.trace)).await?
    else {
        return Ok(Started::Nothing);
    };
    let before = |name: &_, covered: &Covered| {
        walked.befores.get(&(Clone::clone(name), covered.commit.clone())).cloned().unwrap_or_default()
    };
    let destination = destination(&walked.walk, &walked.court.entries, before);
    if closed(&repository, &contents, &walked).await? {
        return Ok(Started::Nothing);
    }
    match destination {
        Destination::To(covered) if may_sync(&walked, covered, job) => {
            super::boxed(begin(context, job, &repository, &walked, covered, &cause)).await
        }
        Destination::To(covered) => {
            manual(context, job, &repository, &walked, covered).await?;
            Ok(Started::Nothing)
        }
        Destination::Waits(_, names) => {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let detail =
                format!("{} waits until {} is healthy at this commit", walked.environment.name, names.join(", "));
            let hold =
                plain_hold(&walked.environment, HoldReason::Waiting, detail, "nothing to type: it goes on by itself");
            store(context, job, &repository, hold, None).await?;
            Ok(Started::Nothing)
        }
        Destination::Nowhere => {
            match &walked.walk.held {
                Some(held) => hold(context, job, &repository, &walked, held).await?,
                None => lift(context, job, &repository, &walked).await?,
            }
            Ok(Started::Nothing)
        }
    }
}

/// Whether the file of the default branch cannot be read: the gate closes for new syncs.
async fn closed(repository: &Repository<'_>, contents: &Contents<'_>, walked: &Walked) -> Result<bool, JobError> {
    let Some(tip) = repository.mirror.tip(&branch::branch(&repository.row.default_branch)?).await? else {
        return Ok(true);
    };
    let tree = contents.tree(&tip).await?;
    Ok(match contents.file_at(&tree, &contents.tree(&walked.tip).await?).await? {
        FileAt::Valid(_) => false,
        FileAt::Absent | FileAt::Invalid(_) => true,
    })
}

fn may_sync(walked: &Walked, covered: &Covered, job: &Claimed) -> bool {
    let rules = covered.set.entry().and_then(|entry| walked.court.entries.get(entry));
    match rules.map(|rules| rules.sync.mode) {
        Some(SyncMode::Auto) => true,
        Some(SyncMode::Manual) => job.payload.get("asked").and_then(serde_json::Value::as_bool).unwrap_or(false),
        Some(SyncMode::None) | None => false,
    }
}

async fn manual(
    context: &Context,
    job: &Claimed,
    repository: &Repository<'_>,
    walked: &Walked,
    covered: &Covered,
) -> Result<(), JobError> {
    let rules = covered.set.entry().and_then(|entry| walked.court.entries.get(entry));
    if rules.is_some_and(|rules| rules.sync.mode == SyncMode::Manual) {
        let name = &walked.environment.name;
        let detail = format!("{name} is synced when somebody with write access says so");
        let lifts = format!("/bascule sync {name}");
        store(context, job, repository, plain_hold(&walked.environment, HoldReason::Waiting, detail, &lifts), None)
            .await?;
    }
    Ok(())
}

/// The gate's transaction (rule 13).
async fn begin(
    context: &Context,
    job: &Claimed,
    repository: &Repository<'_>,
    walked: &Walked,
    covered: &Covered,
    cause: &str,
) -> Result<Started, JobError> {
    let environment = &walked.environment;
    let digest = covered.set.digest();
    let grounds = walked.walk.grounds_of(covered);
    // An approval that counted on any ground counted.
    let mut spent: BTreeMap<_, Option<String>> = BTreeMap::new();
    for (ground, key) in grounds.iter().flat_map(|ground| ground.spends.iter().map(move |key| (ground, key))) {
        let why_not = ground.why_not(key);
        spent.entry(key).and_modify(|known| *known = known.take().and(why_not.clone())).or_insert(why_not);
    }
    let given = walked.places.values().flat_map(|place| &place.remembered.approvals);
    let used: Vec<approvals::Used> = given
        .filter(|one| one.recorded.state == State::Stands)
        .filter_map(|one| {
            let why_not = spent.get(&one.recorded.approval.key)?.clone();
            Some(approvals::Used { approval: one.id, why_not })
        })
        .collect();
    let approvals: Vec<Uuid> = used.iter().filter(|one| one.why_not.is_none()).map(|one| one.approval).collect();
    let uncounted: BTreeMap<Uuid, &str> =
        used.iter().filter_map(|one| Some((one.approval, one.why_not.as_deref()?))).collect();
    let mut pulls: Vec<i64> = grounds.iter().filter_map(|ground| ground.pull).collect();
    // A held change is carried by the place it was consented to in, be it an issue of ours.
    let held = |ground: &&crate::consent::Ground| matches!(ground.why, Why::Held(..));
    if grounds.iter().any(|ground| held(&ground)) {
        pulls.extend(walked.shown_in);
    }
    pulls.sort_unstable();
    pulls.dedup();
    let exceptions: Vec<_> = grounds
        .iter()
        .filter_map(|ground| match &ground.why {
            Why::Held(_, verdict) | Why::Pull(_, verdict) => verdict.exception.clone(),
            Why::NothingAsked | Why::Nothing => None,
        })
        .collect();
    let memberships: Vec<_> = walked.court.people.standings.values().map(|standing| {
        json!({ "account": standing.account, "kind": format!("{:?}", standing.kind), "right": format!("{:?}", standing.right),
            "teams": standing.teams.iter().map(|(team, answer)| (team.clone(), format!("{answer:?}"))).collect::<std::collections::BTreeMap<_, _>>() })
    }).collect();

    let mut tx = context.pool.begin().await?;
    queue::confirm(&mut tx, job).await?;
    // The row is locked until the transaction ends, so no newer fact can be stored beside it.
    let newest_fact = repositories::lock_facts(&mut tx, repository.row.id).await?;
    match walked.reading.may_start(context.clock.now(), newest_fact) {
        Ok(()) => {}
        Err(Stale::Overtaken | Stale::Old) => return Ok(Started::Overtaken),
    }
    let stands = |at: &Option<At>| at.as_ref().is_some_and(|at| at.set == digest);
    if stands(&environment.position) && stands(&environment.healthy) {
        // The commit changes nothing here, or takes back what was never synced: there is nothing to send.
        environments::advance(&mut tx, environment.id, &covered.commit).await?;
        if holds::lift(&mut tx, environment.id).await?
            && let Some(number) = walked.shown_in
        {
            queue::enqueue(&mut tx, &attend_pull(&repository.row.key, number, job.trace)).await?;
        }
        let detail = json!({ "commit": covered.commit, "set": digest });
        audit::append(&mut tx, &entry(repository, walked, "position.advanced", detail, job)).await?;
        tx.commit().await?;
        context.bell.ring(Lane::Default);
        return Ok(Started::Nothing);
    }
    let old = match &environment.position {
        Some(at) => Some(crate::db::sets::load_hashed(&mut tx, &at.set).await?),
        None => None,
    };
    let change = Change::between(old.as_ref(), &covered.set);
    let to = At { commit: covered.commit.clone(), set: digest };
    let number = environments::move_position(&mut tx, environment.id, &to).await?;
    let new = deployments::NewDeployment {
        id: context.clock.new_id(),
        environment: environment.id,
        number,
        to,
        from: environment.position.clone(),
        change: change.digest(&repository.row.key, &environment.name),
        pulls: pulls.clone(),
        approvals: approvals.clone(),
        trace: job.trace,
        fence: job.fence,
    };
    deployments::start(&mut tx, &new).await?;
    approvals::use_up(&mut tx, &used, new.id).await?;
    holds::lift(&mut tx, environment.id).await?;
    // Where the lifted hold was shown, it is shown no more, also when what was held was taken back.
    for number in pulls.iter().chain(walked.shown_in.iter().filter(|number| !pulls.contains(number))) {
        queue::enqueue(&mut tx, &attend_pull(&repository.row.key, *number, job.trace)).await?;
    }
    let entry = NewEntry {
        actor: "bascule".to_owned(),
        action: "sync.started",
        subject: format!("{} {}", repository.granted_name(), environment.name),
        detail: json!({
            "deployment": new.id, "number": number, "commit": covered.commit, "set": digest, "change": new.change,
            "from": environment.position.as_ref().map(|at| json!({ "commit": at.commit, "set": at.set })),
            "pulls": pulls, "approvals": approvals, "not_counted": uncounted, "exceptions": exceptions, "memberships": memberships,
            "judged_at": walked.reading.at, "target": environment.target,
        }),
        cause: cause.to_owned(),
        trace: job.trace,
    };
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    context.bell.ring(Lane::Default);
    metrics::counter!("bascule_syncs_started_total").increment(1);
    Ok(Started::Running)
}

fn plain_hold(environment: &Environment, reason: HoldReason, detail: String, lifts: &str) -> Hold {
    Hold {
        environment: environment.id,
        reason: reason.as_str().to_owned(),
        detail,
        lifts: lifts.to_owned(),
        change: None,
        shown_in: None,
    }
}

/// Stores what the environment is held for, and has it shown: in its pull request, else in an issue of ours.
async fn hold(
    context: &Context,
    job: &Claimed,
    repository: &Repository<'_>,
    walked: &Walked,
    held: &Held,
) -> Result<(), JobError> {
    let environment = &walked.environment;
    let detail = explain(&environment.name, &held.verdict, &walked.court.people, None);
    let deletions = usize::try_from(held.verdict.deletions.unwrap_or_default()).unwrap_or(usize::MAX);
    let reason = if held.verdict.deletions.is_some() { HoldReason::OverCap } else { HoldReason::Uncovered };
    let lifts = reason.lifted_by(&environment.name, Some(&held.digest), deletions);
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
            Some(issue(repository, environment, &held.to, earlier).await?)
        }
    };
    let hold = Hold {
        environment: environment.id,
        reason: reason.as_str().to_owned(),
        detail,
        lifts,
        change: Some(change),
        shown_in,
    };
    store(context, job, repository, hold, shown_in).await
}

/// The issue a held change without a pull request is shown in: the one of before while it is open, else a new one.
async fn issue(
    repository: &Repository<'_>,
    environment: &Environment,
    commit: &CommitId,
    earlier: Option<i64>,
) -> Result<i64, JobError> {
    if let Some(number) = earlier
        && !branch::is_pull(repository, number).await?
        && repository.forge().issue(&repository.at, number).await.is_ok_and(|issue| issue.is_open)
    {
        return Ok(number);
    }
    let (title, body) = crate::preview::held_issue(&environment.name, commit);
    Ok(repository.forge().create_issue(&repository.at, &title, &body).await?.number)
}

/// Nothing is newer than the position: whatever consent was missing is missed no more.
async fn lift(context: &Context, job: &Claimed, repository: &Repository<'_>, walked: &Walked) -> Result<(), JobError> {
    let mut tx = context.pool.begin().await?;
    let Some(hold) = holds::get(&mut tx, walked.environment.id).await? else { return Ok(()) };
    // A failure is lifted by the next sync or by a person, not by there being nothing new.
    let consent = [HoldReason::Uncovered, HoldReason::OverCap, HoldReason::Waiting];
    if !consent.iter().any(|reason| reason.as_str() == hold.reason) {
        return Ok(());
    }
    holds::lift(&mut tx, walked.environment.id).await?;
    if let Some(number) = hold.shown_in {
        queue::enqueue(&mut tx, &attend_pull(&repository.row.key, number, job.trace)).await?;
    }
    let entry = entry(repository, walked, "hold.lifted", json!({ "reason": hold.reason }), job);
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    context.bell.ring(Lane::Default);
    Ok(())
}

fn entry(
    repository: &Repository<'_>,
    walked: &Walked,
    action: &'static str,
    detail: serde_json::Value,
    job: &Claimed,
) -> NewEntry {
    NewEntry {
        actor: "bascule".to_owned(),
        action,
        subject: format!("{} {}", repository.granted_name(), walked.environment.name),
        detail,
        cause: format!("job {} {}", job.id, job.kind),
        trace: job.trace,
    }
}

/// Stores a hold, says so once, and has it shown.
async fn store(
    context: &Context,
    job: &Claimed,
    repository: &Repository<'_>,
    hold: Hold,
    shown_in: Option<i64>,
) -> Result<(), JobError> {
    let mut tx = context.pool.begin().await?;
    queue::confirm(&mut tx, job).await?;
    let before = holds::get(&mut tx, hold.environment).await?;
    if before.as_ref() == Some(&hold) {
        return Ok(());
    }
    let name = environments::get(&mut tx, hold.environment).await?.map(|one| one.name.to_string()).unwrap_or_default();
    holds::put(&mut tx, &hold).await?;
    for number in shown_in.into_iter().chain(before.as_ref().and_then(|hold| hold.shown_in)) {
        queue::enqueue(&mut tx, &attend_pull(&repository.row.key, number, job.trace)).await?;
    }
    let is_news = before.is_none_or(|before| before.reason != hold.reason || before.change != hold.change);
    if is_news {
        let change = hold.change.as_ref();
        let entry = NewEntry {
            actor: "bascule".to_owned(),
            action: "environment.held",
            subject: format!("{} {name}", repository.granted_name()),
            detail: json!({
                "reason": hold.reason, "detail": hold.detail, "lifts": hold.lifts, "shown_in": hold.shown_in,
                "change": change.map(|change| change.digest), "to": change.map(|change| &change.to_commit),
            }),
            cause: format!("job {} {}", job.id, job.kind),
            trace: job.trace,
        };
        audit::append(&mut tx, &entry).await?;
        metrics::counter!("bascule_holds_total", "reason" => hold.reason.clone()).increment(1);
    }
    tx.commit().await?;
    context.bell.ring(Lane::Default);
    Ok(())
}

/// The job that brings an environment on, as another job of the same repository causes it.
pub(super) fn next(repository: &Repository<'_>, environment: i64, job: &Claimed) -> queue::NewJob {
    sync_environment(&repository.row.key, environment, job.trace)
}
