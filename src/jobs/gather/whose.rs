//! Whose a change is (rule 6): who opened it, who pushed it, and who wrote it, as far as anything tells.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use jiff::SignedDuration;

use super::place::whom;
use super::pushes;
use super::repository::Repository;
use crate::consent::{Brings, Contributed, Contributors, FoundAt, Own, Push, Told, Written, every_push, gaps};
use crate::db::our_pulls;
use crate::forge;
use crate::git::{CommitFacts, Mirror, Want};
use crate::ids::{Account, CommitId};
use crate::jobs::error::JobError;
use crate::jobs::work;

/// A branch whose pushes are older than this, before its pull request last changed, was pushed by nobody known.
const LOOKED_BACK: SignedDuration = SignedDuration::from_hours(24 * 14);

/// Commits whose people are asked for side by side. One after the other, those of a branch with hundreds would be older than
/// a gate believes (30 s) before the last is read, each time anew.
const ASKED_AT_ONCE: usize = 8;

/// Whose a pull request is: everybody who opened, pushed to, or wrote it.
pub(in crate::jobs) async fn contributors_of_pull(
    repository: &Repository<'_>,
    pull: &forge::Pull,
    merged_as: &CommitId,
) -> Result<Contributors, JobError> {
    bring_head(repository, pull).await?;
    let base = left_base_at(repository, pull, merged_as).await?;
    let not: Vec<CommitId> = base.iter().cloned().collect();
    let commits = repository.mirror.commits(&pull.head, &not).await?;
    // Two questions to the forge that wait for nothing of each other.
    let (written, listed) = tokio::try_join!(work::boxed(written(repository, &commits)), async {
        Ok(repository.forge().pull_pushes(&repository.at, pull).await?)
    })?;
    let own: Vec<Own> = commits
        .iter()
        .zip(&written)
        .map(|(commit, written)| Own { id: commit.id.clone(), parents: commit.parents.clone(), brings: written.brings })
        .collect();
    let pushes = pushes_to_pull(repository, pull, &own, listed, base.as_ref()).await?;
    let name = repository.forge().place(pull.number);
    let mut conn = repository.context.pool.acquire().await?;
    let branch = (!pull.from_fork).then_some(pull.head_branch.as_str());
    let askers = our_pulls::askers(&mut conn, repository.row.id, pull.number, branch).await?;
    drop(conn);
    let mut all = match &pull.author {
        Some(author) => Contributors::of_pull((author.clone(), Contributed::Opened), &name, &pushes, &written),
        None => Contributors::of_pushes(&name, &pushes, &written),
    };
    // Whoever asked for what we opened is its author, whatever else they did, and so is whoever asked for the same later.
    for asker in askers.iter().filter_map(|by| whom(by)) {
        all.accounts.insert(asker, Contributed::Asked);
    }
    Ok(all)
}

/// Where the head of a merged pull request left its base; its commits are here then.
pub(in crate::jobs) async fn merged_from(
    repository: &Repository<'_>,
    pull: &forge::Pull,
    merged_as: &CommitId,
) -> Result<Option<CommitId>, JobError> {
    bring_head(repository, pull).await?;
    left_base_at(repository, pull, merged_as).await
}

/// Where the head left its base: what came after is the pull request's own.
async fn left_base_at(
    repository: &Repository<'_>,
    pull: &forge::Pull,
    merged_as: &CommitId,
) -> Result<Option<CommitId>, JobError> {
    if let Some(base) = &pull.merge_base {
        return Ok(Some(base.clone()));
    }
    let mirror = &repository.mirror;
    let base = mirror.merge_base(merged_as, &pull.head).await?;
    if base.as_ref() != Some(&pull.head) {
        return Ok(base);
    }
    // It is behind what it was merged as, which tells nothing then: nobody would have written or pushed anything. The first
    // parent of a merge is what the base was before.
    let merge = match &pull.state {
        forge::PullState::Merged { commit: Some(commit), .. } => commit,
        forge::PullState::Open | forge::PullState::Closed | forge::PullState::Merged { .. } => merged_as,
    };
    if *merge != pull.head
        && mirror.has_commit(merge).await?
        && let Some(before) = mirror.parents(merge).await?.first()
    {
        let base = mirror.merge_base(before, &pull.head).await?;
        if base.as_ref() != Some(&pull.head) {
            return Ok(base);
        }
    }
    // A fast-forward leaves no trace in the commits, so the forge is asked for those it counts as the pull request's.
    let listed = repository.forge().pull_commits(&repository.at, pull.number).await?;
    let mut newest: Option<CommitId> = None;
    for commit in &listed {
        for parent in mirror.parents(commit).await? {
            if listed.contains(&parent) {
                continue;
            }
            newest = match newest {
                Some(known) if !mirror.is_ancestor(&known, &parent).await? => Some(known),
                Some(_) | None => Some(parent),
            };
        }
    }
    Ok(newest)
}

