//! What opinions of policies do to a branch.

use std::collections::{BTreeMap, BTreeSet};

use super::cast::{account, approval, commit, people, place, production, repository, rule, rules, set, target};
use super::*;
use crate::ids::ObjectHash;
use crate::policy::code::{Effect, Finding, Opinion, Source};
use crate::policy::rules::Policy;

/// Entry 1 asks nobody and has a policy of this effect, entry 2 has another instead.
fn court(effect: Effect) -> Court {
    let policed = |cel: &str| {
        let approvals = if effect == Effect::Review { vec![rule(1, "sre")] } else { vec![] };
        let policy = Policy { effect, message: None, approvals, source: Source::Cel(cel.to_owned()) };
        let mut rules = rules(vec![]);
        rules.policies = BTreeMap::from([("p".to_owned(), policy)]);
        rules
    };
    let entries = [(1, policed("object.a")), (2, policed("object.b"))];
    Court {
        repository: repository(),
        environment: production(),
        target: target(),
        entries: entries.map(|(entry, rules)| (ObjectHash([entry; 32]), rules)).into_iter().collect(),
        neighbours: vec![],
        floors: vec![],
        grant_owners: None,
        people: people(),
        said: BTreeMap::new(),
    }
}

fn finds(effects: &[Effect]) -> Opinion {
    let found = |effect: &Effect| Finding { effect: *effect, object: None, message: "x".to_owned() };
    Opinion { found: effects.iter().map(found).collect(), ..Opinion::default() }
}

/// A pull request of ann's from `old` to `new`, approved by these.
fn merged(old: &HashedSet, new: &HashedSet, by: &[&str]) -> Step {
    let change = Change::between(Some(old), new);
    let contributors = Contributors::of_pull((account("ann"), Contributed::Opened), "#17", &[], &[]);
    let made = Made { contributors, ..Made::default() };
    let mut approvals: Vec<Recorded> = by.iter().map(|who| approval(who, &change)).collect();
    approvals.iter_mut().for_each(|one| one.approval.old_set = Some(old.digest()));
    let offer = Offer { change, old_set: Some(old.digest()), made: made.clone() };
    let merged = Merged { place: place(), head: commit('a'), offers: vec![offer], approvals };
    Step { commit: commit('1'), set: Some(new.clone()), made, merged: Some(merged) }
}

/// What becomes of the step when the policy says this of it: `covered`, or why not.
fn becomes(effect: Effect, says: Option<Said>, (old, new): (HashedSet, HashedSet), by: &[&str]) -> String {
    let mut court = court(effect);
    if let Some(said) = says {
        court.said.insert((Some(old.digest()), new.digest()), said);
    }
    let position = Position { commit: commit('0'), set: old.clone() };
    let walk = walk(&court, Some(&position), &[merged(&old, &new, by)], None);
    if !walk.unasked.is_empty() {
        assert_eq!(walk.unasked, [(old, new)], "asked once");
        return "asks first".to_owned();
    }
    match walk.held {
        None => "covered".to_owned(),
        Some(held) => explain(&production(), &held.verdict, &court.people, None),
    }
}

fn step() -> (HashedSet, HashedSet) {
    (set(1, &[("a", 1)]), set(1, &[("a", 2)]))
}

#[test]
fn a_step_waits_for_the_opinion_of_its_policies() {
    let says = |opinion: Opinion| {
        Some(Said { opinions: BTreeMap::from([("p".to_owned(), opinion)]), mended: BTreeSet::new() })
    };
    let denied = |says, by: &[&str]| becomes(Effect::Deny, says, step(), by);
    assert_eq!(denied(None, &["lee"]), "asks first");
    assert_eq!(denied(says(finds(&[])), &[]), "covered");
    assert_eq!(denied(says(finds(&[Effect::Warn])), &[]), "covered");
    insta::assert_snapshot!(denied(says(finds(&[Effect::Deny])), &["lee", "ada"]), @"production is closed: policy `p` denies it");
    insta::assert_snapshot!(denied(says(Opinion::broken("p.rego:1:1: no")), &["lee"]), @"production is closed: policy `p` cannot be asked: p.rego:1:1: no");
    insta::assert_snapshot!(denied(Some(Said::default()), &["lee"]), @"production is closed: policy `p` was not asked");
    let reviewed = |by: &[&str]| becomes(Effect::Review, says(finds(&[Effect::Review])), step(), by);
    insta::assert_snapshot!(reviewed(&["ada"]), @"production needs 1 more of: @gone, @kim, @kim-home, @lee, @robot (group sre) (policy p)");
    assert_eq!(reviewed(&["lee"]), "covered");
}

#[test]
fn a_policy_that_cannot_be_asked_is_mended_by_whom_the_file_belongs_to() {
    let replaced = || (set(1, &[("a", 1)]), set(2, &[("a", 1)]));
    let mended = |is_mended: bool, by: &[&str]| {
        let opinions = BTreeMap::from([("p".to_owned(), Opinion::broken("no"))]);
        let mended = is_mended.then(|| "p".to_owned()).into_iter().collect();
        becomes(Effect::Deny, Some(Said { opinions, mended }), replaced(), by)
    };
    insta::assert_snapshot!(mended(false, &["ada"]), @"production is closed: policy `p` cannot be asked: no");
    assert_ne!(mended(true, &["lee"]), "covered");
    assert_eq!(mended(true, &["ada"]), "covered");
}
