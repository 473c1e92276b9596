//! From a file and the folders of a commit to its environments, and what holds only between environments: one name
//! each, one claim each on a path and target, `after` that can be met.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{Key, Node};
use super::environment;
use super::located::{Complaints, Located, Place, did_you_mean};
use super::pattern::{Binding, FolderPattern, fill, fill_tree};
use super::repository::{Declared, MOST_ENVIRONMENTS, RepositoryFile, fill_some};
use super::rules::{Environment, SyncMode};
use crate::ids::EnvironmentName;

/// Complaints beyond this many say nothing new.
const MOST_COMPLAINTS: usize = 100;

/// An environment and the block that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expanded {
    /// Its rules.
    pub environment: Environment,
    /// Its name in the file: for a pattern, the line with the placeholders.
    pub at: Place,
    /// Its block with everything filled in, for complaints about its values.
    pub block: Node,
}

impl RepositoryFile {
    /// The environments of a commit that has these folders (whole paths, those below
    /// [`RepositoryFile::folder_roots`] suffice), sorted by name. Adding a folder adds environments and alters none.
    ///
    /// # Errors
    /// Every complaint at its place; the file then counts as invalid, and the gate is closed.
    pub fn expand<F: AsRef<str>>(
        &self,
        folders: impl IntoIterator<Item = F>,
    ) -> Result<Vec<Environment>, Vec<Located>> {
        Ok(self.expand_placed(folders)?.into_iter().map(|expanded| expanded.environment).collect())
    }

    /// As [`RepositoryFile::expand`], with the block of each environment.
    pub fn expand_placed<F: AsRef<str>>(
        &self,
        folders: impl IntoIterator<Item = F>,
    ) -> Result<Vec<Expanded>, Vec<Located>> {
        let folders: BTreeSet<String> =
            folders.into_iter().map(|folder| folder.as_ref().trim_matches('/').to_owned()).collect();
        let mut complaints = Complaints::default();
        let mut all: BTreeMap<EnvironmentName, (Expanded, String)> = BTreeMap::new();
        for declared in &self.blocks {
            for binding in bindings(declared, &folders) {
                if all.len() >= MOST_ENVIRONMENTS {
                    let problem = format!("the file gives more than {MOST_ENVIRONMENTS} environments");
                    complaints.add(&self.environments, problem, "narrow the patterns, or split the repository");
                    return Err(complaints.into_sorted());
                }
                self.add(declared, &binding, &mut all, &mut complaints);
                if complaints.len() >= MOST_COMPLAINTS {
                    return Err(complaints.into_sorted());
                }
            }
        }
        let all: BTreeMap<EnvironmentName, Expanded> =
            all.into_iter().map(|(name, (expanded, _))| (name, expanded)).collect();
        if complaints.is_empty() {
            one_claim_each(&all, &mut complaints);
            after_can_be_met(&all, &mut complaints);
        }
        complaints.unless_any(all.into_values().collect())
    }

    fn add(
        &self,
        declared: &Declared,
        binding: &Binding,
        all: &mut BTreeMap<EnvironmentName, (Expanded, String)>,
        complaints: &mut Complaints,
    ) {
        let origin = origin(declared, binding);
        // Names are whole by now: every placeholder of the name is bound, or the file would not have been read.
        let Ok(name) = fill(&declared.key.name, binding) else { return };
        let key = Key { at: declared.key.at.clone(), name };
        let block = fill_tree(&declared.node, binding, complaints);
        let mut own = Complaints::default();
        let Some(environment) = environment::read(&key, &block, self.owners.as_ref(), &mut own) else {
            complaints.extend(own.into_sorted().into_iter().map(|wrong| with_origin(wrong, declared, &origin)));
            return;
        };
        if let Some((other, other_origin)) = all.get(&environment.name) {
            let problem =
                format!("environment `{}` is given twice: by {other_origin} ({}) and by {origin}", key.name, other.at);
            complaints.add(&key.at, problem, "rename one, or narrow the pattern");
            return;
        }
        let health = super::health::whole(&self.health);
        let environment = Environment { limits: self.limits, health, ..environment };
        let expanded = Expanded { at: key.at, block, environment };
        all.insert(expanded.environment.name.clone(), (expanded, origin));
    }
}

/// What each environment of a block is filled with, in a stable order.
fn bindings(declared: &Declared, folders: &BTreeSet<String>) -> Vec<Binding> {
    let Some(pattern) = &declared.pattern else { return vec![Binding::new()] };
    let mut found = Vec::new();
    for choice in &pattern.choices {
        let Ok(folder) = FolderPattern::parse(&fill_some(&pattern.path, choice)) else { continue };
        if folder.captures().next().is_none() {
            found.push(choice.clone());
            continue;
        }
        for captured in folders.iter().filter_map(|candidate| folder.matches(candidate)) {
            found.push(choice.iter().map(|(k, v)| (k.clone(), v.clone())).chain(captured).collect());
            if found.len() > MOST_ENVIRONMENTS {
                return found;
            }
        }
    }
    found
}