/// Its commits: here already, else by the head's reference, which may be gone once it is merged, else by their ids.
async fn bring_head(repository: &Repository<'_>, pull: &forge::Pull) -> Result<(), JobError> {
    let mirror = &repository.mirror;
    if mirror.has_commit(&pull.head).await? {
        return Ok(());
    }
    let by_number = mirror.fetch(&[repository.head_of(pull.number)]).await;
    if by_number.is_err() || !mirror.has_commit(&pull.head).await? {
        mirror.fetch(&[Want::Commit(pull.head.clone())]).await?;
    }
    Ok(())
}

/// Every account the forge maps to the commits' authors, committers and co-authors.
pub(in crate::jobs) async fn written(
    repository: &Repository<'_>,
    commits: &[CommitFacts],
) -> Result<Vec<Written>, JobError> {
    let mut by_email: BTreeMap<String, Option<Account>> = BTreeMap::new();
    let mut all = Vec::with_capacity(commits.len());
    for some in commits.chunks(ASKED_AT_ONCE) {
        let mut asked = Vec::with_capacity(some.len());
        for commit in some {
            let clean = commit.parents.len() == 2 && repository.mirror.is_clean_merge(&commit.id).await?;
            asked.push(work::boxed(async move {
                match clean {
                    true => Ok(None),
                    false => repository.forge().commit_people(&repository.at, &commit.id).await.map(Some),
                }
            }));
        }
        for (commit, named) in some.iter().zip(try_join_all(asked).await?) {
            let Some(named) = named else {
                all.push(Written { people: Vec::new(), brings: Brings::CleanMerges });
                continue;
            };
            let mut people: Vec<Account> = [named.author, named.committer].into_iter().flatten().collect();
            for email in &commit.co_authors {
                if !by_email.contains_key(email) {
                    by_email.insert(email.clone(), repository.forge().account_by_email(email).await?);
                }
                people.extend(by_email.get(email).cloned().flatten());
            }
            all.push(Written { people, brings: Brings::Work });
        }
    }
    Ok(all)
}

/// The pushes that led to the head of a pull request: as stored, as the pull request tells them, and, where these leave a
/// gap, as the repository tells them. What is open then was pushed by nobody known.
async fn pushes_to_pull(
    repository: &Repository<'_>,
    pull: &forge::Pull,
    own: &[Own],
    listed: Vec<forge::PullPush>,
    base: Option<&CommitId>,
) -> Result<Vec<Push>, JobError> {
    let mut told = pushes::of_pull(repository, pull, own, listed).await?;
    let mut bases = bases(&repository.mirror, &pull.head, own, &told, base).await?;
    if !pull.from_fork && !gaps(&pull.head, own, &told, &bases).is_empty() {
        told.extend(pushes::asked(repository, &pull.head_branch, pull.updated_at - LOOKED_BACK).await?);
        bases = self::bases(&repository.mirror, &pull.head, own, &told, base).await?;
    }
    Ok(every_push(&pull.head, own, &told, &bases))
}

/// The commits at which pushes began that are the base's: behind them, others are at home.
async fn bases(
    mirror: &Mirror,
    head: &CommitId,
    own: &[Own],
    told: &[Told],
    base: Option<&CommitId>,
) -> Result<BTreeSet<CommitId>, JobError> {
    let own: BTreeSet<&CommitId> = own.iter().map(|commit| &commit.id).collect();
    let mut open: Vec<&CommitId> = own.iter().copied().chain([head]).collect();
    let mut seen: BTreeSet<&CommitId> = open.iter().copied().collect();
    let mut bases = BTreeSet::new();
    while let Some(tip) = open.pop() {
        for told in told.iter().filter(|told| told.after == *tip) {
            let FoundAt::At(before) = &told.before else { continue };
            if !seen.insert(before) {
                continue;
            }
            // One that was pushed away by force is not here any more.
            let is_base = match base {
                Some(base) => mirror.has_commit(before).await? && mirror.is_ancestor(before, base).await?,
                None => false,
            };
            if is_base {
                bases.insert(before.clone());
            } else {
                open.push(before);
            }
        }
    }
    Ok(bases)
}
