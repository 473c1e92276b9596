//! When the head of the log is signed, and when not: every minute or thousand entries, and never over a log that is not
//! the one that was signed before, grown. What is signed was verified: a signature is no rubber stamp for whoever owns the
//! database.

use jiff::{SignedDuration, Timestamp};
use sqlx::PgPool;

use super::checkpoint::{Checkpoint, CheckpointError, Checkpoints, ENTRIES, SECONDS, Signer};
use super::read;
use super::verify::{Finding, Verifier};

/// Entries read at a time while the chain up to the head is followed.
const PIECE: i64 = 500;

/// Signs heads, one after the other.
#[derive(Debug)]
pub struct Signing {
    pool: PgPool,
    signer: Signer,
    checkpoints: Checkpoints,
    newest: Option<Checkpoint>,
    /// When it was last tried, whatever came of it.
    tried: Option<Timestamp>,
    refused: bool,
}

/// What came of a look at the log.
#[derive(Debug, PartialEq, Eq)]
pub enum Looked {
    /// Too few entries, too early.
    NotDue,
    /// Nothing was written since.
    Quiet,
    /// A new head.
    Signed(Checkpoint),
    /// The log is not what was signed before.
    Refused(Refusal),
}

/// Why a head is not signed. Somebody changed the log, or put an older database in place.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It lost entries.
    #[error("the log has {size} entries, and {signed} were signed: its end was cut off")]
    Shrunk {
        /// Entries there are.
        size: i64,
        /// Entries there were.
        signed: i64,
    },
    /// It does not go on from the newest signed head.
    #[error("the log does not go on from the head of {signed} entries that was signed last: {found:?}")]
    Broken {
        /// That head's size; 0 for none.
        signed: i64,
        /// What was found first.
        found: Finding,
    },
}

/// Why the log could not be looked at, or a head not be written.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The folder of heads.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The database.
    #[error("the log cannot be read")]
    Database(#[from] sqlx::Error),
}

impl Signing {
    /// Goes on from the newest head in the folder that this key signed.
    ///
    /// # Errors
    /// When the heads that are there cannot be read.
    pub fn open(pool: PgPool, signer: Signer, checkpoints: Checkpoints) -> Result<Self, CheckpointError> {
        let newest = checkpoints.newest(&signer.public_key())?;
        Ok(Self { pool, signer, checkpoints, newest, tried: None, refused: false })
    }

    /// Whether the log is without the newest signed head: somebody changed it, or put an older database in its place. It
    /// looks at that one entry; what lies between heads is followed when the next one is signed.
    ///
    /// # Errors
    /// [`SigningError`].
    pub async fn lost(&self) -> Result<Option<Refusal>, SigningError> {
        let Some(newest) = &self.newest else { return Ok(None) };
        let (size, _) = read::head(&self.pool).await?;
        let signed = newest.size;
        if size < signed {
            return Ok(Some(Refusal::Shrunk { size, signed }));
        }
        let entry = read::show(&mut *self.pool.acquire().await?, signed).await?;
        let has_it = signed == 0 || entry.is_some_and(|entry| entry.hash == newest.hash);
        Ok((!has_it).then_some(Refusal::Broken { signed, found: Finding::Rewritten { signed } }))
    }

    /// Puts the heads aside when the log is without the newest of them, so that new ones are signed; the file they are in
    /// now. They stay the evidence of what was lost.
    ///
    /// # Errors
    /// [`SigningError`].
    pub async fn set_aside_if_lost(&self) -> Result<Option<std::path::PathBuf>, SigningError> {
        match self.lost().await? {
            Some(_) => Ok(self.checkpoints.set_aside(self.signed())?),
            None => Ok(None),
        }
    }

    /// Signs the head if it is time to.
    ///
    /// # Errors
    /// [`SigningError`].
    pub async fn look(&mut self, now: Timestamp) -> Result<Looked, SigningError> {
        let minute = SignedDuration::from_secs(SECONDS.cast_signed());
        if self.tried.is_none_or(|tried| now.duration_since(tried) >= minute) {
            return self.sign(now).await;
        }
        // A log that was refused is looked at every minute, not every second.
        if !self.refused && read::head(&self.pool).await?.0 - self.signed() >= ENTRIES {
            return self.sign(now).await;
        }
        Ok(Looked::NotDue)
    }

    /// Signs the head as it is now, unless it has not moved since the last time.
    ///
    /// # Errors
    /// [`SigningError`].
    pub async fn sign(&mut self, now: Timestamp) -> Result<Looked, SigningError> {
        self.tried = Some(now);
        if self.refused {
            // Somebody may have looked at it, and put the heads of another log aside.
            self.newest = self.checkpoints.newest(&self.signer.public_key())?;
        }
        let (size, hash) = read::head(&self.pool).await?;
        if self.newest.as_ref().map_or(size == 0, |newest| (newest.size, &newest.hash) == (size, &hash)) {
            return Ok(Looked::Quiet);
        }
        if let Some(refusal) = self.refusal(size, &hash).await? {
            self.refused = true;
            metrics::counter!("bascule_audit_heads_total", "outcome" => "refused").increment(1);
            return Ok(Looked::Refused(refusal));
        }
        let checkpoint = self.signer.sign(size, &hash, now);
        self.checkpoints.append(&checkpoint)?;
        self.newest = Some(checkpoint.clone());
        self.refused = false;
        metrics::counter!("bascule_audit_heads_total", "outcome" => "signed").increment(1);
        Ok(Looked::Signed(checkpoint))
    }

    fn signed(&self) -> i64 {
        self.newest.as_ref().map_or(0, |newest| newest.size)
    }

    /// Follows the chain from the newest signed head to the one that would be signed.
    async fn refusal(&self, size: i64, hash: &[u8]) -> Result<Option<Refusal>, SigningError> {
        let signed = self.signed();
        if size < signed {
            return Ok(Some(Refusal::Shrunk { size, signed }));
        }
        let mut conn = self.pool.acquire().await?;
        let mut verifier = Verifier::after(self.newest.as_ref());
        while verifier.head().0 < size {
            let from = verifier.head().0;
            let rows = read::after(&mut conn, from, PIECE.min(size - from)).await?;
            if rows.is_empty() {
                break;
            }
            rows.iter().for_each(|row| verifier.row(row));
            if let Some(found) = verifier.first() {
                return Ok(Some(Refusal::Broken { signed, found }));
            }
        }
        let ends = verifier.head() == (size, hash);
        let found = Finding::Missing { seq: size };
        Ok((!ends).then_some(Refusal::Broken { signed, found }))
    }
}
