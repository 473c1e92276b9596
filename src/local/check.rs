//! `bascule check`: both files, read as the server would read them, and compared with the folders beside them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::owner_file;
use super::report::{Report, Verdict};
use crate::policy::codeowners::LARGEST_OWNER_FILE;
use crate::policy::document::{Node, Value};
use crate::policy::located::Complaints;
use crate::policy::rules::{ApprovalRule, Environment, SyncMode, Voters};
use crate::policy::{Dialect, Expanded, FILE_NAME, Located, Place, RepositoryFile, paths};

/// Environments that are listed when all is well; the others are counted.
const LISTED: usize = 20;
/// Folders that are looked through for patterns: a bound on a mistaken `check /`.
const MOST_FOLDERS: usize = 200_000;

/// Checks the server's file: the lines to print when it is good, or its complaints. `main` passes the reader of
/// `config`, which is no part of what works in a clone.
pub type CheckServer<'c> = &'c dyn Fn(&Path) -> Result<String, Vec<Located>>;

/// Checks a file, or what is found in a folder; without a path, in the working directory and the repository around it.
/// `server_name` is the name of the server's file.
pub fn check(path: Option<&Path>, server_name: &str, server: CheckServer<'_>) -> Report {
    let found = files(path, server_name);
    if found.is_empty() {
        let text = format!("there is no {FILE_NAME} and no {server_name} here; `bascule init` writes both\n");
        return Report::new(Verdict::CouldNot, text);
    }
    let reports = found.iter().map(|file| match file.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") => check_repository(file),
        Some("toml") => check_server(file, server),
        _ => Report::new(Verdict::CouldNot, format!("{}: is neither .yaml nor .toml\n", file.display())),
    });
    reports.reduce(Report::and).unwrap_or(Report::new(Verdict::CouldNot, ""))
}

/// The files that are checked.
pub fn files(path: Option<&Path>, server_name: &str) -> Vec<PathBuf> {
    match path {
        Some(path) if path.is_dir() => both_in(path, server_name),
        Some(path) => vec![path.to_owned()],
        None => around(Path::new("."), server_name),
    }
}

fn both_in(folder: &Path, server_name: &str) -> Vec<PathBuf> {
    [FILE_NAME, server_name].iter().map(|name| folder.join(name)).filter(|path| path.exists()).collect()
}

/// The files here; when there is none, the repository's from a folder inside it.
fn around(here: &Path, server_name: &str) -> Vec<PathBuf> {
    let found = both_in(Path::new(""), server_name);
    if !found.is_empty() {
        return found;
    }
    let Ok(here) = here.canonicalize() else { return Vec::new() };
    here.ancestors().skip(1).map(|folder| folder.join(FILE_NAME)).find(|file| file.exists()).into_iter().collect()
}

fn check_server(file: &Path, server: CheckServer<'_>) -> Report {
    if let Err(error) = fs::metadata(file) {
        return unreadable(file, &error);
    }
    match server(file) {
        Ok(text) => Report::new(Verdict::Good, text),
        Err(complaints) => bad(&complaints),
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> Report {
    Report::new(Verdict::CouldNot, format!("{}: cannot be read: {error}\n", file.display()))
}

fn check_repository(file: &Path) -> Report {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => return unreadable(file, &error),
    };
    let name = file.display().to_string();
    let root = file.parent().unwrap_or(Path::new(""));
    let read = RepositoryFile::parse(&name, &text).and_then(|read| {
        let environments = read.expand_placed(folders_below(root, &read.folder_roots()))?;
        let missing = missing_files(root, &environments);
        if !missing.is_empty() {
            return Err(missing);
        }
        let forges = owner_file::dialects(root);
        owner_file::give(&forges, &owner_files(root, &forges), environments)
    });
    match read {
        Ok(environments) => Report::new(Verdict::Good, summary(&name, &environments)),
        Err(complaints) => bad(&complaints),
    }
}

/// Complaints with the lines they are about, and how many.
fn bad(complaints: &[Located]) -> Report {
    let mut text = String::new();
    for complaint in complaints {
        let source = fs::read_to_string(complaint.place.file.as_ref()).unwrap_or_default();
        text += &complaint.with_excerpt(&source);
        text.push('\n');
    }
    let count = complaints.len();
    text += &format!("{count} {}\n", if count == 1 { "thing is wrong" } else { "things are wrong" });
    Report::new(Verdict::Bad, text)
}

/// Every folder below some of the repository's, by its path. Links are not followed.
fn folders_below(root: &Path, below: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<String> = below.iter().cloned().collect();
    while let Some(folder) = waiting.pop() {
        if found.len() >= MOST_FOLDERS {
            break;
        }
        let Ok(entries) = fs::read_dir(root.join(&folder)) else { continue };
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && name != ".git" {
                let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                if found.insert(path.clone()) {
                    waiting.push(path);
                }
            }
        }
    }
    found
}

