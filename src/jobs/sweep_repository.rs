//! Compares our memory of a repository with the forge: whatever a lost delivery would have told is found here, and goes
//! through the same jobs. A quiet repository costs five calls, one for each issue in which something is held, and one for
//! each pull request whose reviews are counted on, up to [`REVIEWS`]. Who moved a branch is asked for where deliveries do not tell.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use super::context::Context;
use super::error::JobError;
use super::gather::repository::{self, Opened, Repository};
use super::gather::{pull, pushes};
use super::route::{
    attend_group, attend_pull, follow_branch, look_at_checks, tell_deployments, tell_drift, tell_emergencies,
};
use super::step::Step;
use super::work;
use crate::db::pulls::{self, PullState};
use crate::db::swept::Tip;
use crate::db::{
    self, check_runs, comment_edits, drift_issues, emergencies, environments, holds, merge_groups, repositories, swept,
    told_deployments,
};
use crate::event::queue::QueueBranch;
use crate::forge::{Branch, Comment, Pull};
use crate::ids::{Account, ForgeName, RepositoryKey};
use crate::queue::{self, Claimed, Lane, NewJob};

/// Pull requests whose reviews are asked for in one sweep. A deleted review moves nothing else, and nobody is told; where
/// more are approved, they take turns. It is what we say that may be late: the gate asks for itself.
const REVIEWS: i64 = 20;

/// The payload.
#[derive(Debug, Deserialize)]
struct Ids {
    forge: ForgeName,
    repository: i64,
}

