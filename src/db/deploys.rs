//! Commits of applications that deployments say they deploy, and what was told beside them.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::event::deploys::Deploys;
use crate::ids::CommitId;

/// A trailer of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its place among those of the deployment.
    pub place: i32,
    /// What is written: `group/app`, or what could not be read.
    pub written: String,
    /// The commit; none when it could not be read.
    pub commit: Option<CommitId>,
    /// The state that was set last.
    pub told: Option<String>,
    /// Why nothing is told.
    pub trouble: Option<String>,
}

/// Stores the trailers of a deployment that starts.
///
/// # Errors
/// The database's own.
pub async fn store(conn: &mut PgConnection, deployment: Uuid, all: &[Deploys]) -> Result<(), sqlx::Error> {
    for (place, one) in (0_i32..).zip(all) {
        let (written, commit, trouble) = match one {
            Deploys::Commit { repository, commit } => (repository.as_str(), Some(commit.as_str()), None),
            // A NUL is no text to PostgreSQL, and none to Git either.
            Deploys::Unreadable { written, why } => (written.as_str(), None, Some(*why)),
        };
        sqlx::query!(
            "INSERT INTO deploys (deployment_id, place, written, commit_sha, trouble) VALUES ($1, $2, $3, $4, $5)",
            deployment,
            place,
            written,
            commit,
            trouble
        )
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// What is sent once more is told of the same commits.
///
/// # Errors
/// The database's own.
pub async fn again(conn: &mut PgConnection, of: Uuid, deployment: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO deploys (deployment_id, place, written, commit_sha, trouble)
         SELECT $2, place, written, commit_sha, trouble FROM deploys WHERE deployment_id = $1",
        of,
        deployment
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Those of a deployment.
///
/// # Errors
/// The database's own.
pub async fn of(conn: &mut PgConnection, deployment: Uuid) -> Result<Vec<Told>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT place, written, commit_sha, told, trouble FROM deploys WHERE deployment_id = $1 ORDER BY place",
        deployment
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let commit = row.commit_sha.map(|text| text.parse()).transpose();
            let commit = commit.map_err(|_| sqlx::Error::Decode("a stored commit is none".into()))?;
            Ok(Told { place: row.place, written: row.written, commit, told: row.told, trouble: row.trouble })
        })
        .collect()
}

/// What was told of one, or why nothing was.
///
/// # Errors
/// The database's own.
pub async fn set(conn: &mut PgConnection, deployment: Uuid, one: &Told) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE deploys SET told = $3, trouble = $4 WHERE deployment_id = $1 AND place = $2",
        deployment,
        one.place,
        one.told,
        one.trouble
    )
    .execute(conn)
    .await?;
    Ok(())
}
