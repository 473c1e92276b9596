//! Ends that take two people: that the objects of an orphaned environment are deleted, as one person asked and another
//! agreed; or that it is forgotten, which one asked and nobody agreed to yet.

use jiff::Timestamp;
use jiff_sqlx::{Timestamp as Stored, ToSqlx as _};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::{hook_runs, inventory};
use crate::ids::{Account, ObjectKey};

/// What becomes of the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// They are deleted. Its job does that, once somebody agreed.
    Destroy,
    /// They stay, and are nobody's. That is done at once by whoever is the second: of these none is ever agreed to.
    Forget,
}

impl End {
    const ALL: [Self; 2] = [Self::Destroy, Self::Forget];

    /// As stored.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Destroy => "destroy",
            Self::Forget => "forget",
        }
    }
}

/// One that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destruction {
    /// Which end they meant.
    pub end: End,
    /// How many objects its people saw.
    pub objects: i64,
    /// Why, in the words of who asked.
    pub reason: String,
    /// Who asked.
    pub asked_by: Account,
    /// When, by the server's clock.
    pub asked_at: Timestamp,
    /// Who agreed.
    pub agreed_by: Option<Account>,
}

/// The one that stands of an environment.
///
/// # Errors
/// The database's own.
pub async fn of(conn: &mut PgConnection, environment: i64) -> Result<Option<Destruction>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT becomes, objects, reason, asked_by AS "asked_by: Json<Account>", asked_at, agreed_by AS "agreed_by: Json<Account>"
           FROM destruction WHERE environment_id = $1 FOR UPDATE"#,
        environment
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let end = End::ALL.into_iter().find(|end| end.as_str() == row.becomes);
    let end = end.ok_or_else(|| sqlx::Error::Decode("a stored end is none that is known".into()))?;
    Ok(Some(Destruction {
        end,
        objects: row.objects,
        reason: row.reason,
        asked_by: row.asked_by.0,
        asked_at: row.asked_at.to_jiff(),
        agreed_by: row.agreed_by.map(|Json(account)| account),
    }))
}

/// Every object that an end of this environment is about: what its inventory has, in whatever cluster, and what its hooks made and
/// may have left.
///
/// # Errors
/// The database's own.
pub async fn reach(conn: &mut PgConnection, environment: i64) -> Result<Vec<ObjectKey>, sqlx::Error> {
    let mut all = inventory::named(&mut *conn, environment).await?;
    let of_hooks = hook_runs::all_made(conn, environment).await?.into_keys();
    let more: Vec<ObjectKey> = of_hooks.filter(|key| !all.contains(key)).collect();
    all.extend(more);
    Ok(all)
}

/// Somebody asks; one that stands goes.
///
/// # Errors
/// The database's own.
pub async fn ask(conn: &mut PgConnection, environment: i64, new: &Destruction) -> Result<(), sqlx::Error> {
    drop_of(&mut *conn, environment).await?;
    sqlx::query!(
        "INSERT INTO destruction (environment_id, becomes, objects, reason, asked_by, asked_at) VALUES ($1, $2, $3, $4, $5, $6)",
        environment,
        new.end.as_str(),
        new.objects,
        new.reason,
        Json(&new.asked_by) as _,
        new.asked_at.to_sqlx() as Stored
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Locks an environment's row until the transaction ends: nobody follows it again meanwhile, and nobody stops. It is locked
/// before the row of its end, as by whoever follows it again.
///
/// # Errors
/// The database's own.
pub async fn lock_environment(conn: &mut PgConnection, environment: i64) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!("SELECT id FROM environment WHERE id = $1 FOR UPDATE", environment)
        .fetch_optional(conn)
        .await?;
    Ok(())
}

/// Somebody else agrees.
///
/// # Errors
/// The database's own.
pub async fn agree(conn: &mut PgConnection, environment: i64, by: &Account) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE destruction SET agreed_by = $2 WHERE environment_id = $1", environment, Json(by) as _)
        .execute(conn)
        .await?;
    Ok(())
}

/// It stands no more: it was done, or there is nothing to do any more. `false`: none stood.
///
/// # Errors
/// The database's own.
pub async fn drop_of(conn: &mut PgConnection, environment: i64) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!("DELETE FROM destruction WHERE environment_id = $1", environment).execute(conn).await?;
    Ok(done.rows_affected() == 1)
}
