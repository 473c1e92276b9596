//! How `bascule/preview` is said of a commit, where a forge has statuses and check runs.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::{PgConnection, PgPool};

use crate::ids::{CommitId, RepositoryKey};

/// What is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRun {
    /// It was a status first, and stays one.
    pub as_status: bool,
    /// Which run is wanted; 0: none was made yet.
    pub round: i32,
    /// The forge's number of it; `None`: to be looked for.
    pub number: Option<i64>,
    /// The hash of the lines it marks.
    pub marks: Option<Vec<u8>>,
}

/// What is known of a commit's; of one nothing was said of yet, how it will be said from now on.
///
/// # Errors
/// The database's own.
pub async fn of(
    conn: &mut PgConnection,
    repository: i64,
    commit: &CommitId,
    as_status: bool,
) -> Result<CheckRun, sqlx::Error> {
    let known = sqlx::query_as!(
        CheckRun,
        "SELECT as_status, round, number, marks FROM check_run WHERE repository_id = $1 AND commit_sha = $2",
        repository,
        commit.as_str()
    );
    if let Some(known) = known.fetch_optional(&mut *conn).await? {
        return Ok(known);
    }
    sqlx::query_as!(
        CheckRun,
        "INSERT INTO check_run (repository_id, commit_sha, as_status) VALUES ($1, $2, $3)
         ON CONFLICT ON CONSTRAINT check_run_of DO UPDATE SET as_status = check_run.as_status
         RETURNING as_status, round, number, marks",
        repository,
        commit.as_str(),
        as_status
    )
    .fetch_one(conn)
    .await
}

/// Another run is about to be made, which marks these lines; its round.
///
/// # Errors
/// The database's own.
pub async fn next(
    conn: &mut PgConnection,
    repository: i64,
    commit: &CommitId,
    marks: &[u8],
) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar!(
        "UPDATE check_run SET round = round + 1, number = NULL, marks = $3
         WHERE repository_id = $1 AND commit_sha = $2 RETURNING round",
        repository,
        commit.as_str(),
        marks
    )
    .fetch_one(conn)
    .await
}

/// It was made, or found, unless another is wanted by now.
///
/// # Errors
/// The database's own.
pub async fn made(
    conn: &mut PgConnection,
    repository: i64,
    commit: &CommitId,
    round: i32,
    number: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE check_run SET number = $4 WHERE repository_id = $1 AND commit_sha = $2 AND round = $3",
        repository,
        commit.as_str(),
        round,
        number
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Somebody asked for it to run again: a new one is wanted, whatever was said before.
///
/// # Errors
/// The database's own.
pub async fn asked_again(
    conn: &mut PgConnection,
    repository: &RepositoryKey,
    commit: &CommitId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE check_run c SET round = round + 1, number = NULL FROM repository r
         WHERE r.id = c.repository_id AND r.forge = $1 AND r.forge_id = $2 AND commit_sha = $3 AND NOT as_status",
        repository.forge.as_str(),
        repository.id,
        commit.as_str()
    )
    .execute(&mut *conn)
    .await?;
    // A group of a merge queue is answered anew by the next sweep.
    sqlx::query!(
        "DELETE FROM merge_group g USING repository r
         WHERE r.id = g.repository_id AND r.forge = $1 AND r.forge_id = $2 AND g.head_sha = $3",
        repository.forge.as_str(),
        repository.id,
        commit.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Commits of a repository whose run is wanted and not made, of open pull requests' heads: their numbers.
///
/// # Errors
/// The database's own.
pub async fn wanted(conn: &mut PgConnection, repository: i64) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT p.number FROM check_run c JOIN pull p ON p.repository_id = c.repository_id AND p.head_sha = c.commit_sha
         WHERE c.repository_id = $1 AND p.state = 'open' AND NOT c.as_status AND c.number IS NULL AND c.round > 0",
        repository
    )
    .fetch_all(conn)
    .await
}

/// Forgets those of before `before` whose commits are in no merge queue and in no pull request, or in ones alone that were
/// merged, and quiet since `before`: nobody opens those again. Gives how many.
///
/// # Errors
/// The database's own.
pub async fn tidy(pool: &PgPool, before: Timestamp) -> Result<u64, sqlx::Error> {
    let gone = sqlx::query!(
        "DELETE FROM check_run c WHERE begun_at < $1
             AND NOT EXISTS (SELECT FROM merge_group g
                             WHERE g.repository_id = c.repository_id AND g.head_sha = c.commit_sha)
             AND NOT EXISTS (SELECT FROM pull p
                             WHERE p.repository_id = c.repository_id AND (p.state <> 'merged' OR p.touched_at >= $1)
                                 AND (p.head_sha = c.commit_sha OR EXISTS (
                                     SELECT FROM preview v WHERE v.repository_id = p.repository_id
                                         AND v.pull_number = p.number AND v.head_sha = c.commit_sha)))",
        before.to_sqlx() as _
    );
    Ok(gone.execute(pool).await?.rows_affected())
}
