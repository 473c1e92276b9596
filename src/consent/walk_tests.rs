//! Stories of a branch: what is covered, and what an environment is held for.

use std::collections::{BTreeMap, BTreeSet};

use super::cast::{account, approval, commit, people, place, production, repository, rule, rules, set, target};
use super::*;
use crate::ids::ObjectHash;
use crate::policy::rules::{Binds, Environment, Floor, OnPush};

/// Entry 1 asks one of sre, entry 2 nobody, entry 3 one of sre for whole sets, entry 4 one of sre anew at any push.
/// Entry 9 is not readable.
fn court() -> Court {
    let one = || rules(vec![rule(1, "sre")]);
    let mut whole = one();
    whole.consent.binds = Binds::Set;
    let mut anew = one();
    anew.consent.on_push = OnPush::Void;
    let entries = [(1, one()), (2, rules(vec![])), (3, whole), (4, anew)];
    Court {
        repository: repository(),
        environment: production(),
        target: target(),
        entries: entries.map(|(entry, rules)| (ObjectHash([entry; 32]), rules)).into_iter().collect(),
        neighbours: vec![],
        floors: vec![],
        grant_owners: Some(rule(1, "leads")),
        people: people(),
        said: BTreeMap::new(),
        was_here: BTreeSet::new(),
    }
}

fn position(set: HashedSet) -> Option<Position> {
    Some(Position { commit: commit('0'), set })
}

fn pushed(name: char, by: Option<&str>, set: Option<HashedSet>) -> Step {
    let push = Push { pusher: by.map(account), brings: Brings::Work };
    let contributors = Contributors::of_pushes(&name.to_string(), &[push], &[]);
    Step { commit: commit(name), set, made: Made { contributors, ..Made::default() }, merged: None }
}

/// A merged pull request of ann's that showed `old` → `new`, approved by these.
fn merged(name: char, old: Option<&HashedSet>, new: &HashedSet, by: &[&str], set: Option<HashedSet>) -> Step {
    let change = Change::between(old, new);
    let contributors = Contributors::of_pull((account("ann"), Contributed::Opened), "#17", &[], &[]);
    let made = Made { contributors, ..Made::default() };
    let mut approvals: Vec<Recorded> = by.iter().map(|who| approval(who, &change)).collect();
    approvals.iter_mut().for_each(|one| one.approval.old_set = old.map(HashedSet::digest));
    let offer = Offer { change, old_set: old.map(HashedSet::digest), made: made.clone() };
    let merged = Merged { place: place(), head: commit('a'), offers: vec![offer], approvals, given_back: None };
    Step { commit: commit(name), set, made, merged: Some(merged) }
}

fn hold(from: Option<char>, old: Option<&HashedSet>, to: char, new: &HashedSet, by: &[&str]) -> Hold {
    let change = Change::between(old, new);
    let mut approvals: Vec<Recorded> = by.iter().map(|who| approval(who, &change)).collect();
    approvals.iter_mut().for_each(|one| one.approval.old_set = old.map(HashedSet::digest));
    let (from, old_set, place) = (from.map(commit), old.map(HashedSet::digest), Some(place()));
    Hold { from, old_set, to: commit(to), change, behind: Made::default(), place, approvals }
}

/// The covered commits, and from where to where it is held.
fn told(walk: &Walk) -> String {
    let letter = |commit: &crate::ids::CommitId| commit.as_str()[..1].to_owned();
    let covered: String = walk.covered.iter().map(|covered| letter(&covered.commit)).collect();
    let held = walk
        .held
        .as_ref()
        .map(|held| format!(", held {}..{}", held.from.as_ref().map(letter).unwrap_or_default(), letter(&held.to)));
    let without: String = walk.without_set.iter().map(letter).collect();
    let without = if without.is_empty() { without } else { format!(", no set at {without}") };
    format!("covered {covered}{}{without}", held.unwrap_or_default())
}

