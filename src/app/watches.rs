//! Watches of the clusters: what moves there becomes a suspect in the database and a look at its environment.
//!
//! ```text
//!   inventory ─> kinds ─> a watch for each kind (and namespace, where we may not see more) ─> fold ─> suspects ─> look_at_drift
//! ```
//!
//! One server of several watches a cluster, by a lease in the database: `cluster_watch`. It is no job of the queue, because a job comes
//! to an end, and one that never does would keep a slot of its lane. And it needs no fence: what a watch does is to ask for a look,
//! and two that ask for the same look get one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::reload::Live;
use crate::cluster::{Cause, Cluster, ClusterError, Identity, Resource, Scope, Sighted};
use crate::db::watches::{self, Kind, Of};
use crate::ids::{ClusterName, TraceId};
use crate::jobs::{self, Context};
use crate::queue::{self, Lane};
use crate::sync::fold::{Due, Fold};

/// How long a server has a cluster without renewing that: the next one takes over within half a minute.
const TERM: Duration = Duration::from_secs(20);
/// How often it is renewed, and the inventory asked for kinds that are new.
const LOOK: Duration = Duration::from_secs(5);
/// The first one after a kind was not found out about.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two tries to reach a cluster that is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often it is asked whether a sync has ended whose objects moved meanwhile; only while there are some.
const SYNCING: Duration = Duration::from_secs(1);
/// Everything is listed anew so often, give or take a tenth: what a watch never told is found then.
const RELIST: Duration = Duration::from_secs(6 * 60 * 60);
/// Events that are compared at once.
const BATCH: usize = 500;

/// Watches until the server stops; anew after each reload, which may have brought other clusters or grants.
pub(super) async fn watches(mut follows: watch::Receiver<Live>, holder: String, stop: CancellationToken) {
    loop {
        let context = follows.borrow_and_update().context.clone();
        let round = stop.child_token();
        let watching = watch_clusters(context, &holder, round.clone());
        let mut watching = std::pin::pin!(watching);
        tokio::select! {
            () = &mut watching => return,
            Ok(()) = follows.changed() => {}
        }
        round.cancel();
        watching.await;
    }
}

/// Watches every cluster that nobody else watches, until `stop`; what was held is given up then.
pub async fn watch_clusters(context: Arc<Context>, holder: &str, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    for name in context.clusters.names() {
        let one = OneCluster {
            context: context.clone(),
            name: name.clone(),
            holder: holder.to_owned(),
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            narrow: BTreeMap::new(),
            own: None,
        };
        tasks.spawn(one.run(stop.clone()));
    }
    stop.cancelled().await;
    while tasks.join_next().await.is_some() {}
}

/// As whom, and which kind (group and name).
type Whose = (Identity, String, String);

/// What is watched in one cluster by this server.
struct OneCluster {
    context: Arc<Context>,
    name: ClusterName,
    holder: String,
    running: BTreeMap<(Whose, Scope), (CancellationToken, AbortHandle)>,
    tasks: JoinSet<()>,
    /// Kinds that we may not see in the whole cluster, as a watch found out.
    narrow: BTreeMap<Whose, Arc<AtomicBool>>,
    /// The connection the watches were begun with.
    own: Option<Cluster>,
}

