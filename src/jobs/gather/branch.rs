//! One environment and its branch: the walk of consent from its position to the branch's tip, with all its facts.

mod line;
mod rewritten;
mod steps;
mod trains;

use std::collections::{BTreeMap, BTreeSet};

use super::contents::{Contents, FileAt};
use super::court::{befores, court, neighbours};
use super::place::Attended;
use super::policies;
use super::repository::Repository;
use super::tips::Tips;
use crate::consent::{Before, Court, Hold, Position, Reading, Step, Walk, walk};
use crate::db::{environments, holds, pulls, repositories};
use crate::ids::{CommitId, EnvironmentName, TraceId};
use crate::jobs::error::JobError;
use crate::policy::rules::Environment;

use steps::Looker;
pub(in crate::jobs) use steps::merged_pull;

/// Commits looked at before a first sync. Each costs a few calls to the forge, and the facts of one judgement may be
/// 30 s old; environments are rarely left without a first sync for longer. What came before them was brought by nobody
/// known, which asks for one approval more.
const FIRST_SET_COMMITS: usize = 20;

/// An environment, judged.
pub(in crate::jobs) struct Walked {
    pub(in crate::jobs) environment: environments::Environment,
    /// The newest commit a sync was started for, and its set.
    pub(in crate::jobs) position: Option<Position>,
    pub(in crate::jobs) court: Court,
    pub(in crate::jobs) walk: Walk,
    /// When the facts were read, and the newest fact stored before.
    pub(in crate::jobs) reading: Reading,
    /// The places heard on the way, by number.
    pub(in crate::jobs) places: BTreeMap<i64, Attended>,
    /// What other environments have at each covered commit, for `after`.
    pub(in crate::jobs) befores: BTreeMap<(EnvironmentName, CommitId), Before>,
    /// The commits that were walked, oldest first.
    pub(in crate::jobs) line: Vec<CommitId>,
    /// The branch's tip.
    pub(in crate::jobs) tip: CommitId,
    /// The default branch's, which has the rules.
    pub(in crate::jobs) default_tip: CommitId,
    /// Where its held change is shown.
    pub(in crate::jobs) shown_in: Option<i64>,
    /// The held change that is stored; approved, it is kept until a sync starts on it.
    pub(in crate::jobs) waiting: Option<holds::HeldChange>,
    /// Where it would go if nothing were in its way, where that was asked.
    pub(in crate::jobs) ahead: Option<holds::Ahead>,
    /// Why an emergency that enough people asked for does not pass.
    pub(in crate::jobs) stopped: Option<String>,
}

/// Judges one environment. `None`: its branch is not there.
pub(in crate::jobs) async fn walked(
    repository: &Repository<'_>,
    contents: &Contents<'_>,
    environment: environments::Environment,
    cause: &str,
    trace: TraceId,
) -> Result<Option<Walked>, JobError> {
    let context = repository.context;
    let mut conn = context.pool.acquire().await?;
    let known = repositories::by_key(&mut conn, &repository.row.key).await?;
    let newest_fact = known.map_or(repository.row.fact_version, |row| row.fact_version);
    let reading = Reading { at: context.clock.now(), newest_fact };
    let hold = holds::get(&mut conn, environment.id).await?;
    drop(conn);

    let Some(tips) = repository.tips(&environment.branch, None).await? else { return Ok(None) };
    let Tips { default: default_tip, own: tip } = tips;
    let since = since(repository, contents, &environment, hold.as_ref(), (&tip, &default_tip)).await?;
    let shown_in = hold.as_ref().and_then(|hold| hold.shown_in);
    let waiting = hold.as_ref().and_then(|hold| hold.change.clone());
    let mut looker = Looker::new(repository, contents, &environment, &default_tip, cause, trace);
    let position = match &environment.position {
        Some(at) => {
            let set = looker.stored(&at.set).await?;
            Some(Position { commit: at.commit.clone(), set })
        }
        None => None,
    };
    let line = looker.line(since.commits).await?;
    let mut steps = looker.steps(&line, position.as_ref().map(|position| &position.set)).await?;
    if let (Some(position), Some(first)) = (&position, steps.first_mut()) {
        first.made.join(&looker.taken_off(&position.commit, &line).await?);
    }
    if let (true, Some(first)) = (since.reached_over, steps.first_mut()) {
        let earlier = format!("what came before {}", first.commit);
        first.made.contributors.unknown_pushes.insert(earlier);
    }
    let hold = match hold {
        Some(hold) => looker.hold(hold, &line.commits).await?,
        None => None,
    };
    let (entries, places) = looker.found();
    let heard = places.values().map(|place| &place.people);
    let neighbours = neighbours(&mut *context.pool.acquire().await?, &environment).await?;
    let judges = (entries, neighbours);
    let mut court = court(repository, &environment, judges, &files(&steps, hold.as_ref()), heard).await?;
    let walk = loop {
        let mut walk = walk(&court, position.as_ref(), &steps, hold.as_ref());
        if walk.unasked.is_empty() {
            break walk;
        }
        // Each round answers what this one asked, and there are no more steps than commits.
        policies::ask(repository, &mut court, std::mem::take(&mut walk.unasked)).await?;
    };
    let befores = befores(repository, contents, &environment, &court, &walk, &default_tip).await?;
    Ok(Some(Walked {
        environment,
        position,
        court,
        walk,
        reading,
        places,
        befores,
        line: line.commits,
        tip,
        default_tip,
        shown_in,
        waiting,
        ahead: None,
        stopped: None,
    }))
}

