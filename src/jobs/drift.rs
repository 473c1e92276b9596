//! Drift of one environment: what a watch found suspect is read and judged, and put right where its rules or a person say so.
//!
//! It is a part of the job `sync_environment`, and no job beside it: whoever runs that job is the only one who touches the
//! environment's objects, so no look meets a sync half-way, and no two of them write. It needs no forge. What it applies is the
//! content of the last deployment that was started, whatever it was, and only the objects that drifted; no position moves and no
//! deployment is numbered, since nothing else is deployed than before.

mod heal;
mod look;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgConnection;

use super::context::Context;
use super::error::JobError;
use super::gather::opened;
use super::route::{look_at_drift, tell_drift};
use super::sync_environment::turn::Turn;
use super::sync_environment::{Interrupted, Observer, World};
use super::work;
use crate::audit::NewEntry;
use crate::cluster::{Cluster, Identity};
use crate::consent::HashedSet;
use crate::db::deployments::{self, Deployment};
use crate::db::environments::{self, Environment, EnvironmentState};
use crate::db::repositories::{self, Repository};
use crate::db::{drift, drift_issues, inventory, rollbacks, sets, watches};
use crate::ids::{ObjectHash, ObjectKey, SetKey};
use crate::manifest::{RenderedSet, hook, is_sealed, without_secrets};
use crate::policy::rules::OnDrift;
use crate::queue::{self, Claimed, Lane, Lease};
use crate::sync::{Owner, Recorded};

/// How long it is waited where the database went back, before it is looked whether an operator has looked.
const AWAY: Duration = Duration::from_secs(30);
/// Objects named in one entry of the log; the rest is counted.
const NAMED: usize = 500;
/// Requests of one run at once; the cluster's own slots bound those of all runs.
const WIDTH: usize = 16;

/// Whether a person asked to have drift put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Everything is looked at, and nobody is waited for.
    ByAPerson,
    /// What a watch found, as the rules say.
    ByAWatch,
}

/// One environment, and everything it is compared with.
struct Scene<'a> {
    context: &'a Context,
    world: &'a World<'a>,
    job: &'a Claimed,
    lease: &'a Lease,
    observe: Observer<'a>,
    environment: Environment,
    repository: Repository,
    /// The one that was started last.
    last: Deployment,
    on_drift: OnDrift,
    /// Whether it is told in an issue.
    tells: bool,
    /// What the last deployment brought.
    set: HashedSet,
    recorded: BTreeMap<ObjectKey, Recorded>,
    /// What no grant reaches any more, and why: it is looked at, and not written to.
    outside: BTreeMap<ObjectKey, String>,
    cluster: Cluster,
    cluster_uid: String,
    owner: String,
    /// Among the syncs of the cluster: one that is slow or dead takes no more of a server for looks than for syncs.
    _turn: Turn,
}

