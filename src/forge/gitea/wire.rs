//! Gitea's and Forgejo's JSON, as far as we read it, and its translation into facts. Fields we do not name may come,
//! go and change without breaking us.

use jiff::Timestamp;
use serde::Deserialize;

use crate::forge::facts::{
    Comment, CommitStatus, Issue, Pull, PullState, Repository, RepositoryAt, Review, StatusState, Verdict,
};
use crate::ids::{Account, CommitId, ForgeName, RepositoryKey};

/// An account. Deleted ones come as "Ghost" with -1, the forge's own (Actions) with other numbers below one.
#[derive(Debug, Deserialize)]
pub(super) struct User {
    pub(super) id: i64,
    pub(super) login: String,
    #[serde(default)]
    pub(super) email: String,
    #[serde(default)]
    pub(super) is_admin: bool,
    #[serde(default)]
    pub(super) active: bool,
    #[serde(default)]
    pub(super) prohibit_login: bool,
}

/// What Gitea shows in place of a deleted account.
const GHOST: i64 = -1;

/// The account, unless it is gone.
pub(super) fn account(forge: &ForgeName, user: Option<User>) -> Option<Account> {
    user.filter(|user| user.id != 0 && user.id != GHOST).map(|user| Account {
        forge: forge.clone(),
        id: user.id,
        login: user.login,
    })
}

/// `""` and `null` are both "none"; anything else has to be a commit.
pub(super) fn commit<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<CommitId>, D::Error> {
    match Option::<String>::deserialize(from)? {
        Some(text) if !text.is_empty() => text.parse().map(Some).map_err(serde::de::Error::custom),
        _ => Ok(None),
    }
}

