//! What we show of a commit beyond a status, where a forge has more.

use super::facts::NewStatus;

/// A check run of ours: a status with more to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCheck {
    /// Its name, state, one line, and where it leads.
    pub status: NewStatus,
    /// Markdown.
    pub summary: String,
    /// Lines of files with what is wrong there. A run is only ever added to: these are told when it is made.
    pub marks: Vec<Mark>,
    /// Ours among those of its name, for when its making was not answered.
    pub round: i32,
}

/// A line of a file, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// In the repository.
    pub path: String,
    /// From 1.
    pub line: u32,
    /// In words.
    pub message: String,
}
