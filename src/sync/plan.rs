//! What to do with each object, from three facts about it: what the covered set says, what the inventory says we did,
//! and what the cluster shows.

use std::collections::BTreeMap;

use crate::ids::{ObjectHash, ObjectKey};

use crate::manifest::{Phase, apply_order, delete_order, phase};

use super::fields::LiveHash;

/// One object of the covered set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// Which.
    pub key: ObjectKey,
    /// At which version it is written.
    pub api_version: String,
    /// Of the canonical JSON to send.
    pub hash: ObjectHash,
}

/// One row of the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Which.
    pub key: ObjectKey,
    /// At which version it was sent.
    pub api_version: String,
    /// The server's id of it; `None` when it was written ahead and no answer was recorded.
    pub uid: Option<String>,
    /// Of the canonical JSON last sent.
    pub hash: ObjectHash,
    /// The version the server answered with.
    pub resource_version: Option<String>,
    /// Of our fields in that answer.
    pub live: Option<LiveHash>,
}

/// What the cluster says of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Live {
    /// The answer could not be had, and why. Never means absent.
    Unknown(String),
    /// The cluster answered, and it is not there.
    Absent,
    /// It is there.
    Seen(Seen),
}

/// The metadata of a live object, as far as a plan needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The server's id.
    pub uid: String,
    /// The version just read.
    pub resource_version: String,
    /// Since when it is being deleted, with what holds it up; `None` when it is not.
    pub deleting: Option<String>,
    /// The owner annotation.
    pub owner: Option<String>,
    /// Whether the server itself lists our field manager as an applier of it. Labels can be copied; this cannot.
    pub applied_by_us: bool,
    /// Whether it asks not to be pruned.
    pub prune_never: bool,
    /// The wave it says that it was sent in.
    pub wave: i64,
    /// Of our fields; read only for the [`suspects`].
    pub live: Option<LiveHash>,
}

/// What to do with an object of the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send it as new: the server refuses when there is one by now.
    Create,
    /// Send it over exactly this one: the server refuses when it was changed or recreated since.
    Update {
        /// Whom we mean.
        uid: String,
        /// What we saw.
        resource_version: String,
        /// What for.
        why: Why,
    },
    /// Send it over one that is not in our inventory and that no environment owns; a field that somebody holds with
    /// another value makes it a conflict.
    Adopt {
        /// Whom we mean.
        uid: String,
        /// What we saw.
        resource_version: String,
    },
    /// Send nothing.
    Unchanged {
        /// The version to remember, when others wrote to fields that are not ours.
        moved: Option<String>,
    },
    /// Send nothing, because it may not be touched.
    Blocked(Blocked),
}

/// Why an update is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The set says something else than we sent last.
    Changed,
    /// One of our fields is no longer as the server answered it.
    Drifted,
    /// It was sent, and no answer was recorded.
    Unconfirmed,
}

/// Why an object may not be touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// The owner annotation names somebody else.
    #[error("it belongs to `{0}`")]
    OwnedBy(String),
    /// It is on its way out; writing to it is pointless.
    #[error("it is being deleted {0}; sync again when it is gone")]
    Deleting(String),
    /// Its kind could not be listed.
    #[error("the cluster did not say what is there: {0}")]
    Unknown(String),
}

/// What to do with an object of the inventory that is not in the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prune {
    /// Delete exactly this one.
    Delete {
        /// Whom we mean; the precondition of the delete.
        uid: String,
        /// What we saw; the other one.
        resource_version: String,
    },
    /// It is gone already: the inventory lets go of it.
    Gone,
    /// Somebody made another one under its name: not ours, so the inventory lets go of it and it stays.
    Recreated,
    /// It stays, and stays in the inventory; the text says why.
    Keep(String),
}

/// Whether this sync may delete at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PruneRule {
    /// As far as there is proof.
    WithProof,
    /// The same, and an empty set is meant: the environment ends.
    Everything,
    /// `sync.prune: false`.
    Off,
    /// The database was put back from a backup, and nobody has looked at that yet.
    Restored,
}

/// What decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruning {
    /// `sync.prune`.
    pub is_wanted: bool,
    /// Whether nobody has looked yet at what a restored database says.
    pub is_restored: bool,
}

impl From<Pruning> for PruneRule {
    fn from(pruning: Pruning) -> Self {
        match pruning {
            Pruning { is_wanted: false, .. } => Self::Off,
            Pruning { is_wanted: true, is_restored: true } => Self::Restored,
            Pruning { is_wanted: true, is_restored: false } => Self::WithProof,
        }
    }
}

/// When an object is deleted. What was sent last goes first, and all of one round is gone before the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Round {
    /// In which phase it was sent.
    pub phase: Phase,
    /// In which wave of that: only the last phase has any.
    pub wave: i64,
}

/// What a sync does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Every object of the set, in the order of sending.
    pub actions: Vec<(Phase, Desired, Action)>,
    /// Every object of the inventory that is not in the set, in the order of deleting.
    pub prunes: Vec<(Round, Recorded, Prune)>,
}

/// Which objects' fields have to be read: their version moved since our last write, which may be anybody's business.
/// All others are decided by metadata alone.
pub fn suspects<'a>(
    desired: &'a [Desired],
    recorded: &BTreeMap<ObjectKey, Recorded>,
    live: &BTreeMap<ObjectKey, Live>,
) -> Vec<&'a Desired> {
    let is_suspect = |wanted: &&Desired| {
        let (Some(record), Some(Live::Seen(seen))) = (recorded.get(&wanted.key), live.get(&wanted.key)) else {
            return false;
        };
        same_content(wanted, record)
            && record.uid.as_ref() == Some(&seen.uid)
            && record.live.is_some()
            && record.resource_version.as_ref() != Some(&seen.resource_version)
    };
    desired.iter().filter(is_suspect).collect()
}

