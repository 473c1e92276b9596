//! `health:` of both files: when objects of a kind of somebody's own are well.

use std::collections::BTreeMap;

use super::block::{Block, Keys, named};
use super::code::health::Rule;
use super::document::{Key, Node};
use super::located::{Complaints, Located, Place};
use crate::ids::{EnvironmentName, ObjectKey};

/// The keys of one rule.
pub const HEALTH_KEYS: Keys = Keys { known: &["kind", "healthy", "failed", "progressing", "message"], later: &[] };

/// Each is part of the entry of every environment of its file.
const MOST_RULES: usize = 100;
/// Bytes of one expression.
const LONGEST: usize = 4_096;
/// What Kubernetes' own groups end with; a few projects beside it end so, too.
const OF_KUBERNETES: &str = ".k8s.io";
/// Groups of projects that end like Kubernetes' own, and are defined in a cluster by whoever wants them.
const BESIDE_KUBERNETES: [&str; 2] = [".x-k8s.io", "gateway.networking.k8s.io"];

/// A rule as its file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenHealth {
    /// What it says.
    pub rule: Rule,
    /// Where each of its expressions is, by its key.
    pub at: BTreeMap<&'static str, Place>,
}

/// Reads them; whether their expressions can be asked is said by [`faulty`].
pub fn health(node: &Node, complaints: &mut Complaints) -> Option<BTreeMap<String, WrittenHealth>> {
    let before = complaints.len();
    let entries = super::block::map(node, "of health rules", complaints)?;
    let mut all: BTreeMap<String, WrittenHealth> = BTreeMap::new();
    for (key, node) in named(entries) {
        let Some((written, at)) = rule(key, node, complaints) else { continue };
        if let Some((first, _)) = all.iter().find(|(_, other)| other.rule.kind == written.rule.kind) {
            let problem = format!("health rules `{first}` and `{}` are both of {}", key.name, written.rule.kind);
            complaints.add(at, problem, "keep one of them");
        }
        all.insert(key.name.clone(), written);
    }
    if all.len() > MOST_RULES {
        complaints.add(&node.at, format!("there are more than {MOST_RULES} health rules"), "remove some");
    }
    (complaints.len() == before).then_some(all)
}

fn rule<'n>(key: &Key, node: &'n Node, complaints: &mut Complaints) -> Option<(WrittenHealth, &'n Place)> {
    let before = complaints.len();
    if key.name.parse::<EnvironmentName>().is_err() {
        let advice = "write up to 63 letters, digits, `-`, `_` or `.`, as in an environment's name";
        complaints.add(&key.at, format!("`{}` cannot be a health rule's name", key.name), advice);
    }
    let block = Block::open(node, &format!("in health rule `{}`", key.name), HEALTH_KEYS, complaints)?;
    for (required, advice) in [
        ("kind", "name it as `group/Kind`"),
        ("healthy", "write an expression over `object` that is true when it is well"),
    ] {
        if block.get(required).is_none() {
            complaints.add(&key.at, format!("health rule `{}` has no `{required}`", key.name), advice);
        }
    }
    let kind = block.text("kind", complaints);
    if let Some((kind, at)) = kind
        && let Some((problem, advice)) = fault_of_kind(kind)
    {
        complaints.add(at, format!("a health rule cannot be of `{kind}`: {problem}"), advice);
    }
    let mut places = BTreeMap::new();
    let mut texts = BTreeMap::new();
    for name in ["healthy", "failed", "progressing", "message"] {
        let Some((text, at)) = block.text(name, complaints) else { continue };
        if text.len() > LONGEST {
            complaints.add(at, format!("`{name}` is longer than {LONGEST} bytes"), "shorten it");
        } else if text.contains('\0') {
            complaints.add(at, format!("`{name}` has a character of number zero"), "remove it");
        }
        places.insert(name, at.clone());
        texts.insert(name, text.to_owned());
    }
    let (kind, at) = kind?;
    let rule = Rule {
        kind: kind.to_owned(),
        healthy: texts.remove("healthy")?,
        failed: texts.remove("failed"),
        progressing: texts.remove("progressing"),
        message: texts.remove("message"),
    };
    (complaints.len() == before).then_some((WrittenHealth { rule, at: places }, at))
}

