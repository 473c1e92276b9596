//! A preview of many environments says how far it is, and ends when nobody waits for it any more.

use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::writer::Writer;
use crate::db::pulls;
use crate::forge::{Comment, PullState};
use crate::jobs::error::JobError;
use crate::jobs::gather::repository::Repository;
use crate::preview;
use crate::queue::{self, Lease};

/// Most previews are there before anybody would read how far they are.
const FIRST: SignedDuration = SignedDuration::from_secs(10);
/// Between two words: each is a write, and a forge counts those of all previews together.
const EVERY: SignedDuration = SignedDuration::from_secs(30);
/// Between two questions where the head is: what happened since we began may have been a comment.
const ASK_EVERY: SignedDuration = SignedDuration::from_secs(5);

/// How far one preview is.
pub(in crate::jobs) struct Progress<'a> {
    repository: &'a Repository<'a>,
    pull: &'a pulls::Pull,
    lease: &'a Lease,
    state: Mutex<State>,
}

struct State {
    tell_at: Timestamp,
    ask_at: Option<Timestamp>,
    /// Our comment, as it was before we said how far we are.
    comment: Option<(i64, String)>,
    /// It as we wrote it: what is shown in the end is written over that.
    written: Option<(i64, Vec<u8>)>,
}

impl<'a> Progress<'a> {
    pub(in crate::jobs) fn begins(repository: &'a Repository<'a>, pull: &'a pulls::Pull, lease: &'a Lease) -> Self {
        let tell_at = repository.context.clock.now() + FIRST;
        Self {
            repository,
            pull,
            lease,
            state: Mutex::new(State { tell_at, ask_at: None, comment: None, written: None }),
        }
    }

    /// So many environments are rendered, and others are left.
    ///
    /// # Errors
    /// [`JobError::Superseded`] when there is a newer head: the job that waits for it is another one.
    pub(in crate::jobs) async fn is_at(&self, done: usize, of: usize) -> Result<(), JobError> {
        let now = self.repository.context.clock.now();
        self.is_wanted().await?;
        if self.held().tell_at > now {
            return Ok(());
        }
        // That it cannot be said is no reason to stop: what it is about can perhaps be said later.
        if let Err(error) = self.tell(done, of).await {
            match error {
                JobError::Lost(_) => return Err(error),
                error => tracing::warn!(number = self.pull.facts.number, %error, "cannot say how far a preview is"),
            }
        }
        self.held().tell_at = self.repository.context.clock.now() + EVERY;
        Ok(())
    }

    /// Whether somebody waits for this preview still, asked between environments.
    ///
    /// # Errors
    /// As [`Self::is_at`].
    pub(in crate::jobs) async fn is_wanted(&self) -> Result<(), JobError> {
        let Repository { context, job, at, .. } = self.repository;
        let now = context.clock.now();
        if self.held().ask_at.is_some_and(|ask_at| ask_at > now) {
            return Ok(());
        }
        let mut conn = context.pool.acquire().await?;
        let is_waiting = queue::is_waiting(&mut conn, &job.kind, &job.key).await?;
        drop(conn);
        if !is_waiting {
            return Ok(());
        }
        self.held().ask_at = Some(now + ASK_EVERY);
        let there = self.repository.forge().pull(at, self.pull.facts.number).await?;
        if there.head != self.pull.facts.head_sha || there.state != PullState::Open {
            return Err(JobError::Superseded(format!("the head is {} by now", there.head.short())));
        }
        Ok(())
    }

    async fn tell(&self, done: usize, of: usize) -> Result<(), JobError> {
        let context = self.repository.context;
        let facts = &self.pull.facts;
        let known = self.held().comment.clone();
        let ours = match known {
            Some(ours) => Some(ours),
            None => ours(self.repository, self.pull).await?.map(|one| (one.id, one.body)),
        };
        let (id, body) = ours.unzip();
        let text = preview::progress(body.as_deref(), &facts.head_sha, done, of);
        // Whoever shows what comes of it, now or in another run, writes over this and nothing else. It is said before it is
        // written: a worker that dies right after would leave a line that nobody knows of.
        let hash = under_way(&text);
        let statuses = self.pull.status_hash.as_deref().unwrap_or_default();
        let mut conn = context.pool.acquire().await?;
        pulls::set_writing(&mut conn, self.pull.id, (id, &hash[..]), statuses).await?;
        drop(conn);
        // What became of a write that failed is not known, either.
        self.held().written = id.map(|id| (id, hash.clone()));
        let written = Writer::new(self.repository, self.lease).comment(facts.number, id, &text, None).await??;
        let mut conn = context.pool.acquire().await?;
        pulls::set_written(&mut conn, self.pull.id, Some((written.id, &hash[..])), statuses).await?;
        drop(conn);
        let mut state = self.held();
        state.comment = Some((written.id, body.unwrap_or_default()));
        state.written = Some((written.id, hash));
        Ok(())
    }

