//! What works without a server, in a clone of a repository.

pub mod check;
pub mod check_policies;
pub mod diff;
pub mod init;
pub mod judge;
mod owner_file;
pub mod report;
pub mod schemas;
mod survey;
