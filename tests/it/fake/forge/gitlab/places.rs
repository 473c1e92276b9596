//! Merge requests and issues, and what is said in them.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::server::Call;
use super::super::state::{ApprovalRule, Comment, Issue, Pull, Repository, Review, Says, State};
use super::wire::{NOT_FOUND, Page, bad, found, made};

/// The longest text of a comment or an issue, in characters.
const LONGEST_TEXT: usize = 1_000_000;

pub(super) fn call(state: &mut State, call: &Call, at: &Repository, rest: &[&str]) -> Page {
    match (call.method.as_str(), rest) {
        ("GET", ["merge_requests"]) => pulls(state, call, at),
        ("GET", ["issues"]) => issues(state, call, at),
        ("POST", ["issues"]) => open(state, call, at),
        (method, ["merge_requests", iid, rest @ ..]) => {
            let pull = iid.parse().ok().and_then(|number| state.pull(at.id, number)).cloned();
            match (pull, method, rest) {
                (None, ..) => NOT_FOUND,
                (Some(pull), _, ["notes", rest @ ..]) => notes(state, call, (at, pull.number), rest),
                (Some(pull), "GET", []) => found(state.gl_pull(&pull)),
                (Some(pull), "GET", ["approvals"]) => found(approvals(state, &pull)),
                (Some(pull), "GET", ["approval_state"]) => approval_state(state, &pull),
                (Some(pull), "GET", ["reviewers"]) => Page::List(reviewers(state, &pull)),
                _ => NOT_FOUND,
            }
        }
        (method, ["issues", iid, rest @ ..]) => {
            let number = state.issue_number(at.id, iid);
            let Some(number) = number else { return NOT_FOUND };
            match (method, rest) {
                (_, ["notes", rest @ ..]) => notes(state, call, (at, number), rest),
                (method, []) => issue(state, call, (at, number), method),
                _ => NOT_FOUND,
            }
        }
        _ => NOT_FOUND,
    }
}

fn asked<'c>(call: &'c Call, key: &str) -> Option<&'c str> {
    call.query.get(key).map(String::as_str)
}

fn since(call: &Call, key: &str) -> Option<jiff::Timestamp> {
    asked(call, key).and_then(|time| time.parse().ok())
}

fn pulls(state: &State, call: &Call, at: &Repository) -> Page {
    let wants = |pull: &&Pull| {
        let of_state = match asked(call, "state").unwrap_or("all") {
            "opened" => pull.is_open,
            "merged" => pull.merge.is_some(),
            "closed" => !pull.is_open && pull.merge.is_none(),
            _ => true,
        };
        of_state && since(call, "updated_after").is_none_or(|since| pull.updated >= since)
    };
    let mut all: Vec<&Pull> = state.pulls.iter().filter(|pull| pull.repository == at.id).filter(wants).collect();
    match asked(call, "order_by") {
        Some("updated_at") => all.sort_by_key(|pull| (pull.updated, pull.number)),
        _ => all.sort_by_key(|pull| (pull.created, pull.number)),
    }
    if asked(call, "sort") != Some("asc") {
        all.reverse();
    }
    Page::List(all.into_iter().map(|pull| state.gl_pull_in_list(pull)).collect())
}

fn issues(state: &State, call: &Call, at: &Repository) -> Page {
    let wants = |issue: &&Issue| {
        let of_state = match asked(call, "state").unwrap_or("all") {
            "opened" => issue.is_open,
            "closed" => !issue.is_open,
            _ => true,
        };
        of_state
            && asked(call, "author_username").is_none_or(|wanted| wanted.eq_ignore_ascii_case(&issue.author))
            && since(call, "updated_after").is_none_or(|since| issue.updated >= since)
    };
    let mut all: Vec<&Issue> = state.issues.iter().filter(|issue| issue.repository == at.id).filter(wants).collect();
    if asked(call, "sort") != Some("asc") {
        all.reverse();
    }
    Page::List(all.into_iter().map(|issue| state.gl_issue(issue)).collect())
}

