//! What may be deployed, by what people really saw and said. Written from the contract, not from the engine: it knows no
//! digest, no binding and no walk, searches every way a set could have come to be, and objects when there is none.

use std::collections::BTreeSet;

use super::bascule::Counts;
use super::memory::Row;
use super::world::{
    BOT, C, Consent, KIM, LEE, POOL, PlaceId, SAM, STAGING, Set, What, Who, World, deletions, human, name, set_of,
};

/// Objects when an environment goes to a commit that nobody entitled consented to; else notes that it went there.
pub(super) fn judge(world: &mut World, environment: u8, to: C, counts: &mut Counts) -> Result<(), String> {
    let position = world.ours.environments[usize::from(environment)].position;
    let path = world.after(position.map(|(commit, _)| commit));
    let Some(end) = path.iter().position(|commit| *commit == to) else {
        return Err(format!("environment {environment} goes back to commit {to}"));
    };
    let search = Search { world, environment, path: path[..=end].to_vec() };
    let start = position.map(|(_, set)| set);
    if !search.from(0, start, (0, start)) {
        return Err(format!("environment {environment} goes to commit {to} without consent"));
    }
    *counts.entry("deployments").or_default() += 1;
    let passed: BTreeSet<PlaceId> = search
        .path
        .iter()
        .filter_map(|commit| world.commits[usize::from(*commit)].pull)
        .map(|(pull, _)| pull)
        .collect();
    for consent in world.truth.iter_mut().filter(|consent| passed.contains(&consent.place)) {
        consent.spent |= 1 << environment;
    }
    Ok(())
}

struct Search<'w> {
    world: &'w World,
    environment: u8,
    path: Vec<C>,
}

/// One question: so many people of these.
struct Ask {
    count: usize,
    of: fn(Who) -> bool,
    command_only: bool,
}

fn sre(who: Who) -> bool {
    [1, LEE, KIM, BOT, SAM].contains(&who) || POOL.contains(&who)
}

fn leads(who: Who) -> bool {
    who == LEE || POOL.contains(&who)
}

fn owners(who: Who) -> bool {
    who == KIM || POOL.contains(&who)
}

/// What the rules of one kind ask for a change. `whole`: as if everything were touched.
fn asks(rules: u8, secret: bool, whole: bool) -> Vec<Ask> {
    let mut all = vec![];
    let command_only = rules == 5;
    match rules {
        2 => {}
        7 if !secret && !whole => {}
        1 => all.push(Ask { count: 2, of: sre, command_only }),
        _ => all.push(Ask { count: 1, of: sre, command_only }),
    }
    if (rules == 6 && secret) || whole {
        all.push(Ask { count: 1, of: leads, command_only });
    }
    all
}

