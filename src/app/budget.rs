//! The budget that all servers of an installation share, for the forges' clients: what they ask, asked of the database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use sqlx::PgPool;

use crate::clock::Clock;
use crate::db::budgets::{self, Caps, Known, Ledger, Scarce, Until};
use crate::forge::budget::{Budget, Cost, LONGEST_PAUSE, Left, Limits, PAUSE, PAUSED, Purse, Short, Urgency, pause};
use crate::ids::ForgeName;

/// Times another server may be faster before we say that we do not know: each time it got what it asked for.
const TRIES: usize = 50;
/// Whoever waits comes at the same moment as everybody who waits for it, a little after.
const A_LITTLE: Duration = Duration::from_millis(500);

/// The budget. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SharedBudget {
    pool: PgPool,
    clock: Clock,
    /// What was read or written last, by account. Of one account we ask for one call at a time.
    known: Arc<Mutex<HashMap<(ForgeName, String), Slot>>>,
}

type Slot = Arc<tokio::sync::Mutex<Seen>>;

/// What this server knows of an account.
#[derive(Debug, Default)]
struct Seen {
    known: Option<Known>,
    /// Heard since: it goes along with what is written next.
    left: Option<budgets::Left>,
}

impl SharedBudget {
    /// In this database.
    pub fn new(pool: PgPool, clock: Clock) -> Self {
        Self { pool, clock, known: Arc::default() }
    }

    fn slot(&self, purse: Purse<'_>) -> Slot {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry((purse.forge.clone(), purse.account.to_owned())).or_default().clone()
    }

    /// Changes what is known, and again until no other server was faster. What `change` refuses is refused by what was read
    /// just now.
    async fn change(
        &self,
        purse: Purse<'_>,
        change: impl Fn(&mut Ledger, Timestamp) -> Result<(), Until>,
    ) -> Result<Result<(), Until>, sqlx::Error> {
        let slot = self.slot(purse);
        let mut seen = slot.lock().await;
        let mut conn = self.pool.acquire().await?;
        for _ in 0..TRIES {
            let (known, is_fresh) = match seen.known.take() {
                Some(known) => (known, false),
                None => (budgets::read(&mut conn, purse.forge, purse.account).await?, true),
            };
            let mut ledger = known.ledger.clone();
            ledger.left = seen.left.or(ledger.left);
            let said = change(&mut ledger, self.clock.now());
            if said.is_err() && !is_fresh {
                continue;
            }
            let is_news = ledger != known.ledger;
            seen.known = match is_news {
                true => budgets::put(&mut conn, purse.forge, purse.account, &known, ledger).await?,
                false => Some(known),
            };
            if seen.known.is_some() {
                seen.left = None;
                return Ok(said);
            }
        }
        Err(sqlx::Error::PoolTimedOut)
    }

    async fn is_there_room(
        &self,
        purse: Purse<'_>,
        cost: Cost,
        urgency: Urgency,
    ) -> Result<Result<(), Until>, sqlx::Error> {
        let found = budgets::look(&mut *self.pool.acquire().await?, purse.forge, purse.account).await?;
        let Some(found) = found else { return Ok(Ok(())) };
        let said = room(&found.ledger, purse.limits, cost, urgency, self.clock.now());
        self.slot(purse).lock().await.known = Some(found);
        Ok(said)
    }

    fn short(&self, purse: Purse<'_>, said: Result<Result<(), Until>, sqlx::Error>) -> Result<(), Short> {
        let until = match said {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(until)) => until,
            Err(error) => {
                tracing::warn!(forge = %purse.forge, error = &error as &dyn std::error::Error, "the budget cannot be asked");
                return Err(Short::Unknown);
            }
        };
        let (label, why) = match until.of {
            Scarce::Patience => ("pause", PAUSED),
            Scarce::Calls => ("calls", "has few calls left for us in this hour"),
            Scarce::Points => ("points", "takes so many calls a minute and no more"),
            Scarce::Creations => ("creations", "takes so many comments a minute and an hour and no more"),
        };
        let forge = purse.forge.as_str().to_owned();
        metrics::counter!("bascule_forge_waits_total", "forge" => forge, "why" => label).increment(1);
        Err(Short::Wait { wait: until.at.duration_since(self.clock.now()).unsigned_abs() + A_LITTLE, why })
    }
}

