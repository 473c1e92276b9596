//! The schema's version: what a database holds compared with what this program brings, and how to bring it there.
//!
//! A running server never migrates (its role could not); it looks, and refuses to start on anything but
//! [`Schema::Current`]. `bascule migrate` runs as the owner.

use std::collections::BTreeMap;

use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};

use super::roles;

/// The migrations of this program, compiled in.
static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// What a database holds, compared with this program's migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// Exactly ours.
    Current,
    /// Nothing of ours, and nothing of anybody else's.
    Empty,
    /// Ours, but some migrations have yet to run.
    Older {
        /// The newest migration it has.
        has: i64,
        /// The newest migration of this program.
        needs: i64,
    },
    /// Migrated by a newer program.
    Newer {
        /// The newest migration it has.
        has: i64,
        /// The newest migration of this program.
        knows: i64,
    },
    /// A migration began and did not end.
    HalfMigrated {
        /// Which.
        version: i64,
    },
    /// A migration that ran had another text than ours of that number.
    Altered {
        /// Which.
        version: i64,
    },
    /// Tables, but not ours.
    Foreign,
}

/// Why a database cannot be used as it is: what it is, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Nothing there yet.
    #[error(
        "the database is empty: run `bascule migrate` with the owner's role (`database.migrate_url`), then start again"
    )]
    Empty,
    /// Older than the program.
    #[error(
        "the database is older than this bascule (it is at version {has}, this bascule needs {needs}): \
         run `bascule migrate` of this bascule, then start again"
    )]
    Older {
        /// The newest migration it has.
        has: i64,
        /// The newest migration of this program.
        needs: i64,
    },
    /// Newer than the program.
    #[error(
        "the database is newer than this bascule (it is at version {has}, this bascule knows {knows}): \
         start the newer bascule that migrated it, or restore a backup made before; there is no way down"
    )]
    Newer {
        /// The newest migration it has.
        has: i64,
        /// The newest migration of this program.
        knows: i64,
    },
    /// A migration did not end.
    #[error(
        "the database is half-migrated: migration {version} began and did not end. Restore the backup made before it, \
         or repair what it left, delete its row from `_sqlx_migrations`, and run `bascule migrate` again"
    )]
    HalfMigrated {
        /// Which.
        version: i64,
    },
    /// Migrated by a build with other migrations of the same numbers.
    #[error(
        "migration {version} of the database is not this bascule's: it was migrated by another build. \
         Start that build, or restore a backup made by a released one"
    )]
    Altered {
        /// Which.
        version: i64,
    },
    /// Somebody else's database.
    #[error("the database holds tables that are not bascule's: give bascule a database of its own")]
    Foreign,
}

/// Why migrating failed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database is in a state that running migrations cannot mend.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// One migration failed; it was rolled back, so that the one before it still holds.
    #[error("migration {version} failed and was rolled back; the database is as it was before it")]
    Failed {
        /// Which.
        version: i64,
        /// What the database said.
        source: sqlx::Error,
    },
    /// A statement around the migrations failed.
    #[error("the database could not be migrated")]
    Database(#[from] sqlx::Error),
    /// Anything else the migrator says.
    #[error("the database could not be migrated")]
    Other(#[source] sqlx::migrate::MigrateError),
}

impl Schema {
    /// Looks at the database behind `connection`; changes nothing.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn look(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let tables = sqlx::query_scalar!(
            r#"SELECT c.relname::text AS "name!" FROM pg_class c
               WHERE c.relkind IN ('r', 'p') AND c.relnamespace = to_regnamespace('public')"#
        )
        .fetch_all(&mut *connection)
        .await?;
        if !tables.iter().any(|name| name == "_sqlx_migrations") {
            return Ok(if tables.is_empty() { Self::Empty } else { Self::Foreign });
        }
        // Unchecked, because the migrator makes this table and a database that only has our migrations lacks it.
        let rows: Vec<(i64, bool, Vec<u8>)> =
            sqlx::query_as("SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version")
                .fetch_all(connection)
                .await?;
        if rows.is_empty() && tables.len() > 1 {
            return Ok(Self::Foreign);
        }
        Ok(Self::compare(&rows))
    }

    fn compare(rows: &[(i64, bool, Vec<u8>)]) -> Self {
        let ours: BTreeMap<i64, &[u8]> = MIGRATIONS.iter().map(|m| (m.version, &*m.checksum)).collect();
        let newest = ours.keys().next_back().copied().unwrap_or_default();
        let Some((has, ..)) = rows.last() else { return Self::Empty };
        if let Some((version, ..)) = rows.iter().find(|(_, success, _)| !success) {
            return Self::HalfMigrated { version: *version };
        }
        let is_altered = |(version, _, checksum): &&(i64, bool, Vec<u8>)| {
            *version <= newest && ours.get(version).copied() != Some(checksum.as_slice())
        };
        if let Some((version, ..)) = rows.iter().find(is_altered) {
            return Self::Altered { version: *version };
        }
        if *has > newest {
            return Self::Newer { has: *has, knows: newest };
        }
        if rows.len() < ours.len() { Self::Older { has: *has, needs: newest } } else { Self::Current }
    }

    /// What keeps a server that runs already from its work. A newer database does not: a migration adds to what the version
    /// before reads and writes, so that it goes on until it is stopped. It just is not started anew.
    ///
    /// # Errors
    /// Every state but [`Self::Current`] and [`Self::Newer`], with what to do about it.
    pub fn require_workable(self) -> Result<(), SchemaError> {
        match self {
            Self::Newer { .. } => Ok(()),
            other => other.require_current(),
        }
    }

    /// The error a server that needs [`Schema::Current`] stops with.
    ///
    /// # Errors
    /// Every other state, with what to do about it.
    pub fn require_current(self) -> Result<(), SchemaError> {
        match self {
            Self::Current => Ok(()),
            Self::Empty => Err(SchemaError::Empty),
            Self::Older { has, needs } => Err(SchemaError::Older { has, needs }),
            Self::Newer { has, knows } => Err(SchemaError::Newer { has, knows }),
            Self::HalfMigrated { version } => Err(SchemaError::HalfMigrated { version }),
            Self::Altered { version } => Err(SchemaError::Altered { version }),
            Self::Foreign => Err(SchemaError::Foreign),
        }
    }
}

