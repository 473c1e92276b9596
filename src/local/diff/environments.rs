//! Which environments there are on each side.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::DiffError;
use super::sides::Sides;
use super::tree::TreeFiles;
use crate::git::GitError;
use crate::ids::EnvironmentName;
use crate::local::owner_file;
use crate::policy::codeowners::LARGEST_OWNER_FILE;
use crate::policy::policies::{rego_paths, with_rego};
use crate::policy::rules::Environment;
use crate::policy::{Dialect, Expanded, FILE_NAME, Located, RepositoryFile, name_matches};

/// The environments of both sides, by name.
pub(super) struct Pairs {
    pub(super) pairs: BTreeMap<EnvironmentName, Pair>,
    /// Sentences about what was left out.
    pub(super) notes: Vec<String>,
}

/// One environment's rules on each side; at least one is there.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) old: Option<Environment>,
    pub(super) new: Option<Environment>,
}

/// The largest `.bascule.yaml`.
const LARGEST: u64 = 4 << 20;

/// The inner error is the new side's file, invalid: that is a preview, too.
pub(super) async fn pairs(sides: &Sides, wanted: &[String]) -> Result<Result<Pairs, Vec<String>>, DiffError> {
    let mut notes = Vec::new();
    let new = match read(&sides.new, sides.clone.root()).await? {
        Some(Ok(environments)) => Some(environments),
        Some(Err(complaints)) => return Ok(Err(complaints.iter().map(Located::to_string).collect())),
        None => None,
    };
    let old = match read(&sides.old, sides.clone.root()).await? {
        Some(Ok(environments)) => Some(environments),
        Some(Err(_)) => {
            // The new side mends it: its environments are all there is to compare.
            notes.push(format!("{FILE_NAME} of {} cannot be read: every environment is shown as new", sides.names.0));
            None
        }
        None => None,
    };
    let (old, new) = match (old, new) {
        (None, None) => {
            let found = proposed(sides)?;
            notes.push(format!("There is no {FILE_NAME}: this is what `bascule init` would write."));
            (found.clone(), found)
        }
        // Before a first file nothing was owned, and yet the folders were there: what becomes of their objects is what a
        // person wants to see, so the new rules are used for both sides.
        (None, Some(new)) => {
            notes.push(format!("{FILE_NAME} is new here: its environments are compared with the same folders before."));
            (new.clone(), new)
        }
        (old, new) => (old.unwrap_or_default(), new.unwrap_or_default()),
    };
    let mut pairs: BTreeMap<EnvironmentName, Pair> = BTreeMap::new();
    for (side, is_new) in [(old, false), (new, true)] {
        for environment in side {
            let pair = pairs.entry(environment.name.clone()).or_insert(Pair { old: None, new: None });
            if is_new { pair.new = Some(environment) } else { pair.old = Some(environment) }
        }
    }
    select(sides, wanted, &mut pairs, &mut notes)?;
    Ok(Ok(Pairs { pairs, notes }))
}

/// Leaves out what was not asked for, and what follows a branch this change is not for.
fn select(
    sides: &Sides,
    wanted: &[String],
    pairs: &mut BTreeMap<EnvironmentName, Pair>,
    notes: &mut Vec<String>,
) -> Result<(), DiffError> {
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|glob| name_matches(glob, name));
    for glob in wanted {
        if !pairs.keys().any(|name| name_matches(glob, name.as_str())) {
            let known: Vec<&str> = pairs.keys().map(EnvironmentName::as_str).take(20).collect();
            let known =
                if known.is_empty() { "there are none".to_owned() } else { format!("there are {}", known.join(", ")) };
            return Err(DiffError::Ask(format!("no environment is called `{glob}`: {known}")));
        }
    }
    let mut others = BTreeSet::new();
    pairs.retain(|name, pair| {
        let branch = pair.new.as_ref().or(pair.old.as_ref()).and_then(|environment| environment.branch.clone());
        let follows = match (&branch, &sides.into) {
            (Some(branch), Some(into)) => branch == into,
            (None, _) | (_, None) => true,
        };
        if !follows && wanted.is_empty() {
            others.extend(branch);
        }
        is_wanted(name.as_str()) && (follows || !wanted.is_empty())
    });
    if !others.is_empty() {
        let others: Vec<String> = others.into_iter().collect();
        notes.push(format!(
            "Environments that follow {} are left out: name the branch to compare with.",
            others.join(", ")
        ));
    }
    Ok(())
}

/// What can be rendered here, for a repository without a file.
fn proposed(sides: &Sides) -> Result<Vec<Environment>, DiffError> {
    let nothing = || {
        DiffError::Ask(
            "there is nothing here that can be rendered: no kustomization, no chart, no Kubernetes YAML".to_owned(),
        )
    };
    let text = super::super::init::proposed(sides.clone.root()).ok_or_else(nothing)?;
    let file = RepositoryFile::parse(FILE_NAME, &text);
    let environments = file.and_then(|file| file.expand(Vec::<String>::new()));
    environments.map_err(|complaints| {
        let said: Vec<String> = complaints.iter().map(Located::to_string).collect();
        DiffError::Ask(format!("what was found here does not fit together, write a {FILE_NAME}: {}", said.join("; ")))
    })
}

type ReadFile = Option<Result<Vec<Environment>, Vec<Located>>>;

/// The environments of a side; `None` without a file.
async fn read(files: &TreeFiles, root: &Path) -> Result<ReadFile, DiffError> {
    let Some(text) = files.0.file(FILE_NAME, LARGEST).await? else { return Ok(None) };
    let text = String::from_utf8_lossy(&text).into_owned();
    let file = match RepositoryFile::parse(FILE_NAME, &text) {
        Ok(file) => file,
        Err(complaints) => return Ok(Some(Err(complaints))),
    };
    let folders = files.0.folders_below(&file.folder_roots()).await?;
    let mut expanded = match file.expand_placed(folders) {
        Ok(expanded) => expanded,
        Err(complaints) => return Ok(Some(Err(complaints))),
    };
    let mut texts = BTreeMap::new();
    for path in rego_paths(&file.policies) {
        texts.insert(path.to_owned(), files.0.rego(path).await?);
    }
    let complaints = with_rego(&mut expanded, &file.policies, &texts);
    if !complaints.is_empty() {
        return Ok(Some(Err(complaints)));
    }
    let forges = owner_file::dialects(root);
    let found = owner_files(files, &forges).await?;
    let environments = |all: Vec<Expanded>| all.into_iter().map(|one| one.environment).collect();
    Ok(Some(owner_file::give(&forges, &found, expanded).map(environments)))
}

/// The owner files there are, where a forge would look.
async fn owner_files(files: &TreeFiles, forges: &[Dialect]) -> Result<Vec<owner_file::Found>, DiffError> {
    let mut found = Vec::new();
    for place in owner_file::places(forges) {
        let bytes = match files.0.file(place, LARGEST_OWNER_FILE).await {
            Ok(None) => continue,
            Ok(bytes) => bytes,
            Err(GitError::TooLarge { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        found.push((place, place.to_owned(), bytes));
    }
    Ok(found)
}
