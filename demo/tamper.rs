//! What somebody who has the running server's own database connection would try, to change what is in the log.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use bascule::db::embedded;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};

/// Each must be refused by PostgreSQL itself: "insufficient privilege".
const TRIES: [&str; 5] = [
    "UPDATE audit_entry SET actor = 'nobody'",
    "DELETE FROM audit_entry",
    "TRUNCATE audit_entry CASCADE",
    "DROP TRIGGER audit_append_only ON audit_entry",
    "SET ROLE bascule_owner",
];
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Tries them all as the server whose data is in `data`; what was tried, and how it was refused.
pub(crate) async fn tries(data: &Path) -> Result<Vec<(&'static str, String)>> {
    let options = embedded::attach(data)?;
    let mut connection = PgConnection::connect_with(&options).await.context("the server's own database connection")?;
    let (entries,): (i64,) = sqlx::query_as("SELECT count(*) FROM audit_entry").fetch_one(&mut connection).await?;
    ensure!(entries > 0, "the server's own connection reads no entry of the log");
    let mut refused = Vec::with_capacity(TRIES.len());
    for one in TRIES {
        match connection.execute(one).await {
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(INSUFFICIENT_PRIVILEGE) => {
                refused.push((one, error.message().to_owned()));
            }
            Err(error) => return Err(error).with_context(|| format!("`{one}` was not refused as it should be")),
            Ok(_) => bail!("the running server may `{one}`"),
        }
    }
    Ok(refused)
}
