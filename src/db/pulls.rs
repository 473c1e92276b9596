//! Pull requests as last read, and where our comment and statuses on them are.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::ids::{Account, CommitId};

/// What the forge says of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullFacts {
    /// Its number.
    pub number: i64,
    /// Its title, as written by whoever opened it: hostile.
    pub title: String,
    /// Who opened it; `None` when the account is deleted.
    pub author: Option<Account>,
    /// Open, merged or closed.
    pub state: PullState,
    /// The branch it is for.
    pub base_branch: String,
    /// That branch's tip.
    pub base_sha: CommitId,
    /// Its own tip.
    pub head_sha: CommitId,
    /// Its own branch; of another repository when `from_fork`.
    pub head_branch: String,
    /// Whose repository its head is in.
    pub head_owner: Option<Account>,
    /// Whether its head is in another repository.
    pub from_fork: bool,
    /// Where head and base met, as the forge last computed it.
    pub merge_base: Option<CommitId>,
    /// When it last changed, by the forge's clock.
    pub touched_at: Timestamp,
    /// The last commit of its merge.
    pub merge_commit: Option<CommitId>,
    /// Who merged it.
    pub merged_by: Option<Account>,
}

/// Open, merged or closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullState {
    /// Open.
    Open,
    /// Merged.
    Merged,
    /// Closed without a merge.
    Closed,
}

impl PullState {
    fn read(text: &str) -> Self {
        match text {
            "open" => Self::Open,
            "merged" => Self::Merged,
            _ => Self::Closed,
        }
    }

    /// The word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Merged => "merged",
            Self::Closed => "closed",
        }
    }
}

/// A stored pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// Our number of the row.
    pub id: i64,
    /// As last read.
    pub facts: PullFacts,
    /// Our comment.
    pub comment_id: Option<i64>,
    /// The hash of its body as last written.
    pub comment_hash: Option<Vec<u8>>,
    /// The hash of both statuses as last written.
    pub status_hash: Option<Vec<u8>>,
    /// What the sweep compares.
    pub fact_hash: Option<Vec<u8>>,
}

macro_rules! pull {
    ($row:expr) => {
        Pull {
            id: $row.id,
            facts: PullFacts {
                number: $row.number,
                title: $row.title,
                author: $row.author.map(|Json(account)| account),
                state: PullState::read(&$row.state),
                base_branch: $row.base_branch,
                base_sha: commit(&$row.base_sha)?,
                head_sha: commit(&$row.head_sha)?,
                head_branch: $row.head_branch,
                head_owner: $row.head_owner.map(|Json(account)| account),
                from_fork: $row.from_fork,
                merge_base: $row.merge_base.as_deref().map(commit).transpose()?,
                touched_at: $row.touched_at.to_jiff(),
                merge_commit: $row.merge_commit.as_deref().map(commit).transpose()?,
                merged_by: $row.merged_by.map(|Json(account)| account),
            },
            comment_id: $row.comment_id,
            comment_hash: $row.comment_hash,
            status_hash: $row.status_hash,
            fact_hash: $row.fact_hash,
        }
    };
}

fn commit(text: &str) -> Result<CommitId, sqlx::Error> {
    text.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// Stores what the forge says. A merged pull request stays merged: a late answer of the forge never reopens it. That it is
/// merged as its own head is what a forge says that knows of no other commit: it takes nothing from one that was found.
///
/// # Errors
/// The database's own.
pub async fn upsert(conn: &mut PgConnection, repository: i64, facts: &PullFacts) -> Result<Pull, sqlx::Error> {
    let row = sqlx::query!(
        r#"INSERT INTO pull (repository_id, number, title, author, state, base_branch, base_sha, head_sha, from_fork, merge_commit, merged_by,
               head_branch, head_owner, merge_base, touched_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
           ON CONFLICT (repository_id, number) DO UPDATE SET title = excluded.title, author = excluded.author,
               state = CASE WHEN pull.state = 'merged' THEN 'merged' ELSE excluded.state END,
               base_branch = excluded.base_branch, base_sha = excluded.base_sha, head_sha = excluded.head_sha,
               from_fork = excluded.from_fork,
               merge_commit = CASE WHEN excluded.merge_commit = excluded.head_sha THEN coalesce(pull.merge_commit, excluded.merge_commit)
                                   ELSE coalesce(excluded.merge_commit, pull.merge_commit) END,
               merged_by = coalesce(excluded.merged_by, pull.merged_by), head_branch = excluded.head_branch,
               head_owner = excluded.head_owner, merge_base = coalesce(excluded.merge_base, pull.merge_base),
               touched_at = excluded.touched_at, updated_at = now()
           RETURNING id, number, title, author AS "author: Json<Account>", state, base_branch, base_sha, head_sha, from_fork,
               merge_commit, merged_by AS "merged_by: Json<Account>", head_branch,
               head_owner AS "head_owner: Json<Account>", merge_base, touched_at, comment_id, comment_hash, status_hash, fact_hash"#,
        repository,
        facts.number,
        facts.title.replace('\0', "\u{fffd}"),
        facts.author.as_ref().map(Json) as _,
        facts.state.as_str(),
        facts.base_branch,
        facts.base_sha.as_str(),
        facts.head_sha.as_str(),
        facts.from_fork,
        facts.merge_commit.as_ref().map(CommitId::as_str),
        facts.merged_by.as_ref().map(Json) as _,
        facts.head_branch,
        facts.head_owner.as_ref().map(Json) as _,
        facts.merge_base.as_ref().map(CommitId::as_str),
        facts.touched_at.to_sqlx() as _,
    )
    .fetch_one(conn)
    .await?;
    Ok(pull!(row))
}

/// One pull request.
///
/// # Errors
/// The database's own.
pub async fn get(conn: &mut PgConnection, repository: i64, number: i64) -> Result<Option<Pull>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT id, number, title, author AS "author: Json<Account>", state, base_branch, base_sha, head_sha, from_fork,
               merge_commit, merged_by AS "merged_by: Json<Account>", head_branch,
               head_owner AS "head_owner: Json<Account>", merge_base, touched_at, comment_id, comment_hash, status_hash, fact_hash
           FROM pull WHERE repository_id = $1 AND number = $2"#,
        repository,
        number
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| Ok(pull!(row))).transpose()
}

