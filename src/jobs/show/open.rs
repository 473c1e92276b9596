//! An open pull request: what merging it would change of each environment, and who consents to that.

use super::judged::{Judged, empty, judged, touched_no_more};
use super::progress::Progress;
use super::speak::{self, Seen, Spoken};
use crate::consent::Place;
use crate::db::pulls;
use crate::forge;
use crate::git::Merge;
use crate::jobs::error::JobError;
use crate::jobs::gather::baselines::Patience;
use crate::jobs::gather::contents::{Contents, FileAt};
use crate::jobs::gather::place::{self, Attended};
use crate::jobs::gather::repository::Repository;
use crate::jobs::gather::tips::Tips;
use crate::jobs::work;
use crate::preview::{MergeRule, Outcome, Page, Subject as PageSubject};
use crate::queue::{Claimed, Lease};

/// Attends to it.
pub(in crate::jobs) async fn attend(
    repository: &Repository<'_>,
    row: &pulls::Pull,
    pull: &forge::Pull,
    job: &Claimed,
    lease: &Lease,
) -> Result<Option<Spoken>, JobError> {
    // Whoever pushed waits from here on.
    let progress = Progress::begins(repository, row, lease);
    // Gather: both sides of the merge.
    let mirror = &repository.mirror;
    let head = (repository.head_of(pull.number), &pull.head);
    let Some(tips) = repository.tips(&pull.base_branch, Some(head)).await? else {
        return Err(JobError::Superseded("the base branch is gone".to_owned()));
    };
    let Tips { default: default_tip, own: base_tip } = tips;
    if !mirror.has_commit(&pull.head).await? {
        return Err(JobError::Passing("the head moved while it was fetched".to_owned()));
    }
    work::boxed(speak::say_updating(repository, row, lease)).await?;
    let contents = Contents::to_show(repository);
    let contents = if pull.from_fork { contents.of_a_stranger() } else { contents };
    let place = Place { number: pull.number, base_branch: pull.base_branch.clone() };
    let subject = PageSubject::Pull { head: pull.head.clone(), into: pull.base_branch.clone() };
    // Decide.
    let patience = Patience::begins();
    let judged = match mirror.merge_result(&base_tip, &pull.head).await? {
        Merge::Clean { tree } => {
            let tips = (&default_tip, &base_tip);
            work::boxed(judged(repository, &contents, pull, tips, &tree, &patience, Some(&progress))).await?
        }
        merge @ (Merge::Conflict { .. } | Merge::Unrelated) => {
            let base_tree = contents.tree(&base_tip).await?;
            let before = contents.file_at(&contents.tree(&default_tip).await?, &base_tree).await?;
            match merge {
                Merge::Conflict { paths } if !matches!(before, FileAt::Absent) => {
                    Judged::Unheard(Page { outcome: Outcome::Conflict { paths }, ..empty(subject) })
                }
                _ => Judged::Untouched(Page { outcome: Outcome::Untouched, ..empty(subject) }),
            }
        }
    };
    // Act.
    let row = &progress.row();
    let spoken = match judged {
        Judged::Untouched(page) => quietly(repository, row, &place, page, job, lease).await?,
        Judged::Unheard(page) => say(repository, row, &place, page, Vec::new(), job, lease).await?,
        Judged::Heard { mut page, heard, seen, away } => {
            let rules = merge_rules(repository, pull.number, &heard);
            let (answers, rules) = tokio::join!(speak::answers(repository, &heard, &page), rules);
            (page.answers, page.merge_rules) = (answers?, rules);
            let mut spoken = say_heard(repository, row, &heard, page, seen, job, lease).await?;
            spoken.away = away.or(spoken.away);
            spoken
        }
    };
    Ok(Some(spoken))
}

/// What the forge itself asks for before it merges. It is told beside consent and judges nothing, so that a preview does not
/// wait for it, nor is it computed again for it: where the forge does not say, it is as it was shown last.
async fn merge_rules(repository: &Repository<'_>, number: i64, heard: &Attended) -> Vec<MergeRule> {
    let error = match repository.forge().merge_rules(&repository.at, number).await {
        Ok(rules) => return rules.into_iter().map(shown).collect(),
        Err(error) => error,
    };
    tracing::warn!(repository = repository.granted_name(), number, %error, "the forge does not say what it asks for before it merges");
    let newest = heard.remembered.previews.last();
    let stored = newest.and_then(|newest| serde_json::from_value::<Page>(newest.page.clone()).ok());
    stored.map(|page| page.merge_rules).unwrap_or_default()
}

fn shown(rule: forge::MergeRule) -> MergeRule {
    let forge::MergeRule { name, wanted, given, is_met } = rule;
    MergeRule { name, wanted, given, is_met }
}

/// Nothing of ours is touched, by this head or in this branch. Where something was, it is heard and looked at all the same:
/// what was approved then is void now, and would count again if nobody had looked.
async fn quietly(
    repository: &Repository<'_>,
    row: &pulls::Pull,
    place: &Place,
    page: Page,
    job: &Claimed,
    lease: &Lease,
) -> Result<Spoken, JobError> {
    if row.comment_id.is_none() {
        return speak::quietly(repository, row, page, lease).await;
    }
    let cause = work::cause(job);
    let head = &row.facts.head_sha;
    let heard = work::boxed(place::attend(repository, place.clone(), true, head, &cause, job.trace)).await?;
    let seen = touched_no_more(&heard, |_| false);
    say_heard(repository, row, &heard, page, seen, job, lease).await
}

async fn say(
    repository: &Repository<'_>,
    row: &pulls::Pull,
    place: &Place,
    mut page: Page,
    seen: Vec<Seen>,
    job: &Claimed,
    lease: &Lease,
) -> Result<Spoken, JobError> {
    let cause = work::cause(job);
    let heard = place::attend(repository, place.clone(), true, &row.facts.head_sha, &cause, job.trace).await?;
    page.answers = speak::answers(repository, &heard, &page).await?;
    say_heard(repository, row, &heard, page, seen, job, lease).await
}

async fn say_heard(
    repository: &Repository<'_>,
    row: &pulls::Pull,
    heard: &Attended,
    page: Page,
    seen: Vec<Seen>,
    job: &Claimed,
    lease: &Lease,
) -> Result<Spoken, JobError> {
    let said = speak::Said {
        number: row.facts.number,
        head: &row.facts.head_sha,
        base: &row.facts.base_sha,
        comment: row.comment_id,
        comment_hash: row.comment_hash.as_deref(),
        statuses: Some(row.status_hash.as_deref()),
    };
    work::boxed(speak::say(repository, said, heard, page, seen, job, lease)).await
}
