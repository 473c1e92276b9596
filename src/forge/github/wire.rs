//! GitHub's JSON, as far as we read it, and its translation into facts. Fields we do not name may come, go and change
//! without breaking us.

mod pulls;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

pub(super) use self::pulls::{EventJson, PullJson, ReviewJson, TimelineJson};
use crate::forge::facts::{Comment, CommitCheck, CommitStatus, Issue, Push, Repository, RepositoryAt, StatusState};
use crate::ids::{Account, CommitId, ForgeName, RepositoryKey};

/// An account.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct User {
    pub(super) id: i64,
    pub(super) login: String,
    /// `User`, `Bot`, `Organization`, `Mannequin`.
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) email: Option<String>,
    /// Of GitHub Enterprise Server.
    #[serde(default)]
    pub(super) suspended_at: Option<Timestamp>,
}

/// What github.com shows in place of a deleted account.
const GHOST: (i64, &str) = (10137, "ghost");

/// The account, unless it is gone.
pub(super) fn account(forge: &ForgeName, user: Option<User>) -> Option<Account> {
    let is_ghost = |user: &User| (user.id, user.login.as_str()) == GHOST;
    let user = user.filter(|user| user.id > 0 && !is_ghost(user))?;
    Some(Account { forge: forge.clone(), id: user.id, login: user.login })
}

#[derive(Debug, Deserialize)]
pub(super) struct AppJson {
    pub(super) slug: String,
    /// What its webhook is told of.
    #[serde(default)]
    pub(super) events: Vec<String>,
}

/// Our App, as one account installed it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct InstallationJson {
    pub(super) id: i64,
    account: Option<Owner>,
    #[serde(default)]
    pub(super) permissions: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) suspended_at: Option<Timestamp>,
}

