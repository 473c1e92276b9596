//! What drifted is applied again: exactly as it was deployed last, object by object, by somebody who has the job.
//!
//! Nothing is forced but one thing: a field that was ours, that somebody wrote since without applying it, goes back when the
//! environment's own rules or a person say so, and only over the very version that was looked at. Who applies it, too, is named
//! instead.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::look::Looked;
use super::{Asked, NAMED, Scene, ended};
use crate::audit;
use crate::cluster::{Applied, ClusterError, Fate, Onto, WRITE_LIMIT, Write};
use crate::db::drift::{self, Drifted};
use crate::db::environments::EnvironmentState;
use crate::db::freezes::{self, Freeze};
use crate::db::repositories::RepositoryState;
use crate::db::{inventory, restored, watches};
use crate::ids::ObjectKey;
use crate::jobs::error::JobError;
use crate::jobs::gather::there::find;
use crate::jobs::route::look_at_drift;
use crate::jobs::sync_environment::fence::{self, FenceOf, Fenced, no_namespace};
use crate::manifest::{RenderedSet, apply_order, is_sealed};
use crate::policy::rules::OnDrift;
use crate::queue::{self, NewJob};
use crate::sync::Recorded;
use crate::sync::drift::{Drift, Glance, What, applies, but_for_scalers, glance, hands, in_the_way, pause};

/// Between the end of a write's own limit and the end of the lease: for scheduling on a loaded machine.
const MARGIN: Duration = Duration::from_secs(1);

/// What became of one object.
enum Healed {
    /// Applied; the answer.
    Applied(Box<Applied>),
    /// It was as it should be by then.
    AsItWas,
    /// It was not, and why.
    Not(String),
    /// Somebody froze the environment meanwhile: nothing was written.
    Frozen(Freeze),
}

/// What may be written of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    /// The fence is ours.
    Everything,
    /// It is not yet: only what is not there, which is nobody's, is made.
    ToMake,
}

