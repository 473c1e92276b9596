//! Repositories as last read from their forge, keyed by the forge's own number.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

use crate::ids::{ForgeName, RepositoryKey};

/// A repository we know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Our number.
    pub id: i64,
    /// The forge's.
    pub key: RepositoryKey,
    /// `owner/name`, as last read.
    pub full_name: String,
    /// As last read.
    pub default_branch: String,
    /// What we do with it.
    pub state: RepositoryState,
    /// Rises with every stored fact about it.
    pub fact_version: i64,
}

/// What we do with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepositoryState {
    /// All of it.
    Active,
    /// Its name is another repository's, by [`pin`]; nothing until an operator accepts it.
    Recreated,
    /// The forge says it is not there.
    Gone,
}

impl RepositoryState {
    fn read(text: &str) -> Self {
        match text {
            "active" => Self::Active,
            "recreated" => Self::Recreated,
            _ => Self::Gone,
        }
    }

    /// The word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Recreated => "recreated",
            Self::Gone => "gone",
        }
    }
}

macro_rules! repository {
    ($row:expr, $forge:expr) => {
        Repository {
            id: $row.id,
            key: RepositoryKey { forge: $forge, id: $row.forge_id },
            full_name: $row.full_name,
            default_branch: $row.default_branch,
            state: RepositoryState::read(&$row.state),
            fact_version: $row.fact_version,
        }
    };
}

/// Stores what the forge says of a repository. What we do with it stays as it is; a new one is active.
///
/// # Errors
/// The database's own.
pub async fn upsert(
    conn: &mut PgConnection,
    key: &RepositoryKey,
    full_name: &str,
    default_branch: &str,
) -> Result<Repository, sqlx::Error> {
    let row = sqlx::query!(
        "INSERT INTO repository (forge, forge_id, full_name, default_branch) VALUES ($1, $2, $3, $4)
         ON CONFLICT (forge, forge_id) DO UPDATE SET full_name = excluded.full_name, default_branch = excluded.default_branch
         RETURNING id, forge_id, full_name, default_branch, state, fact_version",
        key.forge.as_str(),
        key.id,
        full_name,
        default_branch
    )
    .fetch_one(conn)
    .await?;
    Ok(repository!(row, key.forge.clone()))
}

/// By our number.
///
/// # Errors
/// The database's own.
pub async fn get(conn: &mut PgConnection, id: i64) -> Result<Option<Repository>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT id, forge, forge_id, full_name, default_branch, state, fact_version FROM repository WHERE id = $1",
        id
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        let forge = row.forge.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok(repository!(row, forge))
    })
    .transpose()
}

/// By the forge's number.
///
/// # Errors
/// The database's own.
pub async fn by_key(conn: &mut PgConnection, key: &RepositoryKey) -> Result<Option<Repository>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT id, forge_id, full_name, default_branch, state, fact_version FROM repository WHERE forge = $1 AND forge_id = $2",
        key.forge.as_str(),
        key.id
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| repository!(row, key.forge.clone())))
}

/// All of a forge.
///
/// # Errors
/// The database's own.
pub async fn of_forge(conn: &mut PgConnection, forge: &ForgeName) -> Result<Vec<Repository>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT id, forge_id, full_name, default_branch, state, fact_version FROM repository WHERE forge = $1 ORDER BY id",
        forge.as_str()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| repository!(row, forge.clone())).collect())
}

/// Sets what we do with it; whether that is news.
///
/// # Errors
/// The database's own.
pub async fn set_state(conn: &mut PgConnection, id: i64, state: RepositoryState) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!("UPDATE repository SET state = $2 WHERE id = $1 AND state <> $2", id, state.as_str())
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// How far the forge's list of closed pull requests was read, by its own clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClosedRead {
    /// Everything closed by then was read.
    pub to: Option<Timestamp>,
    /// A longer reading that is not at its end: the newest it began with, and the page to go on at.
    pub going_on: Option<(Timestamp, i32)>,
}

/// How far it was read.
///
/// # Errors
/// The database's own.
pub async fn closed_read(conn: &mut PgConnection, id: i64) -> Result<ClosedRead, sqlx::Error> {
    let row =
        sqlx::query!("SELECT closed_read_to, closed_reading_to, closed_reading_page FROM repository WHERE id = $1", id)
            .fetch_one(conn)
            .await?;
    let going_on = row.closed_reading_to.map(|to| to.to_jiff()).zip(row.closed_reading_page);
    Ok(ClosedRead { to: row.closed_read_to.map(|to| to.to_jiff()), going_on })
}

