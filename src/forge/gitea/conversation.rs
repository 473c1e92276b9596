//! What is said: comments, issues, reactions and statuses.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::json;

use super::{Gitea, wire};
use crate::forge::error::Result;
use crate::forge::facts::{Comment, CommitCheck, CommitStatus, Issue, NewStatus, Reaction, RepositoryAt, StatusState};
use crate::forge::http::Call;
use crate::ids::CommitId;

/// Comments of a repository written or edited between two sweeps.
const MOST_CHANGED: usize = 10_000;
/// Open issues of one account in one repository.
const MOST_ISSUES: usize = 1_000;
/// Statuses ever set on one commit.
const MOST_STATUSES: usize = 1_000;

impl Gitea {
    /// All comments of a pull request or issue, oldest first; the texts of reviews are not among them.
    pub(crate) async fn comments(&self, at: &RepositoryAt, number: i64) -> Result<Vec<Comment>> {
        let number = number.to_string();
        let path = self.path(at, &["issues", &number, "comments"]);
        // One answer with everything: this list has no pages.
        let all: Option<Vec<wire::CommentJson>> =
            self.http.get(Call { name: "comments", path: &path, query: &[] }).await?;
        Ok(all.into_iter().flatten().map(|json| json.into_fact(&self.http.forge)).collect())
    }

    /// Those of the whole repository that were written or edited at `since` or later.
    pub(crate) async fn comments_changed_since(&self, at: &RepositoryAt, since: Timestamp) -> Result<Vec<Comment>> {
        let path = self.path(at, &["issues", "comments"]);
        let since = since.to_string();
        let query = [("since", since.as_str())];
        let call = Call { name: "comments_changed_since", path: &path, query: &query };
        let all: Vec<wire::CommentJson> = self.http.get_all(call, MOST_CHANGED).await?;
        Ok(all.into_iter().map(|json| json.into_fact(&self.http.forge)).collect())
    }

    pub(crate) async fn comment(&self, at: &RepositoryAt, _: i64, comment: i64) -> Result<Comment> {
        let comment = comment.to_string();
        let path = self.path(at, &["issues", "comments", &comment]);
        let json: Option<wire::CommentJson> = self.http.get(Call { name: "comment", path: &path, query: &[] }).await?;
        self.said(json)
    }

    pub(crate) async fn create_comment(&self, at: &RepositoryAt, number: i64, body: &str) -> Result<Comment> {
        let number = number.to_string();
        let path = self.path(at, &["issues", &number, "comments"]);
        let call = Call { name: "create_comment", path: &path, query: &[] };
        self.said(self.http.post(call, &json!({ "body": body })).await?)
    }

    pub(crate) async fn edit_comment(&self, at: &RepositoryAt, _: i64, comment: i64, body: &str) -> Result<Comment> {
        let comment = comment.to_string();
        let path = self.path(at, &["issues", "comments", &comment]);
        let call = Call { name: "edit_comment", path: &path, query: &[] };
        self.said(self.http.patch(call, &json!({ "body": body })).await?)
    }

    fn said(&self, json: Option<wire::CommentJson>) -> Result<Comment> {
        json.map(|json| json.into_fact(&self.http.forge))
            .ok_or_else(|| self.unusable("calls that no comment".to_owned()))
    }

    pub(crate) async fn react(&self, at: &RepositoryAt, _: i64, comment: i64, reaction: Reaction) -> Result<()> {
        let comment = comment.to_string();
        let path = self.path(at, &["issues", "comments", &comment, "reactions"]);
        let content = match reaction {
            Reaction::Agreed => "+1",
            Reaction::Seen => "eyes",
            Reaction::Confused => "confused",
        };
        let call = Call { name: "react", path: &path, query: &[] };
        let _: serde_json::Value = self.http.post(call, &json!({ "content": content })).await?;
        Ok(())
    }

