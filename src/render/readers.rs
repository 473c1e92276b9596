//! Which environments read which paths at one tree: what a push touches is looked up by the paths it changed, and not
//! found out by asking of each environment what it would read.
//!
//! Kept are the paths of a [`Closure`], those that were looked for and not found among them; no content and no object. It
//! errs towards too many: of an environment whose reads are not known, every path is one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Closure, RenderInput};
use crate::ids::EnvironmentName;

/// Bytes that the paths of all environments take together, about. Of what would go beyond, the reads are not known.
const MOST: usize = 64 << 20;
/// Of these, what a path takes that nobody read yet, besides its text: its places in a map, and a set of readers.
const PATH: usize = 192;
/// What each that reads it adds.
const EACH: usize = 32;

/// What environments read at one tree.
#[derive(Debug, Default)]
pub struct Readers {
    /// By number, since a base may be read by thousands.
    all: BTreeMap<u32, Reader>,
    numbers: BTreeMap<EnvironmentName, u32>,
    by_path: BTreeMap<Arc<str>, BTreeSet<u32>>,
    unknown: BTreeSet<u32>,
    next: u32,
    /// As [`MOST`] counts them.
    bytes: usize,
}

#[derive(Debug)]
struct Reader {
    name: EnvironmentName,
    input: RenderInput,
    paths: Vec<Arc<str>>,
}

impl Readers {
    /// Whether it is known what this input of an environment reads, or at least that it cannot be known.
    pub fn knows(&self, name: &EnvironmentName, input: &RenderInput) -> bool {
        self.numbers.get(name).and_then(|number| self.all.get(number)).is_some_and(|known| known.input == *input)
    }

    /// The environments that are known.
    pub fn names(&self) -> impl Iterator<Item = &EnvironmentName> {
        self.numbers.keys()
    }

    /// The memory that all this takes, about.
    pub fn bytes(&self) -> usize {
        /// An environment's names and input, which come with every one of a file, whatever it reads.
        const ENVIRONMENT: usize = 512;
        self.bytes + self.all.len() * ENVIRONMENT
    }

    /// An environment reads this from now on; `None`: that cannot be said.
    pub fn put(&mut self, name: &EnvironmentName, input: RenderInput, closure: Option<&Closure>) {
        self.put_within(MOST, name, input, closure);
    }

    fn put_within(&mut self, most: usize, name: &EnvironmentName, input: RenderInput, closure: Option<&Closure>) {
        self.remove(name);
        let number = self.next;
        self.next += 1;
        let adds = |path: &String| EACH + if self.by_path.contains_key(path.as_str()) { 0 } else { PATH + path.len() };
        let closure = closure.filter(|closure| {
            self.bytes + closure.reads.keys().chain(&closure.looked).map(adds).sum::<usize>() <= most
        });
        let mut paths = Vec::new();
        match closure {
            Some(closure) => {
                for path in closure.reads.keys().chain(&closure.looked) {
                    let path = match self.by_path.get_key_value(path.as_str()) {
                        Some((path, _)) => path.clone(),
                        None => {
                            self.bytes += PATH + path.len();
                            Arc::from(path.as_str())
                        }
                    };
                    if self.by_path.entry(path.clone()).or_default().insert(number) {
                        self.bytes += EACH;
                        paths.push(path);
                    }
                }
            }
            None => drop(self.unknown.insert(number)),
        }
        self.all.insert(number, Reader { name: name.clone(), input, paths });
        self.numbers.insert(name.clone(), number);
    }

    /// There is no such environment any more.
    pub fn remove(&mut self, name: &EnvironmentName) {
        let Some(number) = self.numbers.remove(name) else { return };
        self.unknown.remove(&number);
        let Some(reader) = self.all.remove(&number) else { return };
        for path in reader.paths {
            if let Some(readers) = self.by_path.get_mut(&path) {
                readers.remove(&number);
                self.bytes -= EACH;
                if readers.is_empty() {
                    self.bytes -= PATH + path.len();
                    self.by_path.remove(&path);
                }
            }
        }
    }

