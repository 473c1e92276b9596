//! GitLab's JSON, as far as we read it, and its translation into facts. Fields we do not name may come, go and change
//! without breaking us.

mod pulls;

use jiff::Timestamp;
use serde::Deserialize;

pub(super) use self::pulls::{ApprovalState, Approvals, Numbered, PullAt, PullJson, Reviewer};
use crate::forge::facts::{Comment, CommitStatus, Issue, Push, Repository, RepositoryAt, StatusState};
use crate::forge::name::RepositoryName;
use crate::ids::{Account, CommitId, ForgeName, Iid, RepositoryKey};

/// An account.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct User {
    pub(super) id: i64,
    pub(super) username: String,
    /// Where it is told at all.
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    pub(super) bot: bool,
    #[serde(default)]
    pub(super) public_email: Option<String>,
}

/// Whose everything is that a deleted account did.
const GHOST: &str = "ghost";

/// The account, unless it is gone.
pub(super) fn account(forge: &ForgeName, user: Option<User>) -> Option<Account> {
    let user = user.filter(|user| user.id > 0 && user.username != GHOST)?;
    Some(Account { forge: forge.clone(), id: user.id, login: user.username })
}

/// Somebody in a project or group.
#[derive(Debug, Deserialize)]
pub(super) struct Member {
    pub(super) access_level: i64,
    #[serde(default)]
    membership_state: Option<String>,
}

impl Member {
    /// Not one who waits to be let in.
    pub(super) fn is_active(&self) -> bool {
        self.membership_state.as_deref().is_none_or(|state| state == "active")
    }
}

/// A webhook; its secret is never in an answer.
#[derive(Debug, Deserialize)]
pub(super) struct WebhookJson {
    pub(super) id: i64,
    pub(super) url: String,
    #[serde(default)]
    pub(super) push_events: bool,
    #[serde(default)]
    pub(super) merge_requests_events: bool,
    #[serde(default)]
    pub(super) note_events: bool,
    /// Not told by older ones, which have no signing tokens.
    #[serde(default)]
    pub(super) signing_token_present: bool,
    #[serde(default)]
    pub(super) alert_status: Option<String>,
}

/// What a token says of itself.
#[derive(Debug, Deserialize)]
pub(super) struct TokenJson {
    pub(super) scopes: Vec<String>,
}

/// What our account may do in a project.
#[derive(Debug, Deserialize)]
pub(super) struct OurAccess {
    pub(super) permissions: OurPermissions,
}

#[derive(Debug, Deserialize)]
pub(super) struct OurPermissions {
    project_access: Option<AccessLevel>,
    group_access: Option<AccessLevel>,
}

