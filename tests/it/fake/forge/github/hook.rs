//! Deliveries as GitHub makes them.

use serde_json::{Value, json};

use super::super::hook::{CommentChange, Delivery, Happened, PullChange, Pushed, RepositoryChange, ReviewChange, Told};
use super::super::state::{Issue, Moved, State};
use super::page::object;

/// What it tells; of a branch that came or went it tells twice.
pub(in super::super) fn told(state: &State, happened: &Happened<'_>) -> Vec<Told> {
    match *happened {
        Happened::Pull { ref how, by, repository, number } => {
            let page = state.pull(repository, number).map(|pull| state.gh_pull(pull)).unwrap_or_default();
            let after = page["head"]["sha"].clone();
            let base = page["base"]["sha"].clone();
            let mut body = json!({ "action": null, "number": number, "pull_request": page });
            let (action, more) = match how {
                PullChange::Opened => ("opened", json!({})),
                PullChange::Pushed(before) => ("synchronize", json!({ "before": before, "after": after })),
                PullChange::Closed => ("closed", json!({})),
                PullChange::Reopened => ("reopened", json!({})),
                PullChange::Retargeted(from) => {
                    let changes = json!({ "base": { "ref": { "from": from }, "sha": { "from": base } } });
                    ("edited", json!({ "changes": changes }))
                }
                PullChange::Titled(from) => ("edited", json!({ "changes": { "title": { "from": from } } })),
                PullChange::Drafted => ("converted_to_draft", json!({})),
                PullChange::Readied => ("ready_for_review", json!({})),
            };
            body["action"] = action.into();
            body.as_object_mut().unwrap().extend(object(more));
            vec![("pull_request", "", from(state, repository, by, body))]
        }
        Happened::Review { ref how, by, review } => {
            let pull = state.pull(review.repository, review.number).expect("a pull request of this forge");
            let mut page = state.gh_review(review);
            // In small letters here, in capitals in the API.
            page["state"] = page["state"].as_str().unwrap().to_lowercase().into();
            if review.body.is_empty() {
                page["body"] = Value::Null;
            }
            let mut body = json!({ "review": page, "pull_request": state.gh_pull_simple(pull) });
            body["action"] = match how {
                ReviewChange::Submitted => "submitted".into(),
                ReviewChange::Edited(before) => {
                    body["changes"] = json!({ "body": { "from": before } });
                    "edited".into()
                }
                ReviewChange::Dismissed => "dismissed".into(),
            };
            vec![("pull_request_review", "", from(state, review.repository, by, body))]
        }
        Happened::Comment { ref how, by, comment } => {
            let is_it = |issue: &&Issue| (issue.repository, issue.number) == (comment.repository, comment.number);
            let issue = match state.pull(comment.repository, comment.number) {
                Some(pull) => state.gh_pull_as_issue(pull),
                None => state.issues.iter().find(is_it).map(|issue| state.gh_issue(issue)).unwrap_or_default(),
            };
            let mut body = json!({ "issue": issue, "comment": state.gh_comment(comment) });
            body["action"] = match how {
                CommentChange::Created => "created".into(),
                CommentChange::Edited(before) => {
                    body["changes"] = json!({ "body": { "from": before } });
                    "edited".into()
                }
                CommentChange::Deleted => "deleted".into(),
            };
            vec![("issue_comment", "", from(state, comment.repository, by, body))]
        }
        Happened::Status { by, status } => {
            let mut page = state.gh_status(status);
            let fields = page.as_object_mut().unwrap();
            fields.retain(|name, _| {
                ["id", "context", "description", "state", "target_url", "created_at", "updated_at", "avatar_url"]
                    .contains(&name.as_str())
            });
            page["sha"] = status.commit.clone().into();
            page["name"] = state.repository(status.repository).name.clone().into();
            page["commit"] = state.gh_commit(status.repository, &status.commit);
            page["branches"] = json!([]);
            vec![("status", "", from(state, status.repository, by, page))]
        }
        Happened::Check { by, run } => {
            let action = if run.conclusion.is_some() { "completed" } else { "created" };
            let body = json!({ "action": action, "check_run": state.gh_check_run(run) });
            vec![("check_run", "", from(state, run.repository, by, body))]
        }
        Happened::GroupFormed { by, repository, group: (branch, head), base: (base, from) } => {
            let commit = state.gh_commit(repository, head);
            let group = json!({
                "head_sha": head,
                "head_ref": format!("refs/heads/{branch}"),
                "base_sha": from,
                "base_ref": format!("refs/heads/{base}"),
                "head_commit": {
                    "id": head, "tree_id": head, "message": "Change files", "timestamp": state.now(),
                    "author": commit["commit"]["author"], "committer": commit["commit"]["committer"],
                },
            });
            let body = json!({ "action": "checks_requested", "merge_group": group });
            vec![("merge_group", "", self::from(state, repository, by, body))]
        }
        // To nobody but the app whose it is; here all deliveries have one way.
        Happened::CheckAgain { by, run } => {
            let body = json!({ "action": "rerequested", "check_run": state.gh_check_run(run) });
            vec![("check_run", "", from(state, run.repository, by, body))]
        }
        Happened::Pushed(ref pushed) => self::pushed(state, pushed),
        Happened::Repository { ref how, by, repository } => {
            let body = match how {
                RepositoryChange::Created => json!({ "action": "created" }),
                RepositoryChange::Renamed(before) => {
                    json!({ "action": "renamed", "changes": { "repository": { "name": { "from": before } } } })
                }
                RepositoryChange::Deleted => json!({ "action": "deleted" }),
            };
            vec![("repository", "", from(state, repository, by, body))]
        }
    }
}