/// The owner files there are, where a forge would look.
fn owner_files(root: &Path, forges: &[Dialect]) -> Vec<owner_file::Found> {
    let read = |place: &'static str| {
        let path = root.join(place);
        let size = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?.len();
        let bytes = if size > LARGEST_OWNER_FILE { None } else { Some(fs::read(&path).ok()?) };
        Some((place, path.display().to_string(), bytes))
    };
    owner_file::places(forges).into_iter().filter_map(read).collect()
}

/// What the environments name and this working tree does not have. Those of another branch are left to that branch.
fn missing_files(root: &Path, environments: &[Expanded]) -> Vec<Located> {
    let mut complaints = Complaints::default();
    for Expanded { environment, at, block } in environments.iter().filter(|e| e.environment.branch.is_none()) {
        let folder = root.join(&environment.path);
        if environment.chart.is_none() && !folder.is_dir() {
            let at = place_of(block, &["path"]).unwrap_or(at);
            let problem = format!("environment `{}`: there is no folder `{}`", environment.name, environment.path);
            complaints.add(at, problem, "correct the path, or add the folder");
            continue;
        }
        let Some(helm) = &environment.helm else { continue };
        if environment.chart.is_none() && !folder.join("Chart.yaml").is_file() {
            let at = place_of(block, &["helm"]).unwrap_or(at);
            let problem =
                format!("environment `{}` has `helm`, but `{}` is no chart", environment.name, environment.path);
            complaints.add(at, problem, "remove `helm`, or name a folder with a Chart.yaml");
        }
        // What a chart brings itself is not here to be looked for.
        let is_here = |values: &&String| environment.chart.is_none() || values.starts_with('/');
        for values in helm.values.iter().filter(is_here) {
            let file = paths::from_folder(&environment.path, values);
            if file.is_ok_and(|file| !root.join(file).is_file()) {
                let at = place_of(block, &["helm", "values"]).unwrap_or(at);
                let problem = format!("environment `{}`: there is no values file `{values}`", environment.name);
                complaints.add(at, problem, "correct the name; it is from `path`, or from the root with a leading `/`");
            }
        }
    }
    complaints.into_sorted()
}

fn place_of<'n>(node: &'n Node, keys: &[&str]) -> Option<&'n Place> {
    let Some((first, rest)) = keys.split_first() else { return Some(&node.at) };
    let Value::Map(entries) = &node.value else { return None };
    place_of(&entries.iter().find(|(key, _)| key.name == *first)?.1, rest)
}

/// What was understood, so that a person sees whether it is what was meant.
fn summary(name: &str, environments: &[Expanded]) -> String {
    let count = environments.len();
    let mut text = format!("{name}: good, {count} environment{}\n", if count == 1 { "" } else { "s" });
    let shown = || environments.iter().map(|expanded| &expanded.environment).take(LISTED);
    let longest = shown().map(|environment| environment.name.as_str().len()).max().unwrap_or_default();
    for environment in shown() {
        text += &format!("  {:longest$}  {}\n", environment.name.as_str(), understood(environment));
    }
    if count > LISTED {
        text += &format!("  and {} more\n", count - LISTED);
    }
    text
}

/// One environment in a line: `charts/shop to prod/shop; 2 of group sre; after staging`.
fn understood(environment: &Environment) -> String {
    let target = &environment.target;
    let mut parts = vec![format!("{} to {}/{}", environment.source(), target.cluster, target.namespace)];
    if environment.consent.is_none() {
        parts.push("no consent asked".to_owned());
    } else {
        parts.push(environment.consent.approvals.iter().map(rule).collect::<Vec<_>>().join(" and "));
        parts.extend(environment.consent.reverts.iter().map(|one| format!("{} for what was there before", rule(one))));
    }
    if !environment.after.is_empty() {
        let names: Vec<&str> = environment.after.iter().map(|after| after.environment.as_str()).collect();
        parts.push(format!("after {}", names.join(", ")));
    }
    match environment.sync.mode {
        SyncMode::Auto => {}
        SyncMode::Manual => parts.push("synced when asked".to_owned()),
        SyncMode::None => parts.push("never synced".to_owned()),
    }
    parts.join("; ")
}

fn rule(rule: &ApprovalRule) -> String {
    let condition = if rule.when.is_some() { " for some changes" } else { "" };
    format!("{} of {}{condition}", rule.count, voters(&rule.voters))
}

fn voters(voters: &Voters) -> String {
    let mut all: Vec<String> = voters.users.iter().map(|user| format!("@{user}")).collect();
    all.extend(voters.teams.iter().map(|team| format!("team {team}")));
    all.extend(voters.groups.iter().map(|group| format!("group {group}")));
    all.extend(voters.roles.iter().map(|role| format!("{role:?} access").to_lowercase()));
    all.extend(voters.codeowners.then(|| "the owners of each file".to_owned()));
    all.join(" or ")
}
