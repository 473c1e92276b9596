//! API calls of our account.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};

use super::super::git::Bare;
use super::super::opened::{New, opens};
use super::super::server::{Call, by_name};
use super::super::state::{Comment, Issue, Repository, Review, State, Status};
use super::super::{TOKEN, World};
use super::published;
use super::wire::{NOT_FOUND, Page, found, made, refusal, sent};

pub(in super::super) async fn answer(world: &World, call: Call) -> Response<Body> {
    if call.header("authorization") != format!("token {TOKEN}") {
        return refusal(StatusCode::UNAUTHORIZED, "invalid username, password or token");
    }
    let (largest, asks_git) = {
        let state = world.state();
        (state.largest_page, needs_git(&state, &call))
    };
    let new = opened(&world.state(), &call);
    let page = match asks_git {
        None if new.is_some() => match opens(world, new.unwrap()).await {
            Ok((repository, number)) => {
                let state = world.state();
                made(state.pull_page(state.pull(repository, number).unwrap()))
            }
            Err(why) => Page::Refused(StatusCode::CONFLICT, why),
        },
        None => api_call(&mut world.state(), &call),
        Some((repository, base, head)) => {
            let commits = Bare::at(world.folder.path(), repository).commits(&base, &head).await;
            let state = world.state();
            Page::List(commits.iter().map(|sha| state.commit_page(sha)).collect())
        }
    };
    world.tell_all().await;
    assert_eq!(published::faults(&call, &page), [""; 0], "{} {}", call.method, call.path.join("/"));
    sent(page, &call, largest)
}

/// A pull request to open: only Git knows where it leaves its base.
fn opened(state: &State, call: &Call) -> Option<New> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let ["repos", owner, name, "pulls"] = path[..] else { return None };
    let repository = by_name(state, &format!("{owner}/{name}")).filter(|_| call.method == "POST")?;
    Some(New::of(call, "bascule", repository, ["head", "base", "body"]))
}

/// The one call whose answer only Git knows: the commits of a pull request.
fn needs_git(state: &State, call: &Call) -> Option<(i64, String, String)> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let ["repos", owner, name, "pulls", number, "commits"] = path[..] else { return None };
    let repository = by_name(state, &format!("{owner}/{name}"))?;
    let pull = state.pull(repository, number.parse().ok()?)?;
    Some((repository, pull.merge_base.clone(), format!("refs/pull/{number}/head")))
}

fn api_call(state: &mut State, call: &Call) -> Page {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    match (call.method.as_str(), &path[..]) {
        ("GET", ["user"]) => found(state.user_page("bascule")),
        ("GET", ["users", "search"]) => found(json!({ "ok": true, "data": search(state, &call.query) })),
        ("GET", ["users", login]) => match state.users.iter().any(|user| user.login == *login) {
            true => found(state.user_page(login)),
            false => NOT_FOUND,
        },
        ("GET", ["orgs", organisation, "teams"]) => {
            let teams = state.teams.iter().filter(|team| team.organisation == *organisation);
            Page::List(teams.map(|team| state.team_page(team)).collect())
        }
        ("GET", ["teams", team, "members", login]) => {
            match state.teams.iter().find(|found| found.id.to_string() == *team) {
                Some(team) if team.members.iter().any(|member| member == login) => found(state.user_page(login)),
                _ => NOT_FOUND,
            }
        }
        ("GET", ["repositories", id]) => {
            let page = state.repositories.iter().find(|found| found.id.to_string() == *id && !found.is_deleted);
            page.map_or(NOT_FOUND, |repository| found(state.repository_page(repository)))
        }
        (_, ["repos", owner, name, rest @ ..]) => {
            let full = format!("{owner}/{name}");
            if let Some(id) = by_name(state, &full) {
                let repository = state.repository(id).clone();
                return repository_call(state, call, &repository, rest);
            }
            match state.moved.get(&full).map(|id| state.repository(*id)).filter(|to| !to.is_deleted) {
                Some(to) => Page::Moved(format!("/api/v1/repos/{}/{}", to.name, rest.join("/"))),
                None => NOT_FOUND,
            }
        }
        _ => NOT_FOUND,
    }
}

/// Finds people only: that is how a bot is known for one.
fn search(state: &State, query: &BTreeMap<String, String>) -> Vec<Value> {
    let people = state.users.iter().filter(|user| !user.is_bot && !user.is_organisation);
    let wanted = people.filter(|user| match (query.get("uid"), query.get("q")) {
        (Some(uid), _) => user.id.to_string() == *uid,
        (None, Some(word)) => format!("{}@example.com", user.login).contains(&word.to_lowercase()),
        (None, None) => true,
    });
    wanted.map(|user| state.user_page(&user.login)).collect()
}

