//! What jobs found out of trees, and need not find out again while the process runs: the rules a tree holds, and which
//! environments read which of its files. A tree is named by its content, so nothing here is ever out of date; and nothing
//! of it is a fact about a forge.
//!
//! Without it a push to one of a thousand environments would cost what a push to all of them costs.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::contents::FileAt;
use super::contents::readers::ReadersAt;
use crate::ids::CommitId;
use crate::policy::rules::Platform;

/// Files of rules that are remembered: a base and a few merge results of some repositories.
const FILES: usize = 24;
/// Environments of all of them together; they are shared between files that give the same.
const ENVIRONMENTS: usize = 100_000;
/// Branches of which it is remembered who reads what.
const BRANCHES: usize = 64;
/// Bytes of all of these together, about. Those that were asked about longest ago are found out again.
const READERS: usize = 256 << 20;

/// Shared by all jobs of a process.
#[derive(Debug, Default)]
pub struct Memory {
    files: Mutex<VecDeque<Rules>>,
    branches: Mutex<VecDeque<Known>>,
}

/// A branch (of a repository, by our number), asked about last at the front.
#[derive(Debug)]
struct Known {
    key: (i64, String),
    branch: Branch,
    bytes: usize,
}

/// What is known of a branch.
pub(super) type Branch = Arc<Kept>;

/// What a branch's environments read at the tree that was looked at last.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Whose turn it is to bring it to another, so that many who begin together find it out once.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Never held while anything outside is asked.
    pub(super) at: tokio::sync::Mutex<ReadersAt>,
}

/// Where rules were read, and by which rules of the platform they were judged.
#[derive(Debug, Clone)]
pub(super) struct RulesAt {
    /// As grants write it.
    pub(super) repository: String,
    /// The tree of the blocks.
    pub(super) blocks: CommitId,
    /// The tree of the environments' folders.
    pub(super) folders: CommitId,
    pub(super) platform: Arc<Platform>,
}

impl RulesAt {
    /// The very same place.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.is_of(other) && self.blocks == other.blocks && self.folders == other.folders
    }

    fn is_of(&self, other: &Self) -> bool {
        self.repository == other.repository && Arc::ptr_eq(&self.platform, &other.platform)
    }
}

/// What they are, and what that depends on.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) at: RulesAt,
    pub(super) file: FileAt,
    /// The paths they were read from, or looked for at, in the tree of the blocks.
    pub(super) reads: BTreeSet<String>,
    /// The folders whose folders they name, in the other.
    pub(super) roots: BTreeSet<String>,
}

impl Rules {
    /// Whether they are the same when these paths of the blocks change.
    pub(super) fn outlive_files<'p>(&self, mut changed: impl Iterator<Item = &'p str>) -> bool {
        !changed.any(|path| self.reads.iter().any(|read| meet(path, read)))
    }

    /// Whether they are the same when these paths appear or go: a folder is where a file is below it.
    pub(super) fn outlive_folders<'p>(&self, mut moved: impl Iterator<Item = &'p str>) -> bool {
        !moved.any(|path| self.roots.iter().any(|root| meet(path, root)))
    }
}

impl Memory {
    /// The rules there, or those of the same repository that were asked for last.
    pub(super) fn rules(&self, at: &RulesAt) -> Option<Rules> {
        let mut files = held(&self.files);
        let there = files.iter().position(|rules| rules.at.is(at));
        let found = there.or_else(|| files.iter().position(|rules| rules.at.is_of(at)))?;
        let rules = files.remove(found)?;
        files.push_front(rules.clone());
        Some(rules)
    }

    pub(super) fn learn_rules(&self, rules: Rules) {
        let mut files = held(&self.files);
        files.retain(|known| !known.at.is(&rules.at));
        files.push_front(rules);
        let mut environments = 0;
        files.truncate(FILES);
        files.retain(|known| {
            environments += known.file.environments().len();
            environments <= ENVIRONMENTS
        });
    }

    /// Who reads what of a branch (of a repository, by our number).
    pub(super) fn branch(&self, repository: i64, branch: &str) -> Branch {
        let mut branches = held(&self.branches);
        let is_it = |known: &Known| known.key.0 == repository && known.key.1 == branch;
        let there = branches.iter().position(is_it).and_then(|at| branches.remove(at));
        let key = (repository, branch.to_owned());
        let known = there.unwrap_or_else(|| Known { key, branch: Branch::default(), bytes: 0 });
        let branch = known.branch.clone();
        branches.push_front(known);
        branches.truncate(BRANCHES);
        branch
    }