    pub(crate) async fn issue(&self, at: &RepositoryAt, number: i64) -> Result<Issue> {
        let number = number.to_string();
        let path = self.path(at, &["issues", &number]);
        let json: wire::IssueJson = self.http.get(Call { name: "issue", path: &path, query: &[] }).await?;
        Ok(json.into_fact(&self.http.forge))
    }

    pub(crate) async fn open_issues_of(&self, at: &RepositoryAt, login: &str) -> Result<Vec<Issue>> {
        let path = self.path(at, &["issues"]);
        let query = [("state", "open"), ("type", "issues"), ("created_by", login)];
        let call = Call { name: "open_issues", path: &path, query: &query };
        let all: Vec<wire::IssueJson> = self.http.get_all(call, MOST_ISSUES).await?;
        Ok(all.into_iter().map(|json| json.into_fact(&self.http.forge)).collect())
    }

    pub(crate) async fn create_issue(&self, at: &RepositoryAt, title: &str, body: &str) -> Result<Issue> {
        let path = self.path(at, &["issues"]);
        let call = Call { name: "create_issue", path: &path, query: &[] };
        let json: wire::IssueJson = self.http.post(call, &json!({ "title": title, "body": body })).await?;
        Ok(json.into_fact(&self.http.forge))
    }

    pub(crate) async fn edit_issue(&self, at: &RepositoryAt, issue: &Issue) -> Result<Issue> {
        let number = issue.number.to_string();
        let path = self.path(at, &["issues", &number]);
        let state = if issue.is_open { "open" } else { "closed" };
        let body = json!({ "title": issue.title, "body": issue.body, "state": state });
        let call = Call { name: "edit_issue", path: &path, query: &[] };
        let json: wire::IssueJson = self.http.patch(call, &body).await?;
        Ok(json.into_fact(&self.http.forge))
    }

    pub(crate) async fn set_status(&self, at: &RepositoryAt, commit: &CommitId, status: &NewStatus) -> Result<()> {
        let path = self.path(at, &["statuses", commit.as_str()]);
        let state = match status.state {
            StatusState::Pending => "pending",
            StatusState::Success => "success",
            StatusState::Failure => "failure",
            StatusState::Error => "error",
        };
        let body = json!({
            "context": status.context,
            "state": state,
            "description": status.description,
            "target_url": status.target_url.as_deref().unwrap_or_default(),
        });
        let call = Call { name: "set_status", path: &path, query: &[] };
        let _: wire::StatusJson = self.http.post(call, &body).await?;
        Ok(())
    }

    /// The newest status of each context, by context.
    pub(crate) async fn statuses(&self, at: &RepositoryAt, commit: &CommitId) -> Result<Vec<CommitStatus>> {
        let path = self.path(at, &["commits", commit.as_str(), "statuses"]);
        let call = Call { name: "statuses", path: &path, query: &[] };
        let mut all: Vec<wire::StatusJson> = self.http.get_all(call, MOST_STATUSES).await?;
        // Not by the API's own sorting, where 1.26 has "highest" and "least" the wrong way round.
        all.sort_by(|a, b| a.context.cmp(&b.context).then(b.id.cmp(&a.id)));
        all.dedup_by(|later, kept| later.context == kept.context);
        Ok(all.into_iter().map(|json| json.into_fact(&self.http.forge)).collect())
    }

    /// Everything that is reported there is a status. The address of the forge's own Actions is a path of its pages.
    pub(crate) async fn checks(
        &self,
        at: &RepositoryAt,
        commit: &CommitId,
        names: &BTreeSet<String>,
    ) -> Result<Vec<CommitCheck>> {
        let all = self.statuses(at, commit).await?.into_iter().filter(|status| names.contains(&status.context));
        Ok(all
            .map(|mut status| {
                let page = status.url.as_deref().and_then(|url| url.strip_prefix('/'));
                if let Some(page) = page {
                    status.url = Some(self.http.site(&page.split('/').collect::<Vec<_>>()));
                }
                status.into()
            })
            .collect())
    }
}