fn repository_call(state: &mut State, call: &Call, at: &Repository, rest: &[&str]) -> Page {
    match (call.method.as_str(), rest) {
        ("GET", []) => found(state.repository_page(at)),
        ("GET", ["hooks"]) => {
            let events =
                ["push", "delete", "pull_request", "pull_request_sync", "pull_request_review", "issue_comment"];
            let hook = state.hook.iter().map(|url| {
                let config = json!({ "url": url, "content_type": "json" });
                json!({ "id": 1, "type": "gitea", "active": true, "events": events, "config": config })
            });
            Page::List(hook.collect())
        }
        ("GET", ["branches"]) => {
            Page::List(at.branches.iter().map(|(name, tip)| state.branch_page(name, tip)).collect())
        }
        ("GET", ["branches", name @ ..]) => {
            let name = name.join("/");
            at.branches.get(&name).map_or(NOT_FOUND, |tip| found(state.branch_page(&name, tip)))
        }
        ("GET", ["activities", "feeds"]) => {
            let hidden = |login: &str| state.users.iter().any(|user| user.login == login && user.hides_activity);
            let mine = state.activities.iter().rev().filter(|activity| activity.repository == at.id);
            let mine = mine.filter(|activity| !hidden(&activity.by));
            Page::List(mine.map(|activity| state.activity_page(activity)).collect())
        }
        ("GET", ["git", "commits", sha]) if state.commits.contains_key(*sha) => found(state.commit_page(sha)),
        ("GET", ["collaborators", login, "permission"]) => match state.users.iter().any(|user| user.login == *login) {
            true => {
                let right = state.told_right(at, login).word();
                found(json!({ "permission": right, "role_name": right, "user": state.user_page(login) }))
            }
            false => NOT_FOUND,
        },
        ("GET", ["teams"]) => {
            let owner = at.name.split_once('/').unwrap().0;
            if !state.users.iter().any(|user| user.login == owner && user.is_organisation) {
                return Page::Refused(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "repo is not owned by an organization".to_owned(),
                );
            }
            let teams = state.teams.iter().filter(|team| team.organisation == owner);
            Page::Whole(teams.map(|team| state.team_page(team)).collect())
        }
        ("GET", ["pulls"]) => pulls(state, at.id, &call.query),
        (method, ["pulls", number, rest @ ..]) => {
            match number.parse().ok().filter(|number| state.pull(at.id, *number).is_some()) {
                Some(number) => pull_call(state, method, at.id, number, rest),
                None => NOT_FOUND,
            }
        }
        ("POST", ["statuses", sha]) => {
            if !state.commits.contains_key(*sha) {
                return Page::Refused(StatusCode::INTERNAL_SERVER_ERROR, String::new());
            }
            let status = Status {
                id: state.id(),
                repository: at.id,
                commit: (*sha).to_owned(),
                context: call.text("context"),
                state: call.text("state"),
                description: call.text("description"),
                target_url: call.text("target_url"),
                creator: "bascule".to_owned(),
                at: state.tick(),
            };
            let page = state.status_page(&status);
            state.statuses.push(status);
            made(page)
        }
        ("GET", ["commits", sha, "statuses"]) => {
            let mine = state.statuses.iter().rev().filter(|status| status.repository == at.id && status.commit == *sha);
            Page::List(mine.map(|status| state.status_page(status)).collect())
        }
        ("GET", ["issues"]) => {
            let wants = |key: &str, is: &str| call.query.get(key).is_none_or(|wanted| wanted == is);
            let mine = state.issues.iter().rev().filter(|issue| issue.repository == at.id);
            let mine = mine.filter(|issue| wants("state", if issue.is_open { "open" } else { "closed" }));
            Page::List(mine.filter(|issue| wants("created_by", &issue.author)).map(|i| state.issue_page(i)).collect())
        }
        ("POST", ["issues"]) => {
            let (number, at_time) = (state.next_number(at.id), state.tick());
            let (title, body) = (call.text("title"), call.text("body"));
            let author = "bascule".to_owned();
            let issue =
                Issue { repository: at.id, number, author, title, body, is_open: true, at: at_time, updated: at_time };
            let page = state.issue_page(&issue);
            state.issues.push(issue);
            made(page)
        }
        ("GET", ["issues", "comments"]) => {
            let since = call.query.get("since").and_then(|since| since.parse().ok());
            let mine = state.comments.iter().filter(|said| said.repository == at.id && !said.of_review);
            let mine = mine.filter(|said| since.is_none_or(|since: jiff::Timestamp| said.updated >= since));
            Page::List(mine.map(|said| state.comment_page(said)).collect())
        }
        (method, ["issues", "comments", id, rest @ ..]) => comment_call(state, method, at.id, id, rest, &call.body),
        (method, ["issues", number, rest @ ..]) => match number.parse() {
            Ok(number) => issue_call(state, method, at.id, number, rest, &call.body),
            Err(_) => NOT_FOUND,
        },
        _ => NOT_FOUND,
    }
}

