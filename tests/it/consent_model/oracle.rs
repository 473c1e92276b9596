//! What may be deployed, by what people really saw and said. Written from the contract, not from the engine: it knows no
//! digest, no binding and no walk, searches every way a set could have come to be, and objects when there is none.

use std::collections::BTreeSet;

use super::law::{Ask, Touched, after_is_met, must_say, owners, questions};
use super::memory::Row;
use super::world::{
    BOT, C, Consent, PlaceId, SAM, STAGING, Sam, Set, What, Who, World, deletions, files, has, human, name, set_of,
};

/// Objects when an environment goes to a commit that nobody entitled consented to; else notes that it went there.
pub(super) fn judge(world: &mut World, environment: u8, to: C) -> Result<(), String> {
    let position = world.ours.environments[usize::from(environment)].position;
    let path = world.after(position.map(|(commit, _)| commit));
    let Some(end) = path.iter().position(|commit| *commit == to) else {
        return Err(format!("environment {environment} goes back to commit {to}"));
    };
    let set = set_of(environment, world.tree(to)).unwrap();
    if !after_is_met(world, set, set_of(STAGING, world.tree(to))) {
        return Err(format!("environment {environment} goes to commit {to} before staging"));
    }
    let search =
        Search { world, environment, path: path[..=end].to_vec(), position: position.map(|(commit, _)| commit) };
    let start = position.map(|(_, set)| set);
    if !search.from(0, start, (0, start)) {
        return Err(format!("environment {environment} goes to commit {to} without consent"));
    }
    let passed: BTreeSet<PlaceId> =
        search.path.iter().filter_map(|commit| world.at(*commit).pull).map(|(pull, _)| pull).collect();
    for consent in world.truth.iter_mut().filter(|consent| passed.contains(&consent.place)) {
        consent.spent |= 1 << environment;
    }
    Ok(())
}

struct Search<'w> {
    world: &'w World,
    environment: u8,
    path: Vec<C>,
    position: Option<C>,
}

/// Whose a change is.
#[derive(Default)]
struct Theirs {
    people: BTreeSet<Who>,
    /// Those of them of whom we were told.
    told: BTreeSet<Who>,
    /// Pushes by nobody we know: of which pull request or commit, and which.
    unknown: BTreeSet<(bool, u8, usize)>,
}

impl Theirs {
    fn add(&mut self, world: &World, commit: C) {
        let at = world.at(commit);
        match at.pull {
            Some((pull, _)) => self.add_pull(world, pull),
            None => {
                self.wrote(at.authors.iter());
                self.add_pushes(false, commit, at.pushed.as_slice());
            }
        }
    }

    fn add_pull(&mut self, world: &World, place: PlaceId) {
        let pull = &world.pulls[usize::from(place)];
        self.wrote(pull.authors.iter().chain([&pull.author]));
        self.add_pushes(true, place, &pull.pushes);
    }

