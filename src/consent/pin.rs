//! Rule 15: what a rollback puts back, what it takes away, and when the pin it leaves is over. Pure.
//!
//! ```text
//!   contents that were healthy here, newest first      9  8  7  6 …         a rollback's own deployments are none of them:
//!   what runs                                          9                    they are at the place of what they put back
//!   back to, unless somebody names another                8
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::change::{Altered, Change, HashedSet};
use crate::ids::{CommitId, ObjectHash, SetKey};

/// How many contents one may go back to: what is older was made for a world that is gone.
pub const CONTENTS: usize = 10;

/// What a deployment brought, or was to: where one may go back to, if it was healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Which deployment.
    pub deployment: Uuid,
    /// Its number.
    pub number: i64,
    /// Its commit.
    pub commit: CommitId,
    /// Its set.
    pub set: HashedSet,
}

/// Why nothing is rolled back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWayBack {
    /// Nothing was ever synced.
    #[error("nothing was ever synced to it")]
    NeverSynced,
    /// There is no content before what runs.
    #[error("nothing else was healthy here before #{0}")]
    Nothing(i64),
    /// What is named is no deployment of this environment.
    #[error("there is no deployment {0} of it: `bascule history` lists them")]
    Unknown(String),
    /// What is named was not healthy.
    #[error("#{0} was not healthy here, and is not gone back to")]
    NotHealthy(i64),
    /// What is named is not among those that one goes back to.
    #[error("#{0} is not one of the last {CONTENTS} contents that were healthy here")]
    TooOld(i64),
    /// It is what runs.
    #[error("what #{0} brought is what runs, and is well")]
    Runs(i64),
}

/// Keeps the first of each content that differs in an object, newest first; what differs in its rules alone is the same.
pub fn contents(all: impl IntoIterator<Item = Content>) -> Vec<Content> {
    let mut kept: Vec<Content> = Vec::new();
    for one in all {
        if kept.len() < CONTENTS && !kept.iter().any(|known| same_objects(&known.set, &one.set)) {
            kept.push(one);
        }
    }
    kept
}

/// What runs, or was to: the newest deployment, and whether it is well.
#[derive(Debug, Clone, Copy)]
pub struct Running<'a> {
    /// Its number.
    pub number: i64,
    /// Its content.
    pub set: &'a HashedSet,
    /// Whether it is well: if not, it may be brought once more.
    pub is_well: bool,
}

/// What somebody names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The deployment.
    pub content: Content,
    /// Whether what it brought was healthy here, however long ago.
    pub was_healthy: bool,
}

/// Where a rollback goes: to what is named, else to the newest content that was healthy before what runs.
///
/// # Errors
/// [`NoWayBack`].
pub fn back(contents: &[Content], running: Running<'_>, named: Option<&Named>) -> Result<Content, NoWayBack> {
    let Some(Named { content: named, was_healthy }) = named else {
        let at = contents.iter().position(|one| same_objects(&one.set, running.set));
        return contents.get(at.map_or(0, |at| at + 1)).cloned().ok_or(NoWayBack::Nothing(running.number));
    };
    if !contents.iter().any(|one| same_objects(&one.set, &named.set)) {
        let number = named.number;
        return Err(if *was_healthy { NoWayBack::TooOld(number) } else { NoWayBack::NotHealthy(number) });
    }
    if running.is_well && same_objects(&named.set, running.set) {
        return Err(NoWayBack::Runs(named.number));
    }
    Ok(named.clone())
}

/// What a rollback puts into the cluster: the old objects, under the rules in force, which are those of the position.
pub fn put_back(old: &HashedSet, in_force: &HashedSet) -> HashedSet {
    let objects = old.hashes.iter().filter(|(key, _)| **key != SetKey::Entry);
    let mut hashes: BTreeMap<SetKey, ObjectHash> = objects.map(|(key, hash)| (key.clone(), *hash)).collect();
    hashes.extend(in_force.entry().map(|entry| (SetKey::Entry, *entry)));
    HashedSet { target: old.target.clone(), hashes }
}

