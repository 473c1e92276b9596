//! Who pushed which head. Only ever added to: a pusher once known stays known.

use sqlx::PgConnection;
use sqlx::types::Json;

use crate::ids::{Account, CommitId, RepositoryKey};

/// One push to a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Of which repository.
    pub repository: RepositoryKey,
    /// The branch, without `refs/heads/`.
    pub branch: String,
    /// Its tip before, `None` for a new branch.
    pub before: Option<CommitId>,
    /// Its tip after.
    pub after: CommitId,
    /// Who pushed; `None` when the forge does not say.
    pub pusher: Option<Account>,
}

/// Stores a push; one that is told again is stored once. Another push that left the branch at the same commit takes nothing
/// from it, so that it does not matter which is told first.
///
/// # Errors
/// The database's own.
pub async fn record(conn: &mut PgConnection, push: &Push) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO push (forge, forge_id, branch, before_sha, after_sha, pusher) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT DO NOTHING",
        push.repository.forge.as_str(),
        push.repository.id,
        push.branch,
        push.before.as_ref().map(CommitId::as_str),
        push.after.as_str(),
        push.pusher.as_ref().map(Json) as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Pushes read back of one branch at most: of one that lives long, those before belong to what is merged already.
const READ_BACK: i64 = 2_000;

macro_rules! push {
    ($repository:expr, $row:expr) => {{
        let row = $row;
        let parse = |sha: String| sha.parse::<CommitId>().map_err(|error| sqlx::Error::Decode(Box::new(error)));
        Ok::<_, sqlx::Error>(Push {
            repository: $repository.clone(),
            branch: row.branch,
            before: row.before_sha.map(parse).transpose()?,
            after: parse(row.after_sha)?,
            pusher: row.pusher.map(|Json(account)| account),
        })
    }};
}

/// The pushes that left any branch at one of these commits.
///
/// # Errors
/// The database's own.
pub async fn leaving_at(
    conn: &mut PgConnection,
    repository: &RepositoryKey,
    commits: &[CommitId],
) -> Result<Vec<Push>, sqlx::Error> {
    let commits: Vec<String> = commits.iter().map(ToString::to_string).collect();
    let rows = sqlx::query!(
        r#"SELECT branch, before_sha, after_sha, pusher AS "pusher: Json<Account>" FROM push
           WHERE forge = $1 AND forge_id = $2 AND after_sha = ANY($3)"#,
        repository.forge.as_str(),
        repository.id,
        &commits
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| push!(repository, row)).collect()
}

/// The newest pushes to a branch, newest first.
///
/// # Errors
/// The database's own.
pub async fn to_branch(
    conn: &mut PgConnection,
    repository: &RepositoryKey,
    branch: &str,
) -> Result<Vec<Push>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT branch, before_sha, after_sha, pusher AS "pusher: Json<Account>" FROM push
           WHERE forge = $1 AND forge_id = $2 AND branch = $3 ORDER BY seen_at DESC LIMIT $4"#,
        repository.forge.as_str(),
        repository.id,
        branch,
        READ_BACK
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| push!(repository, row)).collect()
}
