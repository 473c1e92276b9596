//! Goes through the world: everything that can happen, to a depth, and long random stories.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::mem::{Discriminant, discriminant};

use super::bascule::{Bascule, Counts, Mutant};
use super::cast::RULES;
use super::world::{
    ANN, BEN, BOT, ENVIRONMENTS, Edit, Fate, ISSUE, KIM, KIM2, LEE, POOL, PlaceId, SAM, STAGING, Says, Tree, Who,
    World, name, set_of,
};

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Open(Who, Edit, bool),
    Push { pull: PlaceId, pusher: Who, author: Who, edit: Edit, force: bool, told: bool },
    Update(PlaceId),
    Merge { pull: PlaceId, rebase: bool },
    Retarget(PlaceId),
    Direct(Who, Edit, bool),
    Rewind,
    Restore,
    Load(Who, PlaceId),
    Approve(Who, PlaceId),
    Object(Who, PlaceId),
    Dismiss(u8),
    Command { who: Who, place: PlaceId, environment: u8, digest: bool, reason: bool },
    Revoke(Who, PlaceId),
    EditComment(u8),
    SamLeaves,
    SamReturns,
    Preview { place: PlaceId, lost: bool },
    Look(PlaceId),
    Sync(u8),
    MoveOn(u8),
}

/// Does it. The error is what is wrong with where it leads.
pub(super) fn act(world: &mut World, act: Act, mutant: Mutant, counts: &mut Counts) -> Result<(), String> {
    let mut bascule = Bascule { mutant, counts };
    match act {
        Act::Open(who, edit, told) => world.open(who, edit, told),
        Act::Push { pull, pusher, author, edit, force, told } => world.push(pull, pusher, author, edit, force, told),
        Act::Update(pull) => world.update(pull),
        Act::Merge { pull, rebase } => world.merge_pull(pull, rebase),
        Act::Retarget(pull) => {
            let pull = &mut world.pulls[usize::from(pull)];
            pull.for_main = !pull.for_main;
        }
        Act::Direct(who, edit, told) => world.direct(who, edit, told),
        Act::Rewind => drop(world.main.pop()),
        Act::Restore => world.restore(),
        Act::Load(who, place) => world.load(who, place),
        Act::Approve(who, place) => world.review(who, place, true),
        Act::Object(who, place) => world.review(who, place, false),
        Act::Dismiss(review) => world.dismiss(review),
        Act::Command { who, place, environment, digest, reason } => {
            world.approve(who, place, environment, digest, reason);
        }
        Act::Revoke(who, place) => world.revoke(who, place),
        Act::EditComment(command) => world.edit(command),
        Act::SamLeaves => world.sam_is_member = false,
        Act::SamReturns => world.sam_is_member = true,
        Act::Preview { place, lost } => bascule.preview(world, place, lost),
        Act::Look(place) => bascule.look(world, place),
        Act::Sync(environment) => bascule.sync(world, environment)?,
        Act::MoveOn(environment) => bascule.move_on(world, environment),
    }
    Ok(())
}

/// How much of the world is in play.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) pulls: usize,
    pub(super) commits: usize,
    pub(super) said: usize,
}

/// People who act by themselves.
const PEOPLE: [Who; 6] = [BEN, LEE, KIM, KIM2, BOT, SAM];