/// Where an environment comes from, for people.
fn origin(declared: &Declared, binding: &Binding) -> String {
    if binding.is_empty() {
        return format!("the block `{}`", declared.key.name);
    }
    let values: Vec<String> = binding.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("the pattern `{}` with {}", declared.key.name, values.join(", "))
}

fn with_origin(wrong: Located, declared: &Declared, origin: &str) -> Located {
    if declared.pattern.is_none() {
        return wrong;
    }
    Located { problem: format!("{} ({origin})", wrong.problem), ..wrong }
}

/// Two environments that render the same thing to the same place would both own every object of it.
fn one_claim_each(all: &BTreeMap<EnvironmentName, Expanded>, complaints: &mut Complaints) {
    let mut claims = BTreeMap::new();
    for Expanded { environment, at, .. } in all.values() {
        let claim = (&environment.path, &environment.target, &environment.helm);
        if let Some(first) = claims.insert(claim, (&environment.name, at)) {
            let (name, place) = first;
            let problem = format!(
                "environments `{name}` ({place}) and `{}` have the same path, cluster and namespace",
                environment.name
            );
            complaints.add(at, problem, "an object belongs to one environment: remove one, or change its target");
        }
    }
}

fn after_can_be_met(all: &BTreeMap<EnvironmentName, Expanded>, complaints: &mut Complaints) {
    for Expanded { environment, block, at } in all.values() {
        for after in &environment.after {
            let place = place_in(block, after.environment.as_str()).unwrap_or(at);
            let Some(first) = all.get(&after.environment).map(|expanded| &expanded.environment) else {
                let problem =
                    format!("`{}` waits for `{}`, which this file does not give", environment.name, after.environment);
                let known = all.keys().map(EnvironmentName::as_str).filter(|name| *name != environment.name.as_str());
                let advice = match did_you_mean(after.environment.as_str(), known) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "name an environment of this file".to_owned(),
                };
                complaints.add(place, problem, advice);
                continue;
            };
            if first.sync.mode == SyncMode::None {
                let problem = format!("`{}` waits for `{}`, which is never synced", environment.name, first.name);
                complaints.add(place, problem, "give that one another `sync.mode`, or remove it from `after`");
            }
            // Without a name it is the default branch, which the file does not know.
            if let (Some(own), Some(theirs)) = (&environment.branch, &first.branch)
                && own != theirs
            {
                let problem =
                    format!("`{}` waits for `{}`, which follows another branch", environment.name, first.name);
                complaints.add(place, problem, "`after` works within one branch: follow the same one, or remove it");
            }
        }
    }
    if let Some(circle) = circle(all) {
        let names: Vec<String> = circle.iter().map(|name| format!("`{name}`")).collect();
        let first = circle.first().and_then(|name| all.get(*name));
        if let Some(Expanded { block, at, .. }) = first {
            let place = circle.get(1).and_then(|next| place_in(block, next.as_str())).unwrap_or(at);
            let problem = format!("`after` goes in a circle: {}", names.join(" after "));
            complaints.add(place, problem, "remove one of them from `after`");
        }
    }
}

/// Where a block's `after` names an environment.
fn place_in<'n>(block: &'n Node, name: &str) -> Option<&'n Place> {
    use super::document::Value;
    let Value::Map(entries) = &block.value else { return None };
    let (_, after) = entries.iter().find(|(key, _)| key.name == "after")?;
    let Value::List(items) = &after.value else { return None };
    items.iter().find_map(|item| match &item.value {
        Value::Text(text) if text == name => Some(&item.at),
        Value::Map(inner) => inner.iter().map(|(_, value)| value).find_map(|value| match &value.value {
            Value::Text(text) if text == name => Some(&value.at),
            _ => None,
        }),
        _ => None,
    })
}

/// A circle of `after`, from and to the same environment; `None` when there is none. Visits each environment once.
fn circle(all: &BTreeMap<EnvironmentName, Expanded>) -> Option<Vec<&EnvironmentName>> {
    let mut done: BTreeSet<&EnvironmentName> = BTreeSet::new();
    for start in all.keys() {
        // The way from `start` to where we stand, each with the index of the edge to try next.
        let mut way: Vec<(&EnvironmentName, usize)> = vec![(start, 0)];
        while let Some((name, edge)) = way.last().copied() {
            let next = all.get(name).and_then(|expanded| expanded.environment.after.get(edge));
            let Some(next) = next.map(|after| &after.environment) else {
                done.insert(name);
                way.pop();
                continue;
            };
            if let Some(last) = way.last_mut() {
                last.1 += 1;
            }
            if let Some(from) = way.iter().position(|(seen, _)| *seen == next) {
                return Some(way[from..].iter().map(|(seen, _)| *seen).chain([next]).collect());
            }
            if all.contains_key(next) && !done.contains(next) {
                way.push((next, 0));
            }
        }
    }
    None
}
