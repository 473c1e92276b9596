//! Branch tips as the sweep saw them last.

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
