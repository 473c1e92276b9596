//! The calls that may be made: each as GitLab documents it, with the parameters and fields it documents of what is used
//! here. A call that is not in this table is refused, in every test; and so is an answer of this fake that lacks what the
//! table says is read of it.
//!
//! There is a description of the API in OpenAPI (`doc/api/openapi/` of `gitlab-org/gitlab`), which no registry has, and which
//! lacks some of these calls; so this is by hand, from the pages named (docs.gitlab.com/api/…).

use serde_json::Value;

use super::super::server::Call;

/// One call.
pub(super) struct Documented {
    /// `GET projects/{}/hooks`.
    pub(super) call: &'static str,
    /// Its page.
    page: &'static str,
    /// What may be asked with it, or (of a write) be in it.
    takes: &'static [&'static str],
    /// What is read of its answer.
    reads: &'static [&'static str],
}

const fn of(
    call: &'static str,
    page: &'static str,
    takes: &'static [&'static str],
    reads: &'static [&'static str],
) -> Documented {
    Documented { call, page, takes, reads }
}

const PAGES: &[&str] = &["page", "per_page"];
const USER: &[&str] = &["id", "username", "state"];
const PROJECT: &[&str] = &["id", "path_with_namespace", "default_branch", "empty_repo", "archived", "visibility"];
const DEPLOYMENT: &[&str] = &["id", "sha", "status", "user"];
const NOTE: &[&str] = &["id", "body", "author", "created_at", "updated_at", "system", "internal"];
const ISSUE: &[&str] = &["iid", "author", "state", "title", "description", "updated_at", "user_notes_count"];
const PULL: &[&str] = &[
    "iid",
    "title",
    "author",
    "state",
    "target_project_id",
    "source_project_id",
    "target_branch",
    "source_branch",
    "sha",
    "merge_commit_sha",
    "squash_commit_sha",
    "merge_user",
    "merged_at",
    "closed_at",
    "updated_at",
    "user_notes_count",
];
/// Of each of those that have a commit: what a list tells of it, and whose it is.
const COMMIT_PULL: &[&str] = &[
    "iid",
    "project_id",
    "state",
    "target_project_id",
    "target_branch",
    "sha",
    "merge_commit_sha",
    "squash_commit_sha",
    "merge_user",
    "merged_at",
];

