//! One entry of the log, and the bytes its hash covers, version 1.
//!
//! `bascule audit 1\n`, then every field in the order of [`Row`], each as its length (8 bytes, big-endian) and its bytes;
//! numbers as 8 bytes big-endian, the time as microseconds since 1970. The previous entry's hash is the last field.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ids::TraceId;

const VERSION: &[u8] = b"bascule audit 1\n";

/// One entry, as stored and as exported (one JSON object a line).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// 1, 2, 3 … without gaps.
    pub seq: i64,
    /// The database's time, in microseconds.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// On what.
    pub subject: String,
    /// The particulars: JSON text, exactly as hashed.
    pub detail: String,
    /// What made it happen.
    pub cause: String,
    /// From delivery to sync.
    pub trace: TraceId,
    /// Whether it is an intent.
    pub opens: bool,
    /// The intent it closes.
    pub intent: Option<i64>,
    /// The hash of the entry before.
    #[serde(with = "hex::serde")]
    pub previous: Vec<u8>,
    /// Its own hash.
    #[serde(with = "hex::serde")]
    pub hash: Vec<u8>,
}

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
