//! What Forgejo publishes of its API: a call that is not in it fails, in every test, and so does an answer of this fake that
//! has something it does not. (That it answers as Gitea does is for `forge_contract` to say, which asks a real one.)
//!
//! `tests/fixtures/forgejo/swagger.v1.json.gz` is the file of that name in the crate `forgejo-api` 0.12.0, compressed: the
//! description that Forgejo's own program serves, of which the crate is made.

use std::io::Read as _;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::super::server::Call;
use super::wire::Page;

static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/forgejo/swagger.v1.json.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*std::fs::read(path).unwrap()).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
});

/// What is not as it is published: of a call, and of what is answered.
pub(super) fn faults(call: &Call, page: &Page) -> Vec<String> {
    let Some(operation) = operation(&call.method, &call.path) else { return vec!["is not published".to_owned()] };
    let mut found = asked(operation, call);
    let (status, value) = match page {
        Page::One(status, value) => (status.as_u16(), value.clone()),
        Page::List(all) | Page::Whole(all) => (200, json!(all)),
        Page::Moved(_) | Page::Refused(..) => return found,
    };
    let answer = resolved(&operation["responses"][status.to_string()]);
    match answer.get("schema") {
        Some(schema) => unlike(schema, &value, "answer", &mut found),
        None if answer.is_null() => found.push(format!("is not answered with {status}")),
        None => {}
    }
    found
}

/// What is asked for that cannot be asked for.
fn asked(operation: &'static Value, call: &Call) -> Vec<String> {
    let mut found = Vec::new();
    let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    for (name, text) in &call.query {
        let Some(parameter) = parameters.iter().find(|one| one["in"] == "query" && one["name"] == **name) else {
            found.push(format!("takes no `{name}`"));
            continue;
        };
        let value = match parameter["type"].as_str() {
            Some("integer") => text.parse::<i64>().map_or(json!(text), |number| json!(number)),
            Some("boolean") => text.parse::<bool>().map_or(json!(text), |word| json!(word)),
            Some("array") => json!([text]),
            _ => json!(text),
        };
        unlike(parameter, &value, &format!("?{name}"), &mut found);
    }
    let body = parameters.iter().find(|one| one["in"] == "body");
    match (body, &call.body) {
        (_, Value::Null) => {}
        (Some(body), value) => unlike(&body["schema"], value, "body", &mut found),
        (None, _) => found.push("takes no body".to_owned()),
    }
    found
}

/// The operation of a path. Words win over placeholders.
fn operation(method: &str, path: &[String]) -> Option<&'static Value> {
    let fits = |template: &str| {
        let parts: Vec<&str> = template.split('/').skip(1).collect();
        // A branch may have slashes, and is asked for with them.
        let is_as_long = parts.len() == path.len() || parts.len() < path.len() && parts.last() == Some(&"{branch}");
        is_as_long && parts.iter().zip(path).all(|(part, own)| part.starts_with('{') || part == own)
    };
    let paths = DESCRIPTION["paths"].as_object().unwrap().iter().filter(|(template, _)| fits(template));
    let (_, path) = paths.min_by_key(|(template, _)| template.matches('{').count())?;
    path.get(method.to_ascii_lowercase())
}

fn resolved(mut value: &'static Value) -> &'static Value {
    while let Some(to) = value.get("$ref").and_then(Value::as_str) {
        value = DESCRIPTION.pointer(to.trim_start_matches('#')).unwrap();
    }
    value
}

/// Where a value is not of its schema, or has more than that. What has no value is `null` in Go, whatever it is.
fn unlike(schema: &'static Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let schema = resolved(schema);
    let is_it = match (schema["type"].as_str(), value) {
        (_, Value::Null) | (None, _) => true,
        (Some("object"), Value::Object(_)) => true,
        (Some("array"), Value::Array(items)) => {
            for item in items {
                unlike(&schema["items"], item, &format!("{at}[]"), found);
            }
            true
        }
        (Some("string"), Value::String(_)) | (Some("boolean"), Value::Bool(_)) => true,
        (Some("integer"), Value::Number(number)) => number.is_i64(),
        (Some(_), _) => false,
    };
    let is_one = schema["enum"].as_array().is_none_or(|all| value.is_null() || all.contains(value));
    if !is_it || !is_one {
        found.push(format!("{at}: {value}"));
    }
    let Value::Object(fields) = value else { return };
    // Both write an account's name twice, and publish one of them.
    let is_published = |(key, _): &(&String, &Value)| *key != "username" || !fields.contains_key("login");
    for (key, field) in fields.iter().filter(is_published) {
        match (&schema["properties"][key], &schema["additionalProperties"]) {
            (Value::Null, Value::Null) => found.push(format!("{at}.{key}: there is none")),
            (Value::Null, more) => unlike(more, field, &format!("{at}.{key}"), found),
            (own, _) => unlike(own, field, &format!("{at}.{key}"), found),
        }
    }
}

#[test]
fn what_forgejo_does_not_publish_is_told() {
    let call = |method: &str, path: &str, query: &[(&str, &str)], body: Value| Call {
        method: method.to_owned(),
        path: path.split('/').map(str::to_owned).collect(),
        query: query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        headers: axum::http::HeaderMap::new(),
        body,
    };
    let comments = "repos/acme/shop/issues/1/comments";
    let comment = || Page::One(axum::http::StatusCode::CREATED, json!({ "id": 1, "body": "hello", "user": null }));
    assert_eq!(faults(&call("POST", comments, &[], json!({ "body": "hello" })), &comment()), [""; 0]);
    for (wrong, page, said) in [
        (call("POST", comments, &[], json!({ "text": "x" })), comment(), "body.text: there is none"),
        (call("POST", comments, &[], json!({ "body": 1 })), comment(), "body.body: 1"),
        (call("GET", comments, &[("order", "x")], Value::Null), Page::List(vec![]), "takes no `order`"),
        (
            call("GET", comments, &[], Value::Null),
            Page::List(vec![json!({ "author": 1 })]),
            "answer[].author: there is none",
        ),
        (call("PUT", comments, &[], Value::Null), comment(), "is not published"),
        (call("GET", "repos/acme/shop/wishes", &[], Value::Null), comment(), "is not published"),
    ] {
        assert_eq!(faults(&wrong, &page), [said]);
    }
}
