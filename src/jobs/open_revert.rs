//! The pull request that reverts what a rollback took away (rule 15 of consent). The rollback waits for none of it: where there
//! cannot be one, why is said where the rollback was asked for, in the pull requests it took away, and with the pin.

use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::context::Context;
use super::error::JobError;
use super::gather::branch::{block_at, merged_pull};
use super::gather::contents::{Contents, SetAt};
use super::gather::repository::{self, Repository};
use super::gather::tips::Tips;
use super::gather::whose::merged_from;
use super::our_pull::{self, Opener, Plan, Stop};
use super::route::attend_pull;
use super::work;
use crate::audit::{self, NewEntry};
use crate::db::environments::{self, Environment};
use crate::db::our_pulls::{self, OurPull};
use crate::db::pins::{self, Pin};
use crate::db::rollbacks::Became;
use crate::db::{holds, pulls};
use crate::forge::{NewPull, PullState};
use crate::git::{Merge, NewCommit, Taken};
use crate::ids::{CommitId, ForgeName, RepositoryKey};
use crate::preview;
use crate::queue::{self, Claimed, Lane, Lease, NewJob};
use crate::sync::HoldReason;

/// Files and pull requests named in one sentence.
const NAMED: usize = 5;

/// The payload.
#[derive(Debug, Deserialize)]
struct Ids {
    forge: ForgeName,
    repository: i64,
    rollback: Uuid,
}

/// Everything there is to act on.
struct Scene<'r> {
    repository: &'r Repository<'r>,
    lease: &'r Lease,
    rollback: Uuid,
    revert: OurPull,
    environment: Environment,
    pin: Pin,
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
    let mut conn = context.pool.acquire().await?;
    let Some(revert) = our_pulls::open(&mut conn, ids.rollback).await? else {
        drop(conn);
        return work::finish(context, job).await;
    };
    let environment = environments::get(&mut conn, revert.environment).await?;
    let pin = pins::standing(&mut conn, revert.environment).await?;
    drop(conn);
    let Some((environment, pin)) = environment.zip(pin.filter(|pin| pin.rollback.new.id == ids.rollback)) else {
        // Somebody resumed, or went further back: that has a revert of its own.
        return resumed(&repository, ids.rollback, &revert).await;
    };
    let rollback = ids.rollback;
    let scene = Scene { repository: &repository, lease, rollback, revert, environment, pin };
    match work::boxed(scene.opens()).await {
        Ok(number) => scene.record(Ok(number)).await,
        Err(Stop::Never(why)) => {
            // Nor would it be opened now; but it may have been.
            let known = our_pull::found_of(scene.repository, &scene.revert).await?;
            scene.record(known.ok_or(why)).await
        }
        Err(Stop::Refused(why)) => scene.refused(why).await,
        Err(Stop::Job(error)) => Err(error),
    }
}

/// Nothing is pinned any more, and nothing is to be reverted. But whoever died may have opened it, and somebody asked for it then.
async fn resumed(repository: &Repository<'_>, rollback: Uuid, revert: &OurPull) -> Result<(), JobError> {
    let Repository { context, job, row, .. } = repository;
    let known = our_pull::found_of(repository, revert).await?;
    let now = context.clock.now();
    let mut tx = context.pool.begin().await?;
    queue::confirm(&mut tx, job).await?;
    match known {
        Some(number) => {
            our_pulls::opened(&mut tx, rollback, (number, &repository.forge().place(number)), now).await?;
            queue::enqueue(&mut tx, &attend_pull(&row.key, number, job.trace)).await?;
        }
        None => our_pulls::not_opened(&mut tx, rollback, "the pin had ended before it was opened", Some(now)).await?,
    }
    queue::finish(&mut tx, job).await?;
    tx.commit().await?;
    repository.met(super::Step::Recorded);
    context.bell.ring(Lane::Default);
    Ok(())
}