#[test]
fn a_merge_is_covered_by_its_approved_change_whatever_kind_of_merge() {
    let (old, new, other) = (set(1, &[("a", 1)]), set(1, &[("a", 2)]), set(1, &[("a", 3)]));
    let from = position(old.clone());
    let walked = |step: Step| told(&walk(&court(), from.as_ref(), &[step], None));
    assert_eq!(walked(merged('1', Some(&old), &new, &["lee"], Some(new.clone()))), "covered 1");
    assert_eq!(
        walked(merged('1', Some(&old), &new, &["lee"], Some(other.clone()))),
        "covered , held 0..1",
        "another set came of it"
    );
    assert_eq!(
        walked(merged('1', Some(&old), &new, &[], Some(new.clone()))),
        "covered , held 0..1",
        "merged by an admin"
    );
    assert_eq!(
        walked(merged('1', Some(&old), &new, &["ann"], Some(new.clone()))),
        "covered , held 0..1",
        "by its author"
    );
    assert_eq!(
        walked(merged('1', Some(&other), &new, &["lee"], Some(new.clone()))),
        "covered , held 0..1",
        "it does not fit"
    );
}

#[test]
fn what_is_taken_back_before_it_was_synced_needs_nothing() {
    let (old, new) = (set(1, &[("a", 1)]), set(1, &[("a", 2)]));
    let steps = [pushed('1', Some("ann"), Some(new)), pushed('2', Some("ann"), Some(old.clone()))];
    assert_eq!(told(&walk(&court(), position(old.clone()).as_ref(), &steps[..1], None)), "covered , held 0..1");
    assert_eq!(told(&walk(&court(), position(old).as_ref(), &steps, None)), "covered 2");
}

#[test]
fn an_approved_change_waits_for_its_commit_beside_an_unapproved_one() {
    let old = set(1, &[("a", 1), ("b", 1)]);
    let (pushed_set, both) = (set(1, &[("a", 2), ("b", 1)]), set(1, &[("a", 2), ("b", 2)]));
    let (approved, reverted) = (set(1, &[("a", 1), ("b", 2)]), set(1, &[("a", 1), ("b", 2)]));
    let steps = [
        pushed('1', Some("ann"), Some(pushed_set)),
        merged('2', Some(&old), &approved, &["lee"], Some(both)),
        pushed('3', Some("ann"), Some(reverted)),
    ];
    let walk = walk(&court(), position(old).as_ref(), &steps, None);
    assert_eq!(told(&walk), "covered 3");
    let spends: usize = walk.grounds_of(&walk.covered[0]).iter().map(|ground| ground.spends.len()).sum();
    assert_eq!(spends, 1, "and uses the approval up");
}

#[test]
fn rules_that_ask_nobody_let_everything_pass_but_a_change_of_themselves() {
    let (old, new, strict) = (set(2, &[("a", 1)]), set(2, &[("a", 2)]), set(1, &[("a", 2)]));
    let steps = [pushed('1', Some("ann"), Some(new)), pushed('2', Some("ann"), Some(strict))];
    let walk = walk(&court(), position(old).as_ref(), &steps, None);
    assert_eq!(told(&walk), "covered 1, held 1..2");
}

#[test]
fn rules_loosened_in_the_same_change_are_judged_by_those_before_and_an_owner() {
    let (old, new) = (set(1, &[("a", 1)]), set(2, &[("a", 2)]));
    let from = position(old.clone());
    let walked = |by: &[&str]| {
        told(&walk(&court(), from.as_ref(), &[merged('1', Some(&old), &new, by, Some(new.clone()))], None))
    };
    assert_eq!(walked(&[]), "covered , held 0..1");
    assert_eq!(walked(&["lee"]), "covered , held 0..1");
    assert_eq!(walked(&["lee", "ada"]), "covered 1");
}

#[test]
fn rules_that_cannot_be_read_close() {
    let (old, new) = (set(9, &[("a", 1)]), set(9, &[("a", 2)]));
    let steps = [merged('1', Some(&old), &new, &["lee", "ada"], Some(new.clone()))];
    let walk = walk(&court(), position(old).as_ref(), &steps, None);
    assert_eq!(told(&walk), "covered , held 0..1");
    let said = explain(&production(), &walk.held.unwrap().verdict, &people(), None);
    insta::assert_snapshot!(said, @"production is closed: the rules in force cannot be read");
}

#[test]
fn a_commit_without_a_set_is_reached_over() {
    let (old, new) = (set(2, &[("a", 1)]), set(2, &[("a", 2)]));
    let steps = [pushed('1', Some("ann"), None), pushed('2', Some("ann"), Some(new)), pushed('3', Some("ann"), None)];
    assert_eq!(told(&walk(&court(), position(old).as_ref(), &steps, None)), "covered 2, no set at 3");
}

