//! What a cluster says beside a change of an environment that runs: what applying the merged set now would do, what is not
//! as the base has it, and whether the API server takes what is added and changed. By what a sync itself decides with, and
//! by dry runs: nothing is written.

mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::live::{Origin, Whose};
use super::repository::Repository;
use super::there::{Look, desired};
use crate::cluster::{ClusterError, Identity};
use crate::db::{inventory, restored};
use crate::ids::{ClusterName, ObjectKey, SetDigest};
use crate::jobs::error::JobError;
use crate::jobs::work;
use crate::manifest::{Object, RenderedSet, apply_order};
use crate::preview::{Admission, Drift, Drifted, Effect, Standing};
use crate::sync::{self, Action, Blocked, Desired, Owner, Plan, Prune, PruneRule, Recorded, Why, plan, suspects};
use trial::Trier;

/// Drifted objects that are kept by name; the others are counted.
const NAMED: usize = 200;
/// How long one environment waits for its cluster: a request is given five seconds, and a list of many objects more.
const OF_ONE: Duration = Duration::from_secs(20);
/// How long a whole preview waits for clusters.
const OF_ALL: Duration = Duration::from_secs(60);

/// How long a preview waits for clusters, and which of them it waits for no more.
pub(in crate::jobs) struct Patience {
    until: Instant,
    away: Mutex<BTreeMap<ClusterName, String>>,
}

impl Patience {
    /// Begins now.
    pub(in crate::jobs) fn begins() -> Self {
        Self { until: Instant::now() + OF_ALL, away: Mutex::new(BTreeMap::new()) }
    }

    fn away(&self, cluster: &ClusterName) -> Option<String> {
        let known = self.away.lock().expect("nobody panics while it is held").get(cluster).cloned();
        known.or_else(|| {
            (Instant::now() >= self.until).then(|| format!("clusters were waited for {} s", OF_ALL.as_secs()))
        })
    }

    fn lost(&self, cluster: &ClusterName, why: &str) {
        self.away.lock().expect("nobody panics while it is held").insert(cluster.clone(), why.to_owned());
    }
}

/// The two sets of a change.
#[derive(Clone, Copy)]
struct Between<'a> {
    base: &'a RenderedSet,
    merged: &'a RenderedSet,
}

impl Between<'_> {
    fn is_touched(&self, object: &Object) -> bool {
        self.base.objects.get(&object.key).is_none_or(|before| before.hash != object.hash)
    }
}

/// What is known.
#[derive(Debug, Default)]
pub(in crate::jobs) struct Compared {
    /// Whether there was anything to compare with: a first set has no base.
    is_compared: bool,
    pub(in crate::jobs) admission: BTreeMap<ObjectKey, Admission>,
    pub(in crate::jobs) effect: BTreeMap<ObjectKey, Effect>,
    drift: Vec<Drift>,
    more: usize,
    /// Why effect and drift are not known.
    unknown: Option<String>,
    /// Whether it is worth to ask again: the cluster was away.
    pub(in crate::jobs) away: Option<String>,
}

impl Compared {
    fn unknown(why: &str) -> Self {
        Self { is_compared: true, unknown: Some(why.to_owned()), ..Self::default() }
    }

    /// As it is shown, for the merged set of this digest.
    pub(in crate::jobs) fn standing(&self, set: SetDigest) -> Option<Standing> {
        let Self { unknown, drift, more, .. } = self;
        self.is_compared.then(|| Standing { set, unknown: unknown.clone(), drift: drift.clone(), more: *more })
    }
}

/// Why asking ended early.
enum Stop {
    Job(JobError),
    Away(String),
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Job(error.into())
    }
}

impl From<ClusterError> for Stop {
    fn from(error: ClusterError) -> Self {
        Self::Away(error.to_string())
    }
}

