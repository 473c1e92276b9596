//! What stories start from.

pub(crate) mod database;
