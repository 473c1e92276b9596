//! Work that outlives a process. Knows no job: a job is a kind, a key, and ids.
//!
//! ```text
//!   enqueue ──► pending ──claim──► running ──done──► (gone)
//!                ▲  ▲                │ │ │
//!                │  └─retry, snooze──┘ │ └─fail, 12 attempts──► failed ──jobs retry──► pending
//!                └───lease ran out─────┘    (5 dead workers too)
//! ```
//!
//! What a job depends on may be away for a day, not let us in until a person changes that, or take no more for now: *later*,
//! *refused* and *no room*, the same arrow as a retry, and count as no attempt.
//!
//! - Enqueueing is part of the caller's transaction ([`enqueue()`]); of one kind and key at most one job is pending and
//!   one is running, so that any number of events becomes one more look at the truth.
//! - A claim is short and the work runs unlocked, under a [`Lease`] by the database's clock. Every claim carries a
//!   higher *fence* than the one before; a job ends only under its own.
//! - [`Source`] is what a worker needs of a queue: the database ([`PgSource`]).
//! - [`worker::run`] gives each [`Lane`] slots of its own, so that no number of previews delays a sync. A job that only waits
//!   says so ([`Lease::rests`]), and leaves its slot to another.
//!
//! Deliberately absent: a history of finished jobs (the audit log is the record, metrics are the count), priorities
//! within a lane, and periodic jobs (a sweep enqueues itself).

mod bell;
mod claim;
mod enqueue;
mod lease;
mod measure;
mod operate;
mod room;
mod settle;
mod walk;
pub mod worker;

use std::time::Duration;

use serde_json::Value;

use crate::ids::TraceId;

pub use bell::Bell;
pub use claim::{PgSource, Renewal, Source, SourceError};
pub use enqueue::{enqueue, enqueue_all};
pub use lease::{Lease, LeaseLost, Permit};
pub use measure::{Depth, Waiting, age, depths, measure, waiting};
pub use operate::{Job, State, hurry_refused, is_to_run, is_waiting, list, list_of, retry, show};
pub use room::Rest;
pub use settle::{Unsettled, amend, confirm, finish};

/// Which workers a job waits for. Lanes never wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Syncs: what is consented to goes out at once.
    Sync,
    /// Events and previews.
    Default,
    /// Comparisons of our memory with the world.
    Sweep,
}

impl Lane {
    /// All of them, most urgent first.
    pub const ALL: [Self; 3] = [Self::Sync, Self::Default, Self::Sweep];

    /// As stored, and as the metrics' label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Default => "default",
            Self::Sweep => "sweep",
        }
    }
}

/// What to do, for [`enqueue()`].
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Which job; the name of its file in `jobs/`.
    pub kind: String,
    /// What it is about. Of one kind and key at most one job is pending and one runs.
    pub key: String,
    /// Which workers it waits for.
    pub lane: Lane,
    /// Whose share of the lane it takes (the repository). Shares are served in turn, so one that sends ten thousand
    /// jobs delays the others by one job each.
    pub share: String,
    /// Ids only: the job reads the truth when it runs.
    pub payload: Value,
    /// The trace it belongs to.
    pub trace: TraceId,
    /// Not before this long from now, by the database's clock.
    pub run_after: Duration,
}

/// A job that is ours to run until its lease ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The row.
    pub id: i64,
    /// Which job.
    pub kind: String,
    /// What it is about.
    pub key: String,
    /// Which workers it waited for.
    pub lane: Lane,
    /// Ids.
    pub payload: Value,
    /// The trace it belongs to.
    pub trace: TraceId,
    /// The how-manieth try this is, from 1.
    pub attempt: i32,
    /// Higher than that of every holder before.
    pub fence: i64,
}

impl Claimed {
    /// Whether this verdict is its last: nobody runs it again unless somebody asks for that.
    pub fn ends_for_good(&self, verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Fail { .. } => true,
            Verdict::Retry { .. } => settle::is_last(self),
            Verdict::Done
            | Verdict::Snooze { .. }
            | Verdict::NoRoom { .. }
            | Verdict::Later { .. }
            | Verdict::Refused { .. } => false,
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Done. A job that recorded something has called [`finish`] in that transaction; here it is a second look.
    Done,
    /// It failed in a way that may pass: again after a stored, growing, jittered delay; for good after 12 tries.
    Retry {
        /// For people: what failed.
        error: String,
    },
    /// Nothing failed; not now. Counts as no attempt. Zero hands the job back at once (a server that stops).
    Snooze {
        /// How long from now, by the database's clock.
        wait: Duration,
    },
    /// Something it depends on takes no more for now. Counts as no attempt; of those that wait for one moment, the newest
    /// comes first.
    NoRoom {
        /// How long from now, by the database's clock.
        wait: Duration,
        /// What there is no room in: a forge's name.
        of: String,
        /// For people: what there is no room for.
        error: String,
    },
    /// Something it depends on is away. Counts as no attempt, however often: again after a stored, jittered wait that
    /// grows to five minutes.
    Later {
        /// For people: what is away.
        error: String,
    },
    /// Something it depends on does not let us in, which only a person can change. Counts as no attempt, however often:
    /// again after a stored, jittered wait that grows to an hour, and listed as refused until then.
    Refused {
        /// For people: what refuses what, and what would lift it.
        error: String,
    },
    /// It will never work; kept as failed until somebody retries it.
    Fail {
        /// For people: what failed.
        error: String,
    },
}
