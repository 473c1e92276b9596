//! What we remember, in PostgreSQL: the pool, the schema's version, the roles, and one file per family of tables.
//! There is no SQL elsewhere but in `queue` and `audit`.
//!
//! Functions of a family take `&mut PgConnection` where they belong into a caller's transaction and `&PgPool` where
//! they stand alone; they return [`sqlx::Error`], which a job turns into a [`DbError`] to learn its fate. Deliberately
//! absent: a repository object, an ORM, and any statement that alters the audit log (its rows are written in `audit`).

pub mod budgets;
pub mod embedded;
pub mod error;
pub mod migrate;
pub mod pool;
pub mod restored;
pub mod roles;
pub mod seal;
pub mod sets;
pub mod soaks;
pub mod swept;

pub mod act_answers;
pub mod adoptions;
pub mod approvals;
pub mod charts;
pub mod check_runs;
pub mod clusters;
pub mod comment_edits;
pub mod deliveries;
pub mod deployed;
pub mod deployments;
pub mod deploys;
pub mod destructions;
pub mod drift;
pub mod drift_issues;
pub mod emergencies;
pub mod environments;
pub mod freezes;
pub mod holds;
pub mod hook_runs;
pub mod installation;
pub mod inventory;
pub mod merge_groups;
pub mod our_pulls;
pub mod ourselves;
pub mod pins;
pub mod previews;
pub mod pulls;
pub mod pushes;
pub mod redeliveries;
pub mod renders;
pub mod reports;
pub mod repositories;
pub mod reverts;
pub mod rollbacks;
pub mod sessions;
pub mod tokens;
pub mod told_deployments;
pub mod verifications;
pub mod watches;

pub use error::{DbError, Fate, is_away, retrying};
pub use migrate::{Schema, SchemaError};
pub use pool::{ConnectError, connect};
