//! The product in the places where people consent: what it shows there, and what it records of what they say.

use std::collections::{BTreeMap, BTreeSet};

use bascule::consent::{
    Approval, ApprovalKey, Becomes, Court, Denial, InForce, Law, Place, Recorded, Shown, ShownAs, Size, State, Subject,
    VoidReason, bind, policies_in_force, required, voids,
};
use bascule::ids::{Account, EnvironmentName, ObjectHash};
use bascule::policy::rules::ApprovalSource;

use super::bascule::{Bascule, count};
use super::cast::{CAST, entry, said};
use super::facts::{given, newest, now, on_push, place_of, shown, time};
use super::memory::{Became, Record, Row, Seen};
use super::mutant::Mutant;
use super::world::{
    C, Comment, ENVIRONMENTS, Fate, PlaceId, Sam, Set, What, Who, World, deletions, files, name, set_of,
};

fn who_is(account: &Account) -> Who {
    Who::try_from(account.id - 1).unwrap()
}

impl Bascule<'_> {
    /// Renders and writes the comment, if it has something new to say. A lost answer leaves its time unknown until the
    /// comment is read again.
    pub(super) fn preview(&mut self, world: &mut World, place: PlaceId, lost: bool) {
        world.ours.place_mut(place).rows.iter_mut().for_each(|row| row.known = true);
        let open = world.pulls.get(usize::from(place)).filter(|pull| pull.fate == Fate::Open);
        let (comment, rows, seen) = match open {
            Some(pull) => {
                let (head, tip) = (pull.head, world.tip());
                let tree = world.merged_tree(head, tip).filter(|_| pull.for_main);
                let (mut rows, mut seen) = (vec![], vec![]);
                for environment in ENVIRONMENTS {
                    let Some((tree, new)) = tree.and_then(|tree| Some((tree, set_of(environment, tree)?))) else {
                        continue;
                    };
                    let (behind, over) = world.set_behind(environment, tip);
                    let old = behind.map(|(_, set)| set);
                    let changed = old != Some(new);
                    seen.push((name(environment), changed.then_some((old, new))));
                    if changed {
                        let files = files(world.tree(behind.map_or(tip, |(commit, _)| commit)), tree);
                        let (held, begin, from, known) = (false, None, 0, !lost);
                        rows.push(Row { held, begin, head, old, new, from, known, over, files });
                    }
                }
                let lines = rows.iter().map(|row| (row.new.environment, row.old, row.new)).collect();
                (Comment { head, held: false, lines }, rows, seen)
            }
            None => {
                let holds = world.ours.environments.iter().filter_map(|row| row.hold.as_ref());
                let rows: Vec<Row> = holds
                    .filter(|hold| hold.place == place)
                    .map(|hold| Row {
                        held: true,
                        begin: hold.from,
                        head: hold.to,
                        old: hold.old,
                        new: hold.new,
                        from: 0,
                        known: !lost,
                        over: vec![],
                        files: 0,
                    })
                    .collect();
                let Some(first) = rows.first() else { return };
                let lines = rows.iter().map(|row| (row.new.environment, row.old, row.new)).collect();
                (Comment { head: first.head, held: true, lines }, rows, vec![])
            }
        };
        if world.ours.place(place).is_some_and(|memory| memory.comment.as_ref() == Some(&comment)) {
            return;
        }
        count(self.counts, "comments written");
        let from = world.second();
        for (environment, change) in &seen {
            self.altered(world, place, *environment, comment.head, *change);
        }
        let memory = world.ours.place_mut(place);
        memory.rows.extend(rows.into_iter().map(|row| Row { from, ..row }));
        let head = comment.head;
        memory.seen.extend(seen.into_iter().map(|(environment, change)| Seen { environment, head, from, change }));
        memory.comment = Some(comment);
    }

    /// The oracle's words for rule 7: what people consented to before is void when a push made it something else.
    fn altered(
        &mut self,
        world: &mut World,
        place: PlaceId,
        environment: u8,
        head: C,
        change: Option<(Option<Set>, Set)>,
    ) {
        let memory = world.ours.place_mut(place).clone();
        let last = memory.seen.iter().rev().find(|seen| seen.environment == environment);
        if last.is_none_or(|last| last.head == head || last.change == change) {
            return;
        }
        count(self.counts, "pushes that altered a change");
        let is_it = |what: What| match what {
            What::Change(old, new) => change == Some((old, new)),
            What::Commit(commit) => {
                memory.rows.iter().any(|row| row.head == commit && change == Some((row.old, row.new)))
            }
        };
        world.withdraw(|consent| consent.place == place && consent.environment == environment && !is_it(consent.what));
    }

    /// Reads the reviews and comments of a place, records what is new, voids what is void.
    pub(super) fn look(&mut self, world: &mut World, place: PlaceId) {
        if world.pulls.get(usize::from(place)).is_some_and(|pull| !pull.for_main) {
            world.withdraw(|consent| consent.place == place);
        }
        let here = place_of(world, place);
        let memory = world.ours.place_mut(place).clone();
        let court = |environment| self.court(world, environment);
        let denials = |old, new: Set| self.denials(&court(new.environment), old, new);
        let mut shown: Vec<Shown> = memory.rows.iter().map(|row| shown(row, denials(row.old, row.new))).collect();
        if self.is(Mutant::LostCommentsWereNeverSeen) {
            shown.retain(|one| one.from.is_some());
        }
        let now = now(world, place, &memory, self.mutant);
        let named: BTreeMap<EnvironmentName, ObjectHash> =
            CAST.names.iter().map(|name| (name.clone(), entry(0, 0))).collect();
        let mut approvals = memory.approvals;
        let all = given(world, place, self.mutant, |old, new| denials(old, new).into_iter().next());
        for (given, source) in all {
            let command = given.source == ApprovalSource::Command;
            let mut bound = bind(&given, &shown, &here, &named);
            if self.is(Mutant::NewestIsMeant) {
                newest(&given, &shown, &here, &mut bound);
            }
            for (name, bound) in bound {
                let environment = u8::from(name == CAST.names[1]);
                let is = |one: &Record| (one.environment, one.command, one.source) == (environment, command, source);
                if approvals.iter().any(is) {
                    continue;
                }
                let Ok(approval) = bound else {
                    count(self.counts, "approvals refused");
                    continue;
                };
                count(self.counts, "approvals recorded");
                let row = memory.rows.iter().rfind(|row| {
                    CAST.digest(row.old, row.new) == approval.change && CAST.commit(row.head) == approval.head
                });
                let row = row.unwrap();
                approvals.push(Record {
                    environment,
                    command,
                    source,
                    who: who_is(&approval.person),
                    on_main: here.base_branch == "main",
                    head: row.head,
                    held: row.held,
                    old: row.old,
                    new: row.new,
                    deletions: approval.deletions.map(|number| u8::try_from(number).unwrap()),
                    reason: approval.reason.is_some(),
                    waives: approval.waives,
                    at: u8::try_from(approval.at.as_second() - 1_000_000).unwrap(),
                    became: Became::Stands,
                });
            }
        }
        for record in approvals.iter_mut().filter(|record| record.became == Became::Stands) {
            let on_push = on_push(world, record.new);
            let recorded = self.recorded(place, record);
            let identities = &CAST.court((0, None, Sam::Member, false)).people.identities;
            if voids(&recorded.approval, &now, on_push, identities).is_some_and(|why| !self.is(passes(why))) {
                count(self.counts, "approvals voided");
                record.became = Became::Void;
            }
        }
        world.ours.place_mut(place).approvals = approvals;
    }

    pub(super) fn recorded(&self, place: PlaceId, record: &Record) -> Recorded {
        let branch = if record.on_main || self.is(Mutant::AnyBranchCounts) { "main" } else { "release" };
        let state = match record.became {
            Became::Stands => State::Stands,
            Became::Void if self.is(Mutant::VoidsRevive) => State::Stands,
            Became::Void => State::Void("void".to_owned()),
            Became::UsedUp if self.is(Mutant::ApprovalsCountTwice) => State::Stands,
            Became::UsedUp => State::UsedUp,
        };
        let source = if record.command { ApprovalSource::Command } else { ApprovalSource::Review };
        let mut deletions_said = record.deletions;
        if self.is(Mutant::AnyNumberWillDo) && deletions_said.is_some() {
            deletions_said = Some(deletions(record.old, record.new));
        }
        let approval = Approval {
            key: ApprovalKey {
                environment: CAST.names[usize::from(record.environment)].clone(),
                source,
                source_id: i64::from(record.source),
            },
            place: Place { number: i64::from(place), base_branch: branch.to_owned() },
            head: CAST.commit(record.head),
            shown_as: if record.held { ShownAs::Held } else { ShownAs::Pull },
            old_set: record.old.map(|old| CAST.set_digest(old)),
            new_set: CAST.set_digest(record.new),
            change: CAST.digest(record.old, record.new),
            preview: 0,
            person: CAST.account(record.who),
            policy: entry(0, 0),
            deletions: deletions_said.map(u64::from),
            reason: (record.reason || self.is(Mutant::ReasonsAreNotNeeded)).then(|| "it burns".to_owned()),
            waives: record.waives.clone(),
            at: time(record.at),
        };
        Recorded { approval, state }
    }

    /// What policies deny of a change that somebody was shown, as far as it can be waived.
    fn denials(&self, court: &Court, old: Option<Set>, new: Set) -> BTreeSet<Denial> {
        let read = |set: Set| &court.entries[&entry(set.environment, set.rules)];
        let rules = old.map_or_else(
            || InForce::First { own: read(new), neighbours: &court.neighbours },
            |old| InForce::OfSet(read(old)),
        );
        let law = Law { rules, floors: &[], grant_owners: None };
        if policies_in_force(law).is_empty() {
            return BTreeSet::new();
        }
        let said = said(law, &CAST.hashed(new), self.is(Mutant::FindingsAreAllAlike));
        let (change, files) = (CAST.change(old, new), BTreeSet::new());
        let subject = Subject {
            change: &change,
            files: &files,
            size: Size::default(),
            stands: 0,
            said: Some(&said),
            becomes: Becomes::New,
        };
        required(subject, law).rules.iter().filter_map(|rule| rule.origin.denial().cloned()).collect()
    }

    pub(super) fn approvals(&self, world: &World, place: PlaceId, environment: u8) -> Vec<Recorded> {
        let memory = world.ours.place(place);
        let all = memory.iter().flat_map(|memory| &memory.approvals);
        let given = all.filter(|record| record.new.environment == environment);
        let mut all: Vec<Recorded> = given.clone().map(|record| self.recorded(place, record)).collect();
        if self.is(Mutant::WaiversAreConsent) {
            let waivers = all.clone().into_iter().filter(|recorded| recorded.approval.waives.is_some());
            all.extend(waivers.map(|mut recorded| {
                recorded.approval.waives = None;
                recorded
            }));
        }
        if self.is(Mutant::ConsentWaives) {
            let court = self.court(world, environment);
            for (record, recorded) in given.zip(all.clone()) {
                let denials = self.denials(&court, record.old, record.new).into_iter();
                all.extend(denials.map(|denial| {
                    let approval = Approval { waives: Some(denial), ..recorded.approval.clone() };
                    Recorded { approval, ..recorded.clone() }
                }));
            }
        }
        all
    }
}

/// The mutant that lets an approval stand all the same.
fn passes(why: VoidReason) -> Mutant {
    match why {
        VoidReason::Revoked => Mutant::RevokedStands,
        VoidReason::Dismissed => Mutant::DismissedStands,
        VoidReason::Deleted => Mutant::DeletedStands,
        VoidReason::Edited => Mutant::EditedStands,
        VoidReason::ChangesRequested => Mutant::ObjectionsAreIgnored,
        VoidReason::Retargeted => Mutant::AnyBranchCounts,
        VoidReason::ChangeAltered => Mutant::AlteredStands,
        VoidReason::Pushed => Mutant::PushedStands,
    }
}
