//! A way back (rule 15 of consent), as a sync begins: every object is tried by a dry run before anything is written; then one
//! transaction makes a deployment of it, which leaves the position where it is, and pins the environment. No forge is asked.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use serde_json::json;
use sqlx::PgConnection;

use super::context::Context;
use super::error::JobError;
use super::gather::there::identity;
use super::route::{attend_pull, open_revert, sync_environment, tell_deployments};
use super::step::Step;
use super::work;
use crate::audit::{self, NewEntry};
use crate::cluster::{Cluster, ClusterError, Fate, Found, Served, Trial};
use crate::consent::{Change, NoWayBack};
use crate::db::deployments::{self, NewDeployment};
use crate::db::environments::{self, At, Environment, EnvironmentState};
use crate::db::holds::{self, Hold};
use crate::db::repositories::{self, Repository};
use crate::db::rollbacks::{self, NewRollback, Rollback, Way};
use crate::db::{pins, reverts, sets};
use crate::event::back_to::BackTo;
use crate::ids::{ChangeDigest, RepositoryKey};
use crate::manifest::{HashKey, Object, RenderedSet, hook, is_sealed, with_placeholders};
use crate::policy::rules;
use crate::queue::{self, Claimed, Lane, Lease, NewJob};
use crate::sync::{Outcome, Owner, State};

/// Dry runs at once; the cluster's own slots bound those of all jobs.
const WIDTH: usize = 16;
/// Objects named in one refusal; the others are counted.
const NAMED: usize = 5;

/// Nothing is put back to an environment that its repository does not name.
const NOT_NAMED: &str = "it is not in the default branch's file any more";

/// Everything there is to act on.
struct Scene {
    asked: Rollback,
    environment: Environment,
    repository: Repository,
    way: Way,
    set: RenderedSet,
    entry: rules::Environment,
    /// The change that its revert pull request makes, if it makes no other: from the position's set to what is put back.
    consents: ChangeDigest,
}

/// Why it is not gone back.
enum Stop {
    /// It never will be: said to whoever asked.
    Refused(String),
    /// Not now.
    Job(JobError),
}

impl<E: Into<JobError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Job(error.into())
    }
}

/// Goes back, if somebody asked for that. `true`: a deployment is running.
pub(super) async fn begin(context: &Context, job: &Claimed, lease: &Lease, id: i64) -> Result<bool, JobError> {
    let mut conn = context.pool.acquire().await?;
    let Some(asked) = rollbacks::open(&mut conn, id).await? else { return Ok(false) };
    let Some(environment) = environments::get(&mut conn, id).await? else { return Ok(false) };
    let Some(repository) = repositories::get(&mut conn, environment.repository).await? else { return Ok(false) };
    drop(conn);
    let subject = (asked.clone(), environment.clone(), repository.clone());
    match work::boxed(tried(context, lease, asked, environment, repository)).await {
        Ok(scene) => start(context, job, scene).await,
        Err(Stop::Refused(why)) => refuse(context, job, subject, &why).await.map(|()| false),
        Err(Stop::Job(error)) => Err(error),
    }
}

/// What there is to act on, when the cluster would take all of it.
async fn tried(
    context: &Context,
    lease: &Lease,
    asked: Rollback,
    environment: Environment,
    repository: Repository,
) -> Result<Scene, Stop> {
    let scene = gather(context, asked, environment, repository).await?;
    let tried = tokio::select! {
        tried = work::boxed(try_all(context, &scene)) => tried,
        () = lease.stopping() => {
            let why = "the worker stops".to_owned();
            Err(Stop::Job(JobError::NotNow { wait: Duration::ZERO, why }))
        }
    };
    tried.map(|()| scene)
}

async fn gather(
    context: &Context,
    asked: Rollback,
    environment: Environment,
    repository: Repository,
) -> Result<Scene, Stop> {
    if environment.state != EnvironmentState::Active {
        return Err(Stop::Refused(NOT_NAMED.to_owned()));
    }
    let mut conn = context.pool.acquire().await?;
    // What was healthy when it was asked for may be too old by now, and what ran may be something else.
    let to = BackTo::Number(asked.back_to);
    let way = rollbacks::way(&mut conn, &environment, Some(&to)).await.map_err(unreadable)?;
    let way = way.map_err(|why: NoWayBack| Stop::Refused(why.to_string()))?;
    let set = sets::load_objects(&mut conn, way.put_back.clone(), &context.seal).await.map_err(unreadable)?;
    let entry = sets::entries(&mut conn, &[set.entry]).await?.remove(&set.entry);
    let entry = entry.ok_or_else(|| Stop::Refused("the rules in force are not stored".to_owned()))?;
    let position = environment.position.as_ref().ok_or_else(|| Stop::Refused(NoWayBack::NeverSynced.to_string()))?;
    let stands = sets::load_hashed(&mut conn, &position.set).await.map_err(unreadable)?;
    let consents = Change::between(Some(&stands), &way.put_back).digest(&repository.key, &environment.name);
    Ok(Scene { asked, environment, repository, way, set, entry, consents })
}