/// Objects that are named in a sentence.
const NAMED: usize = 5;

/// What a way back does, for people: how many objects, and which are removed.
pub fn sentence(change: &Change) -> String {
    let objects = || change.items().iter().filter(|item| item.key != SetKey::Entry);
    let count = |of: fn(&Altered) -> bool| objects().filter(|item| of(item)).count();
    let counts = [
        (count(|item| item.old.is_some() && item.new.is_some()), "changed"),
        (count(|item| item.old.is_none()), "added"),
        (count(|item| item.new.is_none()), "removed"),
    ];
    let counts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if counts.is_empty() {
        return "no object is another".to_owned();
    }
    let removed: Vec<String> = objects().filter(|item| item.new.is_none()).map(|item| item.key.to_string()).collect();
    let named = removed.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = removed.len().saturating_sub(NAMED);
    match (removed.is_empty(), more) {
        (true, _) => format!("objects: {}", counts.join(", ")),
        (false, 0) => format!("objects: {} ({named})", counts.join(", ")),
        (false, more) => format!("objects: {} ({named}, and {more} more)", counts.join(", ")),
    }
}

/// Whether two sets have the same objects in the same place; their rules are no objects.
pub fn same_objects(one: &HashedSet, other: &HashedSet) -> bool {
    fn objects(set: &HashedSet) -> impl Iterator<Item = (&SetKey, &ObjectHash)> {
        set.hashes.iter().filter(|(key, _)| **key != SetKey::Entry)
    }
    one.target == other.target && objects(one).eq(objects(other))
}

/// The states of objects that were taken away: an object as it was, or its absence, where it was put back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Taken(BTreeSet<(SetKey, Option<ObjectHash>)>);

impl Taken {
    /// What one rollback more takes away: what ran and is not put back. Of what earlier ones took away, all that is not
    /// there again.
    #[must_use]
    pub fn and(mut self, ran: &HashedSet, put_back: &HashedSet) -> Self {
        let keys = ran.hashes.keys().chain(put_back.hashes.keys()).filter(|key| **key != SetKey::Entry);
        self.0.extend(keys.map(|key| (key.clone(), ran.hashes.get(key).copied())));
        self.0.retain(|(key, state)| put_back.hashes.get(key) != state.as_ref());
        self
    }

    /// Whether a set has, for no object, what was taken away.
    pub fn is_gone_from(&self, set: &HashedSet) -> bool {
        self.0.iter().all(|(key, state)| set.hashes.get(key) != state.as_ref())
    }

    /// How many states.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ObjectKey, Target};

    fn key(name: &str) -> SetKey {
        let (group, kind) = (String::new(), "ConfigMap".to_owned());
        SetKey::Object(ObjectKey { group, kind, namespace: Some("shop".to_owned()), name: name.to_owned() })
    }

    /// `a1 b2`, and the rules `/3`: object `a` with content 1.
    fn set(text: &str) -> HashedSet {
        let target = Target { cluster: "test".parse().unwrap(), namespace: "shop".to_owned() };
        let one = |word: &str| {
            let (name, content) = word.split_at(1);
            let hash = ObjectHash([content.parse().unwrap(); 32]);
            (if name == "/" { SetKey::Entry } else { key(name) }, hash)
        };
        HashedSet { target, hashes: text.split_whitespace().map(one).collect() }
    }

    fn content(number: i64, text: &str) -> Content {
        let commit = format!("{number:040x}").parse().unwrap();
        Content { deployment: Uuid::from_u128(number.unsigned_abs().into()), number, commit, set: set(text) }
    }

    fn named(number: i64, text: &str, was_healthy: bool) -> Option<Named> {
        Some(Named { content: content(number, text), was_healthy })
    }

