//! What of a live object means that it is well: a status of each outcome, as its project documents it.

use std::path::Path;

use bascule::ids::ObjectKey;
use bascule::manifest::{Dialect, Limits, parse};
use bascule::sync::Health;
use bascule::sync::health::health;
use serde_json::Value;

use crate::cases::{self, Case};

#[test]
fn every_recorded_status_is_judged_as_its_section_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/health");
    cases::check(&folder, "expected", judged);
}

fn judged(case: &Case) -> String {
    let word = |name| case.setting(name).unwrap_or_default().to_owned();
    assert!(!word("source").is_empty(), "where a status was read belongs beside it: {}", word("kind"));
    let key = ObjectKey {
        group: word("group"),
        kind: word("kind"),
        namespace: Some("shop".to_owned()),
        name: "x".to_owned(),
    };
    let mut text = String::new();
    for (section, yaml) in &case.files {
        let parsed = parse(&[("live.yaml".to_owned(), yaml.clone())], Dialect::Plain, &Limits::default()).unwrap();
        let live = Value::Object(parsed.into_iter().next().unwrap().json);
        let (outcome, why) = match health(&key, &live) {
            Health::Healthy => ("healthy", String::new()),
            Health::Progressing(why) => ("progressing", why),
            Health::Failed(why) => ("failed", why),
            Health::Unknown(why) => ("unknown", why),
        };
        assert!(section.starts_with(outcome), "{} of {key} is {outcome}: {why}", section);
        text += &if why.is_empty() { format!("{section}\n") } else { format!("{section}: {why}\n") };
    }
    text
}
