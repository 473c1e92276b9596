//! A repository to work on: what the forge says of it, what we remember, what it may reach, and its mirror.

use std::sync::Arc;

use serde_json::json;
use sqlx::PgConnection;

use crate::audit::{self, NewEntry};
use crate::db::ourselves;
use crate::db::repositories::{self, Pin, RepositoryState};
use crate::forge::{self, Forge, RepositoryAt};
use crate::git::{Mirror, Remote, Want};
use crate::ids::{Account, RepositoryKey};
use crate::jobs::context::{Context, ForgeAccess};
use crate::jobs::error::JobError;
use crate::jobs::route::sweep_repository;
use crate::jobs::step::Step;
use crate::jobs::work;
use crate::manifest::Fingerprints;
use crate::policy::rules::Platform;
use crate::queue::{self, Claimed, Lane};

/// An opened repository.
#[derive(Debug)]
pub(in crate::jobs) struct Repository<'c> {
    pub(in crate::jobs) context: &'c Context,
    /// The job that opened it.
    pub(in crate::jobs) job: &'c Claimed,
    pub(in crate::jobs) access: &'c ForgeAccess,
    /// What we remember of it.
    pub(in crate::jobs) row: repositories::Repository,
    /// How the forge wants it called.
    pub(in crate::jobs) at: RepositoryAt,
    /// Its bare mirror.
    pub(in crate::jobs) mirror: Mirror,
    /// The platform's rules, one version for the whole job.
    pub(in crate::jobs) platform: Arc<Platform>,
}

impl Repository<'_> {
    /// What tells hidden values of this repository apart, and of no other.
    pub(in crate::jobs) fn fingerprints(&self) -> Fingerprints {
        Fingerprints::of(&self.context.hash_key, &self.row.key)
    }
}

/// What can be done with a repository.
#[derive(Debug)]
pub(in crate::jobs) enum Opened<'c> {
    /// Everything its grants allow.
    Granted(Box<Repository<'c>>),
    /// No grant names it: silence.
    Silent,
    /// Its name is another one's that we knew: refused until an operator accepts it.
    Recreated(Box<Repository<'c>>),
    /// The forge says it is not there.
    Gone,
}

/// The repository, when everything that its grants allow can be done with it; what most jobs begin with.
pub(in crate::jobs) async fn granted<'c>(
    context: &'c Context,
    key: &RepositoryKey,
    job: &'c Claimed,
) -> Result<Option<Box<Repository<'c>>>, JobError> {
    Ok(match open(context, key, job).await? {
        Opened::Granted(repository) => Some(repository),
        Opened::Recreated(_) | Opened::Silent | Opened::Gone => None,
    })
}

/// Asks the forge for the repository and opens its mirror.
pub(in crate::jobs) async fn open<'c>(
    context: &'c Context,
    key: &RepositoryKey,
    job: &'c Claimed,
) -> Result<Opened<'c>, JobError> {
    let Some(access) = context.forges.get(&key.forge) else { return Ok(Opened::Silent) };
    let found = match access.forge.repository_by_id(key.id).await {
        Ok(found) => found,
        Err(error) if error.is_gone() => {
            leaves(context, access, key, None, job).await?;
            return Ok(Opened::Gone);
        }
        Err(error) => return Err(error.into()),
    };
    let platform = context.platform.clone();
    let full_name = found.at.name.to_string();
    if platform.grants_for(&format!("{}/{full_name}", key.forge)).is_empty() {
        leaves(context, access, key, Some(&found), job).await?;
        return Ok(Opened::Silent);
    }
    let mut tx = context.pool.begin().await?;
    let mut row = repositories::upsert(&mut tx, key, &full_name, &found.default_branch).await?;
    let (state, holder) = match repositories::pin(&mut tx, key, &full_name).await? {
        Pin::New | Pin::Own => (RepositoryState::Active, None),
        Pin::Others(holder) => (RepositoryState::Recreated, Some(holder)),
    };
    becomes(&mut tx, &row, state, holder, job).await?;
    tx.commit().await?;
    row.state = state;
    let token = access.forge.git_token(&found.at).await?;
    let remote = Remote::of_forge(&access.forge.clone_url(&found.at.name), &access.url, Some(token))?;
    let remote = match &access.ca_file {
        Some(file) => remote.with_authority(file.clone()),
        None => remote,
    };
    let mirror = Mirror::open(&context.git, &context.mirrors, key, &remote).await?;
    let repository = Box::new(Repository { context, job, access, row, at: found.at, mirror, platform });
    repository.met(Step::RepositoryKnown);
    Ok(if state == RepositoryState::Recreated { Opened::Recreated(repository) } else { Opened::Granted(repository) })
}

