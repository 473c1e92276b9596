//! The owner file of a clone, for `check` and `diff`. A folder does not say which forge it will be on: where `origin` leads
//! may, and a file that any of the forges left can read is taken for good.

use std::path::Path;

use super::init::origin_kind;
use crate::policy::approvals::codeowners_asked;
use crate::policy::{Dialect, Expanded, Located, OwnerFile};

/// The forges it may be on, the likeliest first.
pub(super) fn dialects(root: &Path) -> Vec<Dialect> {
    match origin_kind(root) {
        Some("github") => vec![Dialect::GitHub],
        Some("gitlab") => vec![Dialect::GitLab],
        // A guess of `init`: any of them may be called so.
        Some(_) | None => vec![Dialect::Gitea, Dialect::GitHub, Dialect::GitLab],
    }
}

/// Every place where one of these forges looks.
pub(super) fn places(dialects: &[Dialect]) -> Vec<&'static str> {
    let mut places: Vec<&str> = dialects.iter().flat_map(|forge| forge.places()).copied().collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// A file of those places: where, how it is called for people, and what is in it (`None`: more than is read).
pub(super) type Found = (&'static str, String, Option<Vec<u8>>);

/// Gives the environments that ask for owners of files the file that names them, as the server does.
///
/// # Errors
/// What is wrong with it, as the forge reads it that finds least.
pub(super) fn give(
    dialects: &[Dialect],
    found: &[Found],
    mut all: Vec<Expanded>,
) -> Result<Vec<Expanded>, Vec<Located>> {
    let asks = |one: &&mut Expanded| one.environment.consent.asks_owners_of_files();
    let Some(asking) = all.iter_mut().find(asks) else { return Ok(all) };
    let asked_at = codeowners_asked(&asking.block).unwrap_or(&asking.at).clone();
    let mut wrong: Option<Vec<Located>> = None;
    for forge in dialects {
        let at = |place: &&str| found.iter().find(|(at, ..)| at == place);
        let Some((_, called, bytes)) = forge.places().iter().find_map(at) else { continue };
        match OwnerFile::read(*forge, called, bytes.clone()) {
            Ok(file) => {
                for one in all.iter_mut().filter(asks) {
                    one.environment.owner_file = Some(file.clone());
                }
                return Ok(all);
            }
            // Of the forges that cannot, the one that can nearly.
            Err(complaints) if wrong.as_ref().is_none_or(|wrong| complaints.len() < wrong.len()) => {
                wrong = Some(complaints)
            }
            Err(_) => {}
        }
    }
    Err(wrong.unwrap_or_else(|| vec![OwnerFile::absent(&places(dialects), &asked_at)]))
}
