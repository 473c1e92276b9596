//! The log that can be proven: append-only, hash-chained, written in the transaction of what it records.
//!
//! ```text
//!   append ──locks──▶ audit_head (size, hash)             signing ──signs──▶ a file outside the database
//!     │                    ▲                                │
//!     └─▶ audit_entry(seq = size + 1, previous, hash) ──────┘        verify: rows × chain × checkpoints
//! ```
//!
//! What the database alone cannot promise: its owner can rewrite every row and every hash. The signed heads outside it
//! find that, for everything older than the newest of them; entries after it are as safe as the database, no safer. Who has
//! the database as its owner *and* the folder of heads, or the key, is found only by heads that were copied elsewhere.

pub mod checkpoint;
pub mod offline;
pub mod read;
pub mod row;
pub mod signing;
pub mod verify;

use jiff_sqlx::ToSqlx as _;
use serde_json::Value;
use sqlx::PgConnection;

use crate::ids::TraceId;

/// What is to be recorded.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// Who: `work/alice (3)`, `bascule`, `token ci`, `bascule.toml`.
    pub actor: String,
    /// What was done, one dotted word: `approval.recorded`.
    pub action: &'static str,
    /// On what: `work/acme/shop production`, `work/acme/shop#17`, `config`.
    pub subject: String,
    /// The particulars; never a secret's value.
    pub detail: Value,
    /// What made it happen: `job attend_pull work/1#17`, `deployment …`, `start`. The delivery with the same trace, if there is
    /// one, is added when it is written.
    pub cause: String,
    /// The id that runs from delivery to sync.
    pub trace: TraceId,
}

/// Appends one entry and gives its number.
///
/// It locks the head until the caller's transaction ends, so that the chain cannot fork: call it last before commit.
///
/// # Errors
/// The database's own.
pub async fn append(conn: &mut PgConnection, entry: &NewEntry) -> Result<i64, sqlx::Error> {
    write(conn, entry, false, None).await
}

/// Appends the intent of an effect outside the database; commit it before trying the effect, and close it with
/// [`outcome`] afterwards.
///
/// # Errors
/// The database's own.
pub async fn intent(conn: &mut PgConnection, entry: &NewEntry) -> Result<i64, sqlx::Error> {
    write(conn, entry, true, None).await
}

/// Closes an intent.
///
/// # Errors
/// The database's own; a second outcome of one intent violates `audit_one_outcome`.
pub async fn outcome(conn: &mut PgConnection, intent: i64, entry: &NewEntry) -> Result<i64, sqlx::Error> {
    write(conn, entry, false, Some(intent)).await
}

/// Before the delivery in a cause; no key of a job has it, because no name of a branch has a space.
const OF: &str = " of delivery ";

/// What caused the intents that have no outcome, without its delivery. Nobody can append until the caller's transaction
/// ends, so none of them gets its outcome meanwhile.
///
/// # Errors
/// The database's own.
pub async fn open_causes(conn: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query!("SELECT size FROM audit_head FOR UPDATE").fetch_one(&mut *conn).await?;
    sqlx::query_scalar!(
        r#"SELECT DISTINCT split_part(e.cause, ' of delivery ', 1) AS "cause!" FROM audit_entry e
           WHERE e.opens AND NOT EXISTS (SELECT FROM audit_entry o WHERE o.intent = e.seq) ORDER BY 1"#
    )
    .fetch_all(conn)
    .await
}

/// Closes every intent of `cause`, whichever delivery began it, that has no outcome as unknown: whoever opened it died before it could tell.
/// Gives how many there were.
///
/// # Errors
/// The database's own.
pub async fn close_unended(conn: &mut PgConnection, cause: &str) -> Result<usize, sqlx::Error> {
    let open = sqlx::query!(
        "SELECT e.seq, e.subject, e.action, e.trace FROM audit_entry e
         WHERE e.opens AND split_part(e.cause, ' of delivery ', 1) = $1 AND NOT EXISTS (SELECT FROM audit_entry o WHERE o.intent = e.seq) ORDER BY e.seq",
        cause
    )
    .fetch_all(&mut *conn)
    .await?;
    for row in &open {
        let detail = serde_json::json!({ "outcome": "unknown", "of": row.action,
            "why": "whoever began it ended before it could tell" });
        let entry = NewEntry {
            actor: "bascule".to_owned(),
            action: "intent.unknown",
            subject: row.subject.clone(),
            detail,
            cause: cause.to_owned(),
            // The end of what that trace began.
            trace: TraceId(row.trace),
        };
        outcome(conn, row.seq, &entry).await?;
    }
    Ok(open.len())
}

async fn write(
    conn: &mut PgConnection,
    entry: &NewEntry,
    opens: bool,
    intent: Option<i64>,
) -> Result<i64, sqlx::Error> {
    let head = sqlx::query!(
        r#"SELECT size, hash, date_trunc('microseconds', clock_timestamp()) AS "at!",
                  (SELECT id FROM delivery WHERE trace = $1 ORDER BY received_at LIMIT 1) AS delivery
           FROM audit_head FOR UPDATE OF audit_head"#,
        entry.trace.0
    )
    .fetch_one(&mut *conn)
    .await?;
    let row = row::Row {
        seq: head.size + 1,
        at: head.at.to_jiff(),
        actor: entry.actor.clone(),
        action: entry.action.to_owned(),
        subject: entry.subject.clone(),
        // PostgreSQL's json refuses an escaped NUL inside functions only, but export and psql trip over it: spell it.
        detail: entry.detail.to_string().replace("\\u0000", "\u{fffd}"),
        cause: head.delivery.map_or_else(|| entry.cause.clone(), |id| format!("{}{OF}{id}", entry.cause)),
        trace: entry.trace,
        opens,
        intent,
        previous: head.hash,
        hash: Vec::new(),
    };
    let row = row::Row {
        actor: without_nul(row.actor),
        subject: without_nul(row.subject),
        cause: without_nul(row.cause),
        ..row
    };
    let hash = row::hash(&row);
    sqlx::query!(
        "INSERT INTO audit_entry (seq, at, actor, action, subject, detail, cause, trace, opens, intent, previous, hash)
         VALUES ($1, $2, $3, $4, $5, $6::text::json, $7, $8, $9, $10, $11, $12)",
        row.seq,
        row.at.to_sqlx() as _,
        row.actor,
        row.action,
        row.subject,
        row.detail,
        row.cause,
        row.trace.0,
        row.opens,
        row.intent,
        row.previous,
        &hash[..],
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("UPDATE audit_head SET size = $1, hash = $2", row.seq, &hash[..]).execute(&mut *conn).await?;
    metrics::counter!("bascule_audit_entries_total").increment(1);
    Ok(row.seq)
}

/// PostgreSQL's text cannot hold U+0000.
fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}
