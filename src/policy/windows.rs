//! `windows`: when something new may be synced to an environment, by what a clock on the wall reads in a time zone.
//!
//! ```text
//! open  =  no `deny` reads the hour on the wall  and  (there is no `allow`, or one of them reads it)
//! ```
//!
//! It is the clock on the wall that counts, so nothing else has to be said where clocks are moved: an hour that is skipped in
//! spring is never read, and what would begin within it begins when the clock has jumped; an hour that comes twice in autumn
//! is read twice.

mod read;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

pub use read::{WINDOW_KEYS, known_zones, windows};

/// How far ahead it is looked for when something opens or closes: further than any holiday, and soon done.
const HORIZON_DAYS: i64 = 400;

/// The zones this program was built with: every server reads the same hours, whatever its host has, and thinking asks no file.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// What one window does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sense {
    /// Something new may be synced inside it.
    Allow,
    /// Nothing new may be.
    Deny,
}

/// One window. Stored as it was written, so that people find it again in what is shown of an entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Window {
    /// What it does.
    pub sense: Sense,
    /// The hours, as they are shown.
    text: String,
    hours: Hours,
    /// A zone of the database, by the database's spelling.
    zone: String,
}

/// A window, as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    allow: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deny: Option<String>,
    timezone: String,
}

impl TryFrom<Written> for Window {
    type Error = String;
    fn try_from(written: Written) -> Result<Self, String> {
        let (sense, text) = match (written.allow, written.deny) {
            (Some(text), None) => (Sense::Allow, text),
            (None, Some(text)) => (Sense::Deny, text),
            _ => return Err("a window either allows or denies".to_owned()),
        };
        Self::new(sense, &text, &written.timezone)
    }
}

impl From<Window> for Written {
    fn from(window: Window) -> Self {
        let (allow, deny) = match window.sense {
            Sense::Allow => (Some(window.text), None),
            Sense::Deny => (None, Some(window.text)),
        };
        Self { allow, deny, timezone: window.zone }
    }
}

/// Hours on the wall.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Hours {
    /// On these days of the week (Monday first), between these minutes of the day. Where the second is not after the first,
    /// it is of the day after.
    Daily { days: [bool; 7], times: Vec<(u16, u16)> },
    /// From a minute of the week to another, over the week's end where that is not after the first.
    Weekly { from: u16, to: u16 },
    /// From a moment on the calendar up to another.
    Dates { from: DateTime, to: DateTime },
}

const DAY: u16 = 24 * 60;

impl Hours {
    fn read(&self, wall: DateTime) -> bool {
        let minute = u16::from(wall.hour().unsigned_abs()) * 60 + u16::from(wall.minute().unsigned_abs());
        let day = usize::from(wall.weekday().to_monday_zero_offset().unsigned_abs());
        match self {
            Self::Daily { days, times } => {
                let (today, yesterday) = (days[day], days[(day + 6) % 7]);
                times.iter().any(|(from, to)| match from < to {
                    true => today && (*from..*to).contains(&minute),
                    false => (today && minute >= *from) || (yesterday && minute < *to),
                })
            }
            Self::Weekly { from, to } => {
                let now = u16::try_from(day).unwrap_or_default() * DAY + minute;
                if from < to { (*from..*to).contains(&now) } else { now >= *from || now < *to }
            }
            Self::Dates { from, to } => (*from..*to).contains(&wall),
        }
    }

    /// What the wall reads where it may begin or end, on one day; of dates both ends, whatever the day.
    fn ends(&self, on: Date) -> Vec<DateTime> {
        let at = |minute: u16| {
            let of_day = Time::midnight() + SignedDuration::from_mins(i64::from(minute % DAY));
            on.to_datetime(of_day)
        };
        match self {
            Self::Daily { times, .. } => times.iter().flat_map(|(from, to)| [at(*from), at(*to)]).collect(),
            Self::Weekly { from, to } => vec![at(*from), at(*to)],
            Self::Dates { from, to } => vec![*from, *to],
        }
    }
}

impl Window {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong, and what to write.
    fn new(sense: Sense, text: &str, zone: &str) -> Result<Self, String> {
        let hours = read::hours(text)?;
        let zone = ZONES.get(zone).ok().and_then(|found| Some(found.iana_name()?.to_owned()));
        let zone = zone.ok_or_else(|| "there is no such time zone".to_owned())?;
        Ok(Self { sense, text: read::tidied(text), hours, zone })
    }

