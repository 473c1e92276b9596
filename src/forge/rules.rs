//! What a forge itself asks for before it merges, where it has such rules and shows them.

use super::Forge;
use super::error::Result;
use super::facts::RepositoryAt;

/// One rule of a forge's own about who approves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeRule {
    /// As people called it there.
    pub name: String,
    /// How many approvals it asks for.
    pub wanted: u32,
    /// Logins of those who gave one that it takes.
    pub given: Vec<String>,
    /// Whether it lets the merge pass.
    pub is_met: bool,
}

impl Forge {
    /// Those of a pull request as they stand now. They are the forge's: whoever administers the repository there may change
    /// them, so that nothing of ours is judged by them.
    pub async fn merge_rules(&self, at: &RepositoryAt, number: i64) -> Result<Vec<MergeRule>> {
        match self {
            Self::GitLab(forge) => forge.merge_rules(at, number).await,
            // Gitea shows a branch's protection to its administrators alone. GitHub shows its rules with the pull request
            // itself: a required check, ours among them.
            Self::Gitea(_) | Self::GitHub(_) => Ok(Vec::new()),
        }
    }
}
