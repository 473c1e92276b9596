//! What ended a job early, by what becomes of the job.

use std::time::Duration;

use crate::cluster::ClusterError;
use crate::db::DbError;
use crate::db::sets::SetError;
use crate::forge::ForgeError;
use crate::git::GitError;
use crate::ids::{ClusterName, EnvironmentName, ForgeName};
use crate::queue::worker::chain;
use crate::queue::{Claimed, LeaseLost, Unsettled, Verdict};
use crate::render::RenderError;
use crate::{cluster, db, forge};

/// Tries after which a pull request is told of a failure that may still pass: a minute or so, longer than what passes by
/// itself takes, and shorter than a person waits.
const TOLD_AFTER: i32 = 6;

/// What a fetch needs.
const CLONING: &str = "the token of `bascule.toml` has to be able to read the repository's code";

/// Why a job stopped.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// It may pass: the queue tries again with growing delay, and gives up at last.
    #[error("{0}")]
    Passing(String),
    /// What it depends on is away: the queue tries again until it is back, however long.
    #[error("{0}")]
    Away(String),
    /// A cluster that has to be asked before anything is judged does not answer, or does not let us in.
    #[error("{}", .0.why)]
    ClusterAway(ClusterAway),
    /// What it depends on does not let us in, which only a person can change: the queue tries again, less and less often.
    #[error("{0}")]
    Refused(String),
    /// The same of the repository's code, without which there is no preview: said in the pull request, which [`Self::Refused`]
    /// is not, because saying something may be what is refused.
    #[error("{0}")]
    NoCode(String),
    /// A forge has no room for it now: it asked for a pause, or takes no more for a while.
    #[error("{why}")]
    NoRoom {
        /// Until there is.
        wait: Duration,
        /// Which.
        forge: ForgeName,
        /// What it is short of.
        why: String,
    },
    /// Nothing failed; the world asked for patience.
    #[error("{why}")]
    NotNow {
        /// How long.
        wait: Duration,
        /// Who asked.
        why: String,
    },
    /// It will fail the same way until somebody changes something.
    #[error("{0}")]
    Final(String),
    /// What it was about was overtaken; whoever overtook it has a job of their own.
    #[error("{0}")]
    Superseded(String),
    /// Ends as the one inside does, whose words are for the log alone: they may name addresses.
    #[error(transparent)]
    Unsaid(Box<Self>),
    /// Another worker has the job.
    #[error(transparent)]
    Lost(#[from] LeaseLost),
}

/// Whose cluster does not say what it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterAway {
    /// The environment it is asked for: the one that is judged, or one that it comes after.
    pub environment: EnvironmentName,
    /// The cluster.
    pub cluster: ClusterName,
    /// What it answers, if it does.
    pub why: String,
}

impl JobError {
    /// What a pull request is told, when nothing will be said in it any more by this job, or not soon.
    pub(super) fn said(&self, job: &Claimed) -> Option<String> {
        match self {
            Self::Final(why) | Self::NoCode(why) => Some(why.clone()),
            Self::Passing(why) => (job.attempt >= TOLD_AFTER).then(|| why.clone()),
            Self::Unsaid(inner) => inner
                .said(job)
                .map(|_| format!("something inside Bascule failed; its log says what, with the trace {}", job.trace)),
            Self::Away(_)
            | Self::ClusterAway(_)
            | Self::Refused(_)
            | Self::NoRoom { .. }
            | Self::NotNow { .. }
            | Self::Superseded(_)
            | Self::Lost(_) => None,
        }
    }

    /// The same, in words for the log alone.
    fn unsaid(self) -> Self {
        Self::Unsaid(Box::new(self))
    }

    /// What the queue does.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Unsaid(inner) => inner.verdict(),
            Self::Passing(error) => Verdict::Retry { error },
            Self::Away(error) => Verdict::Later { error },
            Self::ClusterAway(away) => Verdict::Later { error: away.why },
            Self::Refused(error) | Self::NoCode(error) => Verdict::Refused { error },
            Self::NoRoom { wait, forge, why } => Verdict::NoRoom { wait, of: forge.to_string(), error: why },
            Self::NotNow { wait, .. } => Verdict::Snooze { wait },
            Self::Final(error) => Verdict::Fail { error },
            Self::Superseded(_) | Self::Lost(_) => Verdict::Done,
        }
    }
}

impl From<DbError> for JobError {
    fn from(error: DbError) -> Self {
        match error.fate() {
            db::Fate::Retry => Self::Passing(chain(&error)).unsaid(),
            db::Fate::Later => Self::Away(chain(&error)),
            db::Fate::Never => Self::Final(chain(&error)).unsaid(),
        }
    }
}

impl From<sqlx::Error> for JobError {
    fn from(error: sqlx::Error) -> Self {
        DbError::from(error).into()
    }
}

impl From<Unsettled> for JobError {
    fn from(error: Unsettled) -> Self {
        match error {
            Unsettled::Lost(lost) => lost.into(),
            Unsettled::Database(error) => error.into(),
        }
    }
}

impl From<ForgeError> for JobError {
    fn from(error: ForgeError) -> Self {
        match error.fate {
            forge::Fate::Retry { after: Some(wait) } => {
                Self::NoRoom { wait, forge: error.forge.clone(), why: chain(&error) }
            }
            forge::Fate::Retry { after: None } => Self::Away(chain(&error)),
            forge::Fate::Refused => Self::Refused(chain(&error)),
            // Whoever knows what it means that a thing is gone asks for it by name. That one answer among many is a 404
            // may be the forge's own confusion, and must not end work in silence.
            forge::Fate::Gone => Self::Passing(chain(&error)).unsaid(),
            forge::Fate::Invalid => Self::Final(chain(&error)).unsaid(),
        }
    }
}

impl From<GitError> for JobError {
    fn from(error: GitError) -> Self {
        match &error {
            GitError::Unreachable { .. } => Self::Away(chain(&error)),
            GitError::Refused { .. } => Self::NoCode(format!("{}; {CLONING}", chain(&error))),
            // A repository that is always too slow, a branch that is gone, a full disk: tried again, and then reported.
            GitError::TimedOut { .. } | GitError::Gone { .. } | GitError::Broken { .. } => Self::Passing(chain(&error)),
            GitError::TooLarge { .. } | GitError::TooMany { .. } | GitError::Name { .. } => Self::Final(chain(&error)),
        }
    }
}

impl From<RenderError> for JobError {
    fn from(error: RenderError) -> Self {
        // What a render says is said in previews, too.
        Self::Passing(error.to_string())
    }
}

impl From<ClusterError> for JobError {
    fn from(error: ClusterError) -> Self {
        match error.fate() {
            cluster::Fate::Retry { after: Some(wait) } => Self::NotNow { wait, why: chain(&error) },
            cluster::Fate::Retry { after: None } | cluster::Fate::Away => Self::Away(chain(&error)),
            cluster::Fate::Look | cluster::Fate::Held | cluster::Fate::Never => Self::Passing(chain(&error)).unsaid(),
        }
    }
}

impl From<SetError> for JobError {
    fn from(error: SetError) -> Self {
        match error {
            SetError::Database(error) => error.into(),
            SetError::Unopened(_) | SetError::Broken(..) => Self::Final(chain(&error)).unsaid(),
        }
    }
}
