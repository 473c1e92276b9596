//! `bascule audit verify --offline`: an export and the signed heads, without a server and without a database.

use std::io::BufRead;

use super::checkpoint::Checkpoint;
use super::verify::{Report, Row, Verifier};

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

/// Verifies an export line by line, so that it need not fit in memory.
///
/// # Errors
/// A line that is no entry; an export that was changed is a finding, not an error.
pub fn verify(export: impl BufRead, checkpoints: &[Checkpoint], public_key: &[u8]) -> Result<Report, ExportError> {
    let mut verifier = Verifier::new(checkpoints, public_key);
    for (at, line) in export.lines().enumerate() {
        let row: Row = serde_json::from_str(&line?).map_err(|source| ExportError::Line { line: at + 1, source })?;
        verifier.row(&row);
    }
    Ok(verifier.end())
}