/// How much of each limit work of this urgency may use, and how many of the calls that are left it leaves, in hundredths.
fn share(urgency: Urgency) -> (u32, u32) {
    match urgency {
        Urgency::Sync => (100, 0),
        Urgency::Preview => (90, 10),
        Urgency::Sweep => (50, 25),
    }
}

fn room(ledger: &Ledger, limits: Option<Limits>, cost: Cost, urgency: Urgency, now: Timestamp) -> Result<(), Until> {
    let (share, spare) = share(urgency);
    let caps = limits.map(|limits| Caps {
        points_a_minute: limits.points_a_minute * share / 100,
        creations_a_minute: limits.creations_a_minute * share / 100,
        creations_an_hour: limits.creations_an_hour * share / 100,
    });
    ledger.room((cost.points, cost.creations), caps, spare, now)
}

impl Budget for SharedBudget {
    fn take<'a>(&'a self, purse: Purse<'a>, cost: Cost, urgency: Urgency) -> BoxFuture<'a, Result<(), Short>> {
        async move {
            let said = match purse.limits {
                // Nothing to count: only whether there is a pause.
                None => self.is_there_room(purse, cost, urgency).await,
                Some(_) => {
                    let spend = |ledger: &mut Ledger, now| {
                        room(ledger, purse.limits, cost, urgency, now)?;
                        ledger.spend((cost.points, cost.creations), now);
                        Ok(())
                    };
                    self.change(purse, spend).await
                }
            };
            self.short(purse, said)
        }
        .boxed()
    }

    fn look<'a>(&'a self, purse: Purse<'a>, cost: Cost, urgency: Urgency) -> BoxFuture<'a, Result<(), Short>> {
        async move { self.short(purse, self.is_there_room(purse, cost, urgency).await) }.boxed()
    }

    fn went_well<'a>(&'a self, purse: Purse<'a>, left: Option<Left>) -> BoxFuture<'a, ()> {
        async move {
            let left = left.map(|Left { left, of, until }| budgets::Left { left, of, until });
            let is_low = left.is_some_and(|left| left.left <= left.of / 4);
            let slot = self.slot(purse);
            let was_refused = {
                let mut seen = slot.lock().await;
                seen.left = left.or(seen.left);
                seen.known.as_ref().is_some_and(|known| known.ledger.untimed > 0)
            };
            // Else it goes along with the next call.
            if was_refused || is_low && purse.limits.is_none() {
                let forgive = |ledger: &mut Ledger, _| {
                    ledger.untimed = 0;
                    Ok(())
                };
                self.told(purse, self.change(purse, forgive).await);
            }
        }
        .boxed()
    }

    fn pauses<'a>(&'a self, purse: Purse<'a>, asked: Option<SignedDuration>) -> BoxFuture<'a, Duration> {
        async move {
            let asked_for = asked.unwrap_or(PAUSE).clamp(SignedDuration::from_secs(1), LONGEST_PAUSE);
            let how_long = Mutex::new(asked_for.unsigned_abs());
            let refused = |ledger: &mut Ledger, now: Timestamp| {
                let pause = pause(asked, &mut ledger.until, &mut ledger.untimed, now);
                *how_long.lock().unwrap_or_else(PoisonError::into_inner) = pause;
                Ok(())
            };
            self.told(purse, self.change(purse, refused).await);
            *how_long.lock().unwrap_or_else(PoisonError::into_inner)
        }
        .boxed()
    }
}

impl SharedBudget {
    fn told(&self, purse: Purse<'_>, said: Result<Result<(), Until>, sqlx::Error>) {
        if let Err(error) = said {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(forge = %purse.forge, error, "what the forge said of its limits is not known to all servers");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_that_leave_a_sweep_no_room_leave_it_some_when_it_is_as_urgent_as_they() {
        let limits = Some(Limits { points_a_minute: 900, creations_a_minute: 80, creations_an_hour: 500 });
        let (mut ledger, now) = (Ledger::default(), Timestamp::UNIX_EPOCH);
        ledger.spend((430, 0), now);
        let begins = |points, urgency| room(&ledger, limits, Cost { points, creations: 0 }, urgency, now).is_ok();
        assert!(!begins(30, Urgency::Sweep));
        assert!(begins(200, Urgency::Preview));
    }
}
