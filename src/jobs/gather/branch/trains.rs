//! Merges of which nothing but a commit tells. The forge is asked about each commit by itself, so it is remembered what was
//! asked; and a long line is asked about in stretches, before anything of it is judged: what is judged may be 30 s old.

use std::collections::BTreeSet;

use super::line::NEXT_STRETCH;
use crate::db::pulls::{self, PullState};
use crate::ids::CommitId;
use crate::jobs::error::JobError;
use crate::jobs::gather::pull;
use crate::jobs::gather::repository::Repository;

/// Commits asked about in one run. Each costs two calls or more.
const STRETCH: usize = 20;
/// Commits asked about in a run that goes on to judge.
const BESIDE: usize = 5;

/// Finds pull requests of which nothing but a commit says that they were merged, and stores as what. The newest commit of
/// each is its end; of one whose end is known, others are what came before it.
pub(super) async fn find_by_commits(
    repository: &Repository<'_>,
    branch: &str,
    commits: &[CommitId],
) -> Result<(), JobError> {
    if !repository.forge().has_trains() {
        return Ok(());
    }
    let (id, context) = (repository.row.id, repository.context);
    let mut conn = context.pool.acquire().await?;
    let mut merges = pulls::merges(&mut conn, id, branch).await?;
    let mut known = pulls::asked_about(&mut conn, id, branch, commits, merges).await?;
    let ends = pulls::merged_as(&mut conn, id, branch, commits).await?;
    known.extend(ends.keys().cloned());
    let mut forwarded = Vec::new();
    for (end, number) in &ends {
        let facts = pulls::get(&mut conn, id, *number).await?.map(|pull| pull.facts);
        let Some(facts) = facts.filter(|facts| facts.head_sha == *end) else { continue };
        forwarded.extend(facts.merge_base.map(|met| (end.clone(), met)));
    }
    drop(conn);
    let mut whole = Vec::new();
    for (end, met) in forwarded {
        whole.push((end, from(repository, commits, &met).await?));
    }
    known.extend(inside(commits, &whole));
    let unknown: Vec<&CommitId> = commits.iter().rev().filter(|commit| !known.contains(*commit)).collect();
    let (asked, is_over) = stretch(&unknown);
    for commit in asked {
        let found = repository.forge().pull_merged_as(&repository.at, branch, commit).await?;
        let mut conn = context.pool.acquire().await?;
        if let Some(found) = found {
            let stored = pulls::get(&mut conn, id, found.number).await?;
            let is_new = stored.as_ref().is_none_or(|pull| pull.facts.state != PullState::Merged);
            let ends_elsewhere =
                stored.is_some_and(|pull| pull.facts.merge_commit.is_some_and(|end| end != pull.facts.head_sha));
            if !ends_elsewhere {
                pulls::upsert(&mut conn, id, &pull::facts_of(&found)).await?;
                // From here on it is asked with this one known.
                merges += i64::from(is_new);
            }
        }
        pulls::was_asked(&mut conn, id, (branch, commit), merges, context.clock.now()).await?;
    }
    if is_over {
        return Ok(());
    }
    let left = unknown.len() - asked.len();
    let why = format!("asking the forge commit by commit which merge requests were merged: {left} commits to go");
    Err(JobError::NotNow { wait: NEXT_STRETCH, why })
}

/// What to ask about now, of commits of which nothing is known, and whether it can be judged then. A run that asked for
/// long judges nothing: the next one finds what it learnt, and its facts are new.
fn stretch<'a, 'c>(unknown: &'a [&'c CommitId]) -> (&'a [&'c CommitId], bool) {
    (&unknown[..unknown.len().min(STRETCH)], unknown.len() <= BESIDE)
}

/// Where the commits after this one begin on a line; `None`: it is nowhere before or on it.
async fn from(repository: &Repository<'_>, line: &[CommitId], met: &CommitId) -> Result<Option<usize>, JobError> {
    if let Some(at) = line.iter().position(|commit| commit == met) {
        return Ok(Some(at + 1));
    }
    let Some(first) = line.first() else { return Ok(None) };
    let mirror = &repository.mirror;
    let is_before = mirror.has_commit(met).await? && mirror.is_ancestor(met, first).await?;
    Ok(is_before.then_some(0))
}

/// The commits of a line (oldest first) that came with a pull request whose head the branch was forwarded to, but for
/// that head: they end none. Each with where its own begin.
fn inside(line: &[CommitId], forwarded: &[(CommitId, Option<usize>)]) -> BTreeSet<CommitId> {
    let own = forwarded.iter().filter_map(|(end, from)| {
        let end = line.iter().position(|commit| commit == end)?;
        line.get((*from)?..end)
    });
    own.flatten().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(length: u32) -> Vec<CommitId> {
        (0..length).map(|number| format!("{number:040x}").parse().unwrap()).collect()
    }

    #[test]
    fn what_lies_inside_a_forwarded_pull_request_is_not_asked_about() {
        let line = line(200);
        let end = |at: usize| line[at].clone();
        assert_eq!(inside(&line, &[(end(199), Some(0))]).len(), 199, "all but its head");
        assert_eq!(inside(&line, &[(end(9), Some(7)), (end(5), Some(5))]), [end(7), end(8)].into());
        assert!(inside(&line, &[(end(9), None), (end(4), Some(8))]).is_empty(), "nobody knows what came with it");
    }

    #[test]
    fn a_long_line_is_asked_about_in_stretches_before_it_is_judged() {
        let line = line(45);
        let mut left: Vec<&CommitId> = line.iter().collect();
        let mut runs = Vec::new();
        loop {
            let (asked, is_over) = stretch(&left);
            runs.push((asked.len(), is_over));
            if is_over {
                break;
            }
            left = left[asked.len()..].to_vec();
        }
        assert_eq!(runs, [(20, false), (20, false), (5, true)]);
        assert_eq!(stretch(&left[..0]), (&[][..], true), "nothing is asked twice");
    }
}
