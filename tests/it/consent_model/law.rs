//! What each kind of rules asks, in the contract's words: `cast.rs` says the same in the product's.

use super::cast::POLICED;
use super::world::{BEN, BOT, FILE_S, FILE_X, FILE_Y, KIM, LEE, POOL, SAM, STAGING, Set, Who, World, deletions, name};

/// One question: so many people of these.
pub(super) struct Ask {
    pub(super) count: usize,
    pub(super) of: fn(Who) -> bool,
    pub(super) command_only: bool,
    /// Whether no exception passes it: the platform asks it, or a policy denies it.
    pub(super) floor: bool,
    /// What has to be waived; consent to the change is no answer then.
    pub(super) waives: Option<Denied>,
}

/// What a policy denies: by which rules it stands in, and beside which other value it found X to be 2.
pub(super) type Denied = (u8, u8);

/// What the rules of `from` (of a first set its own) deny of `result`, to which a change leads that ends in `new`.
pub(super) fn denied(from: Option<Set>, new: Set, result: Set) -> Option<Denied> {
    let rules = from.map_or(new.rules, |from| from.rules);
    (POLICED.contains(&rules) && new.environment != STAGING && result.a == 2).then_some((rules, result.b))
}

fn sre(who: Who) -> bool {
    [BEN, LEE, KIM, BOT, SAM].contains(&who) || POOL.contains(&who)
}

fn leads(who: Who) -> bool {
    who == LEE || POOL.contains(&who)
}

pub(super) fn owners(who: Who) -> bool {
    who == KIM || POOL.contains(&who)
}

fn platform(who: Who) -> bool {
    [BEN, LEE].contains(&who) || POOL.contains(&who)
}

/// A change, as far as rules ask about it.
#[derive(Clone, Copy)]
pub(super) struct Touched {
    pub(super) old: Option<Set>,
    pub(super) new: Set,
    /// Its files, as bits.
    pub(super) files: u8,
    /// The most files that any pull request or push of it alters.
    pub(super) most: u32,
}

impl Touched {
    fn secret(self) -> bool {
        self.new.environment != STAGING && self.old.map_or(0, |old| old.b) != self.new.b
    }

    fn rules(self) -> bool {
        self.old.is_none_or(|old| old.rules != self.new.rules)
    }
}

/// What the rules of one kind ask for a change. `whole`: as if everything were touched.
fn asks(rules: u8, touched: Touched, whole: bool) -> Vec<Ask> {
    let files = touched.files & (FILE_X | FILE_Y | FILE_S);
    let nobodys = files == 0 || files & FILE_S != 0;
    let mut all = vec![];
    let mut ask = |count: usize, of: fn(Who) -> bool| {
        all.push(Ask { count, of, command_only: rules == 5, floor: false, waives: None })
    };
    match rules {
        2 | 11 => {}
        7 if !touched.secret() && !whole => {}
        9 if files & FILE_X == 0 && !nobodys && !whole => {}
        1 => ask(2, sre),
        _ => ask(1, sre),
    }
    let lead = match rules {
        6 => touched.secret(),
        9 => files & FILE_Y != 0 || nobodys,
        10 => touched.most > 1,
        _ => false,
    };
    if lead || whole {
        ask(1, leads);
    }
    all
}

/// Everything that has to be answered for a change that leads from `from` to `result`, under the rules of `from`.
pub(super) fn questions(world: &World, from: Option<Set>, touched: Touched, result: Set) -> Vec<Ask> {
    if touched.old == Some(touched.new) {
        return vec![];
    }
    let environment = touched.new.environment;
    let own = from.map_or(touched.new.rules, |from| from.rules);
    let mut all = match from {
        Some(from) => asks(from.rules, touched, touched.rules()),
        None => asks(own, touched, true),
    };
    let command_only = own == 5;
    if from.is_none() {
        all.push(Ask { count: 1, of: owners, command_only, floor: false, waives: None });
        if let Some(other) = world.position(1 - environment.min(1)).filter(|_| environment != STAGING) {
            all.extend(asks(other.rules, touched, true));
        }
    }
    if world.floor && environment != STAGING {
        all.push(Ask { count: 1, of: platform, command_only, floor: true, waives: None });
    }
    if let Some(denied) = denied(from, touched.new, result) {
        all.push(Ask { count: 1, of: leads, command_only: false, floor: true, waives: Some(denied) });
    }
    if all.is_empty() && must_say(from, touched.old, touched.new) {
        all.push(Ask { count: 1, of: |_| true, command_only: false, floor: false, waives: None });
    }
    all
}

/// Whether an approval has to carry the number of deletions.
pub(super) fn must_say(from: Option<Set>, old: Option<Set>, new: Set) -> bool {
    from.is_some_and(|from| [8, 11].contains(&from.rules)) && deletions(old, new) > 0
}

/// Rule 11: whether what a set has to come after is healthy with what it has there.
pub(super) fn after_is_met(world: &World, set: Set, staging: Option<Set>) -> bool {
    name(set.environment) != 0 || set.rules != 12 || staging.is_some_and(|staging| world.healthy.contains(&staging))
}
