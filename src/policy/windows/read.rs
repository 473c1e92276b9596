//! Reads windows: `Mon-Fri 09:00-17:00`, `22:00-06:00`, `Fri 18:00-Mon 08:00`, `2026-12-20/2027-01-02`.

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime};

use super::{DAY, Hours, Sense, Window, ZONES};
use crate::policy::block::{Block, Keys, list};
use crate::policy::document::Node;
use crate::policy::located::{Complaints, did_you_mean};

/// The keys of one window.
pub const WINDOW_KEYS: Keys = Keys { known: &["allow", "deny", "timezone"], later: &[] };

/// More of them nobody reads.
const MOST_WINDOWS: usize = 50;

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const SHAPES: &str = "write it as `Mon-Fri 09:00-17:00`, `Sat,Sun`, `22:00-06:00`, `Fri 18:00-Mon 08:00` or \
    `2026-12-20/2027-01-02`, both days included";

/// Reads `windows` of an environment or a floor. None at all is fine: it takes back what `defaults` say.
pub fn windows(node: &Node, complaints: &mut Complaints) -> Vec<Window> {
    let items = list(node, "windows", complaints).unwrap_or_default();
    if items.len() > MOST_WINDOWS {
        let advice = "say it with fewer: days and times take lists, `Mon,Wed 09:00-12:00,13:00-17:00`";
        complaints.add(&node.at, format!("`windows` has more than {MOST_WINDOWS}"), advice);
        return Vec::new();
    }
    items.iter().filter_map(|item| window(item, complaints)).collect()
}

fn window(node: &Node, complaints: &mut Complaints) -> Option<Window> {
    let block = Block::open(node, "in `windows`", WINDOW_KEYS, complaints)?;
    let (sense, key) = match (block.place_of("allow"), block.place_of("deny")) {
        (Some(_), None) => (Sense::Allow, "allow"),
        (None, Some(_)) => (Sense::Deny, "deny"),
        (None, None) => {
            complaints.add(block.at, "this window neither allows nor denies", "add `allow` or `deny`");
            return None;
        }
        (Some(_), Some(at)) => {
            complaints.add(at, "`allow` and `deny` stand in one window", "make two windows of it");
            return None;
        }
    };
    let written = block.text(key, complaints);
    let zone = block.text("timezone", complaints);
    if block.get("timezone").is_none() {
        let advice = "add `timezone: Europe/Berlin`, or `UTC`: whose clock on the wall is read";
        complaints.add(block.at, "this window has no `timezone`", advice);
    }
    let good = written.is_some_and(|(text, at)| {
        hours(text).map_err(|wrong| complaints.add(at, format!("`{key}: {text}`: {wrong}"), SHAPES)).is_ok()
    });
    let known = zone.is_some_and(|(name, at)| {
        let is_known = ZONES.get(name).is_ok();
        if !is_known {
            let advice = match did_you_mean(name, known_zones().iter().map(String::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => {
                    "write it as the time zone database does: `Europe/Berlin`, `America/New_York`, `UTC`".to_owned()
                }
            };
            complaints.add(at, format!("there is no time zone `{name}`"), advice);
        }
        is_known
    });
    let ((text, _), (zone, _)) = written.zip(zone).filter(|_| good && known)?;
    Window::new(sense, text, zone).ok()
}

/// Names of all time zones.
pub fn known_zones() -> Vec<String> {
    ZONES.available().map(|name| name.to_string()).collect()
}

/// With one blank between words, and none beside commas and hyphens.
pub(super) fn tidied(text: &str) -> String {
    let mut text = text.replace('–', "-").split_whitespace().collect::<Vec<_>>().join(" ");
    for mark in ["-", ",", "/"] {
        text = text.replace(&format!(" {mark}"), mark).replace(&format!("{mark} "), mark);
    }
    text
}

/// Reads hours.
///
/// # Errors
/// What is wrong with them.
pub(super) fn hours(text: &str) -> Result<Hours, String> {
    let tidy = tidied(text);
    if let Some((from, to)) = tidy.split_once('/') {
        return dates(from, to);
    }
    if tidy.is_empty() {
        return Err("it is empty".to_owned());
    }
    if let Ok(Moment::Day(_)) = moment(&tidy) {
        return dates(&tidy, &tidy);
    }
    match tidy.split(' ').collect::<Vec<_>>()[..] {
        [days] if days.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Ok(Hours::Daily { days: read_days(days)?, times: vec![(0, DAY)] })
        }
        [times] => Ok(Hours::Daily { days: [true; 7], times: read_times(times)? }),
        [days, times] => Ok(Hours::Daily { days: read_days(days)?, times: read_times(times)? }),
        [day, between, to] => {
            let (from, last) =
                between.split_once('-').ok_or("it is neither days with times nor from one day to another")?;
            weekly((day, from), (last, to))
        }
        _ => Err("it is neither days with times nor from one day to another".to_owned()),
    }
}

