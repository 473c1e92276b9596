//! Looks at a pull request, or at an issue of ours: previews what it would change, hears who consents, and says so in the
//! one comment and both statuses.

use serde::Deserialize;

use super::context::Context;
use super::error::JobError;
use super::gather::pull;
use super::gather::repository::{self, Opened, Repository};
use super::route;
use super::show::held;
use super::show::open;
use super::show::progress;
use super::show::speak::{self, Spoken};
use super::show::writer::Writer;
use super::step::Step;
use super::work;
use crate::db::emergencies;
use crate::db::pulls::{self, PullState};
use crate::ids::{ForgeName, RepositoryKey};
use crate::preview::{CONSENT_CONTEXT, Check, PREVIEW_CONTEXT, StatusLine, StatusState};
use crate::queue::{self, Claimed, Lane, Lease};

/// The payload.
#[derive(Debug, Deserialize)]
struct Ids {
    forge: ForgeName,
    repository: i64,
    number: i64,
}

/// Runs the job.
///
/// # Errors
/// [`JobError`].
pub(super) async fn run(context: &Context, job: &Claimed, lease: &Lease) -> Result<(), JobError> {
    let ids: Ids = work::ids(job)?;
    let key = RepositoryKey { forge: ids.forge, id: ids.repository };
    let repository = match repository::open(context, &key, job).await? {
        Opened::Granted(repository) => repository,
        Opened::Recreated(repository) => {
            work::boxed(refuse(&repository, ids.number, lease)).await?;
            return work::finish(context, job).await;
        }
        Opened::Silent | Opened::Gone => return work::finish(context, job).await,
    };
    let pull = match repository.forge().pull(&repository.at, ids.number).await {
        Ok(pull) => pull,
        // Not a pull request: an issue, which is of interest when a held change is shown in it.
        Err(error) if error.is_gone() => {
            if let Some(known) = known(&repository, ids.number).await? {
                return forget(&repository, &known, job).await;
            }
            if waits_for_review(&repository, ids.number).await? {
                queue::enqueue(&mut *context.pool.acquire().await?, &route::tell_emergencies(&key, job.trace)).await?;
                context.bell.ring(Lane::Sync);
            }
            let spoken = work::boxed(held::in_issue(&repository, ids.number, job, lease)).await?;
            return record(&repository, job, None, spoken).await;
        }
        Err(error) => return Err(error.into()),
    };
    let facts = pull::facts_of(&pull);
    let mut conn = context.pool.acquire().await?;
    let row = pulls::upsert(&mut conn, repository.row.id, &facts).await?;
    drop(conn);
    repository.met(Step::PullKnown);
    let done = work::boxed(look(&repository, &row, &pull, job, lease)).await;
    if let Err(error) = &done
        && let Some(why) = error.said(job)
        && row.facts.state == PullState::Open
        && let Err(unsaid) = work::boxed(speak::say_failed(&repository, &row, &why, lease)).await
    {
        tracing::warn!(repository = repository.granted_name(), number = ids.number, %unsaid, "cannot say why there is no preview");
    }
    done
}

async fn look(
    repository: &Repository<'_>,
    row: &pulls::Pull,
    pull: &crate::forge::Pull,
    job: &Claimed,
    lease: &Lease,
) -> Result<(), JobError> {
    let spoken = match row.facts.state {
        PullState::Open => work::boxed(open::attend(repository, row, pull, job, lease)).await?,
        PullState::Merged => work::boxed(held::in_merged(repository, row, job, lease)).await?,
        PullState::Closed => None,
    };
    if spoken.is_none() && row.facts.state != PullState::Open {
        work::boxed(progress::ends(repository, row, lease)).await?;
    }
    work::boxed(record(repository, job, Some(row), spoken)).await
}

/// Whether an issue of ours tells of an emergency that nobody reviewed yet.
async fn waits_for_review(repository: &Repository<'_>, number: i64) -> Result<bool, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    Ok(emergencies::waits_in(&mut conn, repository.row.id, number).await?)
}

async fn known(repository: &Repository<'_>, number: i64) -> Result<Option<pulls::Pull>, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    Ok(pulls::get(&mut conn, repository.row.id, number).await?)
}

