//! Where stories begin: worlds in the middle of something, so that a few steps more reach far.

use super::acts::{Act, FREE_RULES};
use super::world::{ANN, BEN, BOT, Edit, ISSUE, KIM, KIM2, LEE, SAM, STAGING, Tree, Who, World, set_of};

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
