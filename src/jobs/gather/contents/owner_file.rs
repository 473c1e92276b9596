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

    async fn owner_file(&self, blocks: &Tree, asked_at: &Place) -> Result<Result<OwnerFile, Vec<Located>>, JobError> {
        let forge = match self.repository.forge() {
            Forge::GitHub(_) => Dialect::GitHub,
            Forge::GitLab(_) => Dialect::GitLab,
            Forge::Gitea(_) => Dialect::Gitea,
        };
        let wrong = |path: &str, problem: &str, advice: &str| {
            Ok(Err(vec![Located::new(&Place::whole(path), problem.to_owned(), advice.to_owned())]))
        };
        for path in forge.places() {
            match blocks.entry(path).await? {
                None => continue,
                Some(entry) if entry.kind == EntryKind::File => {}
                Some(_) => return wrong(path, "it is not a plain file", "make it one"),
            }
            let text = match blocks.file(path, LARGEST_OWNER_FILE).await {
                Ok(text) => text.unwrap_or_default(),
                Err(GitError::TooLarge { .. }) => {
                    return wrong(path, "it is larger than the 256 KiB we read", "write globs for many files");
                }
                Err(error) => return Err(error.into()),
            };
            return match String::from_utf8(text) {
                Ok(text) => Ok(OwnerFile::parse(forge, path, &text)),
                Err(_) => wrong(path, "the file is not UTF-8", "save it as UTF-8"),
            };
        }
        let problem = "`codeowners` asks for the owners of files, and there is no file that names them";
        let advice = format!("add one of {}", crate::policy::block::listed(forge.places()));
        Ok(Err(vec![Located::new(asked_at, problem, advice)]))
    }
}
