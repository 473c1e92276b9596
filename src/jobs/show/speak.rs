//! What we say in a place: the one comment, found or made, edited only when its text changes; both statuses; answers to
//! commands. What was shown is stored around the write, so that it is known when people could have read it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

mod adopts;
mod beside;
mod commands;
mod emergencies;
mod explains;
mod failed;
mod freezes;
mod heals;
mod may;
mod rollbacks;
mod syncs;
mod updating;

use super::progress;
use super::writer::Writer;
use crate::consent::Denial;
use crate::db::previews::{self, Looks, NewPreview, Showing, ShownChange};
use crate::db::{approvals, pulls};
use crate::forge::Comment;
use crate::ids::{ChangeDigest, CommitId, EnvironmentName};
use crate::jobs::error::JobError;
use crate::jobs::gather::place::Attended;
use crate::jobs::gather::repository::Repository;
use crate::jobs::route;
use crate::jobs::step::Step;
use crate::preview::{self, Page};
use crate::queue::{Claimed, Lease, NewJob};

use beside::statuses;

pub(in crate::jobs) use beside::set_statuses;
pub(in crate::jobs) use commands::{answers, lets_in};
pub(in crate::jobs) use failed::say_failed;
pub(in crate::jobs) use updating::say_updating;

/// The longest comment the forges take, in bytes of UTF-8 (GitHub's 65,536 characters, with room to spare).
pub(in crate::jobs) const COMMENT_LIMIT: usize = 60_000;
/// Answers kept in a comment.
const ANSWERS: usize = 5;

/// An environment that was looked at.
#[derive(Debug, Clone)]
pub(in crate::jobs) struct Seen {
    name: EnvironmentName,
    change: Option<ShownChange>,
}

impl Seen {
    /// It stays as it is.
    pub(in crate::jobs) fn unchanged(name: EnvironmentName) -> Self {
        Self { name, change: None }
    }

    /// It would change.
    pub(in crate::jobs) fn changed(change: ShownChange) -> Self {
        Self { name: change.shown.environment.clone(), change: Some(change) }
    }

    /// Which environment.
    pub(in crate::jobs) fn name(&self) -> &EnvironmentName {
        &self.name
    }

    fn look(&self) -> Option<ChangeDigest> {
        self.change.as_ref().map(|change| change.shown.change)
    }
}

/// Where we speak, and what was said last.
#[derive(Debug)]
pub(in crate::jobs) struct Said<'a> {
    pub(in crate::jobs) number: i64,
    pub(in crate::jobs) head: &'a CommitId,
    pub(in crate::jobs) base: &'a CommitId,
    pub(in crate::jobs) comment: Option<i64>,
    pub(in crate::jobs) comment_hash: Option<&'a [u8]>,
    /// `None`: an issue, which has no statuses.
    pub(in crate::jobs) statuses: Option<Option<&'a [u8]>>,
}

/// What was said, to be recorded with the end of the job.
#[derive(Debug, Default)]
pub(in crate::jobs) struct Spoken {
    preview: Option<(Showing, Timestamp)>,
    comment: Option<(i64, [u8; 32])>,
    statuses: Option<Vec<u8>>,
    answered: Vec<(i64, String)>,
    acts: commands::Acts,
    /// A cluster, or the forge's answer about somebody, that was away, so that less was said than there is to say: the job is tried again.
    pub(in crate::jobs) away: Option<String>,
}

impl Spoken {
    /// The jobs to enqueue when it ends.
    pub(in crate::jobs) fn jobs(&self) -> &[NewJob] {
        &self.acts.jobs
    }
}

/// Says it.
pub(in crate::jobs) async fn say(
    repository: &Repository<'_>,
    said: Said<'_>,
    heard: &Attended,
    page: Page,
    seen: Vec<Seen>,
    job: &Claimed,
    lease: &Lease,
) -> Result<Spoken, JobError> {
    let writer = Writer::new(repository, lease);
    let (showing, text) = store(repository, &said, heard, &page, &seen, job).await?;
    let preview = showing.preview;
    repository.met(Step::PreviewStored);
    let hash: [u8; 32] = Sha256::digest(&text).into();
    // Whoever could not be asked about now is asked about again.
    let mut spoken = Spoken { away: heard.people.away.clone(), ..Spoken::default() };

    let ours = ours(repository, &said, heard).await?;
    let unchanged = ours.as_ref().is_some_and(|comment| comment.body.trim() == text.trim());
    let comment = match ours {
        Some(comment) if unchanged => comment,
        ours => writer.comment(said.number, ours.map(|ours| ours.id), &text, Some(&showing)).await??,
    };
    spoken.preview = Some((showing, comment.updated_at));
    spoken.comment = Some((comment.id, hash));
    if let Some(before) = said.statuses {
        spoken.statuses = Some(statuses(writer, &said, before, &page, Some(preview)).await?);
    }
    let is_new = heard.remembered.previews.last().is_none_or(|newest| newest.id != preview);
    let stands = |one: &approvals::Stored| one.recorded.state == crate::consent::State::Stands;
    if is_new && heard.remembered.approvals.iter().any(stands) {
        // What is shown from now on voids what was given for what was shown before; another look finds it, whether or
        // not the forge tells us of our own comment.
        spoken.acts.jobs.push(route::attend_pull(&repository.row.key, said.number, job.trace));
    }
    let asked = commands::new_commands(repository, heard).await?;
    for one in &asked {
        commands::react(writer, said.number, one).await?;
        spoken.answered.push((one.id, format!("{:?}", one.command).chars().take(200).collect()));
        spoken.acts.extend(commands::acts(repository, heard, one, job).await?);
    }
    Ok(spoken)
}

