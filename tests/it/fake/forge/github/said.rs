//! The JSON of pull requests, reviews, issues and comments.

use serde_json::{Value, json};

use super::super::state::{Comment, Issue, Pull, Repository, Review, Says, State};
use super::page::object;

/// Kinds of reactions, each counted.
const REACTIONS: [&str; 8] = ["+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes"];

impl State {
    /// As the list has it.
    pub(super) fn gh_pull_simple(&self, pull: &Pull) -> Value {
        let base = self.repository(pull.repository);
        let head = self.repository(pull.head_repository);
        let number = pull.number;
        let url = self.gh_repository_url(base.id, &format!("pulls/{number}"));
        let issue = self.gh_repository_url(base.id, &format!("issues/{number}"));
        let html = format!("{}/{}/pull/{number}", self.url, base.name);
        let statuses = self.gh_repository_url(base.id, &format!("statuses/{}", pull.head_sha));
        let end = |repository: &Repository, branch: &str, sha: &str| {
            let owner = repository.name.split('/').next().unwrap();
            let page = if repository.is_deleted { Value::Null } else { self.gh_repository(repository) };
            let (user, label) = (self.gh_user(owner), format!("{owner}:{branch}"));
            json!({ "label": label, "ref": branch, "sha": sha, "user": user, "repo": page })
        };
        let link = |url: String| json!({ "href": url });
        let merge = pull.merge.as_ref().map(|merge| merge.commit.clone());
        json!({
            "url": url,
            "id": pull.repository * 10_000 + number,
            "node_id": format!("PR_{}_{number}", pull.repository),
            "html_url": html,
            "diff_url": format!("{html}.diff"),
            "patch_url": format!("{html}.patch"),
            "issue_url": issue,
            "number": number,
            "state": if pull.is_open { "open" } else { "closed" },
            "locked": false,
            "title": pull.title,
            "user": self.gh_user(&pull.author),
            "body": null,
            "created_at": pull.created,
            "updated_at": pull.updated,
            "closed_at": pull.closed,
            "merged_at": pull.merge.as_ref().and(pull.closed),
            "merge_commit_sha": merge.unwrap_or_else(|| trial_merge(pull)),
            "assignee": null,
            "assignees": [],
            "requested_reviewers": [],
            "requested_teams": [],
            "labels": [],
            "milestone": null,
            "draft": pull.is_draft,
            "commits_url": format!("{url}/commits"),
            "review_comments_url": format!("{url}/comments"),
            "review_comment_url": format!("{url}/comments{{/number}}"),
            "comments_url": format!("{issue}/comments"),
            "statuses_url": statuses,
            "head": end(head, &pull.head, &pull.head_sha),
            "base": end(base, &pull.base, &pull.base_sha),
            "_links": {
                "self": link(url.clone()),
                "html": link(html.clone()),
                "issue": link(issue.clone()),
                "comments": link(format!("{issue}/comments")),
                "review_comments": link(format!("{url}/comments")),
                "review_comment": link(format!("{url}/comments{{/number}}")),
                "commits": link(format!("{url}/commits")),
                "statuses": link(statuses.clone()),
            },
            "author_association": "CONTRIBUTOR",
            "auto_merge": null,
            "active_lock_reason": null,
        })
    }

    /// As it is shown by itself.
    pub(super) fn gh_pull(&self, pull: &Pull) -> Value {
        let mut page = self.gh_pull_simple(pull);
        let merged_by = pull.merge.as_ref().map_or(Value::Null, |merge| self.gh_user(&merge.by));
        let more = json!({
            "merged": pull.merge.is_some(),
            "mergeable": if pull.is_open { Value::Null } else { false.into() },
            "rebaseable": null,
            "mergeable_state": "unknown",
            "merged_by": merged_by,
            "comments": self.gh_said_in(pull.repository, pull.number),
            "review_comments": 0,
            "maintainer_can_modify": false,
            "commits": 1,
            "additions": 1,
            "deletions": 1,
            "changed_files": 1,
        });
        page.as_object_mut().unwrap().extend(object(more));
        page
    }

    fn gh_said_in(&self, repository: i64, number: i64) -> usize {
        let mine = |said: &&Comment| (said.repository, said.number) == (repository, number) && !said.of_review;
        self.comments.iter().filter(mine).count()
    }