impl Scene<'_> {
    /// The number of the pull request, which is open then.
    async fn opens(&self) -> Result<i64, Stop> {
        let plan = work::boxed(self.plan()).await?;
        work::boxed(self.opener().opens(&plan)).await
    }

    fn opener(&self) -> Opener<'_> {
        let environment = (self.environment.id, &self.environment.name);
        Opener { repository: self.repository, lease: self.lease, id: self.rollback, environment }
    }

    /// What there is to revert, as a commit on the branch, if that takes away what the rollback did.
    async fn plan(&self) -> Result<Plan, Stop> {
        let Self { repository, environment, .. } = self;
        let mirror = &repository.mirror;
        let rollback = &self.pin.rollback;
        let Some(Became::Deployment { number, taken_away, .. }) = rollback.became else {
            return Err(Stop::Never("the rollback was not done".to_owned()));
        };
        let Some(tips) = repository.tips(&environment.branch, None).await? else {
            return Err(Stop::Never(format!("there is no branch `{}` any more", environment.branch)));
        };
        let Tips { default: default_tip, own: tip } = tips;
        let (steps, numbers) = self.taken(&tip).await?;
        let pulls: Vec<String> = numbers.iter().rev().map(|number| repository.forge().place(*number)).collect();
        if steps.is_empty() {
            return Err(Stop::Never("it came without a pull request".to_owned()));
        }
        let revert = preview::Revert {
            environment: &environment.name,
            branch: &environment.branch,
            numbers: [number, taken_away, rollback.back_to],
            commit: &rollback.commit,
            pulls: &pulls,
            by: (!rollback.new.is_by_itself).then(|| rollback.by()),
            reason: rollback.new.reason.as_deref(),
        };
        let branch = our_pull::branch(&format!("revert-{}-{number}", environment.name), self.rollback)?;
        let (title, body) = (revert.title(), revert.body());
        let pull = NewPull { base_branch: environment.branch.clone(), head_branch: branch.to_string(), title, body };
        // What was pushed already stays what it is.
        if let Some(commit) = our_pull::pushed(repository, &self.revert).await? {
            return Ok(Plan { branch, commit, pull });
        }
        let tree = match mirror.taken_back(&tip, &steps).await? {
            Merge::Clean { tree } => tree,
            Merge::Conflict { paths } => {
                let why = format!("reverting {} conflicts with what came later, in {}", pulls.join(", "), some(&paths));
                return Err(Stop::Never(why));
            }
            Merge::Unrelated => return Err(Stop::Never(format!("{} cannot be reverted", pulls.join(", ")))),
        };
        if tree == mirror.tree_of(&tip).await? {
            return Err(Stop::Never(format!("`{}` has nothing of it any more", environment.branch)));
        }
        self.takes_it_away(&tree, &default_tip, &pulls).await?;
        let at = rollback.new.asked_at.as_second();
        let message = revert.message();
        let commit = mirror.commit(NewCommit { tree: &tree, parent: &tip, message: &message, at }).await?;
        Ok(Plan { branch, commit, pull })
    }

    /// What the pull requests brought that the rollback took away, newest first, and their numbers.
    async fn taken(&self, tip: &CommitId) -> Result<(Vec<Taken>, Vec<i64>), Stop> {
        let Self { repository, environment, pin, .. } = self;
        let mirror = &repository.mirror;
        let mut conn = repository.context.pool.acquire().await?;
        let mut numbers = Vec::new();
        for number in pins::taken_away(&mut conn, environment.id, pin.rollback.back_to).await? {
            // What was held is carried by the place in which it was approved, which may be an issue.
            if pulls::get(&mut conn, repository.row.id, number).await?.is_some() {
                numbers.push(number);
            }
        }
        let line = mirror.first_parent(Some(&pin.rollback.commit), tip).await?;
        let merged = pulls::merged_as(&mut conn, repository.row.id, &environment.branch, &line).await?;
        drop(conn);
        let place = |number: &i64| line.iter().rposition(|commit| merged.get(commit) == Some(number));
        let mut newest_first: Vec<(Option<usize>, i64)> =
            numbers.iter().map(|number| (place(number), *number)).collect();
        newest_first.sort_unstable_by(|one, other| other.cmp(one));
        let mut steps = Vec::new();
        for (at, number) in &newest_first {
            let pull = merged_pull(repository, *number).await?;
            let told = match &pull.state {
                PullState::Merged { commit, .. } => commit.clone(),
                PullState::Open | PullState::Closed => None,
            };
            let merged_as = at.and_then(|at| line.get(at)).cloned().or(told).unwrap_or_else(|| tip.clone());
            let Some(before) = merged_from(repository, &pull, &merged_as).await? else {
                let place = repository.forge().place(*number);
                return Err(Stop::Never(format!("where {place} left `{}` is not known", environment.branch)));
            };
            steps.push(Taken { before, after: pull.head });
        }
        Ok((steps, newest_first.into_iter().map(|(_, number)| number).collect()))
    }

    /// Whether a tree has, for no object, what was taken away: a revert that is merged and ends nothing helps nobody.
    async fn takes_it_away(&self, tree: &CommitId, default_tip: &CommitId, pulls: &[String]) -> Result<(), Stop> {
        let Self { repository, environment, pin, .. } = self;
        let contents = Contents::new(repository);
        let named = pulls.join(", ");
        let Some(block) = block_at(repository, &contents, environment, tree, default_tip).await? else {
            return Err(Stop::Never(format!("without {named} there is no such environment")));
        };
        match contents.set_at(&block, &contents.tree(tree).await?).await? {
            SetAt::Set(content) if pin.taken.is_gone_from(&content.hashed) => Ok(()),
            SetAt::Set(_) => {
                Err(Stop::Never(format!("reverting {named} does not take away all that the rollback did")))
            }
            SetAt::Broken { errors, .. } => {
                let why = errors.into_iter().next().unwrap_or_default();
                Err(Stop::Never(format!("without {named} it does not render: {why}")))
            }
            SetAt::Absent => Err(Stop::Never(format!("without {named} its folder is not there"))),
        }
    }

    /// One transaction: what came of it, what the environment is held for, who is told, and the end of the job.
    async fn record(&self, came: Result<i64, String>) -> Result<(), JobError> {
        let Repository { context, job, row, .. } = self.repository;
        let now = context.clock.now();
        let mut tx = context.pool.begin().await?;
        queue::confirm(&mut tx, job).await?;
        let (action, detail) = match &came {
            Ok(number) => {
                let shown_as = self.repository.forge().place(*number);
                our_pulls::opened(&mut tx, self.rollback, (*number, &shown_as), now).await?;
                queue::enqueue(&mut tx, &attend_pull(&row.key, *number, job.trace)).await?;
                ("revert.opened", json!({ "rollback": self.rollback, "number": number }))
            }
            Err(why) => {
                our_pulls::not_opened(&mut tx, self.rollback, why, Some(now)).await?;
                ("revert.not_opened", json!({ "rollback": self.rollback, "why": why }))
            }
        };
        self.tell(&mut tx, action, detail).await?;
        queue::finish(&mut tx, job).await?;
        tx.commit().await?;
        self.repository.met(super::Step::Recorded);
        context.bell.ring(Lane::Default);
        Ok(())
    }

    /// It is said once, and tried again.
    async fn refused(&self, why: String) -> Result<(), JobError> {
        let Repository { context, job, .. } = self.repository;
        if self.revert.why_not.as_ref() != Some(&why) {
            let mut tx = context.pool.begin().await?;
            queue::confirm(&mut tx, job).await?;
            our_pulls::not_opened(&mut tx, self.rollback, &why, None).await?;
            self.tell(&mut tx, "revert.not_opened", json!({ "rollback": self.rollback, "why": why })).await?;
            tx.commit().await?;
            context.bell.ring(Lane::Default);
        }
        Err(JobError::Refused(why))
    }

    async fn tell(
        &self,
        conn: &mut sqlx::PgConnection,
        action: &'static str,
        detail: serde_json::Value,
    ) -> Result<(), JobError> {
        let Repository { job, row, .. } = self.repository;
        let environment = &self.environment;
        if let (Some(pin), Some(hold)) =
            (pins::standing(&mut *conn, environment.id).await?, holds::get(&mut *conn, environment.id).await?)
            && hold.reason == HoldReason::Pinned.as_str()
            && pin.id == self.pin.id
        {
            holds::put(&mut *conn, &pin.hold(environment.id, &environment.name, Some(hold))).await?;
        }
        let rollback = &self.pin.rollback;
        let places = pins::told_in(&mut *conn, &self.pin).await?;
        let told: Vec<NewJob> = places.into_iter().map(|place| attend_pull(&row.key, place, job.trace)).collect();
        queue::enqueue_all(&mut *conn, &told).await?;
        let subject = format!("{} {}", self.repository.granted_name(), environment.name);
        let (actor, cause) = ("bascule".to_owned(), work::cause(job));
        let entry = NewEntry { actor, action, subject, detail, cause, trace: rollback.new.trace };
        audit::append(conn, &entry).await?;
        Ok(())
    }
}

/// Some of them, and how many more.
fn some(paths: &[String]) -> String {
    let named: Vec<String> = paths.iter().take(NAMED).map(|path| format!("`{path}`")).collect();
    let more = paths.len().saturating_sub(NAMED);
    if more == 0 { named.join(", ") } else { format!("{} and {more} more", named.join(", ")) }
}
