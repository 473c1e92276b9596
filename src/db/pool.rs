//! The pool of a running server: bounded waits, the writer only, a durable commit, a role that cannot rewrite the log.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::migrate::{Schema, SchemaError};
use super::roles::{self, RoleError};

/// The oldest PostgreSQL we are tested on.
const OLDEST_SERVER: i32 = 15;

/// Above what a server's lanes, door and pages use at once; far below PostgreSQL's own default of 100, so that two
/// servers and an operator's `psql` fit.
const MAX_CONNECTIONS: u32 = 32;

/// How long a caller waits for a connection. The door answers 503 after it, inside a sender's 10 s.
const ACQUIRE: Duration = Duration::from_secs(3);

/// Bounds of a statement, of waiting for a lock, and of a transaction that does nothing: none of our statements comes near. The
/// last is shorter than a lease: a worker that stands still in the middle of a record has its job's row locked, and nobody takes
/// over what is locked.
const LIMITS: [(&str, &str); 4] = [
    ("statement_timeout", "30s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("application_name", "bascule"),
];

/// Why a server cannot use its database; `Display` says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It could not be reached, or refused us.
    #[error("the database cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    /// An address we cannot read. The text may hold a password and is not repeated.
    #[error("`database.url` is not a PostgreSQL address (postgres://user@host/database)")]
    Address,
    /// Older than what we are tested on.
    #[error("PostgreSQL {found} is too old: bascule needs {OLDEST_SERVER} or newer")]
    ServerTooOld {
        /// Its major version.
        found: i32,
    },
    /// The schema is not this program's.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The role is not what a server may be.
    #[error(transparent)]
    Role(#[from] RoleError),
}

/// Opens the pool of a running server and checks version, schema and role; migrates nothing.
///
/// # Errors
/// See [`ConnectError`]; every one is final until somebody acts, but `Unreachable`.
pub async fn connect(url: &str) -> Result<PgPool, ConnectError> {
    let options: PgConnectOptions = url.parse().map_err(|_| ConnectError::Address)?;
    connect_with(options).await
}

/// As [`connect`], from options.
///
/// # Errors
/// As [`connect`].
pub async fn connect_with(options: PgConnectOptions) -> Result<PgPool, ConnectError> {
    let pool = sized(options.options(LIMITS), MAX_CONNECTIONS);
    let mut connection = pool.acquire().await.map_err(ConnectError::Unreachable)?;
    let version = sqlx::query_scalar!(r#"SELECT current_setting('server_version_num')::int AS "version!""#)
        .fetch_one(&mut *connection)
        .await
        .map_err(ConnectError::Unreachable)?;
    let found = version / 10_000;
    if found < OLDEST_SERVER {
        return Err(ConnectError::ServerTooOld { found });
    }
    Schema::look(&mut connection).await.map_err(ConnectError::Unreachable)?.require_current()?;
    roles::check(&mut connection).await.map_err(ConnectError::Unreachable)??;
    drop(connection);
    Ok(pool)
}

/// A second, small pool to the same database, for requests that must not wait for those of `pool`: claiming jobs and
/// renewing their leases, while the jobs themselves may hold every connection of the first.
pub fn beside(pool: &PgPool, connections: u32) -> PgPool {
    sized((*pool.connect_options()).clone(), connections)
}

/// A pool whose every connection is to the writer and commits durably. Opens nothing yet.
fn sized(options: PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .after_connect(|connection, _| {
            Box::pin(async move {
                // A standby after a failover answers reads from the past: no decision is ever taken on one. And what
                // we answered 202 for has to be on disk, whatever the role's or the database's default says.
                let standby = sqlx::query_scalar!(
                    r#"SELECT pg_is_in_recovery() AS "standby!"
                       FROM (SELECT CASE WHEN current_setting('synchronous_commit') = 'off'
                                    THEN set_config('synchronous_commit', 'on', false) END) AS durable"#
                )
                .fetch_one(connection)
                .await?;
                if standby {
                    return Err(sqlx::Error::Io(std::io::Error::other("this is a standby, not the writer")));
                }
                Ok(())
            })
        })
        .connect_lazy_with(options)
}
