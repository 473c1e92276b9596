//! What is said of a covered commit that comes after other environments, and when it is looked at again.

use jiff::SignedDuration;

use super::holding::Waits;
use crate::consent::{BY_ITSELF, Covered};
use crate::ids::{EnvironmentName, Span};
use crate::jobs::gather::branch::Walked;
use crate::policy::rules::After;

/// Of the environments it waits for: those that are not healthy at that commit, and those that are, and not for long enough.
pub(super) fn waits(walked: &Walked, covered: &Covered, names: &[EnvironmentName]) -> Waits {
    let name = &walked.environment.name;
    let rules = covered.set.entry().and_then(|entry| walked.court.entries.get(entry));
    let after =
        |name: &EnvironmentName| rules.and_then(|rules| rules.after.iter().find(|one| one.environment == *name));
    let left = |after: &After| -> Option<SignedDuration> {
        walked.befores.get(&(after.environment.clone(), covered.commit.clone()))?.soaks_for(after)
    };
    let lefts: Vec<Option<SignedDuration>> = names.iter().map(|name| after(name).and_then(left)).collect();
    let said: Vec<String> = names
        .iter()
        .zip(&lefts)
        .map(|(name, left)| match (left, after(name).and_then(|after| after.soak_seconds)) {
            (Some(_), Some(soak)) => {
                format!("{name} has been healthy for {} with what it has at this commit", Span::of_seconds(soak))
            }
            _ => format!("{name} is healthy at this commit"),
        })
        .collect();
    // While one is not healthy at all there is no moment to wait for: its own end has this judged again.
    let longest = lefts.iter().copied().collect::<Option<Vec<_>>>().and_then(|lefts| lefts.into_iter().max());
    let wakes = longest.and_then(|longest| walked.reading.at.checked_add(longest).ok());
    let why = format!("{name} waits until {}", said.join(", and "));
    Waits { wakes, ..Waits::other(why, BY_ITSELF.to_owned()) }
}