/// Compares the sets of a change with the cluster and with each other. A first set has no base to be compared with.
///
/// # Errors
/// The database's alone: a cluster that does not answer is part of what is known.
pub(in crate::jobs) async fn compare(
    repository: &Repository<'_>,
    whose: &Whose<'_>,
    (base, merged): (Option<&RenderedSet>, &RenderedSet),
    from: Origin,
    patience: &Patience,
) -> Result<Compared, JobError> {
    let Some(base) = base else { return Ok(Compared::default()) };
    let between = Between { base, merged };
    let cluster = &merged.target.cluster;
    if !whose.is_synced() {
        return Ok(Compared::unknown("this environment is never synced (sync.mode: none)"));
    }
    if from == Origin::Fork {
        return Ok(Compared::unknown(super::live::FORK));
    }
    if let Some(why) = patience.away(cluster) {
        return Ok(Compared { away: Some(why.clone()), ..Compared::unknown(&why) });
    }
    let mut compared = Compared::unknown("");
    let until = patience.until.min(Instant::now() + OF_ONE);
    let asking = work::boxed(ask(repository, whose, between, from, &mut compared));
    let ended = tokio::time::timeout_at(until, asking).await;
    let why = match ended {
        Ok(Ok(())) => return Ok(compared),
        Ok(Err(Stop::Job(error))) => return Err(error),
        Ok(Err(Stop::Away(why))) => why,
        Err(_) => format!("it did not answer everything within {} s", OF_ONE.as_secs()),
    };
    patience.lost(cluster, &why);
    if let Some(unknown) = &mut compared.unknown {
        *unknown = format!("{why} (/bascule preview asks again)");
    }
    for object in merged.objects.values().filter(|object| between.is_touched(object)) {
        let unasked = Admission::Unasked { why: why.clone() };
        compared.admission.entry(object.key.clone()).or_insert(unasked);
    }
    compared.away = Some(why);
    Ok(compared)
}

async fn ask(
    repository: &Repository<'_>,
    whose: &Whose<'_>,
    between: Between<'_>,
    from: Origin,
    compared: &mut Compared,
) -> Result<(), Stop> {
    let Between { base, merged } = between;
    let context = repository.context;
    let name = repository.granted_name();
    let Some((granted, _)) = repository.platform.grant_meant(&name, &merged.target, merged.objects.keys()) else {
        compared.unknown = Some("no grant of the server reaches it".to_owned());
        return Ok(());
    };
    // Gather: what we did, and what is there.
    let (clusters, at) = (&context.clusters, &merged.target.cluster);
    let uid = clusters.get(at, &Identity::Own).await?.uid().await?.to_owned();
    let identity = Identity::of(granted.grant.acts_as(&merged.target.namespace));
    let cluster = clusters.get(at, &identity).await?;
    let mut conn = context.pool.acquire().await?;
    let recorded = inventory::of(&mut conn, whose.environment, &uid).await?;
    let is_restored = restored::open(&mut conn).await?.is_some();
    drop(conn);
    let defined: BTreeSet<_> = merged.objects.values().filter_map(Object::defines).collect();
    let sides = [merged, base].map(|set| set.objects.values().map(desired).collect::<Vec<Desired>>());
    let mut look = Look { cluster: &cluster, defined: &defined, live: BTreeMap::new() };
    look.at_all(&sides.concat(), &recorded).await?;
    for (side, set) in sides.iter().zip([merged, base]) {
        let suspects: Vec<Desired> = suspects(side, &recorded, &look.live).into_iter().cloned().collect();
        look.closer_at(&suspects, set, &context.hash_key).await?;
    }
    let owner = Owner {
        installation: context.installation,
        repository: repository.row.key.clone(),
        environment: whose.name.clone(),
    };
    let owner = owner.to_string();
    let rule = match (whose.sync.is_some_and(|sync| sync.prune), is_restored) {
        (false, _) => PruneRule::Off,
        (true, true) => PruneRule::Restored,
        (true, false) => PruneRule::WithProof,
    };
    // Decide: what a sync to either would do.
    let [to_merged, to_base] = sides.map(|side| plan(&owner, &side, &recorded, &look.live, rule));
    compared.effect = effect(&to_merged, between, &recorded, &look.live);
    compared.drift = drift(to_base, &recorded, between);
    compared.unknown = None;

    // Ask: what is added and changed, and what is different in what drifted.
    let changes_now = |object: &&Object| between.is_touched(object) && object.defines().is_some();
    let redefined: BTreeSet<_> = merged.objects.values().filter(changes_now).filter_map(Object::defines).collect();
    let order = apply_order(merged.objects.keys()).into_iter().filter_map(|key| merged.objects.get(key));
    let touched: Vec<&Object> = order.filter(|object| between.is_touched(object)).collect();
    let served = super::live::served(&cluster, &touched, &defined).await?;
    let (cluster, served, hash_key) = (&cluster, &served, &context.hash_key);
    let trier = Trier { cluster, served, merged, redefined: &redefined, owner: &owner, hash_key, from };
    trier.closer(base, &mut compared.drift).await?;
    compared.more = compared.drift.len().saturating_sub(NAMED);
    compared.drift.truncate(NAMED);
    trier.all(&touched, compared).await
}

