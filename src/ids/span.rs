//! Spans of time, as people write them in both files and on the command line.

use std::fmt;
use std::str::FromStr;

/// `90s`, `5m`, `1h30m`, `2d`: whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(u64);

/// A text that is no span; `Display` is fit for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a time with its units: `90s`, `10m`, `1h30m` or `2d`")]
pub struct NoSpan;

/// Units with their seconds, largest first.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl Span {
    /// So many seconds.
    pub const fn of_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// In seconds.
    pub const fn seconds(self) -> u64 {
        self.0
    }
}

impl FromStr for Span {
    type Err = NoSpan;
    fn from_str(text: &str) -> Result<Self, NoSpan> {
        let (mut total, mut digits) = (0u64, String::new());
        for c in text.chars() {
            if c.is_ascii_digit() {
                digits.push(c);
                continue;
            }
            let (_, unit) = UNITS.iter().find(|(letter, _)| *letter == c).ok_or(NoSpan)?;
            let count: u64 = std::mem::take(&mut digits).parse().map_err(|_| NoSpan)?;
            total = count.checked_mul(*unit).and_then(|more| total.checked_add(more)).ok_or(NoSpan)?;
        }
        if digits.is_empty() && !text.is_empty() { Ok(Self(total)) } else { Err(NoSpan) }
    }
}

impl fmt::Display for Span {
    /// In the largest unit that says it exactly.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (letter, unit) = UNITS.into_iter().find(|(_, unit)| self.0.is_multiple_of(*unit)).unwrap_or(('s', 1));
        write!(out, "{}{letter}", self.0 / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_read_as_people_write_it() {
        for (text, expected) in [
            ("90s", Some(90)),
            ("5m", Some(300)),
            ("1h30m", Some(5_400)),
            ("2d", Some(172_800)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("m", None),
            ("5 m", None),
            ("-5m", None),
            ("9e9d", None),
            ("1\u{fc}", None),
            ("99999999999999999999d", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(text.parse().ok().map(Span::seconds), expected, "{text:?}");
        }
        for text in ["90s", "5m", "90m", "2d", "36h"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
    }
}
