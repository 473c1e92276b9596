//! Deliveries as received: raw, once each, never lost after we said 202.

use jiff::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::ids::{ForgeName, TraceId};

/// A verified delivery to be stored.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// Our id.
    pub id: Uuid,
    /// The configured forge whose endpoint it came to.
    pub forge: ForgeName,
    /// The forge's own id of it.
    pub delivery_id: String,
    /// The event header.
    pub event: String,
    /// The raw body.
    pub body: Vec<u8>,
    /// SHA-256 of the body.
    pub body_hash: [u8; 32],
    /// Begins here.
    pub trace: TraceId,
    /// What to do with it.
    pub state: DeliveryState,
    /// Why it is ignored or quarantined.
    pub reason: Option<String>,
    /// The forge's numbers of the repositories it is about.
    pub repositories: Vec<i64>,
}

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// Its jobs are enqueued with it.
    Done,
    /// Known to be of no interest.
    Ignored,
    /// Signed, but unreadable: kept for a person to look at.
    Quarantined,
}

impl DeliveryState {
    /// The word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Ignored => "ignored",
            Self::Quarantined => "quarantined",
        }
    }
}

/// How storing one went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is new.
    New,
    /// The same id with the same body was stored before.
    Duplicate,
    /// The same id was stored with another body; this one is kept as evidence only.
    Conflict,
}

/// Stores a batch and tells for each, in order, whether it is new.
///
/// # Errors
/// The database's own.
pub async fn store(conn: &mut PgConnection, batch: &[&NewDelivery]) -> Result<Vec<Stored>, sqlx::Error> {
    let ids: Vec<Uuid> = batch.iter().map(|d| d.id).collect();
    let forges: Vec<String> = batch.iter().map(|d| d.forge.to_string()).collect();
    let delivery_ids: Vec<String> = batch.iter().map(|d| d.delivery_id.clone()).collect();
    let events: Vec<String> = batch.iter().map(|d| d.event.clone()).collect();
    let bodies: Vec<&[u8]> = batch.iter().map(|d| d.body.as_slice()).collect();
    let hashes: Vec<Vec<u8>> = batch.iter().map(|d| d.body_hash.to_vec()).collect();
    let traces: Vec<Uuid> = batch.iter().map(|d| d.trace.0).collect();
    let states: Vec<String> = batch.iter().map(|d| d.state.as_str().to_owned()).collect();
    let reasons: Vec<Option<String>> = batch.iter().map(|d| d.reason.clone()).collect();
    let repositories: Vec<serde_json::Value> = batch.iter().map(|d| d.repositories.clone().into()).collect();
    let new: Vec<Uuid> = sqlx::query_scalar!(
        "INSERT INTO delivery (id, forge, delivery_id, event, body, body_hash, trace, state, reason, repositories)
         SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bytea[], $7::uuid[], $8::text[], $9::text[], $10::jsonb[])
         ON CONFLICT ON CONSTRAINT delivery_once DO NOTHING RETURNING id",
        &ids,
        &forges,
        &delivery_ids,
        &events,
        &bodies as &[&[u8]],
        &hashes,
        &traces,
        &states,
        &reasons as &[Option<String>],
        &repositories,
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut stored = Vec::with_capacity(batch.len());
    for delivery in batch {
        stored.push(if new.contains(&delivery.id) { Stored::New } else { seen_before(conn, delivery).await? });
    }
    Ok(stored)
}

async fn seen_before(conn: &mut PgConnection, delivery: &NewDelivery) -> Result<Stored, sqlx::Error> {
    let first = sqlx::query_scalar!(
        "SELECT body_hash FROM delivery WHERE forge = $1 AND delivery_id = $2",
        delivery.forge.as_str(),
        delivery.delivery_id
    )
    .fetch_one(&mut *conn)
    .await?;
    if first == delivery.body_hash {
        return Ok(Stored::Duplicate);
    }
    sqlx::query!(
        "INSERT INTO delivery_conflict (id, forge, delivery_id, body_hash) VALUES ($1, $2, $3, $4)",
        delivery.id,
        delivery.forge.as_str(),
        delivery.delivery_id,
        &delivery.body_hash[..]
    )
    .execute(conn)
    .await?;
    Ok(Stored::Conflict)
}

