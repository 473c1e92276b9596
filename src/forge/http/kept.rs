//! Answers that are kept, so that the forge may say that they are still the same: each is asked for again under its tag
//! (`ETag`), and what comes back then is "304 Not Modified" and no body. On GitHub that costs nothing of the hourly limit.
//!
//! Nothing is ever answered from here without the forge having said so just now, to the very token it was given to: what
//! somebody may not read any more they are not shown. What is written to takes along what was kept of it.
//!
//! A GitHub App has another token every 45 minutes, and everything is sent once more then: GitHub makes a tag for one token
//! (its support, in eclipse-csi/otterdog#201: "currently expected for ETags to be auth token specific"; github/docs#34689), and
//! answers that of another with the whole. `Last-Modified` outlives a token, but what sweeps ask for, lists, has none.

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
    /// By what each is about, so that a write looks at what is of its own repository alone.
    about: HashMap<About, HashMap<Key, Answer>>,
    bytes: usize,
    looks: u64,
}

/// The beginning of an address: `repos/{owner}/{name}`, `v4/projects/{id}`; what is not of a repository is with its likes.
type About = Vec<String>;

/// Who asked, by their token's hash, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    by: [u8; 32],
    about: About,
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
        let answers: usize = self.about.values().map(HashMap::len).sum();
        out.debug_struct("Kept").field("answers", &answers).field("bytes", &self.bytes).finish()
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
        let answer = self.about.get_mut(&key.about)?.get_mut(key)?;
        answer.looked = self.looks;
        Some(answer.clone())
    }

    fn keep(&mut self, key: Key, answer: Answer) {
        let before = self.about.get_mut(&key.about).and_then(|answers| answers.remove(&key));
        self.bytes -= before.as_ref().map_or(0, Answer::size);
        if self.bytes + answer.size() > MOST {
            self.drop_older_half();
        }
        self.bytes += answer.size();
        self.about.entry(key.about.clone()).or_default().insert(key, answer);
    }

    fn forget(&mut self, about: &About) {
        let gone = self.about.remove(about).unwrap_or_default();
        self.bytes -= gone.values().map(Answer::size).sum::<usize>();
    }

    /// Those that were looked at longest ago.
    fn drop_older_half(&mut self) {
        let mut looks: Vec<u64> = self.about.values().flat_map(HashMap::values).map(|answer| answer.looked).collect();
        looks.sort_unstable();
        let Some(middle) = looks.get(looks.len() / 2).copied() else { return };
        self.about.retain(|_, answers| {
            answers.retain(|_, answer| answer.looked > middle);
            !answers.is_empty()
        });
        self.bytes = self.about.values().flat_map(HashMap::values).map(Answer::size).sum();
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
        Some(Key { by, about: self.about(url), url: url.clone() })
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
        let about = self.about(written);
        self.kept().forget(&about);
    }

    fn about(&self, url: &Url) -> About {
        let parts = |url: &Url| url.path_segments().map(|parts| parts.map(str::to_owned).collect::<Vec<_>>());
        let base = self.base.path_segments().map_or(0, |parts| parts.filter(|part| !part.is_empty()).count());
        let mut about = parts(url).unwrap_or_default();
        about.truncate(base + 3);
        about
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_at_longest_ago_makes_room() {
        let mut kept = Kept::default();
        let about = |n: usize| vec!["repos".to_owned(), "acme".to_owned(), (n % 2).to_string()];
        let key =
            |n: usize| Key { by: [0; 32], about: about(n), url: format!("http://forge.example/{n}").parse().unwrap() };
        let answers = |kept: &Kept| kept.about.values().map(HashMap::len).sum::<usize>();
        let answer = |looked| Answer {
            tag: HeaderValue::from_static("\"1\""),
            headers: HeaderMap::new(),
            body: vec![0; LARGEST],
            looked,
        };
        for n in 0..MOST / LARGEST {
            kept.keep(key(n), answer(n as u64));
        }
        assert_eq!((answers(&kept), kept.bytes), (64, MOST));
        kept.looks = 64;
        assert!(kept.get(&key(0)).is_some(), "it is looked at now");
        kept.keep(key(64), answer(66));
        assert!(kept.bytes <= MOST / 2 + LARGEST && answers(&kept) < 34, "{kept:?}");
        assert!(kept.get(&key(0)).is_some() && kept.get(&key(64)).is_some() && kept.get(&key(1)).is_none());
        kept.keep(key(64), answer(67));
        (0..2).for_each(|n| kept.forget(&about(n)));
        assert_eq!((answers(&kept), kept.bytes), (0, 0), "what is counted is what is there");
    }
}
