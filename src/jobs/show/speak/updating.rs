//! "Updating for abc1234", in the comment that shows what was before, where a new preview takes its time.
//!
//! One that is there in a moment is written once and not announced. What is said here is no preview: it shows and binds what the
//! stored one did, and the job that says it goes on to write the new one over it, or is run again until it has.

use sha2::{Digest as _, Sha256};

use super::{COMMENT_LIMIT, Writer};
use crate::db::{previews, pulls};
use crate::jobs::error::JobError;
use crate::jobs::gather::repository::Repository;
use crate::preview::{self, Page};
use crate::queue::Lease;

/// Says it, when there is a preview of another head that took long.
pub(in crate::jobs) async fn say_updating(
    repository: &Repository<'_>,
    row: &pulls::Pull,
    lease: &Lease,
) -> Result<(), JobError> {
    let (Some(ours), head, number) = (row.comment_id, &row.facts.head_sha, row.facts.number) else { return Ok(()) };
    let mut conn = repository.context.pool.acquire().await?;
    let newest = previews::of(&mut conn, repository.row.id, number).await?.pop();
    drop(conn);
    let Some(newest) = newest.filter(|newest| newest.head != *head && newest.shown_at.is_some()) else { return Ok(()) };
    let Ok(page) = serde_json::from_value::<Page>(newest.page) else { return Ok(()) };
    if !page.takes_long() {
        return Ok(());
    }
    let link = repository.page_of(newest.id);
    let shown = preview::comment(&page, Some(&link), COMMENT_LIMIT);
    let said = preview::updating(&page, head, Some(&link), COMMENT_LIMIT);
    let hash: [u8; 32] = Sha256::digest(&said.text).into();
    // Nothing that people could consent to may leave for these words; and a job that is run again has said them.
    if said.shows != shown.shows || row.comment_hash.as_deref() == Some(&hash[..]) {
        return Ok(());
    }
    match Writer::new(repository, lease).comment(number, Some(ours), &said.text, None).await? {
        Ok(_) => {}
        // A new comment is made when there is something to show.
        Err(error) if error.is_gone() => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let mut conn = repository.context.pool.acquire().await?;
    let statuses = row.status_hash.as_deref().unwrap_or_default();
    pulls::set_written(&mut conn, row.id, Some((ours, &hash)), statuses).await?;
    Ok(())
}