impl InstallationJson {
    /// Where it is installed; an enterprise has no login.
    pub(super) fn login(&self) -> Option<&str> {
        self.account.as_ref()?.login.as_deref()
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Owner {
    #[serde(default)]
    login: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct InstallationToken {
    pub(super) token: String,
    pub(super) expires_at: Timestamp,
    #[serde(default)]
    pub(super) repositories: Vec<RepositoryJson>,
    #[serde(default)]
    pub(super) permissions: BTreeMap<String, String>,
}

/// Where the App's deliveries go.
#[derive(Debug, Deserialize)]
pub(super) struct HookConfig {
    #[serde(default)]
    pub(super) url: String,
    #[serde(default)]
    pub(super) content_type: String,
}

/// A webhook; its secret is never in an answer.
#[derive(Debug, Deserialize)]
pub(super) struct WebhookJson {
    pub(super) id: i64,
    pub(super) active: bool,
    pub(super) events: Vec<String>,
    pub(super) config: HookConfig,
}

#[derive(Debug, Deserialize)]
pub(super) struct RepositoryJson {
    pub(super) id: i64,
    pub(super) full_name: String,
    #[serde(default)]
    default_branch: String,
    #[serde(default)]
    archived: bool,
    /// Rounded, and late; 0 before the first push.
    #[serde(default)]
    size: u64,
    #[serde(default)]
    pushed_at: Option<Timestamp>,
}

impl RepositoryJson {
    /// `None` when the name is not one we could ask for.
    pub(super) fn into_fact(self, forge: &ForgeName) -> Option<Repository> {
        let at = RepositoryAt { id: self.id, name: self.full_name.parse().ok()? };
        Some(Repository {
            key: RepositoryKey { forge: forge.clone(), id: self.id },
            at,
            default_branch: self.default_branch,
            is_empty: self.size == 0 && self.pushed_at.is_none(),
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
    pub(super) sha: CommitId,
}

#[derive(Debug, Deserialize)]
pub(super) struct CommitJson {
    pub(super) author: Option<Writer>,
    pub(super) committer: Option<Writer>,
}

/// An account, or an empty object.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Writer {
    Account(User),
    Nobody {},
}

impl Writer {
    pub(super) fn user(self) -> Option<User> {
        match self {
            Self::Account(user) => Some(user),
            Self::Nobody {} => None,
        }
    }
}

/// An entry of a repository's activity.
#[derive(Debug, Deserialize)]
pub(super) struct ActivityJson {
    before: String,
    after: String,
    #[serde(rename = "ref")]
    reference: String,
    pub(super) timestamp: Timestamp,
    actor: Option<User>,
}

impl ActivityJson {
    /// `None`: of no branch.
    pub(super) fn into_fact(self, forge: &ForgeName) -> Option<Push> {
        // Forty zeroes stand for nothing.
        let commit = |text: &str| text.bytes().any(|b| b != b'0').then(|| text.parse().ok()).flatten();
        let branch = self.reference.strip_prefix("refs/heads/")?.to_owned();
        let (before, after) = (commit(&self.before), commit(&self.after));
        Some(Push { branch, before, after, pusher: account(forge, self.actor), at: self.timestamp })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct CommentJson {
    pub(super) id: i64,
    user: Option<User>,
    #[serde(default)]
    body: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(default)]
    issue_url: String,
}

impl CommentJson {
    pub(super) fn into_fact(self, forge: &ForgeName) -> Comment {
        Comment {
            id: self.id,
            number: self.issue_url.rsplit_once('/').and_then(|(_, number)| number.parse().ok()),
            author: account(forge, self.user),
            created_at: self.created_at,
            updated_at: self.updated_at,
            body: self.body.unwrap_or_default(),
        }
    }
}

/// What is read of a pull request that was just opened.
#[derive(Deserialize)]
pub(super) struct NumberJson {
    pub(super) number: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct IssueJson {
    pub(super) number: i64,
    user: Option<User>,
    state: String,
    title: String,
    #[serde(default)]
    body: Option<String>,
    updated_at: Timestamp,
    #[serde(default)]
    comments: u64,
    /// There when it is a pull request.
    #[serde(default)]
    pub(super) pull_request: Option<serde::de::IgnoredAny>,
}

impl IssueJson {
    pub(super) fn into_fact(self, forge: &ForgeName) -> Issue {
        Issue {
            number: self.number,
            is_open: self.state == "open",
            author: account(forge, self.user),
            title: self.title,
            body: self.body.unwrap_or_default(),
            updated_at: self.updated_at,
            comments: self.comments,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct StatusJson {
    /// Rises; two of one second are told apart by nothing else.
    pub(super) id: i64,
    pub(super) context: String,
    state: String,
    #[serde(default)]
    creator: Option<User>,
    #[serde(default)]
    target_url: Option<String>,
}

impl StatusJson {
    pub(super) fn into_fact(self, forge: &ForgeName) -> CommitStatus {
        let state = match self.state.as_str() {
            "success" => StatusState::Success,
            "pending" => StatusState::Pending,
            "failure" => StatusState::Failure,
            _ => StatusState::Error,
        };
        let creator = account(forge, self.creator);
        CommitStatus { context: self.context, state, creator, url: self.target_url }
    }
}

/// The envelope of a list of check runs.
#[derive(Debug, Deserialize)]
pub(super) struct CheckRuns {
    pub(super) check_runs: Vec<CheckRunJson>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CheckRunJson {
    /// Rises.
    pub(super) id: i64,
    pub(super) name: String,
    #[serde(default)]
    pub(super) external_id: Option<String>,
    status: String,
    conclusion: Option<String>,
    html_url: Option<String>,
    app: Option<AppId>,
}

#[derive(Debug, Deserialize)]
struct AppId {
    id: i64,
}

impl CheckRunJson {
    /// Whose: each app has its own checks of a name.
    pub(super) fn app(&self) -> Option<i64> {
        self.app.as_ref().map(|app| app.id)
    }

    /// Good is what branch protection lets pass; a conclusion that is not known to us is not.
    pub(super) fn into_fact(self) -> CommitCheck {
        let state = match (self.status.as_str(), self.conclusion.as_deref()) {
            ("completed", Some("success" | "neutral" | "skipped")) => StatusState::Success,
            ("completed", _) => StatusState::Failure,
            _ => StatusState::Pending,
        };
        CommitCheck { name: self.name, state, url: self.html_url }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct PermissionJson {
    /// `admin`, `write`, `read` or `none`, also for roles of an organisation's own making.
    pub(super) permission: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct MembershipJson {
    pub(super) state: String,
}

/// The search's envelope.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    pub(super) items: Vec<User>,
}

#[derive(Debug, Deserialize)]
pub(super) struct DeploymentJson {
    pub(super) id: i64,
    /// As it was made, or as text.
    #[serde(default)]
    pub(super) payload: serde_json::Value,
}

#[derive(Debug, Deserialize)]
pub(super) struct DeploymentWordJson {
    /// Rises.
    pub(super) id: i64,
    pub(super) state: String,
}
