//! Reading the log: pages, one entry, and the whole of it as a stream.

use futures::TryStreamExt as _;
use sqlx::{PgConnection, PgPool};

use super::checkpoint::Checkpoint;
use super::row::Row;
use super::verify::{Report, Verifier};
use crate::ids::TraceId;

/// Which entries; an empty field is not asked about.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only entries with a smaller number: the cursor, newest first.
    pub before: Option<i64>,
    /// The subject begins with this.
    pub subject: Option<String>,
    /// Exactly this action.
    pub action: Option<String>,
    /// One trace, from delivery to sync.
    pub trace: Option<TraceId>,
    /// Not before.
    pub from: Option<jiff::Timestamp>,
    /// Before.
    pub to: Option<jiff::Timestamp>,
}

macro_rules! row {
    ($row:expr) => {
        Row {
            seq: $row.seq,
            at: $row.at.to_jiff(),
            actor: $row.actor,
            action: $row.action,
            subject: $row.subject,
            detail: $row.detail,
            cause: $row.cause,
            trace: TraceId($row.trace),
            opens: $row.opens,
            intent: $row.intent,
            previous: $row.previous,
            hash: $row.hash,
        }
    };
}

/// At most `limit` entries, newest first.
///
/// # Errors
/// The database's own.
pub async fn list(conn: &mut PgConnection, filter: &Filter, limit: i64) -> Result<Vec<Row>, sqlx::Error> {
    use jiff_sqlx::ToSqlx as _;
    let rows = sqlx::query!(
        r#"SELECT seq, at, actor, action, subject, detail::text AS "detail!", cause, trace, opens, intent, previous, hash
           FROM audit_entry
           WHERE ($1::bigint IS NULL OR seq < $1)
             AND ($2::text IS NULL OR starts_with(subject, $2))
             AND ($3::text IS NULL OR action = $3)
             AND ($4::uuid IS NULL OR trace = $4)
             AND ($5::timestamptz IS NULL OR at >= $5)
             AND ($6::timestamptz IS NULL OR at < $6)
           ORDER BY seq DESC LIMIT $7"#,
        filter.before,
        filter.subject,
        filter.action,
        filter.trace.map(|t| t.0),
        filter.from.map(|t| t.to_sqlx()) as _,
        filter.to.map(|t| t.to_sqlx()) as _,
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row!(row)).collect())
}

/// One entry.
///
/// # Errors
/// The database's own.
pub async fn show(conn: &mut PgConnection, seq: i64) -> Result<Option<Row>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT seq, at, actor, action, subject, detail::text AS "detail!", cause, trace, opens, intent, previous, hash
           FROM audit_entry WHERE seq = $1"#,
        seq
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| row!(row)))
}

/// The particulars of the newest entry that says this of a subject.
///
/// # Errors
/// The database's own.
pub async fn newest_detail(
    conn: &mut PgConnection,
    subject: &str,
    action: &str,
) -> Result<Option<serde_json::Value>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT detail AS "detail: serde_json::Value" FROM audit_entry WHERE subject = $1 AND action = $2
           ORDER BY seq DESC LIMIT 1"#,
        subject,
        action
    )
    .fetch_optional(conn)
    .await
}

/// `limit` entries after `after`, oldest first: what an export pages through.
///
/// # Errors
/// The database's own.
pub async fn after(conn: &mut PgConnection, after: i64, limit: i64) -> Result<Vec<Row>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT seq, at, actor, action, subject, detail::text AS "detail!", cause, trace, opens, intent, previous, hash
           FROM audit_entry WHERE seq > $1 ORDER BY seq LIMIT $2"#,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row!(row)).collect())
}

/// The head every entry is chained to: how many entries there are, and the hash of the last.
///
/// # Errors
/// The database's own.
pub async fn head(pool: &PgPool) -> Result<(i64, Vec<u8>), sqlx::Error> {
    let head = sqlx::query!("SELECT size, hash FROM audit_head").fetch_one(pool).await?;
    Ok((head.size, head.hash))
}

/// Verifies the whole log against its checkpoints, as a stream.
///
/// # Errors
/// The database's own.
pub async fn verify(pool: &PgPool, checkpoints: Vec<Checkpoint>, public_key: &[u8]) -> Result<Report, sqlx::Error> {
    // The database's own time, which its entries have: two clocks are no sign of tampering.
    let now = sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(pool).await?.to_jiff();
    let mut verifier = Verifier::new(checkpoints, public_key);
    let mut rows = sqlx::query!(
        r#"SELECT seq, at, actor, action, subject, detail::text AS "detail!", cause, trace, opens, intent, previous, hash
           FROM audit_entry ORDER BY seq"#
    )
    .fetch(pool);
    while let Some(row) = rows.try_next().await? {
        verifier.row(&row!(row));
    }
    Ok(verifier.end(now))
}
