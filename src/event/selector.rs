//! Which environments a command is about.

use super::command::quoted;
use crate::ids::EnvironmentName;

/// ENV: a name, a glob (`*`), or `stage=production`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Exactly this one.
    Name(EnvironmentName),
    /// Those whose name matches; `*` is any run of characters.
    Glob(String),
    /// Those of this stage.
    Stage(String),
}

impl Selector {
    /// Whether an environment of this name and stage is meant.
    pub fn matches(&self, name: &EnvironmentName, stage: Option<&str>) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Glob(pattern) => glob_matches(pattern.as_bytes(), name.as_str().as_bytes()),
            Self::Stage(wanted) => stage == Some(wanted),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let plain =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if let Some(stage) = text.strip_prefix("stage=") {
            return if plain(stage) { Ok(Self::Stage(stage.to_owned())) } else { Err(refused_name(text)) };
        }
        if text.contains('*') {
            return if text.split('*').all(|part| part.is_empty() || plain(part)) && text.len() <= 63 {
                Ok(Self::Glob(text.to_owned()))
            } else {
                Err(refused_name(text))
            };
        }
        text.parse().map(Self::Name).map_err(|_| refused_name(text))
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => name.fmt(out),
            Self::Glob(pattern) => out.write_str(pattern),
            Self::Stage(stage) => write!(out, "stage={stage}"),
        }
    }
}

fn refused_name(text: &str) -> String {
    format!("{} is not an environment's name, a glob or `stage=NAME`; nothing was done.", quoted(text))
}

/// `*` is any run. Linear in practice: remembers only the last star.
fn glob_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == text.get(t) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}
