//! The tests that need more than one module: cases as data, stories, and the house's own rules.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod abandoned;
mod api;
mod architecture;
mod cases;
mod check_live;
mod clone;
mod cluster;
mod commands;
mod config;
mod connect;
mod consent_model;
mod containers;
mod day;
mod deploy;
mod door;
mod embedded;
mod ends;
mod fake;
mod fates;
mod foresee;
mod forge;
mod forge_contract;
mod github;
mod gitlab;
mod host;
mod local;
mod manifest;
mod not_yet;
mod pages;
#[path = "../parts/mod.rs"]
mod parts;
mod plane;
mod policy;
mod proof;
mod queue;
mod quiet;
mod reading;
mod reload;
mod retention;
mod roles;
mod schema;
mod stories;
mod support;
mod sync;
mod tools;
