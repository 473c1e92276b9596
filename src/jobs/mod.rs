//! What to do about what happened: one file per job, and this table of contents.
//!
//! | job | key | does |
//! |---|---|---|
//! | `attend_pull` | repository, number | previews a pull request (or shows a held change in an issue of ours), hears who consents, says so |
//! | `follow_branch` | repository, branch | finds the environments a branch moved, and the pull requests it changes the base of |
//! | `sync_environment` | environment | judges the gate, and brings the environment to its newest covered content |
//! | `sweep_repository` | repository | compares our memory of pull requests and branches with the forge |

mod route;
pub mod sync_environment;

pub use route::{attend_pull, follow_branch, route, sweep_repository, sync_environment};
