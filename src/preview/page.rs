//! What is shown, as data. Stored as it is, so fields are only added, with a default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{ChangeDigest, CommitId, EnvironmentName, ObjectKey, Target};
use crate::manifest::{Hunk, LeftOut, ObjectDiff, Verb};

use super::answer::Answer;
use super::live::Live;
use super::mark::Mark;
use super::merge_rule::MergeRule;
use super::policies::{PolicyRemark, PolicyWaiver};
use super::standing::{Admission, Effect, Standing};

/// Environments that take a while, however quickly each is rendered.
const MANY: usize = 10;
/// Milliseconds of rendering that do.
const LONG: u64 = 5_000;

/// All that a comment, a page or a terminal shows of one look at a pull request, a held change or a local clone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// What was looked at.
    pub subject: Subject,
    /// What came of it as a whole.
    pub outcome: Outcome,
    /// The environments it touches, in the order they would be synced.
    #[serde(default)]
    pub environments: Vec<EnvironmentRow>,
    /// Sentences for everybody, from us.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What commands were answered, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answer>,
    /// Of the errors, those that know their line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// What the forge itself asks for before it merges; no part of consent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merge_rules: Vec<MergeRule>,
}

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Subject {
    /// A pull request.
    Pull {
        /// Its head.
        head: CommitId,
        /// The branch it is for.
        into: String,
    },
    /// A pull request that adds the first `.bascule.yaml`: nothing is enforced before it is merged.
    Proposal {
        /// Its head.
        head: CommitId,
        /// The branch it is for.
        into: String,
    },
    /// Commits of a branch that nobody consented to yet: a direct push, a first set, a rewritten branch.
    Held {
        /// The commit whose content waits.
        commit: CommitId,
        /// Its branch.
        branch: String,
    },
    /// Two states of a local clone.
    Local {
        /// As typed.
        base: String,
        /// As typed.
        head: String,
    },
}

/// What came of the look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// Sets were compared: the rows say what changes.
    Compared,
    /// Nothing of ours is touched.
    Untouched,
    /// It cannot be merged as it is, so there is nothing to compute.
    Conflict {
        /// The files in conflict.
        paths: Vec<String>,
    },
    /// The repository's rules cannot be read.
    RulesInvalid {
        /// What is wrong, with file and line.
        errors: Vec<String>,
    },
    /// It could not be found out, and trying again does not help by itself.
    Failed {
        /// What failed, in words for the pull request.
        why: String,
    },
}

/// One environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentRow {
    /// Its name.
    pub name: EnvironmentName,
    /// Its stage, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Where its objects go.
    pub target: Target,
    /// What changes.
    pub change: RowChange,
    /// Who consents.
    pub consent: Consent,
    /// What becomes of it.
    pub deployment: Deployment,
    /// What rendered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendering: Option<Rendering>,
    /// Hooks that are no part of a sync.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Why the cluster was not asked what it has of a first set, or not of all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unasked: Option<String>,
    /// What its cluster says beside the change; nothing of a first set, of which it says so object by object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    /// Whether its rules ask for an answer of the API server about each object.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub admission_is_required: bool,
    /// What policies say of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyRemark>,
    /// What of it somebody may waive, and who did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<PolicyWaiver>,
}

/// What changes in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RowChange {
    /// Its files are touched, its set is the same.
    Same,
    /// This.
    Change {
        /// The change's digest; a local look has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<ChangeDigest>,
        /// The environment's own rules, where they change.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rules: Vec<Hunk>,
        /// Its objects, in the order they would be applied and deleted.
        objects: Vec<ObjectChange>,
    },
    /// It does not render, or renders what it may not: there is no set.
    Failed {
        /// What is wrong.
        errors: Vec<String>,
        /// Its objects with what the cluster says of them, where only their reach is wrong; without their diffs.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        objects: Vec<ObjectChange>,
    },
}

/// One object's change, and what the cluster says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectChange {
    /// What changes.
    #[serde(flatten)]
    pub diff: ObjectDiff,
    /// What is there already, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Live>,
    /// What the API server answered when it was asked to try it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admission: Option<Admission>,
    /// How applying it now would depart from its change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
}

impl From<ObjectDiff> for ObjectChange {
    fn from(diff: ObjectDiff) -> Self {
        Self { diff, live: None, admission: None, effect: None }
    }
}

/// Who consents to a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Consent {
    /// Nobody is asked.
    NotNeeded,
    /// So many approvals are asked for, over all rules.
    Asked {
        /// How many.
        wanted: u32,
        /// How many of them are given.
        given: u32,
        /// Logins whose approval counts.
        counted: Vec<String>,
        /// Whose does not, and why.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        not_counted: Vec<NotCounted>,
        /// One sentence: what is missing and who can give it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        missing: String,
        /// The number of deletions that each approval has to say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deletions: Option<u64>,
    },
    /// A rollback has consented to it, of which this is the revert.
    ByRollback,
    /// It cannot be judged, so nothing passes.
    Closed {
        /// Why.
        why: String,
    },
}

