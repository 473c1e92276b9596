//! The JSON of what the fake forge remembers, with the fields of the real one that anyone could read.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::Right;
use super::super::state::{Activity, Comment, Issue, Pull, PullPush, Repository, Review, Says, State, Status, Team};

const NEVER: &str = "0001-01-01T00:00:00Z";

impl State {
    /// An account as others see it: `active` and the like are shown to site administrators only.
    pub(super) fn user_page(&self, login: &str) -> Value {
        let shown = self.users.iter().any(|user| user.login == "bascule" && user.is_site_admin);
        let Some(user) = self.users.iter().find(|user| user.login == login) else {
            return json!({ "id": -1, "login": "Ghost", "email": "ghost@noreply", "active": false });
        };
        json!({
            "id": user.id,
            "login": user.login,
            "username": user.login,
            "login_name": "",
            "source_id": 0,
            "full_name": "",
            "email": if user.is_organisation { String::new() } else { format!("{login}@example.com") },
            "html_url": format!("{}/{login}", self.url),
            "is_admin": user.is_site_admin,
            "last_login": NEVER,
            "created": "2026-01-05T09:00:00Z",
            "restricted": false,
            "active": shown || login == "bascule",
            "prohibit_login": shown && user.is_suspended,
            "visibility": "public",
        })
    }

    pub(super) fn repository_page(&self, repository: &Repository) -> Value {
        let (owner, name) = repository.name.split_once('/').unwrap();
        json!({
            "id": repository.id,
            "owner": self.user_page(owner),
            "name": name,
            "full_name": repository.name,
            "empty": repository.branches.is_empty(),
            "private": false,
            "fork": false,
            "html_url": format!("{}/{}", self.url, repository.name),
            "clone_url": format!("{}/{}.git", self.url, repository.name),
            "default_branch": "main",
            "archived": repository.is_archived,
            "permissions": { "admin": true, "push": true, "pull": true },
        })
    }

    pub(super) fn branch_page(&self, name: &str, tip: &str) -> Value {
        json!({ "name": name, "commit": { "id": tip }, "protected": false })
    }

    pub(super) fn pull_page(&self, pull: &Pull) -> Value {
        let base = self.repository(pull.repository);
        let head = self.repository(pull.head_repository);
        let merge = pull.merge.as_ref();
        let url = format!("{}/{}/pulls/{}", self.url, base.name, pull.number);
        let end = |repository: &Repository, branch: &str, sha: &str| {
            let page = if repository.is_deleted { Value::Null } else { self.repository_page(repository) };
            json!({ "label": branch, "ref": branch, "sha": sha, "repo_id": repository.id, "repo": page })
        };
        json!({
            "id": pull.number,
            "url": url,
            "number": pull.number,
            "user": self.user_page(&pull.author),
            "title": pull.title,
            "body": pull.body,
            "labels": [],
            "state": if pull.is_open { "open" } else { "closed" },
            "draft": pull.is_draft,
            "html_url": url,
            "mergeable": pull.is_open,
            "merged": merge.is_some(),
            "merged_at": merge.and(pull.closed),
            "merge_commit_sha": merge.map(|merge| &merge.commit),
            "merged_by": merge.map(|merge| self.user_page(&merge.by)),
            "base": end(base, &pull.base, base.branches.get(&pull.base).map_or("", String::as_str)),
            "head": end(head, &pull.head, &pull.head_sha),
            "merge_base": pull.merge_base,
            "comments": self.said_in(pull.repository, pull.number),
            "created_at": pull.created,
            "updated_at": pull.updated,
            "closed_at": pull.closed,
        })
    }

    /// How many comments and reviews a pull request or issue has.
    fn said_in(&self, repository: i64, number: i64) -> usize {
        self.comments.iter().filter(|said| (said.repository, said.number) == (repository, number)).count()
    }

    pub(super) fn review_page(&self, review: &Review) -> Value {
        let pull = self.pull(review.repository, review.number);
        let page = format!("{}/{}/pulls/{}", self.url, self.repository(review.repository).name, review.number);
        json!({
            "id": review.id,
            "user": self.user_page(&review.author),
            "team": null,
            "state": match review.says {
                Says::Approves => "APPROVED",
                Says::AsksForChanges => "REQUEST_CHANGES",
                Says::Remarks => "COMMENT",
            },
            "body": review.body,
            "commit_id": review.commit,
            "stale": pull.is_some_and(|pull| pull.head_sha != review.commit),
            "official": true,
            "dismissed": review.dismissed,
            "comments_count": 0,
            "submitted_at": review.created,
            "updated_at": review.updated,
            "html_url": format!("{page}#issuecomment-{}", review.comment),
            "pull_request_url": page,
        })
    }

