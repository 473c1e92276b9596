//! Gitea's and Forgejo's tongue, as `forge_contract.rs` hears the real one speak.

mod answer;
mod hook;
mod page;
mod published;
mod wire;

pub(super) use self::answer::answer;
pub(super) use self::hook::{headers, told};
pub(super) use self::wire::refusal;
