//! Fields that changed and are not shown: counted at their object and at the end, by the rule that hides them.

use std::collections::BTreeMap;

use super::page::{ObjectChange, Page};
use super::words::count;

/// Rules named at the end; a file has few.
const RULES: usize = 8;

impl ObjectChange {
    /// How many of its fields changed and are not shown, in words; `None` where all are.
    pub fn hidden_by_rule(&self) -> Option<String> {
        let fields: usize = self.diff.hidden.values().sum();
        (fields > 0).then(|| format!("{} hidden by rule", count(fields, "field")))
    }
}

impl Page {
    /// How many fields of all objects changed and are not shown, with the rules that hide them; `None` where all are.
    /// `name` writes a rule's name as the place wants it.
    pub fn hidden_by_rule(&self, name: impl Fn(&str) -> String) -> Option<String> {
        let mut rules: BTreeMap<&str, usize> = BTreeMap::new();
        for change in self.environments.iter().flat_map(|row| row.objects()) {
            for (rule, fields) in &change.diff.hidden {
                *rules.entry(rule).or_default() += fields;
            }
        }
        let all: usize = rules.values().sum();
        let mut named: Vec<String> =
            rules.iter().take(RULES).map(|(rule, fields)| format!("{} {fields}", name(rule))).collect();
        if rules.len() > RULES {
            named.push(format!("{} more", count(rules.len() - RULES, "rule")));
        }
        (all > 0).then(|| format!("{} hidden by rule ({})", count(all, "field"), named.join(", ")))
    }
}
