//! What a repository holds that could be deployed: kustomize overlays, charts, folders of plain YAML. It guesses, for
//! `init` to write down and a person to correct.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::policy::document::{LARGEST_FILE, Node, Value, read_yaml};
use crate::policy::paths::from_folder;

/// Folders that are looked through at most.
const MOST_FOLDERS: usize = 20_000;
/// Folders that hold other people's files.
const FOREIGN: [&str; 5] = ["node_modules", "vendor", "target", "testdata", "third_party"];
/// Words of paths that name no environment and no application.
const GENERIC: [&str; 16] = [
    "deploy",
    "deployment",
    "deployments",
    "overlays",
    "overlay",
    "k8s",
    "kubernetes",
    "manifests",
    "charts",
    "chart",
    "helm",
    "kustomize",
    "envs",
    "environments",
    "apps",
    "infra",
];

/// Something that can be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its folder from the repository's root; empty is the root.
    pub(super) path: String,
    /// What it is.
    pub(super) what: What,
    /// The namespace it names itself.
    pub(super) namespace: Option<String>,
    /// Words that tell it from the others, the most telling last.
    pub(super) words: Vec<String>,
}

/// How a folder is rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// A kustomization that no other one uses.
    Kustomization,
    /// A chart, with one of its values files.
    Chart { values: Option<String> },
    /// Manifests as they are.
    Plain,
}

/// A folder and the names of its files.
type Folders = BTreeMap<String, BTreeSet<String>>;

/// Looks through a repository. `called` is what it is called, for what lies at its root.
pub(super) fn survey(root: &Path, called: &str) -> Vec<Found> {
    let folders = folders(root);
    let kustomizations: BTreeMap<&str, Option<Node>> = folders
        .iter()
        .filter_map(|(folder, files)| {
            let names = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
            let name = names.iter().find(|name| files.contains(**name))?;
            Some((folder.as_str(), read(root, folder, name)))
        })
        .collect();
    let charts: BTreeSet<&str> =
        folders.iter().filter(|(_, files)| files.contains("Chart.yaml")).map(|(folder, _)| folder.as_str()).collect();
    let used: BTreeSet<String> =
        kustomizations.iter().flat_map(|(folder, node)| used_by(folder, node.as_ref())).collect();

    let mut found = Vec::new();
    for (folder, node) in &kustomizations {
        let is_component = node.as_ref().and_then(|node| text_of(node, "kind")).is_some_and(|kind| kind == "Component");
        if !used.contains(*folder) && !is_component && !is_inside(folder, &charts) {
            let namespace = node.as_ref().and_then(|node| text_of(node, "namespace")).map(str::to_owned);
            found.push(Found {
                path: (*folder).to_owned(),
                what: What::Kustomization,
                namespace,
                words: words(folder, called),
            });
        }
    }
    for folder in charts.iter().filter(|folder| !is_inside(folder, &charts)) {
        let node = read(root, folder, "Chart.yaml");
        if node.as_ref().and_then(|node| text_of(node, "type")) != Some("library") {
            found.extend(chart(folder, &folders[*folder], called));
        }
    }
    let mut plain: BTreeSet<&str> = BTreeSet::new();
    let manifests: BTreeMap<&str, Vec<String>> = folders
        .iter()
        .map(|(folder, files)| {
            (folder.as_str(), files.iter().filter_map(|file| manifest(root, folder, file)).collect())
        })
        .collect();
    let kustomized: BTreeSet<&str> = kustomizations.keys().copied().collect();
    for folder in folders.keys() {
        let taken = charts.contains(folder.as_str())
            || is_inside(folder, &charts)
            || kustomized.contains(folder.as_str())
            || is_inside(folder, &kustomized)
            || used.contains(folder)
            || is_inside(folder, &plain);
        if taken {
            continue;
        }
        // Plain YAML is everything below the folder, so all of it has to be manifests.
        let this = BTreeSet::from([folder.as_str()]);
        let below = || folders.iter().filter(|(other, _)| *other == folder || is_inside(other, &this));
        let is_whole = below().all(|(other, files)| {
            let candidates = files.iter().filter(|file| is_candidate(file)).count();
            !charts.contains(other.as_str())
                && !kustomized.contains(other.as_str())
                && candidates == manifests[other.as_str()].len()
        });
        if manifests[folder.as_str()].is_empty() || !is_whole {
            continue;
        }
        plain.insert(folder);
        let texts = below().flat_map(|(other, _)| &manifests[other.as_str()]);
        let named: BTreeSet<&str> = texts.flat_map(|text| namespaces(text)).collect();
        let namespace = named.first().filter(|_| named.len() == 1).map(|name| (*name).to_owned());
        found.push(Found { path: folder.clone(), what: What::Plain, namespace, words: words(folder, called) });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Every folder with its files; hidden and foreign ones are left out, links are not followed.
fn folders(root: &Path) -> Folders {
    let mut found = Folders::new();
    let mut waiting = vec![String::new()];
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = fs::read_dir(root.join(&folder)) else { continue };
        let mut files = BTreeSet::new();
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_file() {
                files.insert(name);
            } else if kind.is_dir() && !name.starts_with('.') && !FOREIGN.contains(&name.as_str()) {
                waiting.push(if folder.is_empty() { name } else { format!("{folder}/{name}") });
            }
        }
        found.insert(folder, files);
        if found.len() >= MOST_FOLDERS {
            break;
        }
    }
    found
}

