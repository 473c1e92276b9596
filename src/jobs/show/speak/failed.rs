//! What we say in a pull request whose job came to no good end: a person who waits for a preview hears why there is none.

use sha2::{Digest as _, Sha256};

use super::{COMMENT_LIMIT, Said, statuses};
use crate::db::pulls;
use crate::jobs::error::JobError;
use crate::jobs::gather::repository::Repository;
use crate::jobs::show::judged::empty;
use crate::jobs::show::writer::Writer;
use crate::preview::{self, Outcome, Page, Subject};
use crate::queue::Lease;

/// Says it in the comment and both statuses, and stores that in a transaction of its own: the job has failed.
pub(in crate::jobs) async fn say_failed(
    repository: &Repository<'_>,
    row: &pulls::Pull,
    why: &str,
    lease: &Lease,
) -> Result<(), JobError> {
    let facts = &row.facts;
    let subject = Subject::Pull { head: facts.head_sha.clone(), into: facts.base_branch.clone() };
    let page = Page { outcome: Outcome::Failed { why: why.to_owned() }, ..empty(subject) };
    let said = Said {
        number: facts.number,
        head: &facts.head_sha,
        base: &facts.base_sha,
        comment: row.comment_id,
        comment_hash: row.comment_hash.as_deref(),
        statuses: Some(row.status_hash.as_deref()),
    };
    let writer = Writer::new(repository, lease);
    let text = preview::comment(&page, None, COMMENT_LIMIT).text;
    let hash: [u8; 32] = Sha256::digest(&text).into();
    let ourselves = repository.ourselves().await?;
    let comments = repository.forge().comments(&repository.at, facts.number).await?;
    let mut ours = comments.into_iter().filter(|comment| comment.author.as_ref() == Some(ourselves));
    let ours = ours.find(|comment| Some(comment.id) == row.comment_id || preview::is_marked(&comment.body));
    let comment = match ours {
        Some(comment) if comment.body.trim() == text.trim() => comment,
        ours => writer.comment(facts.number, ours.map(|ours| ours.id), &text, None).await??,
    };
    let statuses = statuses(writer, &said, row.status_hash.as_deref(), &page, None).await?;
    let mut conn = repository.context.pool.acquire().await?;
    pulls::set_written(&mut conn, row.id, Some((comment.id, &hash)), &statuses).await?;
    Ok(())
}
