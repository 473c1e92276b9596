//! The world on the wire: what the middle circle of tests talks to with the real clients.

pub(crate) mod forge;
pub(crate) mod prometheus;
mod published;
pub(crate) mod registry;
mod signed;
