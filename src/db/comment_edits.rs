//! Which comments were edited or deleted, as deliveries told or a sweep saw. Forges count in seconds: of a comment that is
//! edited within its first one only the delivery tells. Only ever added to.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use crate::ids::RepositoryKey;

/// Stores that a comment was edited or deleted, or the text of a review, which is negative where the forge does not show it
/// as a comment; whether that is news.
///
/// # Errors
/// The database's own.
pub async fn record(conn: &mut PgConnection, repository: &RepositoryKey, comment: i64) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "INSERT INTO comment_edit (forge, forge_id, comment_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        repository.forge.as_str(),
        repository.id,
        comment
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Those of these comments that were.
///
/// # Errors
/// The database's own.
pub async fn among(
    conn: &mut PgConnection,
    repository: &RepositoryKey,
    comments: &[i64],
) -> Result<BTreeSet<i64>, sqlx::Error> {
    let edited = sqlx::query_scalar!(
        "SELECT comment_id FROM comment_edit WHERE forge = $1 AND forge_id = $2 AND comment_id = ANY($3)",
        repository.forge.as_str(),
        repository.id,
        comments
    )
    .fetch_all(conn)
    .await?;
    Ok(edited.into_iter().collect())
}
