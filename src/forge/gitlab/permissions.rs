//! What our token needs for each call, as GitLab's settings pages spell it: told to whoever has to give it, when GitLab
//! refuses one.

/// By the call's name, as in the metrics.
pub(super) fn needed(call: &str) -> &'static str {
    match call {
        "set_status" | "create_pull" | "create_deployment" | "set_deployment" => {
            "the role Developer or higher in the project, and a token with the scope `api`"
        }
        "create_comment" | "edit_comment" | "react" | "create_issue" | "edit_issue" => {
            "the role Reporter or higher in the project, and a token with the scope `api`"
        }
        "webhooks" | "put_webhook" => "the role Maintainer or higher in the project, and a token with the scope `api`",
        "organisation_webhooks" => "the role Owner in the group, and a token with the scope `api`",
        "team" | "team_member" => "to be a member of the group, and a token with the scope `api` or `read_api`",
        "ourselves" | "user" | "user_search" => "a token with the scope `api` or `read_api`",
        // Everything else reads the project.
        _ => "the role Reporter or higher in the project, and a token with the scope `api` or `read_api`",
    }
}