impl Search<'_> {
    /// Whether the end of the path can be reached: `running` is what is consented to so far, `newest` the newest of it
    /// that was a commit's set, and how many commits led to it.
    fn from(&self, index: usize, running: Option<Set>, newest: (usize, Option<Set>)) -> bool {
        let Some(commit) = self.path.get(index).copied() else {
            let end = self.path.last().and_then(|last| set_of(self.environment, self.world.tree(*last)));
            return end.is_some() && running == end;
        };
        let set = set_of(self.environment, self.world.tree(commit));
        let mut next = BTreeSet::from([running]);
        if let Some(set) = set
            && (self.is_free(running, set) || self.is_free(newest.1, set) || self.held(newest, index, set))
        {
            next.insert(Some(set));
        }
        if let Some((place, true)) = self.world.commits[usize::from(commit)].pull {
            for row in self.rows(place).filter(|row| !row.held && row.new.environment == self.environment) {
                if let Some(sum) = self.pulled(running, place, row) {
                    next.insert(Some(sum));
                }
            }
        }
        next.into_iter().any(|running| {
            let newest = if running.is_some() && running == set { (index + 1, running) } else { newest };
            self.from(index + 1, running, newest)
        })
    }

    fn rows(&self, place: PlaceId) -> impl Iterator<Item = &Row> {
        self.world.ours.place(place).into_iter().flat_map(|memory| &memory.rows)
    }

    /// Everything that has to be answered to go from a set to another.
    fn questions(&self, from: Option<Set>, old: Option<Set>, new: Set) -> Vec<Ask> {
        if old == Some(new) {
            return vec![];
        }
        let entry = old.is_none_or(|old| old.rules != new.rules);
        let secret = self.environment != STAGING && old.map_or(0, |old| old.b) != new.b;
        let Some(from) = from else {
            let mut all = asks(new.rules, true, true);
            all.push(Ask { count: 1, of: owners, command_only: new.rules == 5 });
            let other = self.world.ours.environments[usize::from(1 - self.environment.min(1))].position;
            if let Some((_, other)) = other.filter(|_| self.environment != STAGING) {
                all.extend(asks(other.rules, true, true));
            }
            return all;
        };
        asks(from.rules, secret, entry)
    }

    fn is_free(&self, from: Option<Set>, to: Set) -> bool {
        let unsaid = from.is_none_or(|from| from.rules != 8 || deletions(Some(from), to) == 0);
        from == Some(to) || (unsaid && self.questions(from, from, to).is_empty())
    }

    fn pulled(&self, running: Option<Set>, place: PlaceId, row: &Row) -> Option<Set> {
        let sum = add(running, row.old, row.new)?;
        let pull = &self.world.pulls[usize::from(place)];
        if running.is_some_and(|running| running.rules == 3 && row.old != Some(running)) || !pull.for_main {
            return None;
        }
        let mut theirs: BTreeSet<Who> = self.of_pull(place);
        row.over.iter().for_each(|commit| theirs.extend(self.of_commit(*commit)));
        self.enough(running, place, row, &theirs, false).then_some(sum)
    }

    /// Whether a held change that ends here was consented to, and leads here from the newest covered set. It may have
    /// been read as the change of the pull request that brought it, when it is the same change.
    fn held(&self, newest: (usize, Option<Set>), index: usize, set: Set) -> bool {
        let commit = self.path[index];
        let came_with = self.world.commits[usize::from(commit)].pull;
        self.world.ours.places.iter().any(|(place, memory)| {
            memory.rows.iter().any(|row| {
                let whole = newest.1.is_none_or(|newest| newest.rules != 3) || row.old == newest.1;
                let here = if row.held { row.head == commit } else { came_with == Some((*place, true)) };
                here && row.new.environment == self.environment && whole && is_part(newest.1, set, row) && {
                    let theirs = if row.held {
                        let between = self.world.after(row.begin);
                        let between = between.iter().take_while(|one| **one != commit).chain([&commit]);
                        between.flat_map(|one| self.of_commit(*one)).collect()
                    } else {
                        self.path[newest.0..=index].iter().flat_map(|one| self.of_commit(*one)).collect()
                    };
                    self.enough(newest.1, *place, row, &theirs, true)
                }
            })
        })
    }

    fn of_pull(&self, place: PlaceId) -> BTreeSet<Who> {
        let pull = &self.world.pulls[usize::from(place)];
        let pushers = pull.pushes.iter().map(|(who, _)| *who);
        pushers.chain(pull.authors.iter().copied()).chain([pull.author]).map(human).collect()
    }

    fn of_commit(&self, commit: C) -> BTreeSet<Who> {
        let commit = &self.world.commits[usize::from(commit)];
        match commit.pull {
            Some((pull, _)) => self.of_pull(pull),
            None => commit.authors.iter().copied().chain(commit.pushed.map(|(who, _)| who)).map(human).collect(),
        }
    }

    /// Whether enough people, who are none of `theirs`, really consented to what a row shows.
    fn enough(&self, from: Option<Set>, place: PlaceId, row: &Row, theirs: &BTreeSet<Who>, held: bool) -> bool {
        let exact = deletions(row.old, row.new);
        let must_say = from.is_some_and(|from| from.rules == 8) && exact > 0;
        let good = |consent: &&Consent| {
            let entitled = consent.who != BOT && (consent.who != SAM || self.world.sam_is_member);
            let meant = match consent.what {
                What::Change(old, new) => (old, new) == (row.old, row.new) || same(consent.what, row),
                What::Commit(commit) => self.makes(commit, place, row),
            };
            consent.place == place
                && consent.environment == name(self.environment)
                && !consent.withdrawn
                && consent.spent & (1 << self.environment) == 0
                && entitled
                && meant
                && !theirs.contains(&human(consent.who))
                && (!must_say || consent.deletions == Some(exact))
        };
        let given: Vec<&Consent> = self.world.truth.iter().filter(good).collect();
        let count = |ask: &Ask, only_with_reason: bool| {
            let of = given.iter().filter(|consent| {
                (ask.of)(human(consent.who))
                    && (consent.command || !ask.command_only)
                    && (consent.reason || !only_with_reason)
            });
            of.map(|consent| human(consent.who)).collect::<BTreeSet<_>>().len() >= ask.count
        };
        let mut questions = self.questions(from, row.old, row.new);
        if questions.is_empty() && must_say {
            questions.push(Ask { count: 1, of: |_| true, command_only: false });
        }
        let exception = held && count(&Ask { count: 1, of: owners, command_only: false }, true);
        exception || questions.iter().all(|ask| count(ask, false))
    }

    /// Whether a commit of a pull request, merged into the branch as it was at some time, makes what a row shows.
    fn makes(&self, commit: C, place: PlaceId, row: &Row) -> bool {
        let Some(pull) = self.world.pulls.get(usize::from(place)) else { return false };
        (0..self.world.commits.len()).any(|base| {
            let base = C::try_from(base).unwrap();
            // The head may have left the branch at another place when it was reviewed.
            let forks = self.world.behind(commit).into_iter().chain([pull.fork]);
            let (old, _) = self.world.set_behind(self.environment, base);
            forks.into_iter().any(|fork| {
                let tree = super::world::merge(self.world.tree(fork), self.world.tree(base), self.world.tree(commit));
                let new = tree.and_then(|tree| set_of(self.environment, tree));
                new.is_some_and(|new| same(What::Change(old, new), row))
            })
        })
    }
}

