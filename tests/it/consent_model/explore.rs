//! Goes through the world: everything that can happen, to a depth, and long random stories.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::mem::{Discriminant, discriminant};

use super::acts::{Act, act};
use super::bascule::{Bascule, Counts};
use super::beginnings::Beginning;
use super::law::denied;
use super::mutant::Mutant;
use super::possible::{Bounds, possible};
use super::world::{ANN, ENVIRONMENTS, Edit, LEE, POOL, Sam, Typed, World, has, name, set_of};
use crate::support::random::Random;

/// People who cooperate bring every environment to the tip; the error says which stays behind.
pub(super) fn cooperate(world: &World, counts: &mut Counts) -> Result<(), String> {
    let mut world = world.clone();
    world.sam = Sam::Member;
    let tip = world.tip();
    let is_passed = world.ours.environments.iter().filter_map(|row| row.position).any(|(commit, _)| {
        // Nothing goes back to what is behind a position: the branch has to go on.
        commit != tip && has(world.behind(commit), tip)
    });
    if world.tree(tip).broken {
        world.direct(ANN, Edit::Mend, true);
    } else if is_passed {
        world.direct(ANN, Edit::Nothing, true);
    }
    let tip = world.tip();
    let behind = |world: &World| -> Vec<u8> {
        let wanted = |environment: u8| set_of(environment, world.tree(tip));
        // Staging first, for which production may wait.
        let all = ENVIRONMENTS.into_iter().rev();
        all.filter(|one| wanted(*one).is_some() && world.position(*one) != wanted(*one)).collect()
    };
    for _ in 0..2 {
        world.staging_is_healthy();
        for environment in behind(&world) {
            let mut bascule = Bascule { mutant: Mutant::Nothing, counts };
            bascule.sync(&mut world, environment)?;
            bascule.move_on(&mut world, environment);
            let Some(hold) = world.ours.environments[usize::from(environment)].hold.clone() else { continue };
            bascule.preview(&mut world, hold.place, false);
            for who in POOL.chain([LEE]) {
                world.load(who, hold.place);
                world.approve(who, hold.place, name(environment), Typed::Line);
                if denied(hold.old, hold.new, hold.new).is_some() {
                    world.approve(who, hold.place, name(environment), Typed::Waive);
                }
            }
            bascule.sync(&mut world, environment)?;
            world.staging_is_healthy();
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

    /// Everything that can happen after `story`, breadth first, to a depth; of its last level as much as there is
    /// room for.
    pub(super) fn exhaust(
        &mut self,
        begin: &World,
        story: &[Act],
        bounds: Bounds,
        (depth, room): (usize, usize),
    ) -> Result<(), Failure> {
        let full = self.states.len() + room;
        let mut frontier = vec![(begin.clone(), story.to_vec())];
        for level in 0..depth {
            let mut next = vec![];
            for (world, story) in &frontier {
                if level + 1 == depth && self.states.len() >= full {
                    return Ok(());
                }
                let last = level + 1 == depth && self.mutant != Mutant::Nothing;
                // Nothing is objected to but where a sync starts: of a mutant's last level nothing else is of interest.
                for one in possible(world, bounds).into_iter().filter(|one| !last || one.starts_a_sync()) {
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

impl Random {
    /// A kind of act first, then one of that kind, so that the many ways to load a page do not crowd out the rest.
    fn one_of(&mut self, acts: &[Act]) -> Act {
        let mut kinds: Vec<Discriminant<Act>> = acts.iter().map(discriminant).collect();
        kinds.dedup();
        let kind = kinds[self.below(kinds.len())];
        let of_kind: Vec<&Act> = acts.iter().filter(|act| discriminant(*act) == kind).collect();
        *of_kind[self.below(of_kind.len())]
    }
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