/// A webhook; its secret is never in an answer.
#[derive(Debug, Deserialize)]
pub(super) struct WebhookJson {
    pub(super) id: i64,
    #[serde(default)]
    pub(super) active: bool,
    #[serde(default)]
    pub(super) events: Vec<String>,
    #[serde(default)]
    pub(super) config: WebhookConfig,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct WebhookConfig {
    #[serde(default)]
    pub(super) url: String,
    #[serde(default)]
    pub(super) content_type: String,
}

/// What our account may do in a repository.
#[derive(Debug, Deserialize)]
pub(super) struct OurPermissions {
    pub(super) permissions: PermissionsJson,
}

#[derive(Debug, Deserialize)]
pub(super) struct PermissionsJson {
    pub(super) admin: bool,
    pub(super) push: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct RepositoryJson {
    pub(super) id: i64,
    full_name: String,
    #[serde(default)]
    default_branch: String,
    #[serde(default)]
    empty: bool,
    #[serde(default)]
    archived: bool,
}

impl RepositoryJson {
    /// `None` when the name is not one we could ask for.
    pub(super) fn into_fact(self, forge: &ForgeName) -> Option<Repository> {
        let at = RepositoryAt { id: self.id, name: self.full_name.parse().ok()? };
        Some(Repository {
            key: RepositoryKey { forge: forge.clone(), id: self.id },
            at,
            default_branch: self.default_branch,
            is_empty: self.empty,
            is_archived: self.archived,
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct BranchEnd {
    #[serde(rename = "ref")]
    branch: String,
    sha: CommitId,
    #[serde(default)]
    pub(super) repo_id: i64,
    /// `null` once the repository is deleted.
    repo: Option<HeadRepository>,
}

#[derive(Debug, Deserialize)]
struct HeadRepository {
    id: i64,
    owner: Option<User>,
}

/// What is read of a pull request that was just opened.
#[derive(Deserialize)]
pub(super) struct NumberJson {
    pub(super) number: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct PullJson {
    number: i64,
    title: String,
    user: Option<User>,
    state: String,
    merged: bool,
    merged_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "commit")]
    merge_commit_sha: Option<CommitId>,
    merged_by: Option<User>,
    pub(super) base: BranchEnd,
    head: BranchEnd,
    #[serde(default, deserialize_with = "commit")]
    merge_base: Option<CommitId>,
    updated_at: Timestamp,
    #[serde(default)]
    comments: u64,
    closed_at: Option<Timestamp>,
}

impl PullJson {
    /// When it was closed; the end of time while it is open.
    pub(super) fn closed_at(&self) -> Timestamp {
        self.closed_at.unwrap_or(Timestamp::MAX)
    }

    pub(super) fn into_fact(self, forge: &ForgeName) -> Pull {
        let state = match (self.merged, self.state.as_str()) {
            (true, _) => PullState::Merged {
                commit: self.merge_commit_sha,
                by: account(forge, self.merged_by),
                at: self.merged_at,
            },
            (false, "open") => PullState::Open,
            (false, _) => PullState::Closed,
        };
        let head_repository = self.head.repo.as_ref().map(|repo| repo.id);
        let head_owner = self.head.repo.and_then(|repo| account(forge, repo.owner));
        Pull {
            number: self.number,
            title: self.title,
            author: account(forge, self.user),
            state,
            from_fork: head_repository != Some(self.base.repo_id),
            base_branch: self.base.branch,
            base: self.base.sha,
            head_branch: self.head.branch,
            head: self.head.sha,
            merge_base: self.merge_base,
            head_repository,
            head_owner,
            updated_at: self.updated_at,
            comments: self.comments,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct ReviewJson {
    id: i64,
    user: Option<User>,
    state: String,
    #[serde(default)]
    body: String,
    #[serde(default, deserialize_with = "commit")]
    commit_id: Option<CommitId>,
    dismissed: bool,
    /// When it was created, which for one that was begun as a draft is earlier than when it was given.
    submitted_at: Timestamp,
    /// When it was given, or when it was last dismissed or undismissed, which is later. Not known before 1.20.
    updated_at: Option<Timestamp>,
    #[serde(default)]
    html_url: String,
}

impl ReviewJson {
    /// `None` for a draft and for a request to review: nobody said anything yet.
    pub(super) fn into_fact(self, forge: &ForgeName) -> Option<Review> {
        let verdict = match self.state.as_str() {
            "APPROVED" => Verdict::Approved,
            "REQUEST_CHANGES" => Verdict::ChangesRequested,
            "COMMENT" => Verdict::Commented,
            _ => return None,
        };
        Some(Review {
            id: self.id,
            comment: self.html_url.rsplit_once("#issuecomment-").and_then(|(_, id)| id.parse().ok()),
            person: account(forge, self.user),
            verdict,
            commit: self.commit_id,
            dismissed: self.dismissed,
            given_at: self.submitted_at,
            given_until: self.updated_at.unwrap_or(self.submitted_at).max(self.submitted_at),
            body: self.body,
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct CommentJson {
    id: i64,
    user: Option<User>,
    body: String,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(default)]
    issue_url: String,
    #[serde(default)]
    pull_request_url: String,
}

impl CommentJson {
    pub(super) fn into_fact(self, forge: &ForgeName) -> Comment {
        let of = [&self.pull_request_url, &self.issue_url];
        Comment {
            id: self.id,
            number: of.iter().find_map(|url| url.rsplit_once('/').and_then(|(_, number)| number.parse().ok())),
            author: account(forge, self.user),
            created_at: self.created_at,
            updated_at: self.updated_at,
            body: self.body,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct IssueJson {
    number: i64,
    user: Option<User>,
    state: String,
    title: String,
    #[serde(default)]
    body: String,
    updated_at: Timestamp,
    #[serde(default)]
    comments: u64,
}

impl IssueJson {
    pub(super) fn into_fact(self, forge: &ForgeName) -> Issue {
        Issue {
            number: self.number,
            is_open: self.state == "open",
            author: account(forge, self.user),
            title: self.title,
            body: self.body,
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
    /// Gitea calls it `status` here and `state` when it is set.
    #[serde(alias = "state")]
    status: String,
    creator: Option<User>,
    #[serde(default)]
    target_url: String,
}

impl StatusJson {
    pub(super) fn into_fact(self, forge: &ForgeName) -> CommitStatus {
        let state = match self.status.as_str() {
            "success" | "skipped" => StatusState::Success,
            "pending" => StatusState::Pending,
            "failure" | "warning" => StatusState::Failure,
            _ => StatusState::Error,
        };
        let url = Some(self.target_url).filter(|url| !url.is_empty());
        CommitStatus { context: self.context, state, creator: account(forge, self.creator), url }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct BranchJson {
    pub(super) name: String,
    pub(super) commit: BranchCommit,
}

#[derive(Debug, Deserialize)]
pub(super) struct BranchCommit {
    pub(super) id: CommitId,
}

#[derive(Debug, Deserialize)]
pub(super) struct CommitJson {
    pub(super) sha: CommitId,
    pub(super) author: Option<User>,
    pub(super) committer: Option<User>,
}

/// An entry of a pull request's timeline, of any type.
#[derive(Debug, Deserialize)]
pub(super) struct TimelineJson {
    /// Of a review's entry, the number of the comment its text is shown as.
    pub(super) id: i64,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) body: String,
    pub(super) user: Option<User>,
    pub(super) created_at: Timestamp,
}

/// The body of a timeline entry of type `pull_push`.
#[derive(Debug, Deserialize)]
pub(super) struct PullPushJson {
    #[serde(default)]
    pub(super) is_force_push: bool,
    pub(super) commit_ids: Option<Vec<CommitId>>,
}

/// An entry of a repository's list of activities.
#[derive(Debug, Deserialize)]
pub(super) struct ActivityJson {
    pub(super) op_type: String,
    pub(super) act_user: Option<User>,
    #[serde(default)]
    pub(super) ref_name: String,
    #[serde(default)]
    pub(super) content: String,
    pub(super) created: Timestamp,
}

/// The content of an activity of type `commit_repo`.
#[derive(Debug, Deserialize)]
pub(super) struct PushedJson {
    #[serde(rename = "HeadCommit")]
    pub(super) head: Option<PushedCommit>,
    /// `owner/name/compare/BEFORE...AFTER`.
    #[serde(default, rename = "CompareURL")]
    compared: String,
}

impl PushedJson {
    /// Where the push found the branch. The address has a branch's name instead where the forge has no commit to name.
    pub(super) fn before(&self) -> Option<CommitId> {
        let (_, range) = self.compared.rsplit_once("/compare/")?;
        range.split_once("...").and_then(|(before, _)| before.parse().ok())
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct PushedCommit {
    #[serde(rename = "Sha1")]
    pub(super) sha: CommitId,
}

#[derive(Debug, Deserialize)]
pub(super) struct PermissionJson {
    pub(super) permission: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct TeamJson {
    pub(super) id: i64,
    pub(super) name: String,
    #[serde(default)]
    pub(super) permission: String,
    #[serde(default)]
    pub(super) units_map: std::collections::BTreeMap<String, String>,
}

/// The search's envelope.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    pub(super) data: Vec<User>,
}
