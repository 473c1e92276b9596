//! The gate's transaction (rule 13): a sync starts, on fresh facts, or nothing happens.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::emergency::Passing;
use super::holding::{entry, lift_hold, shut_where_it_stands};
use super::shut::{Asked as Windows, shut};
use super::{Begun, Started, next};
use crate::audit;
use crate::consent::{Change, Covered, Ground, State, Verdict, Why};
use crate::db::emergencies;
use crate::db::environments::{self, At};
use crate::db::freezes;
use crate::db::holds;
use crate::db::pins::{self, Pin};
use crate::db::rollbacks;
use crate::db::{approvals, deployments, deploys, repositories, sets};
use crate::event::deploys::{Deploys, of_sync};
use crate::git::GitError;
use crate::ids::{ChangeDigest, CommitId};
use crate::jobs::context::Context;
use crate::jobs::error::JobError;
use crate::jobs::gather::branch::Walked;
use crate::jobs::gather::repository::Repository;
use crate::jobs::route::{attend_pull, tell_applications, tell_deployments, tell_emergencies};
use crate::jobs::step::Step;
use crate::policy::rules::SyncMode;
use crate::queue::{self, Claimed, Lane};
use crate::sync::Relief;

/// A transaction in which no newer fact can be stored, and the facts judged are fresh. `None`: they are not.
async fn gate(
    context: &Context,
    job: &Claimed,
    repository: &Repository<'_>,
    walked: &Walked,
) -> Result<Option<Transaction<'static, Postgres>>, JobError> {
    let mut tx = context.pool.begin().await?;
    queue::confirm(&mut tx, job).await?;
    // The row is locked until the transaction ends, so no newer fact can be stored beside it.
    let newest_fact = repositories::lock_facts(&mut tx, repository.row.id).await?;
    if rollbacks::is_open(&mut tx, walked.environment.id).await? {
        // Somebody wants to go back: that is tried first.
        return Ok(None);
    }
    Ok(walked.reading.may_start(context.clock.now(), newest_fact).is_ok().then_some(tx))
}

