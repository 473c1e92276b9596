//! Workers that die, stand still, or lose their connection, in processes of their own.

/// A worker.
pub(crate) fn child(_arguments: &[String]) {}
