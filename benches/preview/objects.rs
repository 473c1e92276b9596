//! The difference of one large object.

use std::time::Instant;

use bascule::ids::{ObjectHash, ObjectKey};
use bascule::manifest::{Body, Manner, Object, Room, diff};
use serde_json::json;

fn config_map(hash: u8, text: String) -> Object {
    let json =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "big" }, "data": { "text": text } });
    let key = ObjectKey { group: String::new(), kind: "ConfigMap".to_owned(), namespace: None, name: "big".to_owned() };
    let hash = ObjectHash::from_bytes(&[hash; 32]).unwrap();
    Object { key, api_version: "v1".to_owned(), json, file: None, line: None, hash }
}

/// So many lines, of which every `nth` is another in `version`.
fn lines(count: usize, nth: usize, version: u8) -> String {
    let line = |at: usize| match at % nth {
        0 => format!("setting-{at}: value {version}\n"),
        _ => format!("setting-{}: on\n", at % 900),
    };
    (0..count).map(line).collect()
}

pub(crate) fn measured() {
    for (what, count, nth, goal) in [
        ("17,000 lines, 5 % of them changed", 17_000, 20, "under 20 ms"),
        ("20 MB, every tenth line changed", 1_200_000, 10, "a summary, not a stall"),
    ] {
        let (old, new) = (config_map(1, lines(count, nth, 1)), config_map(2, lines(count, nth, 2)));
        let mut took: Vec<_> = (0..5)
            .map(|_| {
                let begun = Instant::now();
                let shown = diff(Some(&old), Some(&new), Manner::PLAIN, &mut Room::default()).unwrap();
                (begun.elapsed(), matches!(shown.body, Body::TooLarge(_)))
            })
            .collect();
        took.sort();
        let (time, is_summary) = took[took.len() / 2];
        let shown = if is_summary { "a summary" } else { "its lines" };
        println!("  {what}: {:.1} ms, {shown}   (goal: {goal})", time.as_secs_f64() * 1e3);
    }
}
