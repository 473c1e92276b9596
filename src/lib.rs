//! Bascule: a server between pull requests and deployments.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr))]

pub mod app;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod consent;
pub mod db;
pub mod event;
pub mod forge;
pub mod git;
pub mod ids;
pub mod jobs;
pub mod local;
pub mod manifest;
pub mod policy;
pub mod preview;
pub mod queue;
pub mod render;
pub mod sync;
pub mod webhook;
