//! What we may still ask of a forge: its limits count by account of ours, whichever of our servers asks.
//!
//! Before each call the client asks a [`Budget`], and tells it afterwards what the answer said of limits. The one of a server
//! is kept in the database, so that all servers live within one; [`Alone`], that of a command by itself, knows only the
//! pauses it was asked for. Nobody waits here: a call for which there is no room is an error that says when there will be,
//! and whoever works comes back then.
//!
//! How urgent the work is, is said around it ([`Urgency::during`]): of each limit, previews leave a part to syncs, and
//! sweeps a larger one to both.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;
use crate::ids::ForgeName;

/// After "too many requests" without a time: what GitHub asks for, and polite elsewhere.
pub const PAUSE: SignedDuration = SignedDuration::from_mins(1);
/// A forge that asks for more is not believed: the work is tried again by then.
pub const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);

tokio::task_local! {
    /// Of the work that is being done.
    static URGENCY: Urgency;
}

/// How urgent a piece of work is; more urgent is less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// A sync, and what is said of it.
    Sync,
    /// A preview, or a person who looks.
    Preview,
    /// A comparison of our memory with the forge.
    Sweep,
}

impl Urgency {
    /// Does a piece of work that is so urgent.
    pub async fn during<T>(self, work: impl Future<Output = T>) -> T {
        URGENCY.scope(self, work).await
    }

    /// Of the work that is being done: nobody says it for a window, in which somebody looks.
    pub(super) fn now() -> Self {
        URGENCY.try_with(|urgency| *urgency).unwrap_or(Self::Preview)
    }
}

/// Whose limits a call counts towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Purse<'a> {
    /// Where.
    pub forge: &'a ForgeName,
    /// The account in which our App is installed, in lower case; empty: our own account, or the App itself.
    pub account: &'a str,
    /// What is known of its limits before it says anything.
    pub limits: Option<Limits>,
}

/// What a forge publishes of how much it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Points in a minute: a call that reads is one, one that writes is five.
    pub points_a_minute: u32,
    /// Comments and issues in a minute.
    pub creations_a_minute: u32,
    /// The same in an hour.
    pub creations_an_hour: u32,
}

/// What something costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// By [`Limits::points_a_minute`].
    pub points: u32,
    /// New comments and issues.
    pub creations: u32,
}

/// There is no room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Short {
    /// Until then.
    Wait {
        /// How long.
        wait: Duration,
        /// What there is too little of, or that we were asked for a pause.
        why: &'static str,
    },
    /// Whoever keeps the budget does not answer.
    Unknown,
}

/// What an answer says of the limit that it counts towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Calls that are left.
    pub left: u32,
    /// Of how many.
    pub of: u32,
    /// Until all of them are there again.
    pub until: Timestamp,
}

/// Who knows what may still be asked.
pub trait Budget: Debug + Send + Sync {
    /// Spends what a call costs.
    fn take<'a>(&'a self, purse: Purse<'a>, cost: Cost, urgency: Urgency) -> BoxFuture<'a, Result<(), Short>>;

    /// Whether there is room for it, now.
    fn look<'a>(&'a self, purse: Purse<'a>, cost: Cost, urgency: Urgency) -> BoxFuture<'a, Result<(), Short>>;

    /// A call was answered well, and this was said of the limit.
    fn went_well<'a>(&'a self, purse: Purse<'a>, left: Option<Left>) -> BoxFuture<'a, ()>;

    /// We were asked for a pause, perhaps without being told how long: how long it is.
    fn pauses<'a>(&'a self, purse: Purse<'a>, asked: Option<SignedDuration>) -> BoxFuture<'a, Duration>;
}

/// What a command by itself keeps to: the pauses it was asked for.
#[derive(Debug)]
pub struct Alone {
    clock: Clock,
    paused: Mutex<HashMap<String, Paused>>,
}

/// The pause of an account.
#[derive(Debug, Clone, Copy, Default)]
struct Paused {
    until: Option<Timestamp>,
    untimed: u32,
}

/// Begins a pause, and how long it is: as was asked for; else a minute, and twice as long for each refusal before that gave no
/// time. Calls that were under way together and are refused together ask for one.
pub fn pause(
    asked: Option<SignedDuration>,
    until: &mut Option<Timestamp>,
    untimed: &mut u32,
    now: Timestamp,
) -> Duration {
    let left = until.map(|until| until.duration_since(now)).filter(SignedDuration::is_positive);
    let pause = match (asked, left) {
        (None, Some(left)) => left,
        (Some(asked), _) => asked,
        (None, None) => {
            *untimed = untimed.saturating_add(1);
            PAUSE * 2_i32.pow((*untimed - 1).min(6))
        }
    };
    let pause = pause.clamp(SignedDuration::from_secs(1), LONGEST_PAUSE);
    *until = (*until).max(now.checked_add(pause).ok());
    pause.unsigned_abs()
}

/// Why nothing is sent in a pause.
pub const PAUSED: &str = "asked for a pause that is not over";

impl Alone {
    /// Keeps to what is asked of it.
    pub fn new(clock: Clock) -> Self {
        Self { clock, paused: Mutex::default() }
    }

    fn of<T>(&self, account: &str, with: impl FnOnce(&mut Paused) -> T) -> T {
        let mut all = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        with(all.entry(account.to_owned()).or_default())
    }
}

impl Budget for Alone {
    fn take<'a>(&'a self, purse: Purse<'a>, cost: Cost, urgency: Urgency) -> BoxFuture<'a, Result<(), Short>> {
        self.look(purse, cost, urgency)
    }

    fn look<'a>(&'a self, purse: Purse<'a>, _: Cost, _: Urgency) -> BoxFuture<'a, Result<(), Short>> {
        let until = self.of(purse.account, |paused| paused.until);
        let left = until.map(|until| until.duration_since(self.clock.now())).filter(SignedDuration::is_positive);
        let short = |left: SignedDuration| Short::Wait { wait: left.unsigned_abs(), why: PAUSED };
        std::future::ready(left.map_or(Ok(()), |left| Err(short(left)))).boxed()
    }

    fn went_well<'a>(&'a self, purse: Purse<'a>, _: Option<Left>) -> BoxFuture<'a, ()> {
        self.of(purse.account, |paused| paused.untimed = 0);
        std::future::ready(()).boxed()
    }

    fn pauses<'a>(&'a self, purse: Purse<'a>, asked: Option<SignedDuration>) -> BoxFuture<'a, Duration> {
        let now = self.clock.now();
        let pause = self.of(purse.account, |paused| pause(asked, &mut paused.until, &mut paused.untimed, now));
        std::future::ready(pause).boxed()
    }
}
