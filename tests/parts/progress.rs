//! What is being started, told to whoever waits.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// One thing to tell: a part begins to start, or is ready.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Starting { part: &'static str },
    Ready { part: &'static str, after: Duration },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting { part } => write!(f, "starting {part}"),
            Self::Ready { part, after } => write!(f, "{part} is ready after {:.1} s", after.as_secs_f32()),
        }
    }
}

/// Where steps are told.
#[derive(Clone)]
pub(crate) struct Progress(Arc<dyn Fn(&Step) + Send + Sync>);

impl Progress {
    /// To nobody.
    pub(crate) fn silent() -> Self {
        Self::to(|_| ())
    }

    /// To this function, from whichever thread the start runs on.
    pub(crate) fn to(listener: impl Fn(&Step) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    /// Tells that `part` starts, and that it is ready when `start` has succeeded.
    pub(super) async fn of<T>(&self, part: &'static str, start: impl Future<Output = Result<T>>) -> Result<T> {
        (self.0)(&Step::Starting { part });
        let began = Instant::now();
        let started = start.await.with_context(|| format!("{part} did not start"))?;
        (self.0)(&Step::Ready { part, after: began.elapsed() });
        Ok(started)
    }
}
