//! Who is on the forge, and what they may do.

use serde_json::{Value, json};

use super::super::server::Call;
use super::super::state::{Repository, State, User};
use super::app::Caller;
use super::page::{LONG_AGO, object};
use super::wire::{NOT_FOUND, Page, found};

pub(super) fn call(state: &State, caller: &Caller, call: &Call, path: &[&str]) -> Page {
    match (call.method.as_str(), path) {
        ("GET", ["user"]) => {
            found(account(state, state.users.iter().find(|user| user.login == caller.login()).unwrap()))
        }
        ("GET", ["users", login]) => match named(state, login) {
            Some(user) => found(account(state, user)),
            None => NOT_FOUND,
        },
        // An account by its number, as the published pages link to it.
        ("GET", ["user", id]) => match state.users.iter().find(|user| user.id.to_string() == *id) {
            Some(user) => found(account(state, user)),
            None => NOT_FOUND,
        },
        ("GET", ["search", "users"]) => search(state, call),
        ("GET", ["orgs", organisation, "teams"]) => {
            let teams = state.teams.iter().filter(|team| team.organisation == *organisation);
            Page::List(teams.map(|team| team_page(state, organisation, &team.name, team.id)).collect())
        }
        ("GET", ["orgs", organisation, "teams", slug, rest @ ..]) => team(state, organisation, slug, rest),
        ("GET", ["orgs", organisation, "hooks"]) if named(state, organisation).is_some() => Page::List(Vec::new()),
        _ => NOT_FOUND,
    }
}

fn named<'a>(state: &'a State, login: &str) -> Option<&'a User> {
    state.users.iter().find(|user| user.login.eq_ignore_ascii_case(login))
}

/// What an account is told by itself. Whether it is suspended is not among it.
fn account(state: &State, user: &User) -> Value {
    let mut page = state.gh_user(&user.login);
    page.as_object_mut().unwrap().extend(object(json!({
        "name": null, "company": null, "blog": "", "location": null, "email": null, "hireable": null, "bio": null,
        "public_repos": 0, "public_gists": 0, "followers": 0, "following": 0,
        "created_at": LONG_AGO, "updated_at": LONG_AGO,
    })));
    page
}

/// By words: `in:email` looks at addresses that are shown, else at logins.
fn search(state: &State, call: &Call) -> Page {
    let asked = call.query.get("q").cloned().unwrap_or_default();
    let (qualifiers, words): (Vec<&str>, Vec<&str>) = asked.split_whitespace().partition(|word| word.contains(':'));
    if words.is_empty() {
        let why = "missing".to_owned();
        return Page::Invalid { resource: "Search", field: "q", why };
    }
    let by_email = qualifiers.contains(&"in:email");
    let wants = |user: &&User| {
        let text = if by_email { format!("{}@example.com", user.login) } else { user.login.clone() };
        let kind = match (qualifiers.contains(&"type:user"), qualifiers.contains(&"type:org")) {
            (true, _) => !user.is_organisation,
            (_, true) => user.is_organisation,
            _ => true,
        };
        kind && !user.is_bot
            && words.iter().all(|word| text.to_lowercase().contains(&word.trim_matches('"').to_lowercase()))
    };
    let items: Vec<Value> = state.users.iter().filter(wants).map(|user| scored(state.gh_user(&user.login))).collect();
    let beside = json!({ "total_count": items.len(), "incomplete_results": false });
    Page::Within("items", items, beside)
}

fn scored(mut page: Value) -> Value {
    page["score"] = json!(1.0);
    page
}

/// A team, and who is in it.
fn team(state: &State, organisation: &str, slug: &str, rest: &[&str]) -> Page {
    let is_it = |name: &str| name.to_lowercase().replace(' ', "-") == slug.to_lowercase();
    let found_team =
        state.teams.iter().find(|team| team.organisation.eq_ignore_ascii_case(organisation) && is_it(&team.name));
    let Some(team) = found_team else { return NOT_FOUND };
    match rest {
        [] => found(team_page(state, &team.organisation, &team.name, team.id)),
        ["memberships", login] => match team.members.iter().any(|member| member.eq_ignore_ascii_case(login)) {
            true => {
                let place = format!("organizations/1/team/{}/memberships/{login}", team.id);
                let url = format!("{}/api/v3/{place}", state.url);
                found(json!({ "state": "active", "role": "member", "url": url }))
            }
            false => NOT_FOUND,
        },
        ["members"] => Page::List(team.members.iter().map(|member| state.gh_user(member)).collect()),
        _ => NOT_FOUND,
    }
}

fn team_page(state: &State, organisation: &str, name: &str, id: i64) -> Value {
    let slug = name.to_lowercase().replace(' ', "-");
    let api = format!("{}/api/v3/organizations/1/team/{id}", state.url);
    let mut organisation_page = state.gh_user(organisation);
    organisation_page.as_object_mut().unwrap().extend(object(json!({
        "hooks_url": format!("{}/api/v3/orgs/{organisation}/hooks", state.url),
        "issues_url": format!("{}/api/v3/orgs/{organisation}/issues", state.url),
        "members_url": format!("{}/api/v3/orgs/{organisation}/members{{/member}}", state.url),
        "public_members_url": format!("{}/api/v3/orgs/{organisation}/public_members{{/member}}", state.url),
        "description": null, "has_organization_projects": true, "has_repository_projects": true,
        "public_repos": 0, "public_gists": 0, "followers": 0, "following": 0,
        "created_at": LONG_AGO, "updated_at": LONG_AGO, "archived_at": null, "type": "Organization",
    })));
    json!({
        "id": id,
        "node_id": format!("T_{id}"),
        "url": api,
        "html_url": format!("{}/orgs/{organisation}/teams/{slug}", state.url),
        "members_url": format!("{api}/members{{/member}}"),
        "repositories_url": format!("{api}/repos"),
        "name": name,
        "slug": slug,
        "description": "",
        "privacy": "closed",
        "notification_setting": "notifications_enabled",
        "permission": "pull",
        "parent": null,
        "type": "organization",
        "members_count": 1,
        "repos_count": 1,
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
        "organization": organisation_page,
    })
}

/// What somebody may do with a repository, however they got the right: through a team, too.
pub(super) fn permission(state: &State, at: &Repository, login: &str) -> Page {
    let Some(user) = named(state, login) else { return NOT_FOUND };
    let right = state.right(at, &user.login);
    let mut page = state.gh_user(&user.login);
    page["permissions"] = json!({
        "admin": right == super::super::Right::Admin,
        "maintain": right == super::super::Right::Admin,
        "push": right >= super::super::Right::Write,
        "triage": right >= super::super::Right::Write,
        "pull": right >= super::super::Right::Read,
    });
    page["role_name"] = super::page::permission(right).into();
    found(
        json!({ "permission": super::page::permission(right), "role_name": super::page::permission(right), "user": page }),
    )
}
