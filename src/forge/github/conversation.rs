//! What is said: comments, issues, reactions and statuses.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::json;

use super::{GitHub, Whom, lists, wire};
use crate::forge::error::Result;
use crate::forge::facts::{Comment, CommitCheck, CommitStatus, Issue, NewStatus, Reaction, RepositoryAt, StatusState};
use crate::forge::http::Call;
use crate::ids::CommitId;

/// Comments of one pull request or issue: GitHub itself takes no more than 2,500.
const MOST_COMMENTS: usize = 5_000;
/// Comments of a repository written or edited between two sweeps.
const MOST_CHANGED: usize = 10_000;
/// Open issues and pull requests of one account in one repository.
const MOST_ISSUES: usize = 1_000;
/// Statuses ever set on one commit: GitHub takes a thousand of one context.
const MOST_STATUSES: usize = 5_000;
/// Checks of one name on a commit, one for each app that has one: a page of them.
const MOST_CHECKS: usize = 100;

impl GitHub {
    /// All comments of a pull request or issue, oldest first; the texts of reviews are not among them.
    pub(crate) async fn comments(&self, at: &RepositoryAt, number: i64) -> Result<Vec<Comment>> {
        let number = number.to_string();
        let path = self.path(at, &["issues", &number, "comments"]);
        let call = Call { name: "comments", path: &path, query: &[] };
        let all: Vec<wire::CommentJson> =
            self.whole(Whom::Repository(at), call, MOST_COMMENTS, |comment: &wire::CommentJson| comment.id).await?;
        Ok(all.into_iter().map(|json| json.into_fact(&self.http.forge)).collect())
    }

    /// Those of the whole repository that were written or edited at `since` or later.
    pub(crate) async fn comments_changed_since(&self, at: &RepositoryAt, since: Timestamp) -> Result<Vec<Comment>> {
        let path = self.path(at, &["issues", "comments"]);
        let since = since.to_string();
        // In an order in which an edit moves none to another page.
        let query = [("since", since.as_str()), ("sort", "created"), ("direction", "asc")];
        let call = Call { name: "comments_changed_since", path: &path, query: &query };
        let all: Vec<wire::CommentJson> =
            self.whole(Whom::Repository(at), call, MOST_CHANGED, |comment: &wire::CommentJson| comment.id).await?;
        Ok(all.into_iter().map(|json| json.into_fact(&self.http.forge)).collect())
    }

    pub(crate) async fn comment(&self, at: &RepositoryAt, _: i64, comment: i64) -> Result<Comment> {
        let comment = comment.to_string();
        let path = self.path(at, &["issues", "comments", &comment]);
        let call = Call { name: "comment", path: &path, query: &[] };
        let json: wire::CommentJson = self.get(Whom::Repository(at), call).await?;
        Ok(json.into_fact(&self.http.forge))
    }

    pub(crate) async fn create_comment(&self, at: &RepositoryAt, number: i64, body: &str) -> Result<Comment> {
        let number = number.to_string();
        let path = self.path(at, &["issues", &number, "comments"]);
        let call = Call { name: "create_comment", path: &path, query: &[] };
        let json: wire::CommentJson = self.post(at, call, &json!({ "body": body })).await?;
        Ok(json.into_fact(&self.http.forge))
    }

    pub(crate) async fn edit_comment(&self, at: &RepositoryAt, _: i64, comment: i64, body: &str) -> Result<Comment> {
        let comment = comment.to_string();
        let path = self.path(at, &["issues", "comments", &comment]);
        let call = Call { name: "edit_comment", path: &path, query: &[] };
        let json: wire::CommentJson = self.patch(at, call, &json!({ "body": body })).await?;
        Ok(json.into_fact(&self.http.forge))
    }

    /// Again is the same as once, by GitHub's own doing.
    pub(crate) async fn react(&self, at: &RepositoryAt, _: i64, comment: i64, reaction: Reaction) -> Result<()> {
        let comment = comment.to_string();
        let path = self.path(at, &["issues", "comments", &comment, "reactions"]);
        let content = match reaction {
            Reaction::Agreed => "+1",
            Reaction::Seen => "eyes",
            Reaction::Confused => "confused",
        };
        let call = Call { name: "react", path: &path, query: &[] };
        let _: serde_json::Value = self.post(at, call, &json!({ "content": content })).await?;
        Ok(())
    }

