//! Sync, the thinking part: what to send, what to leave, what to delete, what healthy means. Pure.
//!
//! ```text
//!   the stored set ─┐
//!   the inventory ──┼─> plan ─> creates, updates, adoptions, unchanged, prunes, and what may not be touched
//!   the live facts ─┘     │
//!                         └─ nothing is deleted without proof: complete set, our inventory, our uid, absent from the set
//!   answers of the cluster ─> fields (hash of what is ours) ─> the next plan sends nothing unchanged
//!   live objects ─> health ─> outcome
//! ```
//!
//! Nothing here knows HTTP or SQL: `cluster` brings the live facts, `db` the inventory, and the job
//! `sync_environment` walks through the [`Step`]s.

pub mod adopt;
pub mod drift;
pub mod explain;
pub mod fence;
pub mod fields;
pub mod fold;
pub mod health;
mod hold;
mod line;
mod orphan;
mod outcome;
mod owner;
mod pace;
mod plan;
mod step;
pub mod verify;

pub use health::Health;
pub use hold::{HoldReason, Relief};
pub use line::Line;
pub use orphan::Orphan;
pub use outcome::{Explained, Failure, FieldConflict, Kept, Outcome, State, Troubled, Unverified};
pub use owner::Owner;
pub use pace::Pace;
pub use plan::{
    Action, Blocked, Desired, Live, Plan, Prune, PruneRule, Pruning, Recorded, Round, Seen, Why, plan, prune, suspects,
};
pub use step::Step;

/// The one field manager of every write (invariant 7).
pub const FIELD_MANAGER: &str = "bascule";
/// The annotation that says of a hook's object which run of it it is.
pub const HOOK_RUN_ANNOTATION: &str = "bascule.dev/hook-run";
/// The annotation that names the environment an object belongs to; read before the first write.
pub const OWNER_ANNOTATION: &str = "bascule.dev/environment";
/// The annotation or label that, with the value `never`, keeps an object from being pruned.
pub const PRUNE_ANNOTATION: &str = "bascule.dev/prune";