/// Whether two changes are one: the same difference, whatever else the sets have.
fn same(what: What, row: &Row) -> bool {
    let What::Change(old, new) = what else { return false };
    let differences = |old: Option<Set>, new: Set| {
        let fields = |set: Option<Set>| set.map_or([0; 3], |set| [set.a, set.b, set.rules + 1]);
        let (old, new) = (fields(old), fields(Some(new)));
        [0, 1, 2].map(|index| (old[index] != new[index]).then_some((old[index], new[index])))
    };
    (old.is_none(), new.environment) == (row.old.is_none(), row.new.environment)
        && differences(old, new) == differences(row.old, row.new)
}

/// A change on top of a set, where everything it alters is as it was.
fn add(running: Option<Set>, old: Option<Set>, new: Set) -> Option<Set> {
    let (Some(running), Some(old)) = (running, old) else {
        return (running.is_none() && old.is_none()).then_some(new);
    };
    let one = |running: u8, old: u8, new: u8| match (old == new, running == old) {
        (true, _) => Some(running),
        (false, true) => Some(new),
        (false, false) => None,
    };
    Some(Set {
        environment: new.environment,
        a: one(running.a, old.a, new.a)?,
        b: one(running.b, old.b, new.b)?,
        rules: one(running.rules, old.rules, new.rules)?,
    })
}

/// Whether everything that is different between two sets is so in what a row shows.
fn is_part(newest: Option<Set>, set: Set, row: &Row) -> bool {
    let (Some(newest), Some(old)) = (newest, row.old) else { return newest.is_none() && row.old.is_none() };
    let one = |now: u8, then: u8, old: u8, new: u8| now == then || (now, then) == (old, new);
    one(newest.a, set.a, old.a, row.new.a)
        && one(newest.b, set.b, old.b, row.new.b)
        && one(newest.rules, set.rules, old.rules, row.new.rules)
}
