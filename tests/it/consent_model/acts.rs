//! Everything that can happen, and what it does.

use super::bascule::{Bascule, Counts};
use super::cast::RULES;
use super::mutant::Mutant;
use super::world::{
    ANN, BEN, BOT, ENVIRONMENTS, Edit, Fate, ISSUE, KIM, KIM2, LEE, PlaceId, SAM, Says, Who, World, name,
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
