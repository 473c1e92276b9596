//! Until when: a moment, or so long from when it is said.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use crate::ids::Span;

/// A moment with its offset, or a time from when it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// This moment.
    At(Timestamp),
    /// So long.
    For(Span),
}

/// A text that is neither; `Display` is fit for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "write how long (`90m`, `2h`, `3d`) or a moment with its offset from UTC (`2027-01-02T08:00:00Z`, `2027-01-02T08:00:00+01:00`)"
)]
pub struct NotWhen;

impl Until {
    /// The moment, of something said at `said`. `None`: it is not after that, or beyond all calendars.
    pub fn moment(self, said: Timestamp) -> Option<Timestamp> {
        let moment = match self {
            Self::At(moment) => moment,
            Self::For(span) => said.checked_add(SignedDuration::from_secs(span.seconds().try_into().ok()?)).ok()?,
        };
        (moment > said).then_some(moment)
    }
}

impl FromStr for Until {
    type Err = NotWhen;
    fn from_str(text: &str) -> Result<Self, NotWhen> {
        text.parse().map(Self::For).or_else(|_| text.parse().map(Self::At)).map_err(|_| NotWhen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_is_a_moment_or_so_long_from_when_it_is_said() {
        let said: Timestamp = "2027-01-01T08:00:00Z".parse().unwrap();
        let moment = |text: &str| text.parse::<Until>().map(|until| until.moment(said).map(|at| at.to_string()));
        assert_eq!(moment("2h"), Ok(Some("2027-01-01T10:00:00Z".into())));
        assert_eq!(moment("1d12h"), Ok(Some("2027-01-02T20:00:00Z".into())));
        assert_eq!(moment("2027-01-02T08:00:00+01:00"), Ok(Some("2027-01-02T07:00:00Z".into())));
        assert_eq!(moment("2027-01-02T08:00Z"), Ok(Some("2027-01-02T08:00:00Z".into())));
        for past in ["2026-12-31T08:00:00Z", "2027-01-01T08:00:00Z", "0s", "9999999999999d"] {
            assert!(matches!(moment(past), Ok(None) | Err(_)), "{past}");
        }
        for odd in ["", "tomorrow", "2027-01-02", "2027-01-02T08:00:00", "2", "-2h", "2h --reason x"] {
            assert_eq!(moment(odd), Err(NotWhen), "{odd}");
        }
    }
}
