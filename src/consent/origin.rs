//! Where a rule comes from.

use super::waiver::Denial;

/// Where a rule comes from, for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// `consent` of the environment.
    Environment,
    /// `consent.reverts` of the environment: what comes of it was deployed here before.
    Reverts,
    /// `consent` of another environment of the same name or namespace.
    Neighbour(String),
    /// `[floor.NAME]` of the server.
    Floor(String),
    /// `owners` of the repository's file, because the environment's own rules change.
    Owners,
    /// The same, because a limit is exceeded.
    Limits,
    /// `owners` of the grant: a first set.
    GrantOwners,
    /// A rule that asks for the owners of files: of this one, and others that have the same owners.
    CodeOwners(String),
    /// The same, for files that nobody owns, of which this is one.
    Unowned(String),
    /// `deletions.confirm_above`, where no rule asks for anybody.
    Deletions,
    /// A policy that asks for a review of what it found.
    Policy(String),
    /// The same, of a floor's policy.
    FloorPolicy(String),
    /// A policy that cannot be asked, and that the change replaces.
    Mended(String),
    /// What a policy denies, to be waived by those it names: no approval counts for it, and no exception passes it.
    Waiver(Denial),
}

impl Origin {
    /// What has to be waived.
    pub fn denial(&self) -> Option<&Denial> {
        match self {
            Self::Waiver(denial) => Some(denial),
            Self::Environment
            | Self::Reverts
            | Self::Neighbour(_)
            | Self::Floor(_)
            | Self::Owners
            | Self::Limits
            | Self::GrantOwners
            | Self::CodeOwners(_)
            | Self::Unowned(_)
            | Self::Deletions
            | Self::Policy(_)
            | Self::FloorPolicy(_)
            | Self::Mended(_) => None,
        }
    }

    /// Whether no exception passes it: it is the platform's, or what a policy denies, which its waiver passes.
    pub fn binds(&self) -> bool {
        match self {
            Self::Floor(_) | Self::FloorPolicy(_) | Self::Waiver(_) => true,
            Self::Environment
            | Self::Reverts
            | Self::Neighbour(_)
            | Self::Owners
            | Self::Limits
            | Self::GrantOwners
            | Self::CodeOwners(_)
            | Self::Unowned(_)
            | Self::Deletions
            | Self::Policy(_)
            | Self::Mended(_) => false,
        }
    }
}
