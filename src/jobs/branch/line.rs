//! A stretch of a branch: its commits, which of them end a pull request, and who brought the others.

use std::collections::{BTreeMap, BTreeSet};

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
    branch: String,
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
        let heads = heads(repository, &merged).await?;
        let mut told = Vec::new();
        for commit in merged.keys() {
            let parents = repository.mirror.parents(commit).await?;
            // A merge commit of the forge's says where it found the branch; of other kinds of merge only deliveries do.
            // One that was fast-forwarded to may be a merge too, of the base into the head.
            let before = match &parents[..] {
                [first, _] if !heads.contains(commit) => FoundAt::At(first.clone()),
                _ => FoundAt::Unsaid,
            };
            told.push(Told { after: commit.clone(), before, pusher: None });
        }
        let mut conn = repository.context.pool.acquire().await?;
        let stored = pushes::to_branch(&mut conn, &repository.row.key, branch).await?;
        drop(conn);
        told.extend(stored.into_iter().map(whose::told_by_delivery));
        let mut line = Self { commits, merged, branch: branch.to_owned(), told };
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

    /// Whether the branch is known to have been at a commit.
    pub(super) fn was_at(&self, commit: &CommitId) -> bool {
        let found = |one: &Told| matches!(&one.before, FoundAt::At(before) if before == commit);
        self.told.iter().any(|one| one.after == *commit || found(one))
    }

    /// The pushes that took a commit off the branch; one by nobody known when nothing tells of any.
    pub(super) async fn took_off(&self, repository: &Repository<'_>, commit: &CommitId) -> Result<Vec<Push>, JobError> {
        let known = self.told.iter().filter(|one| one.pusher.is_some()).cloned().collect();
        let mut pushes = taking_off(repository, known, commit).await?;
        if pushes.is_empty() {
            let since = repository.context.clock.now() - LOOKED_BACK;
            let all = repository.forge().pushes(&repository.at, since).await?.into_iter();
            let here = all.filter(|push| push.branch == self.branch).filter_map(whose::told_by_forge);
            pushes = taking_off(repository, here.collect(), commit).await?;
        }
        if pushes.is_empty() {
            pushes.push(Push { pusher: None, brings: Brings::Work });
        }
        Ok(pushes)
    }

    /// Those known to have pushed the branch to exactly this commit.
    pub(super) fn pushed_to(&self, commit: &CommitId) -> Vec<Push> {
        let here = self.told.iter().filter(|one| one.after == *commit && one.pusher.is_some());
        here.map(|one| Push { pusher: one.pusher.clone(), brings: Brings::Work }).collect()
    }
}

/// Those of these pushes after which the branch had a commit no more.
async fn taking_off(repository: &Repository<'_>, told: Vec<Told>, commit: &CommitId) -> Result<Vec<Push>, JobError> {
    let mirror = &repository.mirror;
    let mut pushes = Vec::new();
    for one in told {
        let FoundAt::At(before) = &one.before else { continue };
        // What is not here any more cannot be asked; then nobody is known.
        if !(mirror.has_commit(before).await? && mirror.has_commit(&one.after).await?) {
            continue;
        }
        if mirror.is_ancestor(commit, before).await? && !mirror.is_ancestor(commit, &one.after).await? {
            pushes.push(Push { pusher: one.pusher, brings: Brings::Work });
        }
    }
    Ok(pushes)
}

/// Merges that are the pull request's own head: fast-forwarded.
async fn heads(repository: &Repository<'_>, merged: &BTreeMap<CommitId, i64>) -> Result<BTreeSet<CommitId>, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    let mut heads = BTreeSet::new();
    for number in merged.values() {
        let pull = pulls::get(&mut conn, repository.row.id, *number).await?;
        heads.extend(pull.map(|pull| pull.facts.head_sha));
    }
    Ok(heads)
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
