//! Revert pull requests: what each rollback took away is to be taken out of the branch, by a pull request that a job opens. Kept
//! for ever, with why there is none where there is none.

use jiff::Timestamp;
use jiff_sqlx::{Timestamp as Stored, ToSqlx as _};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::ids::{ChangeDigest, CommitId, EnvironmentName};

/// Earlier ones that are looked at for one that does for a later rollback, too.
const LOOKED_AT: i64 = 5;

/// One that is still to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revert {
    /// The environment that was rolled back, by our number.
    pub environment: i64,
    /// The branch, and the commit that is its tip, once they are known.
    pub planned: Option<(String, CommitId)>,
    /// Why there was none when it was tried last.
    pub why_not: Option<String>,
}

/// A pull request as the revert of a rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The environment that was rolled back.
    pub environment: EnvironmentName,
    /// The change of it that the rollback consented to.
    pub change: ChangeDigest,
    /// Who asked for the rollback, as the log names them.
    pub by: String,
    /// Whether the environment is still where that rollback put it.
    pub is_pinned: bool,
}

/// Writes one ahead, with the rollback.
///
/// # Errors
/// The database's own.
pub async fn ask(conn: &mut PgConnection, rollback: Uuid, change: &ChangeDigest) -> Result<(), sqlx::Error> {
    sqlx::query!("INSERT INTO revert (rollback_id, change) VALUES ($1, $2)", rollback, &change.0[..])
        .execute(conn)
        .await?;
    Ok(())
}

/// The one of a rollback, while it is to be opened.
///
/// # Errors
/// The database's own.
pub async fn open(conn: &mut PgConnection, rollback: Uuid) -> Result<Option<Revert>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT b.environment_id, r.branch, r.commit_sha, r.why_not
         FROM revert r JOIN rollback b ON b.id = r.rollback_id WHERE r.rollback_id = $1 AND r.ended_at IS NULL",
        rollback
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
    Ok(Some(Revert { environment: row.environment_id, planned, why_not: row.why_not }))
}

/// What will be pushed, before it is.
///
/// # Errors
/// The database's own.
pub async fn planned(
    conn: &mut PgConnection,
    rollback: Uuid,
    (branch, commit): (&str, &CommitId),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE revert SET branch = $2, commit_sha = $3 WHERE rollback_id = $1 AND ended_at IS NULL",
        rollback,
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
    rollback: Uuid,
    (number, shown_as): (i64, &str),
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE revert SET number = $2, shown_as = $3, why_not = NULL, ended_at = $4
         WHERE rollback_id = $1 AND ended_at IS NULL",
        rollback,
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
    rollback: Uuid,
    why: &str,
    ended: Option<Timestamp>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE revert SET why_not = $2, ended_at = $3 WHERE rollback_id = $1 AND ended_at IS NULL",
        rollback,
        why,
        ended.map(|now| now.to_sqlx()) as Option<Stored>,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The pull requests that earlier rollbacks of an environment opened, newest first, each with the commit it was opened with.
///
/// # Errors
/// The database's own.
pub async fn earlier(conn: &mut PgConnection, environment: i64) -> Result<Vec<(i64, CommitId)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT r.number AS "number!", r.commit_sha AS "commit_sha!"
           FROM revert r JOIN rollback b ON b.id = r.rollback_id
           WHERE b.environment_id = $1 AND r.number IS NOT NULL AND r.commit_sha IS NOT NULL
           ORDER BY r.ended_at DESC LIMIT $2"#,
        environment,
        LOOKED_AT
    )
    .fetch_all(conn)
    .await?;
    let bad = |_| sqlx::Error::Decode("a stored commit is none".into());
    rows.into_iter().map(|row| Ok((row.number, row.commit_sha.parse().map_err(bad)?))).collect()
}

/// The rollback whose revert a pull request of a repository is, if it is one.
///
/// # Errors
/// The database's own.
pub async fn of_pull(conn: &mut PgConnection, repository: i64, number: i64) -> Result<Option<Opened>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT e.name, r.change, b.by_whom,
                  EXISTS (SELECT FROM pin p WHERE p.rollback_id = b.id AND p.ended_at IS NULL) AS "is_pinned!"
           FROM revert r JOIN rollback b ON b.id = r.rollback_id JOIN environment e ON e.id = b.environment_id
           WHERE r.number = $2 AND e.repository_id = $1 ORDER BY 4 DESC, b.asked_at DESC LIMIT 1"#,
        repository,
        number
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let bad = || sqlx::Error::Decode("a stored digest is none".into());
    Ok(Some(Opened {
        environment: row.name.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        change: ChangeDigest::from_bytes(&row.change).ok_or_else(bad)?,
        by: row.by_whom,
        is_pinned: row.is_pinned,
    }))
}
