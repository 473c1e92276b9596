//! Where branches are now, and what they hold, in the mirror. The forge is asked where they are, and Git only for what
//! is not here yet: a fetch costs both sides several processes, and most looks at a repository find nothing new in it.

use futures::future::join_all;

use super::repository::Repository;
use crate::git::{BranchName, GitError, Want};
use crate::ids::CommitId;
use crate::jobs::error::JobError;
use crate::jobs::step::Step;

/// The commits two branches are at now; the mirror has them.
#[derive(Debug, Clone)]
pub(in crate::jobs) struct Tips {
    /// Of the default branch, which holds the rules.
    pub(in crate::jobs) default: CommitId,
    /// Of the branch that was asked for.
    pub(in crate::jobs) own: CommitId,
}

/// What is not in the mirror yet.
enum Missing {
    /// A branch, perhaps with all its history.
    Branches,
    /// The head of a pull request alone: a few commits, whose files are looked at next.
    Head,
}

impl Repository<'_> {
    /// Brings the default branch, another one (or itself again) and the head of a pull request into the mirror. `None`:
    /// the forge says that one of the branches is not there (any more), which is nothing that a later try would mend.
    ///
    /// The head may be missing all the same, when it moves meanwhile.
    pub(in crate::jobs) async fn tips(
        &self,
        own: &str,
        pull: Option<(Want, &CommitId)>,
    ) -> Result<Option<Tips>, JobError> {
        let Some(told) = self.told(own).await? else { return Ok(None) };
        let mut branches = vec![&told.default, &told.own];
        branches.dedup();
        for commit in branches {
            if !self.mirror.has_commit(commit).await? {
                return self.fetched(own, pull.map(|(head, _)| head), Missing::Branches).await;
            }
        }
        if let Some((head, commit)) = pull
            && !self.mirror.has_commit(commit).await?
        {
            return self.fetched(own, Some(head), Missing::Head).await;
        }
        self.met(Step::Fetched);
        Ok(Some(told))
    }

    /// Where the forge says the branches are.
    async fn told(&self, own: &str) -> Result<Option<Tips>, JobError> {
        let asked = self.both(own).into_iter().map(|branch| self.forge().branch(&self.at, branch));
        let mut tips = Vec::with_capacity(2);
        for found in join_all(asked).await {
            match found {
                Ok(found) => tips.push(found.tip),
                Err(absent) if absent.is_gone() => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(of_both(tips))
    }

    /// Where Git finds them: it may be further on than the forge has just told.
    async fn fetched(&self, own: &str, pull: Option<Want>, missing: Missing) -> Result<Option<Tips>, JobError> {
        let both = self.both(own);
        let branches = both.iter().map(|name| Ok(Want::Branch(name.parse::<BranchName>()?)));
        let mut wants = branches.collect::<Result<Vec<_>, JobError>>()?;
        wants.extend(pull);
        let fetched = match missing {
            Missing::Branches => self.mirror.fetch(&wants).await,
            Missing::Head => self.mirror.fetch_news(&wants).await,
        };
        match fetched {
            Ok(()) => {}
            // Deleted meanwhile?
            Err(gone @ GitError::Gone { .. }) => {
                return match self.told(own).await? {
                    Some(_) => Err(gone.into()),
                    None => Ok(None),
                };
            }
            Err(error) => return Err(error.into()),
        }
        self.met(Step::Fetched);
        let mut tips = Vec::with_capacity(2);
        // What is fetched beside them may be a branch, too.
        for want in wants.iter().take(both.len()) {
            tips.extend(self.mirror.tip(want).await?);
        }
        Ok(of_both(tips))
    }

    /// The default branch and this one, once when they are the same.
    fn both<'n>(&'n self, own: &'n str) -> Vec<&'n str> {
        let mut both = vec![self.row.default_branch.as_str(), own];
        both.dedup();
        both
    }
}

/// Of the default branch first, and of the other when it is another.
fn of_both(tips: Vec<CommitId>) -> Option<Tips> {
    Some(Tips { default: tips.first()?.clone(), own: tips.last()?.clone() })
}
