//! Reads `policies:` of `.bascule.yaml`, and gives each environment the text that is named there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::approvals::{OWNERS_KEYS, approval_rules};
use super::block::{Block, Keys, named, one_of};
use super::code::{Effect, Rego, Source};
use super::document::{Key, Node};
use super::expand::Expanded;
use super::located::{Complaints, Located, Place};
use super::paths::repository_folder;
use super::rules::Policy;
use crate::ids::EnvironmentName;

/// The keys of one policy.
pub const POLICY_KEYS: Keys = Keys { known: &["cel", "rego", "effect", "message", "approvals"], later: &[] };

const EFFECTS: [(&str, Effect); 3] = [("deny", Effect::Deny), ("review", Effect::Review), ("warn", Effect::Warn)];

/// Each is asked about every object of every change.
const MOST_POLICIES: usize = 100;
/// Bytes of all Rego that one policy names. It is part of the entry of every environment.
pub const LARGEST_REGO: u64 = 256 << 10;
/// Files of them.
pub const MOST_REGO_FILES: usize = 100;

/// A policy as the file has it: its Rego is a path, the text comes with [`with_rego`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its name in the file.
    pub at: Place,
    /// What it says.
    pub policy: Policy,
}

/// Reads them.
pub fn policies(node: &Node, complaints: &mut Complaints) -> Option<BTreeMap<String, Written>> {
    let before = complaints.len();
    let entries = super::block::map(node, "of policies", complaints)?;
    let all: BTreeMap<String, Written> = named(entries)
        .filter_map(|(key, node)| {
            let policy = policy(key, node, complaints)?;
            Some((key.name.clone(), Written { at: key.at.clone(), policy }))
        })
        .collect();
    if all.len() > MOST_POLICIES {
        complaints.add(&node.at, format!("there are more than {MOST_POLICIES} policies"), "make one file of several");
    }
    (complaints.len() == before).then_some(all)
}

fn policy(key: &Key, node: &Node, complaints: &mut Complaints) -> Option<Policy> {
    let before = complaints.len();
    if key.name.parse::<EnvironmentName>().is_err() {
        let advice = "write up to 63 letters, digits, `-`, `_` or `.`, as in an environment's name";
        complaints.add(&key.at, format!("`{}` cannot be a policy's name", key.name), advice);
    }
    let what = format!("in policy `{}`", key.name);
    let block = Block::open(node, &what, POLICY_KEYS, complaints)?;
    let effect = match block.text("effect", complaints) {
        Some(written) => one_of(written, "effect", &EFFECTS, complaints),
        None if block.get("effect").is_some() => None,
        None => {
            complaints.add(&key.at, format!("policy `{}` has no `effect`", key.name), "say `deny`, `review` or `warn`");
            None
        }
    };
    let message = text("message", &block, complaints);
    let approvals = match block.get("approvals") {
        Some(node) => approval_rules(node, &what, OWNERS_KEYS, complaints).unwrap_or_default(),
        None => Vec::new(),
    };
    match (effect, block.place_of("approvals")) {
        (Some(Effect::Review), None) => {
            let problem = format!("policy `{}` asks for a review and names nobody", key.name);
            complaints.add(&key.at, problem, "add `approvals: [{ count: 1, groups: [...] }]`");
        }
        (Some(Effect::Warn), Some(at)) => {
            complaints.add(at, format!("policy `{}` warns, and asks nobody", key.name), "remove `approvals`");
        }
        (Some(Effect::Deny | Effect::Review | Effect::Warn) | None, _) => {}
    }
    let source = match (block.get("cel"), block.get("rego")) {
        (Some(_), None) => text("cel", &block, complaints).map(Source::Cel),
        (None, Some(_)) => block.text("rego", complaints).and_then(|written| rego(written, complaints)),
        (Some(_), Some(_)) | (None, None) => {
            let problem = format!("policy `{}` is written in one language: `cel` or `rego`", key.name);
            complaints.add(&key.at, problem, "keep one of them");
            None
        }
    };
    let (effect, source) = (effect?, source?);
    (complaints.len() == before).then_some(Policy { effect, message, approvals, source })
}

