//! Who is on the forge, and what they may do.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::server::Call;
use super::super::state::{Repository, Right, State, User};
use super::wire::{NOT_FOUND, Page, found};

pub(super) fn call(state: &State, call: &Call, path: &[&str]) -> Page {
    let people = || state.users.iter().filter(|user| !user.is_organisation);
    match (call.method.as_str(), path) {
        ("GET", ["user"]) => found(account(state, named(state, "bascule").unwrap())),
        ("GET", ["personal_access_tokens", "self"]) => found(json!({
            "id": 1, "name": "server", "revoked": false, "created_at": "2025-01-01T00:00:00.000Z", "scopes": ["api"],
            "user_id": state.gl_user_id("bascule"), "active": true, "expires_at": "2027-01-01",
        })),
        ("GET", ["users"]) => {
            let asked = |key: &str| call.query.get(key).map(|text| text.to_lowercase());
            let wants = |user: &&User| {
                let login = user.login.to_lowercase();
                asked("username").is_none_or(|wanted| wanted == login)
                    && asked("search")
                        .is_none_or(|part| login.contains(&part) || format!("{login}@example.com").contains(&part))
            };
            Page::List(people().filter(wants).map(|user| state.gl_user(&user.login)).collect())
        }
        ("GET", ["users", id]) => match people().find(|user| user.id.to_string() == *id) {
            Some(user) => found(account(state, user)),
            None => Page::Refused(StatusCode::NOT_FOUND, "404 User Not Found".to_owned()),
        },
        ("GET", ["groups", group, rest @ ..]) => self::group(state, group, rest),
        _ => NOT_FOUND,
    }
}

fn named<'a>(state: &'a State, login: &str) -> Option<&'a User> {
    state.users.iter().find(|user| user.login.eq_ignore_ascii_case(login) && !user.is_organisation)
}

/// What an account is told by itself.
fn account(state: &State, user: &User) -> Value {
    let mut page = state.gl_user(&user.login);
    page["bot"] = user.is_bot.into();
    page["created_at"] = "2025-01-01T00:00:00.000Z".into();
    page["bio"] = "".into();
    page["followers"] = 0.into();
    page
}

/// A group: an organisation, or (below it) a team.
fn group(state: &State, path: &str, rest: &[&str]) -> Page {
    let no_group = || Page::Refused(StatusCode::NOT_FOUND, "404 Group Not Found".to_owned());
    let whole = |team: &super::super::state::Team| format!("{}/{}", team.organisation, team.name);
    let team = state.teams.iter().find(|team| whole(team).eq_ignore_ascii_case(path));
    let organisation = state.users.iter().find(|user| user.is_organisation && user.login.eq_ignore_ascii_case(path));
    let Some(id) = team.map(|team| team.id).or(organisation.map(|user| user.id)) else { return no_group() };
    match (rest, team) {
        ([], _) => {
            let name = path.rsplit('/').next().unwrap();
            found(json!({
                "id": id, "name": name, "path": name, "full_path": path, "full_name": path, "visibility": "private",
                "description": "", "parent_id": null, "web_url": format!("{}/groups/{path}", state.url),
            }))
        }
        (["members", user], Some(team)) => {
            let user = state.users.iter().find(|one| one.id.to_string() == *user);
            match user.filter(|user| team.members.contains(&user.login)) {
                Some(user) => found(member(state, user, level(team.code))),
                None => Page::Refused(StatusCode::NOT_FOUND, "404 Not found".to_owned()),
            }
        }
        (["hooks"], _) => Page::List(Vec::new()),
        _ => NOT_FOUND,
    }
}

/// What somebody may do with a project, however they got the right: through a group, too.
pub(super) fn member_of(state: &State, at: &Repository, id: &str) -> Page {
    let user = state.users.iter().find(|user| user.id.to_string() == id);
    let right = user.map_or(Right::None, |user| state.right(at, &user.login));
    match (user, right) {
        (None, _) | (_, Right::None) => Page::Refused(StatusCode::NOT_FOUND, "404 Not found".to_owned()),
        (Some(user), right) => found(member(state, user, level(right))),
    }
}

fn member(state: &State, user: &User, level: i64) -> Value {
    let mut page = state.gl_user(&user.login);
    page["access_level"] = level.into();
    page["expires_at"] = Value::Null;
    page["created_at"] = "2025-01-01T00:00:00.000Z".into();
    page["membership_state"] = "active".into();
    page
}

fn level(right: Right) -> i64 {
    match right {
        Right::None => 5,
        Right::Read => 20,
        Right::Write => 30,
        Right::Admin => 40,
    }
}
