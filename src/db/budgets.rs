//! What each account of ours has asked of its forge lately: one row, which all servers spend from.
//!
//! A row is changed only by whoever read its newest version ([`put`]), so that two servers never spend the same.
//! Deciding is pure ([`Ledger`]). Times are the servers' own clocks: seconds between them move a window by as much.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::ids::ForgeName;

/// Within a minute, what was spent is known to this many seconds.
const CELL: i64 = 5;
/// Within an hour, to this many.
const LONG_CELL: i64 = 60;

/// What was spent, and what the forge said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// No call before this: the forge asked for a pause.
    pub until: Option<Timestamp>,
    /// Refusals without a time since the last good answer: each doubles the pause.
    pub untimed: u32,
    /// What the forge said last of the limit that it tells.
    pub left: Option<Left>,
    /// Points and creations of the last minute, by cells of five seconds since 1970.
    minute: BTreeMap<i64, (u32, u32)>,
    /// Creations of the last hour, by minute.
    hour: BTreeMap<i64, u32>,
}

/// What a forge said of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Calls that are left.
    pub left: u32,
    /// Of how many.
    pub of: u32,
    /// Until all are there again.
    pub until: Timestamp,
}

/// How far a piece of work may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Points in a minute.
    pub points_a_minute: u32,
    /// Creations in a minute.
    pub creations_a_minute: u32,
    /// Creations in an hour.
    pub creations_an_hour: u32,
}

/// What was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Points in the last minute.
    pub points_a_minute: u32,
    /// Creations in the last minute.
    pub creations_a_minute: u32,
    /// Creations in the last hour.
    pub creations_an_hour: u32,
}

/// There is no room before a time, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Until {
    /// When.
    pub at: Timestamp,
    /// Of what there is too little.
    pub of: Scarce,
}

/// What there can be too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scarce {
    /// The forge asked for a pause.
    Patience,
    /// Of the calls that it said are left.
    Calls,
    /// Points in a minute.
    Points,
    /// Comments and issues.
    Creations,
}

impl Ledger {
    /// Whether there is room for this under these caps, keeping `spare` of the calls that the forge says are left (in
    /// hundredths of all).
    ///
    /// # Errors
    /// When there will be.
    pub fn room(
        &self,
        (points, creations): (u32, u32),
        caps: Option<Caps>,
        spare: u32,
        now: Timestamp,
    ) -> Result<(), Until> {
        if let Some(at) = self.until.filter(|until| *until > now) {
            return Err(Until { at, of: Scarce::Patience });
        }
        // An hour's last calls may be on their way already, of every server.
        let kept = |left: &Left| (left.of * spare / 100).max((left.of / 10).min(ON_THEIR_WAY));
        if let Some(left) = self.left.filter(|left| left.until > now && left.left <= kept(left)) {
            return Err(Until { at: left.until, of: Scarce::Calls });
        }
        let Some(caps) = caps else { return Ok(()) };
        let minute = |of: fn(&(u32, u32)) -> u32| self.minute.iter().map(move |(cell, spent)| (*cell, of(spent)));
        let hour = self.hour.iter().map(|(cell, spent)| (*cell, *spent));
        let later = [
            (points, free_at(minute(|spent| spent.0), points, caps.points_a_minute, CELL, 60, now), Scarce::Points),
            (
                creations,
                free_at(minute(|spent| spent.1), creations, caps.creations_a_minute, CELL, 60, now),
                Scarce::Creations,
            ),
            (creations, free_at(hour, creations, caps.creations_an_hour, LONG_CELL, 3600, now), Scarce::Creations),
        ];
        let later = later.into_iter().filter(|(asked, _, _)| *asked > 0);
        let latest = later.filter_map(|(_, at, of)| at.map(|at| Until { at, of })).max_by_key(|until| until.at);
        latest.map_or(Ok(()), Err)
    }

    /// The same after this was spent.
    pub fn spend(&mut self, (points, creations): (u32, u32), now: Timestamp) {
        let second = now.as_second();
        self.minute.retain(|cell, _| !is_over(*cell, CELL, 60, now));
        self.hour.retain(|cell, _| !is_over(*cell, LONG_CELL, 3600, now));
        let cell = self.minute.entry(second.div_euclid(CELL)).or_default();
        *cell = (cell.0 + points, cell.1 + creations);
        if creations > 0 {
            *self.hour.entry(second.div_euclid(LONG_CELL)).or_default() += creations;
        }
    }

    /// What was spent lately.
    pub fn spent(&self, now: Timestamp) -> Spent {
        let minute = self.minute.iter().filter(|(cell, _)| !is_over(**cell, CELL, 60, now));
        let (points, creations) = minute.fold((0, 0), |sum, (_, spent)| (sum.0 + spent.0, sum.1 + spent.1));
        let hour = self.hour.iter().filter(|(cell, _)| !is_over(**cell, LONG_CELL, 3600, now));
        let hour = hour.map(|(_, spent)| spent).sum();
        Spent { points_a_minute: points, creations_a_minute: creations, creations_an_hour: hour }
    }
}

/// Calls of all servers that may be under way when an answer says how many are left: eight of each.
const ON_THEIR_WAY: u32 = 50;

/// Whether everything that was spent in a cell was spent longer ago than the window is long.
fn is_over(cell: i64, length: i64, window: i64, now: Timestamp) -> bool {
    (cell + 1) * length + window <= now.as_second()
}

