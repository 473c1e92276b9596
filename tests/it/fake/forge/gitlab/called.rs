//! Calls as the stories name them, which are told on every forge: by the repository's name, and in the words of the other
//! forges' APIs. What a story breaks, loses or counts is found by it.

use super::super::state::State;

/// `POST`, and `/repos/acme/shop/issues/2/comments`.
pub(in super::super) fn called(state: &State, method: &str, path: &[String]) -> (String, String) {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let method = match (method, &parts[..]) {
        // A question, however it is sent.
        (_, ["graphql"]) => "GET",
        ("PUT", _) => "PATCH",
        (method, _) => method,
    };
    let place = match &parts[..] {
        ["v4", "projects", project, rest @ ..] => {
            let id = project.parse().ok();
            let known = state.repositories.iter().find(|one| Some(one.id) == id);
            let name = known.map_or_else(|| (*project).to_owned(), |one| one.name.clone());
            let number = |iid: &str| match known {
                Some(at) => state.issue_number(at.id, iid).map_or_else(|| iid.to_owned(), |found| found.to_string()),
                None => iid.to_owned(),
            };
            let rest: Vec<String> = match rest {
                ["merge_requests"] => vec!["pulls".into()],
                ["merge_requests", iid, "notes"] => vec!["issues".into(), (*iid).into(), "comments".into()],
                ["issues", iid, "notes"] => vec!["issues".into(), number(iid), "comments".into()],
                ["merge_requests" | "issues", _, "notes", id, "award_emoji"] => {
                    vec!["issues".into(), "comments".into(), (*id).into(), "reactions".into()]
                }
                ["merge_requests" | "issues", _, "notes", id] => {
                    vec!["issues".into(), "comments".into(), (*id).into()]
                }
                ["merge_requests", iid, "approvals"] => vec!["pulls".into(), (*iid).into(), "reviews".into()],
                ["merge_requests", iid, more @ ..] => {
                    let more = more.iter().map(|part| (*part).to_owned());
                    ["pulls".to_owned(), (*iid).to_owned()].into_iter().chain(more).collect()
                }
                ["issues", iid] => vec!["issues".into(), number(iid)],
                ["members", "all", id] => {
                    let user = state.users.iter().find(|user| user.id.to_string() == **id);
                    let login = user.map_or((*id).to_owned(), |user| user.login.clone());
                    vec!["collaborators".into(), login, "permission".into()]
                }
                ["repository", more @ ..] => more.iter().map(|part| (*part).to_owned()).collect(),
                other => other.iter().map(|part| (*part).to_owned()).collect(),
            };
            let rest: String = rest.iter().map(|part| format!("/{part}")).collect();
            format!("/repos/{name}{rest}")
        }
        ["v4", rest @ ..] => format!("/{}", rest.join("/")),
        other => format!("/{}", other.join("/")),
    };
    (method.to_owned(), place)
}
