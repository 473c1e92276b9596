//! A branch moved: which environments follow it, and which open pull requests are for it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::json;

use super::context::Context;
use super::error::JobError;
use super::gather::contents::{Contents, FileAt};
use super::gather::repository::{self, Repository};
use super::route::attend_pull;
use super::start;
use super::step::Step;
use super::work;
use crate::audit::{self, NewEntry};
use crate::db::destructions;
use crate::db::environments::{self, Environment, EnvironmentState};
use crate::db::pulls::{self, PullState};
use crate::ids::{EnvironmentName, ForgeName, RepositoryKey, Target};
use crate::queue::{self, Claimed, Lane};

/// The payload.
#[derive(Debug, Deserialize)]
struct Ids {
    forge: ForgeName,
    repository: i64,
    branch: String,
}

/// Runs the job.
///
/// # Errors
/// [`JobError`].
pub(super) async fn run(context: &Context, job: &Claimed) -> Result<(), JobError> {
    let ids: Ids = work::ids(job)?;
    let key = RepositoryKey { forge: ids.forge, id: ids.repository };
    let Some(repository) = repository::granted(context, &key, job).await? else {
        return work::finish(context, job).await;
    };
    let is_default = ids.branch == repository.row.default_branch;
    let named = if is_default { Some(names(&repository).await?) } else { None };

    let mut tx = context.pool.begin().await?;
    let (mut entries, mut here) = (Vec::new(), BTreeSet::new());
    if let Some(named) = named.flatten() {
        let before = environments::of_repository(&mut tx, repository.row.id).await?;
        let before: BTreeMap<(&EnvironmentName, &Target), &Environment> =
            before.iter().map(|one| ((&one.name, &one.target), one)).collect();
        let default = &repository.row.default_branch;
        let mut news = Vec::new();
        for block in &named {
            let branch = block.branch.as_deref().unwrap_or(default);
            let known = before.get(&(&block.name, &block.target)).copied();
            let is_as_it_was = |known: &&Environment| {
                known.state == EnvironmentState::Active && known.branch == branch && known.block.as_ref() == Some(block)
            };
            match known.filter(is_as_it_was) {
                Some(known) => {
                    here.insert(known.id);
                }
                None => news.push((block, branch)),
            }
        }
        for now in environments::upsert_all(&mut tx, repository.row.id, &news).await? {
            match before.get(&(&now.name, &now.target)).map(|one| one.state) {
                Some(EnvironmentState::Active) => {}
                Some(EnvironmentState::Orphaned) => {
                    // Whoever agreed on its end meant one that nobody follows.
                    destructions::drop_of(&mut tx, now.id).await?;
                    entries.push(entry(&repository, &now, "environment.revived", job));
                }
                Some(EnvironmentState::Proposed | EnvironmentState::Forgotten) | None => {
                    entries.push(entry(&repository, &now, "environment.created", job));
                }
            }
            here.insert(now.id);
        }
        let all: Vec<i64> = here.iter().copied().collect();
        environments::orphan_others(&mut tx, repository.row.id, &all).await?;
        let gone = before.values().filter(|one| one.state == EnvironmentState::Active && !here.contains(&one.id));
        entries.extend(gone.map(|one| entry(&repository, one, "environment.orphaned", job)));
    }
    let mut jobs = Vec::new();
    for environment in environments::of_repository(&mut tx, repository.row.id).await? {
        // The default branch holds every environment's rules, whatever branch its files are of.
        if is_default || environment.branch == ids.branch {
            jobs.push(start::next(&repository, environment.id, job));
        }
    }
    for pull in pulls::in_state(&mut tx, repository.row.id, PullState::Open).await? {
        if is_default || pull.facts.base_branch == ids.branch {
            jobs.push(attend_pull(&key, pull.facts.number, job.trace));
        }
    }
    jobs.sort_by(|a, b| (&a.kind, &a.key).cmp(&(&b.kind, &b.key)));
    queue::enqueue_all(&mut tx, &jobs).await?;
    queue::finish(&mut tx, job).await?;
    // Last before the commit: they lock the head of the log.
    for entry in &entries {
        audit::append(&mut tx, entry).await?;
    }
    tx.commit().await?;
    repository.met(Step::Recorded);
    context.bell.ring(Lane::Sync);
    context.bell.ring(Lane::Default);
    Ok(())
}

/// What became of an environment, because the default branch's file names it, or does no more.
fn entry(repository: &Repository<'_>, environment: &Environment, action: &'static str, job: &Claimed) -> NewEntry {
    NewEntry {
        actor: "bascule".to_owned(),
        action,
        subject: format!("{} {}", repository.granted_name(), environment.name),
        detail: json!({ "target": environment.target, "branch": environment.branch }),
        cause: work::cause(job),
        trace: job.trace,
    }
}

/// The environments the default branch's file names; `None` when it cannot be read: then nothing is orphaned.
async fn names(repository: &Repository<'_>) -> Result<Option<Vec<crate::policy::rules::Environment>>, JobError> {
    let Some(tips) = repository.tips(&repository.row.default_branch, None).await? else { return Ok(None) };
    let contents = Contents::new(repository);
    let tree = contents.tree(&tips.default).await?;
    Ok(match contents.file_at(&tree, &tree).await? {
        FileAt::Valid(environments) => Some(environments.values().cloned().collect()),
        FileAt::Absent | FileAt::Invalid(_) => None,
    })
}
