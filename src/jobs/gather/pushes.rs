//! Who pushed what, as far as anything tells: deliveries, which are stored as they come, and the forge's own lists, which
//! are asked where a delivery was lost. These reach some days back, and a pull request may change after months: what they
//! tell is stored too, at once, since a job that fails afterwards may come back when they do not tell it any more.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::repository::Repository;
use crate::consent::{FoundAt, Own, Told, leads};
use crate::db::pushes::{self, Push, ToldBy};
use crate::db::swept::Tip;
use crate::event::queue::QueueBranch;
use crate::forge;
use crate::ids::CommitId;
use crate::jobs::error::JobError;

/// How far a sweep looks back for pushes of which no delivery came: longer than a server is away without anybody noticing.
const SWEPT_BACK: SignedDuration = SignedDuration::from_hours(24 * 14);

/// What is stored of pushes to a branch.
pub(in crate::jobs) async fn stored(repository: &Repository<'_>, branch: &str) -> Result<Vec<Told>, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    let all = pushes::to_branch(&mut conn, &repository.row.key, branch).await?;
    Ok(all.into_iter().map(told).collect())
}

/// Pushes to a branch since then, as the forge's list of what happened in the repository tells them.
pub(in crate::jobs) async fn asked(
    repository: &Repository<'_>,
    branch: &str,
    since: Timestamp,
) -> Result<Vec<Told>, JobError> {
    let all = repository.forge().pushes(&repository.at, since).await?;
    let here = all.into_iter().filter(|push| push.branch == branch);
    let here: Vec<Push> = here.filter_map(|push| listed(repository, push)).collect();
    pushes::record(&mut *repository.context.pool.acquire().await?, &here).await?;
    Ok(here.into_iter().map(told).collect())
}

/// Pushes that led to the head of a pull request: as stored, and as the pull request itself tells them (`listed`).
pub(in crate::jobs) async fn of_pull(
    repository: &Repository<'_>,
    pull: &forge::Pull,
    own: &[Own],
    listed: Vec<forge::PullPush>,
) -> Result<Vec<Told>, JobError> {
    let kept = kept_for(pull.number);
    let mut known = stored_of_pull(repository, pull, own, &kept).await?;
    let listed = listed.into_iter().filter_map(|push| told_by_pull(push, own));
    let news: Vec<Told> = listed.filter(|one| !known.contains(one)).collect();
    // A fork may be gone, or hidden, when it is asked next.
    let news_of_fork = if pull.from_fork { &news[..] } else { &[] };
    let rows: Vec<Push> = news_of_fork.iter().map(|one| row(repository, &kept, one)).collect();
    if !rows.is_empty() {
        pushes::record(&mut *repository.context.pool.acquire().await?, &rows).await?;
    }
    known.extend(news);
    Ok(known)
}

async fn stored_of_pull(
    repository: &Repository<'_>,
    pull: &forge::Pull,
    own: &[Own],
    kept: &str,
) -> Result<Vec<Told>, JobError> {
    let key = &repository.row.key;
    let ids: Vec<CommitId> = own.iter().map(|commit| commit.id.clone()).collect();
    let mut conn = repository.context.pool.acquire().await?;
    // Of a push to another branch it does not matter where that was before.
    let elsewhere = pushes::leaving_at(&mut conn, key, &ids).await?.into_iter();
    let mut known: Vec<Told> =
        elsewhere.map(|push| Told { after: push.after, before: FoundAt::Unsaid, pusher: push.pusher }).collect();
    // A delivery about the pull request says where its head is, and not where it was.
    let to_head = pushes::to_branch(&mut conn, key, kept).await?.into_iter();
    known.extend(to_head.filter(|push| push.told_by == ToldBy::List).map(told));
    drop(conn);
    if !pull.from_fork {
        known.extend(stored(repository, &pull.head_branch).await?);
    }
    Ok(known)
}

/// Pushes to branches that moved since the last sweep, as the forge's list tells them, where what is stored does not lead
/// from where a branch was to where it is. They are told by nobody else: until a pull request is made of the branch, no
/// other job asks.
pub(in crate::jobs) async fn missed(
    repository: &Repository<'_>,
    branches: &[forge::Branch],
    seen: &BTreeMap<String, Tip>,
) -> Result<Vec<Push>, JobError> {
    // Nothing was missed before the first look.
    if seen.is_empty() {
        return Ok(Vec::new());
    }
    // A queue's branches are the forge's own.
    let of_people = branches.iter().filter(|one| QueueBranch::read(&one.name).is_none());
    let places = of_people.map(|one| (one, seen.get(&one.name).map(|tip| &tip.at)));
    let moved: Vec<_> = places.filter(|(one, was_at)| *was_at != Some(&one.tip)).collect();
    let mut missed = Vec::new();
    for (branch, was_at) in moved {
        if !leads(was_at, &branch.tip, &stored(repository, &branch.name).await?) {
            missed.push(branch.name.as_str());
        }
    }
    if missed.is_empty() {
        return Ok(Vec::new());
    }
    let since = repository.context.clock.now() - SWEPT_BACK;
    let all = match repository.forge().pushes(&repository.at, since).await {
        Ok(all) => all,
        Err(error) if error.is_passing() => return Err(error.into()),
        // Whoever needs them asks again, and says where people read it what is not allowed.
        Err(error) => {
            tracing::debug!(repository = repository.granted_name(), %error, "the forge does not list pushes");
            return Ok(Vec::new());
        }
    };
    let here = all.into_iter().filter(|push| missed.contains(&push.branch.as_str()));
    Ok(here.filter_map(|push| listed(repository, push)).collect())
}

/// A stored push.
fn told(push: Push) -> Told {
    let before = match (push.before, push.told_by) {
        (Some(before), _) => FoundAt::At(before),
        (None, ToldBy::Delivery) => FoundAt::Nothing,
        (None, ToldBy::List) => FoundAt::Unsaid,
    };
    Told { after: push.after, before, pusher: push.pusher }
}

/// A push as the forge's list of what happened in the repository tells it. `None`: it deleted the branch.
fn listed(repository: &Repository<'_>, push: forge::Push) -> Option<Push> {
    let (repository, told_by) = (repository.row.key.clone(), ToldBy::List);
    Some(Push {
        repository,
        branch: push.branch,
        before: push.before,
        after: push.after?,
        pusher: push.pusher,
        told_by,
    })
}

fn row(repository: &Repository<'_>, branch: &str, told: &Told) -> Push {
    Push {
        repository: repository.row.key.clone(),
        branch: branch.to_owned(),
        before: match &told.before {
            FoundAt::At(before) => Some(before.clone()),
            FoundAt::Nothing | FoundAt::Unsaid => None,
        },
        after: told.after.clone(),
        pusher: told.pusher.clone(),
        told_by: ToldBy::List,
    }
}

/// The reference the forge keeps for a head that may be a branch of a fork; deliveries about it are filed there, too.
fn kept_for(number: i64) -> String {
    format!("refs/pull/{number}/head")
}

/// A push as the pull request's own timeline tells it.
fn told_by_pull(push: forge::PullPush, own: &[Own]) -> Option<Told> {
    let (first, last) = (push.commits.first()?, push.commits.last()?);
    let before = if push.is_forced {
        FoundAt::At(first.clone())
    } else {
        let parent = own.iter().find(|commit| commit.id == *first).and_then(|commit| commit.parents.first());
        parent.cloned().map_or(FoundAt::Unsaid, FoundAt::At)
    };
    Some(Told { after: last.clone(), before, pusher: push.pusher })
}
