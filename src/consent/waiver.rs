//! Waivers: what a policy denies may pass by whom the policy names, for one change. A waiver is given, bound, voided and
//! used up as an approval is, and counts for nothing but the denial that it names.

use serde::{Deserialize, Serialize};

use super::encode::Writer;
use super::policies::Standing;
use crate::ids::{Account, ChangeDigest, DenialDigest, EnvironmentName, OpinionDigest, PolicyDigest, SetKey};
use crate::policy::code::{Effect, Finding, Opinion};

/// What a policy denies, as far as it can be waived: by its text and by everything it found. With another text or another
/// finding it is another denial, and what was given for this one counts no more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Denial {
    /// The policy, under the name it is asked by.
    pub policy: String,
    /// What it asks.
    pub text: PolicyDigest,
    /// What it denies.
    pub said: OpinionDigest,
}

impl Denial {
    /// What a policy denies, where it can be waived: somebody is named who may, it could be asked to the end, and all that it
    /// found is known. Nobody can answer for what nobody could read.
    pub(super) fn of(standing: &Standing, opinion: &Opinion) -> Option<Self> {
        let mut found: Vec<&Finding> = opinion.found.iter().filter(|one| one.effect == Effect::Deny).collect();
        let is_whole = opinion.broken.is_none() && opinion.more == 0;
        if found.is_empty() || standing.approvals.is_empty() || !is_whole {
            return None;
        }
        found.sort_unstable();
        let mut said = Writer::new("bascule opinion 1");
        said.count(found.len());
        for one in found {
            said.option(one.object.clone(), |said, object| said.key(&SetKey::Object(object)));
            said.text(&one.message);
        }
        let question = &standing.question;
        // Texts by name of file, in order: two policies have the same one when they ask the same.
        let asked = serde_json::to_string(question).expect("a question is words");
        let mut text = Writer::new("bascule policy 1");
        text.text(&asked);
        Some(Self {
            policy: question.name.clone(),
            text: PolicyDigest(text.finish()),
            said: OpinionDigest(said.finish()),
        })
    }

    /// Its digest in one change, as the comment prints it.
    pub fn digest(&self, change: &ChangeDigest) -> DenialDigest {
        let mut writer = Writer::new("bascule denial 1");
        for text in [change.to_string(), self.policy.clone(), self.text.to_string(), self.said.to_string()] {
            writer.text(&text);
        }
        DenialDigest(writer.finish())
    }

    /// The line to type for it: what the comment prints.
    pub fn line_to_type(&self, environment: &EnvironmentName, change: &ChangeDigest) -> String {
        format!("/bascule waive {} {environment} {} --reason …", self.policy, self.digest(change).short())
    }
}

/// A waiver that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// Of what.
    pub denial: Denial,
    /// Whose.
    pub person: Account,
    /// Why, in their words.
    pub reason: String,
}

#[cfg(test)]
#[path = "waiver_tests.rs"]
mod tests;
