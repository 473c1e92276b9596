//! Stories of what a policy denies and who lets that pass.

use std::collections::{BTreeMap, BTreeSet};

use super::super::cast::{account, approval, people, place, production, repository, rule, rules, set};
use super::super::*;
use super::Denial;
use crate::policy::code::{Effect, Finding, Opinion, Source};
use crate::policy::rules::{ApprovalSource, Environment, Policy};

fn change() -> Change {
    Change::between(Some(&set(1, &[("a", 1)])), &set(1, &[("a", 2)]))
}

/// Rules that ask one of sre, with a policy `p` that denies and that one of leads (ada) may waive.
fn policed(text: &str) -> Environment {
    let source = Source::Cel(text.to_owned());
    let policy = Policy { effect: Effect::Deny, message: None, approvals: vec![rule(1, "leads")], source };
    Environment { policies: BTreeMap::from([("p".to_owned(), policy)]), ..rules(vec![rule(1, "sre")]) }
}

fn denies(messages: &[&str]) -> Opinion {
    let found = |message: &&str| Finding { effect: Effect::Deny, object: None, message: (*message).to_owned() };
    Opinion { found: messages.iter().map(found).collect(), ..Opinion::default() }
}

fn said(opinion: Opinion) -> Said {
    Said { opinions: BTreeMap::from([("p".to_owned(), opinion)]), mended: BTreeSet::new() }
}

fn denial(rules: &Environment, opinion: &Opinion) -> Option<Denial> {
    let standing = policies_in_force(Law { rules: InForce::OfSet(rules), floors: &[], grant_owners: None });
    Denial::of(&standing[0], opinion)
}

fn waiver(who: &str, denial: Option<Denial>) -> Recorded {
    let mut given = approval(who, &change());
    given.approval.key.source_id += 1_000;
    given.approval.waives = denial;
    given.approval.reason = Some("it burns".to_owned());
    given
}

/// What becomes of the change under these rules, opinion and gifts.
fn judged(rules: &Environment, opinion: &Opinion, passage: Passage, given: &[Recorded]) -> (bool, String) {
    let (change, files, said) = (change(), BTreeSet::new(), said(opinion.clone()));
    let contributors = Contributors::of_pull((account("ann"), Contributed::Opened), "#17", &[], &[]);
    let (owners, here) = (rule(1, "leads"), place());
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
        passage,
        contributors: &contributors,
        approvals: given,
    };
    let law = Law { rules: InForce::OfSet(rules), floors: &[], grant_owners: Some(&owners) };
    let verdict = judge(case, law, &people());
    (verdict.met(), explain(&production(), &verdict, &people(), None))
}

#[test]
fn what_is_denied_passes_by_its_approval_and_by_its_waiver_and_by_neither_alone() {
    let (rules, opinion) = (policed("object.a"), denies(&["no"]));
    let waived = || waiver("ada", denial(&rules, &opinion));
    let approved = || approval("lee", &change());
    let becomes = |given: &[Recorded]| judged(&rules, &opinion, Passage::Rules, given);
    insta::assert_snapshot!(becomes(&[approved()]).1, @"production needs 1 more of: @ada (group leads) (to waive policy p, which denies it)");
    insta::assert_snapshot!(becomes(&[waived()]).1, @"production needs 1 more of: @gone, @kim, @kim-home, @lee, @robot (group sre)");
    assert_eq!(becomes(&[approved(), waived()]), (true, "production has its consent: @ada, @lee".to_owned()));
    // Who may waive has to say so: her approval is none of that. And a waiver of hers is no approval.
    assert!(!becomes(&[approved(), approval("ada", &change())]).0);
    let by_leads = Environment { consent: policed_consent("leads"), ..policed("object.a") };
    let waived = waiver("ada", denial(&by_leads, &opinion));
    assert!(
        !judged(&by_leads, &opinion, Passage::Rules, std::slice::from_ref(&waived)).0,
        "of equal rules each is asked"
    );
    assert!(judged(&by_leads, &opinion, Passage::Rules, &[waived, approval("ada", &change())]).0);
}

fn policed_consent(group: &str) -> crate::policy::rules::Consent {
    rules(vec![rule(1, group)]).consent
}

#[test]
fn a_waiver_counts_for_its_denial_alone_and_from_those_who_may() {
    let (rules, opinion) = (policed("object.a"), denies(&["no", "nor this"]));
    let denied = || denial(&rules, &opinion);
    let becomes = |given: Recorded| judged(&rules, &opinion, Passage::Rules, &[approval("lee", &change()), given]);
    for (given, why) in [
        (waiver("lee", denied()), "no rule that applies names this person"),
        (waiver("ann", denied()), "contributor: opened the pull request"),
        (waiver("robot", denied()), "a bot cannot consent"),
        (
            waiver("ada", denial(&policed("object.b"), &opinion)),
            "policy p does not deny this, or its text or what it finds is another than was waived",
        ),
        (
            waiver("ada", denial(&rules, &denies(&["no"]))),
            "policy p does not deny this, or its text or what it finds is another than was waived",
        ),
    ] {
        let (met, sentence) = becomes(given);
        assert!(!met && sentence.contains(why), "{why}: {sentence}");
    }
    let mut void = waiver("ada", denied());
    void.state = State::Void("its giver revoked it".to_owned());
    assert!(!becomes(void).0, "void");
    let mut other = waiver("ada", denied());
    other.approval.change = crate::ids::ChangeDigest([7; 32]);
    assert!(!becomes(other).0, "for another change");
    // The order in which a policy finds is nothing that it says; and a waiver is a command, whatever approves here.
    let turned = denies(&["nor this", "no"]);
    assert_eq!(denied(), denial(&rules, &turned));
    let mut by_review = policed("object.a");
    by_review.consent.by = BTreeSet::from([ApprovalSource::Review]);
    let mut review = approval("lee", &change());
    review.approval.key.source = ApprovalSource::Review;
    assert!(judged(&by_review, &opinion, Passage::Rules, &[review, waiver("ada", denied())]).0);
}

