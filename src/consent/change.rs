//! Sets and changes (rules 1 to 3): what is compared, and the digests people and tables name it by.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::encode::Writer;
use crate::ids::{ChangeDigest, EnvironmentName, ObjectHash, RepositoryKey, SetDigest, SetKey, Target};

/// A rendered set, as far as consent sees it: which objects, and a keyed hash of each; and the entry, the hash of the
/// environment's own rules. The hashes are keyed, so a digest of them lets nobody guess a Secret's content.
///
/// Serialised as the target and a sorted list of `[key, hash]`, because JSON has no keys but texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HashedSet {
    /// Where the objects go. Two sets of different targets belong to different environments.
    pub target: Target,
    /// What is there.
    #[serde(with = "pairs")]
    pub hashes: BTreeMap<SetKey, ObjectHash>,
}

impl HashedSet {
    /// The set of an environment that was never synced: no object, and no rules either.
    pub fn empty(target: Target) -> Self {
        Self { target, hashes: BTreeMap::new() }
    }

    /// SHA-256 over format `bascule set 1`, the target, and every key with its hash, in order.
    pub fn digest(&self) -> SetDigest {
        let mut writer = Writer::new("bascule set 1");
        writer.target(&self.target);
        writer.count(self.hashes.len());
        for (key, hash) in &self.hashes {
            writer.key(key);
            writer.hash(hash);
        }
        SetDigest(writer.finish())
    }

    /// The hash of the environment's own rules; `None` only for the empty set.
    pub fn entry(&self) -> Option<&ObjectHash> {
        self.hashes.get(&SetKey::Entry)
    }

    /// How many objects, the entry not counted.
    pub fn objects(&self) -> usize {
        self.hashes.len() - usize::from(self.entry().is_some())
    }
}

/// One key that differs between two sets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Altered {
    /// Which object, or the entry.
    pub key: SetKey,
    /// Its hash before; `None` when it was not there.
    pub old: Option<ObjectHash>,
    /// Its hash after; `None` when it is removed.
    pub new: Option<ObjectHash>,
}

/// The difference between two sets of one environment: what a person consents to.
///
/// Invariant, kept by every way to make one: the list is sorted by key, names no key twice, and `old` differs from
/// `new` in each item. So two equal differences are equal values with equal digests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Change {
    old_target: Option<Target>,
    new_target: Target,
    items: Vec<Altered>,
}

#[derive(Deserialize)]
struct Unchecked {
    old_target: Option<Target>,
    new_target: Target,
    items: Vec<Altered>,
}

impl TryFrom<Unchecked> for Change {
    type Error = &'static str;

    fn try_from(read: Unchecked) -> Result<Self, Self::Error> {
        if !read.items.is_sorted_by(|a, b| a.key < b.key) {
            return Err("a change's keys must be sorted and distinct");
        }
        if read.items.iter().any(|item| item.old == item.new) {
            return Err("a change must not list what is the same");
        }
        Ok(Self { old_target: read.old_target, new_target: read.new_target, items: read.items })
    }
}

impl Change {
    /// What is different in `new`. `None` as `old`, or the empty set (a real one has an entry at least), is an
    /// environment that has nothing yet; an `old` of another target too has nothing in common with `new`, since
    /// another target is another environment.
    pub fn between(old: Option<&HashedSet>, new: &HashedSet) -> Self {
        let nothing = BTreeMap::new();
        let old = old.filter(|set| !set.hashes.is_empty());
        let before = old.filter(|set| set.target == new.target).map_or(&nothing, |set| &set.hashes);
        let gone = before.iter().filter(|(key, _)| !new.hashes.contains_key(key));
        let removed = gone.map(|(key, hash)| Altered { key: key.clone(), old: Some(*hash), new: None });
        let kept = new.hashes.iter().filter(|(key, hash)| before.get(key) != Some(hash));
        let written =
            kept.map(|(key, hash)| Altered { key: key.clone(), old: before.get(key).copied(), new: Some(*hash) });
        let mut items: Vec<Altered> = removed.chain(written).collect();
        items.sort_unstable();
        Self { old_target: old.map(|set| set.target.clone()), new_target: new.target.clone(), items }
    }

    /// The sorted list.
    pub fn items(&self) -> &[Altered] {
        &self.items
    }

