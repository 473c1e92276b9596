//! A stretch of a branch: its commits, which of them end a pull request, and who brought the others.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::super::repository::Repository;
use super::super::{JobError, attend, whose};
use crate::consent::{Brings, Brought, FoundAt, Push, Told, brought};
use crate::db::{pulls, pushes, repositories};
use crate::forge::PullState;
use crate::ids::CommitId;

/// Pull requests that were closed earlier than this before our first look at the list are not looked for in it.
const FIRST_LOOK: SignedDuration = SignedDuration::from_hours(24 * 30);
/// Pushes looked back for in the forge's list of what happened, when deliveries do not tell of them.
const LOOKED_BACK: SignedDuration = SignedDuration::from_hours(24 * 7);

/// A stretch of a branch along first parents.
pub(super) struct Line {
    /// Oldest first.
    pub(super) commits: Vec<CommitId>,
    /// The pull request whose merge ended at a commit.
    pub(super) merged: BTreeMap<CommitId, i64>,
    told: Vec<Told>,
}

impl Line {
    /// Reads what is stored, and asks the forge for no more than is missing.
    pub(super) async fn read(
        repository: &Repository<'_>,
        branch: &str,
        commits: Vec<CommitId>,
    ) -> Result<Self, JobError> {
        let merged = merged(repository, branch, &commits).await?;
        let mut told = Vec::new();
        for commit in merged.keys() {
            let parents = repository.mirror.parents(commit).await?;
            // A merge commit says where it found the branch; of other kinds of merge only deliveries do.
            let before = match &parents[..] {
                [first, _] => FoundAt::At(first.clone()),
                _ => FoundAt::Unsaid,
            };
            told.push(Told { after: commit.clone(), before, pusher: None });
        }
        let mut conn = repository.context.pool.acquire().await?;
        let stored = pushes::to_branch(&mut conn, &repository.row.key, branch).await?;
        drop(conn);
        told.extend(stored.into_iter().map(whose::told_by_delivery));
        let mut line = Self { commits, merged, told };
        if line.commits.iter().any(|commit| line.is_by_nobody_known(commit)) {
            let since = repository.context.clock.now() - LOOKED_BACK;
            let all = repository.forge().pushes(&repository.at, since).await?.into_iter();
            line.told.extend(all.filter(|push| push.branch == branch).filter_map(whose::told_by_forge));
        }
        Ok(line)
    }

    fn is_by_nobody_known(&self, commit: &CommitId) -> bool {
        self.pushes_of(commit).1.iter().any(|push| push.pusher.is_none())
    }

    /// The pushes that brought a commit, and a name for them: what one push brought is counted once.
    pub(super) fn pushes_of(&self, commit: &CommitId) -> (String, Vec<Push>) {
        let work = |pusher| Push { pusher, brings: Brings::Work };
        match brought(&self.commits, commit, &self.told) {
            // It came with a merge, and merging makes nobody a contributor.
            Brought::By(told) if told.iter().any(|one| self.merged.contains_key(&one.after)) => {
                (commit.to_string(), Vec::new())
            }
            Brought::By(told) => {
                let name = told.first().map_or(commit, |one| &one.after).to_string();
                let known: Vec<Push> =
                    told.iter().filter(|one| one.pusher.is_some()).map(|one| work(one.pusher.clone())).collect();
                (name, if known.is_empty() { vec![work(None)] } else { known })
            }
            Brought::Unknown(left_at) => (left_at.to_string(), vec![work(None)]),
        }
    }

    /// Those known to have pushed the branch to exactly this commit.
    pub(super) fn pushed_to(&self, commit: &CommitId) -> Vec<Push> {
        let here = self.told.iter().filter(|one| one.after == *commit && one.pusher.is_some());
        here.map(|one| Push { pusher: one.pusher.clone(), brings: Brings::Work }).collect()
    }
}

/// Which of these commits end a pull request for this branch. Merges are stored when they are told or swept; one of
/// which neither told is in the forge's list of what was closed, which is read on from where it was read last.
async fn merged(
    repository: &Repository<'_>,
    branch: &str,
    commits: &[CommitId],
) -> Result<BTreeMap<CommitId, i64>, JobError> {
    let id = repository.row.id;
    let mut conn = repository.context.pool.acquire().await?;
    let found = pulls::merged_as(&mut conn, id, branch, commits).await?;
    if found.len() == commits.len() {
        return Ok(found);
    }
    let read_to = repositories::closed_read_to(&mut conn, id).await?;
    drop(conn);
    let since = read_to.unwrap_or_else(|| repository.context.clock.now() - FIRST_LOOK);
    let closed = repository.forge().pulls_closed_since(&repository.at, since).await?;
    let mut tx = repository.context.pool.begin().await?;
    let mut newest = read_to;
    for pull in &closed {
        if let PullState::Merged { commit: Some(_), at, .. } = &pull.state {
            pulls::upsert(&mut tx, id, &attend::facts_of(pull)).await?;
            newest = newest.max(*at);
        }
    }
    if let Some(newest) = newest.filter(|_| newest != read_to) {
        repositories::closed_read(&mut tx, id, newest).await?;
    }
    let found = pulls::merged_as(&mut tx, id, branch, commits).await?;
    tx.commit().await?;
    Ok(found)
}
