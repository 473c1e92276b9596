//! Bascule: a server between pull requests and deployments.
//!
//! A delivery comes in at the [`webhook`] door and becomes an [`event`]; events and sweeps cause [`jobs`], which wait in
//! the [`queue`]. A job gathers from the world ([`git`], [`render`], [`forge`], [`registry`], [`cluster`]), decides by the thinking
//! ([`policy`], [`manifest`], [`preview`], [`consent`], [`sync`]), acts, and records what it did ([`db`], [`audit`]). The
//! [`app`] is where everything meets; [`cli`] and [`local`] are for people at a terminal.
//!
//! Who may use whom is a table in `tests/it/architecture.rs`; why, in ARCHITECTURE.md.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr))]

// For people at a terminal, and before anything runs.
pub mod cli;
pub mod local;

pub mod config;
pub mod telemetry;

pub mod clock;
pub mod ids;

// The door, and the windows.
pub mod web;
pub mod webhook;

// What happened.
pub mod event;

// What to do about it.
pub mod jobs;
pub mod queue;

// The thinking: pure, no async, no I/O, no clock.
pub mod policy;

pub mod manifest;
pub mod preview;

pub mod consent;
pub mod sync;

// The world.
pub mod git;
pub mod render;

pub mod forge;
pub mod prometheus;
pub mod registry;

pub mod cluster;

// What we remember.
pub mod db;

pub mod audit;

// The only place where everything meets.
pub mod app;
