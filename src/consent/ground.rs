//! Why a walk went on: what moved the running set at each commit, and which approvals that uses up.

use std::collections::BTreeSet;

use super::approval::ApprovalKey;
use super::judge::Verdict;
use crate::ids::{ChangeDigest, CommitId};

/// Why the running set moved on, at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// At which commit.
    pub commit: CommitId,
    /// Why.
    pub why: Why,
    /// Merged pull requests whose last commit this is: carried, whether or not anybody had to be asked.
    pub pull: Option<i64>,
    /// Approvals that are used up by a sync to this commit or a later one: those that counted, and what else stands of
    /// the same pull request or held change, since its content is deployed with it.
    pub spends: BTreeSet<ApprovalKey>,
}

impl Ground {
    /// Why an approval that is used up did not count; `None`: it did.
    pub fn why_not(&self, key: &ApprovalKey) -> Option<String> {
        let verdict = match &self.why {
            Why::Pull(_, verdict) | Why::Held(_, verdict) => verdict,
            Why::NothingAsked => return Some("nobody had to be asked".to_owned()),
            Why::Nothing => return Some("its change is not what was synced".to_owned()),
        };
        if verdict.counted.contains(key) {
            return None;
        }
        let told = verdict.not_counted.iter().find(|one| one.key == *key);
        Some(told.map_or_else(|| "nobody had to be asked".to_owned(), |one| one.why.to_string()))
    }
}

/// The ways of the running set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The rules asked nobody.
    NothingAsked,
    /// The approved change of a merged pull request.
    Pull(ChangeDigest, Verdict),
    /// An approved held change, or one that an emergency let pass.
    Held(ChangeDigest, Verdict),
    /// Nothing moved; a pull request was merged all the same.
    Nothing,
}
