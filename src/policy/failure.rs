//! What follows a sync that failed: `on_failure`, and the `runbook` that is named with every failure.

use super::block::{Block, one_of};
use super::located::Complaints;
use super::paths::from_folder;
use super::rules::OnFailure;

/// Longer, nobody types it.
const LONGEST: usize = 300;

/// Whether it is held, or goes back.
pub(super) fn on_failure(block: &Block<'_>, complaints: &mut Complaints) -> OnFailure {
    let words = [("hold", OnFailure::Hold), ("rollback", OnFailure::Rollback)];
    let written = block.text("on_failure", complaints);
    written.and_then(|written| one_of(written, "on_failure", &words, complaints)).unwrap_or_default()
}

/// A file of the repository, or an address. People read it in comments and terminals: it is one plain word.
pub(super) fn runbook(block: &Block<'_>, complaints: &mut Complaints) -> Option<String> {
    let (written, at) = block.text("runbook", complaints)?;
    let is_plain = written.chars().all(|c| c.is_ascii_alphanumeric() || "-._~/%+=?&#:,@".contains(c));
    let is_address = written.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.contains('@'));
    let is_file = !written.contains(':') && from_folder("", written).is_ok();
    if is_plain && written.len() <= LONGEST && (is_address || is_file) {
        return Some(written.to_owned());
    }
    let advice = "write a file of the repository (`docs/runbooks/shop.md`), or an address that begins with `https://`";
    complaints.add(at, format!("`{}` is no runbook", written.escape_debug()), advice);
    None
}
