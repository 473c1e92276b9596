//! Who calls, what they may, and which answer it is.

use axum::body::Body;
use axum::http::{Response, StatusCode};

use super::super::git::Bare;
use super::super::opened::{New, opens};
use super::super::server::{Call, by_name};
use super::super::state::{Repository, State};
use super::super::{TOKEN, World};
use super::app::{self, Caller};
use super::wire::{NOT_FOUND, Page, forbidden, found, made, sent};
use super::{issues, people, pulls, repositories, timeline};

/// Commits of a pull request that are told, and no more.
const MOST_COMMITS: usize = 250;

pub(in super::super) async fn answer(world: &World, call: Call) -> Response<Body> {
    let asks_git = needs_git(&world.state(), &call);
    let commits = match &asks_git {
        None => Vec::new(),
        Some((repository, base, head)) => {
            let mut commits = Bare::at(world.folder.path(), *repository).commits(base, head).await;
            // Oldest first, unlike elsewhere.
            commits.reverse();
            commits.truncate(MOST_COMMITS);
            commits
        }
    };
    let new = opened(&world.state(), &call);
    let opened = match new {
        Some(new) => Some(opens(world, new).await),
        None => None,
    };
    let response = {
        let mut state = world.state();
        let page = match caller(&state, &call) {
            Err(refused) => refused,
            Ok(caller) => match may(&caller, &call) {
                Err(refused) => refused,
                Ok(()) if opened.is_some() => match opened.unwrap() {
                    Ok((repository, number)) => made(state.gh_pull(state.pull(repository, number).unwrap())),
                    Err(why) => Page::Invalid { resource: "PullRequest", field: "head", why },
                },
                Ok(()) if asks_git.is_some() => {
                    Page::List(commits.iter().map(|sha| state.gh_commit(asks_git.as_ref().unwrap().0, sha)).collect())
                }
                Ok(()) => api_call(&mut state, &caller, &call),
            },
        };
        sent(&mut state, page, &call)
    };
    world.tell_all().await;
    response
}

/// A pull request to open: only Git knows where it leaves its base.
fn opened(state: &State, call: &Call) -> Option<New> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let ["repos", owner, name, "pulls"] = path[..] else { return None };
    let repository = by_name(state, &format!("{owner}/{name}")).filter(|_| call.method == "POST")?;
    let by = caller(state, call).ok().filter(|caller| may(caller, call).is_ok() && caller.sees(repository))?;
    Some(New::of(call, by.login(), repository, ["head", "base", "body"]))
}

/// Who pushes with this token, if that is somebody who may.
pub(in super::super) fn pusher(state: &State, token: &str) -> Option<&'static str> {
    if token == TOKEN {
        return Some(Caller::Account.login());
    }
    match app::caller(state, token)? {
        Caller::Installation { permissions, .. } if permissions.get("contents").is_none_or(|may| may != "write") => {
            None
        }
        caller => Some(caller.login()),
    }
}

/// Whose token it is.
fn caller(state: &State, call: &Call) -> Result<Caller, Page> {
    let given = call.header("authorization");
    let token = given.strip_prefix("Bearer ").or_else(|| given.strip_prefix("token "));
    let refused = |why: &str| Page::Refused(StatusCode::UNAUTHORIZED, why.to_owned());
    match token {
        None => Err(refused("Requires authentication")),
        Some(TOKEN) => Ok(Caller::Account),
        Some(token) => app::caller(state, token).ok_or_else(|| refused("Bad credentials")),
    }
}

