//! Whether the database was put back from a backup, and nobody has looked at that yet.

use jiff::Timestamp;
use sqlx::PgConnection;

use crate::sync::fence::FAR;

/// A database that was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Entries of the log when that was found.
    pub entries: i64,
    /// Entries the newest signed head counts, which this log has not; `None`: an operator said that it was put back.
    pub signed: Option<i64>,
    /// The number that a cluster was written by, and that this database had yet to count to.
    pub fence: Option<i64>,
    /// When it was found.
    pub noticed_at: Timestamp,
}

/// The one nobody confirmed yet.
///
/// # Errors
/// The database's own.
pub async fn open(conn: &mut PgConnection) -> Result<Option<Restored>, sqlx::Error> {
    let row = sqlx::query!("SELECT entries, signed, fence, noticed_at FROM restore WHERE confirmed_at IS NULL")
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|row| Restored {
        entries: row.entries,
        signed: row.signed,
        fence: row.fence,
        noticed_at: row.noticed_at.to_jiff(),
    }))
}

/// Stores that it was put back; whether that is news.
///
/// # Errors
/// The database's own.
pub async fn notice(conn: &mut PgConnection, entries: i64, signed: Option<i64>) -> Result<bool, sqlx::Error> {
    let done =
        sqlx::query!("INSERT INTO restore (entries, signed) VALUES ($1, $2) ON CONFLICT DO NOTHING", entries, signed)
            .execute(conn)
            .await?;
    Ok(done.rows_affected() == 1)
}

/// Stores, with what is open, the number that a cluster was written by: the count goes on above it once somebody has looked.
///
/// # Errors
/// The database's own.
pub async fn fenced(conn: &mut PgConnection, number: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE restore SET fence = greatest(fence, $1) WHERE confirmed_at IS NULL", number)
        .execute(conn)
        .await?;
    Ok(())
}

/// Whether this database counts far above a number by now, as it does once somebody has looked: whoever was given a lower one
/// before is only late. Takes a number.
///
/// # Errors
/// The database's own.
pub async fn counts_above(conn: &mut PgConnection, number: i64) -> Result<bool, sqlx::Error> {
    let given = sqlx::query_scalar!(r#"SELECT nextval('job_fence') AS "given!""#).fetch_one(conn).await?;
    Ok(given > number.saturating_add(ABOVE / 2))
}

/// How far above what is known the count goes on: what was lost may have written other clusters with higher numbers.
const ABOVE: i64 = 1_000_000;

/// Stores that somebody looked at it; whether there was something to look at.
///
/// # Errors
/// The database's own.
pub async fn confirm(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let open =
        sqlx::query_scalar!("UPDATE restore SET confirmed_at = now() WHERE confirmed_at IS NULL RETURNING fence")
            .fetch_optional(&mut *conn)
            .await?;
    let Some(fence) = open else { return Ok(false) };
    // Never down: the number that is taken here is above all that this database gave. Whether a cluster said so or not, what
    // was lost has given some. And no further up than a fence is believed.
    sqlx::query_scalar!(
        "SELECT setval('job_fence', greatest(given, least($1, given + $2)) + $3)
         FROM (SELECT nextval('job_fence') AS given) AS taken",
        fence.unwrap_or_default(),
        FAR,
        ABOVE
    )
    .fetch_one(conn)
    .await?;
    Ok(true)
}