    fn wrote<'w>(&mut self, authors: impl Iterator<Item = &'w Who>) {
        for who in authors.copied().map(human) {
            self.people.insert(who);
            self.told.insert(who);
        }
    }

    fn add_pushes(&mut self, is_pull: bool, of: u8, pushes: &[(Who, bool)]) {
        self.people.extend(pushes.iter().map(|(who, _)| human(*who)));
        self.told.extend(pushes.iter().filter(|(_, told)| *told).map(|(who, _)| human(*who)));
        let unknown = pushes.iter().enumerate().filter(|(_, (_, told))| !told);
        self.unknown.extend(unknown.map(|(index, _)| (is_pull, of, index)));
    }

    /// Of what one commit has and another has not.
    fn between(world: &World, from: Option<C>, to: C) -> Self {
        let mut all = Self::default();
        world.brings(to, from).into_iter().for_each(|commit| all.add(world, commit));
        // What is there no more was taken off by somebody.
        for (number, rewind) in
            from.iter().filter(|from| !has(world.behind(to), **from)).flat_map(|from| world.took_off(*from))
        {
            all.people.insert(human(rewind.who));
            if rewind.told {
                all.told.insert(human(rewind.who));
            } else {
                all.unknown.insert((false, u8::MAX, number));
            }
        }
        all
    }
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
            && (self.is_free(newest.0, running, index, set)
                || self.is_free(newest.0, newest.1, index, set)
                || self.held(newest, index, set))
        {
            next.insert(Some(set));
        }
        if let Some((place, true)) = self.world.at(commit).pull {
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

    /// The commit of the newest covered set.
    fn commit_of(&self, newest: usize) -> Option<C> {
        newest.checked_sub(1).map(|index| self.path[index]).or(self.position)
    }

    /// What is between two sets, of which the first is that of the newest covered commit.
    fn touched(&self, newest: usize, old: Option<Set>, index: usize, new: Set) -> Touched {
        let from = self.commit_of(newest);
        let files = from.map_or(0, |from| files(self.world.tree(from), self.world.tree(self.path[index])));
        let most = self.path[newest..=index].iter().map(|commit| self.world.files_of(*commit).count_ones()).max();
        Touched { old, new, files, most: most.unwrap_or_default() }
    }

    fn is_free(&self, newest: usize, from: Option<Set>, index: usize, to: Set) -> bool {
        from == Some(to)
            || (!must_say(from, from, to)
                && questions(self.world, from, self.touched(newest, from, index, to), to).is_empty())
    }

    fn pulled(&self, running: Option<Set>, place: PlaceId, row: &Row) -> Option<Set> {
        let sum = add(running, row.old, row.new)?;
        let pull = &self.world.pulls[usize::from(place)];
        if running.is_some_and(|running| running.rules == 3 && row.old != Some(running)) || !pull.for_main {
            return None;
        }
        let mut theirs = Theirs::default();
        let onto = pull.onto.unwrap_or_else(|| self.world.tip());
        self.world.brings(pull.head, Some(onto)).into_iter().for_each(|commit| theirs.add(self.world, commit));
        theirs.add_pull(self.world, place);
        row.over.iter().for_each(|commit| theirs.add(self.world, *commit));
        let touched = Touched { old: row.old, new: row.new, files: row.files, most: row.files.count_ones() };
        self.enough((running, sum), place, row, touched, &theirs, false).then_some(sum)
    }

    /// Whether a held change that ends here was consented to, and leads here from the newest covered set. It may have
    /// been read as the change of the pull request that brought it, when it is the same change.
    fn held(&self, newest: (usize, Option<Set>), index: usize, set: Set) -> bool {
        let commit = self.path[index];
        let came_with = self.world.at(commit).pull;
        self.world.ours.places.iter().any(|(place, memory)| {
            memory.rows.iter().any(|row| {
                let whole = newest.1.is_none_or(|newest| newest.rules != 3) || row.old == newest.1;
                // The same change may wait at another commit by now, when the branch was rewritten.
                let its_own = row.held && row.head == commit;
                let is_off = !self.world.main.contains(&row.head);
                let again = row.held && is_off && same(What::Change(newest.1, set), row);
                let here = its_own || again || (!row.held && came_with == Some((*place, true)));
                here && row.new.environment == self.environment && whole && is_part(newest.1, set, row) && {
                    let begin = if its_own { row.begin } else { self.commit_of(newest.0) };
                    let theirs = Theirs::between(self.world, begin, commit);
                    // All of it that is left to do is asked about, and what is done already was.
                    let touched = Touched { old: row.old, ..self.touched(newest.0, row.old, index, row.new) };
                    self.enough((newest.1, set), *place, row, touched, &theirs, true)
                }
            })
        })
    }

    /// Whether enough people, who are none of `theirs`, really consented to what a row shows.
    fn enough(
        &self,
        (from, result): (Option<Set>, Set),
        place: PlaceId,
        row: &Row,
        touched: Touched,
        theirs: &Theirs,
        held: bool,
    ) -> bool {
        let exact = deletions(row.old, row.new);
        let must_say = must_say(from, row.old, row.new);
        let good = |consent: &&Consent| {
            let entitled = consent.who != BOT && (consent.who != SAM || self.world.sam == Sam::Member);
            let meant = match consent.what {
                What::Change(old, new) => (old, new) == (row.old, row.new) || same(consent.what, row),
                What::Commit(commit) => self.makes(commit, row),
            };
            consent.place == place
                && consent.environment == name(self.environment)
                && !consent.withdrawn
                && consent.spent & (1 << self.environment) == 0
                && entitled
                && meant
                && !self.was_pushed_over(consent, from.map_or(row.new.rules, |from| from.rules))
                && (consent.waives.is_some() || !must_say || consent.deletions == Some(exact))
        };
        let given: Vec<&Consent> = self.world.truth.iter().filter(good).collect();
        let count = |ask: &Ask, only_with_reason: bool| {
            let of = given.iter().filter(|consent| {
                consent.waives == ask.waives
                    && (ask.of)(human(consent.who))
                    && (consent.command || !ask.command_only)
                    && (consent.reason || !only_with_reason)
            });
            let of: BTreeSet<Who> = of.map(|consent| human(consent.who)).collect();
            // Of those who are truly nobody's contributors enough, and for each push by nobody known one more.
            of.difference(&theirs.people).count() >= ask.count
                && of.difference(&theirs.told).count() >= ask.count + theirs.unknown.len()
        };
        let questions = questions(self.world, from, touched, result);
        let owner = Ask { count: 1, of: owners, command_only: false, floor: false, waives: None };
        let exception = held && count(&owner, true);
        questions.iter().all(|ask| (exception && !ask.floor) || count(ask, false))
    }

    /// Where any push voids, by these rules or by those that run: whether one came after a consent, other than one whose comment came within its second.
    fn was_pushed_over(&self, consent: &Consent, rules: u8) -> bool {
        let runs = self.world.position(self.environment).map(|set| set.rules);
        let pull = self.world.pulls.get(usize::from(consent.place));
        (rules == 4 || runs == Some(4))
            && !consent.held
            && pull.is_some_and(|pull| {
                let shown = |row: &Row| !row.held && row.head == pull.head && row.from <= consent.at;
                pull.moves > consent.moves && !self.rows(consent.place).any(shown)
            })
    }

    /// Whether a commit of a pull request, merged into the branch as it was at some time, makes what a row shows.
    fn makes(&self, commit: C, row: &Row) -> bool {
        (0..self.world.commits.len()).any(|base| {
            let base = C::try_from(base).unwrap();
            let old = self.world.set_behind(self.environment, base).0.map(|(_, set)| set);
            let tree = self.world.merged_tree(commit, base);
            let new = tree.and_then(|tree| set_of(self.environment, tree));
            new.is_some_and(|new| same(What::Change(old, new), row))
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
