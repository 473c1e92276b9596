//! Who is sent next: as soon as what it needs is there, and not later.

use std::collections::{BTreeMap, BTreeSet};

/// Things in a line, by their place in it. One is let out when everything it needs was sent; of several, the one that
/// stands first.
#[derive(Debug)]
pub struct Line {
    /// What each still waits for.
    waits: BTreeMap<usize, BTreeSet<usize>>,
    /// Who waits for each.
    holds: BTreeMap<usize, Vec<usize>>,
    ready: BTreeSet<usize>,
}

impl Line {
    /// A line of so many, of which each needs others.
    pub fn new(count: usize, needs: &BTreeMap<usize, BTreeSet<usize>>) -> Self {
        let mut line = Self { waits: BTreeMap::new(), holds: BTreeMap::new(), ready: BTreeSet::new() };
        for place in 0..count {
            let needs = needs.get(&place).cloned().unwrap_or_default();
            for need in &needs {
                line.holds.entry(*need).or_default().push(place);
            }
            if needs.is_empty() {
                line.ready.insert(place);
            } else {
                line.waits.insert(place, needs);
            }
        }
        line
    }

    /// The next that may go; `None` while all that are left wait, or nobody is left.
    pub fn lets_out(&mut self) -> Option<usize> {
        self.ready.pop_first()
    }

    /// One of a circle, once nobody is on the way any more and those that are left wait for each other; `None` when nobody
    /// is left. It goes without what it needs: that nobody goes would help none of them.
    pub fn forces_out(&mut self) -> Option<usize> {
        let waiting = |place: &usize| self.waits.contains_key(place);
        let mut place = *self.waits.keys().next()?;
        let mut met = BTreeSet::new();
        // From whoever waits to one it waits for, and on: whom this way meets twice stands in a circle.
        while met.insert(place) {
            let needs = self.waits.get(&place).into_iter().flatten();
            let Some(next) = needs.copied().find(waiting) else { break };
            place = next;
        }
        self.waits.remove(&place);
        Some(place)
    }

    /// This one is there.
    pub fn is_there(&mut self, place: usize) {
        for waiting in self.holds.remove(&place).unwrap_or_default() {
            let Some(needs) = self.waits.get_mut(&waiting) else { continue };
            needs.remove(&place);
            if needs.is_empty() {
                self.waits.remove(&waiting);
                self.ready.insert(waiting);
            }
        }
    }

    /// This one will not be there: whoever needs it leaves the line, and whoever needs them. Gives them.
    pub fn is_missing(&mut self, place: usize) -> BTreeSet<usize> {
        let mut gone = BTreeSet::new();
        let mut missing = vec![place];
        while let Some(one) = missing.pop() {
            for waiting in self.holds.remove(&one).unwrap_or_default() {
                if self.waits.remove(&waiting).is_some() {
                    gone.insert(waiting);
                    missing.push(waiting);
                }
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(all: &[(usize, &[usize])]) -> BTreeMap<usize, BTreeSet<usize>> {
        all.iter().map(|(place, needs)| (*place, needs.iter().copied().collect())).collect()
    }

    fn out(line: &mut Line) -> Vec<usize> {
        std::iter::from_fn(|| line.lets_out()).collect()
    }

    #[test]
    fn whoever_needs_nothing_goes_at_once_and_the_others_as_soon_as_they_can() {
        let mut line = Line::new(5, &needs(&[(1, &[3]), (2, &[1, 3]), (4, &[0])]));
        assert_eq!(out(&mut line), [0, 3]);
        line.is_there(3);
        assert_eq!(out(&mut line), [1], "2 still needs 1");
        line.is_there(1);
        line.is_there(0);
        assert_eq!(out(&mut line), [2, 4]);
    }

    #[test]
    fn of_those_that_wait_for_each_other_one_goes_first_and_whoever_is_in_no_circle_waits_on() {
        let mut line = Line::new(4, &needs(&[(0, &[1, 2, 3]), (1, &[2]), (2, &[1])]));
        assert_eq!(out(&mut line), [3]);
        line.is_there(3);
        assert_eq!(out(&mut line), [] as [usize; 0]);
        assert_eq!(line.forces_out(), Some(1), "0 needs all of them, and nobody needs it");
        line.is_there(1);
        assert_eq!(out(&mut line), [2]);
        line.is_there(2);
        assert_eq!(out(&mut line), [0]);
        assert_eq!(line.forces_out(), None);
    }

    #[test]
    fn whoever_needs_one_of_a_circle_that_is_missing_leaves() {
        let mut line = Line::new(2, &needs(&[(0, &[1]), (1, &[0])]));
        assert_eq!(line.forces_out(), Some(0));
        assert_eq!(line.is_missing(0), BTreeSet::from([1]));
        assert_eq!(line.forces_out(), None);
    }

    #[test]
    fn whoever_needs_what_is_missing_leaves_with_all_who_need_them() {
        let mut line = Line::new(5, &needs(&[(1, &[0]), (2, &[1]), (3, &[0, 4])]));
        assert_eq!(out(&mut line), [0, 4]);
        assert_eq!(line.is_missing(0), BTreeSet::from([1, 2, 3]));
        line.is_there(4);
        assert_eq!(out(&mut line), [] as [usize; 0]);
    }
}
