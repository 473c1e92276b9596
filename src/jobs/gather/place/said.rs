//! What people say in a place, as the forge tells it now: everything that means to approve, to take back, or to ask.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::consent::{Given, Look, Now, Objection, Place, Revocation, SourceNow, Text, Wanted};
use crate::db::approvals::Stored;
use crate::db::comment_edits;
use crate::event::command::{self, Command, Selector};
use crate::forge::{Comment, Review, Verdict};
use crate::ids::{Account, CommitId, EnvironmentName};
use crate::jobs::error::JobError;
use crate::jobs::gather::repository::Repository;
use crate::policy::rules::ApprovalSource;

/// Everything said in a place.
#[derive(Debug, Clone)]
pub(in crate::jobs) struct Said {
    pub(in crate::jobs) place: Place,
    pub(in crate::jobs) reviews: Vec<Review>,
    pub(in crate::jobs) comments: Vec<Comment>,
    /// Comments of which a delivery told that they were edited; reviews are negative.
    edited: BTreeSet<i64>,
}

/// A command to be answered.
#[derive(Debug, Clone)]
pub(in crate::jobs) struct Asked {
    /// The comment's number; a review's is negative, since the forge numbers them apart.
    pub(in crate::jobs) id: i64,
    /// The same, as approvals name it.
    pub(in crate::jobs) source: (ApprovalSource, i64),
    pub(in crate::jobs) by: Account,
    /// By the forge's clock.
    pub(in crate::jobs) at: Timestamp,
    pub(in crate::jobs) command: Command,
}

/// Reads a place. The lists are whole or this fails: what is not in them was deleted.
pub(in crate::jobs) async fn listen(
    repository: &Repository<'_>,
    place: Place,
    is_pull: bool,
) -> Result<Said, JobError> {
    let forge = repository.forge();
    let (comments, reviews) = tokio::try_join!(forge.comments(&repository.at, place.number), async {
        if is_pull { forge.reviews(&repository.at, place.number).await } else { Ok(Vec::new()) }
    })?;
    let texts = reviews.iter().flat_map(|review| review.comment.into_iter().chain([-review.id]));
    let texts: Vec<i64> = comments.iter().map(|comment| comment.id).chain(texts).collect();
    let mut conn = repository.context.pool.acquire().await?;
    let edited = comment_edits::among(&mut conn, &repository.row.key, &texts).await?;
    Ok(Said { place, reviews, comments, edited })
}

impl Said {
    /// Whether a comment is not as it was written: by its times, or because a delivery said so.
    fn is_edited(&self, comment: &Comment) -> bool {
        comment.is_edited() || self.edited.contains(&comment.id)
    }

    /// The same of a review's text. The forge shows the first one for ever, and only the delivery tells.
    fn is_reworded(&self, review: &Review) -> bool {
        let told = |text: i64| self.edited.contains(&text);
        told(-review.id) || review.comment.is_some_and(told)
    }

    /// Commands of people, oldest first; our own comments are no commands.
    pub(in crate::jobs) fn asked(&self, ourselves: &Account) -> Vec<Asked> {
        let comments = self.comments.iter().filter(|comment| !self.is_edited(comment)).filter_map(|comment| {
            let source = (ApprovalSource::Command, comment.id);
            let (by, at) = (comment.author.clone()?, comment.created_at);
            Some(Asked { id: comment.id, source, by, at, command: command::parse(&comment.body)? })
        });
        let reviews = self.reviews.iter().filter(|review| !self.is_reworded(review)).filter_map(|review| {
            let source = (ApprovalSource::Review, review.id);
            let (by, at) = (review.person.clone()?, review.given_at);
            Some(Asked { id: -review.id, source, by, at, command: command::parse(&review.body)? })
        });
        let mut asked: Vec<Asked> = comments.chain(reviews).filter(|asked| asked.by != *ourselves).collect();
        // In the order in which they were given: of two that contradict each other the later one is meant.
        asked.sort_by_key(|one| one.at);
        asked
    }

