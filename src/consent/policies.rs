//! Which policies judge a change, and what their opinions ask for (rules 8 and 9).

use std::collections::{BTreeMap, BTreeSet};

use super::required::{InForce, Law};
use super::waiver::Denial;
use crate::policy::code::{Effect, Opinion, Question};
use crate::policy::rules::{ApprovalRule, ApprovalSource, Environment, Floor, Policy};

/// A policy in force, with whoever it may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What is asked, under a name that says whose it is.
    pub question: Question,
    /// Who is asked where it asks for a review, and who may waive what it denies.
    pub approvals: Vec<ApprovalRule>,
    /// The ways that count for them.
    pub by: BTreeSet<ApprovalSource>,
    /// Whether a step can mend it: a neighbour's is in another environment's entry, which no step of this one alters.
    pub replaceable: bool,
    /// Whether it is the platform's: whom it asks, no exception passes over.
    pub is_floors: bool,
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

impl Said {
    /// What they said, of which `after` are the environment's rules afterwards. A policy is mended by another text or
    /// effect; other words for the same question mend nothing.
    pub fn of(standing: &[Standing], opinions: BTreeMap<String, Opinion>, after: &Environment) -> Self {
        let is_mended = |one: &&Standing| {
            let Question { name, effect, source, .. } = &one.question;
            let kept = after.policies.get(name).is_some_and(|now| (&now.source, &now.effect) == (source, effect));
            one.replaceable && !kept && opinions.get(name).is_some_and(|said| said.broken.is_some())
        };
        let mended = standing.iter().filter(is_mended).map(|one| one.question.name.clone()).collect();
        Self { opinions, mended }
    }
}

/// The policies that judge a change: the floors', as they are now; and those in the entry of the set at hand, so that a
/// policy changes only by the consent of the one before it; of a first set its own, and its neighbours'.
pub fn policies_in_force(law: Law<'_>) -> Vec<Standing> {
    let (own, neighbours, replaceable) = match law.rules {
        InForce::OfSet(own) => (own, &[][..], true),
        // There is nothing before a first set that it could replace.
        InForce::First { own, neighbours } => (own, neighbours, false),
        InForce::Unreadable => return Vec::new(),
    };
    let standing = |name: String, policy: &Policy, whose: &Environment| Standing {
        question: policy.question(name),
        approvals: policy.approvals.clone(),
        by: whose.consent.by.clone(),
        replaceable,
        is_floors: false,
    };
    let mut all: Vec<Standing> = Vec::new();
    for (floor, Floor { policies, .. }) in law.floors {
        // No name of a file's policy has a slash, so that none takes the place of the platform's; and no step of a
        // repository mends one.
        let of_floor = policies.iter().map(|(name, policy)| standing(format!("{floor}/{name}"), policy, own));
        all.extend(of_floor.map(|one| Standing { replaceable: false, is_floors: true, ..one }));
    }
    all.extend(own.policies.iter().map(|(name, policy)| standing(name.clone(), policy, own)));
    let mut names: BTreeSet<String> = BTreeSet::new();
    for neighbour in neighbours {
        // The same policy of the same file is asked once.
        let others = neighbour.policies.iter().filter(|(name, policy)| own.policies.get(*name) != Some(policy));
        for (name, policy) in others {
            // Neighbours may be of other repositories and have one name: each is asked, under its own.
            let mut full = format!("{}:{name}", neighbour.name);
            let mut number = 1_u32;
            while !names.insert(full.clone()) {
                number += 1;
                full = format!("{}#{number}:{name}", neighbour.name);
            }
            all.push(standing(full, policy, neighbour));
        }
    }
    all
}

/// What one opinion asks for.
pub(super) enum Asks {
    /// Nothing.
    Nothing,
    /// Nothing passes, and why.
    Closed(String),
    /// Nothing passes, unless those the policy names waive it.
    Denied(Denial),
    /// People.
    People {
        /// Those the policy names.
        review: bool,
        /// Whoever owns the file: the step replaces a policy that cannot be asked.
        owners: bool,
    },
}

/// Reads an opinion.
pub(super) fn asks(standing: &Standing, said: Option<&Said>) -> Asks {
    let name = &standing.question.name;
    let Some(said) = said else { return Asks::Closed("its policies were not asked".to_owned()) };
    let Some(opinion) = said.opinions.get(name) else { return Asks::Closed(format!("policy `{name}` was not asked")) };
    let finds = |effect| opinion.found.iter().any(|finding| finding.effect == effect);
    // First, because a policy that fails at one object still denies another.
    if finds(Effect::Deny) {
        let denial = Denial::of(standing, opinion);
        return denial.map_or_else(|| Asks::Closed(format!("policy `{name}` denies it")), Asks::Denied);
    }
    match (&opinion.broken, finds(Effect::Review)) {
        (Some(why), _) if !said.mended.contains(name) => {
            Asks::Closed(format!("policy `{name}` cannot be asked: {why}"))
        }
        (None, false) => Asks::Nothing,
        (broken, review) => Asks::People { review, owners: broken.is_some() },
    }
}
