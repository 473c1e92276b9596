//! Which keys open what an environment keeps sealed: those of the grant that reaches it, and no repository's word.

use crate::ids::{ObjectKey, Target};
use crate::policy::rules::Platform;

/// Why an environment cannot have its sealed Secrets opened.
pub(in crate::jobs) fn keyless(grant: &str) -> String {
    format!(
        "it is sealed, and grant `{grant}` names no keys: name some with its key `secrets`, and where they are in `[secrets.NAME]`"
    )
}

/// The name of the environment's keys.
///
/// # Errors
/// Why it has none, with what to do.
pub(in crate::jobs) fn keys_of<'k>(
    platform: &Platform,
    repository: &str,
    target: &Target,
    objects: impl Iterator<Item = &'k ObjectKey> + Clone,
) -> Result<String, String> {
    let Some((granted, _)) = platform.grant_meant(repository, target, objects) else {
        return Err("no grant of the server reaches it".to_owned());
    };
    granted.grant.secrets.clone().ok_or_else(|| keyless(granted.name))
}
