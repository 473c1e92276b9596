//! Reads `.bascule.yaml`: everything that can be said without knowing the repository's folders.

use std::collections::{BTreeMap, BTreeSet};

use super::approvals;
use super::block::{Block, Keys, named};
use super::document::{Key, Node, Value, read_yaml};
use super::environment;
use super::health::{WrittenHealth, health};
use super::ignore::check_patterns;
use super::located::{Complaints, Located, Place};
use super::pattern::{Binding, FolderPattern, fill, fill_tree, placeholders};
use super::policies::{self, Written};
use super::rules::{ApprovalRule, Limits};

/// The name of the file, at the root of the repository's default branch.
pub const FILE_NAME: &str = ".bascule.yaml";

/// The JSON Schema of the file, for editors.
pub const SCHEMA: &str = include_str!("../../config/repository.schema.json");

/// The keys of the file.
pub const FILE_KEYS: Keys = Keys {
    known: &["version", "owners", "limits", "defaults", "environments", "policies", "health"],
    later: &["include", "extends", "engine", "notify", "promote", "verify", "secrets", "ignore"],
};
/// The keys of `limits`.
pub const LIMITS_KEYS: Keys = Keys { known: &["files", "lines", "objects"], later: &[] };
/// What `for` cannot count through.
const LATER_FOR: &str = "pull_request";

/// The most environments one file may give: a cap on the work one push can ask for.
pub const MOST_ENVIRONMENTS: usize = 10_000;

/// A readable `.bascule.yaml`. [`RepositoryFile::expand`] gives its environments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryFile {
    /// Who consents to changes of this file.
    pub owners: Option<ApprovalRule>,
    /// Sizes of one pull request above which an owner must consent.
    pub limits: Limits,
    /// By name.
    pub policies: BTreeMap<String, Written>,
    /// By name.
    pub health: BTreeMap<String, WrittenHealth>,
    pub(super) owners_node: Option<Node>,
    pub(super) policies_node: Option<Node>,
    pub(super) environments: Place,
    pub(super) blocks: Vec<Declared>,
}

/// One entry of `environments`, defaults merged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) key: Key,
    pub(super) node: Node,
    pub(super) pattern: Option<Pattern>,
}

/// What an entry with placeholders in its name goes through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// `path` as written.
    pub(super) path: String,
    /// Every combination of the values of `for`; one empty binding without it.
    pub(super) choices: Vec<Binding>,
}

impl RepositoryFile {
    /// Reads the file's text. `file` is its name in complaints, which come all at once, in the order of the file.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Located>> {
        let root = read_yaml(file, text).map_err(|wrong| vec![wrong])?;
        let mut complaints = Complaints::default();
        let read = read(&root, &mut complaints);
        match read {
            Some(read) => complaints.unless_any(read),
            None => Err(complaints.into_sorted()),
        }
    }

    /// The folders below which [`RepositoryFile::expand`] has to know every folder; empty when the file has no
    /// pattern that captures one. An empty text is the repository's root.
    pub fn folder_roots(&self) -> BTreeSet<String> {
        let patterns = self.blocks.iter().filter_map(|block| block.pattern.as_ref());
        let folders = patterns.flat_map(|pattern| {
            pattern.choices.iter().filter_map(|choice| FolderPattern::parse(&fill_some(&pattern.path, choice)).ok())
        });
        folders.filter(|folder| folder.captures().next().is_some()).map(|folder| folder.root()).collect()
    }
}

fn read(root: &Node, complaints: &mut Complaints) -> Option<RepositoryFile> {
    if root.value == Value::Nothing {
        complaints.add(&root.at, "the file is empty", "begin with `version: 1` and `environments:`");
        return None;
    }
    let block = Block::open(root, "at the top of the file", FILE_KEYS, complaints)?;
    version(&block, "version: 1", complaints);
    let owners_node = block.get("owners");
    let owners = owners_node.and_then(|node| approvals::owners(node, "of the file", complaints));
    let limits = block.get("limits").map_or(Some(Limits::default()), |node| limits(node, complaints));
    let policies_node = block.get("policies");
    let policies = policies_node.map_or(Some(BTreeMap::new()), |node| policies::policies(node, complaints));
    let health = block.get("health").map_or(Some(BTreeMap::new()), |node| health(node, complaints));
    let defaults = block.get("defaults").and_then(|node| defaults(node, complaints));
    let Some(environments) = block.get("environments") else {
        complaints.add(block.at, "the file has no `environments`", "add `environments:` with a block for each");
        return None;
    };
    let entries = super::block::map(environments, "of environments", complaints)?;
    check_patterns(block.get("defaults").into_iter().chain(named(entries).map(|(_, node)| node)), complaints);
    let mut blocks = Vec::new();
    for (key, node) in named(entries) {
        blocks.extend(declared(key, node, defaults.as_ref(), owners.as_ref(), complaints));
    }
    Some(RepositoryFile {
        owners,
        limits: limits?,
        policies: policies?,
        health: health?,
        policies_node: policies_node.cloned(),
        owners_node: owners_node.cloned(),
        environments: environments.at.clone(),
        blocks,
    })
}

