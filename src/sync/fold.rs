//! What a watch shows of one kind, folded into what is needed: a sighting per object of ours, never the object.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::ObjectKey;

use super::drift::{Known, Sighting};

/// A watch's memory.
#[derive(Debug, Default)]
pub struct Fold {
    seen: BTreeMap<ObjectKey, Sighting>,
    /// Objects of the inventory, also those that do not say any more that they are ours.
    known: BTreeSet<ObjectKey>,
    /// What was met since everything began to be told anew.
    met: Option<BTreeSet<ObjectKey>>,
    /// Objects that moved and were not compared yet.
    moved: BTreeSet<ObjectKey>,
    /// Whether everything has to be compared: the watch has just told what is there.
    is_whole: bool,
}

/// Which objects are to be compared with what is remembered of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// None.
    Nothing,
    /// All of the kind.
    Everything,
    /// These.
    These(Vec<ObjectKey>),
}

impl Fold {
    /// Everything will be told anew.
    pub fn begins(&mut self) {
        self.met = Some(BTreeSet::new());
    }

    /// An object as it is now.
    pub fn sees(&mut self, key: ObjectKey, sighting: Sighting) {
        if let Some(met) = &mut self.met {
            met.insert(key.clone());
        }
        if !sighting.is_ours && !self.seen.contains_key(&key) && !self.known.contains(&key) && self.met.is_none() {
            return;
        }
        self.moved.insert(key.clone());
        self.seen.insert(key, sighting);
    }

    /// An object is gone.
    pub fn loses(&mut self, key: ObjectKey) {
        if self.seen.remove(&key).is_some() || self.known.contains(&key) {
            self.moved.insert(key);
        }
    }

    /// Everything that is there was told: what was not is gone.
    pub fn is_told(&mut self) {
        if let Some(met) = self.met.take() {
            self.seen.retain(|key, _| met.contains(key));
        }
        self.is_whole = true;
    }

    /// What is to be compared. Nothing is while the watch still tells what is there.
    pub fn due(&self) -> Due {
        match (&self.met, self.is_whole, self.moved.is_empty()) {
            (Some(_), ..) | (None, false, true) => Due::Nothing,
            (None, true, _) => Due::Everything,
            (None, false, false) => Due::These(self.moved.iter().cloned().collect()),
        }
    }

    /// Compares what is remembered of what was [`Self::due`]; gives the suspects. What a sync is about is compared again when that
    /// has ended, and what a look was asked for already when that has been: it may have read what was there before this.
    pub fn compare(&mut self, remembered: &[Known]) -> Vec<ObjectKey> {
        let (was_whole, mut later) = (std::mem::take(&mut self.is_whole), BTreeSet::new());
        let mut suspects = Vec::new();
        for known in remembered {
            self.known.insert(known.key.clone());
            let has_moved = known.has_moved(self.seen.get(&known.key));
            if known.is_syncing || (has_moved && known.is_suspect) {
                later.insert(known.key.clone());
            }
            if !known.is_syncing && has_moved && (was_whole || !known.is_suspect) {
                // A look that was asked for and never came is asked for again when everything is told.
                suspects.push(known.key.clone());
            }
        }
        if was_whole {
            let remembered: BTreeSet<&ObjectKey> = remembered.iter().map(|known| &known.key).collect();
            self.seen.retain(|key, sighting| sighting.is_ours || remembered.contains(key));
            self.known.retain(|key| remembered.contains(key));
        }
        self.moved = later;
        suspects
    }

    /// What came of a comparison could not be kept.
    pub fn again(&mut self, key: ObjectKey) {
        self.moved.insert(key);
    }