    pub(super) fn comment_page(&self, comment: &Comment) -> Value {
        let pull = self.pull(comment.repository, comment.number).is_some();
        let kind = if pull { "pulls" } else { "issues" };
        let page = format!("{}/{}/{kind}/{}", self.url, self.repository(comment.repository).name, comment.number);
        json!({
            "id": comment.id,
            "html_url": format!("{page}#issuecomment-{}", comment.id),
            "pull_request_url": if pull { page.as_str() } else { "" },
            "issue_url": if pull { "" } else { page.as_str() },
            "user": self.user_page(&comment.author),
            "original_author": "",
            "body": comment.body,
            "assets": [],
            "created_at": comment.created,
            "updated_at": comment.updated,
        })
    }

    pub(super) fn issue_page(&self, issue: &Issue) -> Value {
        json!({
            "id": issue.number,
            "number": issue.number,
            "user": self.user_page(&issue.author),
            "title": issue.title,
            "body": issue.body,
            "state": if issue.is_open { "open" } else { "closed" },
            "comments": self.said_in(issue.repository, issue.number),
            "created_at": issue.at,
            "updated_at": issue.updated,
            "pull_request": null,
        })
    }

    /// A pull request as the issue it also is.
    pub(super) fn pull_as_issue_page(&self, pull: &Pull) -> Value {
        let mut page = self.issue_page(&Issue {
            repository: pull.repository,
            number: pull.number,
            author: pull.author.clone(),
            title: pull.title.clone(),
            body: String::new(),
            is_open: pull.is_open,
            at: pull.created,
            updated: pull.updated,
        });
        page["pull_request"] = json!({ "merged": pull.merge.is_some() });
        page
    }

    pub(super) fn status_page(&self, status: &Status) -> Value {
        json!({
            "id": status.id,
            "status": status.state,
            "target_url": status.target_url,
            "description": status.description,
            "context": status.context,
            "creator": self.user_page(&status.creator),
            "created_at": status.at,
            "updated_at": status.at,
        })
    }

    pub(super) fn activity_page(&self, activity: &Activity) -> Value {
        let content = activity.head.as_ref().map_or(String::new(), |head| {
            // Of a new branch the real one names the parent of its oldest commit, or the default branch.
            let before = activity.before.as_deref().unwrap_or("main");
            let compared = format!("{}/compare/{before}...{head}", self.repository(activity.repository).name);
            json!({ "Commits": [], "HeadCommit": { "Sha1": head }, "CompareURL": compared, "Len": 1 }).to_string()
        });
        json!({
            "id": activity.id,
            "user_id": 0,
            "op_type": if activity.head.is_some() { "commit_repo" } else { "delete_branch" },
            "act_user": self.user_page(&activity.by),
            "ref_name": format!("refs/heads/{}", activity.branch),
            "content": content,
            "comment_id": 0,
            "created": activity.at,
        })
    }

    pub(super) fn pull_push_page(&self, push: &PullPush) -> Value {
        // Newest first as they are kept, and oldest first as they are told; of a forced one, what was and what is.
        let oldest_first: Vec<&String> = match push.is_forced {
            true => push.commits.iter().collect(),
            false => push.commits.iter().rev().collect(),
        };
        let body = json!({ "is_force_push": push.is_forced, "commit_ids": oldest_first });
        timeline(push.id, "pull_push", &body.to_string(), self.user_page(&push.by), push.at)
    }

    pub(super) fn timeline_page(&self, comment: &Comment) -> Value {
        let kind = if comment.of_review { "review" } else { "comment" };
        timeline(comment.id, kind, &comment.body, self.user_page(&comment.author), comment.created)
    }

    pub(super) fn commit_page(&self, sha: &str) -> Value {
        let person = |login: &str| match self.users.iter().any(|user| user.login == login) {
            true => self.user_page(login),
            false => Value::Null,
        };
        let commit = self.commits.get(sha);
        json!({
            "sha": sha,
            "author": commit.map(|commit| person(&commit.author)),
            "committer": commit.map(|commit| person(&commit.committer)),
        })
    }

    pub(super) fn team_page(&self, team: &Team) -> Value {
        // Gitea 1.26 keeps a team's right in its units; the field beside it says `none`.
        let code = team.code.word();
        let whole = if team.code == Right::Admin { "admin" } else { "none" };
        let units = json!({ "repo.code": code, "repo.issues": code, "repo.pulls": code });
        json!({ "id": team.id, "name": team.name, "permission": whole, "units_map": units })
    }
}

fn timeline(id: i64, kind: &str, body: &str, user: Value, at: Timestamp) -> Value {
    json!({ "id": id, "type": kind, "body": body, "user": user, "created_at": at, "updated_at": at })
}