/// Why no rule can be of this kind, and what to do.
fn fault_of_kind(written: &str) -> Option<(&'static str, &'static str)> {
    let Some((group, kind)) = written.split_once('/') else {
        return Some(("it has no group", "write `group/Kind`, as in `db.example.org/Database`"));
    };
    let is_word = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
    if group.is_empty() || kind.is_empty() || !is_word(group) || !kind.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Some(("it is no group and kind", "write `group/Kind`, as in `db.example.org/Database`"));
    }
    let is_beside = BESIDE_KUBERNETES.iter().any(|end| group.ends_with(end));
    if !group.contains('.') || (group.ends_with(OF_KUBERNETES) && !is_beside) {
        return Some(("Kubernetes says itself when its own kinds are well", "name a kind of somebody's own"));
    }
    None
}

/// The expressions of rules, each by a name that [`faulty`] finds again.
pub fn expressions(rules: &BTreeMap<String, WrittenHealth>) -> BTreeMap<String, String> {
    let of_rule = |(name, written): (&String, &WrittenHealth)| {
        let all = written.rule.expressions();
        all.map(|(key, text)| (named_so(name, key), text.to_owned())).collect::<Vec<_>>()
    };
    rules.iter().flat_map(of_rule).collect()
}

fn named_so(rule: &str, key: &str) -> String {
    format!("{rule} {key}")
}

/// Says at its place what is wrong with an expression; by the names of [`expressions`].
pub fn faulty(rules: &BTreeMap<String, WrittenHealth>, faults: &BTreeMap<String, Vec<String>>) -> Vec<Located> {
    let mut complaints = Complaints::default();
    for (name, WrittenHealth { at, .. }) in rules {
        for (key, place) in at {
            for fault in faults.get(&named_so(name, key)).into_iter().flatten() {
                let problem = format!("`{key}` of health rule `{name}`: {fault}");
                complaints.add(place, problem, "correct it: nothing is synced by a rule that cannot be asked");
            }
        }
    }
    complaints.into_sorted()
}

/// The rules without their places.
pub fn whole(rules: &BTreeMap<String, WrittenHealth>) -> BTreeMap<String, Rule> {
    rules.iter().map(|(name, written)| (name.clone(), written.rule.clone())).collect()
}

/// The rules an environment's objects are judged by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthRules(BTreeMap<String, (String, Rule)>);

impl HealthRules {
    /// The platform's, and of kinds it says nothing of the repository's own: nobody can be well by a weaker rule.
    pub fn of(platform: &BTreeMap<String, Rule>, own: &BTreeMap<String, Rule>) -> Self {
        let own = own.iter().map(|(name, rule)| (rule.kind.clone(), (format!("`{name}`"), rule.clone())));
        let platform = platform.iter();
        let platform =
            platform.map(|(name, rule)| (rule.kind.clone(), (format!("`{name}` of the server"), rule.clone())));
        Self(own.chain(platform).collect())
    }

    /// The rule an object is judged by, and what it is called.
    pub fn rule(&self, key: &ObjectKey) -> Option<(&str, &Rule)> {
        let (name, rule) = self.0.get(&format!("{}/{}", key.group, key.kind))?;
        Some((name, rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: &str, healthy: &str) -> Rule {
        Rule { kind: kind.to_owned(), healthy: healthy.to_owned(), failed: None, progressing: None, message: None }
    }

    #[test]
    fn a_repository_cannot_weaken_what_the_platform_says_of_a_kind() {
        let platform = BTreeMap::from([("z".to_owned(), rule("db.example.org/Database", "false"))]);
        let own = BTreeMap::from([
            ("a".to_owned(), rule("db.example.org/Database", "true")),
            ("b".to_owned(), rule("db.example.org/Table", "true")),
        ]);
        let rules = HealthRules::of(&platform, &own);
        let of = |kind: &str| {
            let key = ObjectKey {
                group: "db.example.org".to_owned(),
                kind: kind.to_owned(),
                namespace: None,
                name: "x".to_owned(),
            };
            rules.rule(&key).map(|(name, rule)| format!("{name}: {}", rule.healthy))
        };
        assert_eq!(of("Database").as_deref(), Some("`z` of the server: false"));
        assert_eq!(of("Table").as_deref(), Some("`b`: true"));
        assert_eq!(of("Row"), None);
    }

    #[test]
    fn kinds_that_kubernetes_judges_itself_cannot_be_named() {
        let refused = [
            "Deployment",
            "apps/Deployment",
            "batch/Job",
            "networking.k8s.io/Ingress",
            "/Pod",
            "a b/C",
            "x.y/",
            "db.example.org/Data/base",
            "apiextensions.k8s.io/CustomResourceDefinition",
        ];
        assert!(refused.iter().all(|kind| fault_of_kind(kind).is_some()));
        let taken = ["db.example.org/Database", "cluster.x-k8s.io/Cluster", "gateway.networking.k8s.io/Gateway"];
        assert!(taken.iter().all(|kind| fault_of_kind(kind).is_none()));
    }
}