#[test]
fn nobody_answers_for_what_nobody_could_read() {
    let rules = policed("object.a");
    assert!(denial(&rules, &denies(&["no"])).is_some());
    let broken = Opinion { broken: Some("no such key".to_owned()), ..denies(&["no"]) };
    let more = Opinion { more: 1, ..denies(&["no"]) };
    for (opinion, why) in [(&broken, "it could not be asked to the end"), (&more, "it found more than is kept")] {
        assert_eq!(denial(&rules, opinion), None, "{why}");
        let told = judged(&rules, opinion, Passage::Rules, &[approval("lee", &change())]).1;
        assert_eq!(told, "production is closed: policy `p` denies it", "{why}");
    }
    insta::assert_snapshot!(judged(&rules, &Opinion::broken("no such key"), Passage::Rules, &[]).1, @"production is closed: policy `p` cannot be asked: no such key");
    let mut nobody = rules.clone();
    nobody.policies.values_mut().for_each(|policy| policy.approvals.clear());
    assert_eq!(denial(&nobody, &denies(&["no"])), None, "it names nobody who may");
}

#[test]
fn no_exception_passes_what_is_denied() {
    let (rules, opinion) = (policed("object.a"), denies(&["no"]));
    let mut exception = approval("ada", &change());
    exception.approval.reason = Some("it burns".to_owned());
    let waived = waiver("ada", denial(&rules, &opinion));
    let becomes = |given: &[Recorded]| judged(&rules, &opinion, Passage::RulesOrOwners, given).0;
    assert!(!becomes(&[exception.clone()]));
    assert!(!becomes(std::slice::from_ref(&waived)), "its reason is none for the rest");
    assert!(becomes(&[exception, waived]));
}

#[test]
fn a_waiver_is_bound_to_the_denial_that_was_shown() {
    let rules = policed("object.a");
    let [one, other] = ["no", "nor this"].map(|message| denial(&rules, &denies(&[message])).unwrap());
    let digest = change().digest(&repository(), &production());
    let shown = |denials: &[&Denial], second: i64| Shown {
        environment: production(),
        shown_as: ShownAs::Pull,
        preview: 1,
        head: cast::commit('a'),
        old_set: None,
        new_set: crate::ids::SetDigest([1; 32]),
        change: digest,
        deletions: None,
        denials: denials.iter().map(|one| (*one).clone()).collect(),
        from: Some(cast::at(second)),
    };
    let waives = |digest: Option<String>, second: i64| Given {
        person: account("ada"),
        source: ApprovalSource::Command,
        source_id: 3,
        head: None,
        wanted: Wanted::Waiver { policy: "p".to_owned(), environments: None, digest },
        deletions: None,
        reason: Some("it burns".to_owned()),
        at: cast::at(second),
        text: Text::Unedited,
    };
    let named = BTreeMap::from([(production(), crate::ids::ObjectHash([9; 32]))]);
    let bound = |given: &Given, all: &[Shown]| -> Result<Denial, String> {
        let mut all = bind(given, all, &place(), &named);
        let bound = all.remove(&production()).ok_or("nothing")?.map_err(|why| why.to_string())?;
        assert_eq!((bound.change, bound.reason.as_deref()), (digest, Some("it burns")));
        Ok(bound.waives.unwrap())
    };
    let digits = |denial: &Denial| Some(denial.digest(&digest).short());
    let (first, both) = ([shown(&[&one], 10)], [shown(&[&one], 10), shown(&[&other], 40)]);
    assert_eq!(bound(&waives(None, 50), &first), Ok(one.clone()));
    assert_eq!(bound(&waives(None, 39), &both), Ok(one.clone()), "what came later was not read");
    assert_eq!(bound(&waives(digits(&one), 50), &both), Ok(one.clone()));
    assert_eq!(bound(&waives(digits(&other), 50), &both), Ok(other.clone()));
    assert_eq!(bound(&waives(None, 50), &[shown(&[], 10)]), Err("nothing".to_owned()), "it denied nothing");
    let told = |given: &Given, all: &[Shown]| bound(given, all).unwrap_err().replace(&digits(&other).unwrap(), "OTHER");
    insta::assert_snapshot!(told(&waives(None, 50), &both), @"more than one change of this environment was shown, so we do not know which you read; for the change shown now, type `/bascule waive p production OTHER --reason …`");
    insta::assert_snapshot!(told(&waives(digits(&other), 39), &both), @"no denial by policy `p` that these words name, and that may be waived, was shown here; for the change shown now, type `/bascule waive p production OTHER --reason …`");
    let edited = Given { text: Text::Edited, ..waives(None, 50) };
    insta::assert_snapshot!(told(&edited, &first), @"its text was edited; write a new comment");
}
