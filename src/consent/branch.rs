//! The facts of a walk: an environment with its judges, its position, the commits after it, and what is held.

use std::collections::{BTreeMap, BTreeSet};

use super::approval::{Place, Recorded};
use super::change::{Change, HashedSet};
use super::contributors::Contributors;
use super::people::People;
use super::policies::Said;
use super::required::{Becomes, Size};
use crate::ids::{ChangeDigest, CommitId, EnvironmentName, ObjectHash, RepositoryKey, SetDigest, Target};
use crate::policy::rules::{ApprovalRule, Environment, Floor};

/// An environment, and everything that judges it.
#[derive(Debug, Clone)]
pub struct Court {
    /// Its repository.
    pub repository: RepositoryKey,
    /// Its name.
    pub environment: EnvironmentName,
    /// Its target: another one is another environment.
    pub target: Target,
    /// What each entry says, by its hash in a set. An entry that is not here cannot be read, and nothing passes by it.
    pub entries: BTreeMap<ObjectHash, Environment>,
    /// Rules in force for environments of its name or namespace, orphaned ones too until they are forgotten. They
    /// judge a first set.
    pub neighbours: Vec<Environment>,
    /// The floors under it.
    pub floors: Vec<(String, Floor)>,
    /// The grant's owners.
    pub grant_owners: Option<ApprovalRule>,
    /// People, as of now.
    pub people: People,
    /// What policies say of steps from one set (`None` is the empty one) to another. What is not here and is asked for comes
    /// back as [`super::Walk::unasked`].
    pub said: BTreeMap<(Option<SetDigest>, SetDigest), Said>,
    /// The sets that were deployed here and were healthy, where rules ask less for those (`consent.reverts`).
    pub was_here: BTreeSet<SetDigest>,
}

impl Court {
    /// What a change that ends in this set becomes.
    pub fn becomes(&self, set: &HashedSet) -> Becomes {
        // A digest costs something, and most rules ask for none.
        let was_here = !self.was_here.is_empty() && self.was_here.contains(&set.digest());
        if was_here { Becomes::WasHere } else { Becomes::New }
    }
}

/// Where an environment stands (rule 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The newest commit a sync was started for.
    pub commit: CommitId,
    /// Its set.
    pub set: HashedSet,
}

/// What one or more commits bring, and from whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Made {
    /// Whose they are.
    pub contributors: Contributors,
    /// Changed files that the environment's render reads, or read before.
    pub files: BTreeSet<String>,
    /// The largest pull request or push among them.
    pub size: Size,
}

impl Made {
    /// Adds what more commits bring.
    pub fn join(&mut self, more: &Self) {
        self.contributors.join(&more.contributors);
        self.files.extend(more.files.iter().cloned());
        self.size = self.size.max(more.size);
    }
}

/// One commit of the branch's first-parent line, after the position.
#[derive(Debug, Clone)]
pub struct Step {
    /// Which.
    pub commit: CommitId,
    /// The environment's set there; `None` when it does not render or its rules are invalid: comparisons reach over it.
    pub set: Option<HashedSet>,
    /// What came with it: of a merged pull request's commit, what the pull request made.
    pub made: Made,
    /// The pull request whose last commit this is.
    pub merged: Option<Merged>,
}

/// A merged pull request.
#[derive(Debug, Clone)]
pub struct Merged {
    /// The pull request, and the branch it was merged into.
    pub place: Place,
    /// The head that was merged.
    pub head: CommitId,
    /// Every change of this environment that was shown in it, oldest first. An empty list is one never shown.
    pub offers: Vec<Offer>,
    /// Every approval of this environment given in it.
    pub approvals: Vec<Recorded>,
    /// The change of this environment to which the rollback has consented that it is the revert of, while that pins (rule 15).
    pub given_back: Option<ChangeDigest>,
}

/// A change that a pull request has shown.
#[derive(Debug, Clone)]
pub struct Offer {
    /// What it changes.
    pub change: Change,
    /// The set it was compared with; `None` is the empty set.
    pub old_set: Option<SetDigest>,
    /// What it comes from; commits that the comparison reached over too.
    pub made: Made,
}

/// The held change as stored: it stays the one to approve while commits arrive.
#[derive(Debug, Clone)]
pub struct Hold {
    /// The newest covered commit when it was fixed; `None` is before the first.
    pub from: Option<CommitId>,
    /// The set it begins from; `None` is the empty set.
    pub old_set: Option<SetDigest>,
    /// The commit whose set it ends in.
    pub to: CommitId,
    /// What it changes.
    pub change: Change,
    /// What the commits between `from` and the position brought, when the position has passed `from` since.
    pub behind: Made,
    /// Where it is shown; `None` when it is not yet.
    pub place: Option<Place>,
    /// Every approval of this environment given there.
    pub approvals: Vec<Recorded>,
}

impl Hold {
    /// Where it is shown, and what was given there.
    pub(super) fn given(&self) -> Option<(&Place, &[Recorded])> {
        self.place.as_ref().map(|place| (place, self.approvals.as_slice()))
    }
}
