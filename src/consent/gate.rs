//! Rules 11 and 13: where a sync may go now, and what it waits for first.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::change::HashedSet;
use super::checks::Awaited;
use super::walk::{Covered, Walk};
use crate::ids::{EnvironmentName, ObjectHash, SetKey};
use crate::policy::rules::{After, Environment, SyncMode};

/// How old facts may be when a sync starts (rule 13).
pub const FRESH: SignedDuration = SignedDuration::from_secs(30);

/// When the facts of a judgement were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// When the first of them was read from the forge, by the clock that also says what time it is now.
    pub at: Timestamp,
    /// The number of the newest fact of this repository that was stored before they were read.
    pub newest_fact: i64,
}

/// Why a judgement may not be acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// They are too old, or of a time that is still to come: a clock was moved.
    #[error("what was read from the forge is older than 30 seconds")]
    Old,
    /// Something was stored since.
    #[error("something new arrived from the forge while this was judged")]
    Overtaken,
}

impl Reading {
    /// Whether a judgement on these facts may start a sync. Asked in the transaction that starts it; both ways it fails
    /// are tried again with new facts.
    ///
    /// # Errors
    /// What made them stale.
    pub fn may_start(&self, now: Timestamp, newest_fact: i64) -> Result<(), Stale> {
        let age = now.duration_since(self.at);
        if age.is_negative() || age > FRESH {
            Err(Stale::Old)
        } else if newest_fact != self.newest_fact {
            Err(Stale::Overtaken)
        } else {
            Ok(())
        }
    }
}

/// Another environment that one waits for, seen from a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Before {
    /// What it has at that commit; `None` when it does not render there, or is not there.
    pub at_commit: Option<HashedSet>,
    /// With what it was last healthy.
    pub healthy: Option<HashedSet>,
    /// For how long it has been, as far as we looked; `None`: it is not now, or nobody looked.
    pub healthy_for: Option<SignedDuration>,
}

impl Before {
    /// Whether it has been healthy with exactly the objects it has at that commit. Its rules are no objects.
    pub fn is_met(&self) -> bool {
        let objects = |set: &HashedSet| -> BTreeMap<SetKey, ObjectHash> {
            set.hashes
                .iter()
                .filter(|(key, _)| **key != SetKey::Entry)
                .map(|(key, hash)| (key.clone(), *hash))
                .collect()
        };
        match (&self.at_commit, &self.healthy) {
            (Some(wanted), Some(healthy)) => wanted.target == healthy.target && objects(wanted) == objects(healthy),
            _ => false,
        }
    }

    /// How long it is still to soak: nothing, once it has, or where it does not have to. `None`: it is not met, or not known.
    pub fn soaks_for(&self, after: &After) -> Option<SignedDuration> {
        let soak = SignedDuration::from_secs(i64::try_from(after.soak_seconds.unwrap_or_default()).unwrap_or(i64::MAX));
        match self.healthy_for {
            _ if !self.is_met() => None,
            _ if soak.is_zero() => Some(SignedDuration::ZERO),
            Some(so_far) => Some(soak.saturating_sub(so_far).max(SignedDuration::ZERO)),
            None => None,
        }
    }
}

/// What a covered commit waits for: those of its own `after` (which is covered with it) that are not met there.
pub fn waits_for<'c>(
    covered: &Covered,
    entries: &'c BTreeMap<ObjectHash, Environment>,
    mut before: impl FnMut(&EnvironmentName, &Covered) -> Before,
) -> Option<Vec<&'c EnvironmentName>> {
    let rules = covered.set.entry().and_then(|entry| entries.get(entry))?;
    let is_over = |left: Option<SignedDuration>| left.is_some_and(|left| left.is_zero());
    let open = rules.after.iter().filter(|after| !is_over(before(&after.environment, covered).soaks_for(after)));
    Some(open.map(|after| &after.environment).collect())
}

/// Whose checks have to be read before it is known where a sync goes: of the covered commits whose `after` is met those that
/// name some, newest first, each with the names; `None` after the one that needs none. `runs` is what was let through
/// already: a commit that brings nothing else is not asked about.
pub fn to_ask<'w>(
    walk: &'w Walk,
    entries: &'w BTreeMap<ObjectHash, Environment>,
    runs: Option<&HashedSet>,
    mut before: impl FnMut(&EnvironmentName, &Covered) -> Before,
) -> Vec<(&'w Covered, &'w BTreeSet<String>)> {
    let mut asked = Vec::new();
    for covered in walk.covered.iter().rev() {
        let Some(open) = waits_for(covered, entries, &mut before) else { continue };
        if !open.is_empty() {
            continue;
        }
        match checks_of(covered, entries, runs) {
            Some(wanted) => asked.push((covered, wanted)),
            // It goes there at the latest.
            None => break,
        }
    }
    asked
}

/// The checks a covered commit has to have, by its own rules.
fn checks_of<'c>(
    covered: &Covered,
    entries: &'c BTreeMap<ObjectHash, Environment>,
    runs: Option<&HashedSet>,
) -> Option<&'c BTreeSet<String>> {
    let rules = covered.set.entry().and_then(|entry| entries.get(entry))?;
    let never = rules.sync.mode == SyncMode::None || runs == Some(&covered.set);
    Some(&rules.consent.checks).filter(|checks| !checks.is_empty() && !never)
}

/// Where a sync goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination<'w> {
    /// There is nothing covered that is newer than the position.
    Nowhere,
    /// To this commit: the newest one that is covered and waits for nothing.
    To(&'w Covered),
    /// Everything covered still waits; this is the newest, and for what.
    Waits(&'w Covered, WaitsFor),
}

/// What a covered commit waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitsFor {
    /// Other environments; none when its rules cannot be read.
    After(Vec<EnvironmentName>),
    /// Its own checks.
    Checks(Awaited),
}

/// Rule 11: the newest covered commit whose `after` is met and whose checks are green. `checks` says what of those that
/// [`to_ask`] names is not green; what it was not asked about needs none.
pub fn destination<'w>(
    walk: &'w Walk,
    entries: &BTreeMap<ObjectHash, Environment>,
    mut before: impl FnMut(&EnvironmentName, &Covered) -> Before,
    checks: impl Fn(&Covered) -> Option<Awaited>,
) -> Destination<'w> {
    let mut newest_waits = None;
    for covered in walk.covered.iter().rev() {
        let waits = match waits_for(covered, entries, &mut before) {
            Some(open) if open.is_empty() => match checks(covered) {
                None => return Destination::To(covered),
                Some(awaited) => WaitsFor::Checks(awaited),
            },
            Some(open) => WaitsFor::After(open.into_iter().cloned().collect()),
            // Its rules cannot be read here, so what it waits for is not known.
            None => WaitsFor::After(Vec::new()),
        };
        newest_waits = newest_waits.or(Some((covered, waits)));
    }
    newest_waits.map_or(Destination::Nowhere, |(covered, waits)| Destination::Waits(covered, waits))
}