/// When enough of what was spent is over for this to fit; `None`: now.
fn free_at(
    spent: impl Iterator<Item = (i64, u32)>,
    asked: u32,
    cap: u32,
    length: i64,
    window: i64,
    now: Timestamp,
) -> Option<Timestamp> {
    let spent: Vec<(i64, u32)> = spent.filter(|(cell, _)| !is_over(*cell, length, window, now)).collect();
    let mut sum: u32 = spent.iter().map(|(_, spent)| spent).sum();
    let mut at = None;
    // Oldest first: what is over by then is room. Something larger than the cap goes when nothing else is left.
    for (cell, gone) in spent {
        if sum + asked <= cap {
            break;
        }
        sum -= gone;
        at = Timestamp::from_second((cell + 1) * length + window).ok();
    }
    at.map(|at| at.max(now + SignedDuration::from_secs(1)))
}

/// A row as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What it says.
    pub ledger: Ledger,
    version: i64,
}

/// An account's row, made when there is none.
///
/// # Errors
/// The database's own.
pub async fn read(conn: &mut PgConnection, forge: &ForgeName, account: &str) -> Result<Known, sqlx::Error> {
    let found = look(conn, forge, account).await?;
    if let Some(known) = found {
        return Ok(known);
    }
    sqlx::query!(
        "INSERT INTO forge_budget (forge, account, ledger) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        forge.as_str(),
        account,
        serde_json::to_value(Ledger::default()).unwrap_or_default()
    )
    .execute(&mut *conn)
    .await?;
    Ok(look(conn, forge, account).await?.unwrap_or(Known { ledger: Ledger::default(), version: 0 }))
}

/// The same; `None`: nothing was ever spent or said.
///
/// # Errors
/// The database's own.
pub async fn look(conn: &mut PgConnection, forge: &ForgeName, account: &str) -> Result<Option<Known>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT ledger, version FROM forge_budget WHERE forge = $1 AND account = $2",
        forge.as_str(),
        account
    )
    .fetch_optional(conn)
    .await?;
    // One that cannot be read is of another version of ours; it is begun anew.
    let known = |ledger, version| Known { ledger: serde_json::from_value(ledger).unwrap_or_default(), version };
    Ok(row.map(|row| known(row.ledger, row.version)))
}

/// Replaces what was read by this; `None`: another server was faster, and its row is to be read.
///
/// # Errors
/// The database's own.
pub async fn put(
    conn: &mut PgConnection,
    forge: &ForgeName,
    account: &str,
    known: &Known,
    ledger: Ledger,
) -> Result<Option<Known>, sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE forge_budget SET ledger = $3, version = version + 1
         WHERE forge = $1 AND account = $2 AND version = $4",
        forge.as_str(),
        account,
        serde_json::to_value(&ledger).unwrap_or_default(),
        known.version
    )
    .execute(conn)
    .await?;
    Ok((done.rows_affected() == 1).then(|| Known { ledger, version: known.version + 1 }))
}

/// Of every forge and account, what was spent and said.
///
/// # Errors
/// The database's own.
pub async fn all(conn: &mut PgConnection) -> Result<Vec<(String, String, Ledger)>, sqlx::Error> {
    let rows =
        sqlx::query!("SELECT forge, account, ledger FROM forge_budget ORDER BY forge, account").fetch_all(conn).await?;
    let ledger = |ledger| serde_json::from_value(ledger).unwrap_or_default();
    Ok(rows.into_iter().map(|row| (row.forge, row.account, ledger(row.ledger))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps = Caps { points_a_minute: 90, creations_a_minute: 8, creations_an_hour: 50 };

    #[test]
    fn no_minute_and_no_hour_ever_has_more_than_its_cap() {
        let mut now: Timestamp = "2026-01-05T09:00:03Z".parse().unwrap();
        let (mut ledger, mut spent) = (Ledger::default(), Vec::new());
        for n in 0..600_u32 {
            let cost = (5, u32::from(n % 3 == 0));
            match ledger.room(cost, Some(CAPS), 0, now) {
                Ok(()) => {
                    ledger.spend(cost, now);
                    spent.push((now, cost));
                    now += SignedDuration::from_millis(700);
                }
                Err(until) => {
                    assert!(until.at > now, "it says when there will be room");
                    now = until.at;
                }
            }
        }
        assert!(spent.len() > 300, "and there is: {}", spent.len());
        for (from, _) in &spent {
            let within = |window| {
                let until = *from + SignedDuration::from_secs(window);
                let of = spent.iter().filter(move |(at, _)| at >= from && *at < until);
                of.fold((0, 0), |sum, (_, (points, creations))| (sum.0 + points, sum.1 + creations))
            };
            let (minute, hour) = (within(60), within(3600));
            assert!(minute.0 <= 90 && minute.1 <= 8 && hour.1 <= 50, "{minute:?} {hour:?}");
        }
    }

    #[test]
    fn of_the_calls_that_are_left_the_less_urgent_leave_some() {
        let now: Timestamp = "2026-01-05T09:00:03Z".parse().unwrap();
        let until = now + SignedDuration::from_mins(20);
        let ledger = |left| Ledger { left: Some(Left { left, of: 5_000, until }), ..Ledger::default() };
        let none = Err(Until { at: until, of: Scarce::Calls });
        assert_eq!(ledger(400).room((1, 0), Some(CAPS), 10, now), none, "a tenth is kept for others");
        assert_eq!(ledger(400).room((1, 0), Some(CAPS), 0, now), Ok(()));
        assert_eq!(ledger(50).room((1, 0), Some(CAPS), 0, now), none, "what is on its way may be the last");
        assert_eq!(ledger(0).room((1, 0), None, 25, until), Ok(()), "then all are there again");
    }
}
