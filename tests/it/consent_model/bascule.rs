//! The product in the model's world: it gathers facts for `bascule::consent` (`gather.rs`), asks it, and records what it
//! says (here and in `listen.rs`). The deciding is all the product's; a [`Mutant`] is this same driver with one thing
//! left out.

use std::collections::{BTreeMap, BTreeSet};

use bascule::consent::{Before, Covered, Destination, Reading, Walk, Why, destination};
use bascule::ids::CommitId;
use bascule::policy::rules::ApprovalSource;

use super::cast::CAST;
use super::facts::time;
use super::memory::{Became, EnvironmentRow, HoldRow, Judged, Spent};
use super::mutant::Mutant;
use super::oracle;
use super::world::{C, ISSUE, PlaceId, STAGING, Set, World, set_of};

/// How often things happened, so that a model that explores nothing is noticed.
pub(super) type Counts = BTreeMap<&'static str, u64>;

pub(super) fn count(counts: &mut Counts, what: &'static str) {
    *counts.entry(what).or_default() += 1;
}

pub(super) struct Bascule<'c> {
    pub(super) mutant: Mutant,
    pub(super) counts: &'c mut Counts,
}

fn index_of(commit: &CommitId) -> C {
    C::from_str_radix(&commit.as_str()[38..], 16).unwrap()
}

impl World {
    fn row(&mut self, environment: u8) -> &mut EnvironmentRow {
        &mut self.ours.environments[usize::from(environment)]
    }

    pub(super) fn staging_is_healthy(&mut self) {
        let set = self.position(STAGING);
        if set != self.healthy.last().copied() {
            self.healthy.extend(set);
        }
    }

    pub(super) fn position(&self, environment: u8) -> Option<Set> {
        self.ours.environments[usize::from(environment)].position.map(|(_, set)| set)
    }
}

