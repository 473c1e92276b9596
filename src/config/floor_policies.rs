//! `policies` of a floor: a folder of the platform's own, with `policies.yaml` in the shape of a repository's `policies:`,
//! and the Rego that it names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::Loaded;
use super::difference::Keys;
use super::reading::path;
use crate::local::check_policies::{Policed, rego_at};
use crate::policy::block::{Block, Keys as KnownKeys, map, named as named_entries};
use crate::policy::code::{Rego, is_test};
use crate::policy::document::{Node, read_yaml};
use crate::policy::located::{Complaints, Place};
use crate::policy::policies::{Written, policies, rego_paths, whole};
use crate::policy::rules::{Floor, Platform, Policy};

/// The file in the folder.
const FILE_NAME: &str = "policies.yaml";
/// The keys of that file.
const FLOOR_POLICIES_KEYS: KnownKeys = KnownKeys { known: &["policies"], later: &[] };

/// Policies as the folder has them.
#[derive(Debug)]
pub(super) struct Folder {
    /// Where it is.
    pub(super) root: PathBuf,
    /// The file, for the names it has.
    pub(super) file: Node,
    /// Each policy, with the path of its Rego.
    pub(super) written: BTreeMap<String, Written>,
}

/// The folder that a floor names, read.
pub(super) fn named(block: &Block<'_>, complaints: &mut Complaints) -> Option<Folder> {
    let at = block.place_of("policies")?;
    let root = path(block, "policies", complaints)?;
    folder(root, at, complaints)
}

/// Reads `policies.yaml` of a folder that is named at a place.
fn folder(root: PathBuf, at: &Place, complaints: &mut Complaints) -> Option<Folder> {
    let path = root.join(FILE_NAME);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            let advice = "name a folder with a file `policies.yaml` in it, which begins with `policies:`";
            complaints.add(at, format!("the policies cannot be read: {}: {error}", path.display()), advice);
            return None;
        }
    };
    let file = match read_yaml(&path.display().to_string(), &text) {
        Ok(file) => file,
        Err(wrong) => {
            complaints.extend([wrong]);
            return None;
        }
    };
    let block = Block::open(&file, "at the top of the file", FLOOR_POLICIES_KEYS, complaints)?;
    let Some(node) = block.get("policies") else {
        complaints.add(&file.at, "the file has no `policies`", "write them as in a repository's file");
        return None;
    };
    let written = policies(node, complaints)?;
    Some(Folder { root, file, written })
}

impl Folder {
    /// The policies with their text.
    pub(super) fn whole(&self, complaints: &mut Complaints) -> BTreeMap<String, Policy> {
        let text = |path: &str| rego(&self.root, path);
        let texts = rego_paths(&self.written).into_iter().map(|path| (path.to_owned(), text(path))).collect();
        let (whole, wrong) = whole(&self.written, &texts);
        complaints.extend(wrong);
        whole
    }
}

/// The Rego at a path of the folder, without its tests.
fn rego(root: &Path, path: &str) -> Option<Arc<Rego>> {
    let (files, _) = rego_at(root, path)?;
    let files = files.into_iter().filter(|(path, _)| !is_test(path)).collect();
    Some(Arc::new(Rego { path: path.to_owned(), files }))
}

impl Loaded {
    /// The floors' folders of policies, to be checked with their tests.
    pub fn policed(&self) -> Vec<Policed> {
        policed(&self.tree)
    }

    /// What is wrong with the texts of the floors' policies: nothing may start with them, since each closes every gate above
    /// its floor.
    pub fn policy_faults(&self) -> Vec<String> {
        faults(&self.server.platform)
    }
}

/// The folders that the floors name, to be checked; what is wrong with one is said when the file is read.
fn policed(root: &Node) -> Vec<Policed> {
    let complaints = &mut Complaints::default();
    let floors = super::sections::entry(root, "floor").map(|(_, node)| node);
    let entries = floors.and_then(|node| map(node, "of floors", complaints)).unwrap_or_default();
    let mut found = Vec::new();
    for (name, node) in named_entries(entries) {
        let Some(block) = Block::open(node, "", super::FLOOR_KEYS, complaints) else { continue };
        let Some(Folder { root, written, .. }) = named(&block, complaints) else { continue };
        let of = format!("floor {}: ", name.name);
        found.push(Policed { root, of, policies: written, health: BTreeMap::new() });
    }
    found
}

/// What is wrong with policies' texts, each with the floor's name. Asked in this process: they are the platform's own.
fn faults(platform: &Platform) -> Vec<String> {
    let mut all = Vec::new();
    for (floor, Floor { policies, .. }) in &platform.floors {
        for (name, policy) in policies {
            let faults = crate::policy::code::faults(&policy.source).into_iter();
            all.extend(faults.map(|fault| format!("floor `{floor}`, policy `{name}`: {fault}")));
        }
    }
    all
}

/// Each policy by its path, with a digest of what it says: what one load is compared with the next by.
pub(super) fn keys(platform: &Platform) -> Keys {
    let mut keys = Keys::new();
    for (floor, Floor { policies, .. }) in &platform.floors {
        for (name, policy) in policies {
            let written = serde_json::to_vec(policy).expect("a policy is words");
            let digest = hex::encode(&Sha256::digest(written)[..6]);
            keys.insert(format!("floor.{floor}.policies.{name}"), digest);
        }
    }
    keys
}