/// Where it happened, and who did it.
fn from(state: &State, repository: i64, by: &str, mut body: Value) -> Value {
    let at = state.repository(repository);
    body["repository"] = state.gh_repository(at);
    body["sender"] = state.gh_user(by);
    let owner = at.name.split('/').next().unwrap();
    if let Some(user) = state.users.iter().find(|user| user.login == owner && user.is_organisation) {
        let api = format!("{}/api/v3/orgs/{owner}", state.url);
        body["organization"] = json!({
            "login": owner,
            "id": user.id,
            "node_id": format!("O_{}", user.id),
            "url": api,
            "repos_url": format!("{api}/repos"),
            "events_url": format!("{api}/events"),
            "hooks_url": format!("{api}/hooks"),
            "issues_url": format!("{api}/issues"),
            "members_url": format!("{api}/members{{/member}}"),
            "public_members_url": format!("{api}/public_members{{/member}}"),
            "avatar_url": format!("{}/avatars/u/{}?", state.url, user.id),
            "description": null,
        });
        if let Some(app) = state.apps.iter().find(|app| app.is_of(owner)) {
            body["installation"] = json!({ "id": app.installation, "node_id": format!("I_{}", app.installation) });
        }
    }
    body
}

fn pushed(state: &State, pushed: &Pushed<'_>) -> Vec<Told> {
    let Pushed { by, repository, branch, before, after, how } = *pushed;
    let nothing = "0".repeat(40);
    let name = &state.repository(repository).name;
    let commit = |sha: &str| {
        let person = |login: &str| json!({ "name": login, "email": format!("{login}@example.com"), "username": login });
        let known = state.commits.get(sha);
        json!({
            "id": sha,
            "tree_id": sha,
            "distinct": true,
            "message": "Change files",
            "timestamp": state.now(),
            "url": format!("{}/{name}/commit/{sha}", state.url),
            "author": person(known.map_or("nobody", |known| &known.author)),
            "committer": person(known.map_or("nobody", |known| &known.committer)),
            "added": [],
            "removed": [],
            "modified": [],
        })
    };
    let (old, new) = (before.unwrap_or(&nothing), after.unwrap_or(&nothing));
    let body = json!({
        "ref": format!("refs/heads/{branch}"),
        "before": old,
        "after": new,
        "created": before.is_none(),
        "deleted": after.is_none(),
        "forced": how == Moved::Forced,
        "base_ref": null,
        "compare": format!("{}/{name}/compare/{old}...{new}", state.url),
        "commits": after.map(commit).into_iter().collect::<Vec<Value>>(),
        "head_commit": after.map(commit),
        "pusher": { "name": by, "email": format!("{by}@example.com") },
    });
    let mut body = from(state, repository, by, body);
    // Two of its times are numbers, and its owner has a name, in this delivery alone.
    let seconds = state.now().as_second();
    for key in ["created_at", "pushed_at"] {
        body["repository"][key] = seconds.into();
    }
    body["repository"]["owner"]["name"] = body["repository"]["owner"]["login"].clone();
    body["repository"]["owner"]["email"] = Value::Null;
    body["repository"]["stargazers"] = 0.into();
    body["repository"]["master_branch"] = "main".into();
    let mut all = vec![("push", "", body)];
    if before.is_none() || after.is_none() {
        let event = if after.is_some() { "create" } else { "delete" };
        let mut body = json!({ "ref": branch, "ref_type": "branch", "pusher_type": "user" });
        if after.is_some() {
            body["master_branch"] = "main".into();
            body["description"] = Value::Null;
        }
        all.push((event, "", from(state, repository, by, body)));
    }
    all
}

pub(in super::super) fn headers(delivery: &Delivery) -> Vec<(String, String)> {
    let all = [
        ("User-Agent", "GitHub-Hookshot/0000001".to_owned()),
        ("X-GitHub-Delivery", delivery.id.clone()),
        ("X-GitHub-Event", delivery.event.to_owned()),
        ("X-GitHub-Hook-ID", "1".to_owned()),
        ("X-GitHub-Hook-Installation-Target-Type", "repository".to_owned()),
        ("X-GitHub-Enterprise-Version", "3.19.0".to_owned()),
        ("X-Hub-Signature-256", format!("sha256={}", delivery.signature())),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
