//! Errors of the database by fate: what the one who ran the statement should do now.

use std::future::Future;

/// What an error means for the work it met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Run the same transaction again, at once: it met another one.
    Retry,
    /// Nothing is wrong with the work; the database cannot be used right now.
    Later,
    /// It will fail the same way again.
    Never,
}

/// A failed statement, sorted by what can be done about it.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// A serialization failure, a deadlock, or a lock that was not free in time.
    #[error("another transaction was in the way")]
    Contended(#[source] sqlx::Error),
    /// The connection was lost or could not be had, or the server is full, stopping, or read-only.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// A constraint said no; its name tells which (every constraint of the schema that can speak has one).
    #[error("the constraint `{name}` refused it")]
    Constraint {
        /// The constraint's name in the schema.
        name: String,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The role of the running server may not do this.
    #[error("the database role may not do this")]
    Refused(#[source] sqlx::Error),
    /// Anything else: a fault of ours.
    #[error("a database statement failed")]
    Broken(#[source] sqlx::Error),
}

impl DbError {
    /// What to do about it.
    pub fn fate(&self) -> Fate {
        match self {
            Self::Contended(_) => Fate::Retry,
            Self::Unavailable(_) => Fate::Later,
            Self::Constraint { .. } | Self::Refused(_) | Self::Broken(_) => Fate::Never,
        }
    }

    /// The constraint that refused, if one did.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Constraint { name, .. } => Some(name),
            Self::Contended(_) | Self::Unavailable(_) | Self::Refused(_) | Self::Broken(_) => None,
        }
    }
}

/// Whether the database cannot be used right now, and nothing is wrong with what was asked of it.
pub fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(said) => said.constraint().is_none() && said.code().as_deref().is_some_and(says_away),
        _ => false,
    }
}

/// 25006 read_only_sql_transaction (a standby after a failover), 25P03 idle_in_transaction_session_timeout (we stood still), 57014
/// query_canceled (our own statement_timeout); the classes 08 connection, 53 out of disk, memory or connections, 57P operator stops it, 58 system error.
fn says_away(code: &str) -> bool {
    ["25006", "25P03", "57014"].contains(&code) || ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class))
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        if is_away(&error) {
            return Self::Unavailable(error);
        }
        let Some(said) = error.as_database_error() else { return Self::Broken(error) };
        if let Some(name) = said.constraint() {
            return Self::Constraint { name: name.to_owned(), source: error };
        }
        match said.code().as_deref() {
            // serialization_failure, deadlock_detected, lock_not_available
            Some("40001" | "40P01" | "55P03") => Self::Contended(error),
            Some("42501") => Self::Refused(error),
            _ => Self::Broken(error),
        }
    }
}

/// How often a transaction that met another one is run before we give up: contention that survives this many tries is
/// not a race but a design fault, and the queue's stored back-off takes over.
const TRIES: u32 = 8;

/// Runs `transaction` again while its fate is [`Fate::Retry`], at most eight times; it must begin and commit by itself.
///
/// # Errors
/// The last error, when it is of another fate or the tries are used up.
pub async fn retrying<T, E, F>(mut transaction: impl FnMut() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
    E: Contention,
{
    let mut tries = 1;
    loop {
        match transaction().await {
            Err(error) if error.is_contention() && tries < TRIES => tries += 1,
            outcome => return outcome,
        }
    }
}

/// An error that knows whether another transaction was its only reason.
pub trait Contention {
    /// True when running the same transaction again is the answer.
    fn is_contention(&self) -> bool;
}

impl Contention for DbError {
    fn is_contention(&self) -> bool {
        self.fate() == Fate::Retry
    }
}

impl Contention for sqlx::Error {
    fn is_contention(&self) -> bool {
        let code = self.as_database_error().and_then(|said| said.code());
        matches!(code.as_deref(), Some("40001" | "40P01" | "55P03"))
    }
}