/// Every file whose owners may be asked on the way.
fn files(steps: &[Step], hold: Option<&Hold>) -> BTreeSet<String> {
    let offers = steps.iter().filter_map(|step| step.merged.as_ref()).flat_map(|merged| &merged.offers);
    let made = steps.iter().map(|step| &step.made).chain(offers.map(|offer| &offer.made));
    made.chain(hold.map(|hold| &hold.behind)).flat_map(|made| made.files.iter().cloned()).collect()
}

/// Commits of the branch to look at, oldest first.
struct Since {
    commits: Vec<CommitId>,
    /// Whether there are earlier ones that belong to them and are not looked at.
    reached_over: bool,
}

/// What came since the position.
async fn since(
    repository: &Repository<'_>,
    contents: &Contents<'_>,
    environment: &environments::Environment,
    hold: Option<&holds::Hold>,
    (tip, default_tip): (&CommitId, &CommitId),
) -> Result<Since, JobError> {
    match &environment.position {
        Some(position) => {
            let commits = repository.mirror.first_parent(Some(&position.commit), tip).await?;
            Ok(Since { commits, reached_over: false })
        }
        None => {
            let held_at = hold.and_then(|hold| hold.change.as_ref()).map(|change| &change.to_commit);
            since_it_is_there(repository, contents, environment, held_at, (tip, default_tip)).await
        }
    }
}

/// Pull requests known to have been merged since the position. No cluster is asked.
pub(in crate::jobs) async fn merged_since(
    repository: &Repository<'_>,
    environment: &environments::Environment,
) -> Result<Vec<i64>, JobError> {
    let Some(tips) = repository.tips(&environment.branch, None).await? else { return Ok(Vec::new()) };
    let contents = Contents::new(repository);
    let mut conn = repository.context.pool.acquire().await?;
    let hold = holds::get(&mut conn, environment.id).await?;
    drop(conn);
    let since = since(repository, &contents, environment, hold.as_ref(), (&tips.own, &tips.default)).await?;
    let mut conn = repository.context.pool.acquire().await?;
    let merged = pulls::merged_as(&mut conn, repository.row.id, &environment.branch, &since.commits).await?;
    Ok(merged.into_values().collect())
}

/// Before the first sync: the commits since the environment is there, up to a number. A held first set keeps those it
/// was held with, however many come after it: their people are its contributors.
async fn since_it_is_there(
    repository: &Repository<'_>,
    contents: &Contents<'_>,
    environment: &environments::Environment,
    held_at: Option<&CommitId>,
    (tip, default_tip): (&CommitId, &CommitId),
) -> Result<Since, JobError> {
    let all = match repository.mirror.first_parent(None, tip).await {
        Ok(all) => all,
        Err(crate::git::GitError::TooLarge { .. }) => {
            return Ok(Since { commits: vec![tip.clone()], reached_over: true });
        }
        Err(error) => return Err(error.into()),
    };
    let held_at = held_at.and_then(|commit| all.iter().position(|one| one == commit));
    let newest = held_at.unwrap_or(all.len().saturating_sub(1));
    let mut from = newest;
    let mut reached_over = false;
    while let Some(earlier) = from.checked_sub(1) {
        let Some(commit) = all.get(earlier) else { break };
        let Some(block) = block_at(repository, contents, environment, commit, default_tip).await? else { break };
        if contents.tree(commit).await?.entry(&block.path).await?.is_none() {
            break;
        }
        if newest - from + 1 >= FIRST_SET_COMMITS {
            reached_over = true;
            break;
        }
        from = earlier;
    }
    Ok(Since { commits: all.into_iter().skip(from).collect(), reached_over })
}

/// Whether a number of ours is a pull request (the forge counts issues with them).
pub(in crate::jobs) async fn is_pull(repository: &Repository<'_>, number: i64) -> Result<bool, JobError> {
    let mut conn = repository.context.pool.acquire().await?;
    Ok(pulls::get(&mut conn, repository.row.id, number).await?.is_some())
}

/// The block of an environment at a commit of its branch, when it is the same environment there: another target is
/// another one.
pub(in crate::jobs) async fn block_at(
    repository: &Repository<'_>,
    contents: &Contents<'_>,
    environment: &environments::Environment,
    commit: &CommitId,
    default_tip: &CommitId,
) -> Result<Option<Environment>, JobError> {
    let on_default = environment.branch == repository.row.default_branch;
    let blocks = contents.tree(if on_default { commit } else { default_tip }).await?;
    let FileAt::Valid(all) = contents.file_at(&blocks, &contents.tree(commit).await?).await? else {
        return Ok(None);
    };
    Ok(all.get(&environment.name).filter(|block| block.target == environment.target).cloned())
}