    pub(super) fn gh_review(&self, review: &Review) -> Value {
        let pull = self.gh_repository_url(review.repository, &format!("pulls/{}", review.number));
        let name = &self.repository(review.repository).name;
        let html = format!("{}/{name}/pull/{}#pullrequestreview-{}", self.url, review.number, review.id);
        json!({
            "id": review.id,
            "node_id": format!("PRR_{}", review.id),
            "user": self.gh_user(&review.author),
            "body": review.body,
            "state": if review.dismissed { "DISMISSED" } else { said(review.says) },
            "html_url": html,
            "pull_request_url": pull,
            "author_association": "CONTRIBUTOR",
            "_links": { "html": { "href": html }, "pull_request": { "href": pull } },
            "submitted_at": review.created,
            "commit_id": review.commit,
        })
    }

    pub(super) fn gh_comment(&self, comment: &Comment) -> Value {
        let kind = if self.pull(comment.repository, comment.number).is_some() { "pull" } else { "issues" };
        let name = &self.repository(comment.repository).name;
        let html = format!("{}/{name}/{kind}/{}#issuecomment-{}", self.url, comment.number, comment.id);
        let url = self.gh_repository_url(comment.repository, &format!("issues/comments/{}", comment.id));
        json!({
            "url": url,
            "html_url": html,
            "issue_url": self.gh_repository_url(comment.repository, &format!("issues/{}", comment.number)),
            "id": comment.id,
            "node_id": format!("IC_{}", comment.id),
            "user": self.gh_user(&comment.author),
            "created_at": comment.created,
            "updated_at": comment.updated,
            "body": comment.body,
            "author_association": "CONTRIBUTOR",
            "reactions": reactions(&url),
            "performed_via_github_app": null,
        })
    }

    pub(super) fn gh_issue(&self, issue: &Issue) -> Value {
        let repository = self.gh_repository_url(issue.repository, "");
        let url = format!("{repository}/issues/{}", issue.number);
        let name = &self.repository(issue.repository).name;
        json!({
            "url": url,
            "repository_url": repository,
            "labels_url": format!("{url}/labels{{/name}}"),
            "comments_url": format!("{url}/comments"),
            "events_url": format!("{url}/events"),
            "timeline_url": format!("{url}/timeline"),
            "html_url": format!("{}/{name}/issues/{}", self.url, issue.number),
            "id": issue.repository * 10_000 + 5_000 + issue.number,
            "node_id": format!("I_{}_{}", issue.repository, issue.number),
            "number": issue.number,
            "title": issue.title,
            "user": self.gh_user(&issue.author),
            "labels": [],
            "state": if issue.is_open { "open" } else { "closed" },
            "state_reason": if issue.is_open { Value::Null } else { "completed".into() },
            "locked": false,
            "assignee": null,
            "assignees": [],
            "milestone": null,
            "comments": self.gh_said_in(issue.repository, issue.number),
            "created_at": issue.at,
            "updated_at": issue.updated,
            "closed_at": if issue.is_open { Value::Null } else { json!(issue.updated) },
            "author_association": "CONTRIBUTOR",
            "active_lock_reason": null,
            "body": issue.body,
            "reactions": reactions(&url),
            "performed_via_github_app": null,
        })
    }

    /// A pull request as the issue it also is.
    pub(super) fn gh_pull_as_issue(&self, pull: &Pull) -> Value {
        let mut page = self.gh_issue(&Issue {
            repository: pull.repository,
            number: pull.number,
            author: pull.author.clone(),
            title: pull.title.clone(),
            body: String::new(),
            is_open: pull.is_open,
            at: pull.created,
            updated: pull.updated,
        });
        let html = format!("{}/{}/pull/{}", self.url, self.repository(pull.repository).name, pull.number);
        page["html_url"] = html.clone().into();
        page["body"] = Value::Null;
        page["state_reason"] = Value::Null;
        page["closed_at"] = json!(pull.closed);
        page["draft"] = pull.is_draft.into();
        page["pull_request"] = json!({
            "url": self.gh_repository_url(pull.repository, &format!("pulls/{}", pull.number)),
            "html_url": html,
            "diff_url": format!("{html}.diff"),
            "patch_url": format!("{html}.patch"),
            "merged_at": pull.merge.as_ref().and(pull.closed),
        });
        page
    }
}

/// What a review says, in the API's words.
pub(super) fn said(says: Says) -> &'static str {
    match says {
        Says::Approves => "APPROVED",
        Says::AsksForChanges => "CHANGES_REQUESTED",
        Says::Remarks => "COMMENTED",
    }
}

/// The commit of a merge that was only tried: on no branch, and another one each time.
fn trial_merge(pull: &Pull) -> String {
    format!("{:0>8}{}", pull.number, &pull.head_sha[8..])
}

fn reactions(of: &str) -> Value {
    let mut counted = json!({ "url": format!("{of}/reactions"), "total_count": 0 });
    REACTIONS.iter().for_each(|kind| counted[*kind] = 0.into());
    counted
}
