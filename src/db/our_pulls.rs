//! Pull requests of ours that somebody asked for, whatever they are for: each is opened by a job, for which nothing waits. Kept
//! for ever, with who asked, and with why there is none where there is none.

use jiff::Timestamp;
use jiff_sqlx::{Timestamp as Stored, ToSqlx as _};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::ids::CommitId;

/// Earlier ones that are looked at for one that does for a later asker, too.
const LOOKED_AT: i64 = 5;

/// One that is still to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OurPull {
    /// The environment it is for, by our number.
    pub environment: i64,
    /// The branch, and the commit that is its tip, once they are known.
    pub planned: Option<(String, CommitId)>,
    /// Why there was none when it was tried last.
    pub why_not: Option<String>,
}

/// Writes one ahead, with what asks for it.
///
/// # Errors
/// The database's own.
pub async fn ask(conn: &mut PgConnection, id: Uuid, environment: i64, by: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("INSERT INTO our_pull (id, environment_id, by_whom) VALUES ($1, $2, $3)", id, environment, by)
        .execute(conn)
        .await?;
    Ok(())
}

/// One, while it is to be opened.
///
/// # Errors
/// The database's own.
pub async fn open(conn: &mut PgConnection, id: Uuid) -> Result<Option<OurPull>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT environment_id, branch, commit_sha, why_not FROM our_pull WHERE id = $1 AND ended_at IS NULL",
        id
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let planned = match row.branch.zip(row.commit_sha) {
        Some((branch, commit)) => {
            let commit = commit.parse().map_err(|_| sqlx::Error::Decode("a stored commit is none".into()))?;
            Some((branch, commit))
        }
        None => None,
    };
    Ok(Some(OurPull { environment: row.environment_id, planned, why_not: row.why_not }))
}

/// What will be pushed, before it is.
///
/// # Errors
/// The database's own.
pub async fn planned(
    conn: &mut PgConnection,
    id: Uuid,
    (branch, commit): (&str, &CommitId),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE our_pull SET branch = $2, commit_sha = $3 WHERE id = $1 AND ended_at IS NULL",
        id,
        branch,
        commit.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// It is open: its number, and how people write it.
///
/// # Errors
/// The database's own.
pub async fn opened(
    conn: &mut PgConnection,
    id: Uuid,
    (number, shown_as): (i64, &str),
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE our_pull SET number = $2, shown_as = $3, why_not = NULL, ended_at = $4 WHERE id = $1 AND ended_at IS NULL",
        id,
        number,
        shown_as,
        now.to_sqlx() as Stored,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// There is none, and why. `ended`: nor will there be one; else it is tried again.
///
/// # Errors
/// The database's own.
pub async fn not_opened(
    conn: &mut PgConnection,
    id: Uuid,
    why: &str,
    ended: Option<Timestamp>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE our_pull SET why_not = $2, ended_at = $3 WHERE id = $1 AND ended_at IS NULL",
        id,
        why,
        ended.map(|now| now.to_sqlx()) as Option<Stored>,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Those of an environment that were opened before, newest first, each with the commit it was opened with.
///
/// # Errors
/// The database's own.
pub async fn earlier(conn: &mut PgConnection, environment: i64) -> Result<Vec<(i64, CommitId)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT number AS "number!", commit_sha AS "commit_sha!", max(ended_at) AS "ended_at: Stored" FROM our_pull
           WHERE environment_id = $1 AND number IS NOT NULL AND commit_sha IS NOT NULL
           GROUP BY 1, 2 ORDER BY 3 DESC LIMIT $2"#,
        environment,
        LOOKED_AT
    )
    .fetch_all(conn)
    .await?;
    let bad = |_| sqlx::Error::Decode("a stored commit is none".into());
    rows.into_iter().map(|row| Ok((row.number, row.commit_sha.parse().map_err(bad)?))).collect()
}

/// Everybody who asked for a pull request of a repository, as the log names them. `branch`: of ours, it comes from; that is known
/// before it is open, so that whoever asked is known also where nobody lived to write its number down.
///
/// # Errors
/// The database's own.
pub async fn askers(
    conn: &mut PgConnection,
    repository: i64,
    number: i64,
    branch: Option<&str>,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT DISTINCT o.by_whom FROM our_pull o JOIN environment e ON e.id = o.environment_id
         WHERE e.repository_id = $1 AND (o.number = $2 OR o.branch = $3)",
        repository,
        number,
        branch
    )
    .fetch_all(conn)
    .await
}
