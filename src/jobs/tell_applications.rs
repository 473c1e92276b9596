//! Beside commits of applications that a deployment says it deploys (the trailer `Deploys:`): what became of it, as a
//! commit status. Only where one grant names both repositories: whoever may commit here may otherwise have no say there.
//! What cannot be told stops nothing; it is said in the pull request.

use serde::Deserialize;
use uuid::Uuid;

use super::context::Context;
use super::error::JobError;
use super::gather::repository::{self, Repository};
use super::route::attend_pull;
use super::show::writer::Writer;
use super::step::Step;
use super::work;
use crate::db::deploys::{self, Told};
use crate::db::{deployments, environments, previews, repositories};
use crate::forge::{Fate, NewStatus, StatusState};
use crate::ids::{CommitId, ForgeName, RepositoryKey};
use crate::queue::{self, Claimed, Lane, Lease};

/// The longest description that every forge takes.
const LONGEST: usize = 140;

/// The payload.
#[derive(Debug, Deserialize)]
struct Ids {
    deployment: Uuid,
}

/// What is told beside each commit.
struct News {
    /// As it is remembered.
    word: &'static str,
    status: NewStatus,
}

/// Runs the job.
///
/// # Errors
/// [`JobError`].
pub(super) async fn run(context: &Context, job: &Claimed, lease: &Lease) -> Result<(), JobError> {
    let ids: Ids = work::ids(job)?;
    let mut conn = context.pool.acquire().await?;
    let all = deploys::of(&mut conn, ids.deployment).await?;
    let Some(deployment) = deployments::get(&mut conn, ids.deployment).await? else {
        drop(conn);
        return work::finish(context, job).await;
    };
    let environment = environments::get(&mut conn, deployment.new.environment).await?;
    let Some(environment) = environment else { return Err(JobError::Final("an environment is gone".to_owned())) };
    let Some(ours) = repositories::get(&mut conn, environment.repository).await? else {
        return Err(JobError::Final("a repository is gone".to_owned()));
    };
    let page = match deployment.new.pulls.first() {
        Some(pull) => previews::of(&mut conn, ours.id, *pull).await?.pop().map(|preview| preview.id),
        None => None,
    };
    drop(conn);
    let (word, state) = match &deployment.ended {
        None => ("pending", StatusState::Pending),
        Some(_) if deployment.is_healthy() => ("success", StatusState::Success),
        Some(_) => ("failure", StatusState::Failure),
    };
    let ended = deployment.ended.as_ref().map_or_else(|| "running".to_owned(), |ended| ended.state.clone());
    let from = format!("{}/{}", ours.key.forge, ours.full_name);
    let said = format!("deployment #{} of {}: {ended}", deployment.new.number, ours.full_name);
    let news = News {
        word,
        status: NewStatus {
            context: format!("bascule/deploy/{}/{}", ours.full_name, environment.name).into(),
            state,
            description: said.chars().take(LONGEST).collect(),
            target_url: page.map(|page| format!("{}/previews/{page}", context.public_url)),
        },
    };
    let mut changed = Vec::new();
    for mut one in all {
        let Some(commit) = one.commit.clone().filter(|_| one.trouble.is_none()) else { continue };
        if one.told.as_deref() == Some(news.word) {
            continue;
        }
        let trouble =
            work::boxed(tell(context, job, lease, (&from, &ours.key.forge), (&one.written, &commit), &news)).await?;
        one.told = Some(news.word.to_owned()).filter(|_| trouble.is_none());
        one.trouble = trouble;
        changed.push(one);
    }
    record(context, job, &deployment, &ours.key, &changed).await
}

async fn record(
    context: &Context,
    job: &Claimed,
    deployment: &deployments::Deployment,
    key: &RepositoryKey,
    changed: &[Told],
) -> Result<(), JobError> {
    let mut tx = context.pool.begin().await?;
    for one in changed {
        deploys::set(&mut tx, deployment.new.id, one).await?;
    }
    if changed.iter().any(|one| one.trouble.is_some()) {
        for number in &deployment.new.pulls {
            queue::enqueue(&mut tx, &attend_pull(key, *number, job.trace)).await?;
        }
    }
    queue::finish(&mut tx, job).await?;
    tx.commit().await?;
    context.observer.met(job, Step::Recorded);
    context.bell.ring(Lane::Default);
    Ok(())
}

/// Tells it beside one commit; gives why it cannot be told.
async fn tell(
    context: &Context,
    job: &Claimed,
    lease: &Lease,
    (from, forge): (&str, &ForgeName),
    (written, commit): (&str, &CommitId),
    news: &News,
) -> Result<Option<String>, JobError> {
    let Some(access) = context.forges.get(forge) else { return Ok(Some("its forge is not configured".to_owned())) };
    let Ok(name) = access.forge.repository_name(written) else {
        return Ok(Some("no repository can be called that there".to_owned()));
    };
    let to = format!("{forge}/{name}");
    let theirs = context.platform.grants_for(&to);
    let is_granted = context.platform.grants_for(from).iter().any(|own| theirs.iter().any(|one| one.name == own.name));
    if !is_granted {
        return Ok(Some("no grant of the server names it together with this repository".to_owned()));
    }
    let found = match access.forge.repository_by_name(&name).await {
        Ok(found) => found,
        Err(error) if error.is_gone() => return Ok(Some("the forge does not show it to us".to_owned())),
        Err(error) => return untold(error),
    };
    match repository::granted(context, &found.key, job).await? {
        Some(theirs) => write(&theirs, lease, commit, &news.status).await,
        None => Ok(Some("it is not what the grant's name was first used for".to_owned())),
    }
}

async fn write(
    theirs: &Repository<'_>,
    lease: &Lease,
    commit: &CommitId,
    status: &NewStatus,
) -> Result<Option<String>, JobError> {
    match Writer::new(theirs, lease).deploy_status(commit, status).await? {
        Ok(()) => Ok(None),
        Err(error) => untold(error),
    }
}

/// What may pass is tried again; anything else is said, and told no more.
fn untold(error: crate::forge::ForgeError) -> Result<Option<String>, JobError> {
    match error.fate {
        Fate::Retry { .. } => Err(error.into()),
        Fate::Refused | Fate::Gone | Fate::Invalid => Ok(Some(error.to_string())),
    }
}
