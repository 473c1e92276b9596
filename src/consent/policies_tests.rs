//! What opinions of policies do to a branch.

use std::collections::{BTreeMap, BTreeSet};

use super::cast::{account, approval, commit, people, place, production, repository, rule, rules, set, target};
use super::*;
use crate::ids::ObjectHash;
use crate::policy::code::{Effect, Finding, Opinion, Source};
use crate::policy::rules::{Environment, Floor, Policy};

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
        was_here: BTreeSet::new(),
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
    let merged = Merged { place: place(), head: commit('a'), offers: vec![offer], approvals, given_back: None };
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

/// Rules with a policy `p` of this effect and text.
fn policed(effect: Effect, cel: &str) -> Environment {
    let policy = Policy { effect, message: None, approvals: vec![], source: Source::Cel(cel.to_owned()) };
    let mut rules = rules(vec![]);
    rules.policies = BTreeMap::from([("p".to_owned(), policy)]);
    rules
}

fn standing(rules: InForce<'_>) -> Vec<StandingPolicy> {
    policies_in_force(Law { rules, floors: &[], grant_owners: None })
}

/// What is mended when all of them are broken.
fn mended(standing: &[StandingPolicy], after: &Environment) -> Vec<String> {
    let opinions = standing.iter().map(|one| (one.question.name.clone(), Opinion::broken("no"))).collect();
    Said::of(standing, opinions, after).mended.into_iter().collect()
}

#[test]
fn a_neighbours_policy_that_cannot_be_asked_is_mended_by_no_first_set() {
    let (own, neighbour) = (rules(vec![]), policed(Effect::Deny, "object.a"));
    let of_neighbours = standing(InForce::First { own: &own, neighbours: std::slice::from_ref(&neighbour) });
    assert_eq!(of_neighbours.len(), 1);
    assert_eq!(mended(&of_neighbours, &own), [""; 0]);
    let own_ones = standing(InForce::OfSet(&neighbour));
    assert_eq!(mended(&own_ones, &own), ["p"]);
    assert_eq!(mended(&own_ones, &neighbour), [""; 0]);
    let mut reworded = neighbour.clone();
    reworded.policies.values_mut().for_each(|policy| policy.message = Some("other words".to_owned()));
    assert_eq!(mended(&own_ones, &reworded), [""; 0], "other words mend nothing");
    assert_eq!(mended(&own_ones, &policed(Effect::Warn, "object.a")), ["p"]);
}

#[test]
fn neighbours_of_one_name_are_each_asked() {
    let neighbours = [policed(Effect::Deny, "object.a"), policed(Effect::Deny, "object.b")];
    let all = standing(InForce::First { own: &rules(vec![]), neighbours: &neighbours });
    let names: Vec<&str> = all.iter().map(|one| one.question.name.as_str()).collect();
    assert_eq!(names, ["production:p", "production#2:p"]);
}

#[test]
fn a_denial_closes_whatever_else_failed() {
    let says = |effect: Effect| {
        let opinion = Opinion { broken: Some("no".to_owned()), ..finds(&[effect]) };
        let opinions = BTreeMap::from([("p".to_owned(), opinion)]);
        Some(Said { opinions, mended: BTreeSet::from(["p".to_owned()]) })
    };
    let replaced = || (set(1, &[("a", 1)]), set(2, &[("a", 1)]));
    insta::assert_snapshot!(becomes(Effect::Deny, says(Effect::Deny), replaced(), &["ada"]), @"production is closed: policy `p` denies it");
    assert_ne!(
        becomes(Effect::Review, says(Effect::Review), replaced(), &["ada"]),
        "covered",
        "the review is asked too"
    );
    assert_eq!(becomes(Effect::Review, says(Effect::Review), replaced(), &["ada", "lee"]), "covered");
}