    pub(crate) async fn issue(&self, at: &RepositoryAt, number: i64) -> Result<Issue> {
        let number = number.to_string();
        let path = self.path(at, &["issues", &number]);
        let json: wire::IssueJson =
            self.get(Whom::Repository(at), Call { name: "issue", path: &path, query: &[] }).await?;
        Ok(json.into_fact(&self.http.forge))
    }

    pub(crate) async fn open_issues_of(&self, at: &RepositoryAt, login: &str) -> Result<Vec<Issue>> {
        let path = self.path(at, &["issues"]);
        let query = [("state", "open"), ("creator", login), ("sort", "created"), ("direction", "asc")];
        let call = Call { name: "open_issues", path: &path, query: &query };
        let all: Vec<wire::IssueJson> =
            self.whole(Whom::Repository(at), call, MOST_ISSUES, |issue: &wire::IssueJson| issue.number).await?;
        // Pull requests are issues, too.
        let issues = all.into_iter().filter(|issue| issue.pull_request.is_none());
        Ok(issues.map(|json| json.into_fact(&self.http.forge)).collect())
    }

    pub(crate) async fn create_issue(&self, at: &RepositoryAt, title: &str, body: &str) -> Result<Issue> {
        let path = self.path(at, &["issues"]);
        let call = Call { name: "create_issue", path: &path, query: &[] };
        let json: wire::IssueJson = self.post(at, call, &json!({ "title": title, "body": body })).await?;
        Ok(json.into_fact(&self.http.forge))
    }

    pub(crate) async fn edit_issue(&self, at: &RepositoryAt, issue: &Issue) -> Result<Issue> {
        let number = issue.number.to_string();
        let path = self.path(at, &["issues", &number]);
        let state = if issue.is_open { "open" } else { "closed" };
        let body = json!({ "title": issue.title, "body": issue.body, "state": state });
        let call = Call { name: "edit_issue", path: &path, query: &[] };
        let json: wire::IssueJson = self.patch(at, call, &body).await?;
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
            "target_url": status.target_url,
        });
        let call = Call { name: "set_status", path: &path, query: &[] };
        let _: wire::StatusJson = self.post(at, call, &body).await?;
        Ok(())
    }

    /// The newest status of each context, by context.
    pub(crate) async fn statuses(&self, at: &RepositoryAt, commit: &CommitId) -> Result<Vec<CommitStatus>> {
        let path = self.path(at, &["commits", commit.as_str(), "statuses"]);
        let call = Call { name: "statuses", path: &path, query: &[] };
        let mut all: Vec<wire::StatusJson> =
            self.whole(Whom::Repository(at), call, MOST_STATUSES, |status: &wire::StatusJson| status.id).await?;
        all.sort_by(|a, b| a.context.cmp(&b.context).then(b.id.cmp(&a.id)));
        all.dedup_by(|later, kept| later.context == kept.context);
        Ok(all.into_iter().map(|json| json.into_fact(&self.http.forge)).collect())
    }

    /// Statuses, and of each app the newest check of each name: an earlier one was run again.
    pub(crate) async fn checks(
        &self,
        at: &RepositoryAt,
        commit: &CommitId,
        names: &BTreeSet<String>,
    ) -> Result<Vec<CommitCheck>> {
        let all = self.statuses(at, commit).await?.into_iter().filter(|status| names.contains(&status.context));
        let mut found: Vec<CommitCheck> = all.map(CommitCheck::from).collect();
        let path = self.path(at, &["commits", commit.as_str(), "check-runs"]);
        for name in names {
            let query = [("check_name", name.as_str()), ("filter", "latest"), ("per_page", lists::PAGE)];
            let call = Call { name: "check_runs", path: &path, query: &query };
            let mut runs: wire::CheckRuns = self.get(Whom::Repository(at), call).await?;
            if runs.check_runs.len() >= MOST_CHECKS {
                return Err(self.unusable(format!("has {MOST_CHECKS} checks of one name on a commit, or more")));
            }
            runs.check_runs.retain(|run| run.name == *name);
            runs.check_runs.sort_by_key(|run| (run.app(), std::cmp::Reverse(run.id)));
            runs.check_runs.dedup_by_key(|run| run.app());
            found.extend(runs.check_runs.into_iter().map(wire::CheckRunJson::into_fact));
        }
        Ok(found)
    }
}
