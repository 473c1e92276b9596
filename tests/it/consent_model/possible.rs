//! Everything that can happen next.

use super::acts::{Act, FREE_RULES};
use super::cast::RULES;
use super::world::{
    ANN, BEN, BOT, ENVIRONMENTS, Edit, Fate, How, ISSUE, KIM, KIM2, LEE, PlaceId, SAM, Sam, Says, Typed, Who, World,
    name,
};

/// How much of the world is in play.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) pulls: usize,
    pub(super) commits: usize,
    pub(super) said: usize,
}

/// People who act by themselves.
const PEOPLE: [Who; 6] = [BEN, LEE, KIM, KIM2, BOT, SAM];

/// The rules a pull request would bring, by those there are.
const FREE_OR_NOT: [u8; RULES as usize] = [2, 0, 1, 0, 7, 0, 7, 3, 0, 2, 2, 9, 10, 14, 2];

/// Everything that can happen next.
pub(super) fn possible(world: &World, bounds: Bounds) -> Vec<Act> {
    let mut all = vec![];
    let room = world.commits.len() < bounds.commits;
    repository(world, room, world.pulls.len() < bounds.pulls, &mut all);
    conversation(world, world.reviews.len() + world.commands.len() < bounds.said, &mut all);
    match world.sam {
        Sam::Member => all.extend([Sam::Left, Sam::Unread, Sam::Suspended].map(Act::SamBecomes)),
        Sam::Left | Sam::Unread | Sam::Suspended => all.push(Act::SamBecomes(Sam::Member)),
    }
    all.push(Act::Floor);
    for environment in ENVIRONMENTS {
        let row = &world.ours.environments[usize::from(environment)];
        all.push(Act::Sync(environment));
        if row.hold.is_some() {
            all.push(Act::MoveOn(environment));
        }
    }
    for environment in ENVIRONMENTS {
        let row = &world.ours.environments[usize::from(environment)];
        all.push(if row.judged.is_none() { Act::Judge(environment) } else { Act::Start(environment) });
    }
    all.push(Act::StagingIsHealthy);
    all
}

/// What can happen to commits and pull requests.
fn repository(world: &World, room: bool, room_for_pulls: bool, all: &mut Vec<Act>) {
    let tree = world.tree(world.tip());
    let untold = world.rewinds.iter().filter(|rewind| !rewind.told).count()
        + world.pulls.iter().flat_map(|pull| &pull.pushes).filter(|push| !push.1).count()
        + world.commits.iter().filter(|commit| commit.pushed.is_some_and(|pushed| !pushed.1)).count();
    let told = |act: fn(bool) -> Act| if untold < 2 { vec![act(true), act(false)] } else { vec![act(true)] };
    let rules = Edit::Rules(FREE_OR_NOT[usize::from(tree.rules)]);
    if room_for_pulls && room {
        all.extend([Edit::X(1), Edit::X(2), Edit::Y(2), Edit::S(2), rules].map(|edit| Act::Open(ANN, edit, true)));
        all.extend([Edit::X(0), Edit::Two(2, 2), Edit::Two(0, 0)].map(|edit| Act::Open(ANN, edit, true)));
        all.extend([Edit::Target(1), Edit::Both(2, FREE_RULES)].map(|edit| Act::Open(ANN, edit, true)));
        all.extend(told(|told| Act::Open(LEE, Edit::X(2), told)));
    }
    for (pull, _) in (0..).zip(&world.pulls).filter(|(_, at)| at.fate == Fate::Open && room) {
        let push = |pusher, author, edit, force, told| Act::Push { pull, pusher, author, edit, force, told };
        for (pusher, author) in [(ANN, ANN), (BEN, ANN), (ANN, BEN), (KIM2, KIM2)] {
            all.push(push(pusher, author, Edit::X(3), false, true));
        }
        if untold < 2 {
            all.push(push(LEE, ANN, Edit::X(3), false, false));
        }
        all.push(push(ANN, ANN, Edit::Y(3), true, true));
        all.push(push(ANN, ANN, Edit::X(2), true, true));
        all.push(push(ANN, ANN, Edit::Nothing, false, true));
        all.push(push(ANN, ANN, Edit::Break, false, true));
    }
    for (pull, _) in (0..).zip(&world.pulls).filter(|(_, at)| at.fate == Fate::Open) {
        if room {
            all.push(Act::Update(pull));
            let kinds = [How::Commit, How::Squash, How::Rebase, How::FastForward];
            all.extend(kinds.map(|how| Act::Merge { pull, how }));
        }
        all.push(Act::Retarget(pull));
    }
    if room {
        all.extend(
            [Edit::X(2), Edit::Y(3), Edit::Two(2, 2), Edit::Revert, Edit::Break, Edit::Mend]
                .map(|edit| Act::Direct(BEN, edit, true)),
        );
        all.push(Act::Direct(BEN, Edit::Rules(FREE_RULES), true));
        all.extend(told(|told| Act::Direct(KIM, Edit::X(3), told)));
    }
    if world.main.len() > 1 {
        all.push(Act::Rewind(BEN, true));
        all.extend(told(|told| Act::Rewind(KIM, told)));
    }
    if world.dropped_merge().is_some() {
        all.push(Act::Restore);
    }
}

/// What can be said and seen where people consent.
fn conversation(world: &World, room: bool, all: &mut Vec<Act>) {
    let mut places: Vec<PlaceId> = ENVIRONMENTS.map(|environment| ISSUE + environment).to_vec();
    places
        .retain(|place| world.ours.environments.iter().any(|row| row.hold.as_ref().is_some_and(|h| h.place == *place)));
    places.extend((0..).zip(&world.pulls).map(|(pull, _)| pull));
    for place in places {
        all.extend([false, true].map(|lost| Act::Preview { place, lost }));
        all.push(Act::Look(place));
        for who in PEOPLE {
            all.push(Act::Load(who, place));
            let Some(page) = world.page(who, place).filter(|_| room) else { continue };
            if place < ISSUE {
                all.extend([Act::Approve(who, place), Act::Object(who, place)]);
            }
            all.push(Act::Revoke(who, place));
            for line in page.comment.iter().flat_map(|comment| &comment.lines) {
                let environment = name(line.0);
                let say = |typed| Act::Command { who, place, environment, typed };
                all.extend([Typed::Bare, Typed::Line].map(say));
                if super::world::deletions(line.1, line.2) > 0 {
                    all.push(say(Typed::Miscounted));
                }
                if who == KIM {
                    all.push(say(Typed::Reason));
                }
                if [LEE, KIM].contains(&who) && super::law::denied(line.1, line.2, line.2).is_some() {
                    all.push(say(Typed::Waive));
                }
            }
        }
    }
    let standing = |index: &usize| world.reviews[*index].approves && !world.reviews[*index].dismissed;
    all.extend((0..world.reviews.len()).filter(standing).map(|index| Act::Dismiss(u8::try_from(index).unwrap())));
    let undone = |index: &usize| world.reviews[*index].dismissed && world.reviews[*index].undone.is_none();
    all.extend((0..world.reviews.len()).filter(undone).map(|index| Act::Undismiss(u8::try_from(index).unwrap())));
    let stands = |index: &usize| {
        let command = &world.commands[*index];
        !command.edited && !command.deleted && command.says != Says::Revoke
    };
    let standing: Vec<u8> =
        (0..world.commands.len()).filter(stands).map(|index| u8::try_from(index).unwrap()).collect();
    all.extend(standing.iter().copied().map(Act::EditComment));
    all.extend(standing.into_iter().map(Act::DeleteComment));
}