    /// What is known of a branch takes so many bytes now.
    pub(super) fn weighs(&self, branch: &Branch, bytes: usize) {
        let mut branches = held(&self.branches);
        if let Some(known) = branches.iter_mut().find(|known| Arc::ptr_eq(&known.branch, branch)) {
            known.bytes = bytes;
        }
        let mut all = 0;
        branches.retain(|known| {
            all += known.bytes;
            all <= READERS
        });
    }
}

/// Whether one path is the other, or a folder above it. The empty one is the root.
fn meet(one: &str, other: &str) -> bool {
    let is_above = |folder: &str, path: &str| match path.strip_prefix(folder) {
        Some(rest) => folder.is_empty() || rest.is_empty() || rest.starts_with('/'),
        None => false,
    };
    is_above(one, other) || is_above(other, one)
}

fn held<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(digit: char) -> CommitId {
        digit.to_string().repeat(40).parse().unwrap()
    }

    fn at(repository: &str, digit: char, platform: &Arc<Platform>) -> RulesAt {
        let (blocks, folders) = (tree(digit), tree(digit));
        RulesAt { repository: repository.to_owned(), blocks, folders, platform: platform.clone() }
    }

    fn rules(at: RulesAt) -> Rules {
        let reads = [".bascule.yaml", "policies/shop"].map(str::to_owned).into();
        Rules { at, file: FileAt::Absent, reads, roots: BTreeSet::from(["apps".to_owned()]) }
    }

    #[test]
    fn rules_are_found_at_their_tree_or_come_from_the_last_one_asked_for() {
        let (memory, platform) = (Memory::default(), Arc::<Platform>::default());
        for digit in ['1', '2'] {
            memory.learn_rules(rules(at("shop", digit, &platform)));
        }
        let found = |digit| memory.rules(&at("shop", digit, &platform)).map(|rules| rules.at.blocks);
        assert_eq!(found('1'), Some(tree('1')));
        assert_eq!(found('3'), Some(tree('1')), "the one asked for last, to be compared with");
        assert!(memory.rules(&at("app", '1', &platform)).is_none(), "another repository's are judged by other grants");
        assert!(memory.rules(&at("shop", '1', &Arc::default())).is_none(), "the platform's rules were loaded anew");
        for number in 0..2 * FILES {
            memory.learn_rules(rules(at(&number.to_string(), '1', &platform)));
        }
        assert_eq!(held(&memory.files).len(), FILES);
    }

    #[test]
    fn branches_are_forgotten_in_the_order_they_were_asked_about() {
        let memory = Memory::default();
        let is_kept = |branch: &Branch| held(&memory.branches).iter().any(|known| Arc::ptr_eq(&known.branch, branch));
        let (main, next) = (memory.branch(1, "main"), memory.branch(1, "next"));
        memory.weighs(&main, READERS / 2);
        memory.weighs(&next, READERS / 2);
        assert!(is_kept(&main) && is_kept(&next));
        assert!(Arc::ptr_eq(&main, &memory.branch(1, "main")), "asked about again");
        memory.weighs(&main, READERS / 2 + 1);
        assert!(is_kept(&main) && !is_kept(&next), "together they are too large");
        for number in 0..2 * BRANCHES {
            memory.branch(2, &number.to_string());
        }
        assert!(!is_kept(&main) && held(&memory.branches).len() == BRANCHES);
    }

    #[test]
    fn rules_outlive_what_they_were_not_read_from() {
        let rules = rules(at("shop", '1', &Arc::default()));
        let files = |path: &'static str| rules.outlive_files([path].into_iter());
        assert!(files("apps/a/web.yaml") && files("policies/other.rego") && files(".bascule.yaml.orig"));
        assert!(!files(".bascule.yaml") && !files("policies/shop/a.rego") && !files("policies"));
        let folders = |path: &'static str| rules.outlive_folders([path].into_iter());
        assert!(folders("docs/new.md") && folders("apps2/x"));
        assert!(!folders("apps/new/web.yaml") && !folders("apps"));
        let of_root = Rules { roots: BTreeSet::from([String::new()]), ..rules };
        assert!(!of_root.outlive_folders(["anything"].into_iter()));
    }
}