    #[test]
    fn what_differs_in_its_rules_alone_is_one_content_and_there_are_ten() {
        let all = contents([content(9, "a1 /1"), content(8, "a1 /2"), content(7, "a2 /1"), content(6, "a1 /1")]);
        assert_eq!(all.iter().map(|one| one.number).collect::<Vec<_>>(), [9, 7]);
        let many = contents((1..=30).rev().map(|number| content(number, &format!("a{number}"))));
        assert_eq!(many.iter().map(|one| one.number).collect::<Vec<_>>(), (21..=30).rev().collect::<Vec<_>>());
    }

    #[test]
    fn it_goes_back_to_the_healthy_content_before_what_runs_or_to_what_is_named() {
        let all = contents([content(9, "a3 /1"), content(7, "a2 /1"), content(4, "a1 /1")]);
        let to = |running: (i64, &str, bool), named: Option<Named>| {
            let running_set = set(running.1);
            let now = Running { number: running.0, set: &running_set, is_well: running.2 };
            match back(&all, now, named.as_ref()) {
                Ok(back) => format!("#{}", back.number),
                Err(why) => why.to_string(),
            }
        };
        let lines = [
            // What is healthy and wrong.
            to((9, "a3 /1", true), None),
            // What failed is not in the list.
            to((10, "a4 /1", false), None),
            // After a rollback to #7: not to what was taken away, but on.
            to((11, "a2 /1", true), None),
            to((12, "a1 /1", true), None),
            to((9, "a3 /1", true), named(4, "a1 /1", true)),
            // Under other rules, it is the same content.
            to((9, "a3 /1", true), named(5, "a1 /9", true)),
            to((9, "a3 /1", true), named(8, "a8 /1", false)),
            to((9, "a3 /1", true), named(1, "a7 /1", true)),
            to((9, "a3 /2", true), named(9, "a3 /1", true)),
            // A rollback that failed is tried again.
            to((11, "a2 /1", false), named(7, "a2 /1", true)),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        #7
        #9
        #4
        nothing else was healthy here before #12
        #4
        #5
        #8 was not healthy here, and is not gone back to
        #1 is not one of the last 10 contents that were healthy here
        what #9 brought is what runs, and is well
        #7
        ");
    }

    #[test]
    fn what_a_way_back_does_is_counted_and_what_it_removes_is_named() {
        let says = |ran: &str, back: &str| sentence(&Change::between(Some(&set(ran)), &set(back)));
        insta::assert_snapshot!([
            says("a2 b1 c1 /1", "a1 d1 /2"),
            says("a1 /1", "a1 /2"),
            says("a2 /1", "a1 /1"),
            says("a1 b1 c1 d1 e1 f1 g1 /1", "/1"),
        ].join("\n"), @r"
        objects: 1 changed, 1 added, 2 removed (ConfigMap shop/b, ConfigMap shop/c)
        no object is another
        objects: 1 changed
        objects: 7 removed (ConfigMap shop/a, ConfigMap shop/b, ConfigMap shop/c, ConfigMap shop/d, ConfigMap shop/e, and 2 more)
        ");
    }

    #[test]
    fn objects_are_put_back_and_rules_are_not() {
        assert_eq!(put_back(&set("a1 b1 /1"), &set("a2 c2 /2")), set("a1 b1 /2"));
        assert!(same_objects(&set("a1 /1"), &set("a1 /2")) && !same_objects(&set("a1 /1"), &set("a1 b1 /1")));
        let mut elsewhere = set("a1 /1");
        elsewhere.target.namespace = "other".to_owned();
        assert!(!same_objects(&set("a1 /1"), &elsewhere));
    }

    #[test]
    fn a_pin_is_over_when_no_object_has_what_was_taken_away() {
        // What ran, what was put back, what a covered commit has; whether the pin is over.
        let cases = [
            ("a2 /1", "a1 /1", "a2 /1", false),
            ("a2 /1", "a1 /1", "a1 /1", true),
            ("a2 /1", "a1 /1", "a3 /1", true),
            ("a2 /1", "a1 /1", "/1", true),
            // The rules are no object: they were not taken away, and end nothing.
            ("a2 /2", "a1 /2", "a2 /9", false),
            ("a2 /2", "a1 /2", "a1 /2", true),
            // One object of several is enough to stay.
            ("a2 b2 /1", "a1 b1 /1", "a1 b2 /1", false),
            ("a2 b2 /1", "a1 b1 /1", "a2 b1 /1", false),
            ("a2 b2 /1", "a1 b1 /1", "a1 b1 c1 /1", true),
            // What is the same on both sides was not taken away.
            ("a2 b1 /1", "a1 b1 /1", "a1 b1 /1", true),
            ("a2 b1 /1", "a1 b1 /1", "a2 b2 /1", false),
            // What was new is taken away when it is there again as it was; with other content it is another thing.
            ("a1 b1 /1", "a1 /1", "a1 b1 /1", false),
            ("a1 b1 /1", "a1 /1", "a1 /1", true),
            ("a1 b1 /1", "a1 /1", "a1 b2 /1", true),
            // What had been removed was put back: its absence is what was taken away.
            ("a1 /1", "a1 b1 /1", "a1 /1", false),
            ("a1 /1", "a1 b1 /1", "a1 b1 /1", true),
            ("a1 /1", "a1 b1 /1", "a1 b2 /1", true),
        ];
        for (ran, old, commit, over) in cases {
            let taken = Taken::default().and(&set(ran), &set(old));
            assert_eq!(taken.is_gone_from(&set(commit)), over, "{ran} → {old}: {commit}");
            assert!(taken.is_gone_from(&set(old)) && !taken.is_gone_from(&set(ran)), "{ran} → {old}");
            let stored = serde_json::to_value(&taken).unwrap();
            assert_eq!(serde_json::from_value::<Taken>(stored).unwrap(), taken);
        }
    }

    #[test]
    fn a_second_rollback_takes_more_away_and_gives_back_what_it_puts_back() {
        let one = Taken::default().and(&set("a3 b1 /1"), &set("a2 b1 /1"));
        let further = one.clone().and(&set("a2 b1 /1"), &set("a1 b1 /1"));
        assert_eq!((one.len(), further.len()), (1, 2));
        for (commit, over) in [("a3 b1", false), ("a2 b1", false), ("a1 b1", true), ("a4 b1", true)] {
            assert_eq!(further.is_gone_from(&set(commit)), over, "{commit}");
        }
        // Forward again, to what was taken away first: that is there, and what lay between is not wanted.
        let forward = further.and(&set("a1 b1 /1"), &set("a3 b1 /1"));
        for (commit, over) in [("a3 b1", true), ("a2 b1", false), ("a1 b1", false)] {
            assert_eq!(forward.is_gone_from(&set(commit)), over, "{commit}");
        }
    }

    /// Every pair of small sets, and every third one: a pin is over exactly when no key at which the two differ has what it
    /// had before.
    #[test]
    fn every_small_case_is_judged_as_the_rule_says() {
        let states = ["", "1", "2"];
        let all: Vec<HashedSet> = (0..27)
            .map(|n: usize| {
                let one = |name: &str, at: usize| match states[at] {
                    "" => String::new(),
                    state => format!("{name}{state} "),
                };
                set(&format!("{}{}{}/1", one("a", n % 3), one("b", n / 3 % 3), one("c", n / 9)))
            })
            .collect();
        for ran in &all {
            for old in &all {
                let taken = Taken::default().and(ran, old);
                for commit in &all {
                    let has_it = ["a", "b", "c"].map(key).iter().any(|key| {
                        let [before, after, now] = [ran, old, commit].map(|set| set.hashes.get(key));
                        before != after && now == before
                    });
                    assert_eq!(taken.is_gone_from(commit), !has_it, "{ran:?} {old:?} {commit:?}");
                }
                assert_eq!(taken.is_empty(), ran == old);
            }
        }
    }
}
