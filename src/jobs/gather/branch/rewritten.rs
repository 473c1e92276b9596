//! What first parents do not tell of a branch: what was taken off it by force, and what it had beside a pull request that
//! was fast-forwarded. Both come with the next commit, and so do the people behind them.

use futures::future::BoxFuture;

use super::line::Line;
use super::steps::{Looker, merged_pull};
use crate::consent::{Contributors, Made};
use crate::ids::CommitId;
use crate::jobs::error::JobError;
use crate::jobs::gather::size;
use crate::jobs::work::boxed;

impl Looker<'_> {
    /// What was taken off the branch since `from`: it is undone with the first commit of the line, and whoever took it
    /// off has contributed to that.
    pub(super) async fn taken_off(&self, from: &CommitId, line: &Line) -> Result<Made, JobError> {
        let mirror = &self.repository.mirror;
        let (Some(first), Some(last)) = (line.commits.first(), line.commits.last()) else { return Ok(Made::default()) };
        let below = mirror.parents(first).await?.into_iter().next();
        if below.as_ref() == Some(from) {
            return Ok(Made::default());
        }
        let old = [from.clone()];
        let new: Vec<CommitId> = below.into_iter().collect();
        let (paths, size) = size::between(mirror, from, new.first().unwrap_or(&size::nothing())).await?;
        let files = self.read_by(&[&old[..], &new[..]].concat(), paths).await?;
        let contributors = if mirror.is_ancestor(from, last).await? {
            // It is there, only not along first parents: nobody took it off.
            Contributors::default()
        } else {
            Contributors::of_pushes(&format!("what took {from} off"), &line.took_off(self.repository, from).await?, &[])
        };
        Ok(Made { contributors, files, size })
    }

    /// What a commit brings that was on the branch before, and is no more along first parents: a pull request that had
    /// merged its base in, and was fast-forwarded, has it behind a second parent.
    pub(super) fn beside<'b>(
        &'b mut self,
        line: &'b Line,
        commit: &'b CommitId,
    ) -> BoxFuture<'b, Result<Made, JobError>> {
        boxed(async move {
            let mut made = Made::default();
            let parents = self.repository.mirror.parents(commit).await?;
            let Some((first, others)) = parents.split_first() else { return Ok(made) };
            for other in others {
                if self.is_merged_head(line, commit, other).await? {
                    continue;
                }
                let beside = self.repository.mirror.first_parent(Some(first), other).await?;
                let beside = self.line(self.since_the_position(beside).await?).await?;
                let Some(newest) = beside.commits.iter().rposition(|one| line.was_at(one) || beside.was_at(one)) else {
                    // A branch of the pusher's own: who wrote it is known, and nobody pushed it here but they.
                    continue;
                };
                for commit in beside.commits.iter().take(newest + 1) {
                    made.join(&self.made(&beside, commit, None, None).await?.0);
                }
            }
            Ok(made)
        })
    }

    /// Whether it is the forge's own merge of this head: what it brings is the pull request's.
    async fn is_merged_head(&self, line: &Line, commit: &CommitId, head: &CommitId) -> Result<bool, JobError> {
        let Some(number) = line.merged.get(commit) else { return Ok(false) };
        Ok(merged_pull(self.repository, *number).await?.head == *head)
    }

    /// The end of a line that is not behind the position.
    async fn since_the_position(&self, mut line: Vec<CommitId>) -> Result<Vec<CommitId>, JobError> {
        let Some(position) = &self.environment.position else { return Ok(line) };
        for (index, commit) in line.iter().enumerate().rev() {
            if self.repository.mirror.is_ancestor(commit, &position.commit).await? {
                return Ok(line.split_off(index + 1));
            }
        }
        Ok(line)
    }
}
