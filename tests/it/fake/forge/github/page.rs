//! The JSON of what the fake forge remembers, with every field the description says is always there.

use serde_json::{Map, Value, json};

use super::super::Right;
use super::super::state::{Repository, State, Status};

/// When everything that has no time of its own was made.
pub(super) const LONG_AGO: &str = "2025-12-01T08:00:00Z";
/// Addresses an account has below its own.
const OF_A_USER: [(&str, &str); 9] = [
    ("followers_url", "followers"),
    ("following_url", "following{/other_user}"),
    ("gists_url", "gists{/gist_id}"),
    ("starred_url", "starred{/owner}{/repo}"),
    ("subscriptions_url", "subscriptions"),
    ("organizations_url", "orgs"),
    ("repos_url", "repos"),
    ("events_url", "events{/privacy}"),
    ("received_events_url", "received_events"),
];
/// Addresses a repository has below its own.
const OF_A_REPOSITORY: [&str; 37] = [
    "archive_url {archive_format}{/ref}",
    "assignees_url assignees{/user}",
    "blobs_url git/blobs{/sha}",
    "branches_url branches{/branch}",
    "collaborators_url collaborators{/collaborator}",
    "comments_url comments{/number}",
    "commits_url commits{/sha}",
    "compare_url compare/{base}...{head}",
    "contents_url contents/{+path}",
    "contributors_url contributors",
    "deployments_url deployments",
    "downloads_url downloads",
    "events_url events",
    "forks_url forks",
    "git_commits_url git/commits{/sha}",
    "git_refs_url git/refs{/sha}",
    "git_tags_url git/tags{/sha}",
    "hooks_url hooks",
    "issue_comment_url issues/comments{/number}",
    "issue_events_url issues/events{/number}",
    "issues_url issues{/number}",
    "keys_url keys{/key_id}",
    "labels_url labels{/name}",
    "languages_url languages",
    "merges_url merges",
    "milestones_url milestones{/number}",
    "notifications_url notifications{?since,all,participating}",
    "pulls_url pulls{/number}",
    "releases_url releases{/id}",
    "stargazers_url stargazers",
    "statuses_url statuses/{sha}",
    "subscribers_url subscribers",
    "subscription_url subscription",
    "tags_url tags",
    "teams_url teams",
    "trees_url git/trees{/sha}",
    "mirror_url ",
];
impl State {
    pub(super) fn gh_api(&self, place: &str) -> String {
        format!("{}/api/v3/{place}", self.url)
    }

    /// Below a repository, by its name now.
    pub(super) fn gh_repository_url(&self, repository: i64, rest: &str) -> String {
        let slash = if rest.is_empty() { "" } else { "/" };
        self.gh_api(&format!("repos/{}{slash}{rest}", self.repository(repository).name))
    }

    /// An account as it is shown beside what it did; null when it was deleted.
    pub(super) fn gh_user(&self, login: &str) -> Value {
        let Some(user) = self.users.iter().find(|user| user.login == login) else { return Value::Null };
        let api = self.gh_api(&format!("users/{login}"));
        let kind = match (user.is_organisation, user.is_bot) {
            (true, _) => "Organization",
            (false, true) => "Bot",
            (false, false) => "User",
        };
        let mut page = json!({
            "login": login,
            "id": user.id,
            "node_id": format!("U_{}", user.id),
            "avatar_url": format!("{}/avatars/u/{}?", self.url, user.id),
            "gravatar_id": "",
            "url": api,
            "html_url": format!("{}/{login}", self.url),
            "type": kind,
            "user_view_type": "public",
            "site_admin": user.is_site_admin,
        });
        for (key, rest) in OF_A_USER {
            page[key] = format!("{api}/{rest}").into();
        }
        page
    }

    /// The repository as it is shown beside what is in it.
    pub(super) fn gh_repository(&self, repository: &Repository) -> Value {
        let (owner, name) = repository.name.split_once('/').unwrap();
        let api = self.gh_api(&format!("repos/{}", repository.name));
        let host = self.url.trim_start_matches("http://");
        let mut page = json!({
            "id": repository.id,
            "node_id": format!("R_{}", repository.id),
            "name": name,
            "full_name": repository.name,
            "private": true,
            "owner": self.gh_user(owner),
            "html_url": format!("{}/{}", self.url, repository.name),
            "description": null,
            "fork": repository.is_fork,
            "url": api,
            "created_at": LONG_AGO,
            "updated_at": LONG_AGO,
            "pushed_at": LONG_AGO,
            "git_url": format!("git://{host}/{}.git", repository.name),
            "ssh_url": format!("git@{host}:{}.git", repository.name),
            "clone_url": format!("{}/{}.git", self.url, repository.name),
            "svn_url": format!("{}/{}", self.url, repository.name),
            "homepage": null,
            "language": null,
            "license": null,
            "archived": repository.is_archived,
            "disabled": false,
            "is_template": false,
            "topics": [],
            "visibility": "private",
            "default_branch": "main",
            "size": if repository.branches.is_empty() { 0 } else { 1 },
            "allow_forking": true,
            "web_commit_signoff_required": false,
        });
        let fields = page.as_object_mut().unwrap();
        for counted in ["forks", "open_issues", "stargazers", "watchers"] {
            fields.insert(format!("{counted}_count"), 0.into());
            if counted != "stargazers" {
                fields.insert(counted.to_owned(), 0.into());
            }
        }
        for has in ["issues", "projects", "downloads", "wiki", "pages", "discussions"] {
            fields.insert(format!("has_{has}"), (has == "issues").into());
        }
        for (key, rest) in OF_A_REPOSITORY.iter().filter_map(|line| line.split_once(' ')) {
            let slash = if rest.starts_with('{') && !rest.starts_with("{archive") { "" } else { "/" };
            let address = if key == "mirror_url" { Value::Null } else { format!("{api}{slash}{rest}").into() };
            fields.insert(key.to_owned(), address);
        }
        page
    }

