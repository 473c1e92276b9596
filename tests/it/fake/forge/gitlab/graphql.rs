//! The few questions of GraphQL that are asked: by what they ask for, without a parser of the language.

use regex::Regex;
use serde_json::{Map, Value, json};

use super::super::server::by_name;
use super::super::state::State;
use super::wire::{Page, found};

pub(super) fn answer(state: &State, body: &Value) -> Page {
    let query = body["query"].as_str().unwrap_or_default();
    let named = |key: &str| body["variables"][key].as_str().unwrap_or_default().to_owned();
    let project = by_name(state, &named("project"));
    if query.contains("lastCommit") {
        let commit = project.and_then(|_| state.commits.get(&named("commit")));
        let page = commit.map(|commit| {
            let author = &commit.author;
            json!({
                "sha": named("commit"),
                "authorEmail": format!("{author}@example.com"),
                "committerEmail": format!("{}@example.com", commit.committer),
                "author": state.gl_known(author),
            })
        });
        let tree = json!({ "repository": { "tree": { "lastCommit": page } } });
        return found(json!({ "data": { "project": project.map(|_| tree) } }));
    }
    if query.contains("approvedBy") {
        let pulls = state.pulls.iter().filter(|pull| Some(pull.repository) == project && pull.is_open);
        let nodes: Vec<Value> = pulls
            .map(|pull| {
                let by = state.gl_approved_by(pull).into_iter();
                let by: Vec<Value> = by.map(|one| json!({ "id": global("User", one.0) })).collect();
                json!({ "iid": pull.number.to_string(), "approvedBy": { "nodes": by } })
            })
            .collect();
        let all = json!({ "pageInfo": { "hasNextPage": false, "endCursor": null }, "nodes": nodes });
        return found(json!({ "data": { "project": project.map(|_| json!({ "mergeRequests": all })) } }));
    }
    let asked = Regex::new(r#"(n\d+): note\(id: "gid://gitlab/Note/(\d+)"\)"#).unwrap();
    let mut data = Map::new();
    for (_, [name, id]) in asked.captures_iter(query).map(|found| found.extract()) {
        let note = state.comments.iter().find(|comment| comment.id.to_string() == id);
        let page = note.map(|note| {
            let by = note.edited.as_ref().map(|(by, _)| json!({ "id": global("User", state.gl_user_id(by)) }));
            let at = note.edited.as_ref().map_or(note.updated, |(_, at)| *at);
            json!({ "id": global("Note", note.id), "updatedAt": note.updated, "lastEditedAt": at, "lastEditedBy": by })
        });
        data.insert(name.to_owned(), page.unwrap_or(Value::Null));
    }
    match data.is_empty() {
        false => found(json!({ "data": data })),
        true => found(json!({ "errors": [{ "message": "Parse error on query" }] })),
    }
}

pub(super) fn global(kind: &str, id: i64) -> String {
    format!("gid://gitlab/{kind}/{id}")
}
