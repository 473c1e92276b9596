//! What we remember, in PostgreSQL: one file per table family, and no SQL elsewhere but in `queue` and `audit`.

pub mod approvals;
pub mod environments;
pub mod holds;
pub mod previews;
pub mod pulls;
pub mod pushes;
pub mod renders;
pub mod repositories;
