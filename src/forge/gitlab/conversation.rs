//! What is said: comments ("notes"), issues and reactions.
//!
//! Notes of the system are no comments ([`super::reviews`] reads them), and neither are internal ones: what others do not
//! see, nobody can hold anybody to.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::lists::List;
use super::{GitLab, graphql, parts, place, project, wire};
use crate::forge::error::{Fate, ForgeError, Result};
use crate::forge::facts::{Comment, Issue, Reaction, RepositoryAt};
use crate::forge::http::Call;
use crate::ids::Iid;

/// Notes of one merge request or issue: GitLab itself takes no more than 5,000 comments (docs.gitlab.com, "instance
/// limits"), and writes some of its own.
const MOST_NOTES: usize = 20_000;
/// Open issues of one account in one project.
const MOST_ISSUES: usize = 1_000;
/// Merge requests and issues that changed between two sweeps.
const MOST_CHANGED: usize = 5_000;
/// What is said moves a merge request's time when that is a minute old, and not before (`ThrottledTouch`).
const THROTTLED_FOR: SignedDuration = SignedDuration::from_secs(61);
/// Notes asked about in one GraphQL query: far below its limit of complexity.
const ASKED_AT_ONCE: usize = 20;

impl GitLab {
    /// All comments of a merge request or issue, oldest first.
    pub(crate) async fn comments(&self, at: &RepositoryAt, number: i64) -> Result<Vec<Comment>> {
        let path = place(at, number, &["notes"]);
        let query = [("sort", "asc"), ("order_by", "created_at"), ("activity_filter", "only_comments")];
        let list = List { name: "comments", path: &path, query: &query, most: MOST_NOTES };
        let notes: Vec<wire::NoteJson> = self.whole(list, |note: &wire::NoteJson| note.id).await?;
        self.comments_of(number, notes).await
    }

    /// Those of the whole project that were written or edited at `since` or later. There is no list of them: everything
    /// that may have had one is looked into.
    pub(crate) async fn comments_changed_since(&self, at: &RepositoryAt, since: Timestamp) -> Result<Vec<Comment>> {
        let from = since.checked_sub(THROTTLED_FOR).unwrap_or(since).to_string();
        let query = [("scope", "all"), ("updated_after", from.as_str()), ("order_by", "created_at"), ("sort", "asc")];
        let (pulls, issues) = (project(at, &["merge_requests"]), project(at, &["issues"]));
        let list = List { name: "pulls_changed", path: &pulls, query: &query, most: MOST_CHANGED };
        let pulls: Vec<wire::Numbered> = self.all(list).await?;
        // Of issues, ours alone are read.
        let ours = self.ourselves().await?.login;
        let query = [&query[..], &[("author_username", ours.as_str())]].concat();
        let list = List { name: "issues_changed", path: &issues, query: &query, most: MOST_CHANGED };
        let issues: Vec<wire::Numbered> = self.all(list).await?;
        let numbers = pulls.into_iter().map(|pull| Iid::MergeRequest(pull.iid).number());
        let numbers = numbers.chain(issues.into_iter().map(|issue| Iid::Issue(issue.iid).number()));
        let mut changed = Vec::new();
        for number in numbers.collect::<Vec<_>>() {
            let mut notes = self.notes_changed_since(at, number, since).await?;
            notes.reverse();
            changed.extend(self.comments_of(number, notes).await?);
        }
        Ok(changed)
    }

    async fn notes_changed_since(
        &self,
        at: &RepositoryAt,
        number: i64,
        since: Timestamp,
    ) -> Result<Vec<wire::NoteJson>> {
        let path = place(at, number, &["notes"]);
        let query = [("sort", "desc"), ("order_by", "updated_at"), ("activity_filter", "only_comments")];
        let list = List { name: "comments_changed_since", path: &path, query: &query, most: MOST_NOTES };
        let mut notes = Vec::new();
        for page in 1.. {
            let (found, goes_on) = self.page::<wire::NoteJson>(list, page).await?;
            let ended = found.last().is_none_or(|oldest| oldest.updated_at < since);
            notes.extend(found.into_iter().filter(|note| note.updated_at >= since));
            if ended || !goes_on {
                break;
            }
        }
        Ok(notes)
    }

    pub(crate) async fn comment(&self, at: &RepositoryAt, number: i64, comment: i64) -> Result<Comment> {
        let path = place(at, number, &["notes", &comment.to_string()]);
        let note: wire::NoteJson = self.http.get(Call { name: "comment", path: &parts(&path), query: &[] }).await?;
        let found = self.comments_of(number, vec![note]).await?.pop();
        found.ok_or_else(|| self.http.error(Fate::Gone, None, "has no comment there that everybody sees".to_owned()))
    }

    pub(crate) async fn create_comment(&self, at: &RepositoryAt, number: i64, body: &str) -> Result<Comment> {
        let path = place(at, number, &["notes"]);
        let call = Call { name: "create_comment", path: &parts(&path), query: &[] };
        let note: wire::NoteJson = self.http.post(call, &json!({ "body": body })).await?;
        Ok(note.into_fact(&self.http.forge, number))
    }

    pub(crate) async fn edit_comment(
        &self,
        at: &RepositoryAt,
        number: i64,
        comment: i64,
        body: &str,
    ) -> Result<Comment> {
        let path = place(at, number, &["notes", &comment.to_string()]);
        let call = Call { name: "edit_comment", path: &parts(&path), query: &[] };
        let note: wire::NoteJson = self.put(call, &json!({ "body": body })).await?;
        Ok(note.into_fact(&self.http.forge, number))
    }

