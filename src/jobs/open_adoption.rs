//! The pull request that writes into the repository what is in the cluster, of fields that drifted: drift's second way out.
//!
//! ```text
//!   what drifted ─> looked at: what is ours and another now ─> where that is written ─> the files with it
//!        ─> rendered, as a preview is: exactly that, and nothing else in any environment ─> a branch, and its pull request
//! ```
//!
//! Nothing is opened that does not do what it says: each field is written alone and proved, before the next. It is no consent: the
//! pull request is previewed, reviewed and synced as any other, and whoever asked for it is its author.

mod looked;
mod places;
mod proof;

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use self::looked::Looked;
use self::proof::{Draft, Ground};
use super::context::Context;
use super::error::JobError;
use super::gather::repository::{self, Repository};
use super::our_pull::{self, Opener, Plan, Stop};
use super::route::attend_pull;
use super::work;
use crate::audit::{self, NewEntry};
use crate::db::adoptions::{self, Adoption};
use crate::db::environments::{self, Environment, EnvironmentState};
use crate::db::our_pulls::{self, OurPull};
use crate::db::{drift, rollbacks};
use crate::forge::NewPull;
use crate::git::NewCommit;
use crate::ids::{ForgeName, RepositoryKey};
use crate::preview;
use crate::queue::{self, Claimed, Lane, Lease};

/// Objects of one pull request: each is rendered for by itself, at least once.
const MOST: usize = 30;
/// Objects that are looked at for it, be it that nothing of them can be adopted.
const LOOKED_AT: usize = 300;
/// How long an adoption waits for one that was asked for before it.
const BEFORE: Duration = Duration::from_secs(2);

/// The payload.
#[derive(Debug, Deserialize)]
struct Ids {
    forge: ForgeName,
    repository: i64,
    adoption: Uuid,
}

/// Everything there is to act on.
struct Scene<'r> {
    repository: &'r Repository<'r>,
    lease: &'r Lease,
    adoption: Adoption,
    known: OurPull,
    environment: Environment,
}

/// Runs the job.
///
/// # Errors
/// [`JobError`].
pub(super) async fn run(context: &Context, job: &Claimed, lease: &Lease) -> Result<(), JobError> {
    let ids: Ids = work::ids(job)?;
    let key = RepositoryKey { forge: ids.forge, id: ids.repository };
    let Some(repository) = repository::granted(context, &key, job).await? else {
        let (mut conn, now) = (context.pool.acquire().await?, context.clock.now());
        our_pulls::not_opened(&mut conn, ids.adoption, "no grant names the repository any more", Some(now)).await?;
        drop(conn);
        return work::finish(context, job).await;
    };
    let mut conn = context.pool.acquire().await?;
    let known = our_pulls::open(&mut conn, ids.adoption).await?;
    let adoption = adoptions::get(&mut conn, ids.adoption).await?;
    let Some((known, (adoption, _))) = known.zip(adoption) else {
        drop(conn);
        return work::finish(context, job).await;
    };
    // Of two that are asked for at once the second sees what the first has opened.
    for earlier in adoptions::before(&mut conn, adoption.id, adoption.environment).await? {
        if queue::is_to_run(&mut conn, &job.kind, &earlier.to_string()).await? {
            let why = "an adoption that was asked for before it is on its way".to_owned();
            return Err(JobError::NotNow { wait: BEFORE, why });
        }
    }
    let environment = environments::get(&mut conn, adoption.environment).await?;
    drop(conn);
    let Some(environment) = environment else { return work::finish(context, job).await };
    let scene = Scene { repository: &repository, lease, adoption, known, environment };
    match work::boxed(scene.opens()).await {
        Ok(number) => scene.record(Ok(number)).await,
        Err(Stop::Never(why)) => {
            // Nor would it be opened now; but it may have been.
            let known = our_pull::found_of(scene.repository, &scene.known).await?;
            scene.record(known.ok_or(why)).await
        }
        Err(Stop::Refused(why)) => scene.refused(why).await,
        Err(Stop::Job(error)) => Err(error),
    }
}