    /// Everything that means to approve, as it is now. `named` resolves what a selector means.
    pub(in crate::jobs) fn given(&self, ourselves: &Account, stages: &Stages) -> Vec<Given> {
        let reviews = self.reviews.iter().filter(|review| !review.dismissed).filter_map(|review| {
            let person = review.person.clone()?;
            let (wanted, deletions, reason) = match (review.verdict, command::parse(&review.body)) {
                (Verdict::ChangesRequested, _) => return None,
                (_, Some(Command::Approve { environments, digest, deletions, reason })) => {
                    (stages.wanted(environments, digest)?, deletions, reason)
                }
                (_, Some(Command::Waive { policy, environments, digest, reason })) => {
                    (stages.waived(policy, environments, digest), None, Some(reason))
                }
                (Verdict::Approved, None) => (Wanted::Everything, None, None),
                // An approving review whose text is another command, or a botched one, is not taken for consent.
                (Verdict::Approved | Verdict::Commented, _) => return None,
            };
            Some(Given {
                person,
                source: ApprovalSource::Review,
                source_id: review.id,
                head: review.commit.clone(),
                wanted,
                deletions,
                reason,
                at: review.given_at,
                text: if self.is_reworded(review) { Text::Edited } else { Text::Unedited },
            })
        });
        let comments = self.comments.iter().filter_map(|comment| {
            let person = comment.author.clone()?;
            let (wanted, deletions, reason) = match command::parse(&comment.body)? {
                Command::Approve { environments, digest, deletions, reason } => {
                    (stages.wanted(environments, digest)?, deletions, reason)
                }
                Command::Waive { policy, environments, digest, reason } => {
                    (stages.waived(policy, environments, digest), None, Some(reason))
                }
                Command::Help
                | Command::Explain { .. }
                | Command::Preview
                | Command::Revoke { .. }
                | Command::Sync { .. }
                | Command::Heal { .. }
                | Command::Adopt { .. }
                | Command::Freeze { .. }
                | Command::Unfreeze { .. }
                | Command::Emergency { .. }
                | Command::Reviewed { .. }
                | Command::Rollback { .. }
                | Command::Resume { .. }
                | Command::Misunderstood { .. } => return None,
            };
            Some(Given {
                person,
                source: ApprovalSource::Command,
                source_id: comment.id,
                head: None,
                wanted,
                deletions,
                reason,
                at: comment.created_at,
                text: if self.is_edited(comment) { Text::Edited } else { Text::Unedited },
            })
        });
        reviews.chain(comments).filter(|given| given.person != *ourselves).collect()
    }

    /// The place as voids are judged against it.
    pub(in crate::jobs) fn now(
        &self,
        head: &CommitId,
        looks: BTreeMap<EnvironmentName, Vec<Look>>,
        stages: &Stages,
    ) -> Now {
        let mut sources = BTreeMap::new();
        for review in &self.reviews {
            let state = match (review.dismissed, self.is_reworded(review)) {
                (true, _) => SourceNow::Dismissed,
                (false, true) => SourceNow::Edited,
                (false, false) => SourceNow::Stands,
            };
            sources.insert((ApprovalSource::Review, review.id), state);
        }
        for comment in &self.comments {
            let state = if self.is_edited(comment) { SourceNow::Edited } else { SourceNow::Stands };
            sources.insert((ApprovalSource::Command, comment.id), state);
        }
        let objections = self.reviews.iter().filter(|review| review.verdict == Verdict::ChangesRequested);
        let objections = objections
            .filter_map(|review| Some(Objection { person: review.person.clone()?, at: review.given_until }))
            .collect();
        let revocations = self.comments.iter().filter_map(|comment| {
            let Some(Command::Revoke { environments }) = command::parse(&comment.body) else { return None };
            let environments = environments.map(|selector| stages.names(&selector));
            Some(Revocation {
                person: comment.author.clone()?,
                environments,
                at: comment.created_at,
                comment: comment.id,
            })
        });
        Now {
            place: self.place.clone(),
            sources,
            objections,
            revocations: revocations.collect(),
            head: head.clone(),
            looks,
        }
    }

    /// Everybody who gave something, and everybody whose approval is recorded.
    pub(in crate::jobs) fn people(&self, stored: &[Stored]) -> BTreeSet<Account> {
        let reviewers = self.reviews.iter().filter_map(|review| review.person.clone());
        let commenters = self.comments.iter().filter(|comment| command::parse(&comment.body).is_some());
        let recorded = stored.iter().map(|one| one.recorded.approval.person.clone());
        reviewers.chain(commenters.filter_map(|comment| comment.author.clone())).chain(recorded).collect()
    }
}

/// The environments a place speaks of, with their stages: what a selector is resolved by.
#[derive(Debug, Clone, Default)]
pub(in crate::jobs) struct Stages(pub(in crate::jobs) BTreeMap<EnvironmentName, Option<String>>);

impl Stages {
    /// The environments a selector means.
    pub(in crate::jobs) fn names(&self, selector: &Selector) -> BTreeSet<EnvironmentName> {
        let meant = |(name, stage): &(&EnvironmentName, &Option<String>)| selector.matches(name, stage.as_deref());
        let mut names: BTreeSet<EnvironmentName> = self.0.iter().filter(meant).map(|(name, _)| name.clone()).collect();
        if let (true, Selector::Name(name)) = (names.is_empty(), selector) {
            names.insert(name.clone());
        }
        names
    }

    fn waived(&self, policy: String, environments: Option<Selector>, digest: Option<String>) -> Wanted {
        Wanted::Waiver { policy, environments: environments.map(|selector| self.names(&selector)), digest }
    }

    fn wanted(&self, environments: Option<Selector>, digest: Option<String>) -> Option<Wanted> {
        match (environments, digest) {
            (None, _) => Some(Wanted::Everything),
            (Some(Selector::Name(name)), Some(digest)) => Some(Wanted::Change(name, digest)),
            // A digest names one change of one environment.
            (Some(_), Some(_)) => None,
            (Some(selector), None) => Some(Wanted::Environments(self.names(&selector))),
        }
    }
}
