//! Whether a forge has room for a job, asked before the job begins: what is begun is brought to its end, and what has to wait
//! costs nothing meanwhile.

use std::time::Duration;

use serde::Deserialize;

use super::context::Context;
use super::error::JobError;
use crate::db::{previews, repositories};
use crate::forge::budget::{Cost, Urgency};
use crate::ids::{ForgeName, RepositoryKey};
use crate::queue::{self, Claimed, Lane};

/// Points that are free when a preview or a sweep begins: what the previews cost that two servers have begun by then.
const ROOM: u32 = 200;
/// The same of a sweep: most find nothing new, and cost five.
const SWEEP: u32 = 30;
/// A sweep that was asked for so long ago takes its turn with the previews: they may leave it no room for hours, and what no
/// delivery told has to be found. Those that wait are many, and so begin no sooner than a preview may.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// What the jobs of a repository have in their payload.
#[derive(Debug, Deserialize)]
struct Ids {
    forge: ForgeName,
    repository: i64,
    number: Option<i64>,
}

/// On which terms a job is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) urgency: Urgency,
    /// Points that are free when it begins.
    room: u32,
}

/// The terms of a job, by how long it has waited.
///
/// # Errors
/// When the database cannot be asked.
pub(super) async fn terms(context: &Context, job: &Claimed) -> Result<Terms, JobError> {
    let waited = match job.lane {
        Lane::Sync | Lane::Default => Duration::ZERO,
        Lane::Sweep => queue::age(&mut *context.pool.acquire().await?, job).await?,
    };
    Ok(Terms::of(job.lane, waited))
}

impl Terms {
    fn of(lane: Lane, waited: Duration) -> Self {
        match lane {
            Lane::Sync => Self { urgency: Urgency::Sync, room: 0 },
            Lane::Default => Self { urgency: Urgency::Preview, room: ROOM },
            Lane::Sweep if waited >= PATIENCE => Self { urgency: Urgency::Preview, room: ROOM },
            Lane::Sweep => Self { urgency: Urgency::Sweep, room: SWEEP },
        }
    }
}

/// Whether there is room. A sync, and what is said of it, begins at once. A preview that is made, and of which only the
/// comment is missing, begins when a comment may be written.
///
/// # Errors
/// [`JobError::NoRoom`].
pub(super) async fn look(context: &Context, job: &Claimed, terms: Terms) -> Result<(), JobError> {
    if job.lane == Lane::Sync {
        return Ok(());
    }
    // Whatever else it is, the job says it itself.
    let Ok(ids) = Ids::deserialize(&job.payload) else { return Ok(()) };
    let Some(access) = context.forges.get(&ids.forge) else { return Ok(()) };
    let key = RepositoryKey { forge: ids.forge, id: ids.repository };
    let mut conn = context.pool.acquire().await?;
    let Some(known) = repositories::by_key(&mut conn, &key).await? else { return Ok(()) };
    let is_unsaid = match ids.number {
        Some(number) => previews::is_unsaid(&mut conn, known.id, number).await?,
        None => false,
    };
    drop(conn);
    let owner = known.full_name.split('/').next().unwrap_or_default();
    Ok(access.forge.room(owner, Cost { points: terms.room, creations: u32::from(is_unsaid) }).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_that_waited_for_minutes_is_as_urgent_as_a_preview_and_no_job_waits_longer_to_be_more() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        assert_eq!(Terms::of(Lane::Sweep, minutes(4)), Terms { urgency: Urgency::Sweep, room: SWEEP });
        assert_eq!(Terms::of(Lane::Sweep, minutes(5)), Terms::of(Lane::Default, minutes(0)));
        assert_eq!(Terms::of(Lane::Sweep, minutes(600)), Terms::of(Lane::Default, minutes(600)));
        assert_eq!(Terms::of(Lane::Sync, minutes(0)).urgency, Urgency::Sync);
    }
}