fn pulls(state: &State, repository: i64, query: &BTreeMap<String, String>) -> Page {
    let wants_open = query.get("state").is_none_or(|wanted| wanted == "open");
    let mut mine: Vec<_> = state.pulls.iter().filter(|pull| pull.repository == repository).collect();
    mine.retain(|pull| pull.is_open == wants_open);
    match query.get("sort").map(String::as_str) {
        Some("recentupdate") => mine.sort_by_key(|pull| std::cmp::Reverse(pull.updated)),
        Some("recentclose") => mine.sort_by_key(|pull| std::cmp::Reverse(pull.closed)),
        Some("oldest") => mine.sort_by_key(|pull| pull.created),
        _ => mine.reverse(),
    }
    Page::List(mine.into_iter().map(|pull| state.pull_page(pull)).collect())
}

fn pull_call(state: &State, method: &str, repository: i64, number: i64, rest: &[&str]) -> Page {
    match (method, rest) {
        ("GET", []) => state.pull(repository, number).map_or(NOT_FOUND, |pull| found(state.pull_page(pull))),
        ("GET", ["reviews"]) => {
            let mine = |review: &&Review| review.repository == repository && review.number == number;
            Page::List(state.reviews.iter().filter(mine).map(|review| state.review_page(review)).collect())
        }
        _ => NOT_FOUND,
    }
}

fn issue_call(state: &mut State, method: &str, repository: i64, number: i64, rest: &[&str], body: &Value) -> Page {
    let at = state.issues.iter().position(|issue| issue.repository == repository && issue.number == number);
    if at.is_none() && state.pull(repository, number).is_none() {
        return NOT_FOUND;
    }
    let mine = |comment: &&Comment| comment.repository == repository && comment.number == number;
    match (method, rest) {
        ("GET", []) => match (at, state.pull(repository, number)) {
            (Some(at), _) => found(state.issue_page(&state.issues[at])),
            (None, Some(pull)) => found(state.pull_as_issue_page(pull)),
            (None, None) => NOT_FOUND,
        },
        ("PATCH", []) => {
            let Some(at) = at else { return NOT_FOUND };
            let issue = &mut state.issues[at];
            for (key, place) in [("title", &mut issue.title), ("body", &mut issue.body)] {
                if let Some(new) = body[key].as_str() {
                    new.clone_into(place);
                }
            }
            issue.is_open = body["state"].as_str().map_or(issue.is_open, |wanted| wanted == "open");
            made(state.issue_page(&state.issues[at]))
        }
        ("GET", ["comments"]) => {
            let mine = state.comments.iter().filter(mine).filter(|comment| !comment.of_review);
            Page::Whole(mine.map(|comment| state.comment_page(comment)).collect())
        }
        ("POST", ["comments"]) => {
            let text = body["body"].as_str().unwrap_or_default();
            if text.len() > 65_535 {
                return Page::Refused(StatusCode::UNPROCESSABLE_ENTITY, "the comment is too long".to_owned());
            }
            let id = state.write_comment("bascule", repository, number, text);
            made(state.comment_page(state.comment(id)))
        }
        ("GET", ["timeline"]) => {
            let comments = state.comments.iter().filter(mine);
            let mut all: Vec<(i64, Value)> =
                comments.map(|comment| (comment.id, state.timeline_page(comment))).collect();
            let pushes = state.pull(repository, number).map(|pull| pull.pushes.as_slice()).unwrap_or_default();
            all.extend(pushes.iter().map(|push| (push.id, state.pull_push_page(push))));
            all.sort_by_key(|(id, _)| *id);
            Page::List(all.into_iter().map(|(_, page)| page).collect())
        }
        _ => NOT_FOUND,
    }
}

fn comment_call(state: &mut State, method: &str, repository: i64, id: &str, rest: &[&str], body: &Value) -> Page {
    let at = state.comments.iter().position(|comment| comment.id.to_string() == id && comment.repository == repository);
    let Some(at) = at else { return NOT_FOUND };
    match (method, rest) {
        ("GET", []) => found(state.comment_page(&state.comments[at])),
        ("PATCH", []) => {
            let id = state.comments[at].id;
            state.edit_comment("bascule", id, body["body"].as_str().unwrap_or_default());
            found(state.comment_page(state.comment(id)))
        }
        ("POST", ["reactions"]) => {
            let content = body["content"].as_str().unwrap_or_default().to_owned();
            let reaction = (state.comments[at].id, "bascule".to_owned(), content);
            if !state.reactions.contains(&reaction) {
                state.reactions.push(reaction.clone());
            }
            made(json!({ "user": state.user_page("bascule"), "content": reaction.2 }))
        }
        _ => NOT_FOUND,
    }
}
