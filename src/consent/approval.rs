//! Approvals as facts: what was shown, what somebody gave, and what we recorded of it (rule 4).

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::waiver::Denial;
use crate::ids::{Account, ChangeDigest, CommitId, EnvironmentName, ObjectHash, SetDigest};
use crate::policy::rules::ApprovalSource;

/// Whose change was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShownAs {
    /// The pull request's own: from its base to the merge result.
    Pull,
    /// A held change of the environment, in a pull request already merged or in an issue of ours.
    Held,
}

/// One change of one environment that our comment had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Of which environment.
    pub environment: EnvironmentName,
    /// Whose.
    pub shown_as: ShownAs,
    /// Which preview it belongs to.
    pub preview: i64,
    /// For which commit: the pull request's head, or the commit a held change ends in.
    pub head: CommitId,
    /// The set it begins from; `None` is the empty set.
    pub old_set: Option<SetDigest>,
    /// The set it ends in.
    pub new_set: SetDigest,
    /// The change.
    pub change: ChangeDigest,
    /// The number of deletions an approval of it has to carry, when there are more than the rules let pass unsaid.
    pub deletions: Option<u64>,
    /// What policies deny of it and somebody may waive, as it was shown.
    pub denials: BTreeSet<Denial>,
    /// When the comment had it first, by the forge's clock. `None`: written, but the forge's answer was lost. Such a
    /// change may have been read, so it makes a choice ambiguous; nothing is bound to it.
    pub from: Option<Timestamp>,
}

/// What somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Every environment shown that they may approve: an approving review, or `approve` alone.
    Everything,
    /// `approve ENV`, patterns already resolved to names.
    Environments(BTreeSet<EnvironmentName>),
    /// `approve ENV DIGEST`, eight digits or more.
    Change(EnvironmentName, String),
    /// `waive POLICY [ENV [DIGEST]]`: that a policy's denial passes. Never consent to the change itself.
    Waiver {
        /// The policy.
        policy: String,
        /// Of which environments; `None` is all in which it was shown.
        environments: Option<BTreeSet<EnvironmentName>>,
        /// Digits of the denial.
        digest: Option<String>,
    },
}

/// A review or a command that means to approve, as the forge tells it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Who, by the forge's own account of the event.
    pub person: Account,
    /// How.
    pub source: ApprovalSource,
    /// The review's or the comment's number.
    pub source_id: i64,
    /// For which commit: a review's own; `None` for a command, and for a review that names none.
    pub head: Option<CommitId>,
    /// For what.
    pub wanted: Wanted,
    /// The number of `--deletions`.
    pub deletions: Option<u64>,
    /// The text of `--reason`.
    pub reason: Option<String>,
    /// When, by the forge's clock.
    pub at: Timestamp,
    /// Whether its text was changed since.
    pub text: Text,
}

/// Whether a text is still what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// As sent, or there is none that matters.
    Unedited,
    /// Changed by somebody, who need not be its author.
    Edited,
}

/// Where approvals are given: a pull request, or an issue of ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its number.
    pub number: i64,
    /// The branch it is for.
    pub base_branch: String,
}

/// What one approval is, within its repository: one review or comment gives at most one per environment, ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ApprovalKey {
    /// Of which environment.
    pub environment: EnvironmentName,
    /// How.
    pub source: ApprovalSource,
    /// The review's or the comment's number.
    pub source_id: i64,
}

/// A person's consent to one change: what is recorded, and never altered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Which one it is.
    pub key: ApprovalKey,
    /// Where it was given: it counts for this pull request merged into this branch, and nowhere else.
    pub place: Place,
    /// The commit that was shown.
    pub head: CommitId,
    /// Whose change.
    pub shown_as: ShownAs,
    /// The set the change begins from.
    pub old_set: Option<SetDigest>,
    /// The set it ends in.
    pub new_set: SetDigest,
    /// The change consented to.
    pub change: ChangeDigest,
    /// The preview.
    pub preview: i64,
    /// Who.
    pub person: Account,
    /// The entry in force when it was given.
    pub policy: ObjectHash,
    /// The number of deletions it carries.
    pub deletions: Option<u64>,
    /// Why: of an owner's consent to a held change, and of a waiver.
    pub reason: Option<String>,
    /// The denial that it waives. Such a one is consent to that alone, and none to the change.
    pub waives: Option<Denial>,
    /// When, by the forge's clock.
    pub at: Timestamp,
}

/// An approval with what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// What was recorded.
    pub approval: Approval,
    /// What became of it.
    pub state: State,
}

/// What became of an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It may count.
    Stands,
    /// Void, for ever, for this reason.
    Void(String),
    /// A sync was started on it: it counts once.
    UsedUp,
}