    /// The pull request's row, with the comment as it is by now.
    pub(in crate::jobs) fn row(&self) -> pulls::Pull {
        match self.held().written.clone() {
            Some((id, hash)) => pulls::Pull { comment_id: Some(id), comment_hash: Some(hash), ..self.pull.clone() },
            None => self.pull.clone(),
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while it is held")
    }
}

/// Takes the line off our comment, when a pull request was closed or merged while its preview was made: nobody goes on making
/// it. The forge is asked only where what was written last is that line.
pub(in crate::jobs) async fn ends(
    repository: &Repository<'_>,
    pull: &pulls::Pull,
    lease: &Lease,
) -> Result<(), JobError> {
    if !is_under_way(pull.comment_hash.as_deref()) {
        return Ok(());
    }
    let (at, number) = (&repository.at, pull.facts.number);
    let found = match pull.comment_id {
        Some(ours) => match repository.forge().comment(at, number, ours).await {
            Ok(found) => Some(found),
            Err(error) if error.is_gone() => None,
            Err(error) => return Err(error.into()),
        },
        None => ours(repository, pull).await?,
    };
    let ourselves = repository.ourselves().await?;
    let found = found.filter(|one| one.author.as_ref() == Some(ourselves));
    let ours = found.as_ref().map(|one| one.id).or(pull.comment_id);
    let body = found.map(|one| one.body).unwrap_or_default();
    let why = format!("the pull request was {} before it was made", pull.facts.state.as_str());
    let text = preview::without_progress(&body, &why);
    if let (Some(text), Some(ours)) = (&text, ours) {
        match Writer::new(repository, lease).comment(number, Some(ours), text, None).await? {
            Ok(_) => {}
            Err(error) if error.is_gone() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let hash = Sha256::digest(text.unwrap_or(body));
    let statuses = pull.status_hash.as_deref().unwrap_or_default();
    let mut conn = repository.context.pool.acquire().await?;
    Ok(pulls::set_writing(&mut conn, pull.id, (ours, &hash[..]), statuses).await?)
}

/// The number of our comment, where we have one: it is not stored yet when a worker died right after it wrote how far it was.
///
/// # Errors
/// [`JobError`].
pub(in crate::jobs) async fn comment(repository: &Repository<'_>, pull: &pulls::Pull) -> Result<Option<i64>, JobError> {
    match pull.comment_id {
        None if is_under_way(pull.comment_hash.as_deref()) => Ok(ours(repository, pull).await?.map(|one| one.id)),
        known => Ok(known),
    }
}

/// Our comment, by its number or by our marker and account.
async fn ours(repository: &Repository<'_>, pull: &pulls::Pull) -> Result<Option<Comment>, JobError> {
    let ourselves = repository.ourselves().await?;
    let all = repository.forge().comments(&repository.at, pull.facts.number).await?;
    let mut all = all.into_iter().filter(|comment| comment.author.as_ref() == Some(ourselves));
    Ok(all.find(|one| Some(one.id) == pull.comment_id || preview::is_marked(&one.body)))
}

/// The hash of a comment that says how far a preview is: a byte longer than that of one that shows what came of it.
fn under_way(text: &str) -> Vec<u8> {
    let mut hash = Sha256::digest(text).to_vec();
    hash.push(0);
    hash
}

fn is_under_way(hash: Option<&[u8]>) -> bool {
    hash.is_some_and(|hash| hash.len() > Sha256::output_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_how_far_a_preview_is_is_under_way() {
        assert!(is_under_way(Some(&under_way("412 of 1,000"))));
        assert!(!is_under_way(Some(&Sha256::digest("the preview")[..])) && !is_under_way(None));
    }
}
