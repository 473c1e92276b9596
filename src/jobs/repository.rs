//! A repository to work on: what the forge says of it, what we remember, what it may reach, and its mirror.

use std::sync::Arc;

use super::{Context, ForgeAccess, JobError};
use crate::db::repositories::{self, RepositoryState};
use crate::forge::{Forge, RepositoryAt};
use crate::git::{Mirror, Remote};
use crate::ids::{Account, RepositoryKey};
use crate::policy::rules::Platform;

/// An opened repository.
#[derive(Debug)]
pub(super) struct Repository<'c> {
    pub(super) context: &'c Context,
    pub(super) access: &'c ForgeAccess,
    /// What we remember of it.
    pub(super) row: repositories::Repository,
    /// How the forge wants it called.
    pub(super) at: RepositoryAt,
    /// Its bare mirror.
    pub(super) mirror: Mirror,
    /// The platform's rules, one version for the whole job.
    pub(super) platform: Arc<Platform>,
}

/// What can be done with a repository.
#[derive(Debug)]
pub(super) enum Opened<'c> {
    /// Everything its grants allow.
    Granted(Box<Repository<'c>>),
    /// No grant names it: silence.
    Silent,
    /// It took the name of another one that we knew: refused until an operator accepts it.
    Recreated(Box<Repository<'c>>),
    /// The forge says it is not there.
    Gone,
}

/// Asks the forge for the repository and opens its mirror.
pub(super) async fn open<'c>(context: &'c Context, key: &RepositoryKey) -> Result<Opened<'c>, JobError> {
    let Some(access) = context.forges.get(&key.forge) else { return Ok(Opened::Silent) };
    let mut conn = context.pool.acquire().await?;
    let found = match access.forge.repository_by_id(key.id).await {
        Ok(found) => found,
        Err(error) if error.is_gone() => {
            if let Some(known) = repositories::by_key(&mut conn, key).await? {
                repositories::set_state(&mut conn, known.id, RepositoryState::Gone).await?;
            }
            return Ok(Opened::Gone);
        }
        Err(error) => return Err(error.into()),
    };
    let platform = context.platform.clone();
    let full_name = found.at.name.to_string();
    if platform.grants_for(&format!("{}/{full_name}", key.forge)).is_empty() {
        return Ok(Opened::Silent);
    }
    let row = repositories::upsert(&mut conn, key, &full_name, &found.default_branch).await?;
    let remote = Remote::of_forge(&access.forge.clone_url(&found.at.name), &access.url, Some(access.token.clone()))?;
    let remote = match &access.ca_file {
        Some(file) => remote.with_authority(file.clone()),
        None => remote,
    };
    let mirror = Mirror::open(&context.git, &context.mirrors, key, &remote).await?;
    let state = row.state;
    let repository = Box::new(Repository { context, access, row, at: found.at, mirror, platform });
    Ok(if state == RepositoryState::Recreated { Opened::Recreated(repository) } else { Opened::Granted(repository) })
}

impl Repository<'_> {
    /// The forge's client.
    pub(super) fn forge(&self) -> &Forge {
        &self.access.forge
    }

    /// As grants write it: `work/acme/shop`.
    pub(super) fn granted_name(&self) -> String {
        format!("{}/{}", self.row.key.forge, self.row.full_name)
    }

    /// The account we are on its forge.
    pub(super) async fn ourselves(&self) -> Result<&Account, JobError> {
        if self.access.ourselves.get().is_none() {
            let found = self.access.forge.ourselves().await?;
            // Somebody else may have asked at the same time, and was told the same.
            let _ = self.access.ourselves.set(found);
        }
        self.access.ourselves.get().ok_or_else(|| JobError::Passing("our account is not known".to_owned()))
    }
}