pub(super) const CALLS: &[Documented] = &[
    of("POST graphql", "graphql/reference", &["query", "variables"], &[]),
    of("GET user", "users#retrieve-the-current-user", &[], USER),
    of("GET personal_access_tokens/self", "personal_access_tokens#self-inform", &[], &["scopes"]),
    of("GET users", "users#list-users", &["username", "search", "active", "blocked", "humans"], USER),
    of("GET users/{}", "users#retrieve-a-user", &[], &["id", "username", "state", "bot"]),
    of("GET groups/{}", "groups#retrieve-a-group", &["with_projects"], &["id", "full_path"]),
    of("GET groups/{}/members/{}", "group_members", &[], &["access_level", "membership_state"]),
    of("GET groups/{}/hooks", "group_webhooks", &[], &["url", "alert_status"]),
    of("GET projects/{}", "projects#retrieve-a-project", &["statistics", "license"], PROJECT),
    of("GET projects/{}/members/all/{}", "project_members", &[], &["access_level", "membership_state"]),
    of("GET projects/{}/hooks", "project_webhooks", &[], &["url", "alert_status"]),
    of(
        "POST projects/{}/hooks",
        "project_webhooks#add-a-webhook-to-a-project",
        &[
            "url",
            "push_events",
            "merge_requests_events",
            "note_events",
            "confidential_note_events",
            "pipeline_events",
            "token",
            "signing_token",
        ],
        &["url", "signing_token_present"],
    ),
    of(
        "GET projects/{}/events",
        "events#list-all-visible-events-for-a-project",
        &["action", "target_type", "before", "after", "sort"],
        &["created_at", "author", "push_data"],
    ),
    of("GET projects/{}/repository/branches", "branches", &["search", "regex"], &["name", "commit"]),
    of("GET projects/{}/repository/branches/{}", "branches", &[], &["name", "commit"]),
    of(
        "GET projects/{}/repository/commits/{}/statuses",
        "commits#list-commit-statuses",
        &["ref", "stage", "name", "all", "pipeline_id", "order_by", "sort"],
        &["id", "name", "status", "author"],
    ),
    of("GET projects/{}/repository/commits/{}/merge_requests", "commits", &["state"], COMMIT_PULL),
    of(
        "POST projects/{}/statuses/{}",
        "commits#set-commit-pipeline-status",
        &["state", "name", "context", "description", "target_url", "ref", "coverage", "pipeline_id"],
        &["id"],
    ),
    of(
        "GET projects/{}/deployments",
        "deployments#list-project-deployments",
        &["order_by", "sort", "updated_after", "updated_before", "environment", "status"],
        DEPLOYMENT,
    ),
    of(
        "POST projects/{}/deployments",
        "deployments#create-a-deployment",
        &["environment", "sha", "ref", "tag", "status"],
        DEPLOYMENT,
    ),
    of("GET projects/{}/deployments/{}", "deployments#retrieve-a-deployment", &[], DEPLOYMENT),
    of("PUT projects/{}/deployments/{}", "deployments#update-a-deployment", &["status"], DEPLOYMENT),
    of(
        "GET projects/{}/merge_requests",
        "merge_requests#list-project-merge-requests",
        &["scope", "state", "order_by", "sort", "updated_after", "updated_before", "author_username", "iids[]"],
        PULL,
    ),
    of(
        "POST projects/{}/merge_requests",
        "merge_requests#create-a-merge-request",
        &["source_branch", "target_branch", "title", "description", "remove_source_branch", "squash"],
        &["iid"],
    ),
    of("GET projects/{}/merge_requests/{}", "merge_requests#retrieve-a-merge-request", &["render_html"], PULL),
    of("GET projects/{}/merge_requests/{}/commits", "merge_requests", &[], &["id"]),
    of("GET projects/{}/merge_requests/{}/reviewers", "merge_requests", &[], &["user", "state", "created_at"]),
    of("GET projects/{}/merge_requests/{}/approvals", "merge_request_approvals", &[], &["approved_by"]),
    of(
        "GET projects/{}/merge_requests/{}/approval_state",
        "merge_request_approvals#retrieve-approval-state-for-a-merge-request",
        &[],
        &["rules"],
    ),
    of("GET projects/{}/merge_requests/{}/notes", "notes", &["sort", "order_by", "activity_filter"], NOTE),
    of("POST projects/{}/merge_requests/{}/notes", "notes", &["body", "internal", "created_at"], NOTE),
    of("GET projects/{}/merge_requests/{}/notes/{}", "notes", &[], NOTE),
    of("PUT projects/{}/merge_requests/{}/notes/{}", "notes", &["body"], NOTE),
    of("POST projects/{}/merge_requests/{}/notes/{}/award_emoji", "emoji_reactions", &["name"], &["name"]),
    of(
        "GET projects/{}/issues",
        "issues#list-project-issues",
        &["scope", "state", "order_by", "sort", "updated_after", "updated_before", "author_username", "iids[]"],
        ISSUE,
    ),
    of("POST projects/{}/issues", "issues#create-an-issue", &["title", "description", "confidential", "labels"], ISSUE),
    of("GET projects/{}/issues/{}", "issues#retrieve-a-project-issue", &[], ISSUE),
    of(
        "PUT projects/{}/issues/{}",
        "issues#update-an-issue",
        &["title", "description", "state_event", "labels"],
        ISSUE,
    ),
    of("GET projects/{}/issues/{}/notes", "notes", &["sort", "order_by", "activity_filter"], NOTE),
    of("POST projects/{}/issues/{}/notes", "notes", &["body", "internal", "created_at"], NOTE),
    of("GET projects/{}/issues/{}/notes/{}", "notes", &[], NOTE),
    of("PUT projects/{}/issues/{}/notes/{}", "notes", &["body"], NOTE),
    of("POST projects/{}/issues/{}/notes/{}/award_emoji", "emoji_reactions", &["name"], &["name"]),
];

/// Which of them a call is, or what is wrong with it. Words win over placeholders.
pub(super) fn of_call(call: &Call) -> Result<&'static Documented, String> {
    let path = call.path.strip_prefix(&["v4".to_owned()]).unwrap_or(&call.path);
    let fits = |one: &&Documented| {
        let (method, template) = one.call.split_once(' ').unwrap();
        let parts: Vec<&str> = template.split('/').collect();
        let same = |(part, own): (&&str, &String)| *part == own || (*part == "{}" && !own.is_empty());
        method == call.method && parts.len() == path.len() && parts.iter().zip(path).all(same)
    };
    let best = CALLS.iter().filter(fits).min_by_key(|one| one.call.matches('{').count());
    let Some(found) = best else { return Err(format!("no call {} {}", call.method, path.join("/"))) };
    let is_list = call.query.keys().any(|key| PAGES.contains(&key.as_str()));
    let asked = call.query.keys().filter(|key| !(is_list && PAGES.contains(&key.as_str())));
    let sent = call.body.as_object().into_iter().flat_map(|fields| fields.keys());
    match asked.chain(sent).find(|key| !found.takes.contains(&key.as_str())) {
        Some(key) => Err(format!("{} takes no `{key}` (docs.gitlab.com/api/{})", found.call, found.page)),
        None => Ok(found),
    }
}

impl Documented {
    /// What an answer lacks of what is read.
    pub(super) fn lacks(&self, answer: &Value) -> Option<&'static str> {
        let one = |value: &Value| self.reads.iter().copied().find(|key| value.get(key).is_none());
        match answer {
            Value::Array(all) => all.iter().find_map(one),
            value => one(value),
        }
    }
}
