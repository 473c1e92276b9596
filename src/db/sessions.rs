//! People who signed in: their sessions, sign-ins that are used up, and words for command lines. What any of them says is
//! not here, only its SHA-256.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::ids::Account;

/// Where a person is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In a browser, with a cookie.
    Browser,
    /// At a command line, with a token.
    Command,
}

impl Way {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Command => "command",
        }
    }
}

/// A session to be stored.
#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    /// Its id.
    pub id: Uuid,
    /// SHA-256 of what it says.
    pub hash: [u8; 32],
    /// Where the person is.
    pub way: Way,
    /// Who.
    pub person: &'a Account,
    /// Now.
    pub at: Timestamp,
    /// When it ends, used or not.
    pub expires_at: Timestamp,
}

/// A stored session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: Uuid,
    /// Who.
    pub person: Account,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub seen_at: Timestamp,
    /// When it ends, used or not.
    pub expires_at: Timestamp,
}

macro_rules! session {
    ($row:expr) => {{
        let row = $row;
        Session {
            id: row.id,
            person: row.person.0,
            created_at: row.created_at.to_jiff(),
            seen_at: row.seen_at.to_jiff(),
            expires_at: row.expires_at.to_jiff(),
        }
    }};
}

/// Stores a session, and forgets those whose time is over.
///
/// # Errors
/// The database's own.
pub async fn insert(conn: &mut PgConnection, session: &NewSession<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM session WHERE expires_at <= $1", session.at.to_sqlx() as _).execute(&mut *conn).await?;
    sqlx::query!(
        "INSERT INTO session (id, hash, way, person, created_at, seen_at, expires_at) VALUES ($1, $2, $3, $4, $5, $5, $6)",
        session.id,
        &session.hash[..],
        session.way.as_str(),
        Json(session.person) as _,
        session.at.to_sqlx() as _,
        session.expires_at.to_sqlx() as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The session of this hash and way, also when its time is over.
///
/// # Errors
/// The database's own.
pub async fn by_hash(conn: &mut PgConnection, hash: &[u8; 32], way: Way) -> Result<Option<Session>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT id, person AS "person: Json<Account>", created_at, seen_at, expires_at
           FROM session WHERE hash = $1 AND way = $2"#,
        &hash[..],
        way.as_str()
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| session!(row)))
}

/// Says that it was used.
///
/// # Errors
/// The database's own.
pub async fn seen(conn: &mut PgConnection, id: Uuid, at: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE session SET seen_at = $2 WHERE id = $1", id, at.to_sqlx() as _).execute(conn).await?;
    Ok(())
}

/// All of one way, the newest first.
///
/// # Errors
/// The database's own.
pub async fn list(conn: &mut PgConnection, way: Way) -> Result<Vec<Session>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id, person AS "person: Json<Account>", created_at, seen_at, expires_at
           FROM session WHERE way = $1 ORDER BY id DESC"#,
        way.as_str()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| session!(row)).collect())
}

/// Ends a session, and says whose it was; `None` when there is none.
///
/// # Errors
/// The database's own.
pub async fn end(conn: &mut PgConnection, id: Uuid) -> Result<Option<Account>, sqlx::Error> {
    let person =
        sqlx::query_scalar!(r#"DELETE FROM session WHERE id = $1 RETURNING person AS "person: Json<Account>""#, id)
            .fetch_optional(conn)
            .await?;
    Ok(person.map(|Json(person)| person))
}

/// Says that a sign-in is used up; `false` when it was before.
///
/// # Errors
/// The database's own.
pub async fn use_up(
    conn: &mut PgConnection,
    state: &[u8; 32],
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<bool, sqlx::Error> {
    sqlx::query!("DELETE FROM sign_in_used WHERE expires_at <= $1", now.to_sqlx() as _).execute(&mut *conn).await?;
    let done = sqlx::query!(
        "INSERT INTO sign_in_used (state, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        &state[..],
        expires_at.to_sqlx() as _
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Stores a word for a command line, and forgets those whose time is over.
///
/// # Errors
/// The database's own.
pub async fn lend(
    conn: &mut PgConnection,
    hash: &[u8; 32],
    challenge: &str,
    person: &Account,
    (now, expires_at): (Timestamp, Timestamp),
) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM login_code WHERE expires_at <= $1", now.to_sqlx() as _).execute(&mut *conn).await?;
    sqlx::query!(
        "INSERT INTO login_code (hash, challenge, person, expires_at) VALUES ($1, $2, $3, $4)",
        &hash[..],
        challenge,
        Json(person) as _,
        expires_at.to_sqlx() as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes a word: the challenge it was lent for, whose it is and until when. It is gone with this.
///
/// # Errors
/// The database's own.
pub async fn take(
    conn: &mut PgConnection,
    hash: &[u8; 32],
) -> Result<Option<(String, Account, Timestamp)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"DELETE FROM login_code WHERE hash = $1 RETURNING challenge, person AS "person: Json<Account>", expires_at"#,
        &hash[..]
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.challenge, row.person.0, row.expires_at.to_jiff())))
}
