//! The facts of a walk: who made what, what was shown and given, and who judges.

use std::borrow::Cow;
use std::collections::BTreeSet;

use bascule::consent::{
    Answer, Brings, Contributed, Contributors, Court, HashedSet, Hold, Identities, InForce, Kind, Law, Made, Merged,
    Offer, Position, Push, Size, Step, Walk, Written, walk,
};
use bascule::policy::code::Source;
use bascule::policy::rules::{Binds, Consent, Environment, Limits};

use super::bascule::{Bascule, count};
use super::cast::{CAST, paths, said};
use super::facts::place_of;
use super::memory::{HoldRow, Record};
use super::mutant::Mutant;
use super::world::{C, FILE_S, FILE_X, PlaceId, STAGING, Sam, Who, World, files, has, set_of};

impl Bascule<'_> {
    /// Whose a pull request is. What it brings beside its own commits is somebody's, too: of a branch that was
    /// rewritten, it may hold what was taken off.
    fn of_pull(&self, world: &World, place: PlaceId) -> Contributors {
        let mut all = self.of_pull_itself(world, place);
        let pull = &world.pulls[usize::from(place)];
        for commit in world.brings(pull.head, Some(pull.onto.unwrap_or_else(|| world.tip()))) {
            match world.at(commit).pull {
                Some((other, _)) if other != place => all.join(&self.of_pull_itself(world, other)),
                Some(_) => {}
                None => all.join(&self.of_pushed(world, commit)),
            }
        }
        all
    }

    fn of_pull_itself(&self, world: &World, place: PlaceId) -> Contributors {
        let pull = &world.pulls[usize::from(place)];
        let opened = (CAST.account(pull.author), Contributed::Opened);
        let pushes = self.pushes(pull.pushes.iter());
        self.maybe(Contributors::of_pull(opened, &format!("#{place}"), &pushes, &self.written(&pull.authors)))
    }

    fn of_pushed(&self, world: &World, commit: C) -> Contributors {
        let at = world.at(commit);
        let pushes = self.pushes(at.pushed.iter());
        self.maybe(Contributors::of_pushes(&format!("commit {commit}"), &pushes, &self.written(&at.authors)))
    }

    fn pushes<'p>(&self, pushes: impl Iterator<Item = &'p (Who, bool)>) -> Vec<Push> {
        let nobodys =
            |told: bool| (!told && self.is(Mutant::UnknownPushersAreNobody)) || (told && self.is(Mutant::PushersCount));
        let brings = |told| if nobodys(told) { Brings::CleanMerges } else { Brings::Work };
        let one = |(who, told): &(Who, bool)| Push { pusher: told.then(|| CAST.account(*who)), brings: brings(*told) };
        pushes.map(one).collect()
    }

    fn written(&self, authors: &[Who]) -> Vec<Written> {
        let authors = if self.is(Mutant::AuthorsCount) { &[] } else { authors };
        vec![Written { people: authors.iter().map(|who| CAST.account(*who)).collect(), brings: Brings::Work }]
    }

    fn maybe(&self, contributors: Contributors) -> Contributors {
        if self.is(Mutant::ContributorsCount) { Contributors::default() } else { contributors }
    }

    /// Everybody whose work a commit of the branch brings to its first parent.
    fn of_commit(&self, world: &World, commit: C) -> Contributors {
        let mut all = Contributors::default();
        let mut brings = world.brings(commit, world.at(commit).parent);
        if self.is(Mutant::WhatAPullMergedInIsNobodys) {
            let own = |one: &C| *one == commit || world.at(*one).pull == world.at(commit).pull;
            brings.retain(own);
        }
        for brought in brings {
            match world.at(brought).pull {
                Some((pull, _)) => all.join(&self.of_pull(world, pull)),
                None => all.join(&self.of_pushed(world, brought)),
            }
        }
        all
    }

    fn files(&self, environment: u8, mut files: u8) -> BTreeSet<String> {
        if self.is(Mutant::NobodysFilesAreSomebodys) && files & FILE_S != 0 {
            files = (files & !FILE_S) | FILE_X;
        }
        paths(environment, files)
    }

    fn size(&self, files: u8) -> Size {
        let files = if self.is(Mutant::LimitsAreNone) { 0 } else { u64::from(files.count_ones()) };
        Size { files, ..Size::default() }
    }

    fn made(&self, world: &World, environment: u8, commits: &[C]) -> Made {
        let mut all = Made::default();
        for commit in commits {
            let altered = world.files_of(*commit);
            all.join(&Made {
                contributors: self.of_commit(world, *commit),
                files: self.files(environment, altered),
                size: self.size(altered),
            });
        }
        all
    }

    fn step(&self, world: &World, environment: u8, commit: C) -> Step {
        let at = world.at(commit);
        let merged = at.pull.filter(|(_, last)| *last).map(|(place, _)| self.merged(world, environment, place));
        let set = set_of(environment, at.tree).map(|set| CAST.hashed(set));
        let mut made = self.made(world, environment, &[commit]);
        if let Some(shown) = merged.as_ref().and_then(|merged| merged.offers.last()) {
            made.join(&shown.made);
        }
        let nobodys = (set.is_none() && self.is(Mutant::WhatIsReachedOverIsNobodys))
            || (commit != world.tip() && self.is(Mutant::OnlyTheTipIsSomebodys));
        if nobodys {
            made.contributors = Contributors::default();
        }
        Step { commit: CAST.commit(commit), set, made, merged }
    }

    fn merged(&self, world: &World, environment: u8, place: PlaceId) -> Merged {
        let rows = world.ours.place(place).map_or(&[][..], |memory| &memory.rows);
        let mut offers: Vec<Offer> = vec![];
        let mut approvals = self.approvals(world, place, environment);
        for row in rows.iter().filter(|row| !row.held && row.new.environment == environment) {
            let mut contributors = self.of_pull(world, place);
            for commit in row.over.iter().filter(|_| !self.is(Mutant::WhatIsReachedOverIsNobodys)) {
                contributors.join(&self.of_commit(world, *commit));
            }
            let (files, size) = (self.files(environment, row.files), self.size(row.files));
            let old_set = row.old.map(|old| CAST.set_digest(old));
            let made = Made { contributors, files, size };
            offers.push(Offer { change: CAST.change(row.old, row.new), old_set, made });
            if self.is(Mutant::AnyChangeCounts) {
                let change = CAST.digest(row.old, row.new);
                approvals.iter_mut().for_each(|recorded| recorded.approval.change = change);
            }
        }
        let head = CAST.commit(world.pulls[usize::from(place)].head);
        if self.is(Mutant::PushedStands) {
            approvals.iter_mut().for_each(|one| one.approval.head = head.clone());
        }
        Merged { place: place_of(world, place), head, offers, approvals, given_back: None }
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
            behind: self.made(world, environment, &behind),
            place: Some(place_of(world, row.place)),
            approvals,
        }
    }

    pub(super) fn court(&self, world: &World, environment: u8) -> Cow<'static, Court> {
        let neighbour = world.position(1 - environment.min(1)).filter(|_| environment != STAGING).map(|set| set.rules);
        let neighbour = neighbour.filter(|_| !self.is(Mutant::FirstSetsHaveNoNeighbours));
        let sam =
            if self.is(Mutant::MembershipIsRemembered) && world.sam == Sam::Left { Sam::Member } else { world.sam };
        let mut court = Cow::Borrowed(CAST.court((environment, neighbour, sam, world.floor)));
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
            Mutant::BotsCount => kinds(&mut court, Kind::Bot),
            Mutant::SuspendedCounts => kinds(&mut court, Kind::Inactive),
            Mutant::UnreadIsMember => {
                let answers = court.to_mut().people.standings.values_mut().flat_map(|one| one.teams.values_mut());
                answers.filter(|answer| **answer == Answer::Unknown).for_each(|answer| *answer = Answer::Yes);
            }
            Mutant::OneApprovalIsEnough => {
                rules(&mut court, |rules| rules.consent.approvals.iter_mut().for_each(|rule| rule.count = 1));
            }
            Mutant::FirstSetsHaveNoOwners => court.to_mut().grant_owners = None,
            Mutant::RulesChangeLikeObjects => rules(&mut court, |rules| rules.owners = None),
            Mutant::WholeSetsAreNotBound => rules(&mut court, |rules| rules.consent.binds = Binds::Change),
            Mutant::NumbersAreNotSaid => rules(&mut court, |rules| rules.deletions_confirm_above = None),
            Mutant::EveryWayCounts => rules(&mut court, |rules| rules.consent.by = Consent::none().by),
            Mutant::SecretsAreNothing => {
                rules(&mut court, |rules| retain(rules, |rule| rule.kinds.is_empty()));
            }
            Mutant::PathsAskNobody => rules(&mut court, |rules| retain(rules, |rule| rule.paths.is_empty())),
            Mutant::LimitsAreNone => rules(&mut court, |rules| rules.limits = Limits::default()),
            Mutant::FloorsAreForgotten => court.to_mut().floors.clear(),
            Mutant::DenialsAreForgotten => rules(&mut court, |rules| rules.policies.clear()),
            Mutant::TextsAreAllAlike => rules(&mut court, |rules| {
                rules.policies.values_mut().for_each(|policy| policy.source = Source::Cel(String::new()));
            }),
            Mutant::ExceptionsPassDenials => {
                let hold = world.ours.environments[usize::from(environment)].hold.as_ref();
                let memory = hold.and_then(|hold| world.ours.place(hold.place));
                let is_one = |record: &Record| record.reason && record.waives.is_none();
                if memory.is_some_and(|memory| memory.approvals.iter().any(is_one)) {
                    rules(&mut court, |rules| rules.policies.clear());
                }
            }
            Mutant::ExceptionsPassFloors => {
                let hold = world.ours.environments[usize::from(environment)].hold.as_ref();
                let memory = hold.and_then(|hold| world.ours.place(hold.place));
                if memory.is_some_and(|memory| memory.approvals.iter().any(|record| record.reason)) {
                    court.to_mut().floors.clear();
                }
            }
            _ => {}
        }
        court
    }

    pub(super) fn walk(&mut self, world: &World, environment: u8) -> Walk {
        let row = &world.ours.environments[usize::from(environment)];
        let at = row.position.map(|(commit, _)| commit);
        let position =
            row.position.map(|(commit, set)| Position { commit: CAST.commit(commit), set: CAST.hashed(set) });
        let commits = world.after(at);
        let mut steps: Vec<Step> = commits.iter().map(|commit| self.step(world, environment, *commit)).collect();
        let below = commits.first().and_then(|first| world.at(*first).parent);
        if let (Some(at), Some(below), Some(first)) = (at, below, steps.first_mut())
            && !self.is(Mutant::WhatIsTakenOffTheBranchHasNoFiles)
        {
            // What was taken off the branch since comes back with its first commit.
            first.made.files.extend(self.files(environment, files(world.tree(at), world.tree(below))));
        }
        if let (Some(at), Some(first)) = (at, steps.first_mut())
            && !has(world.behind(world.tip()), at)
            && !self.is(Mutant::WhoeverTookItOffIsNobody)
        {
            for (number, rewind) in world.took_off(at) {
                let push = self.pushes([(rewind.who, rewind.told)].iter());
                let pushed = Contributors::of_pushes(&format!("rewind {number}"), &push, &[]);
                first.made.contributors.join(&self.maybe(pushed));
            }
        }
        let hold = row.hold.as_ref().map(|hold| self.hold(world, environment, hold, at));
        count(self.counts, "walks");
        let mut court = self.court(world, environment);
        loop {
            let walk = walk(&court, position.as_ref(), &steps, hold.as_ref());
            if walk.unasked.is_empty() {
                return walk;
            }
            // Asked about one step at a time, as the product does.
            for (from, to) in &walk.unasked {
                let read = |set: &HashedSet| set.entry().and_then(|entry| court.entries.get(entry)).unwrap();
                let rules = match from.entry() {
                    Some(_) => InForce::OfSet(read(from)),
                    None => InForce::First { own: read(to), neighbours: &court.neighbours },
                };
                let law = Law { rules, floors: &[], grant_owners: None };
                let said = said(law, to, self.is(Mutant::FindingsAreAllAlike));
                let begins = from.entry().map(|_| from.digest());
                court.to_mut().said.insert((begins, to.digest()), said);
            }
        }
    }
}

fn rules(court: &mut Cow<'static, Court>, alter: impl FnMut(&mut Environment)) {
    court.to_mut().entries.values_mut().for_each(alter);
}

fn retain(rules: &mut Environment, keep: impl Fn(&bascule::policy::rules::When) -> bool) {
    rules.consent.approvals.retain(|rule| rule.when.as_ref().is_none_or(&keep));
}

/// Accounts of a kind are somebody.
fn kinds(court: &mut Cow<'static, Court>, kind: Kind) {
    let standings = court.to_mut().people.standings.values_mut();
    standings.filter(|one| one.kind == kind).for_each(|one| one.kind = Kind::Person);
}