    /// Its zone. One that the database had when it was read.
    fn tz(&self) -> TimeZone {
        ZONES.get(&self.zone).unwrap_or(TimeZone::UTC)
    }

    fn reads(&self, now: Timestamp) -> bool {
        self.hours.read(self.tz().to_datetime(now))
    }

    /// `Mon–Fri 09:00–17:00 (Europe/Berlin)`; `not 2026-12-20/2027-01-02 (UTC)`.
    pub fn words(&self) -> String {
        let not = match self.sense {
            Sense::Allow => "",
            Sense::Deny => "not ",
        };
        // The hyphens within dates stay.
        let hours = match self.hours {
            Hours::Dates { .. } => self.text.clone(),
            Hours::Daily { .. } | Hours::Weekly { .. } => self.text.replace('-', "–"),
        };
        format!("{not}{hours} ({})", self.zone)
    }

    /// Every moment up to `end` at which it may begin or end, and at which its zone's clocks are moved.
    fn moments(&self, now: Timestamp, end: Timestamp, found: &mut BTreeSet<Timestamp>) {
        let tz = self.tz();
        found.extend(tz.following(now).map(|moved| moved.timestamp()).take_while(|moved| *moved <= end));
        let (mut day, last) = (tz.to_datetime(now).date(), tz.to_datetime(end).date());
        while day <= last {
            for wall in self.hours.ends(day) {
                found.extend(instants(&tz, wall).into_iter().flatten().filter(|at| *at > now && *at <= end));
            }
            let Ok(next) = day.checked_add(1.day()) else { break };
            if matches!(self.hours, Hours::Dates { .. }) {
                break;
            }
            day = next;
        }
    }
}

/// When the wall reads this: twice where clocks are set back; where they jump over it, moments near the jump that are looked
/// at in vain.
fn instants(tz: &TimeZone, wall: DateTime) -> [Option<Timestamp>; 2] {
    use jiff::tz::AmbiguousOffset::{Fold, Gap, Unambiguous};
    match tz.to_ambiguous_timestamp(wall).offset() {
        Unambiguous { offset } => [offset.to_timestamp(wall).ok(), None],
        Gap { before, after } | Fold { before, after } => {
            [before.to_timestamp(wall).ok(), after.to_timestamp(wall).ok()]
        }
    }
}

/// Whether something new may be synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Whether it may be at this moment.
    pub is_open: bool,
    /// When that is different; `None`: not within 400 days.
    pub until: Option<Timestamp>,
}

/// Whether windows are open at a moment. Each list has to be: an environment's own, and those of each floor under it.
pub fn is_open(lists: &[&[Window]], now: Timestamp) -> bool {
    lists.iter().all(|list| {
        let (allows, denies): (Vec<&Window>, Vec<&Window>) = list.iter().partition(|one| one.sense == Sense::Allow);
        let is_allowed = allows.is_empty() || allows.iter().any(|one| one.reads(now));
        is_allowed && !denies.iter().any(|one| one.reads(now))
    })
}

/// The same, and when it changes: the first of all moments at which it could.
pub fn state(lists: &[&[Window]], now: Timestamp) -> State {
    let is_open = is_open(lists, now);
    let end = now.checked_add(SignedDuration::from_hours(24 * HORIZON_DAYS)).unwrap_or(Timestamp::MAX);
    let mut moments = BTreeSet::new();
    lists.iter().copied().flatten().for_each(|window| window.moments(now, end, &mut moments));
    let until = moments.into_iter().find(|moment| self::is_open(lists, *moment) != is_open);
    State { is_open, until }
}

/// What holds something back, as it is said: `Mon–Fri 09:00–17:00 (Europe/Berlin), not …`.
pub fn words(lists: &[&[Window]]) -> String {
    let all: Vec<String> = lists.iter().copied().flatten().map(Window::words).collect();
    all.join(", ")
}

/// A moment as people in the zone of the first of these windows read it: `Mon 2026-11-23 09:00 (Europe/Berlin)`.
pub fn moment(lists: &[&[Window]], at: Timestamp) -> String {
    match lists.iter().copied().flatten().next() {
        Some(window) => format!("{} ({})", at.to_zoned(window.tz()).strftime("%a %Y-%m-%d %H:%M"), window.zone),
        None => at.strftime("%a %Y-%m-%d %H:%MZ").to_string(),
    }
}

#[cfg(test)]
#[path = "windows/tests.rs"]
mod tests;
