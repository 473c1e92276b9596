//! The JSON of things, as the REST API shows them.

use serde_json::{Value, json};

use super::super::state::{Comment, Issue, Pull, Repository, Review, Says, State, Status};
use super::graphql::global;

const LONG_AGO: &str = "2025-01-01T00:00:00.000Z";

impl State {
    pub(super) fn gl_user_id(&self, login: &str) -> i64 {
        self.users.iter().find(|user| user.login == login).map_or(0, |user| user.id)
    }

    /// As everything has it that somebody did.
    pub(super) fn gl_user(&self, login: &str) -> Value {
        let user = self.users.iter().find(|user| user.login == login);
        json!({
            "id": self.gl_user_id(login),
            "username": login,
            "public_email": "",
            "name": login,
            "state": if user.is_some_and(|user| user.is_suspended) { "blocked" } else { "active" },
            "locked": false,
            "avatar_url": null,
            "web_url": format!("{}/{login}", self.url),
        })
    }

    /// The account of a commit's author, in GraphQL.
    pub(super) fn gl_known(&self, login: &str) -> Value {
        match self.users.iter().find(|user| user.login == login && !user.is_organisation) {
            Some(user) => json!({ "id": global("User", user.id), "username": login }),
            None => Value::Null,
        }
    }

    pub(super) fn gl_project(&self, repository: &Repository) -> Value {
        let (owner, name) = repository.name.rsplit_once('/').unwrap();
        let is_empty = repository.branches.is_empty();
        let web = format!("{}/{}", self.url, repository.name);
        json!({
            "id": repository.id,
            "description": null,
            "name": name,
            "name_with_namespace": format!("{owner} / {name}"),
            "path": name,
            "path_with_namespace": repository.name,
            "created_at": LONG_AGO,
            "default_branch": if is_empty { Value::Null } else { "main".into() },
            "http_url_to_repo": format!("{web}.git"),
            "web_url": web,
            "namespace": { "id": self.gl_user_id(owner), "name": owner, "path": owner, "kind": "group", "full_path": owner },
            "empty_repo": is_empty,
            "archived": repository.is_archived,
            "visibility": "private",
            "merge_method": "merge",
            "squash_option": "default_off",
            "permissions": { "project_access": { "access_level": 40, "notification_level": 3 }, "group_access": null },
        })
    }

    pub(super) fn gl_branch(&self, name: &str, tip: &str) -> Value {
        json!({
            "name": name, "commit": self.gl_commit(tip), "merged": false, "protected": name == "main",
            "developers_can_push": false, "developers_can_merge": false, "can_push": true, "default": name == "main",
            "web_url": format!("{}/-/tree/{name}", self.url),
        })
    }

    pub(super) fn gl_commit(&self, sha: &str) -> Value {
        let known = self.commits.get(sha);
        let (author, committer) =
            known.map_or(("nobody", "nobody"), |one| (one.author.as_str(), one.committer.as_str()));
        json!({
            "id": sha, "short_id": &sha[..8], "created_at": LONG_AGO, "parent_ids": [], "title": "Change files",
            "message": "Change files", "author_name": author, "author_email": format!("{author}@example.com"),
            "authored_date": LONG_AGO, "committer_name": committer,
            "committer_email": format!("{committer}@example.com"), "committed_date": LONG_AGO,
            "web_url": format!("{}/-/commit/{sha}", self.url),
        })
    }