/// Everything that can happen next.
pub(super) fn possible(world: &World, bounds: Bounds) -> Vec<Act> {
    let mut all = vec![];
    let tree = world.tree(world.tip());
    let room = world.commits.len() < bounds.commits;
    let untold = world.pulls.iter().flat_map(|pull| &pull.pushes).filter(|push| !push.1).count()
        + world.commits.iter().filter(|commit| commit.pushed.is_some_and(|pushed| !pushed.1)).count();
    let told = |act: fn(bool) -> Act| if untold < 2 { vec![act(true), act(false)] } else { vec![act(true)] };
    let edits = [Edit::X(1), Edit::X(2), Edit::Y(2), Edit::S(2), Edit::Rules(FREE_OR_NOT[usize::from(tree.rules)])];
    let mut places: Vec<PlaceId> = ENVIRONMENTS.map(|environment| ISSUE + environment).to_vec();
    places
        .retain(|place| world.ours.environments.iter().any(|row| row.hold.as_ref().is_some_and(|h| h.place == *place)));
    if world.pulls.len() < bounds.pulls && room {
        all.extend(edits.map(|edit| Act::Open(ANN, edit, true)));
        all.extend([Edit::X(0), Edit::Target(1), Edit::Both(2, FREE_RULES)].map(|edit| Act::Open(ANN, edit, true)));
        all.extend(told(|told| Act::Open(LEE, Edit::X(2), told)));
    }
    for (pull, at) in (0..).zip(&world.pulls) {
        places.push(pull);
        if at.fate == Fate::Merged {
            continue;
        }
        if room {
            for (pusher, author) in [(ANN, ANN), (BEN, ANN), (ANN, BEN), (KIM2, KIM2)] {
                all.push(Act::Push { pull, pusher, author, edit: Edit::X(3), force: false, told: true });
            }
            let (author, edit) = (ANN, Edit::X(3));
            if untold < 2 {
                all.push(Act::Push { pull, pusher: LEE, author, edit, force: false, told: false });
            }
            all.push(Act::Push { pull, pusher: ANN, author, edit: Edit::Y(3), force: true, told: true });
            all.push(Act::Push { pull, pusher: ANN, author, edit: Edit::X(2), force: true, told: true });
            all.push(Act::Push { pull, pusher: ANN, author, edit: Edit::Break, force: false, told: true });
            all.push(Act::Update(pull));
            all.extend([false, true].map(|rebase| Act::Merge { pull, rebase }));
        }
        all.push(Act::Retarget(pull));
    }
    if room {
        all.extend(
            [Edit::X(2), Edit::Y(3), Edit::Revert, Edit::Break, Edit::Mend].map(|edit| Act::Direct(BEN, edit, true)),
        );
        all.push(Act::Direct(BEN, Edit::Rules(FREE_RULES), true));
        all.extend(told(|told| Act::Direct(KIM, Edit::X(3), told)));
    }
    if world.main.len() > 1 {
        all.push(Act::Rewind);
    }
    if world.dropped_merge().is_some() {
        all.push(Act::Restore);
    }
    let said = world.reviews.len() + world.commands.len() < bounds.said;
    for place in places {
        all.extend([false, true].map(|lost| Act::Preview { place, lost }));
        all.push(Act::Look(place));
        for who in PEOPLE {
            all.push(Act::Load(who, place));
            let Some(page) = world.page(who, place).filter(|_| said) else { continue };
            if place < ISSUE {
                all.extend([Act::Approve(who, place), Act::Object(who, place)]);
            }
            all.push(Act::Revoke(who, place));
            for line in page.comment.iter().flat_map(|comment| &comment.lines) {
                let environment = name(line.0);
                all.extend([false, true].map(|digest| Act::Command { who, place, environment, digest, reason: false }));
                if who == KIM {
                    all.push(Act::Command { who, place, environment, digest: true, reason: true });
                }
            }
        }
    }
    let standing = |index: &usize| world.reviews[*index].approves && !world.reviews[*index].dismissed;
    all.extend((0..world.reviews.len()).filter(standing).map(|index| Act::Dismiss(u8::try_from(index).unwrap())));
    let edited = |index: &usize| !world.commands[*index].edited && world.commands[*index].says != Says::Revoke;
    all.extend((0..world.commands.len()).filter(edited).map(|index| Act::EditComment(u8::try_from(index).unwrap())));
    all.push(if world.sam_is_member { Act::SamLeaves } else { Act::SamReturns });
    for environment in ENVIRONMENTS {
        all.push(Act::Sync(environment));
        if world.ours.environments[usize::from(environment)].hold.is_some() {
            all.push(Act::MoveOn(environment));
        }
    }
    all
}

