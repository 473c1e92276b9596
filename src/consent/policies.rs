//! Which policies judge a change, and what their opinions ask for (rules 8 and 9).

use std::collections::{BTreeMap, BTreeSet};

use super::required::{InForce, Law};
use crate::policy::code::{Effect, Opinion, Question};
use crate::policy::rules::{ApprovalRule, ApprovalSource, Environment, Policy};

/// A policy in force, with whoever it may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What is asked, under a name that says whose it is.
    pub question: Question,
    /// Who is asked where it asks for a review.
    pub approvals: Vec<ApprovalRule>,
    /// The ways that count for them.
    pub by: BTreeSet<ApprovalSource>,
}

/// What the policies in force say of one step from a set to another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// By the name of the question.
    pub opinions: BTreeMap<String, Opinion>,
    /// Policies that could not be asked and that this very step replaces: who owns the file is asked instead, or a policy
    /// that fails would keep everybody from mending it.
    pub mended: BTreeSet<String>,
}

/// The policies that judge a change: those in the entry of the set at hand, so that a policy changes only by the consent of
/// the one before it; of a first set its own, and its neighbours'.
pub fn policies_in_force(law: Law<'_>) -> Vec<Standing> {
    let standing = |name: String, policy: &Policy, whose: &Environment| Standing {
        question: policy.question(name),
        approvals: policy.approvals.clone(),
        by: whose.consent.by.clone(),
    };
    let (own, neighbours) = match law.rules {
        InForce::OfSet(own) => (own, &[][..]),
        InForce::First { own, neighbours } => (own, neighbours),
        InForce::Unreadable => return Vec::new(),
    };
    let mut all: Vec<Standing> =
        own.policies.iter().map(|(name, policy)| standing(name.clone(), policy, own)).collect();
    for neighbour in neighbours {
        // The same policy of the same file is asked once.
        let others = neighbour.policies.iter().filter(|(name, policy)| own.policies.get(*name) != Some(policy));
        all.extend(others.map(|(name, policy)| standing(format!("{}:{name}", neighbour.name), policy, neighbour)));
    }
    all
}

/// What one opinion asks for.
pub(super) enum Asks {
    /// Nothing.
    Nothing,
    /// Nothing passes, and why.
    Closed(String),
    /// The people the policy names.
    Review,
    /// Whoever owns the file: the step replaces a policy that cannot be asked.
    Owners,
}

/// Reads an opinion.
pub(super) fn asks(standing: &Standing, said: Option<&Said>) -> Asks {
    let name = &standing.question.name;
    let Some(said) = said else { return Asks::Closed("its policies were not asked".to_owned()) };
    let Some(opinion) = said.opinions.get(name) else { return Asks::Closed(format!("policy `{name}` was not asked")) };
    if let Some(why) = &opinion.broken {
        return match said.mended.contains(name) {
            true => Asks::Owners,
            false => Asks::Closed(format!("policy `{name}` cannot be asked: {why}")),
        };
    }
    let finds = |effect| opinion.found.iter().any(|finding| finding.effect == effect);
    if finds(Effect::Deny) {
        Asks::Closed(format!("policy `{name}` denies it"))
    } else if finds(Effect::Review) {
        Asks::Review
    } else {
        Asks::Nothing
    }
}