    /// The environments of which changes of these paths can change what is read: as [`Closure::touched_by`] says of each
    /// by itself, and those whose reads are not known.
    pub fn touched_by<'p>(&self, changed: impl IntoIterator<Item = &'p str>) -> BTreeSet<EnvironmentName> {
        let mut found = self.unknown.clone();
        for path in changed {
            found.extend(self.by_path.get("").into_iter().flatten());
            let mut above = Some(path);
            while let Some(at) = above {
                found.extend(self.by_path.get(at).into_iter().flatten());
                above = at.rsplit_once('/').map(|(folder, _)| folder);
            }
            // A file where a folder was looked into, or read from.
            let below: Arc<str> = format!("{path}/").into();
            let inside = self.by_path.range(below.clone()..).take_while(|(at, _)| at.starts_with(&*below));
            found.extend(inside.flat_map(|(_, readers)| readers));
            if found.len() == self.all.len() {
                break;
            }
        }
        found.iter().filter_map(|number| self.all.get(number)).map(|reader| reader.name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::manifest::Dialect;
    use crate::render::closure::InputHash;

    fn input(path: &str) -> RenderInput {
        let (helm, cluster, none) = (None, None, String::new());
        RenderInput { path: path.to_owned(), helm, release: none.clone(), namespace: none, cluster }
    }

    fn closure(reads: &BTreeSet<String>, looked: &BTreeSet<String>) -> Closure {
        // The root is looked into, and never a file.
        let reads = reads.iter().filter(|path| !path.is_empty());
        let reads = reads.map(|path| (path.clone(), String::new())).collect();
        Closure {
            kind: Dialect::Plain,
            reads,
            looked: looked.clone(),
            input_hash: InputHash([0; 32]),
            asks_cluster: false,
            is_unsteady: false,
        }
    }

    fn name(number: usize) -> EnvironmentName {
        format!("e{number}").parse().unwrap()
    }

    /// Few names, so that paths meet: as files, as folders of each other, and as the root.
    fn paths() -> impl Strategy<Value = BTreeSet<String>> {
        let path = proptest::collection::vec("[ab]", 0..4).prop_map(|parts| parts.join("/"));
        proptest::collection::btree_set(path, 0..4)
    }

    proptest! {
        #[test]
        fn what_is_looked_up_is_what_each_would_have_said(
            first in proptest::collection::vec((paths(), paths()), 1..6),
            later in proptest::collection::vec((0_usize..6, proptest::option::of((paths(), paths()))), 0..6),
            changed in paths(),
        ) {
            let mut readers = Readers::default();
            let mut each: BTreeMap<EnvironmentName, Option<Closure>> = BTreeMap::new();
            let first = first.into_iter().map(Some).enumerate();
            for (number, reads) in first.chain(later) {
                let closure = reads.map(|(reads, looked)| closure(&reads, &looked));
                readers.put(&name(number), input("x"), closure.as_ref());
                each.insert(name(number), closure);
            }
            let gone = name(1);
            readers.remove(&gone);
            each.remove(&gone);
            let changed: Vec<&str> = changed.iter().map(String::as_str).filter(|path| !path.is_empty()).collect();
            let touched = |closure: &Option<Closure>| {
                closure.as_ref().is_none_or(|closure| closure.touched_by(changed.iter().copied()))
            };
            let expected: BTreeSet<_> =
                each.iter().filter(|(_, closure)| touched(closure)).map(|(name, _)| name.clone()).collect();
            prop_assert_eq!(readers.touched_by(changed.iter().copied()), expected);
        }
    }

    #[test]
    fn an_environment_is_known_by_what_it_renders() {
        let mut readers = Readers::default();
        let one = name(1);
        readers.put(&one, input("a"), None);
        assert!(readers.knows(&one, &input("a")) && !readers.knows(&one, &input("b")));
        assert_eq!(readers.touched_by(["anything"]), BTreeSet::from([one.clone()]), "its reads are not known");
        readers.put(&one, input("b"), Some(&closure(&BTreeSet::from(["b/x".to_owned()]), &BTreeSet::new())));
        assert!(readers.knows(&one, &input("b")));
        assert_eq!(readers.touched_by(["anything"]), BTreeSet::new());
        readers.remove(&one);
        assert!(readers.by_path.is_empty() && readers.bytes() == 0, "nothing is left of it");
    }

    #[test]
    fn a_path_that_one_environment_alone_reads_weighs_more_than_one_that_all_read() {
        let paths = |folder: &str| (0..10).map(|file| format!("{folder}/{file}")).collect::<BTreeSet<_>>();
        let most = 4 * 10 * (PATH + EACH + 10);
        let read = |distinct: bool| {
            let mut readers = Readers::default();
            for number in 0..20 {
                let folder = if distinct { number.to_string() } else { "all".to_owned() };
                let closure = closure(&paths(&folder), &BTreeSet::new());
                readers.put_within(most, &name(number), input("a"), Some(&closure));
            }
            assert!(readers.bytes <= most, "{}", readers.bytes);
            readers.unknown.len()
        };
        assert_eq!(read(false), 0);
        assert!((10..20).contains(&read(true)), "the reads of what goes beyond are not known");
    }
}
