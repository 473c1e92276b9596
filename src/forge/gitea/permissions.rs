//! What our account and its token need for each call: told to whoever has to give it, when the forge refuses one.

/// By the call's name, as in the metrics.
pub(super) fn needed(call: &str) -> &'static str {
    match call {
        "set_status" | "create_pull" => "write access to the repository, and a token with the scope `write:repository`",
        "create_comment" | "edit_comment" | "react" | "create_issue" | "edit_issue" => {
            "write access to the repository, and a token with the scope `write:issue`"
        }
        "comments" | "comments_changed_since" | "comment" | "issue" | "pull_pushes" => {
            "read access to the repository, and a token with the scope `read:issue`"
        }
        "put_webhook" => "to be an administrator of the repository, and a token with the scope `write:repository`",
        "repositories" => "a token with the scopes `read:user` and `read:repository`",
        "permission" | "repository_teams" | "webhooks" => {
            "to be an administrator of the repository, and a token with the scope `read:repository`"
        }
        "teams" | "team_member" | "organisation_webhooks" => {
            "to be an owner of the organisation or a site administrator, who alone see all teams, and a token with the scope `read:organization`"
        }
        "ourselves" | "user" | "user_search" => "a token with the scope `read:user`",
        // Everything else reads the repository.
        _ => "read access to the repository, and a token with the scope `read:repository`",
    }
}
