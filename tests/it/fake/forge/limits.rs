//! Limits that are enforced as GitHub does its secondary ones: by the last minute and the last hour, told of by refusing alone.

use axum::body::Body;
use axum::http::Response;
use bascule::clock::Clock;
use jiff::{SignedDuration, Timestamp};

use super::FakeForge;
use super::state::State;

/// How long after a refusal nothing is to be asked.
const PAUSE: SignedDuration = SignedDuration::from_mins(1);

/// What is let in.
pub(super) struct Enforced {
    clock: Clock,
    points_a_minute: u32,
    creations_a_minute: u32,
    creations_an_hour: u32,
    /// When, and points and creations.
    let_in: Vec<(Timestamp, u32, u32)>,
    refused_at: Option<Timestamp>,
    refusals: usize,
    too_soon: usize,
}

impl FakeForge {
    /// From now on no more is let in than this, by this clock: points a minute, creations a minute and an hour.
    pub(crate) fn enforces(&self, clock: &Clock, [points_a_minute, creations_a_minute, creations_an_hour]: [u32; 3]) {
        self.world.state().enforced = Some(Enforced {
            clock: clock.clone(),
            points_a_minute,
            creations_a_minute,
            creations_an_hour,
            let_in: Vec::new(),
            refused_at: None,
            refusals: 0,
            too_soon: 0,
        });
    }

    /// Calls over a limit, and calls within the minute after one.
    pub(crate) fn refusals(&self) -> (usize, usize) {
        let state = self.world.state();
        let enforced = state.enforced.as_ref().unwrap();
        (enforced.refusals, enforced.too_soon)
    }
}

/// A refusal, where a call is one too many.
pub(super) fn refused(state: &mut State, method: &str, place: &str) -> Option<Response<Body>> {
    let enforced = state.enforced.as_mut()?;
    let now = enforced.clock.now();
    if enforced.refused_at.is_some_and(|at| now < at + PAUSE) {
        enforced.too_soon += 1;
        return Some(super::github::too_many());
    }
    let creates = method == "POST" && ["/comments", "/issues"].iter().any(|end| place.ends_with(end));
    let (points, creations) = (if method == "GET" { 1 } else { 5 }, u32::from(creates));
    let since = |window: SignedDuration, of: fn(&(Timestamp, u32, u32)) -> u32| -> u32 {
        enforced.let_in.iter().filter(|one| one.0 + window > now).map(of).sum()
    };
    let minute = SignedDuration::from_mins(1);
    let is_over = since(minute, |one| one.1) + points > enforced.points_a_minute
        || since(minute, |one| one.2) + creations > enforced.creations_a_minute
        || since(SignedDuration::from_hours(1), |one| one.2) + creations > enforced.creations_an_hour;
    if is_over {
        enforced.refusals += 1;
        enforced.refused_at = Some(now);
        return Some(super::github::too_many());
    }
    enforced.let_in.push((now, points, creations));
    None
}