    pub(super) fn gl_state(&self, pull: &Pull) -> &'static str {
        match (pull.is_open, &pull.merge) {
            (true, _) => "opened",
            (false, Some(_)) => "merged",
            (false, None) => "closed",
        }
    }

    /// As the list has it.
    pub(super) fn gl_pull_in_list(&self, pull: &Pull) -> Value {
        let source = self.repository(pull.head_repository);
        let merged = pull.merge.as_ref();
        let by = merged.map_or(Value::Null, |merged| self.gl_user(&merged.by));
        // Nothing was made by a fast-forward. One that was squashed, or rebased and then merged, says so elsewhere.
        let named = merged.filter(|merged| merged.is_named).map(|merged| merged.commit.clone());
        let commit = named.filter(|commit| *commit != pull.head_sha);
        let is_squash = commit.is_some() && merged.is_some_and(|merged| merged.is_squash);
        json!({
            "id": pull.repository * 10_000 + pull.number,
            "iid": pull.number,
            "project_id": pull.repository,
            "title": pull.title,
            "description": pull.body,
            "state": self.gl_state(pull),
            "created_at": pull.created,
            "updated_at": pull.updated,
            "merged_by": by.clone(),
            "merge_user": by,
            "merged_at": merged.and(pull.closed),
            "closed_by": null,
            "closed_at": if merged.is_some() { None } else { pull.closed },
            "target_branch": pull.base,
            "source_branch": pull.head,
            "user_notes_count": self.gl_said_in(pull.repository, pull.number),
            "upvotes": 0,
            "downvotes": 0,
            "author": self.gl_user(&pull.author),
            "assignees": [],
            "assignee": null,
            "reviewers": [],
            "source_project_id": if source.is_deleted { None } else { Some(source.id) },
            "target_project_id": pull.repository,
            "labels": [],
            "draft": pull.is_draft,
            "work_in_progress": pull.is_draft,
            "milestone": null,
            "merge_when_pipeline_succeeds": false,
            "merge_status": "can_be_merged",
            "detailed_merge_status": "mergeable",
            "sha": pull.head_sha,
            "merge_commit_sha": if is_squash { None } else { commit.clone() },
            "squash_commit_sha": if is_squash { commit } else { None },
            "discussion_locked": null,
            "should_remove_source_branch": null,
            "reference": format!("!{}", pull.number),
            "web_url": format!("{}/{}/-/merge_requests/{}", self.url, self.repository(pull.repository).name, pull.number),
            "squash": false,
            "has_conflicts": false,
        })
    }

    /// As it is shown by itself.
    pub(super) fn gl_pull(&self, pull: &Pull) -> Value {
        let mut page = self.gl_pull_in_list(pull);
        page["diff_refs"] =
            json!({ "base_sha": pull.merge_base, "head_sha": pull.head_sha, "start_sha": pull.base_sha });
        page["changes_count"] = "1".into();
        page["user"] = json!({ "can_merge": false });
        page
    }

    /// Who approves now: number, login, and since when.
    pub(super) fn gl_approved_by(&self, pull: &Pull) -> Vec<(i64, String, jiff::Timestamp)> {
        let mine = |review: &&Review| {
            (review.repository, review.number) == (pull.repository, pull.number)
                && review.says == Says::Approves
                && !review.dismissed
        };
        let by = self.reviews.iter().filter(mine);
        by.map(|one| (self.gl_user_id(&one.author), one.author.clone(), one.created)).collect()
    }

    fn gl_said_in(&self, repository: i64, number: i64) -> usize {
        let mine = |said: &&Comment| (said.repository, said.number) == (repository, number) && !said.of_review;
        self.comments.iter().filter(mine).count()
    }

    pub(super) fn gl_issue(&self, issue: &Issue) -> Value {
        let iid = self.issue_iid(issue);
        json!({
            "id": issue.repository * 10_000 + 5_000 + issue.number,
            "iid": iid,
            "project_id": issue.repository,
            "title": issue.title,
            "description": issue.body,
            "state": if issue.is_open { "opened" } else { "closed" },
            "created_at": issue.at,
            "updated_at": issue.updated,
            "closed_at": if issue.is_open { Value::Null } else { json!(issue.updated) },
            "author": self.gl_user(&issue.author),
            "user_notes_count": self.gl_said_in(issue.repository, issue.number),
            "labels": [],
            "assignees": [],
            "confidential": false,
            "issue_type": "issue",
            "web_url": format!("{}/{}/-/issues/{iid}", self.url, self.repository(issue.repository.abs()).name),
        })
    }

    fn gl_place(&self, repository: i64, number: i64) -> (&'static str, usize) {
        let is_it = |issue: &&Issue| (issue.repository, issue.number) == (repository, number);
        match self.issues.iter().find(is_it) {
            Some(issue) => ("Issue", self.issue_iid(issue)),
            None => ("MergeRequest", usize::try_from(number).unwrap()),
        }
    }

    pub(super) fn gl_note(&self, comment: &Comment) -> Value {
        let (kind, iid) = self.gl_place(comment.repository, comment.number);
        json!({
            "id": comment.id,
            "type": null,
            "body": comment.body,
            "author": self.gl_user(&comment.author),
            "created_at": comment.created,
            "updated_at": comment.updated,
            "system": false,
            "noteable_id": comment.repository * 10_000 + comment.number,
            "noteable_type": kind,
            "project_id": comment.repository,
            "resolvable": false,
            "confidential": false,
            "internal": false,
            "noteable_iid": iid,
            "commands_changes": {},
        })
    }

    /// What the system writes of a review.
    pub(super) fn gl_line(&self, review: &Review) -> Value {
        let body = match review.says {
            Says::Approves => "approved this merge request",
            Says::AsksForChanges => "requested changes",
            Says::Remarks => panic!("a remark is a comment"),
        };
        json!({
            "id": review.id,
            "type": null,
            "body": body,
            "author": self.gl_user(&review.author),
            "created_at": review.created,
            "updated_at": review.created,
            "system": true,
            "noteable_id": review.repository * 10_000 + review.number,
            "noteable_type": "MergeRequest",
            "project_id": review.repository,
            "resolvable": false,
            "confidential": false,
            "internal": false,
            "noteable_iid": review.number,
            "commands_changes": {},
        })
    }

    pub(super) fn gl_status(&self, status: &Status) -> Value {
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let word = if ["failure", "error"].contains(&status.state.as_str()) { "failed" } else { &status.state };
        json!({
            "id": status.id, "sha": status.commit, "ref": "main", "status": word, "name": status.context,
            "target_url": text(&status.target_url), "description": text(&status.description),
            "created_at": status.at, "started_at": null, "finished_at": status.at, "allow_failure": false,
            "coverage": null, "author": self.gl_user(&status.creator), "pipeline_id": 1,
        })
    }

    pub(super) fn gl_hook(&self, at: &Repository, to: &str) -> Value {
        json!({
            "id": 1, "url": to, "name": "", "description": "", "project_id": at.id, "push_events": true,
            "issues_events": false, "merge_requests_events": true, "note_events": true, "tag_push_events": false,
            "enable_ssl_verification": true, "alert_status": "executable", "disabled_until": null,
            "signing_token_present": true, "created_at": LONG_AGO,
        })
    }
}
