//! The door: what forges deliver.

pub mod gitea;
