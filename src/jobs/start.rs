//! The start of a sync: judge the gate, and in one transaction move the position, use the approvals up, and say so.
//!
//! What is held instead is stored as a hold, with the change it waits for, and shown where people can consent to it.

mod gate;
mod holding;

use super::branch::{self, Walked};
use super::contents::{Contents, FileAt};
use super::repository::{Opened, Repository};
use super::{Context, JobError, repository, sync_environment};
use crate::consent::{Covered, Destination, destination};
use crate::db::environments::{self, EnvironmentState};
use crate::db::{deployments, repositories};
use crate::policy::rules::SyncMode;
use crate::queue::{self, Claimed};
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
    let repository = match repository::open(context, &known.key, job).await? {
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
            return super::boxed(gate::begin(context, job, &repository, &walked, covered)).await;
        }
        Destination::To(covered) => {
            manual(context, job, &repository, &walked, covered).await?;
            return Ok(Started::Nothing);
        }
        Destination::Waits(_, names) => {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let detail =
                format!("{} waits until {} is healthy at this commit", walked.environment.name, names.join(", "));
            let lifts = "nothing to type: it goes on by itself";
            let hold = holding::plain(&walked.environment, HoldReason::Waiting, detail, lifts);
            holding::store(context, job, &repository, hold, None).await?;
        }
        Destination::Nowhere => match &walked.walk.held {
            Some(held) => holding::hold(context, job, &repository, &walked, held).await?,
            None => holding::lift(context, job, &repository, &walked).await?,
        },
    }
    if is_asked(job) {
        return super::boxed(gate::again(context, job, &repository, &walked)).await;
    }
    Ok(Started::Nothing)
}

/// Whether somebody with write access asked for it.
fn is_asked(job: &Claimed) -> bool {
    job.payload.get("asked").and_then(serde_json::Value::as_bool).unwrap_or(false)
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
        Some(SyncMode::Manual) => is_asked(job),
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
        let hold = holding::plain(&walked.environment, HoldReason::Waiting, detail, &lifts);
        holding::store(context, job, repository, hold, None).await?;
    }
    Ok(())
}

/// The job that brings an environment on, as another job of the same repository causes it.
pub(super) fn next(repository: &Repository<'_>, environment: i64, job: &Claimed) -> queue::NewJob {
    sync_environment(&repository.row.key, environment, job.trace)
}