/// What is stored cannot be read back: that does not pass.
fn unreadable(error: sets::SetError) -> Stop {
    match error {
        sets::SetError::Database(error) => error.into(),
        error @ (sets::SetError::Broken(..) | sets::SetError::Unopened(_)) => {
            Stop::Refused(format!("what was deployed cannot be read back: {error}"))
        }
    }
}

/// Every object, by a dry run; nothing is written.
async fn try_all(context: &Context, scene: &Scene) -> Result<(), Stop> {
    let Scene { set, repository, environment, .. } = scene;
    let identity = identity(&context.platform, repository, &set.target, set.objects.keys()).map_err(Stop::Refused)?;
    let cluster = context.clusters.get(&set.target.cluster, &identity).await.map_err(away)?;
    let served = cluster.served().await.map_err(away)?;
    let owner = Owner::of(context.installation, &repository.key, &environment.name).to_string();
    let trier = Trier {
        cluster: &cluster,
        served: &served,
        set,
        defined: set.objects.values().filter_map(Object::defines).collect(),
        owner: &owner,
        hash_key: &context.hash_key,
    };
    // Hooks are run, and are not what anything goes back to.
    let objects = set.objects.values().filter(|object| hook(&object.json).is_none());
    let tries: Vec<_> = objects.map(|object| work::boxed(trier.one(object))).collect();
    let mut answers = stream::iter(tries).buffer_unordered(WIDTH);
    let mut refused: Vec<String> = Vec::new();
    while let Some(answer) = answers.next().await {
        refused.extend(answer.map_err(away)?);
    }
    if refused.is_empty() {
        return Ok(());
    }
    refused.sort_unstable();
    let more = refused.len().saturating_sub(NAMED);
    let mut why = refused.into_iter().take(NAMED).collect::<Vec<_>>().join("; ");
    if more > 0 {
        why += &format!("; and {more} more");
    }
    Err(Stop::Refused(why))
}

/// A cluster that cannot be asked: the way back is tried again when it can be.
fn away(error: ClusterError) -> Stop {
    Stop::Job(JobError::Away(format!("the way back is not tried yet: {error}")))
}

/// Asks the API server what it would answer.
struct Trier<'a> {
    cluster: &'a Cluster,
    served: &'a Served,
    set: &'a RenderedSet,
    /// Kinds that the set itself defines: not served yet is not wrong.
    defined: BTreeSet<(String, String)>,
    owner: &'a str,
    hash_key: &'a HashKey,
}

impl Trier<'_> {
    /// Why it would not take one, if so.
    async fn one(&self, object: &Object) -> Result<Option<String>, ClusterError> {
        let Object { key, api_version, json, .. } = object;
        let refused = |why: String| Ok(Some(format!("{key}: {why}")));
        let Some(resource) = self.served.at(api_version, &key.kind) else {
            let comes_with_it = self.defined.contains(&(key.group.clone(), key.kind.clone()));
            return if comes_with_it { Ok(None) } else { refused(format!("the cluster serves no {api_version}")) };
        };
        // Placeholders would be other values, which such a one never takes.
        if is_sealed(json) && json["immutable"] == true {
            return Ok(None);
        }
        let stand_in = is_sealed(json).then(|| with_placeholders(json));
        let trial = Trial { resource, key, object: stand_in.as_ref().unwrap_or(json), owner: self.owner };
        match self.cluster.foresee(trial, self.hash_key).await {
            Ok((found, _)) => match found {
                // What cannot be asked without its being done is no refusal.
                Found::Absent | Found::Same | Found::Differs(_) | Found::Unaskable(_) => Ok(None),
                Found::NoNamespace if self.brings_namespace(object) => Ok(None),
                Found::NoNamespace => refused("its namespace is gone".to_owned()),
                Found::Conflict(fields) => {
                    let held = fields.iter().map(|one| format!("`{}` holds `{}`", one.manager, one.path));
                    refused(held.collect::<Vec<_>>().join(", "))
                }
                Found::Owned(by) => refused(format!("it belongs to {by}")),
                Found::Deleting(how) => refused(format!("it is being deleted {how}")),
                Found::Refused(why) => refused(why),
            },
            // What may pass is no answer.
            Err(error) if matches!(error.fate(), Fate::Away | Fate::Retry { .. } | Fate::Look) => Err(error),
            Err(error) => refused(error.to_string()),
        }
    }

    fn brings_namespace(&self, object: &Object) -> bool {
        let namespace = object.key.namespace.as_deref().unwrap_or_default();
        let mut keys = self.set.objects.keys();
        keys.any(|key| key.group.is_empty() && key.kind == "Namespace" && key.name == namespace)
    }
}