/// Only the statuses: a pull request that touches nothing of ours gets no comment, unless it had one.
pub(in crate::jobs) async fn quietly(
    repository: &Repository<'_>,
    row: &pulls::Pull,
    page: Page,
    lease: &Lease,
) -> Result<Spoken, JobError> {
    let comment = progress::comment(repository, row).await?;
    let said = Said {
        number: row.facts.number,
        head: &row.facts.head_sha,
        base: &row.facts.base_sha,
        comment,
        comment_hash: row.comment_hash.as_deref(),
        statuses: Some(row.status_hash.as_deref()),
    };
    let writer = Writer::new(repository, lease);
    let mut spoken = Spoken::default();
    if let Some(id) = comment {
        let text = preview::comment(&page, None, COMMENT_LIMIT).text;
        let hash: [u8; 32] = Sha256::digest(&text).into();
        if said.comment_hash != Some(&hash[..]) {
            match writer.comment(said.number, Some(id), &text, None).await? {
                Ok(_) => spoken.comment = Some((id, hash)),
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    spoken.statuses = Some(statuses(writer, &said, row.status_hash.as_deref(), &page, None).await?);
    Ok(spoken)
}

/// Stores the preview before it is posted: a new one when something else is shown, else the same with its page moved on.
async fn store(
    repository: &Repository<'_>,
    said: &Said<'_>,
    heard: &Attended,
    page: &Page,
    seen: &[Seen],
    job: &Claimed,
) -> Result<(Showing, String), JobError> {
    let looks: Looks = seen.iter().map(|one| (one.name.clone(), one.look())).collect();
    let stored = serde_json::to_value(page).map_err(|error| JobError::Final(error.to_string()))?;
    let mut tx = repository.context.pool.begin().await?;
    let newest = heard.remembered.previews.last();
    let same = newest.filter(|newest| newest.head == *said.head && newest.looks == looks);
    let (id, is_new) = match same {
        Some(same) => {
            previews::set_page(&mut tx, same.id, &stored).await?;
            (same.id, false)
        }
        None => {
            let new = NewPreview {
                repository: repository.row.id,
                number: said.number,
                head: said.head,
                base: said.base,
                merge_tree: None,
                page: &stored,
                looks: &looks,
                trace: job.trace,
            };
            (previews::insert(&mut tx, &new).await?, true)
        }
    };
    let link = repository.page_of(id);
    let comment = preview::comment(page, Some(&link), COMMENT_LIMIT);
    // What leaves the comment for want of room is not shown, and nothing can be bound to it until there is room.
    let shown = seen.iter().filter_map(|one| one.change.as_ref());
    let shown: Vec<&ShownChange> = shown.filter(|change| comment.shows.contains(&change.shown.environment)).collect();
    for change in &shown {
        // Nor can a waiver be, to what is denied and has its digits nowhere in the text.
        let digits = |denial: &&Denial| comment.text.contains(&denial.digest(&change.shown.change).short());
        let denials: BTreeSet<Denial> = change.shown.denials.iter().filter(digits).cloned().collect();
        let known = heard.remembered.shown.iter().any(|one| {
            let is_it = one.shown.preview == id && one.environment == change.environment;
            is_it && denials.is_subset(&one.shown.denials)
        });
        // The same change may be denied with other words: then that is what is shown from now on.
        if is_new || !known {
            let mut change = (*change).clone();
            (change.shown.preview, change.shown.denials) = (id, denials);
            previews::about_to_show(&mut tx, &change).await?;
        }
    }
    let environments = shown.iter().map(|change| change.environment).collect();
    tx.commit().await?;
    Ok((Showing { preview: id, environments }, comment.text))
}

/// Our comment: by the stored id, else by our own marker and account, so that there is one after a crash too.
async fn ours(repository: &Repository<'_>, said: &Said<'_>, heard: &Attended) -> Result<Option<Comment>, JobError> {
    let ourselves = repository.ourselves().await?;
    let mut comments = heard.said.comments.iter().filter(|comment| comment.author.as_ref() == Some(ourselves));
    let by_id = comments.clone().find(|comment| Some(comment.id) == said.comment);
    Ok(by_id.or_else(|| comments.find(|comment| preview::is_marked(&comment.body))).cloned())
}

/// Records what was said, in the transaction that ends the job.
pub(in crate::jobs) async fn record(
    conn: &mut PgConnection,
    repository: &Repository<'_>,
    row: Option<&pulls::Pull>,
    spoken: &Spoken,
) -> Result<(), JobError> {
    if let Some((showing, at)) = &spoken.preview {
        previews::now_shown(conn, showing, *at).await?;
    }
    if let Some(row) = row {
        let comment = spoken.comment.as_ref().map(|(id, hash)| (*id, &hash[..]));
        let statuses = spoken.statuses.as_deref().or(row.status_hash.as_deref());
        pulls::set_written(conn, row.id, comment, statuses.unwrap_or_default()).await?;
    }
    spoken.acts.record(conn).await?;
    for (comment, answer) in &spoken.answered {
        approvals::command_done(conn, repository.row.id, *comment, answer).await?;
    }
    Ok(())
}
