//! The pauses a forge asks for: no call is sent before one is over.

use jiff::{SignedDuration, Timestamp};

use super::{Call, Http};
use crate::forge::error::{Fate, Result};

/// After "too many requests" without a time: what GitHub asks for, and polite elsewhere.
pub(super) const PAUSE: SignedDuration = SignedDuration::from_mins(1);
/// A forge that asks for more is not believed: the work is tried again by then.
pub(super) const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// The pause a forge asked for.
#[derive(Debug, Default)]
pub(super) struct Paused {
    /// No call before this.
    until: Option<Timestamp>,
    /// Refusals without a time since the last good answer: each doubles the pause.
    untimed: u32,
}

impl Http {
    fn paused(&self) -> std::sync::MutexGuard<'_, Paused> {
        self.paused.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// After a good answer, the next pause without a time is a short one again.
    pub(super) fn goes_well(&self) {
        self.paused().untimed = 0;
    }

    /// Remembers that the forge wants no call for a while; where it does not say for how long, a minute at first.
    pub(super) fn pause(&self, asked: Option<SignedDuration>) -> Fate {
        let mut paused = self.paused();
        let pause = asked.unwrap_or_else(|| {
            let doubled = PAUSE * 2_i32.pow(paused.untimed.min(6));
            paused.untimed = paused.untimed.saturating_add(1);
            doubled
        });
        let pause = pause.clamp(SignedDuration::from_secs(1), LONGEST_PAUSE);
        let until = self.clock.now().checked_add(pause).ok();
        paused.until = paused.until.max(until);
        Fate::Retry { after: Some(pause.unsigned_abs()) }
    }

    pub(super) fn respect_pause(&self, call: &Call<'_>) -> Result<()> {
        let until = self.paused().until;
        let left = until.map(|until| until.duration_since(self.clock.now())).filter(SignedDuration::is_positive);
        match left {
            None => Ok(()),
            Some(left) => Err(self.error(
                Fate::Retry { after: Some(left.unsigned_abs()) },
                None,
                format!("asked for a pause that is not over ({} was not sent)", self.place(call)),
            )),
        }
    }
}
