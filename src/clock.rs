//! Time and randomness as arguments: the only place that reads the system's clock or its random source.
//!
//! A test holds a [`Clock::manual`] and moves it; nothing in the product knows the difference.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use uuid::Uuid;

/// Where "now" and new ids come from. Cheap to clone; clones of a manual clock move together.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Milliseconds since 1970.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `start` until it is moved.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.as_millisecond()))))
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "the one place that reads the system clock")]
            Source::System => Timestamp::now(),
            Source::Manual(at) => Timestamp::from_millisecond(at.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX),
        }
    }

    /// Moves a manual clock forward; the system's clock does not move for us.
    pub fn advance(&self, by: jiff::SignedDuration) {
        if let Source::Manual(at) = &self.0 {
            let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
            at.fetch_add(millis, Ordering::SeqCst);
        }
    }

    /// A new time-ordered id (UUID version 7).
    pub fn new_id(&self) -> Uuid {
        let now = self.now();
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
        Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos))
    }
}