impl OneCluster {
    async fn run(mut self, stop: CancellationToken) {
        let (mut held_until, mut failures) = (Instant::now(), 0_u32);
        loop {
            let asked = Instant::now();
            match self.hold().await {
                Ok(true) => {
                    held_until = asked + TERM;
                    match self.refresh().await {
                        Ok(()) => failures = 0,
                        Err(error) => {
                            failures = failures.saturating_add(1);
                            tracing::warn!(cluster = %self.name, error = queue::worker::chain(error.as_ref()),
                                "what is to be watched cannot be found out; it is tried again");
                        }
                    }
                }
                Ok(false) => self.end().await,
                // A database that is away for a moment is no reason to list everything anew.
                Err(_) if Instant::now() < held_until => {}
                Err(error) => {
                    tracing::warn!(cluster = %self.name, error = queue::worker::chain(&error), "the watch cannot be held");
                    self.end().await;
                }
            }
            let jitter = f64::from(self.context.clock.new_id().as_bytes()[15]) / 255.0;
            let pause = (LOOK * 2_u32.saturating_pow(failures)).min(LONGEST_PAUSE).mul_f64(0.9 + jitter / 5.0);
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.end().await;
        let let_go = async {
            watches::let_watch_go(&mut *self.context.pool.acquire().await?, self.name.as_str(), &self.holder).await
        };
        if let Err(error) = let_go.await {
            let error = queue::worker::chain(&error);
            tracing::debug!(cluster = %self.name, error, "the watch is not given up, and runs out by itself");
        }
    }

    /// Whether this server watches the cluster. Nobody watches one that nothing was deployed to.
    async fn hold(&self) -> Result<bool, sqlx::Error> {
        let mut conn = self.context.pool.acquire().await?;
        if !watches::clusters(&mut conn).await?.iter().any(|name| name == self.name.as_str()) {
            return Ok(false);
        }
        watches::hold_watch(&mut conn, self.name.as_str(), &self.holder, TERM.as_secs_f64()).await
    }

    async fn end(&mut self) {
        for (stop, _) in self.running.values() {
            stop.cancel();
        }
        self.running.clear();
        metrics::gauge!("bascule_watches", "cluster" => self.name.to_string()).set(0.0);
        while self.tasks.join_next().await.is_some() {}
    }

    /// Begins the watches that are missing, and ends those that nobody needs any more.
    async fn refresh(&mut self) -> anyhow::Result<()> {
        let own = self.context.clusters.get(&self.name, &Identity::Own).await?;
        if self.own.as_ref().is_some_and(|before| !before.is(&own)) {
            // Another kubeconfig: perhaps another cluster.
            self.end().await;
        }
        let uid = own.uid().await?.to_owned();
        self.own = Some(own);
        let kinds = watches::kinds(&mut *self.context.pool.acquire().await?, self.name.as_str(), &uid).await?;
        let wanted = self.wanted(kinds);
        let ended: Vec<_> = self.running.keys().filter(|key| !wanted.contains_key(*key)).cloned().collect();
        for key in ended {
            if let Some((stop, _)) = self.running.remove(&key) {
                stop.cancel();
            }
        }
        while self.tasks.try_join_next().is_some() {}
        for ((whose, scope), api_version) in wanted {
            let key = (whose.clone(), scope.clone());
            if self.running.get(&key).is_some_and(|(_, task)| !task.is_finished()) {
                continue;
            }
            let (identity, group, kind) = whose.clone();
            let cluster = self.context.clusters.get(&self.name, &identity).await?;
            let one = OneWatch {
                context: self.context.clone(),
                cluster,
                uid: uid.clone(),
                api_version,
                group,
                kind,
                scope,
                is_narrow: self.narrow.entry(whose).or_default().clone(),
            };
            let stop = CancellationToken::new();
            let task = self.tasks.spawn(one.run(stop.clone()));
            self.running.insert(key, (stop, task));
        }
        metrics::gauge!("bascule_watches", "cluster" => self.name.to_string()).set(count(self.running.len()));
        Ok(())
    }

    /// Who has to watch which kind where, and a version it was sent at. One watch of the whole cluster sees as much as one for each
    /// namespace, where we are allowed to: acting as somebody of one namespace we are not.
    fn wanted(&self, kinds: Vec<Kind>) -> BTreeMap<(Whose, Scope), String> {
        let mut of: BTreeMap<i64, Vec<Kind>> = BTreeMap::new();
        for kind in kinds {
            of.entry(kind.environment).or_default().push(kind);
        }
        let mut places: BTreeMap<Whose, (BTreeSet<Scope>, String)> = BTreeMap::new();
        for kinds in of.into_values() {
            let Some(first) = kinds.first() else { continue };
            let keys = kinds.iter().map(|kind| &kind.key);
            let Some((granted, _)) = self.context.platform.grant_meant(&first.repository, &first.target, keys) else {
                continue;
            };
            let identity = Identity::of(granted.grant.acts_as(&first.target.namespace));
            for kind in kinds {
                let whose = (identity.clone(), kind.key.group, kind.key.kind);
                let scope = kind.key.namespace.map_or(Scope::All, Scope::Namespace);
                let (scopes, _) = places.entry(whose).or_insert_with(|| (BTreeSet::new(), kind.api_version));
                scopes.insert(scope);
            }
        }
        let mut wanted = BTreeMap::new();
        for (whose, (scopes, api_version)) in places {
            let is_narrow = self.narrow.get(&whose).is_some_and(|narrow| narrow.load(Ordering::Relaxed));
            let whole = whose.0 == Identity::Own && scopes.len() > 1 && !is_narrow;
            let scopes = if whole { BTreeSet::from([Scope::All]) } else { scopes };
            wanted.extend(scopes.into_iter().map(|scope| ((whose.clone(), scope), api_version.clone())));
        }
        wanted
    }
}

/// One watch.
struct OneWatch {
    context: Arc<Context>,
    cluster: Cluster,
    uid: String,
    api_version: String,
    group: String,
    kind: String,
    scope: Scope,
    is_narrow: Arc<AtomicBool>,
}

impl OneWatch {
    async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.follow() => {}
        }
    }

    /// Where the kind is served is found out each time: a version, or a whole definition, may go and come while it is watched, and while
    /// nobody watches.
    async fn follow(&self) {
        let (mut fold, mut pause) = (Fold::default(), FIRST_PAUSE);
        loop {
            match self.cluster.resource_of(&self.api_version, &self.group, &self.kind).await {
                Ok(resource) => {
                    let jitter = f64::from(self.context.clock.new_id().as_bytes()[15]) / 255.0;
                    let until = tokio::time::sleep(RELIST.mul_f64(0.9 + jitter / 5.0));
                    tokio::select! {
                        () = until => {
                            pause = FIRST_PAUSE;
                            continue;
                        }
                        lists = self.once(&resource, &mut fold) => {
                            if lists > 0 {
                                pause = FIRST_PAUSE;
                            }
                        }
                    }
                    // What is remembered of what the cluster serves says otherwise. If it cannot say now, it is asked again.
                    drop(self.cluster.served_now().await);
                }
                Err(error) => {
                    tracing::warn!(cluster = %self.cluster.name(), kind = self.kind, %error, "a kind cannot be watched");
                    self.goes_with_its_kind(&error, &mut fold).await;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// With a definition go all objects of its kind, and no watch tells of that any more.
    async fn goes_with_its_kind(&self, error: &ClusterError, fold: &mut Fold) {
        if !matches!(error, ClusterError::NotServed(_)) {
            return;
        }
        // A server behind the cluster's that is silent takes nothing away.
        if self.cluster.has_no(&self.group, &self.kind).await.is_ok_and(|is_gone| is_gone) {
            fold.begins();
            fold.is_told();
            self.compares(fold).await;
        }
    }

    /// From everything that is there, on, until the kind is not served so any more; how often everything was told.
    async fn once(&self, resource: &Resource, fold: &mut Fold) -> u32 {
        let events = self.cluster.observe(resource, &self.scope, &self.context.hash_key);
        let mut events = events.ready_chunks(BATCH);
        let mut ticks = tokio::time::interval(SYNCING);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut said, mut lists) = (None, 0_u32);
        loop {
            let mut is_served = true;
            tokio::select! {
                told = events.next() => {
                    let Some(batch) = told else { return lists };
                    for one in batch {
                        lists = lists.saturating_add(u32::from(one == Sighted::Whole));
                        is_served &= !matches!(one, Sighted::Trouble { cause: Cause::NotServed, .. });
                        self.take(one, resource, fold, &mut said);
                    }
                }
                _ = ticks.tick(), if fold.due() != Due::Nothing => {}
            }
            self.compares(fold).await;
            if !is_served {
                return lists;
            }
        }
    }

    async fn compares(&self, fold: &mut Fold) {
        if let Err(error) = self.compare(fold).await {
            let error = queue::worker::chain(&error);
            tracing::warn!(cluster = %self.cluster.name(), kind = self.kind, error, "what moved cannot be compared");
        }
    }

    fn take(&self, told: Sighted, resource: &Resource, fold: &mut Fold, said: &mut Option<String>) {
        let cluster = self.cluster.name();
        match told {
            Sighted::Began => fold.begins(),
            Sighted::Seen(key, sighting) => fold.sees(key, sighting),
            Sighted::Gone(key) => fold.loses(key),
            Sighted::Whole => {
                *said = None;
                metrics::counter!("bascule_watch_lists_total", "cluster" => cluster.to_string()).increment(1);
                fold.is_told();
            }
            Sighted::NoStreams => tracing::debug!(%cluster, kind = self.kind, "the server has no streaming lists"),
            Sighted::Trouble { why, cause } => {
                let is_forbidden = cause == Cause::Forbidden;
                metrics::counter!("bascule_watch_troubles_total", "cluster" => cluster.to_string()).increment(1);
                if is_forbidden && self.scope == Scope::All && resource.namespaced {
                    // Each namespace by itself, then, at the next look at what is to be watched.
                    self.is_narrow.store(true, Ordering::Relaxed);
                }
                // It is said once, and again when it is another trouble.
                if said.as_ref() != Some(&why) {
                    let rule = format!(
                        "apiGroups: [\"{}\"], resources: [\"{}\"], verbs: [\"list\", \"watch\"]",
                        resource.group, resource.plural
                    );
                    let rule = if is_forbidden { rule } else { String::new() };
                    tracing::warn!(%cluster, kind = self.kind, scope = ?self.scope, why, rule, "a watch is interrupted; it is tried again");
                    *said = Some(why);
                }
            }
        }
    }

    /// Asks for a look at what is not as it was looked at last.
    async fn compare(&self, fold: &mut Fold) -> Result<(), sqlx::Error> {
        let due = fold.due();
        let namespace = match &self.scope {
            Scope::All => None,
            Scope::Namespace(name) => Some(name.as_str()),
        };
        let of = match &due {
            Due::Nothing => return Ok(()),
            Due::Everything => Of::Kind(&self.group, &self.kind, namespace),
            Due::These(keys) => Of::These(keys),
        };
        let known = watches::known(&mut *self.context.pool.acquire().await?, &self.uid, of).await?;
        let suspects = fold.compare(&known);
        if suspects.is_empty() {
            return Ok(());
        }
        let asked = self.ask(&suspects).await;
        if asked.is_err() {
            suspects.into_iter().for_each(|key| fold.again(key));
        }
        asked
    }

    async fn ask(&self, suspects: &[crate::ids::ObjectKey]) -> Result<(), sqlx::Error> {
        let trace = TraceId(self.context.clock.new_id());
        let mut tx = self.context.pool.begin().await?;
        let environments = watches::suspect(&mut tx, &self.uid, suspects).await?;
        let jobs: Vec<_> =
            environments.iter().map(|(id, repository)| jobs::look_at_drift(repository, *id, trace)).collect();
        queue::enqueue_all(&mut tx, &jobs).await?;
        tx.commit().await?;
        self.context.bell.ring(Lane::Sync);
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 watches")]
fn count(watches: usize) -> f64 {
    watches as f64
}
