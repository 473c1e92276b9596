//! GitHub's tongue, written from its published description (`@octokit/openapi`, GitHub Enterprise Server 3.19) and its
//! published deliveries (`@octokit/webhooks-examples`), not from what our client reads. `tests/it/fake/published.rs`
//! holds every answer against the description.
//!
//! What the description does not say, and this fake does as the real one:
//! - a repository that has another name by now answers 301 to `/repositories/{id}`, below which every call works;
//! - the list of issues has the pull requests in it;
//! - `base.sha` of a pull request is the base's commit of when the pull request itself moved last, not its tip;
//! - `merge_commit_sha` of one that is not merged is a trial merge, of which nobody should think anything;
//! - nothing is above `/api/v3` without a token, and what a token may not see is not there.

mod answer;
mod app;
mod checks;
mod deliveries;
mod deployments;
mod hook;
mod issues;
mod link;
mod page;
mod people;
mod pulls;
mod repositories;
mod said;
mod timeline;
mod wire;

pub(super) use self::answer::{answer, pusher};
pub(crate) use self::app::App;
pub(super) use self::hook::{headers, told};
pub(super) use self::wire::{refusal, too_many, used_up};