/// A text of it, without the one character that no database stores.
fn text(name: &str, block: &Block<'_>, complaints: &mut Complaints) -> Option<String> {
    let (text, at) = block.text(name, complaints)?;
    if text.contains('\0') {
        complaints.add(at, format!("`{name}` has a character of number zero"), "remove it");
        return None;
    }
    Some(text.to_owned())
}

fn rego((path, at): (&str, &Place), complaints: &mut Complaints) -> Option<Source> {
    match repository_folder(path) {
        Ok(path) if !path.is_empty() => Some(Source::Rego(Arc::new(Rego { path, files: BTreeMap::new() }))),
        Ok(_) => {
            complaints.add(at, "`rego` cannot be the repository's root", "name a file or a folder of Rego");
            None
        }
        Err(advice) => {
            complaints.add(at, format!("`rego` cannot be `{path}`"), advice);
            None
        }
    }
}

/// The files and folders that a file's policies name.
pub fn rego_paths(policies: &BTreeMap<String, Written>) -> BTreeSet<&str> {
    let paths = policies.values().filter_map(|written| match &written.policy.source {
        Source::Cel(_) => None,
        Source::Rego(rego) => Some(rego.path.as_str()),
    });
    paths.collect()
}

/// Gives the environments the file's policies, with the text of each path; `None` where there is no Rego.
pub fn with_rego(
    expanded: &mut [Expanded],
    policies: &BTreeMap<String, Written>,
    texts: &BTreeMap<String, Option<Arc<Rego>>>,
) -> Vec<Located> {
    let (whole, complaints) = whole(policies, texts);
    for one in expanded {
        one.environment.policies = whole.clone();
    }
    complaints
}

/// The policies with the text of each path; `None` where there is no Rego.
pub fn whole(
    policies: &BTreeMap<String, Written>,
    texts: &BTreeMap<String, Option<Arc<Rego>>>,
) -> (BTreeMap<String, Policy>, Vec<Located>) {
    let mut complaints = Complaints::default();
    let mut whole: BTreeMap<String, Policy> = BTreeMap::new();
    for (name, Written { at, policy }) in policies {
        let source = match &policy.source {
            Source::Cel(text) => Some(Source::Cel(text.clone())),
            Source::Rego(rego) => {
                let text = texts.get(&rego.path).cloned().flatten();
                if text.is_none() {
                    let problem = format!("policy `{name}`: there is no Rego at `{}`", rego.path);
                    complaints.add(at, problem, "name a `.rego` file, or a folder with some");
                }
                text.map(Source::Rego)
            }
        };
        whole.extend(source.map(|source| (name.clone(), Policy { source, ..policy.clone() })));
    }
    (whole, complaints.into_sorted())
}

/// Says at its name what is wrong with a policy's text; by policy, as `code::faults` tells.
pub fn faulty(policies: &BTreeMap<String, Written>, faults: &BTreeMap<String, Vec<String>>) -> Vec<Located> {
    let mut complaints = Complaints::default();
    for (name, faults) in faults {
        let Some(Written { at, .. }) = policies.get(name) else { continue };
        for fault in faults {
            complaints.add(
                at,
                format!("policy `{name}`: {fault}"),
                "correct it: a policy that cannot be asked closes the gate",
            );
        }
    }
    complaints.into_sorted()
}

#[cfg(test)]
mod tests {
    use crate::policy::RepositoryFile;

    #[test]
    fn what_no_database_stores_is_refused_at_its_place() {
        let text = "version: 1\npolicies:\n  p: { cel: \"object.a == '\\0'\", effect: deny, message: \"a\\0b\" }\nenvironments:\n  staging: { path: deploy, cluster: dev, namespace: shop }\n";
        let complaints = RepositoryFile::parse("f", text).unwrap_err();
        let told: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(told.join("\n"), @"
        f:3:13: `cel` has a character of number zero; remove it
        f:3:56: `message` has a character of number zero; remove it
        ");
    }
}