impl OurPermissions {
    /// By membership in the project or in its group: the higher counts.
    pub(super) fn level(&self) -> i64 {
        let level = |access: &Option<AccessLevel>| access.as_ref().map_or(0, |access| access.access_level);
        level(&self.project_access).max(level(&self.group_access))
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct AccessLevel {
    access_level: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct ProjectJson {
    id: i64,
    path_with_namespace: String,
    /// `null` before the first push.
    #[serde(default)]
    default_branch: Option<String>,
    #[serde(default)]
    empty_repo: bool,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    visibility: String,
}

impl ProjectJson {
    /// Whether everybody who can sign in may read it.
    pub(super) fn is_for_everybody(&self) -> bool {
        matches!(self.visibility.as_str(), "public" | "internal")
    }

    /// `None` when the name is not one we could ask for.
    pub(super) fn into_fact(self, forge: &ForgeName) -> Option<Repository> {
        let name = RepositoryName::in_groups(&self.path_with_namespace).ok()?;
        Some(Repository {
            key: RepositoryKey { forge: forge.clone(), id: self.id },
            at: RepositoryAt { id: self.id, name },
            is_empty: self.empty_repo || self.default_branch.is_none(),
            default_branch: self.default_branch.unwrap_or_default(),
            is_archived: self.archived,
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct BranchJson {
    pub(super) name: String,
    pub(super) commit: CommitAt,
}

#[derive(Debug, Deserialize)]
pub(super) struct CommitAt {
    pub(super) id: CommitId,
}

/// Something that happened in a project.
#[derive(Debug, Deserialize)]
pub(super) struct EventJson {
    pub(super) created_at: Timestamp,
    #[serde(default)]
    author: Option<User>,
    #[serde(default)]
    push_data: Option<PushData>,
}

#[derive(Debug, Deserialize)]
struct PushData {
    #[serde(default)]
    ref_type: Option<String>,
    #[serde(rename = "ref", default)]
    reference: Option<String>,
    #[serde(default)]
    commit_from: Option<CommitId>,
    #[serde(default)]
    commit_to: Option<CommitId>,
}

impl EventJson {
    /// `None`: of no branch, or of several at once, none of which is told.
    pub(super) fn into_fact(self, forge: &ForgeName) -> Option<Push> {
        let pushed = self.push_data.filter(|pushed| pushed.ref_type.as_deref() == Some("branch"))?;
        Some(Push {
            branch: pushed.reference?,
            before: pushed.commit_from,
            after: pushed.commit_to,
            pusher: account(forge, self.author),
            at: self.created_at,
        })
    }
}

/// Something said, by somebody or by the system.
#[derive(Debug, Deserialize)]
pub(super) struct NoteJson {
    pub(super) id: i64,
    #[serde(default)]
    pub(super) body: String,
    #[serde(default)]
    pub(super) author: Option<User>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    #[serde(default)]
    pub(super) system: bool,
    /// Not for everybody who reads the merge request or issue.
    #[serde(default)]
    pub(super) internal: bool,
}

impl NoteJson {
    /// Whether it may be read as a command, and so must be known to be what its author wrote.
    pub(super) fn is_command(&self) -> bool {
        self.body.contains("/bascule")
    }

    pub(super) fn into_fact(self, forge: &ForgeName, number: i64) -> Comment {
        Comment {
            id: self.id,
            number: Some(number),
            author: account(forge, self.author),
            created_at: self.created_at,
            updated_at: self.updated_at,
            body: self.body,
        }
    }
}

/// What is read of a merge request that was just opened.
#[derive(Deserialize)]
pub(super) struct IidJson {
    pub(super) iid: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct IssueJson {
    pub(super) iid: i64,
    #[serde(default)]
    author: Option<User>,
    state: String,
    title: String,
    #[serde(default)]
    description: Option<String>,
    updated_at: Timestamp,
    #[serde(default)]
    user_notes_count: u64,
}

impl IssueJson {
    pub(super) fn into_fact(self, forge: &ForgeName) -> Issue {
        Issue {
            number: Iid::Issue(self.iid).number(),
            is_open: self.state == "opened",
            author: account(forge, self.author),
            title: self.title,
            body: self.description.unwrap_or_default(),
            updated_at: self.updated_at,
            comments: self.user_notes_count,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct StatusJson {
    pub(super) id: i64,
    pub(super) name: String,
    status: String,
    #[serde(default)]
    author: Option<User>,
    #[serde(default)]
    target_url: Option<String>,
}

impl StatusJson {
    pub(super) fn into_fact(self, forge: &ForgeName) -> CommitStatus {
        let state = match self.status.as_str() {
            "success" => StatusState::Success,
            "failed" => StatusState::Failure,
            // Nobody will say any more of these.
            "canceled" | "skipped" => StatusState::Error,
            _ => StatusState::Pending,
        };
        CommitStatus { context: self.name, state, creator: account(forge, self.author), url: self.target_url }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct DeploymentJson {
    pub(super) id: i64,
    pub(super) sha: CommitId,
    pub(super) status: String,
    #[serde(default)]
    pub(super) user: Option<User>,
}
