//! What a cluster says beside a change of an environment that runs: what applying the merged set now would do, what is not
//! as the base has it, and whether the API server takes what is added and changed. By what a sync itself decides with, and
//! by dry runs: nothing is written.

mod patience;
mod trial;

use std::collections::{BTreeMap, BTreeSet};

use super::lists::Lists;
use super::live::{Origin, Whose};
use super::repository::Repository;
use super::there::{Look, wanted};
use crate::cluster::{ClusterError, Fate, Identity};
use crate::db::{inventory, restored};
use crate::ids::ObjectKey;
use crate::jobs::error::JobError;
use crate::jobs::work;
use crate::manifest::{Object, RenderedSet, apply_order, hook};
use crate::preview::{Admission, Drift, Drifted, Effect, Standing};
use crate::sync::{self, Action, Blocked, Desired, Owner, Plan, Prune, Pruning, Recorded, Why, plan, suspects};
use trial::Trier;

pub(in crate::jobs) use patience::{Impatient, Patience};

/// Drifted objects that are kept by name; the others are counted.
const NAMED: usize = 200;
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
    /// What the dry runs tell of the effect, where nothing else does.
    already: BTreeMap<ObjectKey, Effect>,
    drift: Vec<Drift>,
    more: usize,
    /// Why effect and drift are not known.
    unknown: Option<String>,
    /// Whether it answered at all.
    is_reached: bool,
    /// Whether it is worth to ask again: the cluster was away.
    pub(in crate::jobs) away: Option<String>,
}

impl Compared {
    fn unknown(why: &str) -> Self {
        Self { is_compared: true, unknown: Some(why.to_owned()), ..Self::default() }
    }

    /// What is not known by now stays so.
    fn ends_early(&mut self, why: &str, between: Between<'_>) {
        if let Some(unknown) = &mut self.unknown {
            *unknown = format!("{why} (/bascule preview asks again)");
        }
        for one in &mut self.drift {
            let is_looked_at =
                !matches!(&one.how, Drifted::Fields { paths, held } if paths.is_empty() && held.is_empty());
            if !is_looked_at {
                one.how = Drifted::Unknown { why: why.to_owned() };
            }
        }
        for object in between.merged.objects.values().filter(|object| between.is_touched(object)) {
            let unasked = Admission::Unasked { why: why.to_owned() };
            self.admission.entry(object.key.clone()).or_insert(unasked);
        }
    }

    /// As it is shown.
    pub(in crate::jobs) fn standing(&self) -> Option<Standing> {
        let Self { unknown, drift, more, .. } = self;
        self.is_compared.then(|| Standing { unknown: unknown.clone(), drift: drift.clone(), more: *more })
    }
}

/// Why asking ended early.
enum Stop {
    Job(JobError),
    /// Nobody can be reached there, by any environment.
    Away(String),
    /// It does not say, to this environment's user or at this moment.
    Untold(String),
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Job(error.into())
    }
}

