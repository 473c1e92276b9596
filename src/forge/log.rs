//! The log that a forge keeps of its own deliveries, where it keeps one from which they can be asked for again.
//!
//! Gitea, Forgejo and GitLab have none that we could use: Gitea's API shows no deliveries, and GitLab's are shown to whoever
//! administers the project, a right that nothing else we do needs.

use jiff::Timestamp;

use super::Forge;
use super::error::Result;
use super::facts::RepositoryAt;

/// One log.
#[derive(Debug, Clone)]
pub enum DeliveryLog {
    /// Of our App, for all repositories.
    App,
    /// Of a webhook of a repository.
    Webhook {
        /// The repository.
        at: RepositoryAt,
        /// The forge's number of the webhook.
        hook: i64,
    },
}

/// Which logs a forge has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryLogs {
    /// None.
    None,
    /// One, of our App.
    OfApp,
    /// One of each webhook.
    OfRepositories,
}

/// One try to deliver something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryTry {
    /// The forge's number of it.
    pub id: i64,
    /// The delivery's own id, which all tries of it share.
    pub delivery_id: String,
    /// When, by the forge's clock.
    pub at: Timestamp,
    /// Whether it was taken.
    pub went_well: bool,
}

/// A part of a log, newest first.
#[derive(Debug, Clone, Default)]
pub struct DeliveryTries {
    /// At least all that failed.
    pub tries: Vec<DeliveryTry>,
    /// Where older ones are, in the forge's words.
    pub next: Option<String>,
}

impl Forge {
    /// Which logs of its deliveries it has.
    pub fn delivery_logs(&self) -> DeliveryLogs {
        match self {
            Self::GitHub(forge) => forge.delivery_logs(),
            Self::Gitea(_) | Self::GitLab(_) => DeliveryLogs::None,
        }
    }

    /// A part of a log: its newest, or where an earlier part says that it goes on.
    pub async fn delivery_tries(&self, log: &DeliveryLog, page: Option<&str>) -> Result<DeliveryTries> {
        match self {
            Self::GitHub(forge) => forge.delivery_tries(log, page).await,
            Self::Gitea(_) | Self::GitLab(_) => Err(self.has_none("log of its deliveries")),
        }
    }

    /// Asks for the same delivery again. An error may mean that it is made all the same.
    pub async fn redeliver(&self, log: &DeliveryLog, attempt: i64) -> Result<()> {
        match self {
            Self::GitHub(forge) => forge.redeliver(log, attempt).await,
            Self::Gitea(_) | Self::GitLab(_) => Err(self.has_none("log of its deliveries")),
        }
    }
}
