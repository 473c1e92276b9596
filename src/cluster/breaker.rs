//! A cluster that does not answer is left alone for a while, so that those who wait for it do not take the time of those who
//! want another.
//!
//! Five requests in a row that waited for nothing open it; then one is let through every so often, and the first answer, whatever
//! it says, closes it. To be refused at once takes nobody's time, and counts as an answer. A write that takes too long counts for
//! nothing: it may hang at somebody's webhook, which is one kind's trouble and not the cluster's.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::ClusterError;

/// Unanswered requests in a row until it is left alone: a restart of an API server behind a balancer costs fewer.
const PATIENCE: u32 = 5;
/// For how long at first; doubled each time nobody answers, …
const FIRST: Duration = Duration::from_secs(2);
/// … up to this: a job that found it away comes again after 30 s, and then has somebody asked.
const LONGEST: Duration = Duration::from_secs(20);
/// What waited less took nobody's time.
const COSTLY: Duration = Duration::from_secs(1);
/// How long the one that is let through may take before another is.
const TRIAL: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    unanswered: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    pause: Duration,
    why: String,
}

/// A request that may be sent.
#[derive(Debug)]
pub(super) struct Leave {
    /// Its end decides whether others may follow.
    is_trial: bool,
    since: Instant,
}

impl Breaker {
    /// Before a request.
    ///
    /// # Errors
    /// [`ClusterError::Unreachable`], with what the last one that was sent met, word for word: people are told it, and are not to be
    /// told something new each time.
    pub(super) fn ask(&self, now: Instant) -> Result<Leave, ClusterError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = &mut state.open else { return Ok(Leave { is_trial: false, since: now }) };
        if now < open.until {
            return Err(ClusterError::Unreachable(open.why.clone()));
        }
        open.until = now + TRIAL;
        Ok(Leave { is_trial: true, since: now })
    }

    /// Somebody answered.
    pub(super) fn answered(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.open.is_some() {
            tracing::info!("a cluster that was left alone answers again");
        }
        *state = State::default();
    }

    /// Nobody answered.
    pub(super) fn unanswered(&self, leave: &Leave, why: &str, now: Instant) {
        if now.saturating_duration_since(leave.since) < COSTLY {
            return self.answered();
        }
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.unanswered = state.unanswered.saturating_add(1);
        let pause = match &state.open {
            Some(open) if leave.is_trial => (open.pause * 2).min(LONGEST),
            // One that was on its way when others found out.
            Some(_) => return,
            None if state.unanswered < PATIENCE => return,
            None => FIRST,
        };
        tracing::warn!(error = why, pause_seconds = pause.as_secs(), "a cluster does not answer, and is left alone");
        state.open = Some(Open { until: now + pause, pause, why: why.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent(breaker: &Breaker, now: Instant) -> bool {
        breaker.ask(now).map(|leave| breaker.unanswered(&leave, "no answer within 30 s", now + COSTLY)).is_ok()
    }

    #[tokio::test]
    async fn it_is_left_alone_for_longer_each_time_and_the_first_answer_ends_that() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let sent = (0..20).filter(|_| silent(&breaker, start)).count();
        assert_eq!(sent, 5);
        let error = breaker.ask(after(2)).unwrap_err();
        assert_eq!(error.to_string(), "the cluster cannot be reached: no answer within 30 s");
        // One is let through, whatever the number of those who ask.
        let sent = (0..20).filter(|_| silent(&breaker, after(3))).count();
        assert_eq!(sent, 1);
        assert!(!silent(&breaker, after(7)), "4 s this time, since it ended");
        assert!(silent(&breaker, after(8)));
        let leave = breaker.ask(after(100)).unwrap();
        assert!(leave.is_trial);
        assert!(breaker.ask(after(101)).is_err(), "while it is on its way");
        breaker.answered();
        assert_eq!((0..20).filter(|_| silent(&breaker, after(101))).count(), 5);
    }

    #[tokio::test]
    async fn those_who_were_on_their_way_prolong_nothing_and_an_answer_between_makes_five_of_a_row_none() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        let flying: Vec<_> = (0..16).map(|_| breaker.ask(now).unwrap()).collect();
        for leave in &flying {
            breaker.unanswered(leave, "reset", now + COSTLY);
        }
        assert!(breaker.ask(now + COSTLY + FIRST).is_ok());
        let breaker = Breaker::default();
        for _ in 0..4 {
            assert!(silent(&breaker, now));
        }
        breaker.answered();
        assert_eq!((0..20).filter(|_| silent(&breaker, now)).count(), 5);
    }

    #[tokio::test]
    async fn one_that_was_let_through_and_never_came_back_keeps_nobody_out_for_good() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        while silent(&breaker, now) {}
        let then = now + COSTLY + FIRST;
        assert!(breaker.ask(then).is_ok());
        assert!(breaker.ask(then + Duration::from_secs(1)).is_err());
        assert!(breaker.ask(then + TRIAL).is_ok());
    }

    #[tokio::test]
    async fn one_that_refuses_at_once_is_asked_as_often_as_anybody_likes() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        let refused = |_: &u32| breaker.ask(now).map(|leave| breaker.unanswered(&leave, "refused", now)).is_ok();
        assert_eq!((0..20).filter(refused).count(), 20);
        while silent(&breaker, now) {}
        let then = now + COSTLY + FIRST;
        let trial = breaker.ask(then).unwrap();
        breaker.unanswered(&trial, "refused", then);
        assert!(breaker.ask(then).is_ok_and(|leave| !leave.is_trial));
    }
}
