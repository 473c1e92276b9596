//! The rules of one environment, parsed and with defaults filled in: what consent is judged by.
//!
//! These are the shapes both files agree on. `repository.rs` reads them from `.bascule.yaml`, the server's
//! configuration fills [`Grant`], [`Floor`] and [`Group`], and `consent/` judges by them. Serialised as canonical JSON
//! they are the environment's *entry* in its rendered set, so a field added here must not be written when it has its
//! default, or every environment in the world gets a new set.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::chart::Chart;
use super::code::health::Rule as HealthRule;
use super::code::{Effect, Question, Source};
use super::codeowners::OwnerFile;
use super::ignore::Ignore;
pub use super::on_drift::OnDrift;
pub use super::platform::{Floor, Grant, Group, Platform};
pub use super::verify::Verify;
use super::windows::Window;
use crate::ids::{EnvironmentName, Target};

/// Who may give one kind of consent. Within one `Voters` any listed membership suffices.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Voters {
    /// Logins on the repository's forge.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub users: BTreeSet<String>,
    /// Teams of the repository's forge, `org/team`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub teams: BTreeSet<String>,
    /// Groups of the server's file.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// Rights on the repository; a higher one includes the lower.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<Role>,
    /// Whoever has one of these addresses on the repository's forge; an owner file alone names people so.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub emails: BTreeSet<String>,
    /// The owners of each changed file, and nobody else: it stands by itself.
    #[serde(skip_serializing_if = "is_false")]
    pub codeowners: bool,
}

/// A flag that says nothing, and is not written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A right on a repository, in the order of inclusion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May read.
    Read,
    /// May push.
    Write,
    /// May change settings.
    Admin,
}

/// When a rule applies. Both given: either suffices.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// Globs over changed files of the repository that the render reads.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub paths: BTreeSet<String>,
    /// `Kind`, `group/Kind` or `group/*` of changed objects.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub kinds: BTreeSet<String>,
}

/// One rule: so many distinct people of these.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ApprovalRule {
    /// How many people; at least 1.
    pub count: u32,
    /// Which people.
    #[serde(flatten)]
    pub voters: Voters,
    /// For which changes; `None` is every change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
}

/// How an approval may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalSource {
    /// An approving review on the forge.
    Review,
    /// `/bascule approve`.
    Command,
}

/// What a push to the pull request does to approvals already given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnPush {
    /// They stand while the change digest is the same.
    #[default]
    Keep,
    /// Any push voids them.
    Void,
}

/// What an approved change has to fit at merge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Binds {
    /// Each changed object's old hash.
    #[default]
    Change,
    /// The whole set.
    Set,
}

/// The consent an environment asks for. `consent: none` is no rules at all; an omitted key is
/// [`Consent::one_writer`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Consent {
    /// All that apply must be met.
    pub approvals: Vec<ApprovalRule>,
    /// Ways that count.
    pub by: BTreeSet<ApprovalSource>,
    /// What a push does.
    pub on_push: OnPush,
    /// What is bound.
    pub binds: Binds,
    /// Commit statuses and checks that must be green on the commit that is synced. They are asked of nobody: they delay a
    /// sync to what was consented to, and consent to nothing.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub checks: BTreeSet<String>,
    /// What is enough, in place of `approvals`, where the new set was deployed here before and was healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverts: Option<ApprovalRule>,
}

impl Consent {
    /// The default: one person with write access (who, as always, is not a contributor).
    pub fn one_writer() -> Self {
        let voters = Voters { roles: BTreeSet::from([Role::Write]), ..Voters::default() };
        Self { approvals: vec![ApprovalRule { count: 1, voters, when: None }], ..Self::none() }
    }

    /// Nothing is asked.
    pub fn none() -> Self {
        Self {
            approvals: Vec::new(),
            by: BTreeSet::from([ApprovalSource::Review, ApprovalSource::Command]),
            on_push: OnPush::Keep,
            binds: Binds::Change,
            checks: BTreeSet::new(),
            reverts: None,
        }
    }

    /// Whether nothing is asked.
    pub fn is_none(&self) -> bool {
        self.approvals.is_empty()
    }

    /// Whether a rule asks for the owners of files.
    pub fn asks_owners_of_files(&self) -> bool {
        self.approvals.iter().any(|rule| rule.voters.codeowners)
    }
}

/// Who may give a command, where it is not whoever may push.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct May {
    /// `sync ENV`, which asks for a sync and opens no gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<Voters>,
    /// `freeze ENV` and `unfreeze ENV`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freeze: Option<Voters>,
    /// `emergency ENV`, by two of them. Nobody, where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emergency: Option<Voters>,
    /// `rollback ENV` and `resume ENV`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Voters>,
}

