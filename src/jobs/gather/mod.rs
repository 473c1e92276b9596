//! What several jobs gather alike, from the database, Git, the forge and the cluster.
//!
//! | file | finds out |
//! |---|---|
//! | `repository` | whether a repository is one of ours, under which grants, by which account: everything else begins with it |
//! | `tips`, `size` | where branches are now; how much lies between two commits |
//! | `pull`, `pushes` | what is stored of a pull request; who pushed what, and what only the forge's lists tell of it |
//! | `contents` | what environments render to at a commit |
//! | `memory` | what was found out of trees before |
//! | `touched`, `claims` | which environments a pull request changes; which of its objects are somebody else's |
//! | `live` | what a cluster has of a first set |
//! | `there`, `baselines` | what is in a cluster of a set; what it says beside a change |
//! | `lists` | what environments of one preview look at together |
//! | `checks` | what statuses and checks say of a commit |
//! | `people`, `whose`, `place` | who is who, who made what, who said what |
//! | `policies` | what the policies in force say of a step from one set to another |
//! | `court`, `branch` | who judges an environment; the walk of consent over its branch |

pub(super) mod baselines;
pub(super) mod branch;
pub(super) mod checks;
pub(super) mod claims;
pub(super) mod contents;
pub(super) mod court;
pub(super) mod lists;
pub(super) mod live;
pub(in crate::jobs) mod memory;
pub(super) mod opened;
pub(super) mod people;
pub(super) mod place;
pub(super) mod policies;
pub(super) mod pull;
pub(super) mod pushes;
pub(super) mod repository;
pub(super) mod size;
pub(super) mod there;
pub(super) mod tips;
pub(super) mod touched;
pub(super) mod whose;
