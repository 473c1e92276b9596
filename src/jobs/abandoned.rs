//! Effects that were begun, and of which nobody will tell any more what came of them.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::audit;
use crate::db::deployments;
use crate::queue;

/// Closes as unknown what jobs began that nobody will run again. Whoever runs a job once more closes what it left open by
/// itself, and what a job that runs now has begun, on whatever server, it ends. Gives how many there were.
///
/// # Errors
/// The database's own.
pub async fn close_abandoned(pool: &PgPool) -> Result<usize, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let mut closed = 0;
    for cause in audit::open_causes(&mut tx).await? {
        if !will_be_ended(&mut tx, &cause).await? {
            closed += audit::close_unended(&mut tx, &cause).await?;
        }
    }
    tx.commit().await?;
    Ok(closed)
}

/// A job's outcomes are committed before its row goes, so no row means that nobody is about to tell.
async fn will_be_ended(conn: &mut PgConnection, cause: &str) -> Result<bool, sqlx::Error> {
    match cause.split_once(' ') {
        Some(("job", job)) => match job.split_once(' ') {
            Some((kind, key)) => queue::is_to_run(conn, kind, key).await,
            None => Ok(true),
        },
        Some(("deployment", id)) => match id.parse::<Uuid>() {
            Ok(id) => deployments::is_under_way(conn, id).await,
            Err(_) => Ok(true),
        },
        // Another version's, which knows what it means.
        Some(_) | None => Ok(true),
    }
}
