/// A labelled point of a sync: between any two of them the worker may die, and the next one goes on from what the
/// database and the cluster say. The job announces each to its observer right after the effect it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The stored set, the inventory and the cluster have been read; nothing is written yet.
    Gathered,
    /// The audit log holds what is about to be done.
    IntentWritten,
    /// The environment's fence in the cluster names this run.
    FenceTaken,
    /// The inventory holds old and new objects together, before the first write to the cluster.
    InventoryGrown,
    /// Namespaces are applied.
    NamespacesApplied,
    /// Custom resource definitions are applied and Established.
    DefinitionsReady,
    /// The database knows that a hook is about to be run.
    HookBegun,
    /// The cluster has taken a hook's object, and the database does not know yet.
    HookSent,
    /// The database knows the uid of that object.
    HookRecorded,
    /// A hook has ended, and the database knows how.
    HookEnded,
    /// The cluster has taken one object, and the inventory does not know yet.
    ObjectSent,
    /// The inventory knows the uid and hash of that object.
    ObjectRecorded,
    /// All objects are applied, and the deployment says so.
    Applied,
    /// The cluster has taken one delete, and the inventory does not know yet.
    DeleteSent,
    /// The inventory has let go of an object that is confirmed gone.
    ObjectForgotten,
    /// The wait for health has ended, one way or the other.
    HealthJudged,
    /// The sync is over, and the database knows that its deployment has yet to be verified.
    VerifyBegun,
    /// What has to hold after it was asked, and the database does not know the answers.
    VerifyAsked,
    /// Outcome, audit entry, next jobs and the end of this job are one transaction, now committed.
    Recorded,
}

impl Step {
    /// All of them, in the order a sync meets them.
    pub const ALL: [Self; 19] = [
        Self::Gathered,
        Self::IntentWritten,
        Self::FenceTaken,
        Self::InventoryGrown,
        Self::NamespacesApplied,
        Self::DefinitionsReady,
        Self::HookBegun,
        Self::HookSent,
        Self::HookRecorded,
        Self::HookEnded,
        Self::ObjectSent,
        Self::ObjectRecorded,
        Self::Applied,
        Self::DeleteSent,
        Self::ObjectForgotten,
        Self::HealthJudged,
        Self::VerifyBegun,
        Self::VerifyAsked,
        Self::Recorded,
    ];

    /// The label in logs and on the command line of a test.
    pub fn label(self) -> &'static str {
        match self {
            Self::Gathered => "gathered",
            Self::IntentWritten => "intent-written",
            Self::FenceTaken => "fence-taken",
            Self::InventoryGrown => "inventory-grown",
            Self::NamespacesApplied => "namespaces-applied",
            Self::DefinitionsReady => "definitions-ready",
            Self::HookBegun => "hook-begun",
            Self::HookSent => "hook-sent",
            Self::HookRecorded => "hook-recorded",
            Self::HookEnded => "hook-ended",
            Self::ObjectSent => "object-sent",
            Self::ObjectRecorded => "object-recorded",
            Self::Applied => "applied",
            Self::DeleteSent => "delete-sent",
            Self::ObjectForgotten => "object-forgotten",
            Self::VerifyBegun => "verify-begun",
            Self::VerifyAsked => "verify-asked",
            Self::HealthJudged => "health-judged",
            Self::Recorded => "recorded",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_listed_once_and_in_order() {
        assert!(Step::ALL.is_sorted_by(|a, b| a < b));
        // `label` has no catch-all arm: a new step does not compile without a label, and this counts the labels.
        let labels: std::collections::BTreeSet<_> = Step::ALL.iter().map(|step| step.label()).collect();
        assert_eq!(labels.len(), Step::Recorded as usize + 1);
    }
}