fn same_content(wanted: &Desired, record: &Recorded) -> bool {
    wanted.hash == record.hash && wanted.api_version == record.api_version
}

/// Decides for every object of the complete set and of the inventory. A key missing from `live` is unknown. `owner` is
/// what our owner annotation says.
///
/// An empty set deletes nothing: a renderer that gives nothing is far likelier than the wish to have nothing, and the two
/// look alike. That wish is said otherwise, by two people ([`PruneRule::Everything`]).
pub fn plan(
    owner: &str,
    desired: &[Desired],
    recorded: &BTreeMap<ObjectKey, Recorded>,
    live: &BTreeMap<ObjectKey, Live>,
    rule: PruneRule,
) -> Plan {
    let look =
        |key: &ObjectKey| live.get(key).cloned().unwrap_or_else(|| Live::Unknown("it was not listed".to_owned()));
    let wanted: BTreeMap<_, _> = desired.iter().map(|object| (&object.key, object)).collect();
    let actions = apply_order(wanted.keys().copied())
        .into_iter()
        .filter_map(|key| wanted.get(key))
        .map(|wanted| {
            let action = act(owner, wanted, recorded.get(&wanted.key), look(&wanted.key));
            (phase(&wanted.key), (*wanted).clone(), action)
        })
        .collect();
    let mut prunes: Vec<_> = delete_order(recorded.keys().filter(|key| !wanted.contains_key(key)))
        .into_iter()
        .filter_map(|key| recorded.get(key))
        .map(|record| {
            let live = look(&record.key);
            let round = round(&record.key, &live);
            let verdict = match (rule, desired.is_empty()) {
                (PruneRule::Off, _) => Prune::Keep("pruning is off for this environment".to_owned()),
                (PruneRule::Restored, _) => Prune::Keep(
                    "the server's database was put back from a backup: nothing is deleted until an operator types \
                     `bascule restored confirm`"
                        .to_owned(),
                ),
                (PruneRule::WithProof, true) => Prune::Keep("an empty set deletes nothing".to_owned()),
                (PruneRule::WithProof, false) | (PruneRule::Everything, _) => prune(owner, record, live),
            };
            (round, record.clone(), verdict)
        })
        .collect();
    // Within a round the order of kinds stays.
    prunes.sort_by_key(|(round, ..)| std::cmp::Reverse(*round));
    Plan { actions, prunes }
}

/// Its set is not at hand any more, but the object says itself in which wave it came.
fn round(key: &ObjectKey, live: &Live) -> Round {
    let wave = match (phase(key), live) {
        (Phase::Rest, Live::Seen(seen)) => seen.wave,
        (Phase::Namespaces | Phase::Definitions | Phase::Rest, _) => 0,
    };
    Round { phase: phase(key), wave }
}

fn act(owner: &str, wanted: &Desired, record: Option<&Recorded>, live: Live) -> Action {
    let seen = match live {
        Live::Unknown(why) => return Action::Blocked(Blocked::Unknown(why)),
        Live::Absent => return Action::Create,
        Live::Seen(seen) => seen,
    };
    if let Some(other) = seen.owner.as_ref().filter(|other| *other != owner) {
        return Action::Blocked(Blocked::OwnedBy(other.clone()));
    }
    if let Some(how) = seen.deleting {
        return Action::Blocked(Blocked::Deleting(how));
    }
    let (uid, resource_version) = (seen.uid, seen.resource_version);
    let Some(record) = record else { return Action::Adopt { uid, resource_version } };
    match &record.uid {
        Some(known) if *known != uid => return Action::Adopt { uid, resource_version },
        None if seen.applied_by_us && seen.owner.is_some() => {
            return Action::Update { uid, resource_version, why: Why::Unconfirmed };
        }
        None => return Action::Adopt { uid, resource_version },
        Some(_) => {}
    }
    if !same_content(wanted, record) {
        return Action::Update { uid, resource_version, why: Why::Changed };
    }
    if record.resource_version.as_ref() == Some(&resource_version) {
        return Action::Unchanged { moved: None };
    }
    if record.live.is_some() && record.live == seen.live {
        return Action::Unchanged { moved: Some(resource_version) };
    }
    Action::Update { uid, resource_version, why: Why::Drifted }
}

/// Deletes only with positive proof (invariant 8): it is in our inventory, it is the very one we wrote, and nobody
/// else claims it.
pub fn prune(owner: &str, record: &Recorded, live: Live) -> Prune {
    let seen = match live {
        Live::Unknown(why) => return Prune::Keep(format!("the cluster did not say whether it is there: {why}")),
        Live::Absent => return Prune::Gone,
        Live::Seen(seen) => seen,
    };
    match &record.uid {
        Some(known) if *known != seen.uid => return Prune::Recreated,
        // Written ahead, and the answer lost: ours only if the server says that we applied it, under our own name.
        None if !(seen.applied_by_us && seen.owner.as_deref() == Some(owner)) => return Prune::Recreated,
        Some(_) | None => {}
    }
    if let Some(other) = seen.owner.filter(|other| other != owner) {
        return Prune::Keep(format!("its annotation says that it belongs to `{other}`"));
    }
    if seen.prune_never {
        return Prune::Keep(format!("`{}: never`", super::PRUNE_ANNOTATION));
    }
    Prune::Delete { uid: seen.uid, resource_version: seen.resource_version }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