    /// Where the objects were before; `None` when nothing was there.
    pub fn old_target(&self) -> Option<&Target> {
        self.old_target.as_ref()
    }

    /// Where the objects go.
    pub fn new_target(&self) -> &Target {
        &self.new_target
    }

    /// Whether the two sets are the same: nothing to ask anybody.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the environment's own rules are different after it.
    pub fn alters_entry(&self) -> bool {
        self.items.iter().any(|item| item.key == SetKey::Entry)
    }

    /// How many objects it removes.
    pub fn deletions(&self) -> u64 {
        let removed = self.items.iter().filter(|item| item.new.is_none() && item.key != SetKey::Entry);
        removed.count().try_into().unwrap_or(u64::MAX)
    }

    /// How many objects it creates, alters or removes.
    pub fn objects(&self) -> u64 {
        self.items.iter().filter(|item| item.key != SetKey::Entry).count().try_into().unwrap_or(u64::MAX)
    }

    /// Whether every old hash is what `set` has (rule 10), an absent one being absent there.
    pub fn fits(&self, set: &HashedSet) -> bool {
        self.new_target == set.target && self.items.iter().all(|item| set.hashes.get(&item.key) == item.old.as_ref())
    }

    /// `set` with this change added; `None` when it does not fit.
    pub fn added_to(&self, set: &HashedSet) -> Option<HashedSet> {
        if !self.fits(set) {
            return None;
        }
        let mut sum = set.clone();
        for item in &self.items {
            match item.new {
                Some(hash) => sum.hashes.insert(item.key.clone(), hash),
                None => sum.hashes.remove(&item.key),
            };
        }
        Some(sum)
    }

    /// SHA-256 over format `bascule change 1`, forge, repository id, environment, the old target or none, the new
    /// target, and every item with its old and new hash or none; and nothing else (rule 3).
    pub fn digest(&self, repository: &RepositoryKey, environment: &EnvironmentName) -> ChangeDigest {
        let mut writer = Writer::new("bascule change 1");
        writer.text(repository.forge.as_str());
        writer.number(repository.id);
        writer.text(environment.as_str());
        writer.option(self.old_target.as_ref(), Writer::target);
        writer.target(&self.new_target);
        writer.count(self.items.len());
        for item in &self.items {
            writer.key(&item.key);
            writer.option(item.old.as_ref(), Writer::hash);
            writer.option(item.new.as_ref(), Writer::hash);
        }
        ChangeDigest(writer.finish())
    }
}