fn too_long(text: &str) -> Option<Page> {
    (text.chars().count() > LONGEST_TEXT).then(|| bad("Note is too long (maximum is 1000000 characters)"))
}

fn open(state: &mut State, call: &Call, at: &Repository) -> Page {
    let (title, body) = (call.text("title"), call.text("description"));
    if title.is_empty() {
        return bad("title is missing");
    }
    if let Some(refused) = too_long(&body) {
        return refused;
    }
    let (number, now) = (state.next_number(at.id), state.tick());
    let author = "bascule".to_owned();
    let issue = Issue { repository: at.id, number, author, title, body, is_open: true, at: now, updated: now };
    state.issues.push(issue.clone());
    made(state.gl_issue(&issue))
}

fn issue(state: &mut State, call: &Call, (at, number): (&Repository, i64), method: &str) -> Page {
    let is_it = |issue: &Issue| (issue.repository, issue.number) == (at.id, number);
    let Some(position) = state.issues.iter().position(is_it) else { return NOT_FOUND };
    match method {
        "GET" => found(state.gl_issue(&state.issues[position])),
        "PUT" => {
            let now = state.tick();
            let issue = &mut state.issues[position];
            for (key, place) in [("title", &mut issue.title), ("description", &mut issue.body)] {
                if let Some(new) = call.body[key].as_str() {
                    new.clone_into(place);
                }
            }
            issue.is_open = match call.body["state_event"].as_str() {
                Some("close") => false,
                Some("reopen") => true,
                _ => issue.is_open,
            };
            issue.updated = now;
            let issue = issue.clone();
            found(state.gl_issue(&issue))
        }
        _ => NOT_FOUND,
    }
}

fn notes(state: &mut State, call: &Call, (at, number): (&Repository, i64), rest: &[&str]) -> Page {
    let here = |comment: &Comment| (comment.repository, comment.number) == (at.id, number) && !comment.of_review;
    match (call.method.as_str(), rest) {
        ("GET", []) => {
            let filter = asked(call, "activity_filter").unwrap_or("all_notes");
            let mut all: Vec<(jiff::Timestamp, jiff::Timestamp, i64, Value)> = Vec::new();
            if filter != "only_activity" {
                let said = state.comments.iter().filter(|comment| here(comment));
                all.extend(said.map(|one| (one.created, one.updated, one.id, state.gl_note(one))));
            }
            if filter != "only_comments" {
                let mine = |review: &&Review| (review.repository, review.number) == (at.id, number);
                let lines = state.reviews.iter().filter(mine).filter(|review| review.says != Says::Remarks);
                all.extend(lines.map(|one| (one.created, one.created, one.id, state.gl_line(one))));
            }
            let by_update = asked(call, "order_by") == Some("updated_at");
            all.sort_by_key(|(created, updated, id, _)| (if by_update { *updated } else { *created }, *id));
            if asked(call, "sort") != Some("asc") {
                all.reverse();
            }
            Page::List(all.into_iter().map(|(.., page)| page).collect())
        }
        ("POST", []) => {
            let text = call.text("body");
            if text.trim().is_empty() {
                return bad("400 (Bad request) \"Note {:note=>[\"can't be blank\"]}\" not given");
            }
            if let Some(refused) = too_long(&text) {
                return refused;
            }
            let id = state.write_comment("bascule", at.id, number, &text);
            made(state.gl_note(state.comment(id)))
        }
        (method, [id, rest @ ..]) => {
            let is_it = |comment: &&Comment| here(comment) && comment.id.to_string() == *id;
            let Some(id) = state.comments.iter().find(is_it).map(|comment| comment.id) else {
                return Page::Refused(StatusCode::NOT_FOUND, "404 Not found".to_owned());
            };
            match (method, rest) {
                ("GET", []) => found(state.gl_note(state.comment(id))),
                ("PUT", []) => {
                    state.edit_comment("bascule", id, &call.text("body"));
                    found(state.gl_note(state.comment(id)))
                }
                ("POST", ["award_emoji"]) => award(state, id, call.text("name")),
                _ => NOT_FOUND,
            }
        }
        _ => NOT_FOUND,
    }
}