impl Consent {
    /// Whether nothing more is asked.
    pub fn is_met(&self) -> bool {
        match self {
            Self::NotNeeded | Self::ByRollback => true,
            Self::Asked { wanted, given, .. } => given >= wanted,
            Self::Closed { .. } => false,
        }
    }
}

/// An approval that does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotCounted {
    /// Whose.
    pub login: String,
    /// Completes "does not count: …".
    pub why: String,
}

/// What becomes of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Deployment {
    /// Nothing will: there is no change.
    Nothing,
    /// Synced after the merge, and after these are healthy.
    AfterMerge {
        /// Environments it waits for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        after: Vec<EnvironmentName>,
        /// For how long those that are here have to be healthy, in words.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        soaks: BTreeMap<EnvironmentName, String>,
        /// Checks it waits for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        checks: Vec<String>,
        /// When it may be, in words: windows, each.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        windows: Vec<String>,
    },
    /// After the merge, when somebody says so.
    OnCommand {
        /// Checks it waits for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        checks: Vec<String>,
        /// When it may be, in words: windows, each.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        windows: Vec<String>,
    },
    /// Previews and consent only.
    Never,
    /// A local look deploys nothing.
    Local,
    /// Merged, and its turn comes.
    Queued,
    /// Being synced.
    Running {
        /// The deployment's number.
        number: i64,
    },
    /// Synced, and watched for a while before it counts as healthy.
    Verifying {
        /// The deployment's number.
        number: i64,
    },
    /// Synced and well.
    Healthy {
        /// The deployment's number.
        number: i64,
        /// What left and stays, and why; empty when nothing does.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        kept: String,
    },
    /// Synced, and not well.
    Failed {
        /// The deployment's number.
        number: i64,
        /// Where it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        object: Option<ObjectKey>,
        /// Why.
        why: String,
        /// Where its people wrote down what to do: a file of the repository, or an address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        runbook: Option<String>,
    },
    /// Not synced further.
    Held {
        /// One of the closed list.
        reason: String,
        /// What is missing and who can give it.
        detail: String,
        /// The one command that lifts it.
        lifts: String,
    },
}

/// What rendered an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendering {
    /// `helm 4.3.1`.
    pub renderer: String,
    /// How long it took; `None` when the same content had been rendered before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<u64>,
}

impl EnvironmentRow {
    /// Its objects' changes; none when there is no set.
    pub fn objects(&self) -> &[ObjectChange] {
        match &self.change {
            RowChange::Change { objects, .. } => objects,
            RowChange::Same | RowChange::Failed { .. } => &[],
        }
    }

    /// All objects that are spoken of: also those of an environment that has no set because of some of them.
    pub fn named(&self) -> &[ObjectChange] {
        match &self.change {
            RowChange::Change { objects, .. } | RowChange::Failed { objects, .. } => objects,
            RowChange::Same => &[],
        }
    }

    /// How many objects are added, changed, removed.
    pub fn counts(&self) -> [usize; 3] {
        let of = |verb| self.objects().iter().filter(|object| object.diff.verb == verb).count();
        [of(Verb::Added), of(Verb::Changed), of(Verb::Removed)]
    }

    /// The digest a person consents to.
    pub fn digest(&self) -> Option<&ChangeDigest> {
        match &self.change {
            RowChange::Change { digest, .. } => digest.as_ref(),
            RowChange::Same | RowChange::Failed { .. } => None,
        }
    }

    /// Whether it could not be rendered.
    pub fn is_failed(&self) -> bool {
        matches!(self.change, RowChange::Failed { .. })
    }
}

impl Page {
    /// As it was shown once, without what was said of the cluster then.
    pub fn shown_before(mut self) -> Self {
        self.environments.iter_mut().for_each(|row| row.standing = None);
        self
    }

    /// Whether another one like it takes so long that people would read this one meanwhile.
    pub fn takes_long(&self) -> bool {
        let rendered = self.environments.iter().filter_map(|row| row.rendering.as_ref()?.milliseconds);
        self.environments.len() >= MANY || rendered.sum::<u64>() >= LONG
    }

    /// How many objects change in all environments.
    pub fn objects(&self) -> usize {
        self.environments.iter().map(|row| row.objects().len()).sum()
    }

    /// Whether anything differs, rules included.
    pub fn has_changes(&self) -> bool {
        self.environments.iter().any(|row| match &row.change {
            RowChange::Change { rules, objects, .. } => !rules.is_empty() || !objects.is_empty(),
            RowChange::Same | RowChange::Failed { .. } => false,
        })
    }

    /// Whether something could not be computed.
    pub fn has_errors(&self) -> bool {
        match self.outcome {
            Outcome::Conflict { .. } | Outcome::RulesInvalid { .. } | Outcome::Failed { .. } => true,
            Outcome::Compared | Outcome::Untouched => self.environments.iter().any(EnvironmentRow::is_failed),
        }
    }
}
