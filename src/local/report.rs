//! What a local command has to say, and how it ended.

use std::process::ExitCode;

/// How a command ended: the exit codes of every command of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// 0: it is good.
    Good,
    /// 1: it is bad, and the text says why.
    Bad,
    /// 2: it could not be found out.
    CouldNot,
    /// 3: a policy denies it.
    Denied,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        Self::from(match verdict {
            Verdict::Good => 0,
            Verdict::Bad => 1,
            Verdict::CouldNot => 2,
            Verdict::Denied => 3,
        })
    }
}

/// A verdict and the lines that explain it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub verdict: Verdict,
    /// For a person, whole lines.
    pub text: String,
}

impl Report {
    /// A report with its lines.
    pub fn new(verdict: Verdict, text: impl Into<String>) -> Self {
        Self { verdict, text: text.into() }
    }

    /// Both, the worse verdict first.
    pub fn and(self, other: Self) -> Self {
        Self { verdict: self.verdict.max(other.verdict), text: self.text + &other.text }
    }
}