/// Complains unless the file says version 1, `written` as its language has it; both files share the rule.
pub fn version(block: &Block<'_>, written: &str, complaints: &mut Complaints) {
    match block.get("version") {
        None => {
            complaints.add(block.at, "the file has no `version`", format!("add `{written}` as its first line"));
        }
        Some(Node { value: Value::Number(1), .. }) => {}
        Some(node) => {
            complaints.add(&node.at, "this version of the file is not known here", format!("write `{written}`"));
        }
    }
}

fn limits(node: &Node, complaints: &mut Complaints) -> Option<Limits> {
    let block = Block::open(node, "in `limits`", LIMITS_KEYS, complaints)?;
    let mut read = |key: &str, default: u64| block.number(key, 1, complaints).map_or(default, u64::from);
    let Limits { files, lines, objects } = Limits::default();
    Some(Limits { files: read("files", files), lines: read("lines", lines), objects: read("objects", objects) })
}

/// The entries of `defaults` that environments take over. What is wrong with its keys is said here, once; what is
/// wrong with a value is said where an environment takes it, at the same place.
fn defaults(node: &Node, complaints: &mut Complaints) -> Option<Vec<(Key, Node)>> {
    Block::open(node, "in `defaults`", environment::ENVIRONMENT_KEYS, complaints)?;
    let Value::Map(entries) = &node.value else { return None };
    let mut kept = entries.clone();
    if let Some((key, _)) = entries.iter().find(|(key, _)| key.name == "for") {
        complaints.add(&key.at, "`for` cannot be a default", "write it in the environments that need it");
    }
    kept.retain(|(key, _)| environment::ENVIRONMENT_KEYS.known.contains(&key.name.as_str()) && key.name != "for");
    Some(kept)
}

fn declared(
    key: &Key,
    node: &Node,
    defaults: Option<&Vec<(Key, Node)>>,
    owners: Option<&ApprovalRule>,
    complaints: &mut Complaints,
) -> Option<Declared> {
    let node = match &node.value {
        Value::Nothing => Node { at: node.at.clone(), value: Value::Map(Vec::new()) },
        _ => node.clone(),
    };
    let node = defaults.map_or_else(|| node.clone(), |defaults| merged(defaults, &node));
    let names = match placeholders(&key.name) {
        Ok(names) => names,
        Err(advice) => {
            complaints.add(&key.at, format!("`{}` cannot be an environment's name", key.name), advice);
            return None;
        }
    };
    let pattern = if names.is_empty() {
        if let Some((at, _)) = entry(&node, "for") {
            complaints.add(at, "`for` needs a name with placeholders", "name it like `\"shop-{site}\":`");
        }
        None
    } else {
        Some(pattern(key, &names, &node, complaints)?)
    };
    // A pattern is read once with a made-up word for each placeholder, so that what is wrong with it is said before
    // any folder matches; a plain block is read as it is.
    let sample = match &pattern {
        Some(pattern) => sample(pattern),
        None => Binding::new(),
    };
    let before = complaints.len();
    let filled_key = Key { at: key.at.clone(), name: fill(&key.name, &sample).unwrap_or_else(|_| key.name.clone()) };
    let filled = fill_tree(&node, &sample, complaints);
    if complaints.len() == before {
        environment::read(&filled_key, &filled, owners, complaints);
    }
    Some(Declared { key: key.clone(), node, pattern })
}

fn entry<'n>(node: &'n Node, name: &str) -> Option<(&'n Place, &'n Node)> {
    match &node.value {
        Value::Map(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(key, value)| (&key.at, value)),
        _ => None,
    }
}

