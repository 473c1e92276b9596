//! Machine tokens: their names, scopes and ends. What a token says is not here, only its SHA-256.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

/// A token to be stored.
#[derive(Debug, Clone)]
pub struct NewToken<'a> {
    /// Its id.
    pub id: Uuid,
    /// What the log calls it, once for ever.
    pub name: &'a str,
    /// SHA-256 of what it says.
    pub hash: [u8; 32],
    /// What it may do, in the API's words.
    pub scopes: &'a [String],
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A stored token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: Uuid,
    /// What the log calls it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it was made, by the database.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When somebody ended it before.
    pub revoked_at: Option<Timestamp>,
}

macro_rules! token {
    ($row:expr) => {{
        let row = $row;
        Token {
            id: row.id,
            name: row.name,
            scopes: row.scopes.0,
            created_at: row.created_at.to_jiff(),
            expires_at: row.expires_at.to_jiff(),
            revoked_at: row.revoked_at.map(|at| at.to_jiff()),
        }
    }};
}

/// Stores a token. `false` when the name is taken, also by a token that ended: the log names tokens for ever.
///
/// # Errors
/// The database's own.
pub async fn insert(conn: &mut PgConnection, token: &NewToken<'_>) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "INSERT INTO api_token (id, name, hash, scopes, expires_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT ON CONSTRAINT api_token_name DO NOTHING",
        token.id,
        token.name,
        &token.hash[..],
        Json(token.scopes) as _,
        token.expires_at.to_sqlx() as _,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The token of this hash, also when it has ended. Comparing hashes in an index tells nothing of the secret behind them.
///
/// # Errors
/// The database's own.
pub async fn by_hash(conn: &mut PgConnection, hash: &[u8; 32]) -> Result<Option<Token>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT id, name, scopes AS "scopes: Json<Vec<String>>", created_at, expires_at, revoked_at
           FROM api_token WHERE hash = $1"#,
        &hash[..]
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| token!(row)))
}

/// All tokens, by name.
///
/// # Errors
/// The database's own.
pub async fn list(conn: &mut PgConnection) -> Result<Vec<Token>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id, name, scopes AS "scopes: Json<Vec<String>>", created_at, expires_at, revoked_at
           FROM api_token ORDER BY name"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| token!(row)).collect())
}

/// Ends a token now. `false` when there is none of this name that was not revoked before.
///
/// # Errors
/// The database's own.
pub async fn revoke(conn: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!("UPDATE api_token SET revoked_at = now() WHERE name = $1 AND revoked_at IS NULL", name)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}