#[test]
fn a_held_change_stays_the_one_to_approve() {
    let (old, held, more) = (set(1, &[("a", 1)]), set(1, &[("a", 2)]), set(1, &[("a", 3)]));
    let steps = [pushed('1', Some("ann"), Some(held.clone())), pushed('2', Some("ann"), Some(more))];
    let from = position(old.clone());
    let walked = |steps: &[Step], hold: Option<&Hold>| told(&walk(&court(), from.as_ref(), steps, hold));
    let open = hold(Some('0'), Some(&old), '1', &held, &[]);
    assert_eq!(walked(&steps, Some(&open)), "covered , held 0..1", "when more commits arrive");
    assert_eq!(walked(&steps, None), "covered , held 0..2", "`preview` moves it on");
    assert_eq!(walked(&steps, Some(&hold(Some('0'), Some(&old), '1', &held, &["lee"]))), "covered 1, held 1..2");
    assert_eq!(
        walked(&steps, Some(&hold(Some('0'), Some(&old), '1', &held, &["ann"]))),
        "covered , held 0..1",
        "by who pushed"
    );
    let reverted = [pushed('1', Some("ann"), Some(held.clone())), pushed('2', Some("ann"), Some(old.clone()))];
    assert_eq!(walked(&reverted, Some(&open)), "covered 2", "nothing is left to ask");
    let elsewhere = hold(Some('2'), Some(&old), '1', &held, &["lee"]);
    assert_eq!(walked(&steps, Some(&elsewhere)), "covered , held 0..2", "it begins at what is not covered");
    let unknown = [pushed('1', None, Some(held.clone()))];
    let by = |people: &[&str]| walked(&unknown, Some(&hold(Some('0'), Some(&old), '1', &held, people)));
    assert_eq!(by(&["lee"]), "covered , held 0..1", "a push by nobody known asks for one more");
    assert_eq!(by(&["lee", "sam"]), "covered 1");
}

#[test]
fn the_grants_owners_may_let_a_held_change_pass_with_a_reason_and_not_below_a_floor() {
    let (old, new) = (set(1, &[("a", 1)]), set(1, &[("a", 2)]));
    let steps = [pushed('1', Some("ann"), Some(new.clone()))];
    let mut given = hold(Some('0'), Some(&old), '1', &new, &["ada"]);
    let from = position(old);
    let mut court = court();
    assert_eq!(told(&walk(&court, from.as_ref(), &steps, Some(&given))), "covered , held 0..1", "without a reason");
    given.approvals[0].approval.reason = Some("it burns".into());
    let walked = walk(&court, from.as_ref(), &steps, Some(&given));
    assert_eq!(told(&walked), "covered 1");
    let Why::Held(_, verdict) = &walked.grounds[0].why else { panic!("{:?}", walked.grounds) };
    insta::assert_snapshot!(explain(&production(), verdict, &people(), None), @"production passes by its grant's owners, an exception to be reviewed: it burns");
    court.floors = vec![("prod".into(), Floor { approvals: vec![rule(1, "sre")], ..Floor::default() })];
    assert_eq!(told(&walk(&court, from.as_ref(), &steps, Some(&given))), "covered , held 0..1", "a floor is a floor");
}

#[test]
fn a_first_set_is_judged_by_its_own_rules_its_neighbours_and_the_grants_owners() {
    let first = set(2, &[("a", 1)]);
    let steps = [pushed('1', Some("ann"), Some(first.clone()))];
    let mut court = court();
    let walked =
        |court: &Court, by: &[&str]| told(&walk(court, None, &steps, Some(&hold(None, None, '1', &first, by))));
    assert_eq!(told(&walk(&court, None, &steps, None)), "covered , held ..1");
    assert_eq!(walked(&court, &["ada"]), "covered 1");
    court.neighbours = vec![Environment { name: "old".parse().unwrap(), ..rules(vec![rule(1, "sre")]) }];
    assert_eq!(walked(&court, &["ada"]), "covered , held ..1");
    assert_eq!(walked(&court, &["ada", "lee"]), "covered 1");
}

#[test]
fn a_push_is_judged_by_the_rules_of_the_set_at_hand() {
    let (start, strict, both) = (set(1, &[("a", 1)]), set(4, &[("a", 1)]), set(4, &[("a", 2)]));
    let rules = merged('1', Some(&start), &strict, &["lee", "ada"], Some(strict.clone()));
    let walked = |head: char| {
        let mut step = merged('2', Some(&start), &set(1, &[("a", 2)]), &["lee"], Some(both.clone()));
        step.merged.as_mut().unwrap().head = commit(head);
        let steps = [rules.clone(), step];
        told(&walk(&court(), position(start.clone()).as_ref(), &steps, None))
    };
    assert_eq!(walked('a'), "covered 12");
    assert_eq!(walked('b'), "covered 1, held 1..2", "the rules merged before it void approvals at any push");
}

