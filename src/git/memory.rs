//! What is remembered of mirrors while a process runs.
//!
//! What Git says of objects named by their ids is the same for ever: parents, trees, what differs between two of them.
//! Each such question is one process, and every environment that follows a branch asks the same ones of each new commit.
//! Nothing here is a fact about a forge: where a branch is now is never remembered.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ids::CommitId;

/// Bytes of questions and answers kept of all mirrors together; then all are forgotten and asked again.
const KEEP: usize = 32 << 20;
/// Longer answers are rare and asked rarely: a first import, a branch of thousands of commits. What differs where a commit touches
/// eight thousand files is shorter (120 bytes each), and every environment asks for that.
const LONGEST: usize = 1 << 20;

/// Files that were fetched into one mirror, so that nobody asks for them twice; held while something is fetched.
pub(super) type Fetched = Arc<tokio::sync::Mutex<HashSet<CommitId>>>;

/// What everybody who uses one [`super::Program`] remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    fetched: Mutex<HashMap<PathBuf, Fetched>>,
    answers: Mutex<Answers>,
    started: AtomicU64,
}

#[derive(Debug, Default)]
struct Answers {
    of: HashMap<PathBuf, HashMap<String, Arc<str>>>,
    bytes: usize,
}

impl Memory {
    /// Another process is started.
    pub(super) fn starts(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were.
    pub(super) fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    /// What everybody who opens the mirror at `at` shares.
    pub(super) fn fetched(&self, at: &Path) -> Fetched {
        held(&self.fetched).entry(at.to_owned()).or_default().clone()
    }

    /// What was answered before.
    pub(super) fn answer(&self, at: &Path, question: &str) -> Option<Arc<str>> {
        held(&self.answers).of.get(at)?.get(question).cloned()
    }

    /// Remembers an answer that can never be another.
    pub(super) fn learn(&self, at: &Path, question: String, answer: &str) {
        let bytes = question.len() + answer.len();
        if bytes > LONGEST {
            return;
        }
        let mut answers = held(&self.answers);
        if answers.bytes + bytes > KEEP {
            *answers = Answers::default();
        }
        answers.bytes += bytes;
        answers.of.entry(at.to_owned()).or_default().insert(question, answer.into());
    }

    /// The mirror is a new one: nothing of an old one at its place is known.
    pub(super) fn forget(&self, at: &Path) {
        held(&self.fetched).remove(at);
        held(&self.answers).of.remove(at);
    }
}

fn held<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_of_one_mirror_and_what_is_kept_is_bounded() {
        let (memory, here, there) = (Memory::default(), Path::new("/a"), Path::new("/b"));
        memory.learn(here, "tree of 1".to_owned(), "2");
        assert_eq!(memory.answer(here, "tree of 1").as_deref(), Some("2"));
        assert_eq!(memory.answer(there, "tree of 1"), None);
        memory.learn(here, "all of it".to_owned(), &"x".repeat(LONGEST + 1));
        assert_eq!(memory.answer(here, "all of it"), None, "a long answer is not kept");
        for number in 0..=KEEP / LONGEST {
            memory.learn(there, number.to_string(), &"x".repeat(LONGEST - 10));
        }
        assert!(held(&memory.answers).bytes <= KEEP);
        assert_eq!(memory.answer(here, "tree of 1"), None, "when it is full all are forgotten");
        memory.learn(here, "tree of 1".to_owned(), "2");
        memory.forget(here);
        assert_eq!(memory.answer(here, "tree of 1"), None, "a new mirror in its place");
    }
}
