//! What the forge tells and what was shown, in the words of `bascule::consent`.

use std::collections::{BTreeMap, BTreeSet};

use bascule::consent::{
    Approval, ApprovalKey, Denial, Given, Look, Now, Objection, Place, Revocation, Shown, ShownAs, SourceNow, Text,
    Wanted, WhyNot,
};
use bascule::ids::EnvironmentName;
use bascule::policy::rules::{ApprovalSource, OnPush};
use jiff::Timestamp;

use super::cast::{CAST, entry};
use super::memory::{Memory, Row};
use super::mutant::Mutant;
use super::world::{PlaceId, Says, Set, World, name};

pub(super) fn time(at: u8) -> Timestamp {
    Timestamp::from_second(1_000_000 + i64::from(at)).unwrap()
}

pub(super) fn place_of(world: &World, place: PlaceId) -> Place {
    let for_main = world.pulls.get(usize::from(place)).is_none_or(|pull| pull.for_main);
    Place { number: i64::from(place), base_branch: if for_main { "main" } else { "release" }.to_owned() }
}

pub(super) fn shown(row: &Row, denials: BTreeSet<Denial>) -> Shown {
    Shown {
        environment: CAST.names[usize::from(name(row.new.environment))].clone(),
        shown_as: if row.held { ShownAs::Held } else { ShownAs::Pull },
        preview: 0,
        head: CAST.commit(row.head),
        old_set: row.old.map(|old| CAST.set_digest(old)),
        new_set: CAST.set_digest(row.new),
        change: CAST.digest(row.old, row.new),
        deletions: None,
        denials,
        from: row.known.then(|| time(row.from)),
    }
}

/// What a push does to an approval of `new`: by the rules of what runs, of a first set by its own.
pub(super) fn on_push(world: &World, new: Set) -> OnPush {
    let position = world.ours.environments[usize::from(new.environment)].position;
    let rules = position.map_or(new.rules, |(_, set)| set.rules);
    CAST.rules(new.environment, rules).consent.on_push
}

pub(super) fn given(
    world: &World,
    place: PlaceId,
    mutant: Mutant,
    denial: impl Fn(Option<Set>, Set) -> Option<Denial>,
) -> Vec<(Given, u8)> {
    let mut all = vec![];
    for (source, review) in (0..).zip(&world.reviews).filter(|(_, review)| review.place == place && review.approves) {
        all.push((
            Given {
                person: CAST.account(review.who),
                source: ApprovalSource::Review,
                source_id: i64::from(source),
                head: Some(CAST.commit(review.head)),
                wanted: Wanted::Everything,
                deletions: None,
                reason: None,
                at: time(review.undone.filter(|_| mutant == Mutant::DismissalsAreUndone).unwrap_or(review.at)),
                text: Text::Unedited,
            },
            source,
        ));
    }
    let commands = (0..).zip(&world.commands).filter(|(_, command)| command.place == place);
    for (source, command) in commands.filter(|(_, command)| !command.deleted || mutant == Mutant::DeletedStands) {
        let name = |environment: &u8| CAST.names[usize::from(*environment)].clone();
        let (wanted, deletions, reason) = match &command.says {
            Says::Revoke => continue,
            Says::Waive { environment, change: (old, new) } => {
                let digest = denial(*old, *new).map(|denial| denial.digest(&CAST.digest(*old, *new)).short());
                let environments = Some(BTreeSet::from([name(environment)]));
                (Wanted::Waiver { policy: "p".to_owned(), environments, digest }, None, true)
            }
            Says::Approve { environment, change: Some((old, new)), deletions, reason } => {
                (Wanted::Change(name(environment), CAST.digest(*old, *new).short()), *deletions, *reason)
            }
            Says::Approve { environment, change: None, deletions, reason } => {
                (Wanted::Environments(BTreeSet::from([name(environment)])), *deletions, *reason)
            }
        };
        let edited = command.edited && mutant != Mutant::EditedStands;
        all.push((
            Given {
                person: CAST.account(command.who),
                source: ApprovalSource::Command,
                source_id: i64::from(source),
                head: None,
                wanted,
                deletions: deletions.map(u64::from),
                reason: reason.then(|| "it burns".to_owned()),
                at: time(command.at),
                text: if edited { Text::Edited } else { Text::Unedited },
            },
            source,
        ));
    }
    all
}

pub(super) fn now(world: &World, place: PlaceId, memory: &Memory, mutant: Mutant) -> Now {
    let mut sources = BTreeMap::new();
    let (mut objections, mut revocations) = (vec![], vec![]);
    for (source, review) in (0..).zip(&world.reviews).filter(|(_, review)| review.place == place) {
        let undone = review.undone.is_some() && mutant == Mutant::DismissalsAreUndone;
        let state = if review.dismissed && !undone { SourceNow::Dismissed } else { SourceNow::Stands };
        sources.insert((ApprovalSource::Review, source), state);
        if !review.approves {
            objections.push(Objection { person: CAST.account(review.who), at: time(review.at) });
        }
    }
    let commands = (0..).zip(&world.commands).filter(|(_, command)| command.place == place);
    for (source, command) in commands.filter(|(_, command)| !command.deleted) {
        let state = if command.edited { SourceNow::Edited } else { SourceNow::Stands };
        sources.insert((ApprovalSource::Command, source), state);
        if command.says == Says::Revoke {
            let (person, at) = (CAST.account(command.who), time(command.at));
            revocations.push(Revocation { person, environments: None, at, comment: source });
        }
    }
    let mut looks: BTreeMap<EnvironmentName, Vec<Look>> = BTreeMap::new();
    for seen in &memory.seen {
        looks.entry(CAST.names[usize::from(seen.environment)].clone()).or_default().push(Look {
            head: CAST.commit(seen.head),
            from: Some(time(seen.from)),
            change: seen.change.map(|(old, new)| CAST.digest(old, new)),
        });
    }
    let head = world.pulls.get(usize::from(place)).map_or(0, |pull| pull.head);
    Now { place: place_of(world, place), sources, objections, revocations, head: CAST.commit(head), looks }
}

/// The mutant that takes the newest change for the one that was meant.
pub(super) fn newest(
    given: &Given,
    shown: &[Shown],
    place: &Place,
    bound: &mut BTreeMap<EnvironmentName, Result<Approval, WhyNot>>,
) {
    for (name, bound) in bound.iter_mut().filter(|(_, bound)| bound.is_err()) {
        let newest = shown.iter().rfind(|one| one.environment == *name && one.from.is_some());
        let Some(newest) = newest.filter(|_| given.text == Text::Unedited) else { continue };
        let key = ApprovalKey { environment: name.clone(), source: given.source, source_id: given.source_id };
        *bound = Ok(Approval {
            key,
            place: place.clone(),
            head: newest.head.clone(),
            shown_as: newest.shown_as,
            old_set: newest.old_set,
            new_set: newest.new_set,
            change: newest.change,
            preview: 0,
            person: given.person.clone(),
            policy: entry(0, 0),
            deletions: given.deletions,
            reason: None,
            waives: None,
            at: given.at,
        });
    }
}
