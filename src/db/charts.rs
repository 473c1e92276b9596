//! What the versions of charts meant when a repository first used them.

use sqlx::PgConnection;

use crate::policy::chart::{Bound, Chart};

/// How a chart is asked for, beside its registry and its name.
fn asked(chart: &Chart) -> String {
    match &chart.digest {
        Some(digest) => format!("{}@{digest}", chart.version),
        None => chart.version.clone(),
    }
}

/// What a chart is to a repository.
///
/// # Errors
/// The database's own.
pub async fn get(conn: &mut PgConnection, repository: i64, chart: &Chart) -> Result<Option<Bound>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT version, digest FROM chart_binding
         WHERE repository_id = $1 AND registry = $2 AND chart = $3 AND asked = $4",
        repository,
        chart.registry.as_str(),
        chart.name,
        asked(chart)
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Bound { version: row.version, digest: row.digest }))
}

/// Binds a chart, and says what it is bound to: what somebody else bound it to first stands.
///
/// # Errors
/// The database's own.
pub async fn bind(
    conn: &mut PgConnection,
    repository: i64,
    chart: &Chart,
    found: &Bound,
) -> Result<Bound, sqlx::Error> {
    sqlx::query!(
        "INSERT INTO chart_binding (repository_id, registry, chart, asked, version, digest)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        repository,
        chart.registry.as_str(),
        chart.name,
        asked(chart),
        found.version,
        found.digest
    )
    .execute(&mut *conn)
    .await?;
    Ok(get(conn, repository, chart).await?.unwrap_or_else(|| found.clone()))
}
