//! Merge requests, and who says what to them.

use jiff::Timestamp;
use serde::Deserialize;

use super::{User, account};
use crate::forge::MergeRule;
use crate::forge::facts::{Pull, PullState};
use crate::ids::{CommitId, ForgeName};

#[derive(Debug, Deserialize)]
pub(in crate::forge::gitlab) struct PullJson {
    pub(in crate::forge::gitlab) iid: i64,
    title: String,
    #[serde(default)]
    author: Option<User>,
    state: String,
    target_project_id: i64,
    /// `null` once that project is deleted.
    #[serde(default)]
    pub(in crate::forge::gitlab) source_project_id: Option<i64>,
    target_branch: String,
    source_branch: String,
    /// The head. `null` until GitLab has looked at it itself.
    #[serde(default)]
    sha: Option<CommitId>,
    /// Not in lists.
    #[serde(default)]
    diff_refs: Option<DiffRefs>,
    #[serde(default)]
    merge_commit_sha: Option<CommitId>,
    #[serde(default)]
    squash_commit_sha: Option<CommitId>,
    #[serde(default)]
    merge_user: Option<User>,
    #[serde(default)]
    merged_at: Option<Timestamp>,
    #[serde(default)]
    closed_at: Option<Timestamp>,
    pub(in crate::forge::gitlab) updated_at: Timestamp,
    #[serde(default)]
    user_notes_count: u64,
}

#[derive(Debug, Deserialize)]
struct DiffRefs {
    /// Where head and base met.
    #[serde(default)]
    base_sha: Option<CommitId>,
    /// Where the base was.
    #[serde(default)]
    start_sha: Option<CommitId>,
}

impl PullJson {
    /// When it was closed or merged; the end of time while it is open.
    pub(in crate::forge::gitlab) fn closed_at(&self) -> Timestamp {
        self.merged_at.or(self.closed_at).unwrap_or(Timestamp::MAX)
    }

    /// `None` while it has no head.
    pub(in crate::forge::gitlab) fn into_fact(self, forge: &ForgeName) -> Option<Pull> {
        let head = self.sha?;
        let state = match self.state.as_str() {
            // A merge commit is last, if there is one; else what was squashed; else the head went onto the base as it was,
            // rebased before or not (docs.gitlab.com/user/project/merge_requests/methods).
            "merged" => PullState::Merged {
                commit: Some(self.merge_commit_sha.or(self.squash_commit_sha).unwrap_or_else(|| head.clone())),
                by: account(forge, self.merge_user),
                at: self.merged_at,
            },
            "closed" => PullState::Closed,
            // `locked` while it is being merged.
            _ => PullState::Open,
        };
        let (met, base) = self.diff_refs.map_or((None, None), |refs| (refs.base_sha, refs.start_sha));
        Some(Pull {
            number: self.iid,
            title: self.title,
            author: account(forge, self.author),
            state,
            from_fork: self.source_project_id != Some(self.target_project_id),
            base_branch: self.target_branch,
            // Lists do not say it, and nothing is judged by it: where the branch is now is asked for itself.
            base: base.or_else(|| met.clone()).unwrap_or_else(|| head.clone()),
            head_branch: self.source_branch,
            head,
            merge_base: met,
            head_repository: self.source_project_id,
            head_owner: None,
            updated_at: self.updated_at,
            comments: self.user_notes_count,
        })
    }
}

impl PullJson {
    /// As merged into this branch of this project as this commit. `None`: it was not, or says itself as what.
    pub(in crate::forge::gitlab) fn into_fact_merged_as(
        self,
        forge: &ForgeName,
        (project, branch): (i64, &str),
        merged_as: &CommitId,
    ) -> Option<Pull> {
        let says_itself = self.merge_commit_sha.is_some() || self.squash_commit_sha.is_some();
        let is_here = self.target_project_id == project && self.target_branch == branch;
        if says_itself || !is_here || self.sha.as_ref() == Some(merged_as) {
            return None;
        }
        let mut pull = self.into_fact(forge)?;
        match &mut pull.state {
            PullState::Merged { commit, .. } => *commit = Some(merged_as.clone()),
            PullState::Open | PullState::Closed => return None,
        }
        Some(pull)
    }
}

/// A merge request or issue, of which only the number is wanted.
#[derive(Debug, Deserialize)]
pub(in crate::forge::gitlab) struct Numbered {
    pub(in crate::forge::gitlab) iid: i64,
}

/// A merge request that a commit is in.
#[derive(Debug, Deserialize)]
pub(in crate::forge::gitlab) struct PullAt {
    pub(in crate::forge::gitlab) iid: i64,
    pub(in crate::forge::gitlab) project_id: i64,
}

/// Who approves now.
#[derive(Debug, Deserialize)]
pub(in crate::forge::gitlab) struct Approvals {
    #[serde(default)]
    pub(in crate::forge::gitlab) approved_by: Vec<Approval>,
}

#[derive(Debug, Deserialize)]
pub(in crate::forge::gitlab) struct Approval {
    pub(in crate::forge::gitlab) user: User,
    /// Of newer versions.
    #[serde(default)]
    pub(in crate::forge::gitlab) approved_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub(in crate::forge::gitlab) struct Reviewer {
    pub(in crate::forge::gitlab) user: User,
    #[serde(default)]
    pub(in crate::forge::gitlab) state: String,
    #[serde(default)]
    pub(in crate::forge::gitlab) created_at: Option<Timestamp>,
}

/// What has to be approved by whom before GitLab merges.
#[derive(Debug, Deserialize)]
pub(in crate::forge::gitlab) struct ApprovalState {
    #[serde(default)]
    pub(in crate::forge::gitlab) rules: Vec<RuleJson>,
}

#[derive(Debug, Deserialize)]
pub(in crate::forge::gitlab) struct RuleJson {
    name: String,
    #[serde(default)]
    approvals_required: u32,
    #[serde(default)]
    approved_by: Vec<User>,
    #[serde(default)]
    approved: bool,
}

impl From<RuleJson> for MergeRule {
    fn from(rule: RuleJson) -> Self {
        Self {
            name: rule.name,
            wanted: rule.approvals_required,
            given: rule.approved_by.into_iter().map(|user| user.username).collect(),
            is_met: rule.approved,
        }
    }
}
