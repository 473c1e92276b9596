//! The right to write outside, as a value: a job's lease, and the permit a write is preceded by (invariant 7).
//!
//! The database says until when a job is ours; asking it before every write would be slow and would not help, as the
//! answer is old when it arrives. So the holder keeps the end on its own monotonic clock, counted from *before* the
//! request that renewed it was sent: the database counted from later, so our end is never after the database's.
//!
//! What this rests on, and it is written here because it cannot be checked: the two clocks run at about the same
//! *rate* (a margin of seconds forgives far more than any crystal is wrong; clock *steps* do not matter at all), and
//! the monotonic clock goes on while the process is stopped. It does for SIGSTOP and for a paused container; a machine
//! that is suspended to RAM stops it, so servers do not belong on machines that sleep.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Verdict;
use super::room::{Rest, Room};

/// The job belongs, or may by now belong, to somebody else: write nothing, record nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the job's lease is lost: another worker may hold it")]
pub struct LeaseLost;

/// A holder's claim on a running job, renewed behind its back by the worker. Clones are the same lease.
#[derive(Debug, Clone)]
pub struct Lease {
    fence: i64,
    until: Arc<Mutex<Instant>>,
    lost: CancellationToken,
    stopping: CancellationToken,
    room: Arc<Room>,
}

/// Shown to whoever writes outside: made by [`Lease::check`], spent by the write it was made for.
#[derive(Debug)]
#[must_use = "a permit is for one write; without one, check was for nothing"]
pub struct Permit {
    fence: i64,
    until: Instant,
}

impl Permit {
    /// The number by which a later holder is told from an earlier one.
    pub fn fence(&self) -> i64 {
        self.fence
    }

    /// How long the job is still surely ours: the write's own time limit must be shorter.
    pub fn time_left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

impl Lease {
    /// A lease of `term` that was asked for at `asked` (before the request was sent), of a worker that is told to stop
    /// by `stopping`.
    pub fn new(fence: i64, asked: Instant, term: Duration, stopping: CancellationToken) -> Self {
        let until = Arc::new(Mutex::new(asked + term));
        Self { fence, until, lost: CancellationToken::new(), stopping, room: Arc::default() }
    }

    /// The same, of a job in this lane.
    pub(super) fn within(self, room: Arc<Room>) -> Self {
        Self { room, ..self }
    }

    /// For waiting that may be long and is no work: while the value lives, another job may have the slot. The lease is renewed
    /// as ever.
    pub fn rests(&self) -> Rest {
        self.room.rest()
    }

    /// The number by which a later holder is told from an earlier one.
    pub fn fence(&self) -> i64 {
        self.fence
    }

    /// Before every write outside: whether the job will still be ours `margin` from now, which must exceed the write's
    /// own time limit. Costs no request.
    ///
    /// # Errors
    /// [`LeaseLost`] when it will not, or is not any more.
    pub fn check(&self, margin: Duration) -> Result<Permit, LeaseLost> {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if self.lost.is_cancelled() || Instant::now() + margin >= until {
            return Err(LeaseLost);
        }
        Ok(Permit { fence: self.fence, until })
    }

    /// Completes when the worker has been told to stop: a job that is at a safe point then snoozes for zero seconds,
    /// and another worker goes on.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Runs `work` that may be dropped wherever it waits; when the worker is told to stop it is, and the job is handed
    /// back at once.
    pub async fn unless_stopping(&self, work: impl Future<Output = Verdict>) -> Verdict {
        tokio::select! {
            biased;
            verdict = work => verdict,
            () = self.stopping() => Verdict::Snooze { wait: Duration::ZERO },
        }
    }

    /// Whether the worker has been told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// The renewal asked for at `asked` was granted.
    pub(super) fn renewed(&self, asked: Instant, term: Duration) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = asked + term;
    }

    /// Somebody else has it.
    pub(super) fn lose(&self) {
        self.lost.cancel();
    }

    /// Completes when somebody else has it.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Duration = Duration::from_secs(15);

    fn asked_ago(seconds: u64) -> Lease {
        let asked = Instant::now() - Duration::from_secs(seconds);
        Lease::new(7, asked, TERM, CancellationToken::new())
    }

    #[test]
    fn a_permit_is_given_while_the_margin_fits_and_never_after() {
        let margin = Duration::from_secs(5);
        assert_eq!(asked_ago(0).check(margin).map(|permit| permit.fence()).ok(), Some(7));
        assert_eq!(asked_ago(11).check(margin).err(), Some(LeaseLost), "at most 4 s are left");
        assert_eq!(asked_ago(20).check(Duration::ZERO).err(), Some(LeaseLost), "stopped past its lease");
    }

    #[test]
    fn a_renewal_counts_from_before_the_request_and_a_loss_is_final() {
        let lease = asked_ago(11);
        lease.renewed(Instant::now() - Duration::from_secs(2), TERM);
        let left = lease.check(Duration::from_secs(5)).unwrap().time_left();
        assert!(left <= Duration::from_secs(13), "{left:?}");
        lease.lose();
        lease.renewed(Instant::now(), TERM);
        assert_eq!(lease.check(Duration::ZERO).err(), Some(LeaseLost));
    }
}
