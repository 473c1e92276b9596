//! What works without a server, in a clone of a repository.

pub mod check;
pub mod diff;
pub mod init;
mod owner_file;
pub mod report;
mod survey;
