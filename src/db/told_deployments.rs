//! What a forge's page of deployments was told of ours.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::ids::{CommitId, EnvironmentName};
use crate::sync::Outcome;

/// A deployment that stands otherwise than was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untold {
    /// Its id.
    pub id: Uuid,
    /// Its environment.
    pub name: EnvironmentName,
    /// Its environment's stage.
    pub stage: Option<String>,
    /// The branch its environment follows.
    pub branch: String,
    /// Its number.
    pub number: i64,
    /// What it deploys.
    pub commit: CommitId,
    /// The newest preview of the pull request it carries first.
    pub preview: Option<i64>,
    /// How it stands: `queued`, `running`, `healthy`, `replaced` or `failed`.
    pub wanted: String,
    /// The same, in a sentence.
    pub sentence: String,
    /// The forge's number of it.
    pub told: Option<i64>,
    /// Whether its making was begun.
    pub is_begun: bool,
    /// What was to be said last; perhaps it was.
    pub saying: Option<String>,
}

/// Those of a repository, oldest first. What is older than a week, and of which nothing was ever told, stays untold.
///
/// # Errors
/// The database's own.
pub async fn untold(conn: &mut PgConnection, repository: i64, most: i64) -> Result<Vec<Untold>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT * FROM (
             SELECT d.id, e.name, e.stage, e.branch, d.number, d.commit_sha, d.outcome AS "outcome: Json<Outcome>",
                    d.started_at, t.number AS "told?", t.deployment_id IS NOT NULL AS "is_begun!", t.saying AS "saying?",
                    t.said AS "said?",
                    (SELECT max(p.id) FROM preview p WHERE p.repository_id = e.repository_id
                         AND p.pull_number = (d.pulls ->> 0)::bigint) AS preview,
                    CASE WHEN d.state = 'running' THEN CASE WHEN EXISTS (
                             SELECT FROM hold h WHERE h.environment_id = e.id AND h.reason = 'cluster-away')
                             THEN 'queued' ELSE 'running' END
                         WHEN d.state = 'superseded' OR (d.state = 'healthy' AND EXISTS (
                             SELECT FROM deployment n WHERE n.environment_id = e.id AND n.number > d.number AND n.state = 'healthy'))
                             THEN 'replaced'
                         WHEN d.state = 'healthy' THEN 'healthy' ELSE 'failed' END AS "wanted!"
             FROM deployment d JOIN environment e ON e.id = d.environment_id
             LEFT JOIN told_deployment t ON t.deployment_id = d.id
             WHERE e.repository_id = $1 AND (t.deployment_id IS NOT NULL OR d.started_at > now() - interval '7 days')
                 AND t.said IS DISTINCT FROM 'replaced') u
           WHERE "wanted!" IS DISTINCT FROM "said?" AND ("said?" IS NOT NULL OR "wanted!" <> 'replaced')
           ORDER BY started_at, id LIMIT $2"#,
        repository,
        most
    );
    let rows = rows.fetch_all(conn).await?;
    let bad = || sqlx::Error::Decode("a stored deployment names something that is none".into());
    rows.into_iter()
        .map(|row| {
            let sentence = match row.wanted.as_str() {
                "queued" => "waits for its cluster".to_owned(),
                "running" => "is being synced".to_owned(),
                "replaced" => "another one took its place".to_owned(),
                _ => row.outcome.map(|Json(outcome)| outcome.sentence()).unwrap_or_default(),
            };
            Ok(Untold {
                id: row.id,
                name: row.name.parse().map_err(|_| bad())?,
                stage: row.stage,
                branch: row.branch,
                number: row.number,
                commit: row.commit_sha.parse().map_err(|_| bad())?,
                preview: row.preview,
                wanted: row.wanted,
                sentence,
                told: row.told,
                is_begun: row.is_begun,
                saying: row.saying,
            })
        })
        .collect()
}

/// The forge's numbers of those that are known.
///
/// # Errors
/// The database's own.
pub async fn known(conn: &mut PgConnection, repository: i64) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT t.number AS "number!" FROM told_deployment t JOIN deployment d ON d.id = t.deployment_id
           JOIN environment e ON e.id = d.environment_id WHERE e.repository_id = $1 AND t.number IS NOT NULL"#,
        repository
    )
    .fetch_all(conn)
    .await
}

/// One is about to be made there.
///
/// # Errors
/// The database's own.
pub async fn begin(conn: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("INSERT INTO told_deployment (deployment_id) VALUES ($1) ON CONFLICT (deployment_id) DO NOTHING", id)
        .execute(conn)
        .await?;
    Ok(())
}

/// It was made, or found.
///
/// # Errors
/// The database's own.
pub async fn made(conn: &mut PgConnection, id: Uuid, number: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE told_deployment SET number = $2 WHERE deployment_id = $1", id, number).execute(conn).await?;
    Ok(())
}

/// This is about to be said of it.
///
/// # Errors
/// The database's own.
pub async fn saying(conn: &mut PgConnection, id: Uuid, word: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE told_deployment SET saying = $2 WHERE deployment_id = $1", id, word).execute(conn).await?;
    Ok(())
}

/// This was said of it.
///
/// # Errors
/// The database's own.
pub async fn said(conn: &mut PgConnection, id: Uuid, word: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE told_deployment SET said = $2 WHERE deployment_id = $1", id, word).execute(conn).await?;
    Ok(())
}

/// Healthy deployments of an environment that are younger than one that is forgotten: twice as many as it may be rolled back
/// by. A forge that knows ours by their commits alone is told of none of those.
const AFTER: i64 = 20;

/// Forgets what was told of deployments of before `before` that another one replaced, or that failed: [`untold`] does not
/// speak of what is so old. Gives how many.
///
/// # Errors
/// The database's own.
pub async fn tidy(pool: &PgPool, before: Timestamp) -> Result<u64, sqlx::Error> {
    let gone = sqlx::query!(
        "DELETE FROM told_deployment t USING deployment d
         WHERE d.id = t.deployment_id AND t.said IN ('replaced', 'failed') AND d.state <> 'running' AND d.started_at < $1
             AND (SELECT count(*) FROM deployment n WHERE n.environment_id = d.environment_id AND n.number > d.number
                      AND n.state IN ('healthy', 'superseded')) >= $2",
        before.to_sqlx() as _,
        AFTER
    );
    Ok(gone.execute(pool).await?.rows_affected())
}
