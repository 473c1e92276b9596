//! `bascule audit verify --offline`: an export and the signed heads, without a server and without a database.
//!
//! An export carries the heads there were when it was made, a line each, before the entries; and its last entry, the one
//! of its own making, says which was the newest. So heads and entries that were taken away since are missed.

use std::io::BufRead;

use serde::{Deserialize, Serialize};

use super::checkpoint::Checkpoint;
use super::row::Row;
use super::verify::{Finding, Report, Verifier};

/// What the last entry of an export says was done.
pub const EXPORTED: &str = "audit.exported";

/// A line of an export that is no entry.
#[derive(Debug, Serialize, Deserialize)]
pub struct HeadLine {
    /// The signed head.
    pub signed_head: Checkpoint,
}

/// The particulars of [`EXPORTED`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Exported {
    /// Entries after this number; 0 for all.
    pub after: i64,
    /// How many signed heads it carries.
    pub heads: usize,
    /// The size of the newest of them.
    pub newest_head: Option<i64>,
}

/// Why an export could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file.
    #[error("the export cannot be read")]
    Read(#[from] std::io::Error),
    /// A line that is no entry.
    #[error("line {line} of the export is no entry of the log")]
    Line {
        /// Counted from 1.
        line: usize,
        /// Why not.
        source: serde_json::Error,
    },
}

/// Verifies an export line by line, so that it need not fit in memory. `kept` are the heads at hand beside those it carries:
/// somebody who changed the export could take its own away, but not these.
///
/// # Errors
/// A line that is no entry; an export that was changed is a finding, not an error.
pub fn verify(export: impl BufRead, kept: &[Checkpoint], public_key: &[u8]) -> Result<Report, ExportError> {
    let mut heads = kept.to_vec();
    let mut lines = export.lines().enumerate().peekable();
    while let Some((_, Ok(line))) = lines.peek()
        && let Ok(HeadLine { signed_head }) = serde_json::from_str(line)
    {
        heads.push(signed_head);
        lines.next();
    }
    let newest = heads.iter().filter(|one| one.is_signed_by(public_key)).map(|one| one.size).max();
    let mut verifier = Verifier::new(heads, public_key);
    let mut last = None;
    for (at, line) in lines {
        let row: Row = serde_json::from_str(&line?).map_err(|source| ExportError::Line { line: at + 1, source })?;
        verifier.row(&row);
        last = Some(row);
    }
    match last.filter(|row| row.action == EXPORTED) {
        Some(row) => {
            let told = serde_json::from_str::<Exported>(&row.detail).ok().and_then(|told| told.newest_head);
            if let Some(signed) = told.filter(|signed| newest.is_none_or(|newest| newest < *signed)) {
                verifier.find(Finding::HeadGone { signed });
            }
            // Of what came later it says nothing, and it does not grow old either.
            Ok(verifier.end(row.at))
        }
        None => {
            let (seq, at) = (verifier.head().0, verifier.newest());
            verifier.find(Finding::Unended { seq });
            Ok(verifier.end(at))
        }
    }
}
