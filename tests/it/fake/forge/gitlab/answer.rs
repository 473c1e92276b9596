//! Who calls, and which answer it is.

use axum::body::Body;
use axum::http::{Response, StatusCode};

use super::super::git::Bare;
use super::super::opened::{New, opens};
use super::super::server::{Call, by_name};
use super::super::state::{Repository, State};
use super::super::{TOKEN, World};
use super::wire::{NOT_FOUND, Page, made, sent};
use super::{documented, graphql, people, places, projects};

pub(in super::super) async fn answer(world: &World, call: Call) -> Response<Body> {
    let asks_git = needs_git(&world.state(), &call);
    let commits = match &asks_git {
        None => Vec::new(),
        Some((repository, base, head)) => Bare::at(world.folder.path(), *repository).commits(base, head).await,
    };
    let new = opened(&world.state(), &call);
    let opened = match new {
        Some(new) => Some(opens(world, new).await),
        None => None,
    };
    let response = {
        let mut state = world.state();
        let page = match (documented::of_call(&call), is_known(&call)) {
            (Err(fault), _) => panic!("{fault}"),
            (Ok(_), false) => Page::Refused(StatusCode::UNAUTHORIZED, "401 Unauthorized".to_owned()),
            (Ok(documented), true) => {
                state.operations.insert(documented.call.to_owned());
                let page = match asks_git.is_some() {
                    _ if opened.is_some() => match opened.unwrap() {
                        Ok((repository, number)) => made(state.gl_pull(state.pull(repository, number).unwrap())),
                        Err(why) => Page::Refused(StatusCode::CONFLICT, why),
                    },
                    true => Page::List(commits.iter().map(|sha| state.gl_commit(sha)).collect()),
                    false => api_call(&mut state, &call),
                };
                let lacks = match &page {
                    Page::One(_, value) => documented.lacks(value),
                    Page::List(all) => all.iter().find_map(|value| documented.lacks(value)),
                    Page::Refused(..) => None,
                };
                assert_eq!(lacks, None, "{}", documented.call);
                page
            }
        };
        sent(&state, page, &call)
    };
    world.tell_all().await;
    response
}

/// A merge request to open: only Git knows where it leaves its base.
fn opened(state: &State, call: &Call) -> Option<New> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let ["v4", "projects", project, "merge_requests"] = path[..] else { return None };
    let repository = project_of(state, project).filter(|_| call.method == "POST" && is_known(call))?;
    Some(New::of(call, "bascule", repository, ["source_branch", "target_branch", "description"]))
}

/// By a token of a person, a project or a group, in either header.
fn is_known(call: &Call) -> bool {
    call.header("private-token") == TOKEN || call.header("authorization").strip_prefix("Bearer ") == Some(TOKEN)
}

/// The one call whose answer only Git knows: the commits of a merge request.
fn needs_git(state: &State, call: &Call) -> Option<(i64, String, String)> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let ["v4", "projects", project, "merge_requests", iid, "commits"] = path[..] else { return None };
    let pull = state.pull(project_of(state, project)?, iid.parse().ok()?)?;
    Some((pull.repository, pull.merge_base.clone(), format!("refs/pull/{iid}/head")))
}

/// By its number or its whole path. An old path is not followed.
fn project_of(state: &State, name: &str) -> Option<i64> {
    match name.parse::<i64>() {
        Ok(id) => state.repositories.iter().find(|one| one.id == id && !one.is_deleted).map(|one| one.id),
        Err(_) => by_name(state, name),
    }
}

fn api_call(state: &mut State, call: &Call) -> Page {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    match &path[..] {
        ["graphql"] if call.method == "POST" => graphql::answer(state, &call.body),
        ["v4", "projects", project, rest @ ..] => match project_of(state, project) {
            Some(id) => {
                let repository = state.repository(id).clone();
                project_call(state, call, &repository, rest)
            }
            None => Page::Refused(StatusCode::NOT_FOUND, "404 Project Not Found".to_owned()),
        },
        ["v4", rest @ ..] => people::call(state, call, rest),
        _ => NOT_FOUND,
    }
}

fn project_call(state: &mut State, call: &Call, at: &Repository, rest: &[&str]) -> Page {
    if at.is_archived && call.method != "GET" {
        return Page::Refused(StatusCode::FORBIDDEN, "403 Forbidden".to_owned());
    }
    match rest {
        ["merge_requests", ..] | ["issues", ..] => places::call(state, call, at, rest),
        ["members", "all", id] => people::member_of(state, at, id),
        _ => projects::call(state, call, at, rest),
    }
}
