//! The ways a change can pass: by its rules, and past them.

use crate::ids::ChangeDigest;

/// The ways a change can pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// A pull request's change: by its rules.
    Rules,
    /// A held change: by its rules, or by the grant's owners with a reason. Floors are asked either way.
    RulesOrOwners,
    /// The revert pull request of a rollback, which has consented to this very change (rule 15): what binds is asked all the
    /// same, and of a change of the environment's own rules everything.
    GivenBack,
}

impl Passage {
    /// A pull request's: to `given_back` its rollback has consented.
    pub fn of_pull(change: &ChangeDigest, given_back: Option<&ChangeDigest>) -> Self {
        if given_back == Some(change) { Self::GivenBack } else { Self::Rules }
    }
}
