//! Compares our memory of a repository with the forge: whatever a lost delivery would have told is found here, and goes
//! through the same jobs. A quiet repository costs two calls.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::repository::{self, Opened, Repository};
use super::{Context, JobError, attend_pull, follow_branch};
use crate::db::pulls::{self, PullState};
use crate::db::{environments, repositories, swept};
use crate::ids::{ForgeName, RepositoryKey};
use crate::queue::{self, Claimed, Lane, NewJob};

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
pub(super) async fn run(context: &Context, job: &Claimed) -> Result<(), JobError> {
    let ids: Ids = super::ids(job)?;
    let key = RepositoryKey { forge: ids.forge, id: ids.repository };
    let repository = match repository::open(context, &key).await? {
        Opened::Granted(repository) => repository,
        Opened::Silent | Opened::Recreated(_) | Opened::Gone => return super::finish(context, job).await,
    };
    let mut jobs = pulls_that_moved(&repository, job).await?;
    jobs.extend(branches_that_moved(&repository, job).await?);
    jobs.sort_by(|a, b| (&a.kind, &a.key).cmp(&(&b.kind, &b.key)));
    metrics::counter!("bascule_sweep_repairs_total").increment(jobs.len() as u64);

    let mut tx = context.pool.begin().await?;
    if !jobs.is_empty() {
        repositories::fact_stored(&mut tx, &key).await?;
    }
    queue::enqueue_all(&mut tx, &jobs).await?;
    queue::finish(&mut tx, job).await?;
    tx.commit().await?;
    context.bell.ring(Lane::Default);
    Ok(())
}

/// Open pull requests that differ from what was seen last, and stored open ones that are open no more.
async fn pulls_that_moved(repository: &Repository<'_>, job: &Claimed) -> Result<Vec<NewJob>, JobError> {
    let key = &repository.row.key;
    let open = repository.forge().open_pulls(&repository.at).await?;
    let mut conn = repository.context.pool.acquire().await?;
    let stored = pulls::in_state(&mut conn, repository.row.id, PullState::Open).await?;
    let mut jobs = Vec::new();
    for pull in &open {
        // The forge's time of change moves with comments, reviews and dismissals; the head and the base with pushes.
        let seen: [u8; 32] = Sha256::digest(format!("{:?}", (pull.updated_at, &pull.head, &pull.base_branch))).into();
        let known = stored.iter().find(|one| one.facts.number == pull.number);
        if known.and_then(|one| one.fact_hash.as_deref()) == Some(&seen[..]) {
            continue;
        }
        let row = pulls::upsert(&mut conn, repository.row.id, &super::attend::facts_of(pull)).await?;
        pulls::set_fact_hash(&mut conn, row.id, &seen).await?;
        jobs.push(attend_pull(key, pull.number, job.trace));
    }
    for gone in stored.iter().filter(|one| !open.iter().any(|pull| pull.number == one.facts.number)) {
        jobs.push(attend_pull(key, gone.facts.number, job.trace));
    }
    Ok(jobs)
}

/// Branches that environments follow, and the default branch, where their tip is not the one followed last.
async fn branches_that_moved(repository: &Repository<'_>, job: &Claimed) -> Result<Vec<NewJob>, JobError> {
    let branches = repository.forge().branches(&repository.at).await?;
    let mut conn = repository.context.pool.acquire().await?;
    let all = environments::of_repository(&mut conn, repository.row.id).await?;
    let mut jobs = Vec::new();
    for branch in branches {
        let is_ours = branch.name == repository.row.default_branch || all.iter().any(|one| one.branch == branch.name);
        if is_ours && swept::moved(&mut conn, repository.row.id, &branch.name, &branch.tip).await? {
            jobs.push(follow_branch(&repository.row.key, &branch.name, job.trace));
        }
    }
    Ok(jobs)
}