/// Runs the job.
///
/// # Errors
/// [`JobError`].
pub(super) async fn run(context: &Context, job: &Claimed) -> Result<(), JobError> {
    let ids: Ids = work::ids(job)?;
    let key = RepositoryKey { forge: ids.forge, id: ids.repository };
    let repository = match repository::open(context, &key, job).await? {
        Opened::Granted(repository) => repository,
        Opened::Recreated(repository) => return work::boxed(refused(&repository, job)).await,
        Opened::Silent | Opened::Gone => return work::finish(context, job).await,
    };
    // Gather.
    let (forge, at) = (repository.forge(), &repository.at);
    let open = forge.open_pulls(at).await?;
    let closed = forge.closed_pulls_changed_last(at).await?;
    let branches = forge.branches(at).await?;
    let mut conn = context.pool.acquire().await?;
    let held_in = holds::issues(&mut conn, repository.row.id).await?;
    let comments_read_to = repositories::comments_read_to(&mut conn, repository.row.id).await?;
    let counted = swept::counted_on(&mut conn, repository.row.id, REVIEWS).await?;
    let tips = swept::tips(&mut conn, repository.row.id).await?;
    drop(conn);
    let missed = pushes::missed(&repository, &branches, &tips).await?;
    let mut taken_back = Vec::new();
    for (number, counted) in counted {
        let reviews = match forge.reviews(at, number).await {
            Ok(reviews) => reviews,
            Err(error) if error.is_gone() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let standing: BTreeSet<i64> = reviews.iter().filter(|one| !one.dismissed).map(|one| one.id).collect();
        if !counted.is_subset(&standing) {
            taken_back.push(number);
        }
    }
    let (mut issues, mut deleted) = (Vec::with_capacity(held_in.len()), Vec::new());
    for number in held_in {
        match forge.issue(at, number).await {
            Ok(issue) => issues.push(issue),
            // Looked at, it makes room for another.
            Err(error) if error.is_gone() => deleted.push(number),
            Err(error) => return Err(error.into()),
        }
    }
    // Before the first look nothing is missed: every pull request that is new to us is looked at whole. What is edited
    // from now on is later than anything the forge has told so far.
    let told = open.iter().chain(&closed).map(|pull| pull.updated_at).chain(issues.iter().map(|one| one.updated_at));
    let comments = match comments_read_to {
        Some(since) => forge.comments_changed_since(at, since).await?,
        None => Vec::new(),
    };
    let ourselves = repository.ourselves().await?;
    let read_to = comments.iter().map(|comment| comment.updated_at).max().or(comments_read_to).or(told.max());

    let tells_deployments = super::tell_deployments::may(&repository).await?;

    // What is remembered as seen and what is done about it are one transaction: neither is lost without the other.
    let mut tx = context.pool.begin().await?;
    let mut jobs = pulls_that_moved(&mut tx, &repository, &open, &closed, job).await?;
    jobs.extend(deleted.into_iter().chain(taken_back).map(|number| attend_pull(&key, number, job.trace)));
    for issue in &issues {
        let seen = hash(&(issue.updated_at, issue.comments));
        if holds::place_changed(&mut tx, repository.row.id, issue.number, &seen).await? {
            jobs.push(attend_pull(&key, issue.number, job.trace));
        }
    }
    jobs.extend(comments_that_changed(&mut tx, &key, ourselves, &comments, job).await?);
    if let Some(read_to) = read_to {
        repositories::comments_read(&mut tx, repository.row.id, read_to).await?;
    }
    // Somebody asked for a check to run again, and the forge did not name the pull request.
    let wanted = check_runs::wanted(&mut tx, repository.row.id).await?;
    jobs.extend(wanted.into_iter().map(|number| attend_pull(&key, number, job.trace)));
    if !holds::waiting_for_checks(&mut tx, &key).await?.is_empty() {
        // It is asked for beside this: whether anything is news is found there.
        queue::enqueue(&mut tx, &look_at_checks(&key, job.trace)).await?;
    }
    let owed = emergencies::Which { repository: Some(repository.row.id), open: true, ..emergencies::Which::default() };
    if !emergencies::list(&mut tx, &owed, 1).await?.is_empty() {
        // What was said in their issues is found there.
        queue::enqueue(&mut tx, &tell_emergencies(&key, job.trace)).await?;
    }
    if !drift_issues::due(&mut tx, repository.row.id, None, context.clock.now()).await?.is_empty() {
        // Not told, or calm for long enough.
        queue::enqueue(&mut tx, &tell_drift(&key, job.trace)).await?;
    }
    if forge.has_queues() {
        // Not heard of, or not answered.
        let there: Vec<_> = branches.iter().filter(|one| QueueBranch::read(&one.name).is_some()).collect();
        let there: Vec<_> = there.into_iter().map(|one| (one.name.clone(), one.tip.clone())).collect();
        let asked = merge_groups::unanswered(&mut tx, repository.row.id, &there).await?;
        jobs.extend(asked.iter().map(|branch| attend_group(&key, branch, job.trace)));
    }
    if tells_deployments && !told_deployments::untold(&mut tx, repository.row.id, 1).await?.is_empty() {
        queue::enqueue(&mut tx, &tell_deployments(&key, job.trace)).await?;
    }
    // Before what asks who pushed them.
    db::pushes::record(&mut tx, &missed).await?;
    jobs.extend(branches_that_moved(&mut tx, &repository, branches, tips, job).await?);
    jobs.sort_by(|a, b| (&a.kind, &a.key).cmp(&(&b.kind, &b.key)));
    // One that was closed is found twice.
    jobs.dedup_by(|a, b| (&a.kind, &a.key) == (&b.kind, &b.key));
    metrics::counter!("bascule_sweep_repairs_total").increment(jobs.len() as u64);
    if !jobs.is_empty() {
        repositories::fact_stored(&mut tx, &key).await?;
    }
    queue::enqueue_all(&mut tx, &jobs).await?;
    queue::finish(&mut tx, job).await?;
    tx.commit().await?;
    repository.met(Step::Recorded);
    context.bell.ring(Lane::Default);
    Ok(())
}

/// A repository under another's name: its pull requests are told so, and nothing else of it is looked at.
async fn refused(repository: &Repository<'_>, job: &Claimed) -> Result<(), JobError> {
    let open = repository.forge().open_pulls(&repository.at).await?;
    let mut tx = repository.context.pool.begin().await?;
    let jobs = pulls_that_moved(&mut tx, repository, &open, &[], job).await?;
    queue::enqueue_all(&mut tx, &jobs).await?;
    queue::finish(&mut tx, job).await?;
    tx.commit().await?;
    repository.met(Step::Recorded);
    repository.context.bell.ring(Lane::Default);
    Ok(())
}

/// Open pull requests that differ from what was seen last, stored open ones that are open no more, and closed ones of
/// ours in which something was said.
async fn pulls_that_moved(
    conn: &mut PgConnection,
    repository: &Repository<'_>,
    open: &[Pull],
    closed: &[Pull],
    job: &Claimed,
) -> Result<Vec<NewJob>, JobError> {
    let key = &repository.row.key;
    let stored = pulls::in_state(conn, repository.row.id, PullState::Open).await?;
    let mut jobs = Vec::new();
    for pull in open {
        let seen = seen(pull);
        let known = stored.iter().find(|one| one.facts.number == pull.number);
        if known.and_then(|one| one.fact_hash.as_deref()) == Some(&seen[..]) {
            continue;
        }
        let row = pulls::upsert(conn, repository.row.id, &pull::facts_of(pull)).await?;
        pulls::set_fact_hash(conn, row.id, &seen).await?;
        jobs.push(attend_pull(key, pull.number, job.trace));
    }
    for gone in stored.iter().filter(|one| !open.iter().any(|pull| pull.number == one.facts.number)) {
        jobs.push(attend_pull(key, gone.facts.number, job.trace));
    }
    for pull in closed {
        let Some(known) = pulls::get(conn, repository.row.id, pull.number).await? else { continue };
        let seen = seen(pull);
        if known.fact_hash.as_deref() != Some(&seen[..]) {
            pulls::set_fact_hash(conn, known.id, &seen).await?;
            jobs.push(attend_pull(key, pull.number, job.trace));
        }
    }
    Ok(jobs)
}

/// The forge's time of change moves with comments, reviews and dismissals; the head and the base with pushes; how many
/// comments there are, when one is deleted.
fn seen(pull: &Pull) -> [u8; 32] {
    hash(&(pull.updated_at, pull.comments, &pull.head, &pull.base_branch))
}

fn hash(seen: &impl Debug) -> [u8; 32] {
    Sha256::digest(format!("{seen:?}")).into()
}

/// Places in which a comment was edited, which moves nothing else: what it asked for or consented to no longer counts. And
/// those in which ours says what we did not write: somebody edited it, perhaps as the account we are.
async fn comments_that_changed(
    conn: &mut PgConnection,
    key: &RepositoryKey,
    ourselves: &Account,
    comments: &[Comment],
    job: &Claimed,
) -> Result<Vec<NewJob>, JobError> {
    let mut jobs = Vec::new();
    for comment in comments {
        let Some(number) = comment.number else { continue };
        let is_news = if comment.author.as_ref() == Some(ourselves) {
            db::ourselves::said(conn, key, comment.id, &comment.body).await?
        } else {
            comment.is_edited() && comment_edits::record(conn, key, comment.id).await?
        };
        if is_news {
            jobs.push(attend_pull(key, number, job.trace));
        }
    }
    Ok(jobs)
}

/// Branches that environments follow, and the default branch, where their tip is not the one followed last. Of the others it
/// is remembered where they are, so that a push of which no delivery comes is missed.
async fn branches_that_moved(
    conn: &mut PgConnection,
    repository: &Repository<'_>,
    branches: Vec<Branch>,
    mut tips: BTreeMap<String, Tip>,
    job: &Claimed,
) -> Result<Vec<NewJob>, JobError> {
    let all = environments::of_repository(conn, repository.row.id).await?;
    let mut jobs = Vec::new();
    for Branch { name, tip: at } in branches {
        let is_ours = name == repository.row.default_branch || all.iter().any(|one| one.branch == name);
        let now = Tip { at, is_followed: is_ours };
        if tips.remove(&name).as_ref() == Some(&now) {
            continue;
        }
        swept::saw(conn, repository.row.id, &name, &now).await?;
        if is_ours {
            jobs.push(follow_branch(&repository.row.key, &name, job.trace));
        }
    }
    let gone: Vec<String> = tips.into_keys().collect();
    swept::gone(conn, repository.row.id, &gone).await?;
    Ok(jobs)
}
