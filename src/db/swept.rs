//! What the sweep saw last: branch tips, and whose reviews it asked for.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use crate::ids::CommitId;

/// Stores a tip; whether it is another one than at the last sweep.
///
/// # Errors
/// The database's own.
pub async fn moved(
    conn: &mut PgConnection,
    repository: i64,
    branch: &str,
    tip: &CommitId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "INSERT INTO branch_tip (repository_id, branch, tip) VALUES ($1, $2, $3)
         ON CONFLICT (repository_id, branch) DO UPDATE SET tip = excluded.tip WHERE branch_tip.tip <> excluded.tip",
        repository,
        branch,
        tip.as_str()
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
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