#[test]
fn where_whole_sets_are_bound_everything_else_has_to_be_as_it_was_shown() {
    let shown = set(3, &[("a", 1), ("b", 1)]);
    let now = set(3, &[("a", 1), ("b", 2)]);
    let (new, result) = (set(3, &[("a", 2), ("b", 1)]), set(3, &[("a", 2), ("b", 2)]));
    let step = || merged('1', Some(&shown), &new, &["lee"], Some(result.clone()));
    assert_eq!(told(&walk(&court(), position(now).as_ref(), &[step()], None)), "covered , held 0..1");
    let same = merged('1', Some(&shown), &new, &["lee"], Some(new.clone()));
    assert_eq!(told(&walk(&court(), position(shown).as_ref(), &[same], None)), "covered 1");
}

#[test]
fn a_rewritten_branch_needs_no_other_path() {
    // The position's commit is not among the steps' ancestors; what it had and they have not is undone by them.
    let (deployed, rewritten) = (set(1, &[("a", 2)]), set(1, &[("a", 1), ("b", 1)]));
    let steps = [pushed('8', Some("ann"), Some(rewritten.clone()))];
    let from = position(deployed.clone());
    let walked = walk(&court(), from.as_ref(), &steps, None);
    assert_eq!(told(&walked), "covered , held 0..8");
    assert_eq!(walked.held.unwrap().change, Change::between(Some(&deployed), &rewritten));
    assert_eq!(told(&walk(&court(), from.as_ref(), &[], None)), "covered ", "never to an ancestor of the position");
}

#[test]
fn a_sync_goes_to_the_newest_covered_commit_that_waits_for_nothing_on_facts_that_are_fresh() {
    let sets = [set(2, &[("a", 1)]), set(2, &[("a", 2)]), set(2, &[("a", 3)])];
    let mut court = court();
    for rules in court.entries.values_mut() {
        rules.after = vec![crate::policy::rules::After { environment: "staging".parse().unwrap(), soak_seconds: None }];
    }
    let steps = [pushed('1', Some("ann"), Some(sets[1].clone())), pushed('2', Some("ann"), Some(sets[2].clone()))];
    let walked = walk(&court, position(sets[0].clone()).as_ref(), &steps, None);
    assert_eq!(told(&walked), "covered 12");
    let went = |healthy: &HashedSet| {
        let before = |_: &_, covered: &Covered| {
            let mut healthy = healthy.clone();
            healthy.hashes.insert(crate::ids::SetKey::Entry, ObjectHash([77; 32]));
            Before { at_commit: Some(covered.set.clone()), healthy: Some(healthy), healthy_for: None }
        };
        match destination(&walked, &court.entries, before, |_| None) {
            Destination::Nowhere => "nowhere".to_owned(),
            Destination::To(covered) => covered.commit.as_str()[..1].to_owned(),
            Destination::Waits(covered, WaitsFor::After(names)) => {
                format!("{} waits for {}", &covered.commit.as_str()[..1], names[0])
            }
            Destination::Waits(_, WaitsFor::Checks(_)) => "waits for checks nobody asks for".to_owned(),
        }
    };
    assert_eq!((went(&sets[1]), went(&sets[2])), ("1".into(), "2".into()), "healthy with the objects it has there");
    assert_eq!(went(&sets[0]), "2 waits for staging");
    let reading = Reading { at: cast::at(100), newest_fact: 7 };
    for (second, fact, expected) in
        [(130, 7, Ok(())), (131, 7, Err(Stale::Old)), (99, 7, Err(Stale::Old)), (101, 8, Err(Stale::Overtaken))]
    {
        assert_eq!(reading.may_start(cast::at(second), fact), expected, "{second} {fact}");
    }
}