fn weekly((first, from): (&str, &str), (last, to): (&str, &str)) -> Result<Hours, String> {
    let minute = |day: &str, time: &str| -> Result<u16, String> {
        let day = u16::try_from(read_day(day)?).unwrap_or_default();
        Ok((day * DAY + read_time(time)?) % (7 * DAY))
    };
    let (from, to) = (minute(first, from)?, minute(last, to)?);
    if from == to { Err("it begins where it ends".to_owned()) } else { Ok(Hours::Weekly { from, to }) }
}

fn read_days(text: &str) -> Result<[bool; 7], String> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (read_day(first)?, read_day(last)?),
            None => (read_day(part)?, read_day(part)?),
        };
        let mut day = first;
        loop {
            days[day] = true;
            if day == last {
                break;
            }
            day = (day + 1) % 7;
        }
    }
    Ok(days)
}

/// Monday is 0.
fn read_day(text: &str) -> Result<usize, String> {
    let lower = text.to_ascii_lowercase();
    let is_it = |day: &&str| **day == lower || day.get(..3) == Some(lower.as_str());
    DAYS.iter().position(is_it).ok_or_else(|| format!("`{text}` is no day"))
}

fn read_times(text: &str) -> Result<Vec<(u16, u16)>, String> {
    let one = |part: &str| {
        let (from, to) = part.split_once('-').ok_or_else(|| format!("`{part}` has no end"))?;
        let (from, to) = (read_time(from)?, read_time(to)?);
        if from % DAY == to % DAY && (from, to) != (0, DAY) {
            return Err(format!("`{part}` begins where it ends; a whole day is `00:00-24:00`"));
        }
        if from == DAY { Err(format!("`{part}` begins at `24:00`, which is `00:00`")) } else { Ok((from, to % DAY)) }
    };
    // Midnight at the end is that of the day after; a whole day ends with itself.
    let whole = |(from, to): (u16, u16)| if (from, to) == (0, 0) { (0, DAY) } else { (from, to) };
    text.split(',').map(|part| one(part).map(whole)).collect()
}

/// Minutes of the day, up to 24:00.
fn read_time(text: &str) -> Result<u16, String> {
    let wrong = || format!("`{text}` is no time of day, as `09:00` is");
    let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return Err(wrong());
    }
    let (hours, minutes): (u16, u16) = (hours.parse().map_err(|_| wrong())?, minutes.parse().map_err(|_| wrong())?);
    if minutes < 60 && hours * 60 + minutes <= DAY { Ok(hours * 60 + minutes) } else { Err(wrong()) }
}

fn dates(from: &str, to: &str) -> Result<Hours, String> {
    let begins = match moment(from)? {
        Moment::Day(day) => day.to_datetime(jiff::civil::Time::midnight()),
        Moment::Minute(minute) => minute,
    };
    let ends = match moment(to)? {
        Moment::Day(day) => {
            let next = day.checked_add(1.day()).map_err(|_| format!("`{to}` is too far away"))?;
            next.to_datetime(jiff::civil::Time::midnight())
        }
        Moment::Minute(minute) => minute,
    };
    if begins < ends { Ok(Hours::Dates { from: begins, to: ends }) } else { Err("it ends before it begins".to_owned()) }
}

enum Moment {
    Day(Date),
    Minute(DateTime),
}

fn moment(text: &str) -> Result<Moment, String> {
    let wrong = || format!("`{text}` is no date, as `2026-12-20` or `2026-12-20T18:00` is");
    match text.len() {
        10 => text.parse().map(Moment::Day).map_err(|_| wrong()),
        16 if text.as_bytes().get(10) == Some(&b'T') => text.parse().map(Moment::Minute).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}
