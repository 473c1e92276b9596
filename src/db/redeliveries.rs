//! A forge's own log of its deliveries: how far it was read, and which of them are asked for again.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::{PgConnection, PgPool};

use crate::ids::ForgeName;

/// Whose log.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    /// Where.
    pub forge: &'a ForgeName,
    /// The forge's number of a repository; 0: our App's.
    pub repository: i64,
}

/// How far it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Log {
    /// The forge's number of our webhook, where it is one of a repository; `None`: to be looked for.
    pub hook: Option<i64>,
    /// The newest attempt that was read, by the forge's clock; `None`: it was never read.
    pub read_to: Option<Timestamp>,
    /// The same of a log that is being read, from its newest end on.
    pub newest: Option<Timestamp>,
    /// Where that goes on, in the forge's words.
    pub next_page: Option<String>,
    /// It is not to be looked at now.
    pub rests: bool,
}

/// What is known of one.
///
/// # Errors
/// The database's own.
pub async fn log(conn: &mut PgConnection, whose: Whose<'_>) -> Result<Log, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT hook, read_to, newest, next_page, coalesce(rests_until > now(), false) AS "rests!"
           FROM delivery_log WHERE forge = $1 AND repository = $2"#,
        whose.forge.as_str(),
        whose.repository
    )
    .fetch_optional(conn)
    .await?;
    let log = row.map(|row| Log {
        hook: row.hook,
        read_to: row.read_to.map(|at| at.to_jiff()),
        newest: row.newest.map(|at| at.to_jiff()),
        next_page: row.next_page,
        rests: row.rests,
    });
    Ok(log.unwrap_or_default())
}

/// It was read so far. What was read once is never unread.
///
/// # Errors
/// The database's own.
pub async fn read(conn: &mut PgConnection, whose: Whose<'_>, log: &Log) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO delivery_log AS l (forge, repository, hook, read_to, newest, next_page) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT ON CONSTRAINT delivery_log_of DO UPDATE SET
             hook = excluded.hook, read_to = greatest(l.read_to, excluded.read_to), newest = excluded.newest,
             next_page = excluded.next_page, rests_until = NULL",
        whose.forge.as_str(),
        whose.repository,
        log.hook,
        log.read_to.map(|at| at.to_sqlx()) as _,
        log.newest.map(|at| at.to_sqlx()) as _,
        log.next_page
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// There is none of ours, or not any more: it is looked for again in an hour.
///
/// # Errors
/// The database's own.
pub async fn absent(conn: &mut PgConnection, whose: Whose<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO delivery_log (forge, repository, rests_until) VALUES ($1, $2, now() + interval '1 hour')
         ON CONFLICT ON CONSTRAINT delivery_log_of DO UPDATE SET
             hook = NULL, newest = NULL, next_page = NULL, rests_until = excluded.rests_until",
        whose.forge.as_str(),
        whose.repository
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// It is not shown to us, or we may not ask for anything in it: tried again in an hour. Whether that is news.
///
/// # Errors
/// The database's own.
pub async fn refused(conn: &mut PgConnection, whose: Whose<'_>) -> Result<bool, sqlx::Error> {
    let was = sqlx::query_scalar!(
        "WITH was AS (SELECT refused FROM delivery_log WHERE forge = $1 AND repository = $2),
              said AS (INSERT INTO delivery_log (forge, repository, refused, rests_until)
                       VALUES ($1, $2, true, now() + interval '1 hour')
                       ON CONFLICT ON CONSTRAINT delivery_log_of DO UPDATE SET
                           refused = true, rests_until = excluded.rests_until)
         SELECT refused FROM was",
        whose.forge.as_str(),
        whose.repository
    )
    .fetch_optional(conn)
    .await?;
    Ok(was != Some(true))
}

/// We may ask for what is in it: should that be refused again, it is news.
///
/// # Errors
/// The database's own.
pub async fn permitted(conn: &mut PgConnection, whose: Whose<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE delivery_log SET refused = false WHERE forge = $1 AND repository = $2 AND refused",
        whose.forge.as_str(),
        whose.repository
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A delivery that failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lost {
    /// The forge's own id of it.
    pub delivery_id: String,
    /// The forge's number of the attempt that is to be repeated.
    pub attempt: i64,
}

/// These failed: those of them that we do not have are wanted.
///
/// # Errors
/// The database's own.
pub async fn found(conn: &mut PgConnection, whose: Whose<'_>, lost: &[Lost]) -> Result<(), sqlx::Error> {
    let ids: Vec<String> = lost.iter().map(|one| one.delivery_id.clone()).collect();
    let attempts: Vec<i64> = lost.iter().map(|one| one.attempt).collect();
    sqlx::query!(
        "INSERT INTO redelivery (forge, repository, delivery_id, attempt)
         SELECT $1, $2, id, attempt FROM unnest($3::text[], $4::bigint[]) AS lost (id, attempt)
         WHERE NOT EXISTS (SELECT FROM delivery d WHERE d.forge = $1 AND d.delivery_id = lost.id)
         ON CONFLICT ON CONSTRAINT redelivery_once DO NOTHING",
        whose.forge.as_str(),
        whose.repository,
        &ids,
        &attempts
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Those that are wanted and were not asked for, oldest first. What nobody let us ask for within three days, the forge does
/// not have any more.
///
/// # Errors
/// The database's own.
pub async fn wanted(conn: &mut PgConnection, whose: Whose<'_>, most: i64) -> Result<Vec<Lost>, sqlx::Error> {
    sqlx::query_as!(
        Lost,
        "SELECT delivery_id, attempt FROM redelivery r
         WHERE forge = $1 AND repository = $2 AND asked_at IS NULL AND found_at > now() - interval '3 days'
           AND NOT EXISTS (SELECT FROM delivery d WHERE d.forge = r.forge AND d.delivery_id = r.delivery_id)
         ORDER BY attempt LIMIT $3",
        whose.forge.as_str(),
        whose.repository,
        most
    )
    .fetch_all(conn)
    .await
}

/// It is about to be asked for, once and for all.
///
/// # Errors
/// The database's own.
pub async fn asked(conn: &mut PgConnection, forge: &ForgeName, delivery_id: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE redelivery SET asked_at = now() WHERE forge = $1 AND delivery_id = $2",
        forge.as_str(),
        delivery_id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The forge refused to do it: it was surely not done, and may be asked for again.
///
/// # Errors
/// The database's own.
pub async fn not_done(conn: &mut PgConnection, forge: &ForgeName, delivery_id: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE redelivery SET asked_at = NULL WHERE forge = $1 AND delivery_id = $2",
        forge.as_str(),
        delivery_id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets those that were found before `before`: the forge keeps its log for three days. Gives how many.
///
/// # Errors
/// The database's own.
pub async fn tidy(pool: &PgPool, before: Timestamp) -> Result<u64, sqlx::Error> {
    let gone = sqlx::query!("DELETE FROM redelivery WHERE found_at < $1", before.to_sqlx() as _).execute(pool).await?;
    Ok(gone.rows_affected())
}
