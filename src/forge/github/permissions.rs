//! What our App or its token needs for each call, as GitHub's settings pages spell it: told to whoever has to give it,
//! when GitHub refuses one.

use std::collections::BTreeMap;

/// What a token for one repository is asked for, as GitHub's API spells it: enough for everything we do there. What the
/// installation was not given is left out, and the calls that need it say so.
pub(super) const REPOSITORY: &[(&str, &str)] = &[
    ("checks", "write"),
    ("contents", "write"),
    ("deployments", "write"),
    ("issues", "write"),
    ("merge_queues", "read"),
    ("metadata", "read"),
    ("pull_requests", "write"),
    ("repository_hooks", "read"),
    ("statuses", "write"),
];

/// The same for an organisation's teams, and to look whether a repository is there.
pub(super) const OWNER: &[(&str, &str)] = &[("members", "read"), ("metadata", "read")];

/// The same for what everybody may read.
pub(super) const PUBLIC: &[(&str, &str)] = &[("metadata", "read")];

/// What of the wanted the installation was given.
pub(super) fn given(
    wanted: &[(&'static str, &'static str)],
    granted: &BTreeMap<String, String>,
) -> BTreeMap<&'static str, &'static str> {
    let level = |&(name, level): &(&'static str, &'static str)| match (granted.get(name)?.as_str(), level) {
        ("write" | "admin", level) => Some((name, level)),
        ("read", _) => Some((name, "read")),
        _ => None,
    };
    wanted.iter().filter_map(level).collect()
}

/// A permission as GitHub's settings pages spell it.
pub(super) fn spelt(name: &str, level: &str) -> String {
    let place = if name == "members" || name.starts_with("organization_") { "organization" } else { "repository" };
    let title = match name {
        "repository_hooks" | "organization_hooks" => "Webhooks".to_owned(),
        "statuses" => "Commit statuses".to_owned(),
        // Every other is its title, in small letters.
        _ => {
            let words = name.strip_prefix("organization_").unwrap_or(name).replace('_', " ");
            let first = words.chars().next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(words.chars().skip(1)).collect()
        }
    };
    let access = match level {
        "read" => "Read-only",
        "write" => "Read and write",
        _ => "Admin",
    };
    format!("the {place} permission “{title}: {access}”")
}

/// By the call's name, as in the metrics.
pub(super) fn needed(call: &str) -> &'static str {
    match call {
        "set_status" => "the repository permission “Commit statuses: Read and write”",
        "statuses" => "the repository permission “Commit statuses: Read-only”",
        "create_check" | "edit_check" => "the repository permission “Checks: Read and write”",
        "create_deployment" | "set_deployment" => "the repository permission “Deployments: Read and write”",
        "deployments" | "deployment_words" => "the repository permission “Deployments: Read-only”",
        "check_runs" => "the repository permission “Checks: Read-only”",
        "create_pull" => "the repository permissions “Pull requests: Read and write” and “Contents: Read and write”",
        "create_comment" | "edit_comment" | "react" => {
            "the repository permissions “Pull requests: Read and write” and “Issues: Read and write”"
        }
        "create_issue" | "edit_issue" => "the repository permission “Issues: Read and write”",
        "comments" | "comments_changed_since" | "comment" => {
            "the repository permissions “Pull requests: Read-only” and “Issues: Read-only”"
        }
        "issue" | "open_issues" | "review_dismissals" | "review_texts" => {
            "the repository permission “Issues: Read-only”"
        }
        "pull" | "open_pulls" | "closed_pulls" | "closed_pulls_changed_last" | "reviews" | "pull_commits" => {
            "the repository permission “Pull requests: Read-only”"
        }
        "branches" | "branch" | "commit" | "pushes" => "the repository permission “Contents: Read-only”",
        "webhooks" | "hook_deliveries" => "the repository permission “Webhooks: Read-only”",
        "put_webhook" | "redeliver" => "the repository permission “Webhooks: Read and write”",
        "organisation_webhooks" => "the organization permission “Webhooks: Read-only”",
        "team" | "team_member" => "the organization permission “Members: Read-only”",
        // Everything else is known of what our account sees at all.
        _ => "the repository permission “Metadata: Read-only”",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_asks_for_what_the_tokens_ask_for() {
        let text = include_str!("../../../docs/github.md");
        let row = |place: &str, &(name, level): &(&str, &str)| {
            let spelt = match name {
                "repository_hooks" => "Webhooks".to_owned(),
                "statuses" => "Commit statuses".to_owned(),
                other => other[..1].to_uppercase() + &other[1..].replace('_', " "),
            };
            let access = if level == "write" { "Read and write" } else { "Read-only" };
            format!("| {place} | {spelt} | {access} |")
        };
        let mut wanted: Vec<String> = REPOSITORY.iter().map(|one| row("repository", one)).collect();
        wanted.extend(OWNER.iter().filter(|(name, _)| *name != "metadata").map(|one| row("organization", one)));
        for row in &wanted {
            assert!(text.contains(row.as_str()), "no row {row}");
        }
        let rows = text
            .lines()
            .filter(|line| line.trim_start().starts_with("| repository |") || line.contains("| organization |"));
        assert_eq!(rows.count(), wanted.len(), "and no more");
    }
}