impl Bascule<'_> {
    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == mutant
    }

    /// Judges on fresh facts, and starts a sync to the newest covered commit. The error is what the oracle objects to.
    pub(super) fn sync(&mut self, world: &mut World, environment: u8) -> Result<(), String> {
        self.hear(world, environment);
        let walk = self.walk(world, environment);
        if self.mutant == Mutant::Nothing {
            self.same_through_any_covered_commit(world, environment, &walk)?;
        }
        let mut to = self.destination(world, environment, &walk).map(|to| index_of(&to.commit));
        let spends = self.spends(&walk, to);
        if self.is(Mutant::TheTipIsTaken) {
            to = set_of(environment, world.tree(world.tip())).map(|_| world.tip());
        }
        if let Some(to) = to {
            self.count_grounds(&walk, to);
            self.go(world, environment, to, &spends)?;
        }
        self.store_hold(world, environment, &walk);
        Ok(())
    }

    /// Judges, and starts nothing yet.
    pub(super) fn judge(&mut self, world: &mut World, environment: u8) {
        self.hear(world, environment);
        let walk = self.walk(world, environment);
        let to = self.destination(world, environment, &walk).map(|to| index_of(&to.commit));
        let (spends, sam) = (self.spends(&walk, to), world.sam);
        world.row(environment).judged = to.map(|to| Judged { to, spends, overtaken: false, sam });
    }

    /// Rule 13: starts what was judged, unless something new was stored since. A membership that ended since was read
    /// less than thirty seconds ago.
    pub(super) fn start(&mut self, world: &mut World, environment: u8) -> Result<(), String> {
        let Some(judged) = world.row(environment).judged.take() else { return Ok(()) };
        let reading = Reading { at: time(0), newest_fact: 0 };
        let fresh = reading.may_start(time(0), i64::from(judged.overtaken)).is_ok();
        if !fresh && !self.is(Mutant::StaleJudgementsStart) {
            count(self.counts, "judgements overtaken");
            return Ok(());
        }
        count(self.counts, "judgements started later");
        let sam = std::mem::replace(&mut world.sam, judged.sam);
        self.go(world, environment, judged.to, &judged.spends)?;
        world.sam = sam;
        world.row(environment).hold = None;
        Ok(())
    }

    /// The transaction that starts a sync.
    fn go(&self, world: &mut World, environment: u8, to: C, spends: &[Spent]) -> Result<(), String> {
        let set = set_of(environment, world.tree(to)).unwrap();
        oracle::judge(world, environment, to)?;
        use_up(world, environment, spends);
        let row = world.row(environment);
        row.position = Some((to, set));
        row.judged = None;
        Ok(())
    }

    /// Hears every place whose consent may matter.
    fn hear(&mut self, world: &mut World, environment: u8) {
        let row = world.row(environment).clone();
        let commits = world.after(row.position.map(|(commit, _)| commit));
        let pulls = commits.iter().filter_map(|commit| world.at(*commit).pull);
        let places: BTreeSet<PlaceId> =
            pulls.map(|(pull, _)| pull).chain(row.hold.as_ref().map(|hold| hold.place)).collect();
        places.into_iter().for_each(|place| self.look(world, place));
    }

    /// Rule 11.
    fn destination<'w>(&mut self, world: &World, environment: u8, walk: &'w Walk) -> Option<&'w Covered> {
        let court = self.court(world, environment);
        let hashed = |set: Option<Set>| set.map(|set| CAST.hashed(set));
        let before = |covered: &Covered| {
            let at = world.tree(index_of(&covered.commit));
            Before {
                at_commit: hashed(set_of(STAGING, at)),
                healthy: hashed(world.healthy.last().copied()),
                healthy_for: None,
            }
        };
        if self.is(Mutant::AfterIsNotAwaited) {
            return walk.covered.last();
        }
        // No rules of this world name checks. They are no consent: they delay a sync to a covered commit as `after` does, and
        // the walk, whose verdicts this model is about, never hears of them.
        match destination(walk, &court.entries, |_, covered| before(covered), |_| None) {
            Destination::Nowhere => None,
            Destination::To(covered) => Some(covered),
            Destination::Waits(..) => {
                count(self.counts, "syncs that wait for staging");
                None
            }
        }
    }

    fn count_grounds(&mut self, walk: &Walk, to: C) {
        let Some(covered) = walk.covered.iter().find(|covered| index_of(&covered.commit) == to) else { return };
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
    }

    /// What a sync to a covered commit uses up.
    fn spends(&self, walk: &Walk, to: Option<C>) -> Vec<Spent> {
        let Some(covered) = walk.covered.iter().find(|covered| Some(index_of(&covered.commit)) == to) else {
            return vec![];
        };
        let keys = walk.grounds_of(covered).iter().flat_map(|ground| &ground.spends);
        keys.map(|key| (key.source == ApprovalSource::Command, u8::try_from(key.source_id).unwrap())).collect()
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
        world.row(environment).hold = hold;
    }

    /// `/bascule preview` in the place of a held change.
    pub(super) fn move_on(&mut self, world: &mut World, environment: u8) {
        world.row(environment).hold = None;
        let walk = self.walk(world, environment);
        self.store_hold(world, environment, &walk);
    }

    /// Rule 10: syncs in between alter no verdict.
    fn same_through_any_covered_commit(&mut self, world: &World, environment: u8, whole: &Walk) -> Result<(), String> {
        let Some((_, before)) = whole.covered.split_last() else { return Ok(()) };
        for (number, covered) in before.iter().enumerate() {
            count(self.counts, "walks compared through a sync in between");
            let mut world = world.clone();
            let to = index_of(&covered.commit);
            use_up(&mut world, environment, &self.spends(whole, Some(to)));
            let set = set_of(environment, world.tree(to)).unwrap();
            world.row(environment).position = Some((to, set));
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

fn use_up(world: &mut World, environment: u8, spends: &[Spent]) {
    for (_, memory) in &mut world.ours.places {
        for record in memory.approvals.iter_mut().filter(|record| record.new.environment == environment) {
            if record.became == Became::Stands && spends.contains(&(record.command, record.source)) {
                record.became = Became::UsedUp;
            }
        }
    }
}
