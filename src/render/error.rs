//! What can go wrong with a render, by whose it is to mend.

use std::time::Duration;

use super::files::FilesError;

/// Who can do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Whoever writes the repository: the same content fails again. Fit to be shown and remembered.
    Author,
    /// Whoever runs this program.
    Operator,
    /// Nobody: try again.
    Weather,
    /// There is nothing to render: the environment is gone, or not there yet.
    Absent,
}

/// An error of a render. `Display` is fit for the author of the repository.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The folder is not there at this commit.
    #[error("there is no folder `{path}`")]
    Absent {
        /// The folder.
        path: String,
    },
    /// Something we never render.
    #[error("{file}: {why}")]
    Refused {
        /// The file that asks for it.
        file: String,
        /// What it asks for, and what to do instead.
        why: String,
    },
    /// A file names another that is not there.
    #[error("{by} names `{missing}`, which is not there")]
    Missing {
        /// The file that names it.
        by: String,
        /// What it names.
        missing: String,
    },
    /// A file that has to be understood cannot be.
    #[error("{file} cannot be read: {why}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
    /// More than we are willing to render.
    #[error("{what} is more than the limit of {limit}")]
    TooMuch {
        /// What.
        what: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// The renderer ended with an error.
    #[error("{renderer} failed: {said}")]
    Failed {
        /// Its name and version.
        renderer: String,
        /// The end of what it printed, printable.
        said: String,
    },
    /// The renderer did not end.
    #[error("{renderer} did not end within {limit:?}")]
    TimedOut {
        /// Its name and version.
        renderer: String,
        /// The limit.
        limit: Duration,
    },
    /// It gives something else each time.
    #[error(
        "it gives something else each time it is rendered ({what}), so that nothing can be consented to: write down what it makes up, as a value or as an object of its own"
    )]
    Unsteady {
        /// Which fields, without what they hold.
        what: String,
    },
    /// It gave nothing. Deploying nothing is never what was meant.
    #[error("`{path}` renders to nothing")]
    Empty {
        /// The folder.
        path: String,
    },
    /// The renderer is not installed, or too old.
    #[error("{0}")]
    NoProgram(String),
    /// The box could not be built or the renderer not started.
    #[error("the box for the renderer: {0}")]
    Machine(String),
    /// The repository could not be read.
    #[error(transparent)]
    Files(#[from] FilesError),
}

impl RenderError {
    /// Whose it is to mend.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Absent { .. } => Blame::Absent,
            Self::NoProgram(_) => Blame::Operator,
            // A renderer that computes hits the limit of processor time first; one that waits, waits for the machine.
            Self::TimedOut { .. } | Self::Machine(_) | Self::Files(_) => Blame::Weather,
            Self::Refused { .. }
            | Self::Missing { .. }
            | Self::Unreadable { .. }
            | Self::TooMuch { .. }
            | Self::Failed { .. }
            | Self::Unsteady { .. }
            | Self::Empty { .. } => Blame::Author,
        }
    }

    pub(super) fn refused(file: &str, why: impl Into<String>) -> Self {
        Self::Refused { file: file.to_owned(), why: why.into() }
    }
}
