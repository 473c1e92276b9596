//! The product in the model's world: it gathers facts for `bascule::consent`, asks it, and records what it says. The
//! deciding is all the product's; a [`Mutant`] is this same driver with one thing left out.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use bascule::consent::{
    Approval, ApprovalKey, Brings, Contributed, Contributors, Court, Hold, Identities, Kind, Made, Merged, Offer,
    Place, Position, Push, Recorded, Shown, ShownAs, State, Step, VoidReason, Walk, Why, Written, bind, voids, walk,
};
use bascule::ids::{Account, CommitId, EnvironmentName, ObjectHash};
use bascule::policy::rules::{ApprovalSource, Binds, Consent, Environment};

use super::cast::{CAST, entry};
use super::facts::{given, newest, now, on_push, place_of, shown, time};
use super::memory::{Became, HoldRow, Record, Row, Seen};
use super::mutant::Mutant;
use super::oracle;
use super::world::{C, Comment, ENVIRONMENTS, Fate, ISSUE, PlaceId, STAGING, Set, What, Who, World, name, set_of};

/// How often things happened, so that a model that explores nothing is noticed.
pub(super) type Counts = BTreeMap<&'static str, u64>;

fn count(counts: &mut Counts, what: &'static str) {
    *counts.entry(what).or_default() += 1;
}

pub(super) struct Bascule<'c> {
    pub(super) mutant: Mutant,
    pub(super) counts: &'c mut Counts,
}

fn index_of(commit: &CommitId) -> C {
    C::from_str_radix(&commit.as_str()[38..], 16).unwrap()
}

fn who_is(account: &Account) -> Who {
    Who::try_from(account.id - 1).unwrap()
}