#[test]
fn the_order_in_which_approvals_are_stored_does_not_matter() {
    let (old, new) = (set(1, &[("a", 1)]), set(2, &[("a", 2)]));
    let walked = |by: &[&str]| {
        walk(&court(), position(old.clone()).as_ref(), &[merged('1', Some(&old), &new, by, Some(new.clone()))], None)
    };
    let counted = |walk: Walk| -> BTreeMap<String, usize> {
        let Why::Pull(_, verdict) = &walk.grounds[0].why else { panic!("not covered") };
        verdict.rules.iter().map(|rule| (format!("{:?}", rule.required.origin), rule.counted.len())).collect()
    };
    assert_eq!(counted(walked(&["lee", "ada", "sam"])), counted(walked(&["sam", "lee", "ada"])));
}

/// One of sre is enough for what was there before, where two are asked otherwise.
#[test]
fn what_was_deployed_here_before_asks_for_what_reverts_say_and_floors_ask_all_the_same() {
    let (now, before, other) = (set(5, &[("a", 2)]), set(5, &[("a", 1)]), set(5, &[("a", 3)]));
    let mut rules = rules(vec![rule(2, "sre")]);
    rules.consent.reverts = Some(rule(1, "leads"));
    let mut court = court();
    court.entries.insert(ObjectHash([5; 32]), rules);
    court.was_here.insert(before.digest());
    let from = position(now.clone());
    let walked = |court: &Court, to: &HashedSet, by: &[&str]| {
        told(&walk(court, from.as_ref(), &[merged('1', Some(&now), to, by, Some(to.clone()))], None))
    };
    assert_eq!(walked(&court, &before, &["ada"]), "covered 1");
    assert_eq!(walked(&court, &before, &["lee", "kim"]), "covered 1", "and so is what is enough otherwise");
    assert_eq!(walked(&court, &before, &["lee"]), "covered , held 0..1");
    assert_eq!(walked(&court, &other, &["ada"]), "covered , held 0..1", "it was never there");
    let more = set(5, &[("a", 1), ("b", 1)]);
    assert_eq!(walked(&court, &more, &["ada"]), "covered , held 0..1", "nor was this, beside it");
    // Rules of another time are not brought back so, though they were here with these objects.
    let weaker = set(1, &[("a", 1)]);
    court.was_here.insert(weaker.digest());
    assert_eq!(walked(&court, &weaker, &["ada"]), "covered , held 0..1");
    // A direct push of it, held and approved.
    let held = hold(Some('0'), Some(&now), '1', &before, &["ada"]);
    let pushed = [pushed('1', Some("ann"), Some(before.clone()))];
    assert_eq!(told(&walk(&court, from.as_ref(), &pushed, Some(&held))), "covered 1");
    let floor = Floor { approvals: vec![rule(1, "sre")], ..Floor::default() };
    court.floors = vec![("prod".to_owned(), floor)];
    assert_eq!(walked(&court, &before, &["ada"]), "covered , held 0..1", "a floor asks for one of sre");
    assert_eq!(walked(&court, &before, &["ada", "lee"]), "covered 1");
}

#[test]
fn the_revert_of_a_rollback_passes_for_the_change_it_consented_to_and_for_no_other() {
    let (now, before, other) = (set(1, &[("a", 2)]), set(1, &[("a", 1)]), set(1, &[("a", 3)]));
    let digest = |to: &HashedSet| Change::between(Some(&now), to).digest(&repository(), &production());
    let walked = |court: &Court, to: &HashedSet, given_back| {
        let mut step = merged('1', Some(&now), to, &[], Some(to.clone()));
        step.merged.as_mut().unwrap().given_back = given_back;
        walk(court, position(now.clone()).as_ref(), &[step], None)
    };
    let passes = walked(&court(), &before, Some(digest(&before)));
    assert_eq!(told(&passes), "covered 1");
    assert!(matches!(&passes.grounds[0].why, super::ground::Why::Pull(_, verdict) if verdict.by_rollback));
    assert_eq!(told(&walked(&court(), &before, None)), "covered , held 0..1");
    assert_eq!(told(&walked(&court(), &other, Some(digest(&before)))), "covered , held 0..1", "more was pushed to it");
    // The rules are never given back, and floors ask all the same.
    let rules = set(2, &[("a", 1)]);
    assert_eq!(told(&walked(&court(), &rules, Some(digest(&rules)))), "covered , held 0..1");
    let floor = Floor { approvals: vec![rule(1, "leads")], ..Floor::default() };
    let floors = Court { floors: vec![("prod".to_owned(), floor)], ..court() };
    assert_eq!(told(&walked(&floors, &before, Some(digest(&before)))), "covered , held 0..1");
}
