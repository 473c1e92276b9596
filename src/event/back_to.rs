//! Where a rollback goes, as people write it: a deployment's number, or a commit.

use std::str::FromStr;

use super::command::{Command, quoted, too_much};
use super::selector::Selector;

/// Digits of a commit's id that name one: as few as Git itself shows, as many as there are.
const COMMIT: std::ops::RangeInclusive<usize> = 7..=64;

/// What somebody goes back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackTo {
    /// The deployment with this number.
    Number(i64),
    /// The newest deployment of the commit whose id begins so, in lower case.
    Commit(String),
}

/// Neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a deployment's number (39), or seven digits of a commit at least")]
pub struct NoWay;

impl FromStr for BackTo {
    type Err = NoWay;
    fn from_str(text: &str) -> Result<Self, NoWay> {
        let plain = text.strip_prefix('#').unwrap_or(text);
        if !plain.is_empty() && plain.len() < *COMMIT.start() && plain.bytes().all(|byte| byte.is_ascii_digit()) {
            return plain.parse().map(Self::Number).map_err(|_| NoWay);
        }
        if COMMIT.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self::Commit(text.to_ascii_lowercase()));
        }
        Err(NoWay)
    }
}

impl std::fmt::Display for BackTo {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(out, "#{number}"),
            Self::Commit(commit) => write!(out, "of {commit}"),
        }
    }
}

/// `rollback ENV [--to N|COMMIT] [--reason …]`, without its first word.
pub(super) fn read(words: &[&str], reason: Option<String>) -> Result<Command, String> {
    let line = "`/bascule rollback ENV [--to N|COMMIT] [--reason …]`";
    let (environments, to) = match words {
        [] => return Err(format!("`rollback` needs the environment: {line}; nothing was done.")),
        [environments] => (environments, None),
        [environments, option, rest @ ..] => match (option.strip_prefix("--to"), rest) {
            (Some(""), [to]) => (environments, Some(*to)),
            (Some(to), []) if to.starts_with('=') => (environments, Some(&to[1..])),
            _ => return Err(too_much("rollback", option)),
        },
    };
    let to = match to {
        Some(to) => Some(
            to.parse::<BackTo>()
                .map_err(|error| format!("`--to` takes {error}, not {}; nothing was done.", quoted(to)))?,
        ),
        None => None,
    };
    let environments = Selector::parse(environments)?;
    if to.is_some() && !matches!(environments, Selector::Name(_)) {
        return Err("`--to` names a deployment of one environment: give the environment's own name; nothing was done."
            .to_owned());
    }
    Ok(Command::Rollback { environments, to, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_short_and_a_commit_is_not() {
        for (text, read) in [
            ("39", Some(BackTo::Number(39))),
            ("#39", Some(BackTo::Number(39))),
            ("1234567", Some(BackTo::Commit("1234567".to_owned()))),
            ("ABCDEF0", Some(BackTo::Commit("abcdef0".to_owned()))),
            ("", None),
            ("#", None),
            ("abcdef", None),
            ("-1", None),
            ("39.", None),
            ("#1234567", None),
            ("main", None),
        ] {
            assert_eq!(text.parse().ok(), read, "{text}");
        }
        assert!("a".repeat(64).parse::<BackTo>().is_ok() && "a".repeat(65).parse::<BackTo>().is_err());
    }
}