/// Whether an installation has the permission a call needs.
fn may(caller: &Caller, call: &Call) -> Result<(), Page> {
    let Caller::Installation { permissions, .. } = caller else { return Ok(()) };
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let writes = call.method != "GET";
    let one_of: &[&str] = match &path[..] {
        ["repos", _, _, rest @ ..] | ["repositories", _, rest @ ..] => match rest {
            ["branches" | "commits" | "activity", .., "status" | "statuses"] => &["statuses"],
            ["commits", _, "check-runs"] | ["check-runs", ..] => &["checks"],
            ["branches" | "activity" | "commits", ..] => &["contents"],
            ["pulls", ..] => &["pull_requests"],
            ["issues", ..] => &["issues", "pull_requests"],
            ["statuses", ..] => &["statuses"],
            ["deployments", ..] => &["deployments"],
            ["hooks", ..] => &["repository_hooks"],
            _ => return Ok(()),
        },
        ["orgs", _, "teams", ..] => &["members"],
        ["orgs", _, "hooks"] => &["organization_hooks"],
        ["user"] => return Err(forbidden("Resource not accessible by integration")),
        _ => return Ok(()),
    };
    let enough = |name: &&str| match permissions.get(*name).map(String::as_str) {
        Some("write" | "admin") => true,
        Some("read") => !writes,
        _ => false,
    };
    if one_of.iter().any(enough) { Ok(()) } else { Err(forbidden("Resource not accessible by integration")) }
}

/// The one call whose answer only Git knows: the commits of a pull request.
fn needs_git(state: &State, call: &Call) -> Option<(i64, String, String)> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let (repository, number) = match path[..] {
        ["repos", owner, name, "pulls", number, "commits"] => (by_name(state, &format!("{owner}/{name}"))?, number),
        ["repositories", id, "pulls", number, "commits"] => (id.parse().ok()?, number),
        _ => return None,
    };
    let pull = state.pull(repository, number.parse().ok()?)?;
    Some((repository, pull.merge_base.clone(), format!("refs/pull/{number}/head")))
}

fn api_call(state: &mut State, caller: &Caller, call: &Call) -> Page {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    match (call.method.as_str(), &path[..]) {
        (_, ["repositories", id, rest @ ..]) => {
            let repository = state.repositories.iter().find(|found| found.id.to_string() == *id && !found.is_deleted);
            let repository = repository.filter(|found| caller.sees(found.id)).cloned();
            repository.map_or(NOT_FOUND, |repository| repository_call(state, caller, call, &repository, rest))
        }
        (_, ["repos", owner, name, rest @ ..]) => {
            let full = format!("{owner}/{name}");
            if let Some(id) = by_name(state, &full).filter(|id| caller.sees(*id)) {
                let repository = state.repository(id).clone();
                return repository_call(state, caller, call, &repository, rest);
            }
            match state.moved.get(&full).map(|id| state.repository(*id)).filter(|to| !to.is_deleted) {
                Some(to) if caller.sees(to.id) => {
                    let rest = rest.iter().map(|part| format!("/{part}"));
                    Page::Moved(format!("repositories/{}{}", to.id, rest.collect::<String>()))
                }
                _ => NOT_FOUND,
            }
        }
        ("GET", ["rate_limit"]) => {
            let limit = serde_json::json!({
                "limit": 15_000, "used": 15_000 - state.calls_left, "remaining": state.calls_left,
                "reset": state.now().as_second() + 3_600,
            });
            found(serde_json::json!({ "resources": { "core": limit, "search": limit }, "rate": limit }))
        }
        (_, ["app", ..]) | (_, ["installation", ..]) => app::call(state, caller, call, &path),
        _ => people::call(state, caller, call, &path),
    }
}

fn repository_call(state: &mut State, caller: &Caller, call: &Call, at: &Repository, rest: &[&str]) -> Page {
    if matches!(caller, Caller::App(_)) && rest != ["installation"] {
        return forbidden("Resource not accessible by integration");
    }
    if at.is_archived && call.method != "GET" {
        return forbidden("Repository was archived so is read-only.");
    }
    match rest {
        ["installation"] => app::of_repository(state, caller, at),
        ["issues", _, "timeline"] | ["issues", _, "events"] => timeline::call(state, call, at, rest),
        ["issues", ..] => issues::call(state, caller, call, at, &rest[1..]),
        ["pulls", ..] => pulls::call(state, call, at, &rest[1..]),
        ["collaborators", login, "permission"] => people::permission(state, at, login),
        _ => repositories::call(state, caller, call, at, rest),
    }
}
