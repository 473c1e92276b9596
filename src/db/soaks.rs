//! Since when environments are healthy, for those that come after them and want to see it for a while.

use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::{Timestamp as Stored, ToSqlx as _};
use sqlx::PgConnection;

use super::deployments;

/// For how long an environment has been healthy with its newest deployment, since it was first asked: whoever waits for it is
/// judged when it ends well. `None`: its newest deployment is not healthy.
///
/// # Errors
/// The database's own.
pub async fn healthy_for(
    conn: &mut PgConnection,
    environment: i64,
    now: Timestamp,
) -> Result<Option<SignedDuration>, sqlx::Error> {
    let newest = deployments::list(&mut *conn, environment, None, 1).await?.pop();
    let Some(newest) = newest.filter(deployments::Deployment::is_healthy) else { return Ok(None) };
    let since = sqlx::query_scalar!(
        r#"INSERT INTO soak (environment_id, deployment_id, since) VALUES ($1, $2, $3)
           ON CONFLICT (environment_id) DO UPDATE SET deployment_id = excluded.deployment_id,
               since = CASE WHEN soak.deployment_id = excluded.deployment_id THEN soak.since ELSE excluded.since END
           RETURNING since AS "since: Stored""#,
        environment,
        newest.new.id,
        now.to_sqlx() as Stored,
    )
    .fetch_one(conn)
    .await?;
    Ok(Some(now.duration_since(since.to_jiff())))
}
