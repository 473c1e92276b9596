//! Answers that are kept: a file is looked at for every commit of a branch and seldom changes, and a branch that could not
//! be judged in time is judged again from its beginning.

use std::collections::BTreeMap;

use crate::policy::code::order::Answer;

/// Orders whose answers are kept: more than a branch has steps.
const MOST: usize = 2_000;
/// Bytes of all of them.
const ROOM: usize = 16 << 20;

type Answers = BTreeMap<String, Answer>;

/// Answers by the digest of what was asked.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    answers: BTreeMap<[u8; 32], Answers>,
    bytes: usize,
}

impl Remembered {
    pub(super) fn get(&self, key: &[u8; 32]) -> Option<&Answers> {
        self.answers.get(key)
    }

    /// Keeps them if they are good: what failed may have failed by this machine, which was busy.
    pub(super) fn put(&mut self, key: [u8; 32], answers: &Answers) {
        let is_good = |answer: &Answer| match answer {
            Answer::Says(opinion) => opinion.broken.is_none(),
            Answer::Faults(faults) => faults.is_empty(),
            // How an object is now is nothing to remember.
            Answer::Tests(_) | Answer::Health(_) => false,
        };
        let bytes = serde_json::to_vec(answers).map_or(ROOM, |written| written.len());
        if !answers.values().all(is_good) || bytes > ROOM / 8 {
            return;
        }
        if self.answers.len() >= MOST || self.bytes + bytes > ROOM {
            *self = Self::default();
        }
        self.bytes += bytes;
        self.answers.insert(key, answers.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::code::{Effect, Finding, Opinion};

    fn says(opinion: Opinion) -> Answers {
        BTreeMap::from([("p".to_owned(), Answer::Says(opinion))])
    }

    #[test]
    fn what_is_good_is_remembered_within_bounds() {
        let mut remembered = Remembered::default();
        remembered.put([1; 32], &says(Opinion::default()));
        remembered.put([2; 32], &says(Opinion::broken("it took longer than 10 s")));
        assert_eq!(remembered.get(&[1; 32]), Some(&says(Opinion::default())));
        assert_eq!(remembered.get(&[2; 32]), None);
        let large = |bytes: usize| {
            let found = vec![Finding { effect: Effect::Warn, object: None, message: "x".repeat(bytes) }];
            says(Opinion { found, ..Opinion::default() })
        };
        remembered.put([3; 32], &large(ROOM / 4));
        assert_eq!(remembered.get(&[3; 32]), None, "larger than it is worth");
        for key in 4..20 {
            remembered.put([key; 32], &large(ROOM / 9));
            assert!(remembered.bytes <= ROOM && remembered.get(&[key; 32]).is_some());
        }
        assert_eq!(remembered.get(&[1; 32]), None, "it made room");
    }
}
