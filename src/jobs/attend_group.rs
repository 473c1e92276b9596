//! Answers a merge queue: both statuses on the commit that it would make the branch's tip. A repository whose branch asks for
//! them would merge nothing otherwise.
//!
//! What is ahead in the queue is merged first, so each pull request is judged on what the one before it leaves, as its own
//! would be judged on its branch; the group has its consent when each of them has. The gate judges once more, after the merge.

use serde::Deserialize;
use serde_json::json;

use super::context::Context;
use super::error::JobError;
use super::gather::baselines::Patience;
use super::gather::contents::Contents;
use super::gather::repository::{self, Repository};
use super::gather::tips::Tips;
use super::show::judged::{Judged, judged};
use super::show::speak;
use super::show::writer::Writer;
use super::work;
use crate::audit::{self, NewEntry};
use crate::db::merge_groups;
use crate::event::queue::QueueBranch;
use crate::forge::{Branch, PullState};
use crate::git::{BranchName, Want};
use crate::ids::{CommitId, ForgeName, RepositoryKey};
use crate::preview::{
    CONSENT_CONTEXT, Check, PREVIEW_CONTEXT, Page, StatusLine, StatusState, consent_status, preview_status,
};
use crate::queue::{self, Claimed, Lease};

/// Pull requests of one group; GitHub takes a hundred.
const MOST: usize = 100;

/// The payload.
#[derive(Debug, Deserialize)]
struct Ids {
    forge: ForgeName,
    repository: i64,
    branch: String,
}

/// A pull request, and the commit it is merged as.
struct Step {
    number: i64,
    from: CommitId,
    to: CommitId,
}

/// Runs the job.
///
/// # Errors
/// [`JobError`].
pub(super) async fn run(context: &Context, job: &Claimed, lease: &Lease) -> Result<(), JobError> {
    let ids: Ids = work::ids(job)?;
    let key = RepositoryKey { forge: ids.forge, id: ids.repository };
    let Some(repository) = repository::granted(context, &key, job).await? else {
        return work::finish(context, job).await;
    };
    let Some(group) = QueueBranch::read(&ids.branch) else { return work::finish(context, job).await };
    let (forge, at) = (repository.forge(), &repository.at);

    // Gather: what is in it.
    let branches = forge.branches(at).await?;
    let Some(head) = branches.iter().find(|one| one.name == ids.branch).map(|one| one.tip.clone()) else {
        // Merged, or thrown out.
        return work::finish(context, job).await;
    };
    let want = Want::Branch(ids.branch.parse::<BranchName>()?);
    let Some(Tips { default, own }) = repository.tips(&group.base, Some((want, &head))).await? else {
        // Nobody made it for a queue: it is remembered, and not looked at again.
        let mut tx = context.pool.begin().await?;
        merge_groups::set_said(&mut tx, repository.row.id, &ids.branch, &head, &[]).await?;
        queue::finish(&mut tx, job).await?;
        tx.commit().await?;
        return Ok(());
    };
    let steps = steps(&repository, &branches, (&group, &head), &own).await?;

    // Decide.
    let (lines, more, away) = match &steps {
        Some(steps) => work::boxed(judge(&repository, &group.base, steps, &default)).await?,
        None => {
            let (lines, more) = both(StatusState::Failure, "it does not follow what is ahead of it in the queue");
            (lines, more, None)
        }
    };

    // Act.
    let mut conn = context.pool.acquire().await?;
    let before = merge_groups::said(&mut conn, repository.row.id, &ids.branch).await?;
    drop(conn);
    let pulls: Vec<i64> = steps.iter().flatten().map(|step| step.number).collect();
    let detail = json!({
        "branch": ids.branch, "commit": head, "pulls": pulls,
        "preview": format!("{:?}", lines[0].state).to_lowercase(),
        "consent": format!("{:?}", lines[1].state).to_lowercase(),
    });
    let writer = Writer::new(&repository, lease);
    let hashes = speak::set_statuses(writer, (group.number, &head), before.as_deref(), lines, (more, None)).await?;

    // Record.
    let mut tx = context.pool.begin().await?;
    merge_groups::set_said(&mut tx, repository.row.id, &ids.branch, &head, &hashes).await?;
    match &away {
        None => queue::finish(&mut tx, job).await?,
        Some(_) => queue::confirm(&mut tx, job).await?,
    }
    if before.as_deref() != Some(&hashes) {
        let entry = NewEntry {
            actor: "bascule".to_owned(),
            action: "group.judged",
            subject: repository.granted_name(),
            detail,
            cause: work::cause(job),
            trace: job.trace,
        };
        audit::append(&mut tx, &entry).await?;
    }
    tx.commit().await?;
    repository.met(super::step::Step::Recorded);
    // It waits for that, as it says.
    away.map_or(Ok(()), |why| Err(JobError::Away(why)))
}