/// Says that it was read to its end; a slower reader takes nothing back.
///
/// # Errors
/// The database's own.
pub async fn closed_read_to(conn: &mut PgConnection, id: i64, to: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE repository SET closed_read_to = greatest(closed_read_to, $2), closed_reading_to = NULL,
                               closed_reading_page = NULL WHERE id = $1",
        id,
        to.to_sqlx() as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How far the forge's list of comments was read, by its own clock.
///
/// # Errors
/// The database's own.
pub async fn comments_read_to(conn: &mut PgConnection, id: i64) -> Result<Option<Timestamp>, sqlx::Error> {
    let at = sqlx::query_scalar!("SELECT comments_read_to FROM repository WHERE id = $1", id).fetch_one(conn).await?;
    Ok(at.map(|at| at.to_jiff()))
}

/// Says that it was read that far; a slower reader takes nothing back.
///
/// # Errors
/// The database's own.
pub async fn comments_read(conn: &mut PgConnection, id: i64, to: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE repository SET comments_read_to = greatest(comments_read_to, $2) WHERE id = $1",
        id,
        to.to_sqlx() as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Says that a reading that began with `to` goes on at `page`; a slower reader takes nothing back.
///
/// # Errors
/// The database's own.
pub async fn closed_goes_on(conn: &mut PgConnection, id: i64, to: Timestamp, page: i32) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE repository SET closed_reading_to = $2, closed_reading_page = $3
         WHERE id = $1 AND (closed_read_to IS NULL OR closed_read_to < $2)
           AND (closed_reading_to IS DISTINCT FROM $2 OR closed_reading_page < $3)",
        id,
        to.to_sqlx() as _,
        page
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whose a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// Nobody had it; it is this repository's from now on.
    New,
    /// This repository's.
    Own,
    /// The repository's with this number of the forge: whoever renames or re-creates must not inherit what it was
    /// trusted with.
    Others(i64),
}

/// Gives a name to the repository that uses it first, and says whose it is.
///
/// # Errors
/// The database's own.
pub async fn pin(conn: &mut PgConnection, key: &RepositoryKey, full_name: &str) -> Result<Pin, sqlx::Error> {
    let done = sqlx::query!(
        "INSERT INTO repository_pin (forge, full_name, forge_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        key.forge.as_str(),
        full_name,
        key.id
    )
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 1 {
        return Ok(Pin::New);
    }
    let holder = sqlx::query_scalar!(
        "SELECT forge_id FROM repository_pin WHERE forge = $1 AND full_name = $2",
        key.forge.as_str(),
        full_name
    )
    .fetch_one(conn)
    .await?;
    Ok(if holder == key.id { Pin::Own } else { Pin::Others(holder) })
}

/// Gives a name to another repository than the one that has it: an operator's decision, and never ours.
///
/// # Errors
/// The database's own.
pub async fn pin_anew(conn: &mut PgConnection, key: &RepositoryKey, full_name: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE repository_pin SET forge_id = $3, pinned_at = now() WHERE forge = $1 AND full_name = $2",
        key.forge.as_str(),
        full_name,
        key.id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// All of every forge, by name.
///
/// # Errors
/// The database's own.
pub async fn all(conn: &mut PgConnection) -> Result<Vec<Repository>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT id, forge, forge_id, full_name, default_branch, state, fact_version FROM repository
         ORDER BY forge, full_name, forge_id"
    )
    .fetch_all(conn)
    .await?;
    let read = rows.into_iter().map(|row| {
        let forge = row.forge.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok(repository!(row, forge))
    });
    read.collect()
}

/// Says that a fact about the repository was stored: a gate that looked before this fails (rule 13 of consent).
///
/// # Errors
/// The database's own.
pub async fn fact_stored(conn: &mut PgConnection, key: &RepositoryKey) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE repository SET fact_version = fact_version + 1 WHERE forge = $1 AND forge_id = $2",
        key.forge.as_str(),
        key.id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Locks the repository's facts until the transaction ends, and gives the number of the newest.
///
/// # Errors
/// The database's own.
pub async fn lock_facts(conn: &mut PgConnection, id: i64) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!("SELECT fact_version FROM repository WHERE id = $1 FOR UPDATE", id).fetch_one(conn).await
}
