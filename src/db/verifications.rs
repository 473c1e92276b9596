//! Deployments whose sync ended well and of which it is not known yet whether they do well (`verify`).

use jiff::Timestamp;
use jiff_sqlx::{Timestamp as Stored, ToSqlx as _};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::sync::Outcome;
use crate::sync::verify::Watched;

/// One that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// What came of the sync.
    pub outcome: Outcome,
    /// When it was begun to ask.
    pub began_at: Timestamp,
    /// When it was asked last; `None`: not yet.
    pub asked_at: Option<Timestamp>,
    /// What is known of each query of the set's rules, in their order.
    pub watched: Vec<Watched>,
}

/// Begins it: the deployment runs on, and what came of its sync is kept with it.
///
/// # Errors
/// The database's own.
pub async fn begin(
    conn: &mut PgConnection,
    deployment: Uuid,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH kept AS (UPDATE deployment SET outcome = $2 WHERE id = $1 AND state = 'running' RETURNING id)
         INSERT INTO verification (deployment_id, began_at, watched) SELECT id, $3, '[]' FROM kept",
        deployment,
        Json(outcome) as _,
        now.to_sqlx() as Stored
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The one of a deployment that runs.
///
/// # Errors
/// The database's own.
pub async fn of(conn: &mut PgConnection, deployment: Uuid) -> Result<Option<Verification>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT outcome AS "outcome: Json<Outcome>", began_at AS "began_at: Stored", asked_at AS "asked_at: Stored",
               watched AS "watched: Json<Vec<Watched>>"
           FROM verification v JOIN deployment d ON d.id = v.deployment_id
           WHERE v.deployment_id = $1 AND d.state = 'running'"#,
        deployment
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Verification {
        outcome: row.outcome.map(|Json(outcome)| outcome).unwrap_or_default(),
        began_at: row.began_at.to_jiff(),
        asked_at: row.asked_at.map(Stored::to_jiff),
        watched: row.watched.0,
    }))
}

/// Remembers what was answered.
///
/// # Errors
/// The database's own.
pub async fn remember(
    conn: &mut PgConnection,
    deployment: Uuid,
    watched: &[Watched],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE verification SET watched = $2, asked_at = $3 WHERE deployment_id = $1",
        deployment,
        Json(watched) as _,
        now.to_sqlx() as Stored
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// It is over, one way or the other.
///
/// # Errors
/// The database's own.
pub async fn end(conn: &mut PgConnection, deployment: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM verification WHERE deployment_id = $1", deployment).execute(conn).await?;
    Ok(())
}
