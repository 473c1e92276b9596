//! Answers that are kept, so that the forge may say that they are still the same: each is asked for again under its tag
//! (`ETag`), and what comes back then is "304 Not Modified" and no body. On GitHub that costs nothing of the hourly limit.
//!
//! Nothing is ever answered from here without the forge having said so just now, to the very token it was given to: what
//! somebody may not read any more they are not shown. What is written to takes along what was kept of it.

use std::collections::HashMap;

use reqwest::Url;
use reqwest::header::{ETAG, HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};

use super::{As, Http};

/// For one forge. The five lists of a quiet repository on GitHub are some thirty kilobytes: a thousand of them fit.
const MOST: usize = 64 << 20;
/// Of one answer: a page of a hundred busy pull requests has more, and changes at every look.
const LARGEST: usize = 1 << 20;

/// What is kept. It lives in memory alone.
#[derive(Default)]
pub(super) struct Kept {
    answers: HashMap<Key, Answer>,
    bytes: usize,
    looks: u64,
}

/// Who asked, by their token's hash, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    by: [u8; 32],
    url: Url,
}

/// An answer as it came.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) tag: HeaderValue,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    looked: u64,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Kept").field("answers", &self.answers.len()).field("bytes", &self.bytes).finish()
    }
}

impl Answer {
    fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        self.body.len() + headers
    }
}

impl Kept {
    fn get(&mut self, key: &Key) -> Option<Answer> {
        self.looks += 1;
        let answer = self.answers.get_mut(key)?;
        answer.looked = self.looks;
        Some(answer.clone())
    }

    fn keep(&mut self, key: Key, answer: Answer) {
        self.drop_where(|one, _| *one == key);
        if self.bytes + answer.size() > MOST {
            self.drop_older_half();
        }
        self.bytes += answer.size();
        self.answers.insert(key, answer);
    }

    /// Those that were looked at longest ago.
    fn drop_older_half(&mut self) {
        let mut looks: Vec<u64> = self.answers.values().map(|answer| answer.looked).collect();
        looks.sort_unstable();
        let Some(middle) = looks.get(looks.len() / 2).copied() else { return };
        self.drop_where(|_, answer| answer.looked <= middle);
    }

    fn drop_where(&mut self, goes: impl Fn(&Key, &Answer) -> bool) {
        let bytes = &mut self.bytes;
        self.answers.retain(|key, answer| {
            let goes = goes(key, answer);
            *bytes -= if goes { answer.size() } else { 0 };
            !goes
        });
    }
}

impl Http {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Under what the answer to this call is kept; `None`: nobody shows that token again.
    pub(super) fn key(&self, url: &Url, whom: As<'_>) -> Option<Key> {
        let by = match whom {
            As::Ourselves => [0; 32],
            As::Installed { signed, .. } => Sha256::digest(signed.as_bytes()).into(),
            As::Once(_) => return None,
        };
        Some(Key { by, url: url.clone() })
    }

    /// What was answered before.
    pub(super) fn answered(&self, key: &Key) -> Option<Answer> {
        self.kept().get(key)
    }

    /// Keeps an answer that has a tag.
    pub(super) fn keep(&self, key: Key, headers: &HeaderMap, body: &[u8]) {
        let Some(tag) = headers.get(ETAG).cloned().filter(|_| body.len() <= LARGEST) else { return };
        let mut kept = self.kept();
        let answer = Answer { tag, headers: headers.clone(), body: body.to_vec(), looked: kept.looks };
        kept.keep(key, answer);
    }

    /// Forgets what was answered about the repository that is written to, whoever asked.
    pub(super) fn forget(&self, written: &Url) {
        let base = self.base.path_segments().map_or(0, |parts| parts.filter(|part| !part.is_empty()).count());
        let parts = |url: &Url| url.path_segments().map(|parts| parts.map(str::to_owned).collect::<Vec<_>>());
        let Some(mut about) = parts(written) else { return };
        // `repos/{owner}/{name}`, `v4/projects/{id}`; what is not of a repository takes its likes along.
        about.truncate(base + 3);
        self.kept().drop_where(|key, _| parts(&key.url).is_some_and(|parts| parts.starts_with(&about)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_at_longest_ago_makes_room() {
        let mut kept = Kept::default();
        let key = |n: usize| Key { by: [0; 32], url: format!("http://forge.example/{n}").parse().unwrap() };
        let answer = |looked| Answer {
            tag: HeaderValue::from_static("\"1\""),
            headers: HeaderMap::new(),
            body: vec![0; LARGEST],
            looked,
        };
        for n in 0..MOST / LARGEST {
            kept.keep(key(n), answer(n as u64));
        }
        assert_eq!((kept.answers.len(), kept.bytes), (64, MOST));
        kept.looks = 64;
        assert!(kept.get(&key(0)).is_some(), "it is looked at now");
        kept.keep(key(64), answer(66));
        assert!(kept.bytes <= MOST / 2 + LARGEST && kept.answers.len() < 34, "{kept:?}");
        assert!(kept.get(&key(0)).is_some() && kept.get(&key(64)).is_some() && kept.get(&key(1)).is_none());
        kept.drop_where(|_, _| true);
        assert_eq!(kept.bytes, 0, "what is counted is what is there");
    }
}
