//! What stories start from.

pub(crate) mod child;
pub(crate) mod database;
pub(crate) mod front;
pub(crate) mod random;
pub(crate) mod recorder;
pub(crate) mod script;
pub(crate) mod server;
pub(crate) mod shop;
