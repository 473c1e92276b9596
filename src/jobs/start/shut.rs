//! Windows: whether something new may be synced at this moment, by the rules of the set at hand and by the floors.

use jiff::Timestamp;

use super::holding::Waits;
use crate::consent::{BY_ITSELF, Covered};
use crate::jobs::gather::branch::Walked;
use crate::policy::rules::Environment;
use crate::policy::windows::{self, Window};
use crate::sync::HoldReason;

/// Which windows are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// All.
    All,
    /// Those of the floors: an emergency passes the environment's own.
    Floors,
}

/// The windows that judge a sync to a covered commit, each list by itself: rule 8's, of the set that runs; of a first set its
/// own and its neighbours'; and those of the floors.
fn lists<'w>(walked: &'w Walked, covered: &Covered, asked: Asked) -> Vec<&'w [Window]> {
    let entry = |entry| walked.court.entries.get(entry).map(|rules| rules.windows.as_slice());
    let mut lists: Vec<&[Window]> = match (&walked.position, asked) {
        (_, Asked::Floors) => Vec::new(),
        (Some(position), Asked::All) => position.set.entry().and_then(entry).into_iter().collect(),
        (None, Asked::All) => {
            let neighbours = walked.court.neighbours.iter().map(|rules| rules.windows.as_slice());
            covered.set.entry().and_then(entry).into_iter().chain(neighbours).collect()
        }
    };
    lists.extend(walked.court.floors.iter().map(|(_, floor)| floor.windows.as_slice()));
    lists.retain(|list| !list.is_empty());
    lists
}

/// What it waits for; `None`: nothing, they are open. It is looked at again when they open.
pub(super) fn shut(walked: &Walked, covered: &Covered, asked: Asked, now: Timestamp) -> Option<Waits> {
    let of_floors = lists(walked, covered, Asked::Floors);
    let lists = lists(walked, covered, asked);
    // When they change is a search of many days, within the gate's transaction.
    if windows::is_open(&lists, now) {
        return None;
    }
    let state = windows::state(&lists, now);
    let when = match state.until {
        Some(until) => format!("it opens `{}`", windows::moment(&lists, until)),
        None => "it does not open within 400 days".to_owned(),
    };
    let name = &walked.environment.name;
    let why = format!("{name} is outside its windows, `{}`; {when}", windows::words(&lists));
    // An emergency passes no floor: where one is shut, asking for it helps nobody.
    let lifts = match has_emergencies(walked) && windows::is_open(&of_floors, now) {
        true => HoldReason::Window.lifted_by(name, None, 0),
        false => BY_ITSELF.to_owned(),
    };
    Some(Waits { reason: HoldReason::Window, why, lifts, wakes: state.until })
}

/// Whether the rules in force name people for emergencies.
fn has_emergencies(walked: &Walked) -> bool {
    let entry = walked.position.as_ref().and_then(|position| position.set.entry());
    entry.and_then(|entry| walked.court.entries.get(entry)).is_some_and(|rules| rules.may.emergency.is_some())
}

/// An environment's own windows, when they are shut.
pub(super) fn own(rules: &Environment, now: Timestamp) -> Option<String> {
    let list: [&[Window]; 1] = [&rules.windows];
    (!windows::is_open(&list, now)).then(|| format!("windows: `{}`", windows::words(&list)))
}