/// Starts the sync to a covered commit, or moves the position alone when that changes nothing.
pub(super) async fn begin(
    context: &Context,
    job: &Claimed,
    repository: &Repository<'_>,
    walked: &Walked,
    covered: &Covered,
    passing: Option<&Passing>,
) -> Result<Begun, JobError> {
    let environment = &walked.environment;
    let digest = covered.set.digest();
    let grounds = walked.walk.grounds_of(covered);
    let used = spent(walked, grounds);
    let counted: Vec<Uuid> = used.iter().filter(|one| one.why_not.is_none()).map(|one| one.approval).collect();
    let not_counted: BTreeMap<Uuid, &str> =
        used.iter().filter_map(|one| Some((one.approval, one.why_not.as_deref()?))).collect();
    let pulls = carried(walked, grounds);
    let exceptions: Vec<_> = grounds
        .iter()
        .filter_map(|ground| match &ground.why {
            Why::Held(_, verdict) | Why::Pull(_, verdict) => verdict.exception.clone(),
            Why::NothingAsked | Why::Nothing => None,
        })
        .collect();

    let by = |passes: fn(&Verdict) -> bool| -> Vec<ChangeDigest> {
        let changes = grounds.iter().filter_map(|ground| match &ground.why {
            Why::Pull(digest, verdict) | Why::Held(digest, verdict) if passes(verdict) => Some(*digest),
            Why::Held(..) | Why::Pull(..) | Why::NothingAsked | Why::Nothing => None,
        });
        changes.collect()
    };
    let (by_rollback, by_reverts) = (by(|verdict| verdict.by_rollback), by(Verdict::by_reverts));

    let said = deploys_of(repository, environment, &covered.commit).await?;

    let Some(mut tx) = gate(context, job, repository, walked).await? else { return Ok(Started::Overtaken.into()) };
    environments::went_past(&mut tx, environment.id, up_to(&walked.line, &covered.commit)).await?;
    let last = newest(&mut tx, environment.id).await?;
    let stands = environment.position.as_ref().is_some_and(|at| at.set == digest);
    // Where nothing comes of it below, nor does this: the transaction is not committed.
    let pin = pins::standing(&mut tx, environment.id).await?;
    let has_ended = pins::end(&mut tx, environment.id, "bascule", context.clock.now()).await?;
    if !has_ended && (pin.is_some() || !by_rollback.is_empty()) {
        // Somebody resumed since this was judged: what the rollback consented to, it consents to no more.
        return Ok(Started::Overtaken.into());
    }
    if let Some(pin) = pin {
        // What they say of it is not so any more.
        for place in pins::told_in(&mut tx, &pin).await? {
            queue::enqueue(&mut tx, &attend_pull(&repository.row.key, place, job.trace)).await?;
        }
        let why = "a covered commit has, for no object, what was taken away";
        let detail = json!({ "commit": covered.commit, "set": digest, "why": why });
        audit::append(&mut tx, &entry(repository, environment, "pin.ended", detail, job)).await?;
    }
    // After a rollback something else runs than what the environment stands at.
    if stands && last.as_ref().is_some_and(|last| last.is_healthy() && last.new.to.set == digest) {
        // The commit changes nothing here, or takes back what was never synced: there is nothing to send.
        environments::advance(&mut tx, environment.id, &covered.commit).await?;
        let lifted = lift_hold(&mut tx, job, repository, walked).await?;
        // Every pull request on the way, also one that changed nothing, hears that there is nothing to wait for.
        let shown_in = walked.shown_in.filter(|number| lifted && !walked.places.contains_key(number));
        for number in walked.places.keys().copied().chain(shown_in) {
            queue::enqueue(&mut tx, &attend_pull(&repository.row.key, number, job.trace)).await?;
        }
        let detail = json!({ "commit": covered.commit, "set": digest });
        audit::append(&mut tx, &entry(repository, &walked.environment, "position.advanced", detail, job)).await?;
        go_on(&mut tx, repository, walked, covered, job).await?;
        tx.commit().await?;
        repository.met(Step::PositionAdvanced);
        context.bell.ring(Lane::Default);
        return Ok(Started::Nothing.into());
    }
    if let Some(freeze) = freezes::standing(&mut tx, Some(environment.id), context.clock.now()).await? {
        return Ok(Begun::Frozen(freeze));
    }
    let windows = if passing.is_some() { Windows::Floors } else { Windows::All };
    if let Some(waits) = shut(walked, covered, windows, context.clock.now()) {
        return Ok(Begun::Shut(waits));
    }
    let old = match &environment.position {
        Some(at) => Some(sets::load_hashed(&mut tx, &at.set).await?),
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
        pulls,
        approvals: counted,
        again_of: None,
        trace: job.trace,
        fence: job.fence,
    };
    approvals::use_up(&mut tx, &used, new.id).await?;
    deploys::store(&mut tx, new.id, &said).await?;
    lift_hold(&mut tx, job, repository, walked).await?;
    go_on(&mut tx, repository, walked, covered, job).await?;
    let mut more = json!({ "not_counted": not_counted, "exceptions": exceptions, "by_rollback": by_rollback, "by_reverts": by_reverts, "memberships": memberships(walked) });
    if let Some(passing) = passing {
        more["emergency"] = passing.told();
        let requests: Vec<_> = passing.requests.iter().collect();
        let of = (new.id, environment.id);
        emergencies::begin(&mut tx, of, &requests, &passing.passed, context.clock.now()).await?;
        let detail =
            json!({ "deployment": new.id, "number": new.number, "change": new.change, "emergency": passing.told() });
        audit::append(&mut tx, &entry(repository, environment, "emergency.begun", detail, job)).await?;
        queue::enqueue(&mut tx, &tell_emergencies(&repository.row.key, job.trace)).await?;
    }
    Ok(start(tx, context, job, repository, walked, &new, more).await?.into())
}