/// Both statuses, for the same reason.
fn both(state: StatusState, why: &str) -> ([StatusLine; 2], Check) {
    let line = |context| StatusLine::new(context, state, why);
    ([line(PREVIEW_CONTEXT), line(CONSENT_CONTEXT)], Check { summary: why.to_owned(), marks: Vec::new() })
}

/// The pull requests from the branch's tip to the head of the group, in the order they are merged. `None`: what is ahead of
/// one is neither the branch's tip nor in the queue, or the group does not follow it. Whoever may push can make a branch of
/// such a name at any commit, and a status is the commit's, wherever it is asked for.
async fn steps(
    repository: &Repository<'_>,
    branches: &[Branch],
    (group, head): (&QueueBranch, &CommitId),
    tip: &CommitId,
) -> Result<Option<Vec<Step>>, JobError> {
    let mirror = &repository.mirror;
    let (mut group, mut head) = (group.clone(), head.clone());
    let mut steps = Vec::new();
    while steps.len() < MOST {
        let from = group.from.clone();
        if from == head || !mirror.has_commit(&from).await? || !mirror.is_ancestor(&from, &head).await? {
            break;
        }
        steps.push(Step { number: group.number, from: from.clone(), to: head });
        if from == *tip {
            steps.reverse();
            return Ok(Some(steps));
        }
        let ahead = branches.iter().filter(|one| one.tip == from).find_map(|one| QueueBranch::read(&one.name));
        let Some(ahead) = ahead.filter(|ahead| ahead.base == group.base) else { break };
        (group, head) = (ahead, from);
    }
    Ok(None)
}

/// Both statuses, each naming the pull requests it is about; the first that is not good decides. Last, what was away: nobody
/// is thrown out of a queue for that.
async fn judge(
    repository: &Repository<'_>,
    base: &str,
    steps: &[Step],
    default: &CommitId,
) -> Result<([StatusLine; 2], Check, Option<String>), JobError> {
    let contents = Contents::to_show(repository);
    let (mut lines, patience) = (Vec::<(String, [StatusLine; 2], Check)>::new(), Patience::begins());
    for step in steps {
        let refused = |why: &str| {
            let (lines, more) = both(StatusState::Failure, why);
            Ok((lines, more, None))
        };
        let pull = match repository.forge().pull(&repository.at, step.number).await {
            Ok(pull) => pull,
            Err(error) if error.is_gone() => return refused("it names a pull request that is not there"),
            Err(error) => return Err(error.into()),
        };
        if pull.state != PullState::Open || pull.base_branch != base {
            return refused("it names a pull request that is not in this queue");
        }
        let on_default = pull.base_branch == repository.row.default_branch;
        let rules = if on_default { &step.from } else { default };
        let judged =
            work::boxed(judged(repository, &contents, &pull, (rules, &step.from), &step.to, &patience, None)).await?;
        let (page, away): (Page, _) = match judged {
            Judged::Untouched(page) | Judged::Unheard(page) => (page, None),
            Judged::Heard { page, heard, away, .. } => (page, away.or(heard.people.away.clone())),
        };
        if let Some(away) = away {
            let (lines, more) = both(StatusState::Pending, &format!("waits: {away}"));
            return Ok((lines, more, Some(away)));
        }
        let place = repository.forge().place(step.number);
        let check = crate::preview::check(&page, None, speak::COMMENT_LIMIT);
        lines.push((place, [preview_status(&page), consent_status(&page)], check));
    }
    let places: Vec<&str> = lines.iter().map(|(place, ..)| place.as_str()).collect();
    let all = places.join(", ");
    let line = |at: usize| {
        let decides = lines.iter().find(|(_, lines, _)| lines[at].state != StatusState::Success);
        match (decides, &lines[..]) {
            (Some((place, lines, _)), _) => {
                StatusLine::new(lines[at].context, lines[at].state, format!("{place}: {}", lines[at].description))
            }
            (None, [(place, only, _)]) => {
                StatusLine::new(only[at].context, only[at].state, format!("{place}: {}", only[at].description))
            }
            (None, _) => {
                let context = [PREVIEW_CONTEXT, CONSENT_CONTEXT][at];
                StatusLine::new(context, StatusState::Success, format!("each of {all}"))
            }
        }
    };
    let summary: Vec<String> = lines.iter().map(|(place, _, check)| format!("{place}\n\n{}", check.summary)).collect();
    let summary = match summary.join("\n---\n\n") {
        text if text.len() <= speak::COMMENT_LIMIT => text,
        _ => all.clone(),
    };
    // A line of a file is wrong in one of them; its commit is not this one.
    Ok(([line(0), line(1)], Check { summary, marks: Vec::new() }, None))
}
