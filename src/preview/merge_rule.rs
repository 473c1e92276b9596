//! What the forge itself asks for before it merges: said beside consent, and no part of it.

use serde::{Deserialize, Serialize};

use super::markdown::{NAME, clip, code};

/// More rules than this are counted.
const MOST: usize = 10;
/// More people than this are counted.
const PEOPLE: usize = 4;

/// A rule of the forge's own about who approves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeRule {
    /// As it is called there.
    pub name: String,
    /// How many approvals it asks for.
    pub wanted: u32,
    /// Logins of those who gave one.
    pub given: Vec<String>,
    /// Whether it lets the merge pass.
    pub is_met: bool,
}

/// What the forge itself asks for before it merges, in one sentence: `security` 1 of 2 (kim).
pub(super) fn merge_rules(rules: &[MergeRule]) -> String {
    let stands = |rule: &MergeRule| {
        let state = if rule.is_met { "met".to_owned() } else { format!("{} of {}", rule.given.len(), rule.wanted) };
        let by = rule.given.iter().take(PEOPLE).map(|login| code(&clip(login, NAME)));
        let more = rule.given.len().saturating_sub(PEOPLE);
        let by = by.chain((more > 0).then(|| format!("{more} more"))).collect::<Vec<_>>().join(", ");
        let by = if by.is_empty() { by } else { format!(" ({by})") };
        format!("{} {state}{by}", code(&clip(&rule.name, NAME)))
    };
    let mut told: Vec<String> = rules.iter().take(MOST).map(stands).collect();
    let more = rules.len().saturating_sub(MOST);
    told.extend((more > 0).then(|| format!("{more} more")));
    let told = told.join(", ");
    if told.is_empty() {
        return told;
    }
    format!(
        "Before it merges, the forge asks for approvals by rules of its own, which are no part of consent: {told}\n\n"
    )
}
