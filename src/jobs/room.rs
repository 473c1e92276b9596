//! Whether a forge has room for a job, asked before the job begins: what is begun is brought to its end, and what has to wait
//! costs nothing meanwhile.

use serde::Deserialize;

use super::context::Context;
use super::error::JobError;
use crate::db::{previews, repositories};
use crate::forge::budget::{Cost, Urgency};
use crate::ids::{ForgeName, RepositoryKey};
use crate::queue::{Claimed, Lane};

/// Points that are free when a preview or a sweep begins: what the previews cost that two servers have begun by then.
const ROOM: u32 = 200;
/// The same of a sweep: most find nothing new, and cost five.
const SWEEP: u32 = 30;

/// What the jobs of a repository have in their payload.
#[derive(Debug, Deserialize)]
struct Ids {
    forge: ForgeName,
    repository: i64,
    number: Option<i64>,
}

/// How urgent the jobs of a lane are.
pub(super) fn urgency(lane: Lane) -> Urgency {
    match lane {
        Lane::Sync => Urgency::Sync,
        Lane::Default => Urgency::Preview,
        Lane::Sweep => Urgency::Sweep,
    }
}

/// Whether there is room. A sync, and what is said of it, begins at once. A preview that is made, and of which only the
/// comment is missing, begins when a comment may be written.
///
/// # Errors
/// [`JobError::NoRoom`].
pub(super) async fn look(context: &Context, job: &Claimed) -> Result<(), JobError> {
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
    Ok(access
        .forge
        .room(
            owner,
            Cost { points: if job.lane == Lane::Sweep { SWEEP } else { ROOM }, creations: u32::from(is_unsaid) },
        )
        .await?)
}