fn award(state: &mut State, id: i64, name: String) -> Page {
    if !["thumbsup", "thumbsdown", "eyes", "confused", "tada", "rocket"].contains(&name.as_str()) {
        return Page::Refused(StatusCode::NOT_FOUND, "404 Award Emoji Name is not a valid emoji name Not Found".into());
    }
    // The stories speak in the words of the other forges.
    let told = if name == "thumbsup" { "+1".to_owned() } else { name.clone() };
    let one = (id, "bascule".to_owned(), told);
    if state.reactions.contains(&one) {
        let why = "404 Award Emoji Name has already been taken Not Found";
        return Page::Refused(StatusCode::NOT_FOUND, why.to_owned());
    }
    state.reactions.push(one);
    let now = state.tick();
    let comment = state.comments.iter_mut().find(|comment| comment.id == id).expect("a comment of this forge");
    comment.updated = now;
    made(json!({
        "id": id, "name": name, "user": state.gl_user("bascule"), "created_at": now, "updated_at": now,
        "awardable_id": id, "awardable_type": "Note", "url": null,
    }))
}

fn approvals(state: &State, pull: &Pull) -> Value {
    let by: Vec<Value> = state
        .gl_approved_by(pull)
        .into_iter()
        .map(|(_, login, at)| json!({ "user": state.gl_user(&login), "approved_at": at }))
        .collect();
    json!({
        "id": pull.repository * 10_000 + pull.number, "iid": pull.number, "project_id": pull.repository,
        "title": pull.title, "description": "", "state": state.gl_state(pull), "created_at": pull.created,
        "updated_at": pull.updated, "merge_status": "can_be_merged", "approved": true, "approvals_required": 0,
        "approvals_left": 0, "user_has_approved": false, "user_can_approve": false, "approved_by": by,
    })
}

/// Without rules it is the Community Edition, which has no such page.
fn approval_state(state: &State, pull: &Pull) -> Page {
    let mine = |rule: &&ApprovalRule| (rule.repository, rule.number) == (pull.repository, pull.number);
    let by = state.gl_approved_by(pull);
    let rule = |(id, rule): (usize, &ApprovalRule)| {
        let users: Vec<Value> = rule.eligible.iter().map(|login| state.gl_user(login)).collect();
        let given = by.iter().filter(|(_, login, _)| rule.eligible.contains(login));
        let given: Vec<Value> = given.map(|(_, login, _)| state.gl_user(login)).collect();
        json!({
            "id": id, "name": rule.name, "rule_type": "regular", "eligible_approvers": users,
            "approvals_required": rule.wanted, "users": users, "groups": [], "contains_hidden_groups": false,
            "approved": given.len() >= rule.wanted, "approved_by": given, "source_rule": null, "overridden": false,
        })
    };
    let rules: Vec<Value> = state.approval_rules.iter().filter(mine).enumerate().map(rule).collect();
    if rules.is_empty() {
        return NOT_FOUND;
    }
    found(json!({ "approval_rules_overwritten": false, "rules": rules }))
}

/// Who said anything of it is taken for a reviewer.
fn reviewers(state: &State, pull: &Pull) -> Vec<Value> {
    let mine = |review: &&Review| (review.repository, review.number) == (pull.repository, pull.number);
    let mut last: Vec<&Review> = Vec::new();
    for review in state.reviews.iter().filter(mine).filter(|review| review.says != Says::Remarks) {
        last.retain(|known| known.author != review.author);
        last.push(review);
    }
    let state_of = |review: &Review| match review.says {
        Says::AsksForChanges if !review.dismissed => "requested_changes",
        Says::Approves if !review.dismissed => "approved",
        _ => "unreviewed",
    };
    let page = |review: &Review| json!({ "user": state.gl_user(&review.author), "state": state_of(review), "created_at": pull.created });
    last.into_iter().map(page).collect()
}
