//! Revert pull requests: what each rollback took away is to be taken out of the branch, by a pull request of ours ([`our_pulls`]).

use sqlx::PgConnection;
use uuid::Uuid;

use super::our_pulls;
use crate::ids::{ChangeDigest, EnvironmentName};

/// A pull request as the revert of a rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The environment that was rolled back.
    pub environment: EnvironmentName,
    /// The change of it that the rollback consented to.
    pub change: ChangeDigest,
    /// Whether the environment is still where that rollback put it.
    pub is_pinned: bool,
}

/// Writes one ahead, with the rollback: `by` asked for that.
///
/// # Errors
/// The database's own.
pub async fn ask(
    conn: &mut PgConnection,
    rollback: Uuid,
    (environment, by): (i64, &str),
    change: &ChangeDigest,
) -> Result<(), sqlx::Error> {
    our_pulls::ask(&mut *conn, rollback, environment, by).await?;
    sqlx::query!("INSERT INTO revert (rollback_id, change) VALUES ($1, $2)", rollback, &change.0[..])
        .execute(conn)
        .await?;
    Ok(())
}

/// The rollback whose revert a pull request of a repository is, if it is one.
///
/// # Errors
/// The database's own.
pub async fn of_pull(conn: &mut PgConnection, repository: i64, number: i64) -> Result<Option<Opened>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT e.name, r.change,
                  EXISTS (SELECT FROM pin p WHERE p.rollback_id = b.id AND p.ended_at IS NULL) AS "is_pinned!"
           FROM our_pull o JOIN revert r ON r.rollback_id = o.id JOIN rollback b ON b.id = o.id
           JOIN environment e ON e.id = b.environment_id
           WHERE o.number = $2 AND e.repository_id = $1 ORDER BY 3 DESC, b.asked_at DESC LIMIT 1"#,
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
        is_pinned: row.is_pinned,
    }))
}
