//! Where stories begin: worlds in the middle of something, so that a few steps more reach far.

use super::acts::{Act, FREE_RULES};
use super::world::{
    ANN, BEN, BOT, Edit, How, ISSUE, KIM, KIM2, LEE, PlaceId, SAM, STAGING, Tree, Typed, Who, World, set_of,
};

/// A name, a world, and what happens in it before anything else.
pub(super) type Beginning = (&'static str, World, Vec<Act>);

fn tree(rules: u8) -> Tree {
    Tree { x: 1, y: 1, s: 1, rules, target: 0, broken: false }
}

/// Production and staging are at the tip, and production has rules of a kind.
fn deployed(rules: u8) -> World {
    let mut world = World::new(tree(rules));
    for environment in [0, STAGING] {
        let set = set_of(environment, tree(rules)).unwrap();
        world.ours.environments[usize::from(environment)].position = Some((0, set));
    }
    world.staging_is_healthy();
    world
}

fn over_a_floor(rules: u8) -> World {
    World { floor: true, ..deployed(rules) }
}

fn preview(place: PlaceId) -> Act {
    Act::Preview { place, lost: false }
}

fn say(who: Who, place: PlaceId) -> Act {
    Act::Command { who, place, environment: 0, typed: Typed::Line }
}

fn readers(place: PlaceId, readers: &[Who]) -> Vec<Act> {
    readers.iter().map(|who| Act::Load(*who, place)).collect()
}

/// A pull request of Ann's, shown, and read.
fn shown(edit: Edit, by: &[Who]) -> Vec<Act> {
    [vec![Act::Open(ANN, edit, true), preview(0)], readers(0, by)].concat()
}

/// A push to the branch, held, shown, and read.
fn held(edit: Edit, by: &[Who]) -> Vec<Act> {
    [vec![Act::Direct(BEN, edit, true), Act::Sync(0), preview(ISSUE)], readers(ISSUE, by)].concat()
}

/// The same acts with more after them.
fn then(story: &[Act], more: &[Act]) -> Vec<Act> {
    [story, more].concat()
}

const MERGE: Act = Act::Merge { pull: 0, how: How::Squash };

pub(super) fn beginnings() -> Vec<Beginning> {
    let mut all = in_the_middle();
    all.extend(of_somebody());
    all.extend(under_other_rules());
    all.extend(at_first());
    all
}

/// Of worlds whose production has one rule.
fn in_the_middle() -> Vec<Beginning> {
    let approved = then(&shown(Edit::X(2), &[LEE]), &[say(LEE, 0), Act::Look(0)]);
    let based = then(&shown(Edit::Y(2), &[LEE]), &[say(LEE, 0), Act::Direct(BEN, Edit::S(2), true), Act::Sync(0)]);
    let based = then(&based, &[preview(ISSUE), Act::Load(KIM, ISSUE), say(KIM, ISSUE), Act::Sync(0), preview(0)]);
    let off = [
        MERGE,
        Act::Sync(0),
        Act::Rewind(BEN, true),
        Act::Direct(BEN, Edit::Nothing, true),
        Act::Sync(0),
        preview(ISSUE),
    ];
    let back = then(&then(&approved, &off), &[Act::Load(LEE, ISSUE), say(LEE, ISSUE), Act::Sync(0)]);
    let gone = [
        MERGE,
        Act::Sync(0),
        Act::Rewind(KIM, true),
        Act::Direct(BEN, Edit::Nothing, true),
        Act::Sync(0),
        preview(ISSUE),
    ];
    let forwarded = [
        Act::Direct(KIM, Edit::Y(2), true),
        Act::Update(0),
        Act::Merge { pull: 0, how: How::FastForward },
        Act::Sync(0),
        preview(0),
        Act::Load(KIM, 0),
    ];
    let early =
        [Act::Open(ANN, Edit::X(2), true), Act::Load(LEE, 0), Act::Approve(LEE, 0), preview(0), Act::Dismiss(0), MERGE];
    let two = then(&shown(Edit::X(2), &[LEE, KIM]), &[Act::Open(ANN, Edit::Y(2), true), preview(1), Act::Load(LEE, 1)]);
    let reviewed = then(&shown(Edit::X(2), &[LEE]), &[Act::Approve(LEE, 0), Act::Look(0)]);
    let broken =
        [Act::Direct(KIM, Edit::Break, true), Act::Direct(BEN, Edit::Mend, true), Act::Sync(0), preview(ISSUE)];
    vec![
        (
            "an approved pull request was for another branch",
            deployed(0),
            then(&approved, &[Act::Retarget(0), Act::Look(0), Act::Retarget(0)]),
        ),
        ("a pull request is approved", deployed(0), approved.clone()),
        ("a pull request is approved by a review", deployed(0), then(&reviewed, &[Act::Load(KIM, 0)])),
        ("an approved pull request is merged and judged", deployed(0), then(&approved, &[MERGE, Act::Judge(0)])),
        ("the base of an approved change moved", deployed(0), based),
        ("what was approved and deployed was taken back", deployed(0), back),
        ("a pull request is shown", deployed(0), shown(Edit::X(2), &[LEE, KIM, KIM2])),
        ("a pull request is shown to Sam", deployed(0), shown(Edit::X(2), &[SAM])),
        ("a change of the rules is shown", deployed(0), shown(Edit::Both(2, FREE_RULES), &[LEE, SAM])),
        ("two pull requests are shown", deployed(0), two),
        ("a direct push is held", deployed(0), held(Edit::X(2), &[LEE, KIM])),
        (
            "two direct pushes are held",
            deployed(0),
            then(&[Act::Direct(LEE, Edit::Y(2), true)], &held(Edit::X(2), &[LEE])),
        ),
        (
            "a commit that does not render is reached over",
            deployed(0),
            [vec![Act::Direct(LEE, Edit::X(3), true)], broken.to_vec(), readers(ISSUE, &[LEE, KIM])].concat(),
        ),
        (
            "a pull request is merged without consent",
            deployed(0),
            then(&shown(Edit::X(2), &[LEE, SAM]), &[MERGE, Act::Sync(0)]),
        ),
        (
            "what was approved and deployed is taken off by Kim",
            deployed(0),
            then(&approved, &[&gone[..], &[Act::Load(KIM, ISSUE)]].concat()),
        ),
        (
            "a pull request that merged a push of Kim's in is fast-forwarded",
            deployed(0),
            then(&shown(Edit::X(2), &[]), &forwarded),
        ),
        ("a review was given before anything was shown, and dismissed", deployed(0), early.to_vec()),
        ("a floor is under the rules", over_a_floor(0), shown(Edit::X(2), &[KIM, LEE])),
        ("a direct push is held over a floor", over_a_floor(0), held(Edit::X(2), &[KIM])),
        ("nothing happened yet", deployed(0), vec![]),
    ]
}

/// About to be merged, with an approval of somebody of whom something else was learnt.
fn of_somebody() -> Vec<Beginning> {
    let push = |pusher, author, edit, force| Act::Push { pull: 0, pusher, author, edit, force, told: true };
    let by_ben = |push: Act| [vec![Act::Open(ANN, Edit::X(2), true), push, preview(0)], readers(0, &[BEN])].concat();
    let pushed = then(&by_ben(push(BEN, ANN, Edit::X(3), false)), &[say(BEN, 0)]);
    let wrote = then(&by_ben(push(ANN, BEN, Edit::X(3), false)), &[say(BEN, 0)]);
    let altered = [say(LEE, 0), Act::Look(0), push(ANN, ANN, Edit::X(3), false), preview(0), Act::Look(0)];
    let altered = then(&shown(Edit::X(2), &[LEE]), &altered);
    let altered = then(&altered, &[push(ANN, ANN, Edit::X(2), true)]);
    let miscounted = Act::Command { who: KIM, place: 0, environment: 0, typed: Typed::Miscounted };
    let bare = Act::Command { who: LEE, place: 0, environment: 0, typed: Typed::Bare };
    let lost = [push(ANN, ANN, Edit::X(3), false), Act::Preview { place: 0, lost: true }, Act::Load(LEE, 0), bare];
    // A second comment, so that what follows is not of one second with it.
    let again = [push(ANN, ANN, Edit::Nothing, false), preview(0)];
    let lost = then(&then(&shown(Edit::X(2), &[]), &again), &lost);
    let secret = Act::Push { pull: 0, pusher: LEE, author: ANN, edit: Edit::X(3), force: false, told: false };
    let secretly = [vec![Act::Open(ANN, Edit::X(2), true), secret, preview(0)], readers(0, &[LEE])].concat();
    let lost = then(&lost, &[Act::Look(0), push(ANN, ANN, Edit::X(2), true)]);
    vec![
        ("somebody who pushed has approved", deployed(0), pushed),
        ("somebody who wrote has approved", deployed(0), wrote),
        ("somebody who pushed secretly has approved", deployed(0), then(&secretly, &[say(LEE, 0)])),
        ("an approved change was altered and altered back", deployed(0), altered),
        ("the answer about a comment was lost", deployed(0), lost),
        ("what Sam approved is merged", deployed(0), then(&shown(Edit::X(2), &[SAM]), &[say(SAM, 0), MERGE])),
        (
            "a change of the rules is approved by Sam",
            deployed(0),
            then(&shown(Edit::Both(2, FREE_RULES), &[SAM]), &[say(SAM, 0)]),
        ),
        ("a secret is approved by Kim", deployed(6), then(&shown(Edit::Y(2), &[KIM]), &[say(KIM, 0)])),
        ("nobody's file is approved by Kim", deployed(9), then(&shown(Edit::S(2), &[KIM]), &[say(KIM, 0)])),
        ("a review was given for a command", deployed(5), then(&shown(Edit::Y(2), &[LEE]), &[Act::Approve(LEE, 0)])),
        ("a deletion was miscounted", deployed(8), then(&shown(Edit::X(0), &[KIM]), &[miscounted])),
        ("a bot has approved", deployed(0), then(&shown(Edit::X(2), &[BOT]), &[say(BOT, 0)])),
        (
            "a review is dismissed",
            deployed(0),
            then(&shown(Edit::X(2), &[LEE]), &[Act::Approve(LEE, 0), Act::Dismiss(0), MERGE]),
        ),
    ]
}

/// Of worlds whose production has other rules.
fn under_other_rules() -> Vec<Beginning> {
    let twice = then(&shown(Edit::X(2), &[KIM, KIM2]), &[say(KIM, 0), say(KIM2, 0)]);
    let moved = then(&shown(Edit::Move(1, 0), &[LEE, KIM]), &[Act::Approve(LEE, 0), Act::Approve(KIM, 0)]);
    let whole =
        then(&shown(Edit::X(2), &[LEE, KIM]), &[Act::Open(ANN, Edit::Y(2), true), preview(1), Act::Load(LEE, 1)]);
    let one_of_two = then(&whole, &[say(LEE, 0), say(LEE, 1), MERGE, Act::Sync(0)]);
    let nothing = Act::Push { pull: 0, pusher: ANN, author: ANN, edit: Edit::Nothing, force: false, told: true };
    let pushed = then(&shown(Edit::X(2), &[LEE]), &[say(LEE, 0), nothing]);
    // The rules that void come with a merge that is not synced yet.
    let stricter =
        [vec![Act::Open(ANN, Edit::Rules(4), true), preview(0)], readers(0, &[LEE]), vec![say(LEE, 0)]].concat();
    let other = [Act::Open(ANN, Edit::X(2), true), preview(1), Act::Load(LEE, 1), say(LEE, 1), Act::Look(1)];
    let push = Act::Push { pull: 1, pusher: ANN, author: ANN, edit: Edit::Nothing, force: false, told: true };
    let stricter = then(&then(&stricter, &other), &[push, MERGE]);
    let waits = then(&shown(Edit::S(2), &[LEE]), &[say(LEE, 0), MERGE]);
    let reason = Act::Command { who: KIM, place: ISSUE, environment: 0, typed: Typed::Reason };
    let waive = Act::Command { who: LEE, place: 0, environment: 0, typed: Typed::Waive };
    let denied = shown(Edit::X(2), &[LEE, KIM]);
    let waived = then(&denied, &[waive, Act::Look(0)]);
    // The other object takes another value below what was approved and waived.
    let both = then(&waived, &[say(KIM, 0), Act::Look(0)]);
    let beside = [Act::Direct(BEN, Edit::S(2), true), Act::Sync(0), preview(ISSUE), Act::Load(KIM, ISSUE)];
    let beside = then(&then(&both, &beside), &[say(KIM, ISSUE), Act::Sync(0), MERGE]);
    // And so does the policy. Its owner and one of sre let it.
    let reworded = [Act::Open(ANN, Edit::Rules(14), true), preview(1), Act::Load(LEE, 1), say(LEE, 1), Act::Look(1)];
    let reworded = then(&then(&both, &reworded), &[Act::Merge { pull: 1, how: How::Squash }, Act::Sync(0), MERGE]);
    // A lead's file is changed, and the change is taken off the branch under a change of another file.
    let off = then(&shown(Edit::Y(2), &[LEE]), &[say(LEE, 0), MERGE, Act::Sync(0), Act::Rewind(BEN, true)]);
    vec![
        ("one person approves twice", deployed(1), twice),
        ("a new namespace with laxer rules is approved", deployed(5), moved),
        ("two approvals are needed", deployed(1), shown(Edit::X(2), &[LEE, KIM, KIM2])),
        ("whole sets are bound", deployed(3), whole),
        ("one of two changes to whole sets is deployed", deployed(3), one_of_two),
        ("any push voids", deployed(4), shown(Edit::X(2), &[LEE, SAM])),
        ("something was pushed where any push voids", deployed(4), pushed),
        ("something was pushed before rules by which any push voids", deployed(0), stricter),
        ("commands alone count", deployed(5), shown(Edit::Y(2), &[LEE, BOT])),
        ("secrets need a lead", deployed(6), shown(Edit::Y(2), &[LEE, KIM])),
        ("an owner says why a secret cannot wait for a lead", deployed(6), then(&held(Edit::Y(2), &[KIM]), &[reason])),
        ("only secrets need anybody", deployed(7), shown(Edit::X(2), &[BEN])),
        ("deletions have to be said", deployed(8), shown(Edit::X(0), &[LEE, KIM])),
        ("two deletions have to be said", deployed(11), shown(Edit::Two(0, 0), &[LEE, KIM])),
        ("files have owners", deployed(9), shown(Edit::Y(2), &[LEE, KIM])),
        ("a file is nobody's", deployed(9), shown(Edit::S(2), &[LEE, KIM])),
        ("an owned file was taken off the branch", deployed(9), then(&off, &held(Edit::X(2), &[KIM]))),
        ("a pull request is large", deployed(10), shown(Edit::Two(2, 2), &[LEE, KIM])),
        ("a push is large", deployed(10), held(Edit::Two(2, 2), &[LEE, KIM])),
        ("a policy denies it", deployed(13), shown(Edit::X(2), &[LEE, KIM, SAM])),
        ("what a policy denies is waived, and nobody approved it", deployed(13), waived.clone()),
        ("what a policy denies is approved, and nobody waived it", deployed(13), then(&denied, &[say(LEE, 0), MERGE])),
        ("what was waived is found beside something else", deployed(13), beside),
        ("what was waived is denied by another text", deployed(13), reworded),
        (
            "an owner says why what a policy denies cannot wait",
            deployed(13),
            then(&held(Edit::X(2), &[KIM, LEE]), &[reason]),
        ),
        ("production waits for staging", deployed(12), then(&waits, &[Act::Sync(0)])),
        ("a new namespace is shown", deployed(1), shown(Edit::Target(1), &[LEE, KIM])),
    ]
}

/// Of a world in which nothing was deployed.
fn at_first() -> Vec<Beginning> {
    let first = [
        Act::Sync(0),
        Act::Sync(STAGING),
        preview(ISSUE),
        preview(ISSUE + STAGING),
        Act::Load(LEE, ISSUE),
        Act::Load(KIM, ISSUE),
    ];
    vec![("a first set is held", World::new(tree(0)), first.to_vec())]
}
