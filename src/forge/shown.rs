//! What we show of a commit beyond a status, where a forge has more; and how a forge that has not says so.

use uuid::Uuid;

use super::Forge;
use super::error::Result;
use super::facts::{NewStatus, RepositoryAt};
use crate::ids::{CommitId, EnvironmentName};

/// A check run of ours: a status with more to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCheck {
    /// Its name, state, one line, and where it leads.
    pub status: NewStatus,
    /// Markdown.
    pub summary: String,
    /// Lines of files with what is wrong there. A run is only ever added to: these are told when it is made.
    pub marks: Vec<Mark>,
    /// Ours among those of its name, for when its making was not answered.
    pub round: i32,
}

/// A line of a file, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// In the repository.
    pub path: String,
    /// From 1.
    pub line: u32,
    /// In words.
    pub message: String,
    /// Whether it only warns.
    pub is_warning: bool,
}

/// A deployment of ours, as the forge's page of deployments is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeployment {
    /// What is deployed.
    pub commit: CommitId,
    /// The branch it is on.
    pub branch: String,
    /// The forge's environment: a stage, or one of ours by its own name.
    pub environment: String,
    /// Ours, by its name.
    pub ours: EnvironmentName,
    /// Its number there.
    pub number: i64,
    /// What tells it from every other.
    pub id: Uuid,
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentState {
    /// It waits for its cluster.
    Queued,
    /// It is being synced.
    Running,
    /// Synced and well.
    Well,
    /// Synced, and not well.
    Failed,
    /// Another one took its place.
    Replaced,
}

/// What is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentWord {
    /// How it stands.
    pub state: DeploymentState,
    /// One line.
    pub description: String,
    /// Where it leads.
    pub url: Option<String>,
}

impl Forge {
    /// Whether it has check runs beside statuses.
    pub fn has_checks(&self) -> bool {
        matches!(self, Self::GitHub(_))
    }

    /// Whether what is said of a commit may be a check run here. Where it may, it should be.
    pub async fn may_check(&self, at: &RepositoryAt) -> Result<bool> {
        match self {
            Self::GitHub(forge) => forge.may_check(at).await,
            Self::Gitea(_) | Self::GitLab(_) => Ok(false),
        }
    }

    /// Makes a check run; its number. An error may mean that it was made all the same: look for its round before making
    /// another.
    pub async fn create_check(&self, at: &RepositoryAt, commit: &CommitId, check: &NewCheck) -> Result<i64> {
        match self {
            Self::GitHub(forge) => forge.create_check(at, commit, check).await,
            Self::Gitea(_) | Self::GitLab(_) => Err(self.has_none("check runs")),
        }
    }

    /// Replaces what a check run of ours says; the lines it marks stay.
    pub async fn edit_check(&self, at: &RepositoryAt, number: i64, check: &NewCheck) -> Result<()> {
        match self {
            Self::GitHub(forge) => forge.edit_check(at, number, check).await,
            Self::Gitea(_) | Self::GitLab(_) => Err(self.has_none("check runs")),
        }
    }

    /// The check run of ours that was made in this round, if there is one.
    pub async fn find_check(
        &self,
        at: &RepositoryAt,
        commit: &CommitId,
        name: &str,
        round: i32,
    ) -> Result<Option<i64>> {
        match self {
            Self::GitHub(forge) => forge.find_check(at, commit, name, round).await,
            Self::Gitea(_) | Self::GitLab(_) => Ok(None),
        }
    }

    /// Whether it has merge queues that ask whether they may merge.
    pub fn has_queues(&self) -> bool {
        matches!(self, Self::GitHub(_))
    }

    /// Whether it has a page of deployments.
    pub fn has_deployments(&self) -> bool {
        matches!(self, Self::GitHub(_) | Self::GitLab(_))
    }

    /// Whether we may write there, as far as that is known before it is tried.
    pub async fn may_deploy(&self, at: &RepositoryAt) -> Result<bool> {
        match self {
            Self::GitHub(forge) => forge.may_deploy(at).await,
            Self::GitLab(_) => Ok(true),
            Self::Gitea(_) => Ok(false),
        }
    }

    /// Makes a deployment there; its number. An error may mean that it was made all the same: look for it.
    pub async fn create_deployment(&self, at: &RepositoryAt, new: &NewDeployment) -> Result<i64> {
        match self {
            Self::GitHub(forge) => forge.create_deployment(at, new).await,
            Self::GitLab(forge) => forge.create_deployment(at, new).await,
            Self::Gitea(_) => Err(self.has_none("deployments")),
        }
    }

    /// The one that was made for this one of ours, if there is one; none of those that are `known` to be others.
    pub async fn find_deployment(&self, at: &RepositoryAt, new: &NewDeployment, known: &[i64]) -> Result<Option<i64>> {
        match self {
            Self::GitHub(forge) => forge.find_deployment(at, new).await,
            Self::GitLab(forge) => forge.find_deployment(at, new, known).await,
            Self::Gitea(_) => Ok(None),
        }
    }

    /// Says how one stands.
    pub async fn set_deployment(&self, at: &RepositoryAt, number: i64, word: &DeploymentWord) -> Result<()> {
        match self {
            Self::GitHub(forge) => forge.set_deployment(at, number, word).await,
            Self::GitLab(forge) => forge.set_deployment(at, number, word).await,
            Self::Gitea(_) => Err(self.has_none("deployments")),
        }
    }

    /// Whether this was said of it last.
    pub async fn deployment_is(&self, at: &RepositoryAt, number: i64, state: DeploymentState) -> Result<bool> {
        match self {
            Self::GitHub(forge) => forge.deployment_is(at, number, state).await,
            Self::GitLab(forge) => forge.deployment_is(at, number, state).await,
            Self::Gitea(_) => Ok(false),
        }
    }
}