/// A repository of ours is gone, or is called something that nothing is granted to. Whoever has its name by now may not
/// have told us, and is looked at.
async fn leaves(
    context: &Context,
    access: &ForgeAccess,
    key: &RepositoryKey,
    renamed: Option<&forge::Repository>,
    job: &Claimed,
) -> Result<(), JobError> {
    let mut conn = context.pool.acquire().await?;
    let known = repositories::by_key(&mut conn, key).await?;
    drop(conn);
    let Some(known) = known else { return Ok(()) };
    let is_news = match renamed {
        None => known.state != RepositoryState::Gone,
        Some(found) => known.full_name != found.at.name.to_string(),
    };
    if !is_news {
        return Ok(());
    }
    let next = match access.forge.repository_name(&known.full_name) {
        Ok(name) => access.forge.repository_by_name(&name).await.ok(),
        Err(_) => None,
    };
    let mut tx = context.pool.begin().await?;
    match renamed {
        None => becomes(&mut tx, &known, RepositoryState::Gone, None, job).await?,
        Some(found) => {
            let name = found.at.name.to_string();
            repositories::upsert(&mut tx, key, &name, &found.default_branch).await?;
        }
    }
    if let Some(next) = next.filter(|next| next.key != *key) {
        queue::enqueue(&mut tx, &sweep_repository(&next.key, job.trace)).await?;
    }
    tx.commit().await?;
    context.bell.ring(Lane::Sweep);
    Ok(())
}

/// Stores what we do with a repository from now on, and says so in the log when that is news.
async fn becomes(
    conn: &mut PgConnection,
    known: &repositories::Repository,
    state: RepositoryState,
    holder: Option<i64>,
    job: &Claimed,
) -> Result<(), JobError> {
    if !repositories::set_state(conn, known.id, state).await? {
        return Ok(());
    }
    let subject = format!("{}/{}", known.key.forge, known.full_name);
    let action = match state {
        RepositoryState::Active => "repository.admitted",
        RepositoryState::Recreated => {
            tracing::warn!(
                repository = subject,
                id = known.key.id,
                holder,
                "refused a repository that took another's name"
            );
            "repository.refused"
        }
        RepositoryState::Gone => {
            tracing::warn!(repository = subject, id = known.key.id, "a repository is gone");
            "repository.gone"
        }
    };
    let entry = NewEntry {
        actor: "bascule".to_owned(),
        action,
        subject,
        detail: json!({ "id": known.key.id, "was": known.state.as_str(), "name_is_of": holder }),
        cause: work::cause(job),
        trace: job.trace,
    };
    audit::append(conn, &entry).await?;
    Ok(())
}

impl Repository<'_> {
    /// Says that the job has met a step.
    pub(in crate::jobs) fn met(&self, step: Step) {
        self.context.observer.met(self.job, step);
    }

    /// Where a preview is whole.
    pub(in crate::jobs) fn page_of(&self, preview: i64) -> String {
        format!("{}/previews/{preview}", self.context.public_url)
    }

    /// The forge's client.
    pub(in crate::jobs) fn forge(&self) -> &Forge {
        &self.access.forge
    }

    /// The head of a pull request, as Git finds it there.
    pub(in crate::jobs) fn head_of(&self, pull: i64) -> Want {
        let number = u64::try_from(pull).unwrap_or_default();
        match self.forge() {
            Forge::Gitea(_) | Forge::GitHub(_) => Want::Pull(number),
            Forge::GitLab(_) => Want::MergeRequest(number),
        }
    }

    /// A pull request or an issue, as people write it: `work/acme/shop#12`.
    pub(in crate::jobs) fn place(&self, number: i64) -> String {
        format!("{}{}", self.granted_name(), self.forge().place(number))
    }

    /// As grants write it: `work/acme/shop`.
    pub(in crate::jobs) fn granted_name(&self) -> String {
        format!("{}/{}", self.row.key.forge, self.row.full_name)
    }

    /// The account we are on its forge.
    pub(in crate::jobs) async fn ourselves(&self) -> Result<&Account, JobError> {
        if self.access.ourselves.get().is_none() {
            let found = self.access.forge.ourselves().await?;
            // The door does not ask a forge anything, and has to know our own words when they come back to it.
            ourselves::are(&mut *self.context.pool.acquire().await?, &found).await?;
            // Somebody else may have asked at the same time, and was told the same.
            let _ = self.access.ourselves.set(found);
        }
        self.access.ourselves.get().ok_or_else(|| JobError::Passing("our account is not known".to_owned()))
    }
}