impl Scene<'_> {
    /// Puts right what is to be put right now, and comes back for what has to wait.
    pub(super) async fn heal(&self, asked: Asked) -> Result<(), JobError> {
        if (self.on_drift == OnDrift::Report && asked == Asked::ByAWatch)
            || self.environment.state != EnvironmentState::Active
            || self.repository.state != RepositoryState::Active
        {
            return Ok(());
        }
        let now = self.context.clock.now();
        let mut conn = self.context.pool.acquire().await?;
        let of = drift::Which { environment: Some(self.environment.id), ..drift::Which::default() };
        let mut open = drift::list(&mut conn, &of, i64::MAX).await?;
        open.retain(|one| one.drift.what.can_be_healed());
        if open.is_empty() {
            return Ok(());
        }
        // What a database from a backup calls the last deployment may be an old one.
        if restored::open(&mut conn).await?.is_some() {
            tracing::warn!(environment = self.environment.id, "nothing is healed until a restore is confirmed");
            return Ok(());
        }
        let frozen = self.frozen(&mut conn).await?;
        drop(conn);
        if let Some(freeze) = frozen {
            return self.come_back_after(&freeze).await;
        }
        let due =
            |one: &Drifted| one.healed_at.map_or(now, |at| at.saturating_add(signed(pause(one.heals))).unwrap_or(now));
        let (ready, later): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|one| asked == Asked::ByAPerson || due(one) <= now);
        if !ready.is_empty()
            && let Some(freeze) = self.put_right(&ready, asked).await?
        {
            return self.come_back_after(&freeze).await;
        }
        self.come_back(later.iter().map(due).min().map(|at| wait(now, at))).await
    }

    /// Whoever froze it may be mending it by hand at this moment: it is asked before anything is begun, and before each write.
    async fn frozen(&self, conn: &mut PgConnection) -> Result<Option<Freeze>, JobError> {
        Ok(freezes::standing(conn, Some(self.environment.id), self.context.clock.now()).await?)
    }

    async fn come_back_after(&self, freeze: &Freeze) -> Result<(), JobError> {
        let now = self.context.clock.now();
        self.come_back(freeze.until.map(|until| wait(now, until))).await
    }

    async fn come_back(&self, after: Option<Duration>) -> Result<(), JobError> {
        let Some(run_after) = after else { return Ok(()) };
        let job = look_at_drift(&self.repository.key, self.environment.id, self.job.trace);
        let mut tx = self.context.pool.begin().await?;
        queue::confirm(&mut tx, self.job).await?;
        queue::enqueue(&mut tx, &NewJob { run_after, ..job }).await?;
        Ok(tx.commit().await?)
    }

    /// What keeps it from going on is a freeze that began meanwhile.
    async fn put_right(&self, drifted: &[Drifted], asked: Asked) -> Result<Option<Freeze>, JobError> {
        let keys: Vec<ObjectKey> = apply_order(drifted.iter().map(|one| &one.key)).into_iter().cloned().collect();
        let contents = self.contents(&keys).await?;
        let named: Vec<String> = keys.iter().take(NAMED).map(ToString::to_string).collect();
        let detail = json!({ "cluster": self.cluster_uid, "fence": self.job.fence, "objects": named,
            "more": keys.len().saturating_sub(NAMED) });
        let mut tx = self.context.pool.begin().await?;
        queue::confirm(&mut tx, self.job).await?;
        if let Some(freeze) = self.frozen(&mut tx).await? {
            return Ok(Some(freeze));
        }
        let intent = audit::intent(&mut tx, &self.entry("environment.heal", detail)).await?;
        tx.commit().await?;

        let mut done = Vec::new();
        let ended = self.heal_all(&keys, &contents, &mut done).await;
        // What was done before is recorded, whatever stopped it.
        self.record_healed(intent, done, ended.is_ok().then_some(asked)).await?;
        ended
    }

    /// Nothing is written before the fence is ours, but the namespace that it is in: nobody with a newer number can have written
    /// where none is, and a creation never touches what is there.
    async fn heal_all<'k>(
        &self,
        keys: &'k [ObjectKey],
        contents: &RenderedSet,
        done: &mut Vec<(&'k ObjectKey, Healed)>,
    ) -> Result<Option<Freeze>, JobError> {
        let namespace = &self.set.target.namespace;
        let mut left: Vec<&ObjectKey> = keys.iter().collect();
        let mut fenced = self.take_fence().await?;
        let is_its_own = |key: &&ObjectKey| key.group.is_empty() && key.kind == "Namespace" && key.name == *namespace;
        if let (Fenced::NoNamespace, Some(at)) = (&fenced, left.iter().position(is_its_own)) {
            let key = left.remove(at);
            match self.heal_one(key, contents, Leave::ToMake).await? {
                Healed::Frozen(freeze) => return Ok(Some(freeze)),
                healed => done.push((key, healed)),
            }
            fenced = self.take_fence().await?;
        }
        let why = match fenced {
            Fenced::Ours => None,
            Fenced::NoNamespace => Some(no_namespace(namespace)),
            Fenced::Never(why) => Some(why),
        };
        for key in left {
            let healed = match &why {
                None => self.heal_one(key, contents, Leave::Everything).await?,
                Some(why) => Healed::Not(why.clone()),
            };
            match healed {
                Healed::Frozen(freeze) => return Ok(Some(freeze)),
                healed => done.push((key, healed)),
            }
        }
        Ok(None)
    }

    async fn take_fence(&self) -> Result<Fenced, JobError> {
        let of = FenceOf {
            environment: &self.environment,
            repository: &self.repository,
            deployment: &self.last,
            cluster: &self.cluster,
            owner: &self.owner,
        };
        fence::take(self.world, (self.job, self.lease), &of, self.observe).await.map_err(ended)
    }

    async fn record_healed(
        &self,
        intent: i64,
        done: Vec<(&ObjectKey, Healed)>,
        carried_out: Option<Asked>,
    ) -> Result<(), JobError> {
        let now = self.context.clock.now();
        let (mut right, mut not): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
        let mut is_unsure = false;
        let mut tx = self.context.pool.begin().await?;
        queue::confirm(&mut tx, self.job).await?;
        for (key, healed) in done {
            let trouble = match healed {
                Healed::Applied(applied) => {
                    self.remember(&mut tx, key, &applied).await?;
                    right.push(key.to_string().into());
                    None
                }
                Healed::AsItWas => {
                    is_unsure = true;
                    watches::suspect(&mut tx, &self.cluster_uid, std::slice::from_ref(key)).await?;
                    continue;
                }
                Healed::Not(why) => {
                    not.push(json!({ "object": key.to_string(), "why": why }));
                    Some(why)
                }
                Healed::Frozen(_) => continue,
            };
            let outcome = if trouble.is_some() { "not" } else { "healed" };
            metrics::counter!("bascule_heals_total", "outcome" => outcome).increment(1);
            drift::healed(&mut tx, &self.cluster_uid, key, trouble.as_deref(), now).await?;
        }
        if !not.is_empty() || is_unsure {
            // It is tried, or looked at, again when a pause is over; a watch may tell of it sooner.
            let job = look_at_drift(&self.repository.key, self.environment.id, self.job.trace);
            queue::enqueue(&mut tx, &NewJob { run_after: pause(1), ..job }).await?;
        }
        let more = [&right, &not].map(|all| all.len().saturating_sub(NAMED));
        right.truncate(NAMED);
        not.truncate(NAMED);
        let detail = json!({ "healed": right, "not": not, "more": more });
        audit::outcome(&mut tx, intent, &self.entry("environment.healed", detail)).await?;
        if carried_out == Some(Asked::ByAPerson) {
            super::obeyed(&mut tx, self.job).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn remember(&self, conn: &mut PgConnection, key: &ObjectKey, applied: &Applied) -> Result<(), JobError> {
        let Some(before) = self.recorded.get(key) else { return Ok(()) };
        let row = Recorded {
            uid: Some(applied.uid.clone()),
            resource_version: Some(applied.resource_version.clone()),
            live: Some(applied.live),
            ..before.clone()
        };
        Ok(inventory::confirm(conn, self.environment.id, &self.cluster_uid, &[(row, applied.mark)]).await?)
    }

    /// One object: looked at once more, so that what is written is written over what was judged.
    async fn heal_one(&self, key: &ObjectKey, contents: &RenderedSet, leave: Leave) -> Result<Healed, JobError> {
        let (Some(content), Some(recorded)) = (contents.objects.get(key), self.recorded.get(key)) else {
            return Ok(Healed::Not(
                "it is not in the last deployment as it was sent: a sync has to bring it".to_owned(),
            ));
        };
        if let Some(why) = self.outside.get(key) {
            return Ok(Healed::Not(why.clone()));
        }
        if is_sealed(&content.json) {
            return Ok(Healed::Not(super::look::SEALED.to_owned()));
        }
        let what = match self.look_at(key, contents).await {
            Looked::Settled(_) => return Ok(Healed::AsItWas),
            Looked::Drifted(drift, _) if !drift.what.can_be_healed() => {
                return Ok(Healed::Not(drift.detail.unwrap_or_else(|| drift.what.as_str().to_owned())));
            }
            Looked::Drifted(drift, _) => drift.what,
            Looked::Unsure(error) => return self.unclear(key, error).await,
        };
        let resource = match find(&self.cluster, &recorded.api_version, &key.kind, Some(key)).await {
            Ok(resource) => resource,
            Err(error) => return self.unclear(key, error).await,
        };
        let live = match self.cluster.inspect(&resource, key, &content.json, &self.context.hash_key).await {
            Ok(live) => live,
            Err(error) => return self.unclear(key, error).await,
        };
        let onto = match (&what, &live) {
            (What::Gone, None) => Onto::Nothing,
            // Somebody made it anew since there was no fence: whose that is says the next one who takes it.
            (_, Some(_)) if leave == Leave::ToMake => return Ok(Healed::AsItWas),
            (_, Some(found)) if what != What::Gone => {
                let seen = &found.seen;
                // It is another one than was judged, or somebody else's by now: judged anew the next time.
                let drift = glance(&self.owner, recorded, Some(seen));
                if (what == What::Changed) != (recorded.uid.as_ref() == Some(&seen.uid))
                    || matches!(drift, Glance::Drifted(Drift { what: What::Owned | What::Leaving, .. }))
                {
                    return Ok(Healed::AsItWas);
                }
                Onto::This { uid: seen.uid.clone(), resource_version: seen.resource_version.clone() }
            }
            _ => return Ok(Healed::AsItWas),
        };
        let sent = live.as_ref().map(|found| but_for_scalers(&content.json, &found.live));
        let object = sent.as_ref().unwrap_or(&content.json);
        let write = Write { resource: &resource, key, object, owner: &self.owner, onto: &onto };
        let key_of = &self.context.hash_key;
        if let Some(freeze) = self.frozen_now().await? {
            return Ok(Healed::Frozen(freeze));
        }
        self.permit()?;
        let fields = match self.cluster.apply(write, key_of).await {
            Ok(applied) => return Ok(Healed::Applied(Box::new(applied))),
            Err(ClusterError::Conflict(fields)) => fields,
            Err(error) => return self.unclear(key, error).await,
        };
        let named = fields.iter().map(|field| field.manager.clone()).collect::<Vec<_>>();
        let held = ClusterError::Conflict(fields).to_string();
        let (Some(found), What::Changed) = (live, what) else {
            return Ok(Healed::Not(format!("it is not ours, and {held}")));
        };
        // Whose hand it was is read from the version that is written over.
        self.permit()?;
        let would = match self.cluster.try_taking(write, key_of).await {
            Ok((would, _)) => would,
            Err(error) => return self.unclear(key, error).await,
        };
        // The server names whom it would be taken from; a field may also change without a conflict.
        let hands = hands(&found.live, &would.object);
        let named = named.iter().find(|name| applies(&found.live, name));
        if let Some(name) = in_the_way(&hands).map(|hand| &hand.name).or(named) {
            let why = format!("{held}; `{name}` applies it, too: take it out of one of the two");
            return Ok(Healed::Not(why));
        }
        if let Some(freeze) = self.frozen_now().await? {
            return Ok(Healed::Frozen(freeze));
        }
        self.permit()?;
        match self.cluster.take_back(write, key_of).await {
            Ok(applied) => Ok(Healed::Applied(Box::new(applied))),
            Err(error) => self.unclear(key, error).await,
        }
    }

    /// What passes is tried again by the job, and what the server says no to is said.
    async fn unclear(&self, key: &ObjectKey, error: ClusterError) -> Result<Healed, JobError> {
        if super::look::is_secret(key) && matches!(error, ClusterError::Refused { .. }) {
            let why = "the server would not take it, and its words are not shown, since they may tell what is in there";
            return Ok(Healed::Not(why.to_owned()));
        }
        match error.fate() {
            Fate::Away | Fate::Retry { .. } => Err(error.into()),
            // It changed under our hands: a watch tells of it.
            Fate::Look => Ok(Healed::AsItWas),
            Fate::Held | Fate::Never => Ok(Healed::Not(self.words(&error.to_string()).await)),
        }
    }

    async fn frozen_now(&self) -> Result<Option<Freeze>, JobError> {
        self.frozen(&mut *self.context.pool.acquire().await?).await
    }

    /// Before every write: the lease outlasts it.
    fn permit(&self) -> Result<(), JobError> {
        if self.lease.is_stopping() {
            return Err(JobError::NotNow { wait: Duration::ZERO, why: "the worker stops".to_owned() });
        }
        let _permit = self.lease.check(WRITE_LIMIT + MARGIN)?;
        Ok(())
    }
}

fn signed(time: Duration) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
}

fn wait(now: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(now)).unwrap_or_default()
}