    /// Again is refused, and the same as once.
    pub(crate) async fn react(&self, at: &RepositoryAt, number: i64, comment: i64, reaction: Reaction) -> Result<()> {
        let path = place(at, number, &["notes", &comment.to_string(), "award_emoji"]);
        let name = match reaction {
            Reaction::Agreed => "thumbsup",
            Reaction::Seen => "eyes",
            Reaction::Confused => "confused",
        };
        let call = Call { name: "react", path: &parts(&path), query: &[] };
        match self.http.post::<Value>(call, &json!({ "name": name })).await {
            Err(error) if is_there_already(&error) => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Comments of notes. One with a command that looks edited may have been reacted to only, and GraphQL tells.
    async fn comments_of(&self, number: i64, notes: Vec<wire::NoteJson>) -> Result<Vec<Comment>> {
        let notes: Vec<wire::NoteJson> = notes.into_iter().filter(|note| !note.system && !note.internal).collect();
        let doubtful = notes.iter().filter(|note| note.updated_at != note.created_at && note.is_command());
        let doubtful: Vec<i64> = doubtful.map(|note| note.id).collect();
        let mut untouched = BTreeSet::new();
        for some in doubtful.chunks(ASKED_AT_ONCE) {
            untouched.extend(self.untouched_of(some).await?);
        }
        let fact = |note: wire::NoteJson| {
            let mut comment = note.into_fact(&self.http.forge, number);
            if untouched.contains(&comment.id) {
                comment.updated_at = comment.created_at;
            }
            comment
        };
        Ok(notes.into_iter().map(fact).collect())
    }

    /// Those of some notes whose text nobody edited: nobody is named who did, and (of an account that was deleted since)
    /// no other time is told either.
    async fn untouched_of(&self, notes: &[i64]) -> Result<Vec<i64>> {
        let asked = notes.iter().map(|id| {
            format!("n{id}: note(id: \"gid://gitlab/Note/{id}\") {{ id updatedAt lastEditedAt lastEditedBy {{ id }} }}")
        });
        let query = format!("query {{ {} }}", asked.collect::<Vec<_>>().join(" "));
        let found = match self.graphql("comment_edits", &query, Value::Object(Map::new())).await {
            Err(error) if !error.is_passing() => return Ok(Vec::new()),
            found => found?,
        };
        let is_untouched = |note: &Value| {
            graphql::number(&note["id"]).is_some()
                && note["lastEditedBy"].is_null()
                && [&note["updatedAt"], &Value::Null].contains(&&note["lastEditedAt"])
        };
        Ok(notes.iter().copied().filter(|id| is_untouched(&found[format!("n{id}").as_str()])).collect())
    }

    pub(crate) async fn issue(&self, at: &RepositoryAt, number: i64) -> Result<Issue> {
        let path = self.issue_path(at, number)?;
        let json: wire::IssueJson = self.http.get(Call { name: "issue", path: &parts(&path), query: &[] }).await?;
        Ok(json.into_fact(&self.http.forge))
    }

    pub(crate) async fn open_issues_of(&self, at: &RepositoryAt, login: &str) -> Result<Vec<Issue>> {
        let path = project(at, &["issues"]);
        let query = [
            ("scope", "all"),
            ("state", "opened"),
            ("author_username", login),
            ("order_by", "created_at"),
            ("sort", "asc"),
        ];
        let list = List { name: "open_issues", path: &path, query: &query, most: MOST_ISSUES };
        let all: Vec<wire::IssueJson> = self.whole(list, |issue: &wire::IssueJson| issue.iid).await?;
        Ok(all.into_iter().map(|json| json.into_fact(&self.http.forge)).collect())
    }

    pub(crate) async fn create_issue(&self, at: &RepositoryAt, title: &str, body: &str) -> Result<Issue> {
        let path = project(at, &["issues"]);
        let call = Call { name: "create_issue", path: &parts(&path), query: &[] };
        let json: wire::IssueJson = self.http.post(call, &json!({ "title": title, "description": body })).await?;
        Ok(json.into_fact(&self.http.forge))
    }

    pub(crate) async fn edit_issue(&self, at: &RepositoryAt, issue: &Issue) -> Result<Issue> {
        let path = self.issue_path(at, issue.number)?;
        let state = if issue.is_open { "reopen" } else { "close" };
        let body = json!({ "title": issue.title, "description": issue.body, "state_event": state });
        let call = Call { name: "edit_issue", path: &parts(&path), query: &[] };
        let json: wire::IssueJson = self.put(call, &body).await?;
        Ok(json.into_fact(&self.http.forge))
    }

    /// A merge request is no issue.
    fn issue_path(&self, at: &RepositoryAt, number: i64) -> Result<Vec<String>> {
        match Iid::of(number) {
            Iid::Issue(_) => Ok(place(at, number, &[])),
            Iid::MergeRequest(_) => Err(self.http.error(Fate::Gone, None, format!("has no issue {number}"))),
        }
    }
}

/// "404 Award Emoji Name has already been taken Not Found", by `lib/api/award_emoji.rb`.
fn is_there_already(error: &ForgeError) -> bool {
    error.is_gone() && error.what.contains("already been taken")
}