impl May {
    fn says_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// How a sync starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncMode {
    /// As soon as the gate opens.
    #[default]
    Auto,
    /// When someone says `sync ENV`.
    Manual,
    /// Never: previews and consent only.
    None,
}

/// How an environment is synced.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SyncRules {
    /// What starts it.
    pub mode: SyncMode,
    /// Whether objects of ours that left the set are deleted.
    pub prune: bool,
    /// How long to wait until healthy, in seconds.
    pub timeout_seconds: u64,
}

/// What follows a sync that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It is held where it is.
    #[default]
    Hold,
    /// It goes back to the last healthy content, once, and is pinned there.
    Rollback,
}

impl OnFailure {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a preview has to know of the API server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// What can be asked is; what cannot be is said.
    #[default]
    BestEffort,
    /// Without an answer about each added and changed object `bascule/preview` is not good.
    Required,
}

impl Admission {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// `after:` one environment of the same branch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct After {
    /// Which environment must have been healthy with the objects it has at the commit.
    pub environment: EnvironmentName,
    /// For how long, without another deployment of it in between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak_seconds: Option<u64>,
}

/// The `helm:` block.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Helm {
    /// Release name; the environment's name when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Values files, from `path`; a leading `/` is the repository's root.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// One environment, its block of `.bascule.yaml` with defaults and patterns filled in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Environment {
    /// Its name, after a pattern's captures.
    pub name: EnvironmentName,
    /// The label of its row and of the forge's deployment environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Folder of the repository, without leading or trailing slash; empty is the root.
    pub path: String,
    /// The chart it is rendered from, where that is not in the repository; `path` is then where it lies while it is rendered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart: Option<Chart>,
    /// How `path` is rendered when it is a chart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helm: Option<Helm>,
    /// Cluster and namespace.
    pub target: Target,
    /// The branch it follows; `None` is the default branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// What must be healthy first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<After>,
    /// When something new may be synced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    /// Who must consent.
    pub consent: Consent,
    /// More deletions than this need approvals that carry their exact number; `None`: more than three, and than a tenth of
    /// what is deployed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletions_confirm_above: Option<u32>,
    /// How it is synced.
    pub sync: SyncRules,
    /// Whether the API server has to have answered before the merge.
    #[serde(default, skip_serializing_if = "Admission::is_default")]
    pub admission: Admission,
    /// What is done when the cluster is not as it was left.
    #[serde(default, skip_serializing_if = "OnDrift::is_default")]
    pub drift: OnDrift,
    /// Whether it is told in an issue.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drift_issue: bool,
    /// What follows a sync that failed.
    #[serde(default, skip_serializing_if = "OnFailure::is_default")]
    pub on_failure: OnFailure,
    /// What has to hold after a sync before the environment counts as healthy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verify: Vec<Verify>,
    /// Where it is written what to do: a file of the repository, or an address. Named with every failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// `owners:` of the file: consent to changes of this environment's entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owners: Option<ApprovalRule>,
    /// `limits:` of the file. Part of the entry, so that raising them takes the consent that they ask for.
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
    /// Who may give which command.
    #[serde(default, skip_serializing_if = "May::says_nothing")]
    pub may: May,
    /// Who owns which files, where a rule asks for them: of the default branch, as the block is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_file: Option<OwnerFile>,
    /// Policies of the file by name, each with its text: of the default branch, as the block is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub policies: BTreeMap<String, Policy>,
    /// When objects of kinds of somebody's own are well, by the rule's name. Part of the entry: who is told that a change is
    /// well is told so by these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub health: BTreeMap<String, HealthRule>,
    /// Fields whose changes are not shown, by the rule's name. Part of the entry, since approvers read what is shown.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ignore: BTreeMap<String, Ignore>,
}

/// A policy of one of the files: a question about objects and changes, and what becomes of what it finds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Policy {
    /// What its findings do.
    pub effect: Effect,
    /// What is said of a finding where the policy does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who is asked for a review, and who may waive a denial.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<ApprovalRule>,
    /// What it says.
    #[serde(flatten)]
    pub source: Source,
}

impl Policy {
    /// What is asked, under a name that says whose it is.
    pub fn question(&self, name: String) -> Question {
        Question { name, effect: self.effect, message: self.message.clone(), source: self.source.clone() }
    }
}

/// Sizes of one pull request above which an owner must consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// Changed files.
    pub files: u64,
    /// Changed lines.
    pub lines: u64,
    /// Changed objects over all environments.
    pub objects: u64,
}

impl Default for Limits {
    /// When the file does not say.
    fn default() -> Self {
        Self { files: 300, lines: 5_000, objects: 500 }
    }
}

impl Limits {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