pub(super) const FREE_RULES: u8 = 2;
/// The rules a pull request would bring, by those there are.
const FREE_OR_NOT: [u8; RULES as usize] = [2, 0, 1, 0, 7, 0, 7, 3, 0];

/// People who cooperate bring every environment to the tip; the error says which stays behind.
pub(super) fn cooperate(world: &World, counts: &mut Counts) -> Result<(), String> {
    let mut world = world.clone();
    world.sam_is_member = true;
    world.direct(ANN, if world.tree(world.tip()).broken { Edit::Mend } else { Edit::Nothing }, true);
    let tip = world.tip();
    let behind = |world: &World| -> Vec<u8> {
        let at = |environment: u8| world.ours.environments[usize::from(environment)].position.map(|(_, set)| set);
        let wanted = |environment: u8| set_of(environment, world.tree(tip));
        ENVIRONMENTS.into_iter().filter(|one| wanted(*one).is_some() && at(*one) != wanted(*one)).collect()
    };
    for _ in 0..2 {
        for environment in behind(&world) {
            let mut bascule = Bascule { mutant: Mutant::Nothing, counts };
            bascule.sync(&mut world, environment)?;
            bascule.move_on(&mut world, environment);
            let Some(hold) = world.ours.environments[usize::from(environment)].hold.clone() else { continue };
            bascule.preview(&mut world, hold.place, false);
            for who in POOL.chain([LEE]) {
                world.load(who, hold.place);
                world.approve(who, hold.place, name(environment), true, false);
            }
            bascule.sync(&mut world, environment)?;
        }
    }
    match behind(&world).as_slice() {
        [] => Ok(()),
        left => Err(format!("people who cooperate do not bring environments {left:?} to the tip")),
    }
}

/// What went wrong, and how one gets there.
pub(super) struct Failure {
    pub(super) what: String,
    pub(super) story: Vec<Act>,
}

pub(super) struct Explorer {
    pub(super) mutant: Mutant,
    pub(super) counts: Counts,
    pub(super) states: HashSet<u64>,
    /// Liveness is tried at one state of so many; 0 is at none.
    pub(super) liveness_every: u64,
    visited: u64,
}

impl Explorer {
    pub(super) fn new(mutant: Mutant, liveness_every: u64) -> Self {
        Self { mutant, counts: Counts::new(), states: HashSet::new(), liveness_every, visited: 0 }
    }

    /// A beginning, told.
    pub(super) fn begin(&mut self, (_, world, story): &Beginning) -> Result<World, Failure> {
        let mut world = world.clone();
        for (told, one) in story.iter().enumerate() {
            self.step(&mut world, *one).map_err(|what| Failure { what, story: story[..=told].to_vec() })?;
        }
        Ok(world)
    }

    /// One step, checked. Whether the state is a new one.
    fn step(&mut self, world: &mut World, next: Act) -> Result<bool, String> {
        act(world, next, self.mutant, &mut self.counts)?;
        let mut hasher = Mixer(0);
        world.hash(&mut hasher);
        if !self.states.insert(hasher.finish()) {
            return Ok(false);
        }
        self.visited += 1;
        if self.liveness_every > 0 && self.visited.is_multiple_of(self.liveness_every) {
            *self.counts.entry("states from which people cooperated").or_default() += 1;
            cooperate(world, &mut Counts::new())?;
        }
        Ok(true)
    }

    /// Everything that can happen after `story`, breadth first, to a depth.
    pub(super) fn exhaust(
        &mut self,
        begin: &World,
        story: &[Act],
        bounds: Bounds,
        depth: usize,
    ) -> Result<(), Failure> {
        let mut frontier = vec![(begin.clone(), story.to_vec())];
        for level in 0..depth {
            let mut next = vec![];
            for (world, story) in &frontier {
                for one in possible(world, bounds) {
                    let told = || story.iter().copied().chain([one]).collect::<Vec<_>>();
                    let mut world = world.clone();
                    match self.step(&mut world, one) {
                        Err(what) => return Err(Failure { what, story: told() }),
                        Ok(true) if level + 1 < depth => next.push((world, told())),
                        Ok(_) => {}
                    }
                }
            }
            frontier = next;
        }
        Ok(())
    }

