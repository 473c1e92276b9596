//! Who we are on each forge, and what our comments there say: what tells our own hand from others'.

use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use crate::ids::{Account, ForgeName, RepositoryKey};

/// Stores which account we are.
///
/// # Errors
/// The database's own.
pub async fn are(conn: &mut PgConnection, ourselves: &Account) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO own_account (forge, account_id) VALUES ($1, $2)
         ON CONFLICT (forge) DO UPDATE SET account_id = excluded.account_id",
        ourselves.forge.as_str(),
        ourselves.id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether we are this account, as far as anybody asked yet.
///
/// # Errors
/// The database's own.
pub async fn is(conn: &mut PgConnection, forge: &ForgeName, account: i64) -> Result<bool, sqlx::Error> {
    let known = sqlx::query_scalar!("SELECT account_id FROM own_account WHERE forge = $1", forge.as_str());
    Ok(known.fetch_optional(conn).await? == Some(account))
}

/// Stores what a comment of ours says; whether that is another text than was known.
///
/// # Errors
/// The database's own.
pub async fn said(
    conn: &mut PgConnection,
    repository: &RepositoryKey,
    comment: i64,
    text: &str,
) -> Result<bool, sqlx::Error> {
    let hash: [u8; 32] = Sha256::digest(text.trim()).into();
    let done = sqlx::query!(
        "INSERT INTO own_comment (forge, forge_id, comment_id, said) VALUES ($1, $2, $3, $4)
         ON CONFLICT ON CONSTRAINT own_comment_once DO UPDATE SET said = excluded.said
         WHERE own_comment.said <> excluded.said",
        repository.forge.as_str(),
        repository.id,
        comment,
        &hash[..],
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}
