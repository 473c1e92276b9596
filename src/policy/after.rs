//! `after`: which environments have to be healthy first, and for how long.

use super::block::{Block, Keys, list, text};
use super::document::{Node, Value};
use super::environment::word;
use super::located::Complaints;
use super::rules::After;

/// The keys of one item of `after`.
pub const AFTER_KEYS: Keys = Keys { known: &["environment", "soak"], later: &[] };

/// What has to soak for longer than a month is waited for by nobody.
const LONGEST_SOAK_SECONDS: u64 = 30 * 86_400;

/// Reads `after` of an environment.
pub(super) fn after(node: &Node, complaints: &mut Complaints) -> Vec<After> {
    let mut found: Vec<After> = Vec::new();
    for item in list(node, "after", complaints).unwrap_or_default() {
        let (written, soak_seconds) = match &item.value {
            Value::Map(_) => {
                let Some(block) = Block::open(item, "in `after`", AFTER_KEYS, complaints) else { continue };
                let written = block.text("environment", complaints);
                (written, block.get("soak").and_then(|_| block.seconds("soak", LONGEST_SOAK_SECONDS, complaints)))
            }
            _ => (text(item, "after", complaints), None),
        };
        let Some((written, at)) = written else { continue };
        let Some(environment) = word(written, at, "name an environment of this file", complaints) else { continue };
        let after = After { environment, soak_seconds };
        if found.iter().any(|one| one.environment == after.environment) {
            complaints.add(at, format!("`{written}` is in `after` twice"), "remove one");
        } else {
            found.push(after);
        }
    }
    found
}
