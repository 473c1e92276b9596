//! Whether what was to hold after a sync did: for so long, without a break, within so long.
//!
//! Only what was seen counts. While nobody answers, nothing is known, and a condition that was not seen for a minute begins anew.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Between two answers that are taken for one stretch: four questions, of which three may be lost.
const GAP: SignedDuration = SignedDuration::from_secs(60);

/// How long it has to hold, and in how long that has to have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// When it was begun to look.
    pub began: Timestamp,
    /// For how long, without a break.
    pub held_for: SignedDuration,
    /// From the beginning, all of it.
    pub within: SignedDuration,
}

/// What one question found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It holds now.
    Holds,
    /// It does not.
    DoesNot,
    /// Nobody could say, and why.
    Unknown(String),
    /// Nobody ever will, and why.
    Never(String),
}

/// What is remembered between two questions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watched {
    /// It held for as long as it had to.
    pub is_met: bool,
    /// Since when it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When it was seen to hold last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<Timestamp>,
    /// What the last question found, where that is not that it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

impl Watched {
    /// What is known with one more answer; why it failed, if it did: as soon as what is left of the time is too short.
    pub fn with(&self, said: Said, terms: Terms, now: Timestamp) -> (Self, Option<String>) {
        if self.is_met {
            return (self.clone(), None);
        }
        let unbroken = self.since.filter(|_| self.seen.is_some_and(|seen| now.duration_since(seen) <= GAP));
        let mut next = match said {
            Said::Never(why) => return (Self { last: Some(why.clone()), ..Self::default() }, Some(why)),
            Said::Holds => Self { is_met: false, since: Some(unbroken.unwrap_or(now)), seen: Some(now), last: None },
            Said::DoesNot => Self { last: Some("it does not hold".to_owned()), ..Self::default() },
            Said::Unknown(why) => Self {
                is_met: false,
                since: unbroken,
                seen: self.seen.filter(|_| unbroken.is_some()),
                last: Some(format!("it could not be asked: {why}")),
            },
        };
        let held = next.since.map(|since| now.duration_since(since)).unwrap_or_default();
        if next.seen == Some(now) && held >= terms.held_for {
            next.is_met = true;
            return (next, None);
        }
        let left = terms.within.saturating_sub(now.duration_since(terms.began));
        let failed = terms.held_for.saturating_sub(held) > left;
        let why = failed.then(|| next.last.clone().unwrap_or_else(|| "it began to hold too late".to_owned()));
        (next, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of answers, one each fifteen seconds: `+` holds, `-` does not, `?` nobody says, `!` never; at which it ends.
    fn check(answers: &str) -> String {
        let seconds = SignedDuration::from_secs;
        let began: Timestamp = "2026-01-05T09:00:00Z".parse().unwrap();
        let terms = Terms { began, held_for: seconds(60), within: seconds(180) };
        let mut watched = Watched::default();
        for (at, answer) in answers.chars().enumerate() {
            let said = match answer {
                '+' => Said::Holds,
                '-' => Said::DoesNot,
                '!' => Said::Never("no".to_owned()),
                _ => Said::Unknown("away".to_owned()),
            };
            // As it is remembered.
            watched = serde_json::from_value(serde_json::to_value(&watched).unwrap()).unwrap();
            let (next, failed) = watched.with(said, terms, began + seconds(15 * at as i64));
            if let Some(why) = failed {
                return format!("{at}: failed: {why}");
            }
            if next.is_met {
                return format!("{at}: met");
            }
            watched = next;
        }
        format!("waits: {}", watched.last.unwrap_or_else(|| "it holds".to_owned()))
    }

    #[test]
    fn it_has_to_hold_without_a_break_and_in_time() {
        for (answers, expected) in [
            ("+++++", "4: met"),
            ("++++", "waits: it holds"),
            ("++-+++++", "7: met"),
            ("+???+", "4: met"),
            // Nobody saw it for more than a minute.
            ("+????+++++", "9: met"),
            ("+++?", "waits: it could not be asked: away"),
            // Nobody says that it held to the end.
            ("++++?", "waits: it could not be asked: away"),
            ("++++?+", "5: met"),
            ("---------", "waits: it does not hold"),
            ("----------", "9: failed: it does not hold"),
            ("--------+-", "9: failed: it does not hold"),
            ("---------+", "9: failed: it began to hold too late"),
            ("--------+++++", "12: met"),
            ("??????????", "9: failed: it could not be asked: away"),
            ("+!", "1: failed: no"),
        ] {
            assert_eq!(check(answers), expected, "{answers}");
        }
    }
}