/// The stored pull requests of one state, newest first.
///
/// # Errors
/// The database's own.
pub async fn in_state(conn: &mut PgConnection, repository: i64, state: PullState) -> Result<Vec<Pull>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id, number, title, author AS "author: Json<Account>", state, base_branch, base_sha, head_sha, from_fork,
               merge_commit, merged_by AS "merged_by: Json<Account>", head_branch,
               head_owner AS "head_owner: Json<Account>", merge_base, touched_at, comment_id, comment_hash, status_hash, fact_hash
           FROM pull WHERE repository_id = $1 AND state = $2 ORDER BY number DESC"#,
        repository,
        state.as_str()
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok(pull!(row))).collect()
}

/// Of these commits of a branch, those that end a pull request merged into it.
///
/// # Errors
/// The database's own.
pub async fn merged_as(
    conn: &mut PgConnection,
    repository: i64,
    branch: &str,
    commits: &[CommitId],
) -> Result<BTreeMap<CommitId, i64>, sqlx::Error> {
    let commits: Vec<String> = commits.iter().map(ToString::to_string).collect();
    let rows = sqlx::query!(
        r#"SELECT merge_commit AS "merge_commit!", min(number) AS "number!" FROM pull
           WHERE repository_id = $1 AND base_branch = $2 AND merge_commit = ANY($3) AND state = 'merged'
           GROUP BY merge_commit"#,
        repository,
        branch,
        &commits
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok((commit(&row.merge_commit)?, row.number))).collect()
}

/// How many pull requests are known to be merged into a branch.
///
/// # Errors
/// The database's own.
pub async fn merges(conn: &mut PgConnection, repository: i64, branch: &str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM pull WHERE repository_id = $1 AND base_branch = $2 AND state = 'merged'"#,
        repository,
        branch
    )
    .fetch_one(conn)
    .await
}

/// Of these commits of a branch, those of which the forge said that they end no pull request that nothing else tells of.
/// A commit may be here a moment before its merge is. So that counts for as long as no other merge is known than was then
/// (`merges`), or for good when it was said ten minutes later again.
///
/// # Errors
/// The database's own.
pub async fn asked_about(
    conn: &mut PgConnection,
    repository: i64,
    branch: &str,
    commits: &[CommitId],
    merges: i64,
) -> Result<BTreeSet<CommitId>, sqlx::Error> {
    let commits: Vec<String> = commits.iter().map(ToString::to_string).collect();
    let rows = sqlx::query_scalar!(
        "SELECT commit_sha FROM commit_asked
         WHERE repository_id = $1 AND branch = $2 AND commit_sha = ANY($3)
           AND (merges = $4 OR asked_at >= first_asked + interval '10 minutes')",
        repository,
        branch,
        &commits,
        merges
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(|sha| commit(sha)).collect()
}

/// The forge was asked about a commit, while so many merges were known.
///
/// # Errors
/// The database's own.
pub async fn was_asked(
    conn: &mut PgConnection,
    repository: i64,
    (branch, commit): (&str, &CommitId),
    merges: i64,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO commit_asked (repository_id, branch, commit_sha, merges, first_asked, asked_at) VALUES ($1, $2, $3, $4, $5, $5)
         ON CONFLICT (repository_id, branch, commit_sha) DO UPDATE SET merges = excluded.merges, asked_at = excluded.asked_at",
        repository,
        branch,
        commit.as_str(),
        merges,
        now.to_sqlx() as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What was written to the forge, so that nothing is written when nothing changed.
///
/// # Errors
/// The database's own.
pub async fn set_written(
    conn: &mut PgConnection,
    id: i64,
    comment: Option<(i64, &[u8])>,
    statuses: &[u8],
) -> Result<(), sqlx::Error> {
    let (comment_id, comment_hash) = comment.unzip();
    written(conn, id, comment_id, comment_hash, statuses).await
}

/// What is about to be written to our comment, whose number is not known before there is one: whoever comes after a worker
/// that died meanwhile finds that something may be there.
///
/// # Errors
/// The database's own.
pub async fn set_writing(
    conn: &mut PgConnection,
    id: i64,
    (comment, hash): (Option<i64>, &[u8]),
    statuses: &[u8],
) -> Result<(), sqlx::Error> {
    written(conn, id, comment, Some(hash), statuses).await
}

async fn written(
    conn: &mut PgConnection,
    id: i64,
    comment_id: Option<i64>,
    comment_hash: Option<&[u8]>,
    statuses: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE pull SET comment_id = coalesce($2, comment_id), comment_hash = coalesce($3, comment_hash), status_hash = $4 WHERE id = $1",
        id,
        comment_id,
        comment_hash,
        statuses
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Has the next sweep look at every pull request of a repository as if for the first time.
///
/// # Errors
/// The database's own.
pub async fn forget_seen(conn: &mut PgConnection, repository: i64) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE pull SET fact_hash = NULL WHERE repository_id = $1", repository).execute(conn).await?;
    Ok(())
}

/// What the sweep will compare next time.
///
/// # Errors
/// The database's own.
pub async fn set_fact_hash(conn: &mut PgConnection, id: i64, hash: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE pull SET fact_hash = $2 WHERE id = $1", id, hash).execute(conn).await?;
    Ok(())
}