    /// How many objects it remembers.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether it remembers none.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::drift::Mark;
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey { group: String::new(), kind: "ConfigMap".into(), namespace: Some("shop".into()), name: name.into() }
    }

    fn sighting(mark: u8, is_ours: bool) -> Sighting {
        Sighting { uid: "u".into(), resource_version: mark.to_string(), mark: Mark([mark; 32]), is_ours }
    }

    fn known(name: &str, mark: u8) -> Known {
        Known {
            key: key(name),
            environment: 1,
            uid: Some("u".into()),
            mark: Some(Mark([mark; 32])),
            drifted: None,
            is_suspect: false,
            is_syncing: false,
        }
    }

    fn begun(names: &[(&str, u8, bool)]) -> Fold {
        let mut fold = Fold::default();
        fold.begins();
        for (name, mark, is_ours) in names {
            fold.sees(key(name), sighting(*mark, *is_ours));
        }
        assert_eq!(fold.due(), Due::Nothing, "not before everything is told");
        fold.is_told();
        assert_eq!(fold.due(), Due::Everything);
        fold
    }

    #[test]
    fn after_everything_is_told_what_moved_or_is_gone_is_suspect_and_strangers_are_forgotten() {
        let mut fold = begun(&[("same", 1, true), ("moved", 2, true), ("stripped", 3, false), ("theirs", 1, false)]);
        let remembered = [known("same", 1), known("moved", 1), known("stripped", 1), known("gone", 1)];
        assert_eq!(fold.compare(&remembered), [key("moved"), key("stripped"), key("gone")]);
        assert_eq!((fold.len(), fold.due()), (3, Due::Nothing), "nothing is asked while nothing moves");
        fold.sees(key("theirs"), sighting(9, false));
        assert_eq!(fold.due(), Due::Nothing, "nobody asks about strangers");
        fold.sees(key("stripped"), sighting(4, false));
        fold.loses(key("same"));
        assert_eq!(fold.due(), Due::These(vec![key("same"), key("stripped")]));
    }

    #[test]
    fn a_sync_is_waited_for_and_a_look_is_asked_for_once_until_everything_is_told_again() {
        let mut fold = begun(&[("a", 2, true)]);
        let syncing = Known { is_syncing: true, ..known("a", 1) };
        assert_eq!(fold.compare(&[syncing]), []);
        assert_eq!(fold.due(), Due::These(vec![key("a")]), "compared again when it has ended");
        let suspect = Known { is_suspect: true, ..known("a", 1) };
        assert_eq!(fold.compare(std::slice::from_ref(&suspect)), []);
        fold.begins();
        fold.is_told();
        assert_eq!(fold.compare(std::slice::from_ref(&suspect)), [key("a")], "and this time it is gone, too");
        assert!(fold.is_empty());
    }

    #[test]
    fn what_moves_while_it_is_looked_at_is_compared_again_when_that_look_has_ended() {
        let mut fold = begun(&[("a", 1, true)]);
        assert_eq!(fold.compare(&[known("a", 1)]), []);
        fold.sees(key("a"), sighting(2, true));
        assert_eq!(fold.compare(&[known("a", 1)]), [key("a")]);
        assert_eq!(fold.due(), Due::Nothing, "it is asked for");
        // The look reads it; then somebody's hand is on it once more, and the look knows nothing of that.
        fold.sees(key("a"), sighting(3, true));
        let looked_at = Known { is_suspect: true, ..known("a", 1) };
        assert_eq!(fold.compare(std::slice::from_ref(&looked_at)), [], "one look is asked for at a time");
        assert_eq!(fold.due(), Due::These(vec![key("a")]));
        assert_eq!(fold.compare(std::slice::from_ref(&looked_at)), [], "it still runs");
        assert_eq!(fold.due(), Due::These(vec![key("a")]));
        // It records what it read.
        assert_eq!(fold.compare(&[known("a", 2)]), [key("a")]);
        assert_eq!(fold.due(), Due::Nothing);
        // One that read the last of it leaves nothing to compare.
        fold.sees(key("a"), sighting(4, true));
        assert_eq!(fold.compare(&[Known { is_suspect: true, ..known("a", 2) }]), []);
        assert_eq!((fold.compare(&[known("a", 4)]), fold.due()), (vec![], Due::Nothing));
    }
}