/// One transaction: the deployment, the pin, what the environment is held for, and who did it.
async fn start(context: &Context, job: &Claimed, scene: Scene) -> Result<bool, JobError> {
    let Scene { asked, environment, repository, way, set, entry, consents } = scene;
    let now = context.clock.now();
    let mut tx = context.pool.begin().await?;
    queue::confirm(&mut tx, job).await?;
    // The row is locked until the transaction ends, so the environment stays what it is: its file may be another since the
    // dry runs began.
    repositories::lock_facts(&mut tx, repository.id).await?;
    let known = environments::get(&mut tx, environment.id).await?;
    if known.is_none_or(|known| known.state != EnvironmentState::Active) {
        drop(tx);
        let subject = (asked, environment, repository);
        return work::boxed(refuse(context, job, subject, NOT_NAMED)).await.map(|()| false);
    }
    let subject = subject(&repository, &environment);
    if let Some(running) = deployments::supersede(&mut tx, environment.id).await? {
        // Whoever ran it is not this job, and will find that it has ended.
        let cause = format!("deployment {running}");
        audit::close_unended(&mut tx, &cause).await?;
        let detail = json!({
            "deployment": way.runs.new.number, "state": "superseded",
            "sentence": format!("it makes room for the way back to #{}", way.back.number), "outcome": Outcome::default(),
        });
        let actor = "bascule".to_owned();
        let entry = NewEntry {
            actor,
            action: "deployment.ended",
            subject: subject.clone(),
            detail,
            cause,
            trace: way.runs.new.trace,
        };
        audit::append(&mut tx, &entry).await?;
    }
    let digest = sets::store(&mut tx, &set, &entry, &context.seal).await?;
    let new = NewDeployment {
        id: context.clock.new_id(),
        environment: environment.id,
        number: environments::take_number(&mut tx, environment.id).await?,
        to: At { commit: way.back.commit.clone(), set: digest },
        from: Some(way.runs.new.to.clone()),
        change: way.change.digest(&repository.key, &environment.name),
        pulls: Vec::new(),
        approvals: Vec::new(),
        again_of: None,
        trace: asked.new.trace,
        fence: job.fence,
    };
    deployments::start(&mut tx, &new).await?;
    if !rollbacks::became(&mut tx, asked.new.id, (way.runs.new.id, new.id), now).await? {
        // Another one was asked for meanwhile.
        return Ok(false);
    }
    let earlier = pins::standing(&mut tx, environment.id).await?;
    let told_of_it = match &earlier {
        Some(earlier) => pins::told_in(&mut tx, earlier).await?,
        None => BTreeSet::new(),
    };
    let taken = earlier.map(|pin| pin.taken).unwrap_or_default().and(&way.running, &way.put_back);
    let ids = (context.clock.new_id(), environment.id);
    pins::begin(&mut tx, ids, asked.new.id, &taken, (asked.new.by.as_str(), now)).await?;
    reverts::ask(&mut tx, asked.new.id, (environment.id, &asked.new.by), &consents).await?;
    let pin = pins::standing(&mut tx, environment.id).await?.ok_or(sqlx::Error::RowNotFound)?;
    let before = holds::get(&mut tx, environment.id).await?;
    holds::put(&mut tx, &pin.hold(environment.id, &environment.name, before)).await?;
    let places = pins::told_in(&mut tx, &pin).await?.into_iter().chain(told_of_it).collect::<BTreeSet<_>>();
    let mut jobs: Vec<NewJob> =
        places.into_iter().map(|place| attend_pull(&repository.key, place, job.trace)).collect();
    jobs.push(open_revert(&repository.key, asked.new.id, job.trace));
    if context.forges.get(&repository.key.forge).is_some_and(|one| one.forge.has_deployments()) {
        jobs.push(tell_deployments(&repository.key, job.trace));
    }
    queue::enqueue_all(&mut tx, &jobs).await?;
    let detail = json!({
        "deployment": new.id, "number": new.number, "commit": new.to.commit, "set": new.to.set, "change": new.change,
        "from": { "commit": way.runs.new.to.commit, "set": way.runs.new.to.set }, "rollback": asked.new.id,
        "back_to": way.back.number, "taken_away": way.runs.new.number, "by": asked.new.by, "reason": asked.new.reason,
        "by_itself": asked.new.is_by_itself, "states_taken_away": taken.len(), "target": environment.target,
    });
    audit::append(&mut tx, &logged(subject, "rollback.started", detail, job, &asked)).await?;
    tx.commit().await?;
    context.observer.met(job, Step::WayBackDecided);
    context.bell.ring(Lane::Default);
    metrics::counter!("bascule_rollbacks_total", "result" => "started").increment(1);
    Ok(true)
}

