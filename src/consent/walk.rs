//! Rules 10 to 12: which commits are covered, and the change an environment is held for.
//!
//! ```text
//! position ──► commit ──► commit ──► … ──► tip        the running set starts as the position's set and becomes
//!    S           │          │                         · the commit's set, while its rules ask for nothing
//!             covered?   covered?                      · itself plus the approved change of a merged pull request
//!                                                      · the set of an approved held change
//! ```
//!
//! A commit is covered when the running set is exactly its set. Nothing here depends on which covered commits were
//! synced in between: a walk that begins at a covered commit continues as the walk that went through it.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::approval::{ApprovalKey, Place, Recorded, State};
use super::branch::{Court, Hold, Made, Merged, Position, Step};
use super::change::{Change, HashedSet};
use super::ground::{Ground, Why};
use super::judge::{Case, Verdict, judge, judge_without_policies};
use super::passage::Passage;
use super::policies::{Said, policies_in_force};
use super::required::{Becomes, InForce, Law, Subject, by_rules, required};
use crate::ids::{ChangeDigest, CommitId, ObjectHash, SetDigest, SetKey};
use crate::policy::rules::Binds;

/// A covered commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// Which.
    pub commit: CommitId,
    /// What is synced there.
    pub set: HashedSet,
    /// How many of [`Walk::grounds`] lead to it.
    grounds: usize,
}

impl Covered {
    /// One that all of these grounds lead to.
    pub(super) fn by_all(commit: CommitId, set: HashedSet, grounds: &[Ground]) -> Self {
        Self { commit, set, grounds: grounds.len() }
    }
}

/// The change an environment waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The newest covered commit it begins at; `None` is before the first.
    pub from: Option<CommitId>,
    /// The set it begins at; `None` is the empty set.
    pub old_set: Option<SetDigest>,
    /// The commit whose set it ends in.
    pub to: CommitId,
    /// That set.
    pub new_set: SetDigest,
    /// What it changes.
    pub change: Change,
    /// Its digest.
    pub digest: ChangeDigest,
    /// The pull request to show it in, when `to` is the last commit of one.
    pub pull: Option<i64>,
    /// What is missing.
    pub verdict: Verdict,
}

/// What is covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// Covered commits after the position, oldest first.
    pub covered: Vec<Covered>,
    /// What it waits for, when the newest commit with a set is not covered.
    pub held: Option<Held>,
    /// Commits after the newest one with a set: they do not render, or their rules are invalid.
    pub without_set: Vec<CommitId>,
    /// What moved the running set, oldest first.
    pub grounds: Vec<Ground>,
    /// The running set at the end: whose entry judges what is still open.
    pub running: HashedSet,
    /// Steps from one set to another that policies have to be asked about first: while there are any, the walk is none.
    pub unasked: Vec<(HashedSet, HashedSet)>,
}

impl Walk {
    /// Rule 11: the newest covered commit that may be synced to, given whether its `after:` is met.
    pub fn newest(&self, mut after_is_met: impl FnMut(&Covered) -> bool) -> Option<&Covered> {
        self.covered.iter().rev().find(|covered| after_is_met(covered))
    }

    /// Why a covered commit is: what its sync carries and uses up.
    pub fn grounds_of(&self, covered: &Covered) -> &[Ground] {
        self.grounds.get(..covered.grounds).unwrap_or(&self.grounds)
    }
}

