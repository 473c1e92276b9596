//! The issues in which drift is told, where rules ask for that.

use jiff::Timestamp;
use jiff_sqlx::{Timestamp as Stored, ToSqlx as _};
use sqlx::PgConnection;

use crate::sync::drift::CALM;

/// What is told in an issue, and what there is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftIssue {
    /// Our number of the environment.
    pub environment: i64,
    /// The forge's number of the issue; `None`: there is none yet.
    pub issue: Option<i64>,
    /// Digest of the drift there is now; empty: there is none.
    pub now: String,
    /// Since when it tells of none.
    pub calm_since: Option<Timestamp>,
}

/// Whoever sees an environment drift whose rules ask for it sees to it that it is told.
///
/// # Errors
/// The database's own.
pub async fn begin(conn: &mut PgConnection, environment: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("INSERT INTO drift_issue (environment_id) VALUES ($1) ON CONFLICT DO NOTHING", environment)
        .execute(conn)
        .await?;
    Ok(())
}

/// Of a repository, or of one environment of it: what tells of another drift than there is, or was calm for long enough.
///
/// # Errors
/// The database's own.
pub async fn due(
    conn: &mut PgConnection,
    repository: i64,
    environment: Option<i64>,
    now: Timestamp,
) -> Result<Vec<DriftIssue>, sqlx::Error> {
    let calm = now.checked_sub(CALM).unwrap_or(now);
    let rows = sqlx::query!(
        r#"WITH known AS (
               SELECT t.environment_id, t.issue, t.told, t.calm_since,
                   coalesce((SELECT encode(sha256(convert_to(string_agg(concat_ws(' ', d.id, d.since, d.what, d.fields, d.by_whom,
                                        d.detail, d.trouble), ';' ORDER BY d.id), 'UTF8')), 'hex')
                    FROM drift d JOIN inventory i USING (cluster_uid, api_group, kind, namespace, name)
                    WHERE i.environment_id = t.environment_id AND d.ended_at IS NULL), '') AS now
               FROM drift_issue t JOIN environment e ON e.id = t.environment_id
               WHERE e.repository_id = $1 AND ($2::bigint IS NULL OR e.id = $2))
           SELECT environment_id, issue, now AS "now!", calm_since AS "calm_since: Stored" FROM known
           WHERE told <> now OR issue IS NULL OR calm_since <= $3 ORDER BY environment_id"#,
        repository,
        environment,
        calm.to_sqlx() as Stored
    )
    .fetch_all(conn)
    .await?;
    let one = rows.into_iter().map(|row| DriftIssue {
        environment: row.environment_id,
        issue: row.issue,
        now: row.now,
        calm_since: row.calm_since.map(|at| at.to_jiff()),
    });
    Ok(one.collect())
}

/// Notes what an issue tells of now; with `calm_since`: of no drift any more.
///
/// # Errors
/// The database's own.
pub async fn told(
    conn: &mut PgConnection,
    environment: i64,
    issue: i64,
    told: &str,
    calm_since: Option<Timestamp>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE drift_issue SET issue = $2, told = $3, calm_since = $4 WHERE environment_id = $1",
        environment,
        issue,
        told,
        calm_since.map(|at| at.to_sqlx()) as Option<Stored>
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// It is told no more.
///
/// # Errors
/// The database's own.
pub async fn end(conn: &mut PgConnection, environment: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM drift_issue WHERE environment_id = $1", environment).execute(conn).await?;
    Ok(())
}