/// `block` over `defaults`: maps are merged key by key, everything else is replaced.
fn merged(defaults: &[(Key, Node)], block: &Node) -> Node {
    let Value::Map(own) = &block.value else { return block.clone() };
    let mut entries = own.clone();
    for (key, default) in defaults {
        match entries.iter_mut().find(|(own, _)| own.name == key.name) {
            Some((_, value)) => {
                if let Value::Map(inner) = &default.value {
                    *value = merged(inner, value);
                }
            }
            None => entries.push((key.clone(), default.clone())),
        }
    }
    Node { at: block.at.clone(), value: Value::Map(entries) }
}

fn pattern(key: &Key, names: &[&str], node: &Node, complaints: &mut Complaints) -> Option<Pattern> {
    let choices = match entry(node, "for") {
        Some((_, node)) => choices(node, complaints)?,
        None => vec![Binding::new()],
    };
    let path = match entry(node, "path") {
        Some((_, Node { value: Value::Text(path), .. })) => path.clone(),
        // What is wrong with `path` is said when the block is read.
        _ => String::new(),
    };
    let path = path.trim_end_matches('/').trim_start_matches("./").to_owned();
    let folder = match FolderPattern::parse(&fill_some(&path, choices.first()?)) {
        Ok(folder) => folder,
        Err(advice) => {
            let at = entry(node, "path").map_or(&key.at, |(_, value)| &value.at);
            complaints.add(at, format!("`{path}` cannot be matched with folders"), advice);
            return None;
        }
    };
    let bound: BTreeSet<&str> = folder.captures().chain(choices.first()?.keys().map(String::as_str)).collect();
    let named: BTreeSet<&str> = names.iter().copied().collect();
    for unbound in named.difference(&bound) {
        let advice = format!("capture it in `path` (`apps/{{{unbound}}}`) or list it in `for`");
        complaints.add(&key.at, format!("`{{{unbound}}}` stands for nothing"), advice);
    }
    for unnamed in bound.difference(&named) {
        let problem = format!("`{{{unnamed}}}` is not in the name, so that several environments would have one name");
        complaints.add(&key.at, problem, format!("add `{{{unnamed}}}` to the name"));
    }
    (named == bound).then_some(Pattern { path, choices })
}

/// Every combination of the values of `for`, in the order written.
fn choices(node: &Node, complaints: &mut Complaints) -> Option<Vec<Binding>> {
    let before = complaints.len();
    let mut all = vec![Binding::new()];
    for (key, values) in named(super::block::map(node, "in `for`", complaints)?) {
        if key.name == LATER_FOR {
            complaints.add(&key.at, "`pull_request` in `for` is not in this version", "remove it");
            continue;
        }
        if placeholders(&format!("{{{}}}", key.name)).is_err() {
            complaints.add(&key.at, format!("`{}` cannot be a placeholder", key.name), "use letters, digits and `_`");
            continue;
        }
        let mut texts: Vec<&str> = Vec::new();
        for item in super::block::list(values, &key.name, complaints)? {
            match super::block::text(item, &key.name, complaints) {
                Some((text, at)) if texts.contains(&text) => {
                    complaints.add(at, format!("`{text}` is in `{}` twice", key.name), "remove one");
                }
                Some((text, _)) => texts.push(text),
                None => {}
            }
        }
        if texts.is_empty() && complaints.len() == before {
            complaints.add(&values.at, format!("`{}` has no values", key.name), "list one or more, or remove it");
        }
        if all.len().saturating_mul(texts.len()) > MOST_ENVIRONMENTS {
            let problem = format!("`for` gives more than {MOST_ENVIRONMENTS} environments");
            complaints.add(&node.at, problem, "split the repository");
            return None;
        }
        all = all
            .iter()
            .flat_map(|binding| {
                texts.iter().map(|text| {
                    let mut binding = binding.clone();
                    binding.insert(key.name.clone(), (*text).to_owned());
                    binding
                })
            })
            .collect();
    }
    (complaints.len() == before).then_some(all)
}

/// `text` with the placeholders that `binding` knows filled in; the others stay.
pub(super) fn fill_some(text: &str, binding: &Binding) -> String {
    binding.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

fn sample(pattern: &Pattern) -> Binding {
    let mut binding = pattern.choices.first().cloned().unwrap_or_default();
    if let Ok(folder) = FolderPattern::parse(&fill_some(&pattern.path, &binding)) {
        binding.extend(folder.captures().map(|name| (name.to_owned(), "x".to_owned())));
    }
    binding
}