/// What the commits of a sync say they deploy; of a first one, its own commit alone.
async fn deploys_of(
    repository: &Repository<'_>,
    environment: &environments::Environment,
    to: &CommitId,
) -> Result<Vec<Deploys>, JobError> {
    let mirror = &repository.mirror;
    let since = match &environment.position {
        Some(position) if mirror.has_commit(&position.commit).await? => vec![position.commit.clone()],
        Some(_) | None => mirror.parents(to).await?,
    };
    match mirror.commits(to, &since).await {
        Ok(commits) => Ok(of_sync(commits.into_iter().flat_map(|commit| commit.deploys))),
        // Nobody writes so many to be told; the sync does not wait for it.
        Err(GitError::TooLarge { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The newest commits of a line up to one of them.
fn up_to<'l>(line: &'l [CommitId], commit: &CommitId) -> &'l [CommitId] {
    let end = line.iter().position(|one| one == commit).map_or(line.len(), |at| at + 1);
    line.get(end.saturating_sub(PASSED)..end).unwrap_or_default()
}

/// Commits that are remembered of one move of a position: who waits, waits for a new one.
const PASSED: usize = 500;

/// What is newer than the commit it goes to is looked at again afterwards: it may have to be held and shown.
async fn go_on(
    tx: &mut PgConnection,
    repository: &Repository<'_>,
    walked: &Walked,
    covered: &Covered,
    job: &Claimed,
) -> Result<(), JobError> {
    if walked.tip != covered.commit {
        queue::enqueue(tx, &next(repository, walked.environment.id, job)).await?;
    }
    Ok(())
}

/// There is nothing newer to go to, and somebody asked, or the environment is not at its position since a rollback that pins
/// it no more: the content of the position is sent once more, unless it is what runs and is well. It was consented to when it
/// was first started, so nobody is asked again. While a pin stands, what it keeps there is sent, and the position stays.
pub(super) async fn again(
    context: &Context,
    job: &Claimed,
    repository: &Repository<'_>,
    walked: &Walked,
    pin: Option<&Pin>,
) -> Result<Started, JobError> {
    let environment = &walked.environment;
    let Some(position) = &walked.position else { return Ok(Started::Nothing) };
    let rules = position.set.entry().and_then(|entry| walked.court.entries.get(entry));
    if rules.is_none_or(|rules| rules.sync.mode == SyncMode::None) {
        return Ok(Started::Nothing);
    }
    let Some(mut tx) = gate(context, job, repository, walked).await? else { return Ok(Started::Overtaken) };
    let Some(newest) = newest(&mut tx, environment.id).await? else { return Ok(Started::Nothing) };
    let to = match pin {
        Some(_) => newest.new.to.clone(),
        None => At { commit: position.commit.clone(), set: position.set.digest() },
    };
    if newest.is_healthy() && newest.new.to.set == to.set {
        return Ok(Started::Nothing);
    }
    let last = if newest.new.to.set == to.set {
        newest
    } else {
        // What a rollback brought is not whose content is sent.
        let of_it = deployments::of_set(&mut tx, environment.id, &to.set).await?;
        let Some(last) = of_it else { return Ok(Started::Nothing) };
        if shut_where_it_stands(walked, context.clock.now()).is_some() {
            // It is held for that, and begun when they open.
            return Ok(Started::Nothing);
        }
        last
    };
    if pin.is_none() && freezes::standing(&mut tx, Some(environment.id), context.clock.now()).await?.is_some() {
        // Whoever asked was answered so.
        return Ok(Started::Nothing);
    }
    let last_id = last.new.id;
    let number = match pin {
        Some(_) => environments::take_number(&mut tx, environment.id).await?,
        None => environments::move_position(&mut tx, environment.id, &to).await?,
    };
    let new = deployments::NewDeployment {
        id: context.clock.new_id(),
        number,
        to,
        approvals: Vec::new(),
        again_of: Some(last.new.again_of.unwrap_or(last.new.id)),
        trace: job.trace,
        fence: job.fence,
        ..last.new
    };
    let hold = holds::get(&mut tx, environment.id).await?;
    if hold.is_some_and(|hold| hold.ends_with(Relief::SentAgain)) {
        lift_hold(&mut tx, job, repository, walked).await?;
    }
    deploys::again(&mut tx, last_id, new.id).await?;
    start(tx, context, job, repository, walked, &new, json!({ "again_of": new.again_of, "asked": true })).await
}

/// Stores the deployment, says so, and has it shown; the end of the gate's transaction.
async fn start(
    mut tx: Transaction<'static, Postgres>,
    context: &Context,
    job: &Claimed,
    repository: &Repository<'_>,
    walked: &Walked,
    new: &deployments::NewDeployment,
    more: serde_json::Value,
) -> Result<Started, JobError> {
    deployments::start(&mut tx, new).await?;
    if !deploys::of(&mut tx, new.id).await?.is_empty() {
        queue::enqueue(&mut tx, &tell_applications(&repository.row.key, new.id, job.trace)).await?;
    }
    // Where a lifted hold was shown, it is shown no more, also when what was held was taken back.
    for number in new.pulls.iter().chain(walked.shown_in.iter().filter(|number| !new.pulls.contains(number))) {
        queue::enqueue(&mut tx, &attend_pull(&repository.row.key, *number, job.trace)).await?;
    }
    if repository.forge().has_deployments() {
        queue::enqueue(&mut tx, &tell_deployments(&repository.row.key, job.trace)).await?;
    }
    let mut detail = json!({
        "deployment": new.id, "number": new.number, "commit": new.to.commit, "set": new.to.set, "change": new.change,
        "from": new.from.as_ref().map(|at| json!({ "commit": at.commit, "set": at.set })),
        "pulls": new.pulls, "approvals": new.approvals,
        "judged_at": walked.reading.at, "target": walked.environment.target,
    });
    if let (Some(detail), serde_json::Value::Object(more)) = (detail.as_object_mut(), more) {
        detail.extend(more);
    }
    audit::append(&mut tx, &entry(repository, &walked.environment, "sync.started", detail, job)).await?;
    tx.commit().await?;
    repository.met(Step::SyncStarted);
    context.bell.ring(Lane::Default);
    metrics::counter!("bascule_syncs_started_total").increment(1);
    Ok(Started::Running)
}

async fn newest(conn: &mut PgConnection, environment: i64) -> Result<Option<deployments::Deployment>, JobError> {
    Ok(deployments::list(conn, environment, None, 1).await?.pop())
}

/// The approvals a sync uses up, each with why it did not count, if it did not.
fn spent(walked: &Walked, grounds: &[Ground]) -> Vec<approvals::Used> {
    // An approval that counted on any ground counted.
    let mut spent: BTreeMap<_, Option<String>> = BTreeMap::new();
    for (ground, key) in grounds.iter().flat_map(|ground| ground.spends.iter().map(move |key| (ground, key))) {
        let why_not = ground.why_not(key);
        spent.entry(key).and_modify(|known| *known = known.take().and(why_not.clone())).or_insert(why_not);
    }
    let given = walked.places.values().flat_map(|place| &place.remembered.approvals);
    given
        .filter(|one| one.recorded.state == State::Stands)
        .filter_map(|one| {
            let why_not = spent.get(&one.recorded.approval.key)?.clone();
            Some(approvals::Used { approval: one.id, why_not })
        })
        .collect()
}

/// The pull requests whose changes it carries. A held change is carried by the place it was consented to in, be it an
/// issue of ours.
pub(super) fn carried(walked: &Walked, grounds: &[Ground]) -> Vec<i64> {
    let mut pulls: Vec<i64> = grounds.iter().filter_map(|ground| ground.pull).collect();
    if grounds.iter().any(|ground| matches!(ground.why, Why::Held(..))) {
        pulls.extend(walked.shown_in);
    }
    pulls.sort_unstable();
    pulls.dedup();
    pulls
}

/// Who everybody was found to be, for the log.
pub(super) fn memberships(walked: &Walked) -> Vec<serde_json::Value> {
    let standings = walked.court.people.standings.values();
    standings
        .map(|standing| {
            let teams: BTreeMap<&String, String> =
                standing.teams.iter().map(|(team, answer)| (team, format!("{answer:?}"))).collect();
            json!({
                "account": standing.account, "kind": format!("{:?}", standing.kind),
                "right": format!("{:?}", standing.right), "teams": teams,
            })
        })
        .collect()
}