/// A pull request that was there and is not: closed for us when its number is nothing any more. While the number is
/// something, the forge contradicts itself, and is asked again.
async fn forget(repository: &Repository<'_>, known: &pulls::Pull, job: &Claimed) -> Result<(), JobError> {
    match repository.forge().issue(&repository.at, known.facts.number).await {
        Ok(_) => {
            let place = repository.forge().place(known.facts.number);
            return Err(JobError::Passing(format!("the forge shows {place} and says that it is no pull request")));
        }
        Err(error) if error.is_gone() => {}
        Err(error) => return Err(error.into()),
    }
    tracing::warn!(repository = repository.granted_name(), number = known.facts.number, "a pull request was deleted");
    let closed = pulls::PullFacts { state: PullState::Closed, ..known.facts.clone() };
    let mut tx = repository.context.pool.begin().await?;
    pulls::upsert(&mut tx, repository.row.id, &closed).await?;
    queue::finish(&mut tx, job).await?;
    tx.commit().await?;
    repository.met(Step::Recorded);
    Ok(())
}

async fn record(
    repository: &Repository<'_>,
    job: &Claimed,
    row: Option<&pulls::Pull>,
    spoken: Option<Spoken>,
) -> Result<(), JobError> {
    let context = repository.context;
    let mut tx = context.pool.begin().await?;
    let (mut jobs, mut away) = (Vec::new(), None);
    if let Some(spoken) = spoken {
        speak::record(&mut tx, repository, row, &spoken).await?;
        (jobs, away) = (spoken.jobs().to_vec(), spoken.away);
    }
    if let Some(row) = row.filter(|row| row.facts.state == PullState::Merged) {
        let known = crate::db::deployments::of_pull(&mut tx, repository.row.id, row.facts.number).await?;
        // The merge's own push tells this too, unless its delivery was lost.
        if known.is_empty() && !branch_is_followed(&mut tx, repository, row).await? {
            jobs.push(route::follow_branch(&repository.row.key, &row.facts.base_branch, job.trace));
        }
    }
    jobs.sort_by(|a, b| (&a.kind, &a.key).cmp(&(&b.kind, &b.key)));
    queue::enqueue_all(&mut tx, &jobs).await?;
    match &away {
        None => queue::finish(&mut tx, job).await?,
        Some(_) => queue::confirm(&mut tx, job).await?,
    }
    tx.commit().await?;
    repository.met(Step::Recorded);
    for lane in [Lane::Sync, Lane::Default] {
        context.bell.ring(lane);
    }
    // What could be said was said.
    away.map_or(Ok(()), |why| Err(JobError::Away(why)))
}

/// Whether every environment of the pull request's branch stands at its merge, or is held: then following the branch
/// again would find nothing.
async fn branch_is_followed(
    conn: &mut sqlx::PgConnection,
    repository: &Repository<'_>,
    row: &pulls::Pull,
) -> Result<bool, JobError> {
    let environments = crate::db::environments::of_repository(conn, repository.row.id).await?;
    let of_branch: Vec<_> = environments.into_iter().filter(|one| one.branch == row.facts.base_branch).collect();
    if of_branch.is_empty() {
        return Ok(false);
    }
    for environment in of_branch {
        let stands = environment.position.as_ref().map(|at| Some(&at.commit) == row.facts.merge_commit.as_ref());
        if stands != Some(true) && crate::db::holds::get(conn, environment.id).await?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A repository that took another's name: both statuses say so, once, and nothing else is done.
async fn refuse(repository: &Repository<'_>, number: i64, lease: &Lease) -> Result<(), JobError> {
    let pull = match repository.forge().pull(&repository.at, number).await {
        Ok(pull) => pull,
        Err(error) if error.is_gone() => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut conn = repository.context.pool.acquire().await?;
    let row = pulls::upsert(&mut conn, repository.row.id, &pull::facts_of(&pull)).await?;
    drop(conn);
    let why = "this repository took another's name; a Bascule operator has to accept it";
    let line = |context| StatusLine::new(context, StatusState::Failure, why);
    let lines = [PREVIEW_CONTEXT, CONSENT_CONTEXT].map(line);
    let writer = Writer::new(repository, lease);
    let more = Check { summary: why.to_owned(), marks: Vec::new() };
    let before = row.status_hash.as_deref();
    let hashes = speak::set_statuses(writer, (number, &pull.head), before, lines, (more, None)).await?;
    let mut conn = repository.context.pool.acquire().await?;
    pulls::set_written(&mut conn, row.id, None, &hashes).await?;
    Ok(())
}