impl Scene<'_> {
    async fn opens(&self) -> Result<i64, Stop> {
        let plan = work::boxed(self.plan()).await?;
        let environment = (self.environment.id, &self.environment.name);
        let opener = Opener { repository: self.repository, lease: self.lease, id: self.adoption.id, environment };
        work::boxed(opener.opens(&plan)).await
    }

    /// The commit that has what is live, and what is said of it.
    async fn plan(&self) -> Result<Plan, Stop> {
        let Self { repository, environment, adoption, .. } = self;
        let branch = our_pull::branch(&format!("adopt-{}", environment.name), adoption.id)?;
        // What was pushed already stays what it is, with the words that were meant for it.
        if let Some(commit) = our_pull::pushed(repository, &self.known).await?
            && let Some((title, body)) =
                adoptions::words(&mut *repository.context.pool.acquire().await?, adoption.id).await?
        {
            let pull = self.pull(&branch, title, body);
            return Ok(Plan { branch, commit, pull });
        }
        if environment.state != EnvironmentState::Active {
            return Err(Stop::Never("it is not in the default branch's file any more".to_owned()));
        }
        let mut conn = repository.context.pool.acquire().await?;
        if rollbacks::is_open(&mut conn, environment.id).await? {
            return Err(Stop::Never("it is on its way back to an earlier content; ask again after that".to_owned()));
        }
        let which = drift::Which { environment: Some(environment.id), ..drift::Which::default() };
        let drifted = drift::list(&mut conn, &which, i64::MAX).await?;
        drop(conn);
        let of = adoption.of.as_ref();
        let meant: Vec<_> = drifted.into_iter().filter(|one| of.is_none_or(|of| of.is(&one.key))).collect();
        if meant.is_empty() {
            return Err(Stop::Never("nothing of it has drifted any more".to_owned()));
        }
        let Some(ground) = Ground::at_the_tip(repository, environment).await? else {
            return Err(Stop::Never(format!("`{}` does not render the environment now", environment.branch)));
        };
        let mut words = preview::Adoption::of(&environment.name, &environment.branch, person(&adoption.by));
        let looker = looked::Looker::at(repository, environment).await?;
        let mut draft = Draft::default();
        let mut more = meant.len();
        for one in meant.into_iter().take(LOOKED_AT) {
            if words.objects.len() == MOST {
                break;
            }
            more -= 1;
            let object = one.key.to_string();
            let wanted = match looker.look(&one.key).await? {
                Looked::Wants(wanted) => wanted,
                Looked::Not(why) => {
                    words.left_out.push((object, why));
                    continue;
                }
            };
            match ground.writes(&draft, &one.key, &wanted).await? {
                Ok(done) => {
                    draft = done;
                    words.objects.push((object, wanted.edits.iter().map(|edit| edit.shown.clone()).collect()));
                }
                Err(why) => words.left_out.push((object, why)),
            }
        }
        if more > 0 {
            let why = format!("one pull request adopts {MOST} objects, of {LOOKED_AT}; ask again for them");
            words.left_out.insert(0, (format!("{more} more"), why));
        }
        if words.objects.is_empty() {
            return Err(Stop::Never(words.none()));
        }
        words.files = draft.files.keys().cloned().collect();
        let tree = ground.tree_of(&draft).await?;
        let (message, at) = (words.message(), adoption.asked_at.as_second());
        let commit =
            repository.mirror.commit(NewCommit { tree: &tree, parent: &ground.tip, message: &message, at }).await?;
        let (title, body) = (words.title(), words.body());
        let mut conn = repository.context.pool.acquire().await?;
        adoptions::worded(&mut conn, adoption.id, (&title, &body)).await?;
        let pull = self.pull(&branch, title, body);
        Ok(Plan { branch, commit, pull })
    }

    fn pull(&self, branch: &crate::git::BranchName, title: String, body: String) -> NewPull {
        NewPull { base_branch: self.environment.branch.clone(), head_branch: branch.to_string(), title, body }
    }

    /// One transaction: what came of it, who is told, and the end of the job.
    async fn record(&self, came: Result<i64, String>) -> Result<(), JobError> {
        let Repository { context, job, row, .. } = self.repository;
        let now = context.clock.now();
        let id = self.adoption.id;
        let mut tx = context.pool.begin().await?;
        queue::confirm(&mut tx, job).await?;
        match &came {
            Ok(number) => {
                let shown_as = self.repository.forge().place(*number);
                our_pulls::opened(&mut tx, id, (*number, &shown_as), now).await?;
                queue::enqueue(&mut tx, &attend_pull(&row.key, *number, job.trace)).await?;
                self.tell(&mut tx, "adoption.opened", json!({ "adoption": id, "number": number })).await?;
            }
            Err(why) => {
                our_pulls::not_opened(&mut tx, id, why, Some(now)).await?;
                self.tell(&mut tx, "adoption.not_opened", json!({ "adoption": id, "why": why })).await?;
            }
        }
        queue::finish(&mut tx, job).await?;
        tx.commit().await?;
        self.repository.met(super::Step::Recorded);
        context.bell.ring(Lane::Default);
        Ok(())
    }

    /// It is said once, and tried again.
    async fn refused(&self, why: String) -> Result<(), JobError> {
        let Repository { context, job, .. } = self.repository;
        if self.known.why_not.as_ref() != Some(&why) {
            let id = self.adoption.id;
            let mut tx = context.pool.begin().await?;
            queue::confirm(&mut tx, job).await?;
            our_pulls::not_opened(&mut tx, id, &why, None).await?;
            self.tell(&mut tx, "adoption.not_opened", json!({ "adoption": id, "why": why })).await?;
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
        if let Some((place, _)) = self.adoption.asked_in {
            queue::enqueue(&mut *conn, &attend_pull(&row.key, place, job.trace)).await?;
        }
        let subject = format!("{} {}", self.repository.granted_name(), self.environment.name);
        let (actor, cause) = ("bascule".to_owned(), work::cause(job));
        let entry = NewEntry { actor, action, subject, detail, cause, trace: self.adoption.trace };
        audit::append(conn, &entry).await?;
        Ok(())
    }
}

/// Who, without the account's number, which is for the log.
fn person(actor: &str) -> &str {
    actor.rsplit_once(" (").filter(|(_, id)| id.ends_with(')')).map_or(actor, |(name, _)| name)
}
