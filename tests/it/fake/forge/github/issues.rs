//! Issues, which pull requests are, too; what is said in them.

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::server::Call;
use super::super::state::{Comment, Issue, Pull, Repository, State};
use super::app::Caller;
use super::wire::{NOT_FOUND, Page, found, made};

/// The longest text of a comment or an issue, in characters.
const LONGEST_TEXT: usize = 65_536;

pub(super) fn call(state: &mut State, caller: &Caller, call: &Call, at: &Repository, rest: &[&str]) -> Page {
    match (call.method.as_str(), rest) {
        ("GET", []) => list(state, call, at),
        ("POST", []) => open(state, caller, call, at),
        ("GET", ["comments"]) => {
            let since = since(call);
            let mine = state.comments.iter().filter(|said| said.repository == at.id && !said.of_review);
            let mut mine: Vec<&Comment> = mine.filter(|said| since.is_none_or(|since| said.updated >= since)).collect();
            let by_update = call.query.get("sort").is_some_and(|sort| sort == "updated");
            mine.sort_by_key(|said| (if by_update { said.updated } else { said.created }, said.id));
            // Without `sort` the direction means nothing.
            let is_turned =
                call.query.contains_key("sort") && call.query.get("direction").is_none_or(|way| way == "desc");
            if is_turned {
                mine.reverse();
            }
            Page::List(mine.into_iter().map(|said| state.gh_comment(said)).collect())
        }
        (method, ["comments", id, rest @ ..]) => comment_call(state, caller, call, at, (method, id, rest)),
        (method, [number, rest @ ..]) => match number.parse() {
            Ok(number) => one(state, caller, call, (at, number), (method, rest)),
            Err(_) => NOT_FOUND,
        },
        _ => NOT_FOUND,
    }
}

fn since(call: &Call) -> Option<Timestamp> {
    call.query.get("since").and_then(|since| since.parse().ok())
}

/// Issues and pull requests.
fn list(state: &State, call: &Call, at: &Repository) -> Page {
    let asked = |key: &str| call.query.get(key).map(String::as_str);
    let issues = state.issues.iter().filter(|issue| issue.repository == at.id);
    let pulls = state.pulls.iter().filter(|pull| pull.repository == at.id);
    let mut all: Vec<(Timestamp, Timestamp, i64, bool, &str, Value)> = issues
        .map(|one| (one.at, one.updated, one.number, one.is_open, one.author.as_str(), state.gh_issue(one)))
        .chain(pulls.map(|one| {
            (one.created, one.updated, one.number, one.is_open, one.author.as_str(), state.gh_pull_as_issue(one))
        }))
        .filter(|(_, updated, _, is_open, author, _)| {
            let of_state = match asked("state").unwrap_or("open") {
                "all" => true,
                "closed" => !is_open,
                _ => *is_open,
            };
            of_state
                && asked("creator").is_none_or(|wanted| wanted.eq_ignore_ascii_case(author))
                && since(call).is_none_or(|since| *updated >= since)
        })
        .collect();
    all.sort_by_key(|(created, updated, number, ..)| match asked("sort") {
        Some("updated") => (*updated, *number),
        _ => (*created, *number),
    });
    if asked("direction") != Some("asc") {
        all.reverse();
    }
    Page::List(all.into_iter().map(|(.., page)| page).collect())
}

fn open(state: &mut State, caller: &Caller, call: &Call, at: &Repository) -> Page {
    let (title, body) = (call.text("title"), call.text("body"));
    if title.is_empty() {
        let why = "title can't be blank".to_owned();
        return Page::Invalid { resource: "Issue", field: "title", why };
    }
    if let Some(refused) = too_long("Issue", &body) {
        return refused;
    }
    let (number, now) = (state.next_number(at.id), state.tick());
    let author = caller.login().to_owned();
    state.user(&author);
    let issue = Issue { repository: at.id, number, author, title, body, is_open: true, at: now, updated: now };
    let page = state.gh_issue(&issue);
    state.issues.push(issue);
    made(page)
}

fn too_long(resource: &'static str, body: &str) -> Option<Page> {
    (body.chars().count() > LONGEST_TEXT).then(|| {
        let why = format!("body is too long (maximum is {LONGEST_TEXT} characters)");
        Page::Invalid { resource, field: "body", why }
    })
}