#[test]
fn a_walk_asks_about_one_step_at_a_time_and_about_none_that_nobody_approved() {
    let mut court = court(Effect::Deny);
    let sets: Vec<HashedSet> = (1..=4).map(|value| set(1, &[("a", value)])).collect();
    let position = Position { commit: commit('0'), set: sets[0].clone() };
    let steps: Vec<Step> = sets.windows(2).map(|pair| merged(&pair[0], &pair[1], &[])).collect();
    let mut rounds = Vec::new();
    loop {
        let walk = walk(&court, Some(&position), &steps, None);
        rounds.push(walk.unasked.len());
        if walk.unasked.is_empty() {
            assert_eq!(walk.covered.len(), 3);
            break;
        }
        for (old, new) in walk.unasked {
            let opinions = BTreeMap::from([("p".to_owned(), finds(&[]))]);
            court.said.insert((Some(old.digest()), new.digest()), Said { opinions, mended: BTreeSet::new() });
        }
    }
    assert_eq!(rounds, [1, 1, 1, 0]);

    // Rules that are not met need no policy; what it is held for is shown with what they say.
    court.said.clear();
    court.entries.values_mut().for_each(|rules| rules.consent.approvals = vec![rule(1, "sre")]);
    let asked = walk(&court, Some(&position), &steps, None).unasked;
    assert_eq!(asked, [(sets[0].clone(), sets[3].clone())]);
}

#[test]
fn the_platforms_policies_are_asked_beside_the_files_under_names_no_file_can_give() {
    let own = policed(Effect::Warn, "object.a");
    let of_floor = policed(Effect::Deny, "object.b").policies;
    let floors = [("prod".to_owned(), Floor { policies: of_floor, ..Floor::default() })];
    let law = |rules| Law { rules, floors: &floors, grant_owners: None };
    let all = policies_in_force(law(InForce::OfSet(&own)));
    let told: Vec<_> =
        all.iter().map(|one| (one.question.name.as_str(), one.question.effect, one.replaceable)).collect();
    assert_eq!(told, [("prod/p", Effect::Deny, false), ("p", Effect::Warn, true)]);
    assert!("prod/p".parse::<crate::ids::EnvironmentName>().is_err(), "what a file may call a policy");
    // Where the file has none, and where its rules ask for nobody, they are asked all the same.
    let nobody = rules(vec![]);
    assert_eq!(policies_in_force(law(InForce::OfSet(&nobody))).len(), 1);
    assert_eq!(mended(&policies_in_force(law(InForce::OfSet(&own))), &nobody), ["p"], "no step mends the platform's");
}

#[test]
fn whom_the_platforms_policy_asks_no_owner_passes_over() {
    let policy = |group: &str| {
        let approvals = vec![rule(1, group)];
        let source = Source::Cel("object.a".to_owned());
        BTreeMap::from([("p".to_owned(), Policy { effect: Effect::Review, message: None, approvals, source })])
    };
    let (old, new) = step();
    let change = Change::between(Some(&old), &new);
    let (owners, files, here) = (rule(1, "leads"), BTreeSet::new(), place());
    // Ada is the grant's owner, and says why.
    let mut given = approval("ada", &change);
    given.approval.reason = Some("it burns".to_owned());
    let judged = |own: &Environment, floors: &[(String, Floor)], name: &str, by: &[Recorded]| {
        let opinions = BTreeMap::from([(name.to_owned(), finds(&[Effect::Review]))]);
        let said = Said { opinions, mended: BTreeSet::new() };
        let case = Case {
            subject: Subject {
                change: &change,
                files: &files,
                size: Size::default(),
                stands: 0,
                said: Some(&said),
                becomes: Becomes::New,
            },
            digest: change.digest(&repository(), &production()),
            from_set: None,
            place: Some(&here),
            head: None,
            passage: Passage::RulesOrOwners,
            contributors: &Contributors::default(),
            approvals: by,
        };
        judge(case, Law { rules: InForce::OfSet(own), floors, grant_owners: Some(&owners) }, &people())
    };
    let floors = [("prod".to_owned(), Floor { policies: policy("sre"), ..Floor::default() })];
    let by_owner = std::slice::from_ref(&given);
    let own = Environment { policies: policy("sre"), ..rules(vec![]) };
    assert!(judged(&own, &[], "p", by_owner).met(), "the file's own policy is passed by the exception");
    // Also where the environment's rule is the same, into which the policy's is folded.
    for rules in [rules(vec![]), rules(vec![rule(1, "sre")])] {
        let verdict = judged(&rules, &floors, "prod/p", by_owner);
        assert_eq!((verdict.met(), verdict.rules.len()), (false, 1));
        assert_eq!(verdict.rules[0].required.origin, Origin::FloorPolicy("prod/p".to_owned()));
        assert!(judged(&rules, &floors, "prod/p", &[given.clone(), approval("lee", &change)]).met());
    }
}
