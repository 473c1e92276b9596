//! The start of a sync: judge the gate, and in one transaction move the position, use the approvals up, and say so.
//!
//! What is held instead is stored as a hold, with the change it waits for, and shown where people can consent to it.

mod emergency;
mod gate;
mod holding;
mod lights;
mod shut;
mod soaking;

use std::borrow::Cow;

use super::context::Context;
use super::error::JobError;
use super::gather::branch::{self, Walked};
use super::gather::contents::{Contents, FileAt};
use super::gather::repository::{self, Repository};
use super::roll_back;
use super::route::sync_environment;
use super::work;
use crate::consent::{BY_ITSELF, Covered, Destination, WaitsFor, Walk, destination};
use crate::db::environments::{self, Environment, EnvironmentState};
use crate::db::freezes::Freeze;
use crate::db::holds::Hold;
use crate::db::pins::{self, Pin};
use crate::db::{deployments, freezes, repositories};
use crate::policy::FILE_NAME;
use crate::policy::rules::SyncMode;
use crate::queue::{self, Claimed, Lease};
use crate::sync::HoldReason;
use emergency::{Goal, Passing, Urgent};
use holding::Waits;

/// How often new facts may overtake one judgement before the queue's delay is used.
const TRIES: usize = 3;

/// Judges an environment and starts its sync when there is something covered to go to. `true`: a deployment is running.
pub(super) async fn start(context: &Context, job: &Claimed, lease: &Lease, environment: i64) -> Result<bool, JobError> {
    for _ in 0..TRIES {
        // Before what runs is brought to its end: somebody wants that to end.
        if work::boxed(roll_back::begin(context, job, lease, environment)).await? {
            return Ok(true);
        }
        let mut conn = context.pool.acquire().await?;
        if deployments::is_running(&mut conn, environment).await? {
            return Ok(true);
        }
        drop(conn);
        match try_start(context, job, lease, environment).await? {
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

/// What came of going to a covered commit.
enum Begun {
    Started(Started),
    /// Nothing: nothing new is synced now.
    Frozen(Freeze),
    /// Nothing: it is not the time.
    Shut(Waits),
}

impl From<Started> for Begun {
    fn from(started: Started) -> Self {
        Self::Started(started)
    }
}

async fn try_start(context: &Context, job: &Claimed, lease: &Lease, environment: i64) -> Result<Started, JobError> {
    let mut conn = context.pool.acquire().await?;
    let Some(environment) = environments::get(&mut conn, environment).await? else { return Ok(Started::Nothing) };
    let Some(known) = repositories::get(&mut conn, environment.repository).await? else { return Ok(Started::Nothing) };
    drop(conn);
    let Some(repository) = repository::granted(context, &known.key, job).await? else {
        return Ok(Started::Nothing);
    };
    if environment.state != EnvironmentState::Active {
        return Ok(Started::Nothing);
    }
    match work::boxed(judge(context, job, lease, &repository, environment.clone())).await {
        Err(JobError::ClusterAway(away)) => {
            work::boxed(holding::away(context, job, &repository, &environment, &away)).await?;
            // It is tried again until the cluster is back.
            Err(JobError::ClusterAway(away))
        }
        judged => judged,
    }
}

/// Judges an environment and acts on it.
async fn judge(
    context: &Context,
    job: &Claimed,
    lease: &Lease,
    repository: &Repository<'_>,
    environment: Environment,
) -> Result<Started, JobError> {
    let cause = work::cause(job);
    let contents = Contents::new(repository);
    let walked = work::boxed(branch::walked(repository, &contents, environment, &cause, job.trace)).await?;
    let Some(mut walked) = walked else { return Ok(Started::Nothing) };
    let stands = stands(context, &walked).await?;
    if let Some(goal) = emergency::goal(repository, &walked).await? {
        walked.ahead = Some(goal.ahead.clone());
        match work::boxed(emergency::urgent(repository, &walked, &goal)).await? {
            Urgent::No => {}
            // What somebody went back from is not brought back by a way past waiting.
            Urgent::Passes(_) if stands.pin.is_some() => {
                let name = &walked.environment.name;
                walked.stopped = Some(format!("{name} is pinned, and `/bascule resume {name}` comes first"));
            }
            Urgent::Stopped(why) => walked.stopped = Some(why),
            Urgent::Passes(passing) => {
                // Rules that cannot be read close the gate, as is said below.
                if closed(repository, &contents, &walked).await?.is_none() {
                    return work::boxed(pass(context, job, repository, &contents, walked, (passing, goal))).await;
                }
            }
        }
    }
    let before = |name: &_, covered: &Covered| {
        walked.befores.get(&(Clone::clone(name), covered.commit.clone())).cloned().unwrap_or_default()
    };
    let lights = work::boxed(lights::lights(repository, &walked, before)).await;
    let walk = past_the_pin(&walked.walk, &stands);
    let destination = destination(&walk, &walked.court.entries, before, |covered: &Covered| lights.awaited(covered));
    let is_nowhere = matches!(destination, Destination::Nowhere);
    // Merged pull requests that go where it goes are told why it does not yet.
    let merged = match &destination {
        Destination::To(covered) | Destination::Waits(covered, _) => {
            gate::carried(&walked, walked.walk.grounds_of(covered))
        }
        Destination::Nowhere => Vec::new(),
    };
    if let Some(why) = closed(repository, &contents, &walked).await? {
        let detail = format!("{} waits until the rules can be read: {why}", walked.environment.name);
        let lifts = format!("nothing to type: a commit on {} that corrects it", repository.row.default_branch);
        let hold = holding::beside(&walked, HoldReason::Waiting, detail, &lifts);
        holding::store(context, job, repository, &walked, hold, &merged).await?;
        return Ok(Started::Nothing);
    }
    let waits = match destination {
        _ if stands.pin.is_some() => holding::pinned(&walked.environment, &stands),
        Destination::To(covered) if may_sync(&walked, covered, job) => {
            if let Some(what) = differs(&contents, &walked, covered).await? {
                let detail = format!(
                    "{} renders to something else than what was consented to: {what}. A template that reads the time or \
                     draws random values does so every time",
                    walked.environment.name
                );
                let lifts = HoldReason::Failed.lifted_by(&walked.environment.name, None, 0);
                let hold = holding::beside(&walked, HoldReason::Failed, detail, &lifts);
                holding::store(context, job, repository, &walked, hold, &merged).await?;
                return Ok(Started::Nothing);
            }
            match work::boxed(gate::begin(context, job, repository, &walked, covered, None)).await? {
                Begun::Started(started) => return Ok(started),
                Begun::Frozen(freeze) => Some(holding::frozen(&walked.environment, &freeze)),
                Begun::Shut(waits) => Some(waits),
            }
        }
        Destination::To(covered) => by_hand(&walked, covered),
        Destination::Waits(covered, WaitsFor::Checks(awaited)) => {
            let name = &walked.environment.name;
            // An older commit whose checks run still may go first.
            let lifts =
                if awaited.is_red() && lights.may_be_green() { BY_ITSELF.to_owned() } else { awaited.lifts(name) };
            Some(Waits::other(awaited.sentence(name, &covered.commit), lifts))
        }
        Destination::Waits(covered, WaitsFor::After(names)) => Some(soaking::waits(&walked, covered, &names)),
        Destination::Nowhere if stands.is_behind => match &stands.frozen {
            Some(freeze) => Some(holding::frozen(&walked.environment, freeze)),
            None => holding::shut_where_it_stands(&walked, context.clock.now()),
        },
        Destination::Nowhere => None,
    };
    // What needs people comes first: an older commit that waits goes on by itself, or when it is asked for.
    match (&walked.walk.held, waits) {
        (Some(held), waits) => {
            holding::hold(context, job, lease, repository, &walked, (held, waits, lights.awaits()), &merged).await?;
            // Whoever gave what is missing here may only not have been asked about: it is judged again when they can be.
            if let Some(why) = &walked.court.people.away {
                return Err(JobError::Away(why.clone()));
            }
        }
        (None, Some(waits)) => {
            let hold = holding::beside(&walked, waits.reason, waits.why, &waits.lifts);
            let hold = Hold { awaits: lights.awaits(), wakes: waits.wakes, ..hold };
            holding::store(context, job, repository, &walked, hold, &merged).await?;
        }
        (None, None) => holding::lift(context, job, repository, &walked).await?,
    }
    if let Some(away) = lights.away {
        return Err(away);
    }
    // What is behind and has something newer to go to waits for that: what was taken away is not sent before it.
    let goes_on = if stands.is_behind { is_nowhere } else { is_asked(job) };
    if goes_on {
        return work::boxed(gate::again(context, job, repository, &walked, stands.stays.as_ref())).await;
    }
    Ok(Started::Nothing)
}

/// Goes where an emergency lets it. A freeze, a floor's windows and a render that differs stop it all the same.
async fn pass(
    context: &Context,
    job: &Claimed,
    repository: &Repository<'_>,
    contents: &Contents<'_>,
    mut walked: Walked,
    (passing, goal): (Passing, Goal),
) -> Result<Started, JobError> {
    let Some(covered) = passing.covered(&mut walked, goal) else { return Ok(Started::Nothing) };
    let merged = gate::carried(&walked, walked.walk.grounds_of(&covered));
    let waits = match differs(contents, &walked, &covered).await? {
        Some(what) => {
            let why = format!("{} renders to something else than what was shown: {what}", walked.environment.name);
            let lifts = HoldReason::Failed.lifted_by(&walked.environment.name, None, 0);
            Waits { reason: HoldReason::Failed, why, lifts, wakes: None }
        }
        None => match work::boxed(gate::begin(context, job, repository, &walked, &covered, Some(&passing))).await? {
            Begun::Started(started) => return Ok(started),
            Begun::Frozen(freeze) => holding::frozen(&walked.environment, &freeze),
            Begun::Shut(waits) => waits,
        },
    };
    let hold = holding::beside(&walked, waits.reason, waits.why, &waits.lifts);
    holding::store(context, job, repository, &walked, Hold { wakes: waits.wakes, ..hold }, &merged).await?;
    Ok(Started::Nothing)
}

/// What a rollback left.
struct Stands {
    /// The pin that stands, whether or not a covered commit ends it: until that is synced, it stays.
    stays: Option<Pin>,
    /// The same, when no covered commit ends it.
    pin: Option<Pin>,
    /// The newest deployment.
    last: Option<deployments::Deployment>,
    /// Whether something else runs than what the environment stands at, and nothing pins it there: it goes on.
    is_behind: bool,
    /// The freeze that keeps it from going on.
    frozen: Option<Freeze>,
}

async fn stands(context: &Context, walked: &Walked) -> Result<Stands, JobError> {
    let mut conn = context.pool.acquire().await?;
    // Whichever commit ends it, in between or newest: a later look would have seen it alone.
    let ends = |pin: &Pin| walked.walk.covered.iter().any(|covered| pin.taken.is_gone_from(&covered.set));
    let stays = pins::standing(&mut conn, walked.environment.id).await?;
    let pin = stays.clone().filter(|pin| !ends(pin));
    let last = deployments::list(&mut conn, walked.environment.id, None, 1).await?.pop();
    let (ran, at) = (last.as_ref().map(|last| last.new.to.set), walked.environment.position.as_ref().map(|at| at.set));
    let is_behind = stays.is_none() && ran.is_some() && ran != at;
    let frozen = if is_behind {
        freezes::standing(&mut conn, Some(walked.environment.id), context.clock.now()).await?
    } else {
        None
    };
    Ok(Stands { stays, pin, last, is_behind, frozen })
}

/// The walk without what comes before the commit that ends the pin: there, what was taken away would come again.
fn past_the_pin<'w>(walk: &'w Walk, stands: &Stands) -> Cow<'w, Walk> {
    let ends = |pin: &Pin| walk.covered.iter().position(|covered| pin.taken.is_gone_from(&covered.set));
    let Some(end) = stands.stays.as_ref().and_then(ends) else { return Cow::Borrowed(walk) };
    let mut past = walk.clone();
    past.covered.drain(..end);
    Cow::Owned(past)
}

/// Whether somebody with write access asked for it.
fn is_asked(job: &Claimed) -> bool {
    job.payload.get("asked").and_then(serde_json::Value::as_bool).unwrap_or(false)
}

/// Why the file of the default branch cannot be read: the gate closes for new syncs.
async fn closed(
    repository: &Repository<'_>,
    contents: &Contents<'_>,
    walked: &Walked,
) -> Result<Option<String>, JobError> {
    let default = &repository.row.default_branch;
    let tree = contents.tree(&walked.default_tip).await?;
    Ok(match contents.file_at(&tree, &contents.tree(&walked.tip).await?).await? {
        FileAt::Valid(_) => None,
        FileAt::Absent => Some(format!("there is no {FILE_NAME} on {default}")),
        FileAt::Invalid(errors) => Some(match &errors[..] {
            [] => format!("{FILE_NAME} on {default} is invalid"),
            [only] => only.to_string(),
            [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
        }),
    })
}

/// Rule 14: what a fresh render of the commit gives that is not in the set consented to.
async fn differs(contents: &Contents<'_>, walked: &Walked, covered: &Covered) -> Result<Option<String>, JobError> {
    let Some(rules) = covered.set.entry().and_then(|entry| walked.court.entries.get(entry)) else { return Ok(None) };
    let tree = contents.tree(&covered.commit).await?;
    contents.differs_afresh(rules, &tree, &covered.set).await
}

fn may_sync(walked: &Walked, covered: &Covered, job: &Claimed) -> bool {
    let rules = covered.set.entry().and_then(|entry| walked.court.entries.get(entry));
    match rules.map(|rules| rules.sync.mode) {
        Some(SyncMode::Auto) => true,
        Some(SyncMode::Manual) => is_asked(job),
        Some(SyncMode::None) | None => false,
    }
}

/// What is said of a covered commit that is synced when somebody asks, and what is typed for it.
fn by_hand(walked: &Walked, covered: &Covered) -> Option<Waits> {
    let rules = covered.set.entry().and_then(|entry| walked.court.entries.get(entry))?;
    let name = &walked.environment.name;
    (rules.sync.mode == SyncMode::Manual).then(|| {
        let why = format!("{name} is synced when somebody with write access says so");
        Waits::other(why, format!("/bascule sync {name}"))
    })
}

/// The job that brings an environment on, as another job of the same repository causes it.
pub(super) fn next(repository: &Repository<'_>, environment: i64, job: &Claimed) -> queue::NewJob {
    sync_environment(&repository.row.key, environment, job.trace)
}
