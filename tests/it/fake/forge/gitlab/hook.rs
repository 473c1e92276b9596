//! Deliveries as GitLab makes them, signed by a signing token: `webhook-signature` of id, time and body (Standard Webhooks).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;

use super::super::SECRET;
use super::super::hook::{CommentChange, Delivery, Happened, PullChange, Pushed, RepositoryChange, ReviewChange, Told};
use super::super::state::{Comment, Issue, Pull, Review, Says, State};

/// Commits of a push that its delivery lists: the newest, whatever it brought.
const LISTED: usize = 20;

/// What it tells; nothing of a comment that is deleted.
pub(in super::super) fn told(state: &State, happened: &Happened<'_>) -> Vec<Told> {
    match *happened {
        Happened::Pull { ref how, by, repository, number } => {
            let Some(pull) = state.pull(repository, number) else { return Vec::new() };
            let nothing = || json!({});
            let (action, oldrev, changes) = match how {
                PullChange::Opened => ("open", None, nothing()),
                PullChange::Pushed(before) => ("update", Some(before), nothing()),
                PullChange::Closed if pull.merge.is_some() => ("merge", None, nothing()),
                PullChange::Closed => ("close", None, nothing()),
                PullChange::Reopened => ("reopen", None, nothing()),
                PullChange::Retargeted(from) => {
                    ("update", None, json!({ "target_branch": { "previous": from, "current": pull.base } }))
                }
                PullChange::Titled(from) => {
                    ("update", None, json!({ "title": { "previous": from, "current": pull.title } }))
                }
                PullChange::Drafted => ("update", None, json!({ "draft": { "previous": false, "current": true } })),
                PullChange::Readied => ("update", None, json!({ "draft": { "previous": true, "current": false } })),
            };
            let mut body = merge_request(state, pull, by, action);
            body["changes"] = changes;
            if let Some(before) = oldrev {
                body["object_attributes"]["oldrev"] = before.as_str().into();
            }
            vec![("Merge Request Hook", "", body)]
        }
        Happened::Review { ref how, by, review } => self::reviewed(state, how, by, review),
        Happened::Comment { ref how, by, comment } => {
            let action = match how {
                CommentChange::Created => "create",
                CommentChange::Edited(_) => "update",
                CommentChange::Deleted => return Vec::new(),
            };
            vec![("Note Hook", "", note(state, comment, by, action))]
        }
        Happened::Pushed(ref pushed) => vec![("Push Hook", "", self::pushed(state, pushed))],
        // A status is a job of a pipeline, and told with it.
        Happened::Status { status, .. } => {
            let word = if status.state == "failure" { "failed" } else { &status.state };
            let body = json!({
                "object_kind": "pipeline",
                "object_attributes": { "id": status.id, "sha": status.commit, "status": word, "source": "external" },
                "project": state.gl_project(state.repository(status.repository)),
            });
            vec![("Pipeline Hook", "", body)]
        }
        // There are none.
        Happened::Check { .. } | Happened::CheckAgain { .. } | Happened::GroupFormed { .. } => Vec::new(),
        Happened::Repository { ref how, repository, .. } => {
            let page = state.gl_project(state.repository(repository));
            let path = page["path_with_namespace"].as_str().unwrap();
            let mut body = json!({
                "created_at": "2025-01-01T00:00:00Z", "updated_at": state.now(), "name": page["name"],
                "path": page["path"], "path_with_namespace": path, "project_id": repository, "owner_name": "root",
                "owner_email": "root@example.com", "owners": [], "project_visibility": "private",
            });
            body["event_name"] = match how {
                RepositoryChange::Created => "project_create".into(),
                RepositoryChange::Renamed(before) => {
                    let owner = path.rsplit_once('/').unwrap().0;
                    body["old_path_with_namespace"] = format!("{owner}/{before}").into();
                    "project_rename".into()
                }
                RepositoryChange::Deleted => "project_destroy".into(),
            };
            vec![("System Hook", "", body)]
        }
    }
}

fn reviewed(state: &State, how: &ReviewChange, by: &str, review: &Review) -> Vec<Told> {
    let pull = state.pull(review.repository, review.number).expect("a pull request of this forge");
    let action = match (how, review.says) {
        (ReviewChange::Submitted, Says::Approves) => "approved",
        // As of a reviewer whose state is another.
        (ReviewChange::Submitted, Says::AsksForChanges) => "update",
        (ReviewChange::Dismissed, Says::Approves) => "unapproved",
        // Words are comments, and told as these.
        (ReviewChange::Submitted, Says::Remarks) | (ReviewChange::Edited(_), _) | (ReviewChange::Dismissed, _) => {
            return Vec::new();
        }
    };
    let mut body = merge_request(state, pull, by, action);
    if action == "update" {
        let reviewer = |now: &str| {
            let mut page = state.gl_user(&review.author);
            page["state"] = now.into();
            page
        };
        body["changes"] = json!({
            "reviewers": { "previous": [reviewer("unreviewed")], "current": [reviewer("requested_changes")] }
        });
    }
    vec![("Merge Request Hook", "", body)]
}

fn user(state: &State, login: &str) -> Value {
    json!({
        "id": state.gl_user_id(login), "name": login, "username": login, "avatar_url": null, "email": "[REDACTED]",
    })
}

fn project(state: &State, id: i64) -> Value {
    let page = state.gl_project(state.repository(id));
    json!({
        "id": id, "name": page["name"], "description": null, "web_url": page["web_url"], "avatar_url": null,
        "git_ssh_url": "", "git_http_url": page["http_url_to_repo"], "namespace": page["namespace"]["name"],
        "visibility_level": 0, "path_with_namespace": page["path_with_namespace"],
        "default_branch": page["default_branch"], "ci_config_path": null, "homepage": page["web_url"], "url": "",
        "ssh_url": "", "http_url": page["http_url_to_repo"],
    })
}

