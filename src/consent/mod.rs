//! Consent: what a change is, what an approval is, what voids it, and which commits are covered. Pure and total: the
//! same facts give the same verdict on every server, and no clock, order of arrival or database is part of it.
//!
//! A *set* is what an environment's path gives at one commit; a *change* is the difference between two sets; an
//! approval consents to one change. Nothing here ever compares whole approvals with whole commits: a commit may be
//! deployed when its set is the set that runs, plus approved changes.

pub mod change;
mod encode;

pub use change::{Altered, Change, HashedSet};
