//! The rules: `.bascule.yaml`, floors, grants, patterns. Pure; knows only the words of `ids`.
//!
//! ```text
//! text → document (tree with places) → repository (blocks) → expand(folders) → rules::Environment …
//!                                                     rules::Platform → reach: grants, floors ↗
//! ```

pub mod rules;

pub mod repository;

pub mod expand;
pub mod reach;

pub mod after;
pub mod approvals;
pub mod block;
pub mod chart;
pub mod code;
pub mod codeowners;
pub mod document;
pub mod environment;
mod failure;
pub mod globs;
pub mod health;
pub mod ignore;
pub mod located;
pub mod on_drift;
pub mod paths;
pub mod pattern;
pub mod platform;
pub mod policies;
pub mod verify;
pub mod windows;

pub use codeowners::{Dialect, OwnerFile};
pub use expand::Expanded;
pub use globs::{kind_matches, name_matches, path_matches, repository_matches};
pub use ignore::{Ignore, Noise};
pub use located::{Located, Place};
pub use reach::{Granted, Outside};
pub use repository::{FILE_NAME, RepositoryFile};
