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
    /// Its tip before, `None` for a new branch; where a list told of it, also when it does not say.
    pub before: Option<CommitId>,
    /// Its tip after.
    pub after: CommitId,
    /// Who pushed; `None` when the forge does not say.
    pub pusher: Option<Account>,
    /// How we know.
    pub told_by: ToldBy,
}

/// What told of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToldBy {
    /// The delivery of it.
    Delivery,
    /// A list of the forge's, which was asked because the delivery is missing.
    List,
}

impl ToldBy {
    fn as_str(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::List => "list",
        }
    }

    fn read(word: &str) -> Self {
        match word {
            "list" => Self::List,
            _ => Self::Delivery,
        }
    }
}

/// Stores pushes; one that is told again is stored once. Another push that left the branch at the same commit takes nothing
/// from it, so that it does not matter which is told first.
///
/// # Errors
/// The database's own.
pub async fn record(conn: &mut PgConnection, pushes: &[Push]) -> Result<(), sqlx::Error> {
    if pushes.is_empty() {
        return Ok(());
    }
    let forges: Vec<String> = pushes.iter().map(|push| push.repository.forge.to_string()).collect();
    let ids: Vec<i64> = pushes.iter().map(|push| push.repository.id).collect();
    let branches: Vec<String> = pushes.iter().map(|push| push.branch.clone()).collect();
    let befores: Vec<Option<String>> =
        pushes.iter().map(|push| push.before.as_ref().map(ToString::to_string)).collect();
    let afters: Vec<String> = pushes.iter().map(|push| push.after.to_string()).collect();
    let pushers: Vec<Option<Json<&Account>>> = pushes.iter().map(|push| push.pusher.as_ref().map(Json)).collect();
    let tellers: Vec<String> = pushes.iter().map(|push| push.told_by.as_str().to_owned()).collect();
    sqlx::query!(
        "INSERT INTO push (forge, forge_id, branch, before_sha, after_sha, pusher, told_by)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::text[])
         ON CONFLICT DO NOTHING",
        &forges,
        &ids,
        &branches,
        &befores as &[Option<String>],
        &afters,
        &pushers as &[Option<Json<&Account>>],
        &tellers,
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
            told_by: ToldBy::read(&row.told_by),
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
        r#"SELECT branch, before_sha, after_sha, pusher AS "pusher: Json<Account>", told_by FROM push
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
        r#"SELECT branch, before_sha, after_sha, pusher AS "pusher: Json<Account>", told_by FROM push
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
