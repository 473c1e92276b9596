//! Windows: whether something new may be synced at this moment, by the rules of the set at hand and by the floors.

use jiff::Timestamp;

use super::holding::Waits;
use crate::consent::{BY_ITSELF, Covered};
use crate::jobs::gather::branch::Walked;
use crate::policy::windows::{self, Window};
use crate::sync::HoldReason;

/// The windows that judge a sync to a covered commit, each list by itself: rule 8's, of the set that runs; of a first set its
/// own and its neighbours'; and those of the floors.
fn lists<'w>(walked: &'w Walked, covered: &Covered) -> Vec<&'w [Window]> {
    let entry = |entry| walked.court.entries.get(entry).map(|rules| rules.windows.as_slice());
    let mut lists: Vec<&[Window]> = match &walked.position {
        Some(position) => position.set.entry().and_then(entry).into_iter().collect(),
        None => {
            let neighbours = walked.court.neighbours.iter().map(|rules| rules.windows.as_slice());
            covered.set.entry().and_then(entry).into_iter().chain(neighbours).collect()
        }
    };
    lists.extend(walked.court.floors.iter().map(|(_, floor)| floor.windows.as_slice()));
    lists.retain(|list| !list.is_empty());
    lists
}

/// What it waits for; `None`: nothing, they are open. It is looked at again when they open.
pub(super) fn shut(walked: &Walked, covered: &Covered, now: Timestamp) -> Option<Waits> {
    let lists = lists(walked, covered);
    let state = windows::state(&lists, now);
    if state.is_open {
        return None;
    }
    let when = match state.until {
        Some(until) => format!("it opens {}", windows::moment(&lists, until)),
        None => "it does not open within 400 days".to_owned(),
    };
    let why = format!("{} is outside its windows, {}; {when}", walked.environment.name, windows::words(&lists));
    Some(Waits { reason: HoldReason::Window, why, lifts: BY_ITSELF.to_owned(), wakes: state.until })
}