    /// The repository itself.
    pub(super) fn gh_full_repository(&self, repository: &Repository) -> Value {
        let mut page = self.gh_repository(repository);
        page["network_count"] = 0.into();
        page["subscribers_count"] = 0.into();
        page["permissions"] = json!({ "admin": true, "maintain": true, "push": true, "triage": true, "pull": true });
        page["temp_clone_token"] = "".into();
        let owner = repository.name.split_once('/').unwrap().0;
        if self.users.iter().any(|user| user.login == owner && user.is_organisation) {
            page["organization"] = self.gh_user(owner);
        }
        page
    }

    pub(super) fn gh_branch(&self, at: &Repository, name: &str, tip: &str) -> Value {
        let url = self.gh_repository_url(at.id, &format!("branches/{name}"));
        json!({
            "name": name,
            "commit": self.gh_commit(at.id, tip),
            "_links": { "self": url, "html": format!("{}/{}/tree/{name}", self.url, at.name) },
            "protected": false,
            "protection": { "enabled": false },
            "protection_url": format!("{url}/protection"),
        })
    }

    pub(super) fn gh_commit(&self, repository: i64, sha: &str) -> Value {
        let url = self.gh_repository_url(repository, &format!("commits/{sha}"));
        let git = self.gh_repository_url(repository, &format!("git/commits/{sha}"));
        let commit = self.commits.get(sha);
        let signed = |login: Option<&String>| {
            let login = login.map_or("nobody", String::as_str);
            json!({ "name": login, "email": format!("{login}@example.com"), "date": LONG_AGO })
        };
        let account = |login: Option<&String>| login.map_or(Value::Null, |login| self.gh_user(login));
        let (author, committer) = (commit.map(|one| &one.author), commit.map(|one| &one.committer));
        // By an address that is nobody's.
        let [author, committer] = [author, committer].map(|login| login.filter(|login| !login.is_empty()));
        json!({
            "sha": sha,
            "node_id": format!("C_{sha}"),
            "url": url,
            "html_url": format!("{}/{}/commit/{sha}", self.url, self.repository(repository).name),
            "comments_url": format!("{url}/comments"),
            "commit": {
                "url": git,
                "author": signed(author),
                "committer": signed(committer),
                "message": "Change files",
                "comment_count": 0,
                "tree": { "sha": sha, "url": self.gh_repository_url(repository, &format!("git/trees/{sha}")) },
                "verification": {
                    "verified": false, "reason": "unsigned", "signature": null, "payload": null, "verified_at": null,
                },
            },
            "author": account(author),
            "committer": account(committer),
            "parents": [],
        })
    }

    pub(super) fn gh_status(&self, status: &Status) -> Value {
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        json!({
            "url": self.gh_repository_url(status.repository, &format!("statuses/{}", status.commit)),
            "avatar_url": format!("{}/avatars/u/1?", self.url),
            "id": status.id,
            "node_id": format!("SC_{}", status.id),
            "state": status.state,
            "description": text(&status.description),
            "target_url": text(&status.target_url),
            "context": status.context,
            "created_at": status.at,
            "updated_at": status.at,
            "creator": self.gh_user(&status.creator),
        })
    }

    pub(super) fn gh_hook(&self, at: &Repository, to: &str) -> Value {
        let url = self.gh_repository_url(at.id, "hooks/1");
        json!({
            "type": "Repository",
            "id": 1,
            "name": "web",
            "active": true,
            "events": ["*"],
            "config": { "content_type": "json", "insecure_ssl": "0", "secret": "********", "url": to },
            "updated_at": LONG_AGO,
            "created_at": LONG_AGO,
            "url": url,
            "test_url": format!("{url}/test"),
            "ping_url": format!("{url}/pings"),
            "deliveries_url": format!("{url}/deliveries"),
            "last_response": { "code": null, "status": "unused", "message": null },
        })
    }
}

/// A right in the API's words: of the older, coarse kind.
pub(super) fn permission(right: Right) -> &'static str {
    right.word()
}

pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        other => panic!("not an object: {other}"),
    }
}
