//! A pull request or an issue as its forge writes it: where both are counted apart, our numbers of issues are negative, and
//! nobody reads that.

use super::State;
use crate::ids::{ForgeName, Iid};
use crate::webhook::signature::Kind;

/// `#5`, or on GitLab `!5` for a merge request and `#5` for an issue.
pub(super) fn written(state: &State, forge: &str, number: i64) -> String {
    let kind = forge.parse::<ForgeName>().ok().and_then(|forge| state.endpoints.kind(&forge));
    match kind {
        Some(Kind::GitLab) => Iid::of(number).to_string(),
        // Of a forge that is not configured any more, a negative number tells its kind.
        None if number < 0 => Iid::of(number).to_string(),
        Some(Kind::Gitea | Kind::Forgejo | Kind::GitHub) | None => format!("#{number}"),
    }
}
