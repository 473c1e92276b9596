//! What we read from a forge, in our own words. Nothing here is taken from a delivery.

use std::borrow::Cow;

use jiff::Timestamp;
use secrecy::SecretString;

use super::name::RepositoryName;
use crate::ids::{Account, CommitId, RepositoryKey};

/// Where to ask for a repository: its number says which one, its name is how the API wants it called. Read the name
/// anew ([`super::Forge::repository_by_id`]) when a call answers [`super::Fate::Gone`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepositoryAt {
    /// The forge's own number.
    pub id: i64,
    /// As last read.
    pub name: RepositoryName,
}

/// A repository as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Survives renames; differs after delete and re-create.
    pub key: RepositoryKey,
    /// For further calls.
    pub at: RepositoryAt,
    /// The branch `.bascule.yaml` is read from.
    pub default_branch: String,
    /// Without a commit yet.
    pub is_empty: bool,
    /// Read-only by its owner's wish.
    pub is_archived: bool,
}

/// Where a forge delivers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The forge's number of it; `None` for the one that a GitHub App has for all its repositories.
    pub id: Option<i64>,
    /// The address.
    pub url: String,
    /// Whether it delivers now.
    pub is_active: bool,
    /// Whether it delivers JSON, which is all we take.
    pub is_json: bool,
    /// The events that we act on and it is not told of, as the forge's API spells them.
    pub unheard: Vec<&'static str>,
}

/// A webhook as it has to be.
#[derive(Debug, Clone, Copy)]
pub struct NewWebhook<'a> {
    /// The address.
    pub url: &'a str,
    /// What its deliveries are signed with.
    pub secret: &'a SecretString,
}

/// A right on the forge, and whether we have it and need it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// As the forge's settings page spells it.
    pub spelt: String,
    /// Had, needed, or both.
    pub holding: Holding,
}

/// How a right that we have compares with what we need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holding {
    /// Needed, and not there.
    Missing,
    /// There, and needed for nothing.
    TooMuch,
    /// Needed and there.
    AsNeeded,
    /// Needed; the forge tells nobody whether it is there before it is used.
    NotTold,
}

/// Whether a pull request is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullState {
    /// Open.
    Open,
    /// Closed without merging.
    Closed,
    /// Merged.
    Merged {
        /// The last commit the merge made on the base branch, whatever the kind of merge. `None` when a person marked
        /// it merged by hand and named none.
        commit: Option<CommitId>,
        /// Who merged.
        by: Option<Account>,
        /// By the forge's clock.
        at: Option<Timestamp>,
    },
}

/// A pull request as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// Its number.
    pub number: i64,
    /// A stranger's text.
    pub title: String,
    /// Who opened it; `None` when the account is deleted.
    pub author: Option<Account>,
    /// Open, closed or merged.
    pub state: PullState,
    /// The branch it is for.
    pub base_branch: String,
    /// The base branch's tip now; *after* the merge once merged.
    pub base: CommitId,
    /// The head branch; of another repository when `from_fork`.
    pub head_branch: String,
    /// The head's commit.
    pub head: CommitId,
    /// Where the two met, as the forge last computed it.
    pub merge_base: Option<CommitId>,
    /// The repository the head is in; `None` when that is deleted.
    pub head_repository: Option<i64>,
    /// Whose repository that is: a person's, or an organisation's.
    pub head_owner: Option<Account>,
    /// Whether the head is in another repository.
    pub from_fork: bool,
    /// By the forge's clock. Moves with comments, reviews, dismissals, retargeting and closing; *not* with every push, and
    /// not when a comment is edited or deleted.
    pub updated_at: Timestamp,
    /// How many comments and reviews it has.
    pub comments: u64,
}

/// A stretch of the list of closed pull requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Closed or merged, newest first.
    pub pulls: Vec<Pull>,
    /// When the first of them was.
    pub newest: Option<Timestamp>,
    /// The page to go on at, when there may be more.
    pub goes_on_at: Option<usize>,
}

/// What a review says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Approves.
    Approved,
    /// Asks for changes.
    ChangesRequested,
    /// Only words.
    Commented,
}

/// A submitted review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// The forge's number of it.
    pub id: i64,
    /// The comment its text is shown as: an edit of that is told as an edit of this comment.
    pub comment: Option<i64>,
    /// Who; `None` when the account is deleted.
    pub person: Option<Account>,
    /// What it says.
    pub verdict: Verdict,
    /// The commit that was looked at.
    pub commit: Option<CommitId>,
    /// Taken back by someone, or replaced by the same person's next verdict. Also when that was undone since, as far as
    /// the forge lets it be seen.
    pub dismissed: bool,
    /// When it was submitted, by the forge's clock; where it does not say so, no earlier than this.
    pub given_at: Timestamp,
    /// The same, and no later than this.
    pub given_until: Timestamp,
    /// Its text as submitted; later edits are not in it.
    pub body: String,
}