/// A map whose keys are not texts, as a sorted list of pairs.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use crate::ids::{ObjectHash, SetKey};

    pub(super) fn serialize<S: Serializer>(map: &BTreeMap<SetKey, ObjectHash>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<SetKey, ObjectHash>, D::Error> {
        let pairs = Vec::<(SetKey, ObjectHash)>::deserialize(from)?;
        let count = pairs.len();
        let map: BTreeMap<_, _> = pairs.into_iter().collect();
        if map.len() == count { Ok(map) } else { Err(serde::de::Error::custom("a set names one key twice")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ObjectKey;

    fn target(namespace: &str) -> Target {
        Target { cluster: "dev".parse().unwrap(), namespace: namespace.into() }
    }

    fn object(name: &str) -> SetKey {
        let (group, kind) = (String::new(), "ConfigMap".to_owned());
        SetKey::Object(ObjectKey { group, kind, namespace: Some("shop".into()), name: name.into() })
    }

    fn set(items: &[(&str, u8)]) -> HashedSet {
        let objects = items.iter().map(|(name, hash)| (object(name), ObjectHash([*hash; 32])));
        let entry = (SetKey::Entry, ObjectHash([0xee; 32]));
        HashedSet { target: target("shop"), hashes: objects.chain([entry]).collect() }
    }

    fn repository(id: i64) -> RepositoryKey {
        RepositoryKey { forge: "work".parse().unwrap(), id }
    }

    #[test]
    fn adding_the_change_between_two_sets_to_the_first_gives_the_second() {
        let sets = [
            HashedSet::empty(target("shop")),
            set(&[]),
            set(&[("a", 1)]),
            set(&[("a", 2), ("b", 1)]),
            set(&[("b", 1), ("c", 3)]),
        ];
        for old in &sets {
            for new in &sets {
                let change = Change::between(Some(old), new);
                assert_eq!(change.added_to(old).as_ref(), Some(new));
                assert_eq!(change.is_empty(), old == new);
                let read: Change = serde_json::from_value(serde_json::to_value(&change).unwrap()).unwrap();
                assert_eq!(read, change);
            }
            let read: HashedSet = serde_json::from_value(serde_json::to_value(old).unwrap()).unwrap();
            assert_eq!(&read, old);
        }
    }

    #[test]
    fn a_change_fits_only_where_each_old_hash_is_what_is_there() {
        let change = Change::between(Some(&set(&[("a", 1), ("b", 1)])), &set(&[("a", 2), ("c", 1)]));
        assert!(change.fits(&set(&[("a", 1), ("b", 1), ("d", 9)])), "an object it does not name may be anything");
        assert!(!change.fits(&set(&[("a", 9), ("b", 1)])), "another old hash");
        assert!(!change.fits(&set(&[("a", 1)])), "what it removes is gone already");
        assert!(!change.fits(&set(&[("a", 1), ("b", 1), ("c", 1)])), "what it creates is there already");
        assert_eq!((change.deletions(), change.objects(), change.alters_entry()), (1, 3, false));
    }

    #[test]
    fn another_target_has_nothing_in_common() {
        let (old, mut new) = (set(&[("a", 1)]), set(&[("a", 1)]));
        new.target = target("elsewhere");
        let change = Change::between(Some(&old), &new);
        assert_eq!(change.items().len(), 2, "everything is new there");
        assert_ne!(change, Change::between(None, &new), "but it says where it came from");
        assert!(!change.fits(&old));
    }

    #[test]
    fn the_digest_covers_list_repository_environment_and_targets() {
        let change = Change::between(None, &set(&[("a", 1)]));
        let name: EnvironmentName = "production".parse().unwrap();
        let digest = change.digest(&repository(1), &name);
        assert_eq!(digest, change.clone().digest(&repository(1), &name), "a function of its content");
        let elsewhere = RepositoryKey { forge: "other".parse().unwrap(), id: 1 };
        assert_eq!(Change::between(Some(&HashedSet::empty(target("shop"))), &set(&[("a", 1)])), change);
        let mut moved = set(&[("a", 1)]);
        moved.target = target("shop2");
        let with_old_target = Change::between(Some(&moved), &set(&[("a", 1)]));
        for (other, why) in [
            (change.digest(&repository(2), &name), "repository"),
            (change.digest(&elsewhere, &name), "forge"),
            (change.digest(&repository(1), &"staging".parse().unwrap()), "environment"),
            (Change::between(None, &set(&[("a", 2)])).digest(&repository(1), &name), "new hash"),
            (Change::between(None, &set(&[("b", 1)])).digest(&repository(1), &name), "key"),
            (with_old_target.digest(&repository(1), &name), "old target"),
            (Change::between(None, &moved).digest(&repository(1), &name), "new target"),
        ] {
            assert_ne!(other, digest, "{why}");
        }
    }

    #[test]
    fn the_formats_never_change_unnoticed() {
        let one = set(&[("a", 1)]);
        assert_eq!(one.digest().to_string(), "s1:9400de65b97fcfcd9f88bae2fd85a310fc7882fe56ecbec456fdee0d32900804");
        let change = Change::between(None, &one);
        assert_eq!(
            change.digest(&repository(7), &"production".parse().unwrap()).to_string(),
            "b1:8a97c2859fe9d9e147e4c36eabf84f7ce7aa9e920956d7840f696fb011dbb552"
        );
    }

    #[test]
    fn a_stored_change_that_is_not_one_is_refused() {
        let change = Change::between(Some(&set(&[("a", 1)])), &set(&[("a", 2), ("b", 1)]));
        let good = serde_json::to_value(&change).unwrap();
        let mut reversed = good.clone();
        reversed["items"].as_array_mut().unwrap().reverse();
        let mut same = good.clone();
        same["items"][0]["new"] = same["items"][0]["old"].clone();
        for bad in [reversed, same] {
            assert!(serde_json::from_value::<Change>(bad).is_err());
        }
        let mut twice = serde_json::to_value(set(&[("a", 1)])).unwrap();
        let first = twice["hashes"][0].clone();
        twice["hashes"].as_array_mut().unwrap().push(first);
        assert!(serde_json::from_value::<HashedSet>(twice).is_err());
    }
}
