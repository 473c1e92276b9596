//! What happened: the closed list of forge-neutral facts a delivery can carry.
//!
//! An event names things, it does not describe them: whoever acts on it reads the truth from the forge. The only
//! exceptions are what the truth cannot tell any more later, such as who pushed and what a branch was before. A forge
//! may send events late, twice, in any order or never, so nothing may depend on having seen one.

pub mod back_to;
pub mod command;
pub mod deploys;
pub mod of_object;
pub mod queue;
pub mod selector;
pub mod until;

use serde::{Deserialize, Serialize};

use crate::ids::{Account, CommitId};

/// One delivery, read: about which repository, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The repository it is about; none for a ping of an organisation's webhook, several where an app was given them.
    pub repositories: Vec<NamedRepository>,
    /// What happened.
    pub event: Event,
}

/// A repository as a delivery names it. The number identifies it; the name is as of the sending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedRepository {
    /// The forge's own number.
    pub id: i64,
    /// `owner/name`.
    pub full_name: String,
}

/// What happened. A new kind of event is a new variant here and an arm in `jobs::route`, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A pull request was opened, closed, merged, reopened, retargeted, renamed, or its head moved.
    PullChanged {
        /// The pull request.
        number: i64,
        /// Who moved its head, and to where, when that is what happened.
        head_push: Option<HeadPush>,
    },
    /// A review was given, or changed.
    ReviewChanged {
        /// The pull request.
        number: i64,
    },
    /// The text of a review was edited: it consents to nothing any more.
    ReviewEdited {
        /// The pull request.
        number: i64,
        /// The review.
        review: i64,
    },
    /// Somebody asked on the forge for another look: that a check of ours runs again.
    LookAsked {
        /// At these pull requests; none where the forge names none, as of a fork's.
        numbers: Vec<i64>,
        /// The commit whose check it is.
        head: CommitId,
    },
    /// A merge queue asks whether it may merge a group.
    GroupFormed {
        /// Its branch, without `refs/heads/`.
        branch: String,
    },
    /// A comment was written on a pull request or an issue.
    CommentCreated {
        /// The pull request or issue.
        number: i64,
        /// The comment.
        comment: i64,
        /// Who wrote it, by the forge's own number: what we wrote ourselves is no news.
        by: Option<i64>,
    },
    /// A comment (or the text of a review) was edited or deleted: it consents to nothing any more.
    CommentEdited {
        /// The pull request or issue.
        number: i64,
        /// The comment.
        comment: i64,
        /// Who edited what they had written themselves; `None` when it was somebody else's, or was deleted.
        by: Option<i64>,
    },
    /// A branch was created, moved or deleted.
    Pushed {
        /// Without `refs/heads/`.
        branch: String,
        /// Its commit before; `None` when it was created now.
        before: Option<CommitId>,
        /// Its commit after; `None` when it was deleted.
        after: Option<CommitId>,
        /// Who; `None` when the forge names nobody.
        pusher: Option<Account>,
    },
    /// What a CI reports of a commit has come to an end, good or bad. It is no fact about the repository: it comes with every
    /// step of every check, and would spoil each judgement that was made just before it. The gate reads checks itself.
    ChecksChanged,
    /// The repository was created, renamed, transferred or deleted, or its settings changed.
    RepositoryChanged,
    /// An app was given or lost more repositories than the delivery is taken at its word for: the forge is asked for them.
    InstallationChanged,
    /// The forge tries the webhook.
    Ping,
    /// Known to be of no interest, or not known at all; kept, and nothing is done.
    Ignored {
        /// For the list of deliveries.
        why: &'static str,
    },
}

/// A push to the head of a pull request, which may be in a fork whose push deliveries we never see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadPush {
    /// The head when the forge wrote the delivery: at a quick second push it may already be that one's.
    pub after: CommitId,
    /// Who.
    pub pusher: Account,
}
