//! A stretch of a branch: its commits, which of them end a pull request, and who brought the others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;

use crate::consent::{Brings, Brought, FoundAt, Push, Told, brought};
use crate::db::{pulls, repositories};
use crate::forge::PullState;
use crate::ids::CommitId;
use crate::jobs::gather::{pull, pushes};

use super::trains;
use crate::jobs::error::JobError;
use crate::jobs::gather::repository::Repository;

/// Pull requests that were closed earlier than this before our first look at the list are not looked for in it.
const FIRST_LOOK: SignedDuration = SignedDuration::from_hours(24 * 30);
/// Between two stretches of that list: the forge is asked for other things, too.
pub(super) const NEXT_STRETCH: Duration = Duration::from_secs(1);
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
        told.extend(pushes::stored(repository, branch).await?);
        let mut line = Self { commits, merged, branch: branch.to_owned(), told };
        if line.commits.iter().any(|commit| line.is_by_nobody_known(commit)) {
            let since = repository.context.clock.now() - LOOKED_BACK;
            line.told.extend(pushes::asked(repository, branch, since).await?);
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
        let mut taking = taking_off(repository, known, commit).await?;
        if taking.is_empty() {
            let since = repository.context.clock.now() - LOOKED_BACK;
            taking = taking_off(repository, pushes::asked(repository, &self.branch, since).await?, commit).await?;
        }
        if taking.is_empty() {
            taking.push(Push { pusher: None, brings: Brings::Work });
        }
        Ok(taking)
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
    drop(conn);
    if found.len() == commits.len() {
        return Ok(found);
    }
    read_what_was_closed(repository).await?;
    trains::find_by_commits(repository, branch, commits).await?;
    let mut conn = repository.context.pool.acquire().await?;
    Ok(pulls::merged_as(&mut conn, id, branch, commits).await?)
}

/// Reads the forge's list of closed pull requests on, and stores the merged ones. A long list is read in stretches, each
/// stored with the place to go on at: the job comes back for the next, and judges nothing before it has read them all.
async fn read_what_was_closed(repository: &Repository<'_>) -> Result<(), JobError> {
    // Once more after the end of a long reading: what was closed meanwhile is at the list's beginning.
    for _ in 0..2 {
        match read_stretch(repository).await? {
            Stretch::Whole => return Ok(()),
            Stretch::LastOfLong => {}
            Stretch::Part { pages } => {
                let why = format!("reading the closed pull requests of the last weeks: {pages} pages so far");
                return Err(JobError::NotNow { wait: NEXT_STRETCH, why });
            }
        }
    }
    Ok(())
}

/// What a stretch of the list came to.
enum Stretch {
    /// It began at the newest, and came to what was read before.
    Whole,
    /// It came to what was read before, from where an earlier one ended.
    LastOfLong,
    /// There is more.
    Part { pages: i32 },
}

async fn read_stretch(repository: &Repository<'_>) -> Result<Stretch, JobError> {
    let id = repository.row.id;
    let mut conn = repository.context.pool.acquire().await?;
    let read = repositories::closed_read(&mut conn, id).await?;
    drop(conn);
    let since = read.to.unwrap_or_else(|| repository.context.clock.now() - FIRST_LOOK);
    // What is closed meanwhile moves the others to later pages, and what is opened again to earlier ones: one page is read
    // twice, so that none of them slips through.
    let page = read.going_on.map_or(1, |(_, page)| usize::try_from(page).unwrap_or(1).saturating_sub(1).max(1));
    let closed = repository.forge().pulls_closed_since(&repository.at, since, page).await?;
    let mut tx = repository.context.pool.begin().await?;
    for pull in &closed.pulls {
        if let PullState::Merged { commit: Some(_), .. } = &pull.state {
            pulls::upsert(&mut tx, id, &pull::facts_of(pull)).await?;
        }
    }
    let newest = read.going_on.map(|(newest, _)| newest).or(closed.newest);
    // Thousands closed within the one second that was read last are nothing new.
    let news = newest.filter(|newest| read.going_on.is_some() || Some(*newest) != read.to);
    let rest = closed.goes_on_at.and_then(|page| i32::try_from(page).ok());
    let stretch = match (news, rest) {
        (Some(newest), Some(page)) => {
            repositories::closed_goes_on(&mut tx, id, newest, page).await?;
            Stretch::Part { pages: page - 1 }
        }
        (Some(newest), None) => {
            repositories::closed_read_to(&mut tx, id, newest).await?;
            if read.going_on.is_some() { Stretch::LastOfLong } else { Stretch::Whole }
        }
        (None, _) => Stretch::Whole,
    };
    tx.commit().await?;
    Ok(stretch)
}