fn one(
    state: &mut State,
    caller: &Caller,
    call: &Call,
    (at, number): (&Repository, i64),
    (method, rest): (&str, &[&str]),
) -> Page {
    let is = |issue: &Issue, repository: i64| (issue.repository, issue.number) == (repository, number);
    let issue = state.issues.iter().position(|issue| is(issue, at.id));
    let pull: Option<Pull> = state.pull(at.id, number).cloned();
    if issue.is_none() && pull.is_none() {
        let was_deleted = state.issues.iter().any(|issue| is(issue, -at.id));
        return match was_deleted {
            true => Page::Refused(StatusCode::GONE, "This issue was deleted".to_owned()),
            false => NOT_FOUND,
        };
    }
    match (method, rest) {
        ("GET", []) => match (issue, &pull) {
            (Some(issue), _) => found(state.gh_issue(&state.issues[issue])),
            (None, Some(pull)) => found(state.gh_pull_as_issue(pull)),
            (None, None) => NOT_FOUND,
        },
        ("PATCH", []) => {
            let Some(issue) = issue else { return NOT_FOUND };
            if let Some(refused) = too_long("Issue", &call.text("body")) {
                return refused;
            }
            let now = state.tick();
            let issue = &mut state.issues[issue];
            for (key, place) in [("title", &mut issue.title), ("body", &mut issue.body)] {
                if let Some(new) = call.body[key].as_str() {
                    new.clone_into(place);
                }
            }
            issue.is_open = call.body["state"].as_str().map_or(issue.is_open, |wanted| wanted == "open");
            issue.updated = now;
            let issue = issue.clone();
            found(state.gh_issue(&issue))
        }
        ("GET", ["comments"]) => {
            let since = since(call);
            let mine = state.comments.iter().filter(|said| (said.repository, said.number) == (at.id, number));
            let mine = mine.filter(|said| !said.of_review && since.is_none_or(|since| said.updated >= since));
            Page::List(mine.map(|said| state.gh_comment(said)).collect())
        }
        ("POST", ["comments"]) => {
            let text = call.text("body");
            if text.trim().is_empty() {
                let why = "body can't be blank".to_owned();
                return Page::Invalid { resource: "IssueComment", field: "body", why };
            }
            if let Some(refused) = too_long("IssueComment", &text) {
                return refused;
            }
            let id = state.write_comment(caller.login(), at.id, number, &text);
            made(state.gh_comment(state.comment(id)))
        }
        _ => NOT_FOUND,
    }
}

fn comment_call(
    state: &mut State,
    caller: &Caller,
    call: &Call,
    at: &Repository,
    (method, id, rest): (&str, &str, &[&str]),
) -> Page {
    let is_it = |said: &&Comment| said.id.to_string() == id && said.repository == at.id && !said.of_review;
    let Some(id) = state.comments.iter().find(is_it).map(|said| said.id) else { return NOT_FOUND };
    match (method, rest) {
        ("GET", []) => found(state.gh_comment(state.comment(id))),
        ("PATCH", []) => {
            if let Some(refused) = too_long("IssueComment", &call.text("body")) {
                return refused;
            }
            state.edit_comment(caller.login(), id, &call.text("body"));
            found(state.gh_comment(state.comment(id)))
        }
        ("GET", ["reactions"]) => {
            let mine = state.reactions.iter().filter(|(on, ..)| *on == id);
            Page::List(mine.map(|(_, login, content)| reaction(state, id, login, content)).collect())
        }
        ("POST", ["reactions"]) => {
            let content = call.text("content");
            let known = ["+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"];
            if !known.contains(&content.as_str()) {
                let why = "content is not included in the list".to_owned();
                return Page::Invalid { resource: "Reaction", field: "content", why };
            }
            let one = (id, caller.login().to_owned(), content);
            let page = reaction(state, id, &one.1, &one.2);
            if state.reactions.contains(&one) {
                return found(page);
            }
            state.reactions.push(one);
            made(page)
        }
        _ => NOT_FOUND,
    }
}

fn reaction(state: &State, id: i64, login: &str, content: &str) -> Value {
    json!({
        "id": id,
        "node_id": format!("REA_{id}"),
        "user": state.gh_user(login),
        "content": content,
        "created_at": state.now(),
    })
}
