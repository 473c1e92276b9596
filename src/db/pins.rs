//! Pins: while one stands, nothing is synced forward. Each is kept for ever, with the rollback that left it and who ended it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff_sqlx::{Timestamp as Stored, ToSqlx as _};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::deployments;
use super::holds::{self, Hold};
use super::rollbacks::{self, Rollback};
use crate::consent::Taken;
use crate::ids::EnvironmentName;
use crate::sync::HoldReason;

/// A pin that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Its id.
    pub id: Uuid,
    /// The rollback that left it.
    pub rollback: Rollback,
    /// What was taken away, by this rollback and by those before it that nobody resumed from.
    pub taken: Taken,
}

impl Pin {
    /// What it is, in a sentence's end: `pinned: back at #39 …`. Plain text, of which a reason is a person's.
    pub fn sentence(&self) -> String {
        let revert = self.rollback.revert.as_ref().map(|revert| format!("; {}", revert.sentence()));
        format!("pinned: {}{}", self.rollback.sentence(), revert.unwrap_or_default())
    }
}

impl Pin {
    /// What the environment is held for. A change that waits for consent goes on waiting, where it is shown.
    pub fn hold(&self, environment: i64, name: &EnvironmentName, before: Option<Hold>) -> Hold {
        let (change, shown_in) = before.map(|before| (before.change, before.shown_in)).unwrap_or_default();
        Hold {
            environment,
            reason: HoldReason::Pinned.as_str().to_owned(),
            detail: format!("{name} is {}", self.sentence()),
            lifts: HoldReason::Pinned.lifted_by(name, None, 0),
            change,
            shown_in,
            awaits: Vec::new(),
            thaws: false,
            wakes: None,
            ahead: None,
        }
    }
}

/// Ends the one that stands, and what the environment is held for because of it: the gate is judged next. A way back that
/// was not tried yet is taken back. `false`: there was neither.
///
/// # Errors
/// The database's own.
pub async fn resume(conn: &mut PgConnection, environment: i64, by: &str, now: Timestamp) -> Result<bool, sqlx::Error> {
    let is_taken_back = rollbacks::take_back(&mut *conn, environment, by, now).await?;
    if !end(&mut *conn, environment, by, now).await? {
        return Ok(is_taken_back);
    }
    if let Some(hold) = holds::get(&mut *conn, environment).await?
        && hold.reason == HoldReason::Pinned.as_str()
    {
        holds::lift(conn, environment).await?;
    }
    Ok(true)
}

/// Begins one. One that stands ends with it.
///
/// # Errors
/// The database's own.
pub async fn begin(
    conn: &mut PgConnection,
    (id, environment): (Uuid, i64),
    rollback: Uuid,
    taken: &Taken,
    (by, now): (&str, Timestamp),
) -> Result<(), sqlx::Error> {
    end(&mut *conn, environment, by, now).await?;
    sqlx::query!(
        "INSERT INTO pin (id, environment_id, rollback_id, taken, began_at) VALUES ($1, $2, $3, $4, $5)",
        id,
        environment,
        rollback,
        Json(taken) as _,
        now.to_sqlx() as Stored,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends the one that stands. `false`: none did.
///
/// # Errors
/// The database's own.
pub async fn end(conn: &mut PgConnection, environment: i64, by: &str, now: Timestamp) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE pin SET ended_at = $3, ended_by = $2 WHERE environment_id = $1 AND ended_at IS NULL",
        environment,
        by,
        now.to_sqlx() as Stored,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The one that stands.
///
/// # Errors
/// The database's own.
pub async fn standing(conn: &mut PgConnection, environment: i64) -> Result<Option<Pin>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT id, rollback_id, taken AS "taken: Json<Taken>" FROM pin WHERE environment_id = $1 AND ended_at IS NULL"#,
        environment
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let rollback = rollbacks::get(conn, row.rollback_id).await?.ok_or(sqlx::Error::RowNotFound)?;
    Ok(Some(Pin { id: row.id, rollback, taken: row.taken.0 }))
}

/// Deployments that are looked at for the pull requests whose changes a way back took away.
const TAKEN_AWAY: i64 = 20;

/// Where a pin is told of: where its way back was asked for, the pull requests whose changes were taken away, and the one that
/// reverts them. What these say is put right when it ends.
///
/// # Errors
/// The database's own.
pub async fn told_in(conn: &mut PgConnection, pin: &Pin) -> Result<BTreeSet<i64>, sqlx::Error> {
    let Rollback { new, back_to, .. } = &pin.rollback;
    let mut places = taken_away(conn, new.environment, *back_to).await?;
    places.extend(new.asked_in.map(|(place, _)| place));
    places.extend(pin.rollback.reverted_in());
    Ok(places)
}

/// The pull requests that deployments since this one brought.
///
/// # Errors
/// The database's own.
pub async fn taken_away(conn: &mut PgConnection, environment: i64, back_to: i64) -> Result<BTreeSet<i64>, sqlx::Error> {
    let newest = deployments::list(conn, environment, None, TAKEN_AWAY).await?;
    Ok(newest.into_iter().filter(|one| one.new.number > back_to).flat_map(|one| one.new.pulls).collect())
}

/// Of these ways back, those whose pin stands.
///
/// # Errors
/// The database's own.
pub async fn standing_of<'r>(
    conn: &mut PgConnection,
    ways: impl Iterator<Item = &'r Rollback>,
) -> Result<BTreeSet<Uuid>, sqlx::Error> {
    let environments: BTreeSet<i64> = ways.map(|way| way.new.environment).collect();
    let mut all = BTreeSet::new();
    for environment in environments {
        all.extend(standing(&mut *conn, environment).await?.map(|pin| pin.rollback.new.id));
    }
    Ok(all)
}
