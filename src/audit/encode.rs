//! The bytes an entry's hash covers, version 1.
//!
//! `bascule audit 1\n`, then every field in the order of [`Row`], each as its length (8 bytes, big-endian) and its bytes;
//! numbers as 8 bytes big-endian, the time as microseconds since 1970. The previous entry's hash is the last field.

use sha2::{Digest as _, Sha256};

use super::verify::Row;

const VERSION: &[u8] = b"bascule audit 1\n";

/// The hash of an entry; its own `hash` field is not looked at.
pub(super) fn hash(row: &Row) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(VERSION);
    let mut field = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    field(&row.seq.to_be_bytes());
    field(&row.at.as_microsecond().to_be_bytes());
    field(row.actor.as_bytes());
    field(row.action.as_bytes());
    field(row.subject.as_bytes());
    field(row.detail.as_bytes());
    field(row.cause.as_bytes());
    field(row.trace.0.as_bytes());
    field(&[u8::from(row.opens)]);
    field(&row.intent.unwrap_or(0).to_be_bytes());
    field(&row.previous);
    hasher.finalize().into()
}
