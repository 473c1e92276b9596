//! A server's database, wherever it is: `database.url`.

use std::path::PathBuf;

use sqlx::PgPool;

use super::embedded::{Embedded, EmbeddedError};
use super::pool::{self, ConnectError};

/// What `database.url` says.
#[derive(Debug, Clone)]
pub enum Place {
    /// The address of a PostgreSQL of its own, as a login role that is a member of `bascule_app`.
    Url(String),
    /// `"embedded"`, in `database.data_dir`.
    Embedded(PathBuf),
}

/// Why there is no database; `Display` says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Of either kind.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Of the embedded one.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
}

/// A database a server can use: of this program's version, as a role that cannot alter the log.
#[derive(Debug)]
pub struct Database {
    /// As the server's role.
    pub pool: PgPool,
    embedded: Option<Embedded>,
}

impl Database {
    /// Opens it; the embedded one is started, and brought to this program's version.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(place: &Place) -> Result<Self, OpenError> {
        match place {
            Place::Url(url) => Ok(Self { pool: pool::connect(url).await?, embedded: None }),
            Place::Embedded(data_dir) => {
                let embedded = Embedded::start(data_dir).await?;
                let pool = pool::connect_with(embedded.options()).await?;
                Ok(Self { pool, embedded: Some(embedded) })
            }
        }
    }

    /// Whether it is the one for trying out: people are told [`super::embedded::NOTICE`].
    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// Closes the pool, and stops the embedded server in order. Without it, it stops when the process ends.
    ///
    /// # Errors
    /// When the embedded server does not stop in time.
    pub async fn close(self) -> Result<(), EmbeddedError> {
        self.pool.close().await;
        match self.embedded {
            Some(embedded) => embedded.stop().await,
            None => Ok(()),
        }
    }
}
