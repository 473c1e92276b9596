//! What is said beside a commit: both statuses, and `bascule/preview` as a check run where the forge has them and lets us.
//! A commit never has both of one name, since branch protection would ask for both: how it was said first, it is said on.

use sha2::{Digest as _, Sha256};

use super::{COMMENT_LIMIT, Said};
use crate::db::check_runs::{self, CheckRun};
use crate::forge::{self, Fate, NewCheck, NewStatus, StatusState};
use crate::ids::CommitId;
use crate::jobs::error::JobError;
use crate::jobs::gather::repository::Repository;
use crate::jobs::show::writer::Writer;
use crate::preview::{self, Check, PREVIEW_CONTEXT, Page, StatusLine, Tells};

/// Bytes of one status' hash among those of both.
const HASH: usize = 32;

pub(super) async fn statuses(
    writer: Writer<'_>,
    said: &Said<'_>,
    before: Option<&[u8]>,
    page: &Page,
    preview: Option<i64>,
) -> Result<Vec<u8>, JobError> {
    let lines = [preview::preview_status(page), preview::consent_status(page)];
    let url = preview.map(|preview| writer.repository().page_of(preview));
    let check = preview::check(page, url.as_deref(), COMMENT_LIMIT);
    set_statuses(writer, (said.number, said.head), before, lines, (check, url)).await
}

/// Sets those of both statuses that say something else than `before`; gives what is to be `before` the next time. `more` is
/// what a check run says beside its line, and where both lead.
pub(in crate::jobs) async fn set_statuses(
    writer: Writer<'_>,
    (number, head): (i64, &CommitId),
    before: Option<&[u8]>,
    lines: [StatusLine; 2],
    (more, url): (Check, Option<String>),
) -> Result<Vec<u8>, JobError> {
    let before: Vec<&[u8]> = before.unwrap_or_default().chunks(HASH).collect();
    let mut hashes = Vec::new();
    let mut unsaid = None;
    for (at, line) in lines.into_iter().enumerate() {
        let run = match line.context {
            PREVIEW_CONTEXT => run_of(writer.repository(), head).await?,
            _ => None,
        };
        let mut words = format!("{head} {line:?}");
        if run.is_some() {
            words.push_str(&format!(" {more:?}"));
        }
        let hash: [u8; HASH] = Sha256::digest(words).into();
        hashes.extend(hash);
        let is_said = before.get(at) == Some(&&hash[..]);
        let state = match line.state {
            preview::StatusState::Pending => StatusState::Pending,
            preview::StatusState::Success => StatusState::Success,
            preview::StatusState::Failure => StatusState::Failure,
            preview::StatusState::Error => StatusState::Error,
        };
        let status =
            NewStatus { context: line.context.into(), state, description: line.description, target_url: url.clone() };
        match run {
            // Whatever was said before: its making was not answered, or somebody asked for another. Consent is said whatever
            // becomes of it.
            Some(run) if !is_said || run.number.is_none() && run.round > 0 => {
                unsaid = say(writer, (number, head), run, status, &more).await.err().or(unsaid);
            }
            None if !is_said => writer.status(number, head, &status).await??,
            Some(_) | None => {}
        }
    }
    unsaid.map_or(Ok(hashes), Err)
}

/// The check run of a commit; `None` where it has a status instead.
async fn run_of(repository: &Repository<'_>, head: &CommitId) -> Result<Option<CheckRun>, JobError> {
    let forge = repository.forge();
    if !forge.has_checks() {
        return Ok(None);
    }
    let may = forge.may_check(&repository.at).await?;
    let mut conn = repository.context.pool.acquire().await?;
    let run = check_runs::of(&mut conn, repository.row.id, head, !may).await?;
    Ok(Some(run).filter(|run| !run.as_status))
}

/// Of the lines it marks.
fn check_hash(check: &Check) -> [u8; HASH] {
    Sha256::digest(format!("{:?}", check.marks)).into()
}

/// Says it in the run there is; in a new one, where other lines are marked than those of the one there is, since what is
/// marked stays.
async fn say(
    writer: Writer<'_>,
    (number, head): (i64, &CommitId),
    run: CheckRun,
    status: NewStatus,
    more: &Check,
) -> Result<(), JobError> {
    let repository = writer.repository();
    let (pool, row) = (&repository.context.pool, repository.row.id);
    let marks = check_hash(more);
    let is_marked_so = run.marks.as_deref() == Some(&marks[..]);
    let known = match run.number {
        Some(number) => Some(number),
        None if run.round > 0 => {
            repository.forge().find_check(&repository.at, head, &status.context, run.round).await?
        }
        None => None,
    };
    let known = known.filter(|_| is_marked_so);
    let round = match known {
        Some(_) => run.round,
        None => check_runs::next(&mut *pool.acquire().await?, row, head, &marks).await?,
    };
    let mark = |mark: &preview::Mark| forge::Mark {
        path: mark.path.clone(),
        line: mark.line,
        message: mark.message.clone(),
        is_warning: mark.tells == Tells::Warns,
    };
    let marks = more.marks.iter().map(mark).collect();
    let check = NewCheck { status, summary: more.summary.clone(), marks, round };
    let (made, round) = match writer.check(number, head, known, &check).await? {
        // Another App made it, or somebody removed it: there is another one from now on.
        Err(error) if known.is_some() && (error.is_gone() || error.fate == Fate::Refused) => {
            let marks = check_hash(more);
            let round = check_runs::next(&mut *pool.acquire().await?, row, head, &marks).await?;
            (writer.check(number, head, None, &NewCheck { round, ..check }).await??, round)
        }
        made => (made?, round),
    };
    check_runs::made(&mut *pool.acquire().await?, row, head, round, made).await?;
    Ok(())
}