/// Looks at what is suspect, and puts right what is to be.
///
/// # Errors
/// [`JobError`]: what was not looked at stays suspect.
pub(super) async fn attend(
    context: &Context,
    world: &World<'_>,
    (job, lease, observe): (&Claimed, &Lease, Observer<'_>),
    environment: i64,
    asked: Asked,
) -> Result<(), JobError> {
    let mut conn = context.pool.acquire().await?;
    // One that runs decides about everything by itself, and so does one that goes back: nothing is brought back before it.
    if deployments::is_running(&mut conn, environment).await? || rollbacks::is_open(&mut conn, environment).await? {
        return Ok(());
    }
    if asked == Asked::ByAWatch && watches::is_quiet(&mut conn, environment).await? {
        drop(conn);
        return tell(context, job, environment, false).await;
    }
    drop(conn);
    let Some(scene) = Scene::open(context, world, (job, lease, observe), environment).await? else { return Ok(()) };
    let looked = scene.look(asked).await;
    if matches!(looked, Err(JobError::Lost(_) | JobError::NotNow { .. })) {
        return looked;
    }
    // One that cannot be looked at, as behind a webhook that fails, keeps no other from being put right.
    let healed = scene.heal(asked).await;
    tell(context, job, environment, scene.tells).await?;
    // Also where there was nothing to put right, or it is frozen; but not where nobody could look.
    if looked.is_ok() && healed.is_ok() && asked == Asked::ByAPerson {
        let mut tx = context.pool.begin().await?;
        obeyed(&mut tx, job).await?;
        tx.commit().await?;
    }
    looked.and(healed)
}

/// Has people told of what drifts now, where the rules ask for that, and of its end. What could be put right at once is told to
/// nobody.
async fn tell(context: &Context, job: &Claimed, environment: i64, tells: bool) -> Result<(), JobError> {
    let mut tx = context.pool.begin().await?;
    let of = drift::Which { environment: Some(environment), ..drift::Which::default() };
    if tells && !drift::list(&mut tx, &of, 1).await?.is_empty() {
        drift_issues::begin(&mut tx, environment).await?;
    }
    let Some(row) = environments::repository_of(&mut tx, environment).await? else { return Ok(()) };
    if drift_issues::due(&mut tx, row, Some(environment), context.clock.now()).await?.is_empty() {
        return Ok(tx.commit().await?);
    }
    let Some(repository) = repositories::get(&mut tx, row).await? else { return Ok(()) };
    queue::enqueue(&mut tx, &tell_drift(&repository.key, job.trace)).await?;
    tx.commit().await?;
    context.bell.ring(Lane::Default);
    Ok(())
}

/// A person's word was carried out: whatever else this job is tried again for, it is not obeyed once more. What could not be looked at
/// by then stays suspect, and is shown when it is looked at.
async fn obeyed(conn: &mut PgConnection, job: &Claimed) -> Result<(), JobError> {
    Ok(queue::amend(conn, job, &json!({ "heal": false, "look": true })).await?)
}

/// What moved during a sync, or drifted before and was not deployed anew, is looked at after it.
pub(super) async fn look_later(context: &Context, job: &Claimed, environment: i64) -> Result<(), JobError> {
    let mut tx = context.pool.begin().await?;
    if watches::is_quiet(&mut tx, environment).await? {
        drop(tx);
        // What it took away may have been all that drifted.
        return tell(context, job, environment, false).await;
    }
    let Some(row) = environments::repository_of(&mut tx, environment).await? else { return Ok(()) };
    let Some(repository) = repositories::get(&mut tx, row).await? else { return Ok(()) };
    queue::enqueue(&mut tx, &look_at_drift(&repository.key, environment, job.trace)).await?;
    Ok(tx.commit().await?)
}

impl<'a> Scene<'a> {
    /// `None`: nothing of it is watched over.
    async fn open(
        context: &'a Context,
        world: &'a World<'a>,
        (job, lease, observe): (&'a Claimed, &'a Lease, Observer<'a>),
        environment: i64,
    ) -> Result<Option<Self>, JobError> {
        let mut conn = context.pool.acquire().await?;
        let Some(environment) = environments::get(&mut conn, environment).await? else { return Ok(None) };
        let Some(repository) = repositories::get(&mut conn, environment.repository).await? else { return Ok(None) };
        if !matches!(environment.state, EnvironmentState::Active | EnvironmentState::Orphaned) {
            return Ok(None);
        }
        let Some(last) = deployments::list(&mut conn, environment.id, None, 1).await?.pop() else { return Ok(None) };
        let set = sets::load_hashed(&mut conn, &last.new.to.set).await?;
        let rules = environments::in_force(&mut conn, &environment).await?;
        drop(conn);
        let name = format!("{}/{}", repository.key.forge, repository.full_name);
        let reached = context.platform.grant_meant(&name, &set.target, objects(&set).map(|(key, _)| key));
        let Some((granted, refused)) = reached else {
            tracing::debug!(environment = environment.id, "no grant reaches it any more, so it is not looked at");
            return Ok(None);
        };
        let outside = refused
            .iter()
            .map(|(key, why)| ((*key).clone(), format!("grant `{}` does not reach it: {why}", granted.name)));
        let outside = outside.collect();
        let identity = Identity::of(granted.grant.acts_as(&set.target.namespace));
        let turn = Turn::of(context.clusters.turns(&set.target.cluster));
        turn.take(lease).await.map_err(ended)?;
        let own = context.clusters.get(&set.target.cluster, &Identity::Own).await?;
        let cluster_uid = own.uid().await?.to_owned();
        let cluster = context.clusters.get(&set.target.cluster, &identity).await?;
        let mut conn = context.pool.acquire().await?;
        if inventory::elsewhere(&mut conn, environment.id, &cluster_uid).await? > 0 {
            tracing::debug!(
                environment = environment.id,
                "its cluster is another one now, so nothing is looked at or written"
            );
            return Ok(None);
        }
        let recorded = inventory::of(&mut conn, environment.id, &cluster_uid).await?;
        drop(conn);
        let owner = Owner::of(context.installation, &repository.key, &environment.name).to_string();
        let tells = rules.as_ref().is_some_and(|rules| rules.drift_issue);
        let on_drift = rules.map(|rules| rules.drift).unwrap_or_default();
        Ok(Some(Self {
            context,
            world,
            job,
            lease,
            observe,
            environment,
            repository,
            last,
            on_drift,
            tells,
            set,
            recorded,
            outside,
            cluster,
            cluster_uid,
            owner,
            _turn: turn,
        }))
    }

    /// Of these objects, those that are in the last deployment as they were sent, with their content. Of another one nothing can be
    /// said: it was kept, or its sync failed, which is told elsewhere.
    async fn contents(&self, keys: &[ObjectKey]) -> Result<RenderedSet, JobError> {
        let keys: BTreeSet<&ObjectKey> = keys.iter().collect();
        let is_sent = |key: &ObjectKey, hash: &ObjectHash| {
            keys.contains(key) && self.recorded.get(key).is_some_and(|recorded| recorded.hash == *hash)
        };
        let hashes = self.set.hashes.iter().filter(|(key, hash)| match key {
            SetKey::Object(key) => is_sent(key, hash),
            SetKey::Entry => true,
        });
        let hashes = hashes.map(|(key, hash)| (key.clone(), *hash)).collect();
        let (mut contents, _) = self.load(hashes).await?;
        // Hooks are run, and are nobody's state afterwards.
        contents.objects.retain(|_, object| hook(&object.json).is_none());
        Ok(contents)
    }

    /// Stored objects, in clear: what is in the cluster is, and only so can it be compared and put back. With those that stay sealed, for
    /// want of a key, or since no grant reaches them any more.
    async fn load(
        &self,
        hashes: BTreeMap<SetKey, ObjectHash>,
    ) -> Result<(RenderedSet, BTreeMap<ObjectKey, String>), JobError> {
        let some = HashedSet { target: self.set.target.clone(), hashes };
        let mut conn = self.context.pool.acquire().await?;
        let mut contents = sets::load_objects(&mut conn, some, &self.context.seal).await?;
        drop(conn);
        let name = format!("{}/{}", self.repository.key.forge, self.repository.full_name);
        let keys = opened::keys_of(&self.context.platform, &name, &self.set.target);
        let reached = contents.objects.values().filter(|object| !self.outside.contains_key(&object.key));
        let opening = Box::pin(opened::open(&self.context.unsealer, &keys, reached));
        let opened = tokio::select! {
            opened = opening => opened,
            () = self.lease.stopping() => return Err(ended(Interrupted::Stopping)),
        };
        opened.put_into(&mut contents.objects);
        let shut = contents.objects.values().filter(|object| is_sealed(&object.json));
        let shut = shut.map(|object| (object.key.clone(), look::SEALED.to_owned())).collect();
        Ok((contents, shut))
    }

    /// Words of others that are stored and shown, without what is in the environment's Secrets: a webhook that judges one object may
    /// have read another.
    async fn words(&self, text: &str) -> String {
        let secrets = self.set.hashes.iter().filter(|(key, _)| match key {
            SetKey::Object(key) => look::is_secret(key),
            SetKey::Entry => true,
        });
        match self.load(secrets.map(|(key, hash)| (key.clone(), *hash)).collect()).await {
            Ok((set, shut)) if shut.is_empty() => {
                without_secrets(text, set.objects.values().map(|object| &object.json))
            }
            Ok(_) | Err(_) => opened::WITHHELD.to_owned(),
        }
    }

    fn entry(&self, action: &'static str, detail: Value) -> NewEntry {
        NewEntry {
            actor: "bascule".to_owned(),
            action,
            subject: format!("{}/{} {}", self.repository.key.forge, self.repository.full_name, self.environment.name),
            detail,
            cause: work::cause(self.job),
            trace: self.job.trace,
        }
    }
}

fn objects(set: &HashedSet) -> impl Iterator<Item = (&ObjectKey, &ObjectHash)> + Clone {
    set.hashes.iter().filter_map(|(key, hash)| match key {
        SetKey::Object(key) => Some((key, hash)),
        SetKey::Entry => None,
    })
}

/// What ends a run of a sync ends a look alike.
fn ended(interrupted: Interrupted) -> JobError {
    let why = interrupted.to_string();
    match interrupted {
        Interrupted::Lost(lost) => lost.into(),
        Interrupted::Database(error) => error.into(),
        Interrupted::Away(why) => JobError::Away(why),
        Interrupted::Stopping | Interrupted::Unwanted => JobError::NotNow { wait: Duration::ZERO, why },
        Interrupted::Older { .. } => JobError::NotNow { wait: AWAY, why },
    }
}
