//! What we show of a commit beyond a status, where a forge has more.

use uuid::Uuid;

use super::facts::NewStatus;
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