/// Brings the database to this program's version; run as its owner. Safe to run twice, and by two at once.
/// Returns the versions it ran, oldest first. Killed in the middle, it leaves whole migrations only, and goes on from
/// there when run again.
///
/// # Errors
/// A database that is newer, foreign, altered or half-migrated is refused untouched.
pub async fn run(owner: &mut PgConnection) -> Result<Vec<i64>, MigrateError> {
    let before = match Schema::look(owner).await? {
        Schema::Current => return Ok(Vec::new()),
        Schema::Empty => 0,
        Schema::Older { has, .. } => has,
        other => return other.require_current().map(|()| Vec::new()).map_err(Into::into),
    };
    let outcome = MIGRATIONS.run_direct(None, owner, false).await;
    if outcome.is_err() {
        // The migrator keeps its lock when a migration fails; the connection may live on.
        sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut *owner).await?;
    }
    match outcome {
        Ok(()) => {}
        Err(sqlx::migrate::MigrateError::ExecuteMigration(source, version)) => {
            return Err(MigrateError::Failed { version, source });
        }
        Err(sqlx::migrate::MigrateError::Execute(source)) => return Err(MigrateError::Database(source)),
        Err(other) => return Err(MigrateError::Other(other)),
    }
    roles::let_app_read_version(owner).await?;
    Ok(MIGRATIONS.iter().map(|m| m.version).filter(|version| *version > before).collect())
}

/// Opens `owner_url`, migrates, and closes: what `bascule migrate` does.
///
/// # Errors
/// As [`run`]; and when the database cannot be reached.
pub async fn run_at(owner_url: &str) -> Result<Vec<i64>, MigrateError> {
    let mut owner = PgConnection::connect(owner_url).await?;
    let ran = run(&mut owner).await?;
    owner.close().await?;
    Ok(ran)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<(i64, bool, Vec<u8>)> {
        MIGRATIONS.iter().map(|m| (m.version, true, m.checksum.to_vec())).collect()
    }

    #[test]
    fn a_database_is_current_older_newer_half_migrated_or_altered() {
        let newest = rows().last().unwrap().0;
        assert_eq!(Schema::compare(&rows()), Schema::Current);
        assert_eq!(Schema::compare(&[]), Schema::Empty);
        assert_eq!(Schema::compare(&rows()[..1]), Schema::Older { has: 1, needs: newest });

        let mut newer = rows();
        newer.push((9000, true, vec![1]));
        assert_eq!(Schema::compare(&newer), Schema::Newer { has: 9000, knows: newest });

        let mut dirty = rows();
        dirty.last_mut().unwrap().1 = false;
        assert_eq!(Schema::compare(&dirty), Schema::HalfMigrated { version: newest });

        let mut altered = rows();
        altered[0].2 = vec![0];
        assert_eq!(Schema::compare(&altered), Schema::Altered { version: 1 });
        altered.push((9000, true, vec![1]));
        assert_eq!(Schema::compare(&altered), Schema::Altered { version: 1 }, "newer, and not of ours");
    }

    #[test]
    fn a_server_that_runs_goes_on_with_a_newer_database_alone_and_none_is_started_with_it() {
        let newer = || Schema::Newer { has: 9000, knows: 2 };
        assert!(newer().require_workable().is_ok() && Schema::Current.require_workable().is_ok());
        assert!(newer().require_current().is_err());
        for other in [
            Schema::Empty,
            Schema::Foreign,
            Schema::Older { has: 1, needs: 2 },
            Schema::HalfMigrated { version: 9000 },
            Schema::Altered { version: 1 },
        ] {
            assert_eq!(other.clone().require_workable(), other.require_current());
        }
    }
}
