//! What is shown on a forge: the preview of a pull request, the change an environment is held at, the statuses.
//!
//! `open` and `held` find out what there is to show (`judged`: what a merge would change, and who consents), `rows` puts it as the page wants it, `placed` finds its lines in the files, `speak` says it in the one comment
//! and the statuses, `abreast` lets environments be looked at side by side, `progress` how far it is while there are many environments, and `writer` is the one hand that writes on a forge.

mod abreast;
pub(super) mod held;
pub(super) mod judged;
pub(super) mod open;
mod placed;
pub(super) mod progress;
pub(super) mod rows;
pub(super) mod speak;
pub(super) mod writer;
