//! Where in a file something is wrong.

use serde::{Deserialize, Serialize};

/// How much a mark weighs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tells {
    /// Nothing passes before it is put right.
    #[default]
    Wrong,
    /// Somebody should look at it.
    Warns,
}

impl Tells {
    fn is_wrong(&self) -> bool {
        *self == Self::Wrong
    }
}

/// A line of a file, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// In the repository.
    pub path: String,
    /// From 1.
    pub line: u32,
    /// In words.
    pub message: String,
    /// How much it weighs.
    #[serde(default, skip_serializing_if = "Tells::is_wrong")]
    pub tells: Tells,
}

impl Mark {
    /// Of an error that begins with the place of one of these files: `deploy/web.yaml:3: …`. A renderer's output has other
    /// names, and lines of its own.
    pub fn of<'p>(error: &str, files: impl IntoIterator<Item = &'p str>) -> Option<Self> {
        let placed = |path: &'p str| {
            let (line, message) = error.strip_prefix(path)?.strip_prefix(':')?.split_once(": ")?;
            let line = line.split_once(':').map_or(line, |(line, _column)| line);
            let line = line.parse().ok().filter(|line| *line > 0)?;
            Some(Self { path: path.to_owned(), line, message: message.to_owned(), tells: Tells::Wrong })
        };
        files.into_iter().find_map(placed)
    }

    /// Of those errors that begin so.
    pub fn all<'p>(errors: &[String], files: impl IntoIterator<Item = &'p str> + Clone) -> Vec<Self> {
        errors.iter().filter_map(|error| Self::of(error, files.clone())).collect()
    }
}
