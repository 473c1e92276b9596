//! What the sweep saw last: branch tips, and whose reviews it asked for.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use crate::ids::CommitId;

/// Where a branch is, as a sweep saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// There.
    pub at: CommitId,
    /// Whether what is deployed from it was looked at.
    pub is_followed: bool,
}

/// Tips as the last sweep saw them, by branch.
///
/// # Errors
/// The database's own.
pub async fn tips(conn: &mut PgConnection, repository: i64) -> Result<BTreeMap<String, Tip>, sqlx::Error> {
    let rows = sqlx::query!("SELECT branch, tip, is_followed FROM branch_tip WHERE repository_id = $1", repository);
    let parsed = rows.fetch_all(conn).await?.into_iter().map(|row| {
        let at = row.tip.parse::<CommitId>().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok::<_, sqlx::Error>((row.branch, Tip { at, is_followed: row.is_followed }))
    });
    parsed.collect()
}

/// Stores a tip.
///
/// # Errors
/// The database's own.
pub async fn saw(conn: &mut PgConnection, repository: i64, branch: &str, tip: &Tip) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO branch_tip (repository_id, branch, tip, is_followed) VALUES ($1, $2, $3, $4)
         ON CONFLICT (repository_id, branch) DO UPDATE SET tip = excluded.tip, is_followed = excluded.is_followed",
        repository,
        branch,
        tip.at.as_str(),
        tip.is_followed,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets the tips of branches that are there no more.
///
/// # Errors
/// The database's own.
pub async fn gone(conn: &mut PgConnection, repository: i64, branches: &[String]) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM branch_tip WHERE repository_id = $1 AND branch = ANY($2)", repository, branches)
        .execute(conn)
        .await?;
    Ok(())
}

/// Reviews that are counted on, by their pull request: of those that are open or in which something is held, the `most`
/// that were not asked about for longest. They are asked about now.
///
/// # Errors
/// The database's own.
pub async fn counted_on(
    conn: &mut PgConnection,
    repository: i64,
    most: i64,
) -> Result<BTreeMap<i64, BTreeSet<i64>>, sqlx::Error> {
    let reviews = sqlx::query!(
        "WITH standing AS (
             SELECT DISTINCT pull_number, source_id FROM approval
             WHERE repository_id = $1 AND source = 'review'
               AND NOT EXISTS (SELECT FROM approval_void v WHERE v.approval_id = approval.id)
               AND NOT EXISTS (SELECT FROM approval_use u WHERE u.approval_id = approval.id)),
         next AS (
             SELECT id FROM pull WHERE repository_id = $1 AND number IN (SELECT pull_number FROM standing)
               AND (state = 'open' OR EXISTS (
                   SELECT FROM hold h JOIN environment e ON e.id = h.environment_id
                   WHERE e.repository_id = $1 AND h.shown_in = pull.number))
             ORDER BY reviews_read_at NULLS FIRST, number LIMIT $2),
         asked AS (UPDATE pull SET reviews_read_at = now() FROM next WHERE pull.id = next.id RETURNING number)
         SELECT pull_number, source_id FROM standing JOIN asked ON asked.number = pull_number",
        repository,
        most,
    )
    .fetch_all(conn)
    .await?;
    let mut counted: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for review in reviews {
        counted.entry(review.pull_number).or_default().insert(review.source_id);
    }
    Ok(counted)
}