/// How applying departs from the change, of the objects that it adds, changes and removes.
fn effect(
    plan: &Plan,
    between: Between<'_>,
    recorded: &BTreeMap<ObjectKey, Recorded>,
    live: &BTreeMap<ObjectKey, sync::Live>,
) -> BTreeMap<ObjectKey, Effect> {
    let Between { base, merged } = between;
    let sent = plan.actions.iter().filter_map(|(_, wanted, action)| {
        let is_touched = merged.objects.get(&wanted.key).is_some_and(|object| between.is_touched(object));
        let effect = match action {
            Action::Create if base.objects.contains_key(&wanted.key) => Effect::CreatedAgain,
            Action::Create | Action::Update { .. } => return None,
            Action::Adopt { .. } => Effect::Adopted,
            Action::Unchanged { .. } => Effect::Already,
            Action::Blocked(Blocked::Unknown(why)) => Effect::Unknown { why: why.clone() },
            Action::Blocked(blocked) => Effect::Stops { why: blocked.to_string() },
        };
        is_touched.then(|| (wanted.key.clone(), effect))
    });
    let pruned = plan.prunes.iter().filter_map(|(_, record, prune)| {
        let effect = match prune {
            Prune::Delete { .. } => return None,
            Prune::Gone => Effect::AlreadyGone,
            Prune::Recreated => Effect::Stays { why: "somebody made another one under its name".to_owned() },
            Prune::Keep(why) => Effect::Stays { why: why.clone() },
        };
        base.objects.contains_key(&record.key).then(|| (record.key.clone(), effect))
    });
    // What was never sent is not pruned either.
    let never_sent = |key: &&ObjectKey| !merged.objects.contains_key(*key) && !recorded.contains_key(*key);
    let unsent = base.objects.keys().filter(never_sent).map(|key| {
        let effect = match live.get(key) {
            Some(sync::Live::Seen(_)) => Effect::Stays { why: "it was never deployed from here".to_owned() },
            Some(sync::Live::Absent) => Effect::AlreadyGone,
            Some(sync::Live::Unknown(why)) => Effect::Unknown { why: why.clone() },
            None => Effect::Unknown { why: "it was not listed".to_owned() },
        };
        (key.clone(), effect)
    });
    sent.chain(pruned).chain(unsent).collect()
}

/// What is not as the base has it: whatever a sync to the base would do.
fn drift(plan: Plan, recorded: &BTreeMap<ObjectKey, Recorded>, between: Between<'_>) -> Vec<Drift> {
    let Between { base, merged } = between;
    let was_there = |key: &ObjectKey| recorded.get(key).is_some_and(|record| record.uid.is_some());
    let sent = plan.actions.into_iter().filter_map(|(_, wanted, action)| {
        let how = match action {
            Action::Unchanged { .. } => return None,
            Action::Update { why: Why::Drifted, .. } => Drifted::Fields { paths: Vec::new(), held: BTreeMap::new() },
            Action::Update { why: Why::Changed | Why::Unconfirmed, .. } => Drifted::Undeployed,
            Action::Create if was_there(&wanted.key) => Drifted::Gone,
            Action::Adopt { .. } if was_there(&wanted.key) => Drifted::Replaced,
            Action::Create | Action::Adopt { .. } => Drifted::Undeployed,
            Action::Blocked(Blocked::Unknown(why)) => Drifted::Unknown { why },
            Action::Blocked(blocked) => Drifted::Blocked { why: blocked.to_string() },
        };
        Some((wanted.key, how))
    });
    let left = plan.prunes.into_iter().filter_map(|(_, record, prune)| match prune {
        Prune::Delete { .. } => Some((record.key, Drifted::LeftOver)),
        // Gone as it should be, or kept as somebody wants it.
        Prune::Gone | Prune::Recreated | Prune::Keep(_) => None,
    });
    let drift = sent.chain(left).map(|(key, how)| {
        let is_touched = match merged.objects.get(&key) {
            Some(object) => between.is_touched(object),
            None => base.objects.contains_key(&key),
        };
        Drift { key, how, is_touched }
    });
    drift.collect()
}