fn repository(state: &State, id: i64) -> Value {
    let page = state.gl_project(state.repository(id));
    json!({ "name": page["name"], "url": "", "description": null, "homepage": page["web_url"] })
}

fn merge_request(state: &State, pull: &Pull, by: &str, action: &str) -> Value {
    let mut attributes = attributes(state, pull);
    attributes["action"] = action.into();
    json!({
        "object_kind": "merge_request",
        "event_type": "merge_request",
        "user": user(state, by),
        "project": project(state, pull.repository),
        "object_attributes": attributes,
        "labels": [],
        "changes": {},
        "repository": repository(state, pull.repository),
        "assignees": [],
        "reviewers": [],
    })
}

fn attributes(state: &State, pull: &Pull) -> Value {
    let page = state.gl_pull(pull);
    let source = state.repository(pull.head_repository);
    json!({
        "id": page["id"], "iid": pull.number, "assignee_id": null, "author_id": state.gl_user_id(&pull.author),
        "created_at": pull.created, "updated_at": pull.updated, "description": "", "draft": pull.is_draft,
        "work_in_progress": pull.is_draft, "head_pipeline_id": null, "last_edited_at": null, "last_edited_by_id": null,
        "merge_commit_sha": page["merge_commit_sha"], "merge_status": "can_be_merged",
        "detailed_merge_status": "mergeable", "merge_user_id": null, "source_branch": pull.head,
        "source_project_id": source.id, "state": page["state"], "state_id": 1, "target_branch": pull.base,
        "target_project_id": pull.repository, "time_estimate": 0, "title": pull.title, "updated_by_id": null,
        "url": page["web_url"], "source": project(state, source.id), "target": project(state, pull.repository),
        "last_commit": {
            "id": pull.head_sha, "message": "Change files", "title": "Change files", "timestamp": state.now(),
            "url": "", "author": { "name": "nobody", "email": "nobody@example.com" },
        },
        "assignee_ids": [], "reviewer_ids": [], "labels": [], "blocking_discussions_resolved": true,
        "first_contribution": false,
    })
}

fn note(state: &State, comment: &Comment, by: &str, action: &str) -> Value {
    let page = state.gl_note(comment);
    let mut body = json!({
        "object_kind": "note",
        "event_type": "note",
        "user": user(state, by),
        "project_id": comment.repository,
        "project": project(state, comment.repository),
        "object_attributes": {
            "id": comment.id, "note": comment.body, "description": comment.body, "noteable_type": page["noteable_type"],
            "author_id": state.gl_user_id(&comment.author), "created_at": comment.created, "updated_at": comment.updated,
            "project_id": comment.repository, "attachment": null, "line_code": null, "commit_id": "",
            "noteable_id": page["noteable_id"], "system": false, "internal": false, "st_diff": null, "type": null,
            "discussion_id": format!("{:040x}", comment.id), "action": action, "url": "",
        },
        "repository": repository(state, comment.repository),
    });
    let is_it = |issue: &&Issue| (issue.repository, issue.number) == (comment.repository, comment.number);
    match (state.pull(comment.repository, comment.number), state.issues.iter().find(is_it)) {
        (Some(pull), _) => body["merge_request"] = attributes(state, pull),
        (None, Some(issue)) => body["issue"] = state.gl_issue(issue),
        (None, None) => {}
    }
    body
}

fn pushed(state: &State, pushed: &Pushed<'_>) -> Value {
    let Pushed { by, repository: id, branch, before, after, .. } = *pushed;
    let nothing = "0".repeat(40);
    let newest: Vec<String> = after.map(str::to_owned).into_iter().collect();
    let brought = after.and_then(|after| state.brought.get(after)).unwrap_or(&newest);
    let commit = |sha: &String| {
        let author = state.commits.get(sha).map_or(by, |commit| commit.author.as_str());
        json!({
            "id": sha, "message": "Change files", "title": "Change files", "timestamp": state.now(), "url": "",
            "author": { "name": author, "email": format!("{author}@example.com") },
            "added": [], "modified": [], "removed": [],
        })
    };
    json!({
        "object_kind": "push",
        "event_name": "push",
        "before": before.unwrap_or(&nothing),
        "after": after.unwrap_or(&nothing),
        "ref": format!("refs/heads/{branch}"),
        "ref_protected": branch == "main",
        "checkout_sha": after,
        "message": null,
        "user_id": state.gl_user_id(by),
        "user_name": by,
        "user_username": by,
        "user_email": "",
        "user_avatar": null,
        "project_id": id,
        "project": project(state, id),
        "commits": brought.iter().take(LISTED).rev().map(commit).collect::<Vec<Value>>(),
        "total_commits_count": brought.len(),
        "push_options": {},
        "repository": repository(state, id),
    })
}

/// As they are when it is sent: each sending is signed anew.
pub(in super::super) fn headers(delivery: &Delivery, at: Timestamp) -> Vec<(String, String)> {
    let seconds = at.as_second();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{}.{seconds}.", delivery.id).as_bytes());
    mac.update(&delivery.body);
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let all = [
        ("X-Gitlab-Event", delivery.event.to_owned()),
        ("X-Gitlab-Event-UUID", delivery.id.clone()),
        ("X-Gitlab-Webhook-UUID", "00000000-0000-4000-8000-000000000001".to_owned()),
        ("X-Gitlab-Instance", "http://127.0.0.1".to_owned()),
        ("Idempotency-Key", delivery.id.clone()),
        ("webhook-id", delivery.id.clone()),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", format!("v1,{signature}")),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
