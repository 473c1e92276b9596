//! What GitLab itself asks for before it merges: its approval rules, which are of its paid editions. They are shown, and
//! judge nothing of ours: whoever may edit a project or merge request there may edit them, and nobody consents to that.
//!
//! `GET …/approval_state` (docs.gitlab.com/api/merge_request_approvals/) is no route of the Community Edition, which answers
//! 404; without a licence that has rules it tells of none, or of one that asks for nobody.

use super::{GitLab, parts, place, wire};
use crate::forge::MergeRule;
use crate::forge::error::{Fate, Result};
use crate::forge::facts::RepositoryAt;
use crate::forge::http::Call;

impl GitLab {
    pub(crate) async fn merge_rules(&self, at: &RepositoryAt, number: i64) -> Result<Vec<MergeRule>> {
        let path = place(at, number, &["approval_state"]);
        let call = Call { name: "merge_rules", path: &parts(&path), query: &[] };
        let state: wire::ApprovalState = match self.http.get(call).await {
            Err(error) if error.is_gone() || error.fate == Fate::Refused => return Ok(Vec::new()),
            answered => answered?,
        };
        Ok(state
            .rules
            .into_iter()
            .map(MergeRule::from)
            .filter(|rule| rule.wanted > 0 || !rule.given.is_empty())
            .collect())
    }
}
