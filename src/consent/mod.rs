//! Consent: what a change is, what an approval is, what voids it, and which commits are covered. Pure and total: the
//! same facts give the same verdict on every server, and no clock, order of arrival or database is part of it.
//!
//! A *set* is what an environment's path gives at one commit; a *change* is the difference between two sets; an
//! approval consents to one change. Nothing here ever compares whole approvals with whole commits: a commit may be
//! deployed when its set is the set that runs, plus approved changes.
//!
//! ```text
//! Given + Shown → bind → Approval ─→ voids → Recorded ─┐
//!                        contributors, people ─────────┼→ judge → Verdict → explain
//!                        required (rules, floors) ─────┘     ↑
//!                     Position + Steps + Hold ──────────→  walk  → Walk → destination
//! ```
//!
//! Callers gather facts and record outcomes. Three of them are theirs alone: lists must be whole (what is not in them
//! is not there), a void once found is stored at once, and a sync starts only under [`Reading::may_start`].

pub mod approval;
pub mod bind;
pub mod branch;
#[cfg(test)]
mod cast;
pub mod change;
pub mod checks;
pub mod contributors;
pub mod emergency;
mod encode;
pub mod explain;
pub mod gate;
pub mod ground;
pub mod judge;
pub mod origin;
pub mod passage;
pub mod people;
pub mod pin;
pub mod policies;
#[cfg(test)]
mod policies_tests;
pub mod pushes;
pub mod required;
pub mod void;
pub mod waiver;
pub mod walk;
#[cfg(test)]
mod walk_tests;

pub use approval::{Approval, ApprovalKey, Given, Place, Recorded, Shown, ShownAs, State, Text, Wanted};
pub use bind::{WhyNot, bind, line_to_type};
pub use branch::{Court, Hold, Made, Merged, Offer, Position, Step};
pub use change::{Altered, Change, HashedSet};
pub use checks::{Awaited, BY_A_RE_RUN, BY_ITSELF, Check, Light, Reported, awaited};
pub use contributors::{Brings, Contributed, Contributors, Push, Written};
pub use emergency::{enough, stops};
pub use explain::explain;
pub use gate::{Before, Destination, Reading, Stale, WaitsFor, destination, to_ask};
pub use ground::{Ground, Why};
pub use judge::{Case, Discount, NotCounted, RuleVerdict, Verdict, judge};
pub use origin::Origin;
pub use passage::Passage;
pub use people::{Answer, Identities, Kind, People, Person, Right, Standing};
pub use pin::{Content, Named, NoWayBack, Running, Taken, put_back, same_objects};
pub use policies::{Said, Standing as StandingPolicy, policies_in_force};
pub use pushes::{Brought, FoundAt, Own, Told, brought, every_push, gaps, leads};
pub use required::{Becomes, InForce, Law, Required, Requirements, Size, Subject, required, voters};
pub use void::{Look, Now, Objection, Revocation, SourceNow, VoidReason, voids};
pub use waiver::{Denial, Waiver};
pub use walk::{Covered, Held, Walk, walk};
