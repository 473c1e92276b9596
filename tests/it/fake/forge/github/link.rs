//! Pages: by number or by cursor, with the next one's address in the header `Link`.

use serde_json::Value;

use super::super::server::Call;

/// Entries of a page unless asked otherwise.
const DEFAULT: usize = 30;

/// A page by its number, and the links to others.
pub(super) fn numbered(all: Vec<Value>, place: &str, call: &Call, largest: usize) -> (Vec<Value>, String) {
    let per_page = call.number("per_page").filter(|count| *count > 0).unwrap_or(DEFAULT).min(largest);
    let page = call.number("page").filter(|page| *page > 0).unwrap_or(1);
    let last = all.len().div_ceil(per_page).max(1);
    let shown: Vec<Value> = all.into_iter().skip((page - 1) * per_page).take(per_page).collect();
    let mut links = Vec::new();
    if page > 1 {
        links.push(link(place, call, &[("page", &(page - 1).to_string())], "prev"));
    }
    if page < last {
        links.push(link(place, call, &[("page", &(page + 1).to_string())], "next"));
        links.push(link(place, call, &[("page", &last.to_string())], "last"));
    }
    if page > 1 {
        links.push(link(place, call, &[("page", "1")], "first"));
    }
    (shown, links.join(", "))
}

/// A page after a cursor; `None` when it is none of ours. A page's number means nothing here.
pub(super) fn by_cursor(
    key: &str,
    all: Vec<Value>,
    place: &str,
    call: &Call,
    largest: usize,
) -> Option<(Vec<Value>, String)> {
    let per_page = call.number("per_page").filter(|count| *count > 0).unwrap_or(DEFAULT).min(largest);
    let cursor = |entry: &Value| format!("djE6ks8{:016x}", entry["id"].as_i64().unwrap());
    let from = match call.query.get(key) {
        None => 0,
        Some(after) => all.iter().position(|entry| cursor(entry) == *after)? + 1,
    };
    let more = all.len() > from + per_page;
    let shown: Vec<Value> = all.into_iter().skip(from).take(per_page).collect();
    let links = match shown.last().filter(|_| more) {
        Some(last) => link(place, call, &[(key, &cursor(last))], "next"),
        None => String::new(),
    };
    Some((shown, links))
}

fn link(place: &str, call: &Call, with: &[(&str, &str)], relation: &str) -> String {
    let mut url = reqwest::Url::parse(place).unwrap();
    for (key, value) in &call.query {
        if !with.iter().any(|(other, _)| other == key) {
            url.query_pairs_mut().append_pair(key, value);
        }
    }
    for (key, value) in with {
        url.query_pairs_mut().append_pair(key, value);
    }
    format!("<{url}>; rel=\"{relation}\"")
}
