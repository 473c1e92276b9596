//! The owner file of a repository, where its forge looks for it.

use super::Contents;
use crate::forge::Forge;
use crate::git::{GitError, Tree};
use crate::ids::EntryKind;
use crate::jobs::error::JobError;
use crate::policy::approvals::codeowners_asked;
use crate::policy::codeowners::LARGEST_OWNER_FILE;
use crate::policy::{Dialect, Expanded, Located, OwnerFile, Place};

impl Contents<'_> {
    /// Gives the environments that ask for owners of files the file that names them; what is wrong with it closes the gate
    /// as what is wrong with the block itself does.
    pub(super) async fn with_owner_file(
        &self,
        blocks: &Tree,
        mut expanded: Vec<Expanded>,
    ) -> Result<Result<Vec<Expanded>, Vec<Located>>, JobError> {
        let asks = |one: &&mut Expanded| one.environment.consent.asks_owners_of_files();
        let Some(asking) = expanded.iter_mut().find(asks) else { return Ok(Ok(expanded)) };
        let asked_at = codeowners_asked(&asking.block).unwrap_or(&asking.at).clone();
        let file = match self.owner_file(blocks, &asked_at).await? {
            Ok(file) => file,
            Err(complaints) => return Ok(Err(complaints)),
        };
        for one in expanded.iter_mut().filter(asks) {
            one.environment.owner_file = Some(file.clone());
        }
        Ok(Ok(expanded))
    }

    /// How its forge reads the file, and where it looks.
    pub(super) fn dialect(&self) -> Dialect {
        match self.repository.forge() {
            Forge::GitHub(_) => Dialect::GitHub,
            Forge::GitLab(_) => Dialect::GitLab,
            Forge::Gitea(_) => Dialect::Gitea,
        }
    }

    async fn owner_file(&self, blocks: &Tree, asked_at: &Place) -> Result<Result<OwnerFile, Vec<Located>>, JobError> {
        let forge = self.dialect();
        for path in forge.places() {
            match blocks.entry(path).await? {
                None => continue,
                Some(entry) if entry.kind == EntryKind::File => {}
                Some(_) => {
                    return Ok(Err(vec![Located::new(&Place::whole(path), "it is not a plain file", "make it one")]));
                }
            }
            return match blocks.file(path, LARGEST_OWNER_FILE).await {
                Ok(text) => Ok(OwnerFile::read(forge, path, Some(text.unwrap_or_default()))),
                Err(GitError::TooLarge { .. }) => Ok(OwnerFile::read(forge, path, None)),
                Err(error) => Err(error.into()),
            };
        }
        Ok(Err(vec![OwnerFile::absent(forge.places(), asked_at)]))
    }
}
