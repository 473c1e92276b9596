//! The installation: its id, and whether the server's key is still the one its hashes were made with.

use sqlx::PgConnection;
use uuid::Uuid;

/// Why this server cannot be this installation.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// The key is another one.
    #[error(
        "`server.key` is not the key this database was made with: every hash and stored set depends on it; restore it from \
         the backup that belongs to the database"
    )]
    OtherKey,
    /// The database.
    #[error("the installation cannot be read")]
    Database(#[from] sqlx::Error),
}

/// The installation's id. `check` is derived from the server's key: remembered at the first start, compared afterwards.
///
/// # Errors
/// [`InstallationError`].
pub async fn open(conn: &mut PgConnection, check: &[u8; 32]) -> Result<Uuid, InstallationError> {
    sqlx::query!("UPDATE installation SET key_check = $1 WHERE key_check IS NULL", &check[..])
        .execute(&mut *conn)
        .await?;
    let row = sqlx::query!("SELECT id, key_check FROM installation").fetch_one(conn).await?;
    if row.key_check.as_deref() == Some(&check[..]) { Ok(row.id) } else { Err(InstallationError::OtherKey) }
}