    /// A random story.
    pub(super) fn wander(
        &mut self,
        begin: &World,
        story: &[Act],
        bounds: Bounds,
        length: usize,
        random: &mut Random,
    ) -> Result<(), Failure> {
        let (mut world, mut story) = (begin.clone(), story.to_vec());
        for _ in 0..length {
            let one = random.one_of(&possible(&world, bounds));
            story.push(one);
            if let Err(what) = self.step(&mut world, one) {
                return Err(Failure { what, story });
            }
        }
        Ok(())
    }
}

/// Tells states apart. A collision would only leave a state out, so speed is worth more than strength.
struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte));
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
}

/// SplitMix64: small, and the same everywhere.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A kind of act first, then one of that kind, so that the many ways to load a page do not crowd out the rest.
    fn one_of(&mut self, acts: &[Act]) -> Act {
        let mut kinds: Vec<Discriminant<Act>> = acts.iter().map(discriminant).collect();
        kinds.dedup();
        let kind = kinds[self.below(kinds.len())];
        let of_kind: Vec<&Act> = acts.iter().filter(|act| discriminant(*act) == kind).collect();
        *of_kind[self.below(of_kind.len())]
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }
}

/// A name, a world, and what happens in it before anything else.
pub(super) type Beginning = (&'static str, World, Vec<Act>);

/// Where stories begin: worlds in the middle of something, so that a few steps more reach far.
pub(super) fn beginnings() -> Vec<Beginning> {
    let tree = |rules| Tree { x: 1, y: 1, s: 1, rules, target: 0, broken: false };
    let deployed = |rules| {
        let mut world = World::new(tree(rules));
        for environment in [0, STAGING] {
            let set = set_of(environment, tree(rules)).unwrap();
            world.ours.environments[usize::from(environment)].position = Some((0, set));
        }
        world
    };
    let preview = |place| Act::Preview { place, lost: false };
    let shown = |edit, readers: &[Who]| {
        let mut acts = vec![Act::Open(ANN, edit, true), preview(0)];
        acts.extend(readers.iter().map(|who| Act::Load(*who, 0)));
        acts
    };
    let first = |who| {
        vec![
            Act::Sync(0),
            Act::Sync(STAGING),
            preview(ISSUE),
            preview(ISSUE + STAGING),
            Act::Load(who, ISSUE),
            Act::Load(KIM, ISSUE),
        ]
    };
    let held = vec![
        Act::Direct(BEN, Edit::X(2), true),
        Act::Sync(0),
        preview(ISSUE),
        Act::Load(LEE, ISSUE),
        Act::Load(KIM, ISSUE),
    ];
    let two = [shown(Edit::X(2), &[LEE, KIM]), vec![Act::Open(ANN, Edit::Y(2), true), preview(1), Act::Load(LEE, 1)]]
        .concat();
    let merged = [shown(Edit::X(2), &[LEE, SAM]), vec![Act::Merge { pull: 0, rebase: false }, Act::Sync(0)]].concat();
    let say = |who, place| Act::Command { who, place, environment: 0, digest: true, reason: false };
    let merge = Act::Merge { pull: 0, rebase: false };
    let approved = [shown(Edit::X(2), &[LEE]), vec![say(LEE, 0), Act::Look(0)]].concat();
    let twice = [shown(Edit::X(2), &[KIM, KIM2]), vec![say(KIM, 0), say(KIM2, 0)]].concat();
    let moved = [shown(Edit::Move(1, 0), &[LEE, KIM]), vec![Act::Approve(LEE, 0), Act::Approve(KIM, 0)]].concat();
    let based =
        [shown(Edit::Y(2), &[LEE]), vec![say(LEE, 0), Act::Direct(BEN, Edit::S(2), true), Act::Sync(0)]].concat();
    let lifted = vec![preview(ISSUE), Act::Load(KIM, ISSUE), say(KIM, ISSUE), Act::Sync(0), preview(0)];
    let based = [based, lifted].concat();
    let back =
        vec![merge, Act::Sync(0), Act::Rewind, Act::Direct(BEN, Edit::Nothing, true), Act::Sync(0), preview(ISSUE)];
    let back = [approved.clone(), back, vec![Act::Load(LEE, ISSUE), say(LEE, ISSUE), Act::Sync(0)]].concat();
    let retargeted = [approved.clone(), vec![Act::Retarget(0), Act::Look(0), Act::Retarget(0)]].concat();
    let all = [
        ("an approved pull request was for another branch", deployed(0), retargeted),
        ("a pull request is approved", deployed(0), approved),
        ("one person approves twice", deployed(1), twice),
        ("a new namespace with laxer rules is approved", deployed(5), moved),
        ("the base of an approved change moved", deployed(0), based),
        ("what was approved and deployed was taken back", deployed(0), back),
        ("a pull request is shown", deployed(0), shown(Edit::X(2), &[LEE, KIM, KIM2])),
        ("two approvals are needed", deployed(1), shown(Edit::X(2), &[LEE, KIM, KIM2])),
        ("whole sets are bound", deployed(3), two.clone()),
        ("any push voids", deployed(4), shown(Edit::X(2), &[LEE, SAM])),
        ("commands alone count", deployed(5), shown(Edit::Y(2), &[LEE, BOT])),
        ("secrets need a lead", deployed(6), shown(Edit::Y(2), &[LEE, KIM])),
        ("only secrets need anybody", deployed(7), shown(Edit::X(2), &[BEN])),
        ("deletions have to be said", deployed(8), shown(Edit::X(0), &[LEE, KIM])),
        ("a change of the rules is shown", deployed(0), shown(Edit::Both(2, FREE_RULES), &[LEE, SAM])),
        ("a new namespace is shown", deployed(1), shown(Edit::Target(1), &[LEE, KIM])),
        ("two pull requests are shown", deployed(0), two),
        ("a direct push is held", deployed(0), held),
        ("a pull request is merged without consent", deployed(0), merged),
        ("a first set is held", World::new(tree(0)), first(LEE)),
        ("nothing happened yet", deployed(0), vec![]),
    ];
    all.to_vec()
}

/// What a story ends in, if it can be told at all: each act has to be possible where it is done.
fn replay(beginning: &Beginning, rest: &[Act], bounds: Bounds, mutant: Mutant) -> Result<(), String> {
    let (_, world, opening) = beginning;
    let mut world = world.clone();
    for (told, one) in opening.iter().chain(rest).enumerate() {
        if told >= opening.len() && !possible(&world, bounds).contains(one) {
            return Ok(());
        }
        act(&mut world, *one, mutant, &mut Counts::new())?;
    }
    Ok(())
}

/// The same failure with every act left out that it does not need.
pub(super) fn shortest(beginning: &Beginning, failure: Failure, bounds: Bounds, mutant: Mutant) -> Failure {
    let Failure { what, story } = failure;
    let opening = beginning.2.len().min(story.len());
    let (opening, mut rest) = (story[..opening].to_vec(), story[opening..].to_vec());
    let mut index = rest.len();
    while index > 0 {
        index -= 1;
        let mut fewer = rest.clone();
        fewer.remove(index);
        if replay(beginning, &fewer, bounds, mutant).is_err() {
            rest = fewer;
            index = index.min(rest.len());
        }
    }
    let what = replay(beginning, &rest, bounds, mutant).err().unwrap_or(what);
    Failure { what, story: [opening, rest].concat() }
}
