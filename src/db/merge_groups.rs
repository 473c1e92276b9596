//! Groups of merge queues, and what was said of them.

use sqlx::PgConnection;

use crate::ids::CommitId;

/// The hash of both statuses as last written for this branch of a queue.
///
/// # Errors
/// The database's own.
pub async fn said(conn: &mut PgConnection, repository: i64, branch: &str) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT status_hash FROM merge_group WHERE repository_id = $1 AND branch = $2",
        repository,
        branch
    )
    .fetch_optional(conn)
    .await
}

/// Both were written of this head.
///
/// # Errors
/// The database's own.
pub async fn set_said(
    conn: &mut PgConnection,
    repository: i64,
    branch: &str,
    head: &CommitId,
    statuses: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO merge_group (repository_id, branch, head_sha, status_hash) VALUES ($1, $2, $3, $4)
         ON CONFLICT ON CONSTRAINT merge_group_of
         DO UPDATE SET head_sha = excluded.head_sha, status_hash = excluded.status_hash",
        repository,
        branch,
        head.as_str(),
        statuses
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Of these branches of a queue, and where they are, those of which nothing was said. Whatever is remembered of others goes.
///
/// # Errors
/// The database's own.
pub async fn unanswered(
    conn: &mut PgConnection,
    repository: i64,
    there: &[(String, CommitId)],
) -> Result<Vec<String>, sqlx::Error> {
    let (names, tips): (Vec<String>, Vec<String>) =
        there.iter().map(|(name, tip)| (name.clone(), tip.to_string())).unzip();
    sqlx::query!("DELETE FROM merge_group WHERE repository_id = $1 AND branch <> ALL($2)", repository, &names)
        .execute(&mut *conn)
        .await?;
    let rows = sqlx::query_scalar!(
        r#"SELECT t.name AS "name!" FROM unnest($2::text[], $3::text[]) AS t (name, tip)
           WHERE NOT EXISTS (SELECT FROM merge_group g
                             WHERE g.repository_id = $1 AND g.branch = t.name AND g.head_sha = t.tip)"#,
        repository,
        &names,
        &tips
    );
    rows.fetch_all(conn).await
}