impl From<ClusterError> for Stop {
    fn from(error: ClusterError) -> Self {
        match error.fate() {
            Fate::Away => Self::Away(error.to_string()),
            Fate::Retry { .. } | Fate::Look | Fate::Held | Fate::Never => Self::Untold(error.to_string()),
        }
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
    let mut compared = Compared::unknown("");
    if let Some(Impatient { why, is_away }) = patience.is_over(cluster) {
        compared.ends_early(&why, between);
        compared.away = is_away.then_some(why);
        return Ok(compared);
    }
    let ended = patience.ask(work::boxed(ask(repository, whose, between, patience.lists(), &mut compared))).await;
    for (key, effect) in std::mem::take(&mut compared.already) {
        compared.effect.entry(key).or_insert(effect);
    }
    let (why, is_away) = match ended {
        Some(Ok(())) => return Ok(compared),
        Some(Err(Stop::Job(error))) => return Err(error),
        Some(Err(Stop::Away(why))) => (why, true),
        Some(Err(Stop::Untold(why))) => (why, false),
        // One that answers, and is slow in what it is asked, is there: to ask again would take as long.
        None => (Patience::too_long(), !compared.is_reached),
    };
    compared.ends_early(&why, between);
    if is_away {
        patience.lost(cluster, &why);
        compared.away = Some(why);
    }
    Ok(compared)
}

async fn ask(
    repository: &Repository<'_>,
    whose: &Whose<'_>,
    between: Between<'_>,
    lists: &Lists,
    compared: &mut Compared,
) -> Result<(), Stop> {
    let Between { base, merged } = between;
    let context = repository.context;
    let name = repository.granted_name();
    let Some((granted, _)) = repository.platform.grant_meant(&name, &merged.target, merged.objects.keys()) else {
        compared.unknown = Some("no grant of the server reaches it".to_owned());
        return Ok(());
    };
    // Gather: whom to ask.
    let (clusters, at) = (&context.clusters, &merged.target.cluster);
    let uid = clusters.get(at, &Identity::Own).await?.uid().await?.to_owned();
    let identity = Identity::of(granted.grant.acts_as(&merged.target.namespace));
    let cluster = clusters.get(at, &identity).await?;
    cluster.served().await?;
    let Compared { is_reached, admission, already, effect, drift, more, unknown, .. } = compared;
    *is_reached = true;
    let defined: BTreeSet<_> = merged.objects.values().filter_map(Object::defines).collect();
    let owner = Owner::of(context.installation, &repository.row.key, whose.name).to_string();
    let changes_now = |object: &&Object| between.is_touched(object) && object.defines().is_some();
    let redefined: BTreeSet<_> = merged.objects.values().filter(changes_now).filter_map(Object::defines).collect();
    let order = apply_order(merged.objects.keys()).into_iter().filter_map(|key| merged.objects.get(key));
    let touched: Vec<&Object> = order.filter(|object| between.is_touched(object)).collect();
    let served = super::live::served(&cluster, &touched, &defined).await?;
    let (cluster, served, hash_key) = (&cluster, &served, &context.hash_key);
    let keyless = super::opened::keys_of(&repository.platform, &name, &merged.target).err();
    let trier = &Trier { cluster, served, merged, redefined: &redefined, owner: &owner, hash_key, keyless };

    let looking = work::boxed(async {
        // Gather: what we did, and what is there.
        let mut conn = context.pool.acquire().await?;
        let recorded = inventory::of(&mut conn, whose.environment, &uid).await?;
        let is_restored = restored::open(&mut conn).await?.is_some();
        drop(conn);
        let sides = [merged, base].map(wanted);
        let mut look = Look { cluster, defined: &defined, live: BTreeMap::new() };
        look.with_others((lists, at, &identity), &sides.concat(), &recorded).await?;
        for (side, set) in sides.iter().zip([merged, base]) {
            let suspects: Vec<Desired> = suspects(side, &recorded, &look.live).into_iter().cloned().collect();
            look.closer_at(&suspects, set, hash_key).await?;
        }
        let rule = Pruning { is_wanted: whose.sync.is_some_and(|sync| sync.prune), is_restored }.into();
        // Decide: what a sync to either would do.
        let [to_merged, to_base] = sides.map(|side| plan(&owner, &side, &recorded, &look.live, rule));
        *effect = self::effect(&to_merged, between, &recorded, &look.live);
        *drift = self::drift(to_base, &recorded, between);
        *more = drift.len().saturating_sub(NAMED);
        drift.truncate(NAMED);
        *unknown = None;
        // Ask: what is different in what drifted.
        trier.closer(base, drift).await
    });
    // And, since that waits for nothing of the other: what the server says to what is added and changed.
    let trying = work::boxed(trier.all(&touched, admission, already));
    tokio::try_join!(looking, trying).map(drop)
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
    let never_sent = |key: &ObjectKey| !merged.objects.contains_key(key) && !recorded.contains_key(key);
    let never_sent = base.objects.values().filter(|object| never_sent(&object.key) && hook(&object.json).is_none());
    let unsent = never_sent.map(|object| {
        let key = &object.key;
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