/// Goes through the commits after the position, oldest first. `steps` are all of the branch's first-parent line that
/// are not ancestors of the position, so a branch that was rewritten needs nothing else; none of them means that there
/// is nothing newer. Without a position they begin at the first commit known with the environment.
pub fn walk(court: &Court, position: Option<&Position>, steps: &[Step], hold: Option<&Hold>) -> Walk {
    let start = position.map_or_else(|| HashedSet::empty(court.target.clone()), |position| position.set.clone());
    let mut walker = Walker {
        court,
        running: start.clone(),
        newest: Newest { commit: position.map(|position| position.commit.clone()), set: start, steps: 0 },
        since: Made::default(),
        covered: Vec::new(),
        grounds: Vec::new(),
        unasked: RefCell::default(),
    };
    let mut hold_index = None;
    for (index, step) in steps.iter().enumerate() {
        walker.since.join(&step.made);
        let due = hold.filter(|hold| hold.to == step.commit && walker.still_holds(hold, steps));
        let due = due.map(|hold| (hold, between(hold, steps, index)));
        walker.go(step, due.as_ref().map(|(hold, made)| (*hold, made)));
        if !walker.unasked.borrow().is_empty() {
            // Where it goes from here depends on what they say, and so does what is to be asked next.
            return walker.ended(Vec::new(), None);
        }
        walker.settle(index, step);
        if due.is_some() {
            hold_index = Some(index);
        }
    }
    let last_with_set = steps.iter().rposition(|step| step.set.is_some());
    let without_set =
        steps.iter().skip(last_with_set.map_or(0, |last| last + 1)).map(|step| step.commit.clone()).collect();
    let kept = hold.filter(|_| hold_index.is_some_and(|index| index >= walker.newest.steps));
    let held = last_with_set
        .filter(|last| *last >= walker.newest.steps)
        .and_then(|last| walker.held(steps, kept.zip(hold_index), last));
    walker.ended(without_set, held)
}

/// What all commits between a held change's two ends brought, of which `to` is the index of the later.
fn between(hold: &Hold, steps: &[Step], to: usize) -> Made {
    let begins = hold.from.as_ref().and_then(|from| steps.iter().position(|step| step.commit == *from));
    let mut made = hold.behind.clone();
    for step in steps.iter().take(to + 1).skip(begins.map_or(0, |from| from + 1)) {
        made.join(&step.made);
    }
    made
}

/// The newest covered commit so far.
struct Newest {
    commit: Option<CommitId>,
    set: HashedSet,
    /// How many steps lead to it.
    steps: usize,
}

struct Walker<'a> {
    court: &'a Court,
    running: HashedSet,
    newest: Newest,
    /// What came after the newest covered commit. A running set that is a commit's set makes that commit covered, so
    /// this is also what came since the running set was one.
    since: Made,
    covered: Vec<Covered>,
    grounds: Vec<Ground>,
    unasked: RefCell<Vec<(HashedSet, HashedSet)>>,
}

