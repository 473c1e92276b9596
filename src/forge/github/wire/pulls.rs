//! Pull requests, reviews and the events of both.

use jiff::Timestamp;
use serde::Deserialize;

use super::{User, account};
use crate::forge::facts::{Pull, PullState, Review, Verdict};
use crate::ids::{CommitId, ForgeName};

#[derive(Debug, Deserialize)]
struct End {
    #[serde(rename = "ref")]
    branch: String,
    sha: CommitId,
    /// `null` once the repository is deleted.
    repo: Option<EndRepository>,
}

#[derive(Debug, Deserialize)]
struct EndRepository {
    id: i64,
    full_name: String,
    owner: Option<User>,
}

#[derive(Debug, Deserialize)]
pub(in crate::forge::github) struct PullJson {
    number: i64,
    title: String,
    user: Option<User>,
    state: String,
    #[serde(default)]
    merged_at: Option<Timestamp>,
    #[serde(default)]
    merge_commit_sha: Option<CommitId>,
    #[serde(default)]
    merged_by: Option<User>,
    base: End,
    head: End,
    pub(in crate::forge::github) updated_at: Timestamp,
    #[serde(default)]
    closed_at: Option<Timestamp>,
}

impl PullJson {
    /// When it was closed; the end of time while it is open.
    pub(in crate::forge::github) fn closed_at(&self) -> Timestamp {
        self.closed_at.unwrap_or(Timestamp::MAX)
    }

    pub(in crate::forge::github) fn number(&self) -> i64 {
        self.number
    }

    /// The repository it is in.
    pub(in crate::forge::github) fn repository(&self) -> Option<i64> {
        self.base.repo.as_ref().map(|repo| repo.id)
    }

    /// The name of the repository its head is in, while that is there.
    pub(in crate::forge::github) fn head_repository(&self) -> Option<&str> {
        self.head.repo.as_ref().map(|repo| repo.full_name.as_str())
    }

    pub(in crate::forge::github) fn into_fact(self, forge: &ForgeName) -> Pull {
        let state = match (self.merged_at, self.state.as_str()) {
            // Of an open one, the commit is a merge that GitHub tried.
            (Some(at), _) => {
                PullState::Merged { commit: self.merge_commit_sha, by: account(forge, self.merged_by), at: Some(at) }
            }
            (None, "open") => PullState::Open,
            (None, _) => PullState::Closed,
        };
        let own = self.base.repo.map(|repo| repo.id);
        let head_repository = self.head.repo.as_ref().map(|repo| repo.id);
        let head_owner = self.head.repo.and_then(|repo| account(forge, repo.owner));
        Pull {
            number: self.number,
            title: self.title,
            author: account(forge, self.user),
            state,
            from_fork: head_repository.is_none() || head_repository != own,
            base_branch: self.base.branch,
            base: self.base.sha,
            head_branch: self.head.branch,
            head: self.head.sha,
            merge_base: None,
            head_repository,
            head_owner,
            updated_at: self.updated_at,
            // No list says it, and the one that would differ from it would look like news.
            comments: 0,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(in crate::forge::github) struct ReviewJson {
    pub(in crate::forge::github) id: i64,
    user: Option<User>,
    pub(in crate::forge::github) state: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    commit_id: Option<CommitId>,
    #[serde(default)]
    submitted_at: Option<Timestamp>,
}

impl ReviewJson {
    /// Whether it is there to be read as a command, and so must be known to be what its author wrote.
    pub(in crate::forge::github) fn is_command(&self) -> bool {
        self.body.as_deref().is_some_and(|body| body.trim_start().starts_with("/bascule"))
    }

    /// `None` for a draft: nobody said anything yet. `was` is what a dismissed one said, where that is known; otherwise it
    /// is taken for an objection, which is the stricter. A command is read only from a text that is known to be the first.
    pub(in crate::forge::github) fn into_fact(
        self,
        forge: &ForgeName,
        was: Option<Verdict>,
        is_first_text: bool,
    ) -> Option<Review> {
        let is_lost = self.is_command() && !is_first_text;
        let verdict = match self.state.as_str() {
            // What it asked for may be less than everything.
            "APPROVED" if is_lost => Verdict::Commented,
            "APPROVED" => Verdict::Approved,
            "CHANGES_REQUESTED" => Verdict::ChangesRequested,
            "COMMENTED" => Verdict::Commented,
            "DISMISSED" => was.unwrap_or(Verdict::ChangesRequested),
            _ => return None,
        };
        let submitted = self.submitted_at?;
        Some(Review {
            id: self.id,
            comment: None,
            person: account(forge, self.user),
            verdict,
            commit: self.commit_id,
            dismissed: self.state == "DISMISSED",
            given_at: submitted,
            given_until: submitted,
            body: self.body.filter(|_| is_first_text).unwrap_or_default(),
        })
    }
}

/// An event of an issue or pull request, of any kind.
#[derive(Debug, Deserialize)]
pub(in crate::forge::github) struct EventJson {
    #[serde(default)]
    dismissed_review: Option<DismissedReview>,
}

/// An entry of a timeline, of any kind.
#[derive(Debug, Deserialize)]
pub(in crate::forge::github) struct TimelineJson {
    #[serde(default)]
    event: String,
    #[serde(default)]
    id: Option<i64>,
    #[serde(default)]
    submitted_at: Option<Timestamp>,
    #[serde(default)]
    updated_at: Option<Timestamp>,
}

impl TimelineJson {
    /// A review that nobody touched since it was submitted. One of which it is not said may have been.
    pub(in crate::forge::github) fn untouched_review(self) -> Option<i64> {
        let is_untouched =
            self.event == "reviewed" && self.updated_at.is_some() && self.updated_at == self.submitted_at;
        self.id.filter(|_| is_untouched)
    }
}

#[derive(Debug, Deserialize)]
struct DismissedReview {
    review_id: i64,
    state: String,
}

impl EventJson {
    /// Which review was dismissed, and what it had said.
    pub(in crate::forge::github) fn dismissed(self) -> Option<(i64, Verdict)> {
        let review = self.dismissed_review?;
        let verdict = match review.state.to_ascii_lowercase().as_str() {
            "approved" => Verdict::Approved,
            "commented" => Verdict::Commented,
            _ => Verdict::ChangesRequested,
        };
        Some((review.review_id, verdict))
    }
}