impl Bascule<'_> {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == mutant
    }

    /// Renders and writes the comment, if it has something new to say. A lost answer leaves its time unknown until the
    /// comment is read again.
    pub(super) fn preview(&mut self, world: &mut World, place: PlaceId, lost: bool) {
        world.ours.place_mut(place).rows.iter_mut().for_each(|row| row.known = true);
        let open = world.pulls.get(usize::from(place)).filter(|pull| pull.fate == Fate::Open);
        let (comment, rows, seen) = match open {
            Some(pull) => {
                let (head, tip) = (pull.head, world.tip());
                let tree = world.merged_tree(pull, head, tip).filter(|_| pull.for_main);
                let (mut rows, mut seen) = (vec![], vec![]);
                for environment in ENVIRONMENTS {
                    let Some(new) = tree.and_then(|tree| set_of(environment, tree)) else { continue };
                    let (old, over) = world.set_behind(environment, tip);
                    let changed = old != Some(new);
                    seen.push((name(environment), changed.then_some((old, new))));
                    if changed {
                        rows.push(Row { held: false, begin: None, head, old, new, from: 0, known: !lost, over });
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
        let shown: Vec<Shown> = memory.rows.iter().map(shown).collect();
        let now = now(world, place, &memory);
        let named: BTreeMap<EnvironmentName, ObjectHash> =
            CAST.names.iter().map(|name| (name.clone(), entry(0, 0))).collect();
        let mut approvals = memory.approvals;
        for (given, source) in given(world, place, self.mutant) {
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
                    at: u8::try_from(approval.at.as_second() - 1_000_000).unwrap(),
                    became: Became::Stands,
                });
            }
        }
        for record in approvals.iter_mut().filter(|record| record.became == Became::Stands) {
            let on_push = on_push(world, record.new.environment);
            let recorded = self.recorded(place, record);
            let identities = &CAST.court(0, None, true).people.identities;
            if let Some(why) = voids(&recorded.approval, &now, on_push, identities) {
                let skipped = match why {
                    VoidReason::Edited => self.is(Mutant::EditedStands),
                    VoidReason::ChangesRequested => self.is(Mutant::ObjectionsAreIgnored),
                    VoidReason::Retargeted => self.is(Mutant::AnyBranchCounts),
                    _ => false,
                };
                if !skipped {
                    count(self.counts, "approvals voided");
                    record.became = Became::Void;
                }
            }
        }
        world.ours.place_mut(place).approvals = approvals;
    }

    fn recorded(&self, place: PlaceId, record: &Record) -> Recorded {
        let branch = if record.on_main || self.is(Mutant::AnyBranchCounts) { "main" } else { "release" };
        let state = match record.became {
            Became::Stands => State::Stands,
            Became::Void if self.is(Mutant::VoidsRevive) => State::Stands,
            Became::Void => State::Void("void".to_owned()),
            Became::UsedUp if self.is(Mutant::ApprovalsCountTwice) => State::Stands,
            Became::UsedUp => State::UsedUp,
        };
        let source = if record.command { ApprovalSource::Command } else { ApprovalSource::Review };
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
            deletions: record.deletions.map(u64::from),
            reason: record.reason.then(|| "it burns".to_owned()),
            at: time(record.at),
        };
        Recorded { approval, state }
    }

    fn approvals(&self, world: &World, place: PlaceId, environment: u8) -> Vec<Recorded> {
        let memory = world.ours.place(place);
        let all = memory.iter().flat_map(|memory| &memory.approvals);
        all.filter(|record| record.new.environment == environment).map(|record| self.recorded(place, record)).collect()
    }

    /// Whose a pull request is.
    fn of_pull(&self, world: &World, place: PlaceId) -> Contributors {
        let pull = &world.pulls[usize::from(place)];
        let pushes: Vec<Push> = pull.pushes.iter().map(|(who, told)| self.push(*who, *told)).collect();
        let written =
            Written { people: pull.authors.iter().map(|who| CAST.account(*who)).collect(), brings: Brings::Work };
        let opened = (CAST.account(pull.author), Contributed::Opened);
        self.maybe(Contributors::of_pull(opened, &format!("#{place}"), &pushes, &[written]))
    }

    fn push(&self, who: Who, told: bool) -> Push {
        let brings = if !told && self.is(Mutant::UnknownPushersAreNobody) { Brings::CleanMerges } else { Brings::Work };
        Push { pusher: told.then(|| CAST.account(who)), brings }
    }

    fn maybe(&self, contributors: Contributors) -> Contributors {
        if self.is(Mutant::ContributorsCount) { Contributors::default() } else { contributors }
    }

    fn of_commit(&self, world: &World, commit: C) -> Contributors {
        let at = &world.commits[usize::from(commit)];
        if let Some((pull, _)) = at.pull {
            return self.of_pull(world, pull);
        }
        let written =
            Written { people: at.authors.iter().map(|who| CAST.account(*who)).collect(), brings: Brings::Work };
        let pushes: Vec<Push> = at.pushed.iter().map(|(who, told)| self.push(*who, *told)).collect();
        self.maybe(Contributors::of_pushes(&format!("commit {commit}"), &pushes, &[written]))
    }

    fn made(&self, world: &World, commits: &[C]) -> Made {
        let mut made = Made::default();
        commits.iter().for_each(|commit| made.contributors.join(&self.of_commit(world, *commit)));
        made
    }

    fn step(&self, world: &World, environment: u8, commit: C) -> Step {
        let at = &world.commits[usize::from(commit)];
        let merged = at.pull.filter(|(_, last)| *last).map(|(place, _)| self.merged(world, environment, place));
        Step {
            commit: CAST.commit(commit),
            set: set_of(environment, at.tree).map(|set| CAST.hashed(set)),
            made: self.made(world, &[commit]),
            merged,
        }
    }

    fn merged(&self, world: &World, environment: u8, place: PlaceId) -> Merged {
        let rows = world.ours.place(place).map_or(&[][..], |memory| &memory.rows);
        let mut offers: Vec<Offer> = vec![];
        let mut approvals = self.approvals(world, place, environment);
        for row in rows.iter().filter(|row| !row.held && row.new.environment == environment) {
            let mut made = self.made(world, &row.over);
            made.contributors.join(&self.of_pull(world, place));
            let old_set = row.old.map(|old| CAST.set_digest(old));
            offers.push(Offer { change: CAST.change(row.old, row.new), old_set, made });
            if self.is(Mutant::AnyChangeCounts) {
                let change = CAST.digest(row.old, row.new);
                approvals.iter_mut().for_each(|recorded| recorded.approval.change = change);
            }
        }
        Merged { place: place_of(world, place), offers, approvals }
    }

    fn hold(&self, world: &World, environment: u8, row: &HoldRow, position: Option<C>) -> Hold {
        let steps = world.after(position);
        let between = world.after(row.from);
        let behind: Vec<C> = between.into_iter().filter(|commit| !steps.contains(commit)).collect();
        let to = if self.is(Mutant::TheHoldMovesAlong) { world.tip() } else { row.to };
        let new = set_of(environment, world.tree(to)).unwrap_or(row.new);
        let mut approvals = self.approvals(world, row.place, environment);
        if self.is(Mutant::TheHoldMovesAlong) {
            let change = CAST.digest(row.old, new);
            approvals.iter_mut().for_each(|recorded| recorded.approval.change = change);
        }
        Hold {
            from: row.from.map(|from| CAST.commit(from)),
            old_set: row.old.map(|old| CAST.set_digest(old)),
            to: CAST.commit(to),
            change: CAST.change(row.old, new),
            behind: self.made(world, &behind),
            place: Some(place_of(world, row.place)),
            approvals,
        }
    }

    fn court(&self, world: &World, environment: u8) -> Cow<'static, Court> {
        let other = &world.ours.environments[usize::from(1 - environment.min(1))];
        let neighbour = other.position.filter(|_| environment != STAGING).map(|(_, set)| set.rules);
        let neighbour = neighbour.filter(|_| !self.is(Mutant::FirstSetsHaveNoNeighbours));
        let sam = world.sam_is_member || self.is(Mutant::MembershipIsRemembered);
        let mut court = Cow::Borrowed(CAST.court(environment, neighbour, sam));
        match self.mutant {
            Mutant::TheTipsRulesJudge => {
                let tips = CAST.rules(environment, world.tree(world.tip()).rules);
                rules(&mut court, |rules| rules.clone_from(&tips));
            }
            Mutant::EveryAccountIsSomebody => {
                let people = &mut court.to_mut().people;
                for group in people.groups.values_mut() {
                    let accounts: Vec<String> = group.people.values().flatten().cloned().collect();
                    group.people = accounts.into_iter().map(|one| (one.clone(), BTreeSet::from([one]))).collect();
                }
                people.identities = Identities::of(&people.groups);
            }
            Mutant::BotsCount => court.to_mut().people.standings.values_mut().for_each(|one| one.kind = Kind::Person),
            Mutant::OneApprovalIsEnough => {
                rules(&mut court, |rules| rules.consent.approvals.iter_mut().for_each(|rule| rule.count = 1));
            }
            Mutant::FirstSetsHaveNoOwners => court.to_mut().grant_owners = None,
            Mutant::WholeSetsAreNotBound => rules(&mut court, |rules| rules.consent.binds = Binds::Change),
            Mutant::NumbersAreNotSaid => rules(&mut court, |rules| rules.deletions_confirm_above = None),
            Mutant::EveryWayCounts => rules(&mut court, |rules| rules.consent.by = Consent::none().by),
            Mutant::SecretsAreNothing => {
                rules(&mut court, |rules| rules.consent.approvals.retain(|rule| rule.when.is_none()));
            }
            _ => {}
        }
        court
    }

    fn walk(&mut self, world: &World, environment: u8) -> Walk {
        let row = &world.ours.environments[usize::from(environment)];
        let position =
            row.position.map(|(commit, set)| Position { commit: CAST.commit(commit), set: CAST.hashed(set) });
        let commits = world.after(row.position.map(|(commit, _)| commit));
        let steps: Vec<Step> = commits.iter().map(|commit| self.step(world, environment, *commit)).collect();
        let at = row.position.map(|(commit, _)| commit);
        let hold = row.hold.as_ref().map(|hold| self.hold(world, environment, hold, at));
        count(self.counts, "walks");
        walk(&self.court(world, environment), position.as_ref(), &steps, hold.as_ref())
    }

    /// Judges on fresh facts, and starts a sync to the newest covered commit. The error is what the oracle objects to.
    pub(super) fn sync(&mut self, world: &mut World, environment: u8) -> Result<(), String> {
        let row = &world.ours.environments[usize::from(environment)];
        let commits = world.after(row.position.map(|(commit, _)| commit));
        let pulls = commits.iter().filter_map(|commit| world.commits[usize::from(*commit)].pull);
        let places: BTreeSet<PlaceId> =
            pulls.map(|(pull, _)| pull).chain(row.hold.as_ref().map(|hold| hold.place)).collect();
        places.into_iter().for_each(|place| self.look(world, place));
        let walk = self.walk(world, environment);
        if self.mutant == Mutant::Nothing {
            self.same_through_any_covered_commit(world, environment, &walk)?;
        }
        let mut to = walk.covered.last().map(|covered| index_of(&covered.commit));
        if self.is(Mutant::TheTipIsTaken) {
            to = set_of(environment, world.tree(world.tip())).map(|_| world.tip());
        }
        if let Some(to) = to {
            let set = set_of(environment, world.tree(to)).unwrap();
            oracle::judge(world, environment, to, self.counts)?;
            self.use_up(world, environment, &walk);
            world.ours.environments[usize::from(environment)].position = Some((to, set));
        }
        self.store_hold(world, environment, &walk);
        Ok(())
    }

    fn use_up(&mut self, world: &mut World, environment: u8, walk: &Walk) {
        let Some(covered) = walk.covered.last() else { return };
        for ground in walk.grounds_of(covered) {
            let why = match &ground.why {
                Why::NothingAsked => "syncs that asked nobody",
                Why::Pull(..) => "syncs of an approved pull request",
                Why::Held(_, verdict) if verdict.exception.is_some() => "syncs by the owners' exception",
                Why::Held(..) => "syncs of an approved held change",
                Why::Nothing => continue,
            };
            count(self.counts, why);
        }
        let spent: BTreeSet<&ApprovalKey> = walk.grounds_of(covered).iter().flat_map(|ground| &ground.spends).collect();
        for (_, memory) in &mut world.ours.places {
            for record in memory.approvals.iter_mut().filter(|record| record.new.environment == environment) {
                let source = if record.command { ApprovalSource::Command } else { ApprovalSource::Review };
                let is = |key: &&&ApprovalKey| (key.source, key.source_id) == (source, i64::from(record.source));
                if record.became == Became::Stands && spent.iter().any(|key| is(&key)) {
                    record.became = Became::UsedUp;
                }
            }
        }
    }

    fn store_hold(&mut self, world: &mut World, environment: u8, walk: &Walk) {
        let hold = walk.held.as_ref().map(|held| {
            let to = index_of(&held.to);
            let from = held.from.as_ref().map(index_of);
            let stored = world.ours.environments[usize::from(environment)].hold.as_ref();
            let kept = stored.filter(|stored| stored.to == to && stored.from == from);
            let old = match kept {
                Some(stored) => stored.old,
                None => from.and_then(|from| set_of(environment, world.tree(from))),
            };
            count(self.counts, if kept.is_some() { "holds kept" } else { "holds begun" });
            let new = set_of(environment, world.tree(to)).unwrap();
            let issue = || held.pull.map_or(ISSUE + environment, |pull| PlaceId::try_from(pull).unwrap());
            let place = kept.map_or_else(issue, |stored| stored.place);
            HoldRow { from, old, to, new, place }
        });
        world.ours.environments[usize::from(environment)].hold = hold;
    }

    /// `/bascule preview` in the place of a held change.
    pub(super) fn move_on(&mut self, world: &mut World, environment: u8) {
        world.ours.environments[usize::from(environment)].hold = None;
        let walk = self.walk(world, environment);
        self.store_hold(world, environment, &walk);
    }

    /// Rule 10: syncs in between alter no verdict.
    fn same_through_any_covered_commit(&mut self, world: &World, environment: u8, whole: &Walk) -> Result<(), String> {
        let Some((_, before)) = whole.covered.split_last() else { return Ok(()) };
        for (number, covered) in before.iter().enumerate() {
            count(self.counts, "walks compared through a sync in between");
            let mut world = world.clone();
            let first = Walk { covered: whole.covered[..=number].to_vec(), ..whole.clone() };
            self.use_up(&mut world, environment, &first);
            let to = index_of(&covered.commit);
            let set = set_of(environment, world.tree(to)).unwrap();
            world.ours.environments[usize::from(environment)].position = Some((to, set));
            let rest = self.walk(&world, environment);
            let commits = |walk: &Walk| walk.covered.iter().map(|covered| covered.commit.clone()).collect::<Vec<_>>();
            if commits(&rest) != commits(whole)[number + 1..] {
                return Err(format!(
                    "a sync to commit {to} in between alters what is covered of environment {environment}"
                ));
            }
        }
        Ok(())
    }
}

fn rules(court: &mut Cow<'static, Court>, alter: impl FnMut(&mut Environment)) {
    court.to_mut().entries.values_mut().for_each(alter);
}