impl Walker<'_> {
    fn ended(self, without_set: Vec<CommitId>, held: Option<Held>) -> Walk {
        let unasked = self.unasked.into_inner();
        Walk { covered: self.covered, held, without_set, grounds: self.grounds, running: self.running, unasked }
    }

    /// Moves the running set at one commit.
    fn go(&mut self, step: &Step, due: Option<(&Hold, &Made)>) {
        let mut why = Why::Nothing;
        let set = step.set.as_ref();
        if set == Some(&self.running) {
            return;
        }
        if let Some(set) =
            set.filter(|set| self.asks_nothing(&self.running, set) || self.asks_nothing(&self.newest.set, set))
        {
            // From the newest covered set it is a held change that asks nobody, so it needs no showing.
            self.running = set.clone();
            why = Why::NothingAsked;
        } else {
            let pull = step.merged.as_ref().and_then(|merged| self.approved(merged, set));
            let reaches = pull.as_ref().is_some_and(|(sum, _)| Some(sum) == set);
            let held = due.filter(|_| !reaches).and_then(|(hold, made)| self.approved_hold(hold, made, set));
            if let Some((sum, reason)) = held.or(pull) {
                self.running = sum;
                why = reason;
            }
        }
        let given = step.merged.iter().flat_map(|merged| &merged.approvals);
        let given =
            given.chain(due.filter(|_| matches!(why, Why::Held(..))).into_iter().flat_map(|(hold, _)| &hold.approvals));
        let spends: BTreeSet<ApprovalKey> = given
            .filter(|recorded| recorded.state == State::Stands)
            .map(|recorded| recorded.approval.key.clone())
            .filter(|key| key.environment == self.court.environment)
            .collect();
        let pull = step.merged.as_ref().map(|merged| merged.place.number);
        if why != Why::Nothing || pull.is_some() {
            self.grounds.push(Ground { commit: step.commit.clone(), why, pull, spends });
        }
    }

    /// Whether the commit is covered now.
    fn settle(&mut self, index: usize, step: &Step) {
        if step.set.as_ref() != Some(&self.running) {
            return;
        }
        let (commit, set) = (step.commit.clone(), self.running.clone());
        self.newest = Newest { commit: Some(commit.clone()), set: set.clone(), steps: index + 1 };
        self.since = Made::default();
        self.covered.push(Covered { commit, set, grounds: self.grounds.len() });
    }

    /// The rules in force at a set; for the empty one, those of what `change` would bring.
    fn law(&self, at: &HashedSet, change: &Change) -> Law<'_> {
        let read = |entry: Option<&ObjectHash>| entry.and_then(|entry| self.court.entries.get(entry));
        let new_entry = change.items().iter().find(|item| item.key == SetKey::Entry);
        let rules = match at.entry() {
            Some(entry) => read(Some(entry)).map(InForce::OfSet),
            None => read(new_entry.and_then(|item| item.new.as_ref()))
                .map(|own| InForce::First { own, neighbours: &self.court.neighbours }),
        };
        Law {
            rules: rules.unwrap_or(InForce::Unreadable),
            floors: &self.court.floors,
            grant_owners: self.court.grant_owners.as_ref(),
        }
    }

    fn asks_nothing(&self, from: &HashedSet, to: &HashedSet) -> bool {
        let change = Change::between(Some(from), to);
        let law = self.law(from, &change);
        let subject = Subject {
            change: &change,
            files: &self.since.files,
            size: self.since.size,
            stands: from.objects(),
            said: None,
            becomes: Becomes::New,
        };
        from.target == to.target
            && by_rules(subject, law).is_nothing()
            && required(Subject { said: self.said(law, from, to), ..subject }, law).is_nothing()
    }

    /// What the policies in force say of a step; not known, it is noted as asked for.
    fn said(&self, law: Law<'_>, from: &HashedSet, to: &HashedSet) -> Option<&Said> {
        if policies_in_force(law).is_empty() {
            return None;
        }
        let said = self.court.said.get(&(digest_of(from), to.digest()));
        let mut unasked = self.unasked.borrow_mut();
        if said.is_none() && !unasked.iter().any(|(old, new)| old == from && new == to) {
            unasked.push((from.clone(), to.clone()));
        }
        said
    }

    /// The running set with the approved change of a merged pull request, if it fits. Of several that do, the one that
    /// gives the commit's own set, else the one shown last: what the pull request was when it was merged.
    fn approved(&self, merged: &Merged, set: Option<&HashedSet>) -> Option<(HashedSet, Why)> {
        let running = digest_of(&self.running);
        let mut best = None;
        for offer in merged.offers.iter().rev() {
            let law = self.law(&self.running, &offer.change);
            if law.rules.binds() == Binds::Set && offer.old_set != running {
                continue;
            }
            let Some(sum) = offer.change.added_to(&self.running) else { continue };
            let digest = offer.change.digest(&self.court.repository, &self.court.environment);
            let case = Case {
                subject: Subject {
                    change: &offer.change,
                    files: &offer.made.files,
                    size: offer.made.size,
                    stands: self.running.objects(),
                    said: None,
                    becomes: self.court.becomes(&sum),
                },
                digest,
                from_set: running,
                place: Some(&merged.place),
                head: Some(&merged.head),
                passage: Passage::of_pull(&digest, merged.given_back.as_ref()),
                contributors: &offer.made.contributors,
                approvals: &merged.approvals,
            };
            if !judge_without_policies(case, law, &self.court.people).met() {
                continue;
            }
            let said = self.said(law, &self.running, &sum);
            let case = Case { subject: Subject { said, ..case.subject }, ..case };
            let verdict = judge(case, law, &self.court.people);
            if !verdict.met() {
                continue;
            }
            let exact = Some(&sum) == set;
            if exact || best.is_none() {
                best = Some((sum, Why::Pull(digest, verdict)));
            }
            if exact {
                break;
            }
        }
        best
    }

    /// Whether a stored held change is still the one to approve: the commit it begins at is covered (or the position
    /// has passed it), and what leads from the newest covered commit to its end is part of it and of nothing else.
    fn still_holds(&self, hold: &Hold, steps: &[Step]) -> bool {
        let Some(end) = steps.iter().find(|step| step.commit == hold.to).and_then(|step| step.set.as_ref()) else {
            return false;
        };
        // Where whole sets are bound, the set it begins from must be what there is.
        let same_set = hold.old_set == digest_of(&self.newest.set);
        if !same_set && self.law(&self.newest.set, &hold.change).rules.binds() == Binds::Set {
            return false;
        }
        let begins = hold.from.as_ref().is_none_or(|from| {
            let ahead = steps.iter().any(|step| step.commit == *from);
            !ahead || self.covered.iter().any(|covered| covered.commit == *from)
        });
        let rest = Change::between(Some(&self.newest.set), end);
        let part = rest.items().iter().all(|item| hold.change.items().binary_search(item).is_ok());
        begins && part && hold.change.new_target() == rest.new_target()
    }

    /// A held change as it is judged; `made` is what the commits between brought.
    fn case<'c>(
        &self,
        (change, to): (&'c Change, &HashedSet),
        made: &'c Made,
        old_set: Option<SetDigest>,
        given: Option<(&'c Place, &'c [Recorded])>,
    ) -> Case<'c> {
        Case {
            subject: Subject {
                change,
                files: &made.files,
                size: made.size,
                stands: self.newest.set.objects(),
                said: None,
                becomes: self.court.becomes(to),
            },
            digest: change.digest(&self.court.repository, &self.court.environment),
            from_set: old_set,
            place: given.map(|(place, _)| place),
            head: None,
            passage: Passage::RulesOrOwners,
            contributors: &made.contributors,
            approvals: given.map_or(&[], |(_, approvals)| approvals),
        }
    }

    /// The verdict on it, policies among it.
    fn judge_hold(&self, case: Case<'_>, to: &HashedSet) -> Verdict {
        let law = self.law(&self.newest.set, case.subject.change);
        let said = self.said(law, &self.newest.set, to);
        judge(Case { subject: Subject { said, ..case.subject }, ..case }, law, &self.court.people)
    }

    fn approved_hold(&self, hold: &Hold, made: &Made, set: Option<&HashedSet>) -> Option<(HashedSet, Why)> {
        let set = set?;
        let case = self.case((&hold.change, set), made, hold.old_set, hold.given());
        let law = self.law(&self.newest.set, &hold.change);
        let set = Some(set).filter(|_| judge_without_policies(case, law, &self.court.people).met())?;
        let verdict = self.judge_hold(case, set);
        verdict.met().then(|| (set.clone(), Why::Held(case.digest, verdict)))
    }

    /// What the environment waits for: the stored held change while it is still the one, else all that is not covered.
    fn held(&self, steps: &[Step], kept: Option<(&Hold, usize)>, last: usize) -> Option<Held> {
        let (from, old_set, end, made, change) = match kept {
            Some((hold, to)) => {
                (hold.from.clone(), hold.old_set, to, between(hold, steps, to), Some(hold.change.clone()))
            }
            None => {
                let mut made = Made::default();
                steps.iter().take(last + 1).skip(self.newest.steps).for_each(|step| made.join(&step.made));
                (self.newest.commit.clone(), digest_of(&self.newest.set), last, made, None)
            }
        };
        let to = steps.get(end)?;
        let set = to.set.as_ref()?;
        let change = change.unwrap_or_else(|| Change::between(Some(&self.newest.set), set));
        let given = kept.and_then(|(hold, _)| hold.given());
        let case = self.case((&change, set), &made, old_set, given);
        let (digest, verdict) = (case.digest, self.judge_hold(case, set));
        let pull = to.merged.as_ref().map(|merged| merged.place.number);
        Some(Held { from, old_set, to: to.commit.clone(), new_set: set.digest(), change, digest, pull, verdict })
    }
}

/// A set's digest; the empty set has none.
fn digest_of(set: &HashedSet) -> Option<SetDigest> {
    set.entry().map(|_| set.digest())
}