/// A stored delivery, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Our id.
    pub id: Uuid,
    /// The configured forge.
    pub forge: String,
    /// The forge's own id.
    pub delivery_id: String,
    /// The event header.
    pub event: String,
    /// What became of it.
    pub state: String,
    /// Why it is ignored or quarantined.
    pub reason: Option<String>,
    /// Begins here.
    pub trace: TraceId,
    /// When, by the database.
    pub received_at: Timestamp,
}

/// Deliveries of a forge that name these repositories (the forge's numbers) and no other.
#[derive(Debug, Clone)]
pub struct About<'a> {
    /// The forge.
    pub forge: &'a ForgeName,
    /// The forge's numbers.
    pub repositories: &'a [i64],
}

/// At most `limit` deliveries, newest first; `before` is the cursor; `state` one of the schema's words; `about` leaves out
/// all others, also those about no repository.
///
/// # Errors
/// The database's own.
pub async fn list(
    conn: &mut PgConnection,
    before: Option<Uuid>,
    state: Option<&str>,
    about: Option<&About<'_>>,
    limit: i64,
) -> Result<Vec<Delivery>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT id, forge, delivery_id, event, state, reason, trace, received_at FROM delivery
         WHERE ($1::uuid IS NULL OR id < $1) AND ($2::text IS NULL OR state = $2)
           AND ($4::text IS NULL OR forge = $4 AND repositories <> '[]' AND repositories <@ to_jsonb($5::bigint[]))
         ORDER BY id DESC LIMIT $3",
        before,
        state,
        limit,
        about.map(|about| about.forge.as_str()),
        about.map(|about| about.repositories) as Option<&[i64]>,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Delivery {
            id: row.id,
            forge: row.forge,
            delivery_id: row.delivery_id,
            event: row.event,
            state: row.state,
            reason: row.reason,
            trace: TraceId(row.trace),
            received_at: row.received_at.to_jiff(),
        })
        .collect())
}

/// The forge, event header and raw body of one delivery: what a replay reads again.
///
/// # Errors
/// The database's own.
pub async fn body(conn: &mut PgConnection, id: Uuid) -> Result<Option<(String, String, Vec<u8>)>, sqlx::Error> {
    let row = sqlx::query!("SELECT forge, event, body FROM delivery WHERE id = $1", id).fetch_optional(conn).await?;
    Ok(row.map(|row| (row.forge, row.event, row.body)))
}

/// The forge of a delivery and the forge's numbers of the repositories it is about.
///
/// # Errors
/// The database's own.
pub async fn about(conn: &mut PgConnection, id: Uuid) -> Result<Option<(String, Vec<i64>)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT forge, repositories AS "repositories: sqlx::types::Json<Vec<i64>>" FROM delivery WHERE id = $1"#,
        id
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.forge, row.repositories.0)))
}

/// One delivery, without its body.
///
/// # Errors
/// The database's own.
pub async fn get(conn: &mut PgConnection, id: Uuid) -> Result<Option<Delivery>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT id, forge, delivery_id, event, state, reason, trace, received_at FROM delivery WHERE id = $1",
        id
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Delivery {
        id: row.id,
        forge: row.forge,
        delivery_id: row.delivery_id,
        event: row.event,
        state: row.state,
        reason: row.reason,
        trace: TraceId(row.trace),
        received_at: row.received_at.to_jiff(),
    }))
}

/// Says what became of a delivery that was read once more.
///
/// # Errors
/// The database's own.
pub async fn reread(
    conn: &mut PgConnection,
    id: Uuid,
    state: DeliveryState,
    reason: Option<&str>,
    repositories: &[i64],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE delivery SET state = $2, reason = $3, repositories = $4 WHERE id = $1",
        id,
        state.as_str(),
        reason,
        sqlx::types::Json(repositories) as _
    )
    .execute(conn)
    .await?;
    Ok(())
}
