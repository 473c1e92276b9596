//! Whether the database was put back from a backup, and nobody has looked at that yet.

use jiff::Timestamp;
use sqlx::PgConnection;

/// A database that was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Entries of the log when that was found.
    pub entries: i64,
    /// Entries the newest signed head counts, which this log has not; `None`: an operator said that it was put back.
    pub signed: Option<i64>,
    /// When it was found.
    pub noticed_at: Timestamp,
}

/// The one nobody confirmed yet.
///
/// # Errors
/// The database's own.
pub async fn open(conn: &mut PgConnection) -> Result<Option<Restored>, sqlx::Error> {
    let row = sqlx::query!("SELECT entries, signed, noticed_at FROM restore WHERE confirmed_at IS NULL")
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|row| Restored { entries: row.entries, signed: row.signed, noticed_at: row.noticed_at.to_jiff() }))
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

/// Stores that somebody looked at it; whether there was something to look at.
///
/// # Errors
/// The database's own.
pub async fn confirm(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!("UPDATE restore SET confirmed_at = now() WHERE confirmed_at IS NULL").execute(conn).await?;
    Ok(done.rows_affected() == 1)
}
