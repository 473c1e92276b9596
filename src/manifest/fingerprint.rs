//! Which hidden values are the same, without saying what they are.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::canonical::HashKey;
use crate::ids::RepositoryKey;

/// Letters of one fingerprint: 30 bits. Two values of one repository that differ have the same once in a billion.
const LETTERS: usize = 6;
/// Five bits each, and none is taken for another when it is read aloud.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The key under which hidden values of one repository get their fingerprints.
///
/// Of an installation's secret key, so that nobody guesses values offline; of one repository, so that what somebody may
/// write in theirs is never compared with what stands in another's. Only for values of rendered sets, which whoever may
/// change what is rendered could print in clear: of a value that is read from a cluster it would confirm guesses.
#[derive(Clone)]
pub struct Fingerprints([u8; 32]);

impl Fingerprints {
    /// Those of a repository.
    pub fn of(key: &HashKey, repository: &RepositoryKey) -> Self {
        // What is hashed under this key otherwise is JSON, which begins with none of these letters.
        Self(key.of_bytes(format!("fingerprints 1 of {} {}", repository.forge, repository.id).as_bytes()))
    }

    /// Those under a key that is used once: they say what is the same within what is shown together.
    pub fn once(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The letters that stand for a value.
    pub(super) fn letters(&self, value: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(value);
        let hash: [u8; 32] = mac.finalize().into_bytes().into();
        let bits = hash.iter().take(8).fold(0u64, |bits, byte| (bits << 8) | u64::from(*byte));
        (0..LETTERS).map(|place| char::from(ALPHABET[((bits >> (59 - 5 * place)) & 31) as usize])).collect()
    }
}

impl fmt::Debug for Fingerprints {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Fingerprints(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_of_the_value_the_key_and_the_repository() {
        let of = |key: u8, forge: &str, id: i64| {
            let repository = RepositoryKey { forge: forge.parse().unwrap(), id };
            Fingerprints::of(&HashKey::new([key; 32]), &repository).letters(b"hunter2")
        };
        let all = [of(1, "work", 1), of(2, "work", 1), of(1, "work", 2), of(1, "gh", 1)];
        let apart: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(apart.len(), all.len(), "{all:?}");
        assert_eq!(of(1, "work", 1), all[0]);
        let shape = |text: &String| text.len() == LETTERS && text.bytes().all(|b| ALPHABET.contains(&b));
        assert!(all.iter().all(shape), "{all:?}");
        let one = Fingerprints::once([1; 32]);
        assert_ne!(one.letters(b"a"), one.letters(b"b"));
        assert!(!format!("{one:?}").contains('1'), "a key is never printed");
    }
}
