use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{EnvironmentName, RepositoryKey};

/// Who an object belongs to, as its owner annotation says: one environment of one repository of one installation.
///
/// It is made of what survives a rename of the repository, and differs between two servers that manage the same one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The server's own id, made when its database was.
    pub installation: Uuid,
    /// The repository.
    pub repository: RepositoryKey,
    /// The environment.
    pub environment: EnvironmentName,
}

impl Owner {
    /// Of an environment's objects.
    pub fn of(installation: Uuid, repository: &RepositoryKey, environment: &EnvironmentName) -> Self {
        Self { installation, repository: repository.clone(), environment: environment.clone() }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { installation, repository, environment } = self;
        write!(out, "{}/{}/{environment}@{installation}", repository.forge, repository.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_reads_as_environment_of_a_repository_of_a_server() {
        let repository = RepositoryKey { forge: "work".parse().unwrap(), id: 17 };
        let owner = Owner::of(Uuid::nil(), &repository, &"production".parse().unwrap());
        assert_eq!(owner.to_string(), "work/17/production@00000000-0000-0000-0000-000000000000");
    }
}