impl Review {
    /// What the time at which its text appeared tells. The review itself is written just before, so whatever touched it
    /// later was a dismissal, or the undoing of one.
    pub(super) fn was_submitted_at(&mut self, appeared: Timestamp) {
        self.dismissed |= self.given_until > appeared;
        let submitted = appeared.clamp(self.given_at, self.given_until);
        (self.given_at, self.given_until) = (submitted, submitted);
    }
}

/// A comment of a pull request or issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// The forge's number of it.
    pub id: i64,
    /// Of which pull request or issue, when the forge says so.
    pub number: Option<i64>,
    /// Who; `None` when the account is deleted.
    pub author: Option<Account>,
    /// By the forge's clock, in whole seconds.
    pub created_at: Timestamp,
    /// Later than `created_at` when it was edited, unless within the same second: then only the delivery tells.
    pub updated_at: Timestamp,
    /// As it is now.
    pub body: String,
}

impl Comment {
    /// Whether the forge shows that the text is not the first.
    pub fn is_edited(&self) -> bool {
        self.updated_at != self.created_at
    }
}

/// What kind of account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountKind {
    /// An ordinary account, as far as the forge can know.
    Person,
    /// A bot, an organisation, or one of the forge's own accounts: never consents.
    NotAPerson,
}

/// Whether an account may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Yes.
    Active,
    /// Suspended, or never activated.
    Suspended,
    /// The forge does not show it to our account (Gitea: only site administrators see it).
    NotShown,
}

/// An account as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub account: Account,
    /// What kind.
    pub kind: AccountKind,
    /// May act?
    pub standing: Standing,
    /// An address that the forge shows and made sure is theirs; only GitHub says one.
    pub email: Option<String>,
}

/// A branch and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// Without `refs/heads/`.
    pub name: String,
    /// Its tip.
    pub tip: CommitId,
}

/// A push, from the forge's own list of what happened in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Without `refs/heads/`.
    pub branch: String,
    /// Its commit before; `None` when it was made now, or when the forge does not say.
    pub before: Option<CommitId>,
    /// Its commit afterwards; `None` when deleted or when the forge did not keep it.
    pub after: Option<CommitId>,
    /// Who.
    pub pusher: Option<Account>,
    /// By the forge's clock.
    pub at: Timestamp,
}

/// A push to a pull request's head, wherever that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullPush {
    /// The commits it brought, oldest first (of a forced push: old and new head).
    pub commits: Vec<CommitId>,
    /// Whether it took commits away.
    pub is_forced: bool,
    /// Who.
    pub pusher: Option<Account>,
    /// By the forge's clock.
    pub at: Timestamp,
}

/// Whom the forge takes for a commit's author and committer, by their addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitPeople {
    /// `None`: no account has that address (or shows it).
    pub author: Option<Account>,
    /// `None`: no account has that address (or shows it).
    pub committer: Option<Account>,
}

/// A commit status' state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusState {
    /// Not decided.
    Pending,
    /// Good.
    Success,
    /// Bad.
    Failure,
    /// Could not be found out.
    Error,
}

/// The newest status of one context on a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitStatus {
    /// Who is speaking: `ci/test`.
    pub context: String,
    /// What.
    pub state: StatusState,
    /// Which account set it.
    pub creator: Option<Account>,
    /// Where it leads, as whoever set it says.
    pub url: Option<String>,
}

/// What is reported of a commit under a name: a status, or on GitHub also the newest check of one app. Anybody who may
/// write can report under any name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitCheck {
    /// `ci/test`.
    pub name: String,
    /// What. Skipped is [`StatusState::Success`] where branch protection takes it so: not on GitLab, where a job is skipped
    /// when one before it failed.
    pub state: StatusState,
    /// Where it leads, as whoever reported it says.
    pub url: Option<String>,
}

impl From<CommitStatus> for CommitCheck {
    fn from(status: CommitStatus) -> Self {
        Self { name: status.context, state: status.state, url: status.url }
    }
}

/// A status of ours to set. Anyone with write access can set the same: branch protection should not rest on it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewStatus {
    /// `bascule/preview`.
    pub context: Cow<'static, str>,
    /// What.
    pub state: StatusState,
    /// One line.
    pub description: String,
    /// Where it leads.
    pub target_url: Option<String>,
}

/// A short answer to a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// Done.
    Agreed,
    /// Seen, and working on it.
    Seen,
    /// Refused; the comment says why.
    Confused,
}

/// An issue of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Its number, shared with pull requests.
    pub number: i64,
    /// Still open.
    pub is_open: bool,
    /// Who opened it.
    pub author: Option<Account>,
    /// As it is now.
    pub title: String,
    /// As it is now.
    pub body: String,
    /// Moves with comments, by the forge's clock; not when one is edited or deleted.
    pub updated_at: Timestamp,
    /// How many comments it has.
    pub comments: u64,
}

/// A pull request of ours to open, from a branch of the repository itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPull {
    /// The branch it is for.
    pub base_branch: String,
    /// The branch that has what it brings.
    pub head_branch: String,
    /// One line.
    pub title: String,
    /// What it says.
    pub body: String,
}
