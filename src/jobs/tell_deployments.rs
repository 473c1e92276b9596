//! Tells the forge's page of deployments how ours stand, where it has one. What was not told yet is read from our own rows,
//! so whatever was lost is made up for by the next of these jobs, which a sweep finds missing, too.

use serde::Deserialize;

use super::error::JobError;
use super::gather::repository::{self, Repository};
use super::show::writer::Writer;
use super::{Context, work};
use crate::db::told_deployments::{self, Untold};
use crate::forge::{DeploymentState, DeploymentWord, NewDeployment};
use crate::ids::{ForgeName, RepositoryKey};
use crate::preview::one_line;
use crate::queue::{Claimed, Lease};

/// Told in one run; a sweep finds those beyond.
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
    if may(&repository).await? {
        let mut conn = context.pool.acquire().await?;
        let untold = told_deployments::untold(&mut conn, repository.row.id, MOST).await?;
        drop(conn);
        for one in untold {
            let (id, wanted) = (one.id, one.wanted.clone());
            match work::boxed(tell(&repository, one, lease)).await {
                Ok(()) => {}
                // Another try would be refused as well, and the others wait behind it: a protected environment, a branch that
                // is gone, a token without the right. The log of the server and the audit log say so; how it stands next is
                // told by a try of its own.
                Err(JobError::Refused(why) | JobError::Final(why)) => {
                    tracing::warn!(repository = repository.granted_name(), deployment = %id, why, "a deployment is not told");
                    told_deployments::said(&mut *context.pool.acquire().await?, id, &wanted).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
    work::finish(context, job).await
}

/// Whether there is such a page, and we may write there.
pub(super) async fn may(repository: &Repository<'_>) -> Result<bool, JobError> {
    let forge = repository.forge();
    Ok(forge.has_deployments() && forge.may_deploy(&repository.at).await?)
}

async fn tell(repository: &Repository<'_>, one: Untold, lease: &Lease) -> Result<(), JobError> {
    let writer = Writer::new(repository, lease);
    let (forge, at, pool) = (repository.forge(), &repository.at, &repository.context.pool);
    let state = match one.wanted.as_str() {
        "queued" => DeploymentState::Queued,
        "running" => DeploymentState::Running,
        "healthy" => DeploymentState::Well,
        "replaced" => DeploymentState::Replaced,
        _ => DeploymentState::Failed,
    };
    let new = NewDeployment {
        commit: one.commit.clone(),
        branch: one.branch.clone(),
        environment: one.stage.clone().unwrap_or_else(|| one.name.to_string()),
        ours: one.name.clone(),
        number: one.number,
        id: one.id,
    };
    let told = match (one.told, one.is_begun) {
        (Some(told), _) => told,
        (None, is_begun) => {
            let mut conn = pool.acquire().await?;
            let known = match is_begun {
                true => told_deployments::known(&mut conn, repository.row.id).await?,
                false => Vec::new(),
            };
            told_deployments::begin(&mut conn, one.id).await?;
            drop(conn);
            // Its making was not answered: it may be there.
            let found = if is_begun { forge.find_deployment(at, &new, &known).await? } else { None };
            let told = match found {
                Some(found) => found,
                None => writer.deployment(&new).await??,
            };
            told_deployments::made(&mut *pool.acquire().await?, one.id, told).await?;
            told
        }
    };
    let is_said = one.saying.as_deref() == Some(&one.wanted) && forge.deployment_is(at, told, state).await?;
    if !is_said {
        told_deployments::saying(&mut *pool.acquire().await?, one.id, &one.wanted).await?;
        let description = one_line(&format!("{} #{}: {}", one.name, one.number, one.sentence));
        let url = one.preview.map(|preview| repository.page_of(preview));
        let word = DeploymentWord { state, description, url };
        match writer.deployment_word(&new, told, &word).await? {
            // Somebody deleted it there.
            Err(error) if error.is_gone() => {}
            said => said?,
        }
    }
    told_deployments::said(&mut *pool.acquire().await?, one.id, &one.wanted).await?;
    Ok(())
}