/// Nothing was written, and nothing will be.
async fn refuse(
    context: &Context,
    job: &Claimed,
    (asked, environment, repository): (Rollback, Environment, Repository),
    why: &str,
) -> Result<(), JobError> {
    let mut tx = context.pool.begin().await?;
    queue::confirm(&mut tx, job).await?;
    if !rollbacks::refuse(&mut tx, asked.new.id, why, context.clock.now()).await? {
        return Ok(());
    }
    if asked.new.is_by_itself
        && let Some(hold) = holds::get(&mut tx, environment.id).await?
    {
        let detail = format!("{}; it could not go back to #{} by itself: {why}", hold.detail, asked.back_to);
        holds::put(&mut tx, &Hold { detail, ..hold }).await?;
    }
    if let Some((place, _)) = asked.new.asked_in {
        queue::enqueue(&mut tx, &attend_pull(&repository.key, place, job.trace)).await?;
    }
    let detail = json!({ "rollback": asked.new.id, "back_to": asked.back_to, "by": asked.new.by, "why": why });
    let entry = logged(subject(&repository, &environment), "rollback.refused", detail, job, &asked);
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    context.observer.met(job, Step::WayBackDecided);
    context.bell.ring(Lane::Default);
    metrics::counter!("bascule_rollbacks_total", "result" => "refused").increment(1);
    Ok(())
}

fn subject(repository: &Repository, environment: &Environment) -> String {
    format!("{}/{} {}", repository.key.forge, repository.full_name, environment.name)
}

fn logged(
    subject: String,
    action: &'static str,
    detail: serde_json::Value,
    job: &Claimed,
    asked: &Rollback,
) -> NewEntry {
    NewEntry { actor: "bascule".to_owned(), action, subject, detail, cause: work::cause(job), trace: asked.new.trace }
}

/// What a sync that failed asks for by itself, where the environment's rules want that: the way back to the last healthy
/// content. Never for a rollback, nor while one pins it: it goes back once; nor over one that somebody asked for. The job that
/// does it, if there is one.
///
/// # Errors
/// The database's own.
pub(super) async fn after_failure(
    conn: &mut PgConnection,
    (environment, repository): (&Environment, &RepositoryKey),
    failed: &deployments::Deployment,
    outcome: &Outcome,
    (id, now): (uuid::Uuid, jiff::Timestamp),
) -> Result<Option<NewJob>, sqlx::Error> {
    let is_a_way_back = !rollbacks::of(conn, &[failed.new.id]).await?.is_empty();
    if outcome.state() != State::Failed
        || is_a_way_back
        || pins::standing(conn, environment.id).await?.is_some()
        || rollbacks::is_open(conn, environment.id).await?
    {
        return Ok(None);
    }
    let way = match rollbacks::way(conn, environment, None).await {
        Ok(Ok(way)) => way,
        // It is held, which is what else follows a failure.
        Ok(Err(_)) => return Ok(None),
        Err(sets::SetError::Database(error)) => return Err(error),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the way back cannot be read");
            return Ok(None);
        }
    };
    let new = NewRollback {
        id,
        environment: environment.id,
        back_to: way.back.deployment,
        by: "bascule".to_owned(),
        reason: Some(outcome.sentence()),
        is_by_itself: true,
        asked_in: None,
        trace: failed.new.trace,
        asked_at: now,
    };
    rollbacks::ask(conn, &new).await?;
    Ok(Some(sync_environment(repository, environment.id, failed.new.trace)))
}