fn file_text(root: &Path, folder: &str, file: &str) -> Option<String> {
    let path = root.join(folder).join(file);
    let size = fs::metadata(&path).ok()?.len();
    if usize::try_from(size).ok()? > LARGEST_FILE {
        return None;
    }
    fs::read_to_string(path).ok()
}

fn read(root: &Path, folder: &str, file: &str) -> Option<Node> {
    read_yaml(file, &file_text(root, folder, file)?).ok()
}

fn text_of<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    let Value::Map(entries) = &node.value else { return None };
    match &entries.iter().find(|(name, _)| name.name == key)?.1.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// The folders a kustomization uses, its own apart: bases, components, and those of its files.
fn used_by(folder: &str, node: Option<&Node>) -> Vec<String> {
    let Some(Node { value: Value::Map(entries), .. }) = node else { return Vec::new() };
    let lists = entries.iter().filter(|(key, _)| ["resources", "bases", "components"].contains(&key.name.as_str()));
    let items = lists.flat_map(|(_, list)| match &list.value {
        Value::List(items) => items.as_slice(),
        _ => &[],
    });
    let mut used = Vec::new();
    for item in items {
        let Value::Text(text) = &item.value else { continue };
        let Ok(path) = from_folder(folder, text) else { continue };
        let is_file = path.ends_with(".yaml") || path.ends_with(".yml");
        let named = if is_file { path.rsplit_once('/').map_or("", |(parent, _)| parent) } else { &path };
        if named != folder {
            used.push(named.to_owned());
        }
    }
    used
}

fn is_inside(folder: &str, others: &BTreeSet<&str>) -> bool {
    others.iter().any(|other| {
        folder != *other && (other.is_empty() || folder.strip_prefix(*other).is_some_and(|rest| rest.starts_with('/')))
    })
}

/// A chart once for each values file named after an environment, else once.
fn chart(folder: &str, files: &BTreeSet<String>, called: &str) -> Vec<Found> {
    let own = words(folder, called);
    let one = |values: Option<String>, words| Found {
        path: folder.to_owned(),
        what: What::Chart { values },
        namespace: None,
        words,
    };
    let named: Vec<Found> = files
        .iter()
        .filter_map(|file| {
            let stem = file.strip_suffix(".yaml").or_else(|| file.strip_suffix(".yml"))?;
            let begins = stem.strip_prefix("values-").or_else(|| stem.strip_prefix("values."));
            let word = begins.or_else(|| stem.strip_suffix("-values")).or_else(|| stem.strip_suffix(".values"))?;
            let words = own.iter().cloned().chain([clean(word)]).filter(|word| !word.is_empty()).collect();
            Some(one(Some(file.clone()), words))
        })
        .collect();
    if named.is_empty() { vec![one(None, own)] } else { named }
}

/// Whether a file is taken as plain YAML.
fn is_candidate(file: &str) -> bool {
    !file.starts_with('.') && [".yaml", ".yml", ".json"].iter().any(|end| file.ends_with(end))
}

/// The text of a file that holds Kubernetes objects and no template.
fn manifest(root: &Path, folder: &str, file: &str) -> Option<String> {
    if !is_candidate(file) {
        return None;
    }
    let text = file_text(root, folder, file)?;
    let has = |begin: &str| text.lines().any(|line| line.starts_with(begin));
    // `kind: Config` is a kubeconfig, and nothing to deploy.
    let is_kubeconfig = text.lines().any(|line| line.trim_end() == "kind: Config");
    let deployable = has("apiVersion:") && has("kind:") && !is_kubeconfig && !text.contains("{{");
    deployable.then_some(text)
}

/// What stands behind `namespace:` in the metadata of a manifest, near enough for a guess.
fn namespaces(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("  namespace:").map(|name| name.trim().trim_matches(['"', '\''])))
}

/// The telling words of a path.
fn words(folder: &str, called: &str) -> Vec<String> {
    let telling = folder.split('/').map(clean).filter(|word| !word.is_empty() && !GENERIC.contains(&word.as_str()));
    let words: Vec<String> = telling.collect();
    if words.is_empty() { vec![clean(called)] } else { words }
}

/// A word as names of environments and namespaces take it.
pub(super) fn clean(word: &str) -> String {
    let replaced: String =
        word.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).take(30).collect();
    replaced.trim_matches('-').to_owned()
}
