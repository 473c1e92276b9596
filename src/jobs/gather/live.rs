//! What the cluster has of an environment's first set, before anybody consents to it: the server itself is asked what
//! it would do with each object, and nothing is written.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, stream};

use super::baselines::{Impatient, Patience};
use super::repository::Repository;
use crate::cluster::{Cluster, ClusterError, Fate, Found, Identity, Served, Trial};
use crate::db::inventory;
use crate::ids::{EnvironmentName, ObjectKey};
use crate::jobs::error::JobError;
use crate::jobs::work;
use crate::manifest::{HashKey, Object, RenderedSet, apply_order, hook, is_sealed, with_placeholders};
use crate::policy::rules::{SyncMode, SyncRules};
use crate::preview::Live;
use crate::sync::Owner;

/// Objects of one environment that are asked about, with two requests each: a preview is looked at by people, who
/// would not read more, and the rest is told by its number.
const MOST: usize = 300;
/// Requests at once; the cluster's own slots bound those of all jobs, and leave some to syncs.
const WIDTH: usize = 8;

/// Why the cluster is not asked on behalf of somebody who perhaps may not write to the repository.
pub(super) const FORK: &str = "the cluster is not asked for a pull request from a fork, until somebody with write access \
                               has seen this preview and comments /bascule preview";

/// Where the first set comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::jobs) enum Origin {
    /// A pull request of somebody who may write to the repository.
    Pull,
    /// A pull request of somebody who perhaps may not: the cluster is not asked on their behalf.
    Fork,
    /// The branch: somebody who may merge has merged it.
    Branch,
}

/// Whose set it is.
pub(in crate::jobs) struct Whose<'a> {
    pub(in crate::jobs) environment: i64,
    pub(in crate::jobs) name: &'a EnvironmentName,
    /// How it is synced; `None` where its rules cannot be read.
    pub(in crate::jobs) sync: Option<&'a SyncRules>,
}

impl Whose<'_> {
    /// Whether anything of it is ever sent to its cluster.
    pub(super) fn is_synced(&self) -> bool {
        self.sync.is_some_and(|sync| sync.mode != SyncMode::None)
    }
}

/// What is known of the objects.
#[derive(Debug, Default)]
pub(in crate::jobs) struct Looked {
    pub(in crate::jobs) live: BTreeMap<ObjectKey, Live>,
    /// Why not all of them were asked about.
    pub(in crate::jobs) unasked: Option<String>,
    /// Whether it is worth to ask again: the cluster was away.
    pub(in crate::jobs) away: Option<String>,
}

/// Looks at a first set.
///
/// # Errors
/// The database's alone: a cluster that does not answer is part of what is known.
pub(in crate::jobs) async fn look(
    repository: &Repository<'_>,
    whose: &Whose<'_>,
    set: &RenderedSet,
    from: Origin,
    patience: &Patience,
) -> Result<Looked, JobError> {
    let mut looked = Looked::default();
    let name = repository.granted_name();
    let Some((granted, refused)) = repository.platform.grant_meant(&name, &set.target, set.objects.keys()) else {
        return Ok(looked);
    };
    for (key, outside) in &refused {
        looked.live.insert((*key).clone(), Live::NotGranted { why: outside.to_string() });
    }
    // An environment that is never synced needs no cluster.
    if !whose.is_synced() {
        return Ok(looked);
    }
    let order = apply_order(set.objects.keys());
    let keys: Vec<ObjectKey> = order.into_iter().filter(|key| !refused.contains_key(key)).cloned().collect();
    let mut conn = repository.context.pool.acquire().await?;
    for taken in inventory::taken(&mut conn, Some(whose.environment), &set.target.cluster, &keys).await? {
        let by = format!("{} of {}", taken.name, taken.repository);
        looked.live.insert(taken.key, Live::Owned { by });
    }
    drop(conn);
    if from == Origin::Fork {
        looked.unasked = Some(FORK.to_owned());
        return Ok(looked);
    }
    let open: Vec<&Object> =
        keys.iter().filter(|key| !looked.live.contains_key(key)).filter_map(|key| set.objects.get(key)).collect();
    let rest = open.len().saturating_sub(MOST);
    if rest > 0 {
        looked.unasked = Some(format!("it was asked about {MOST} objects, and not about the other {rest}"));
    }
    if let Some(Impatient { why, is_away }) = patience.is_over(&set.target.cluster) {
        looked.away = is_away.then(|| why.clone());
        looked.unasked = Some(why);
        return Ok(looked);
    }
    let owner = Owner::of(repository.context.installation, &repository.row.key, whose.name).to_string();
    let identity = Identity::of(granted.grant.acts_as(&set.target.namespace));
    let asked = async {
        let cluster = repository.context.clusters.get(&set.target.cluster, &identity).await?;
        let defined: BTreeSet<_> = set.objects.values().filter_map(Object::defines).collect();
        let served = served(&cluster, &open, &defined).await?;
        let hash_key = &repository.context.hash_key;
        let keyless = super::opened::keys_of(&repository.platform, &name, &set.target).err();
        let asker = Asker { cluster: &cluster, served: &served, defined: &defined, owner: &owner, hash_key, keyless };
        asker.all(open.into_iter().take(MOST), &mut looked.live).await
    };
    match patience.ask(Box::pin(asked)).await {
        Some(Ok(())) => {}
        Some(Err(error)) => {
            if error.fate() == Fate::Away {
                patience.lost(&set.target.cluster, &error.to_string());
            }
            looked.away = matches!(error.fate(), Fate::Away | Fate::Retry { .. }).then(|| error.to_string());
            looked.unasked = Some(error.to_string());
        }
        None => looked.unasked = Some(Patience::too_long()),
    }
    Ok(looked)
}

/// What the cluster serves, read anew when a kind is missing from what is remembered.
pub(super) async fn served(
    cluster: &Cluster,
    objects: &[&Object],
    defined: &BTreeSet<(String, String)>,
) -> Result<std::sync::Arc<Served>, ClusterError> {
    let served = cluster.served().await?;
    let unknown = |object: &&Object| {
        served.at(&object.api_version, &object.key.kind).is_none()
            && !defined.contains(&(object.key.group.clone(), object.key.kind.clone()))
    };
    if objects.iter().any(unknown) { cluster.served_now().await } else { Ok(served) }
}

struct Asker<'a> {
    cluster: &'a Cluster,
    served: &'a Served,
    defined: &'a BTreeSet<(String, String)>,
    owner: &'a str,
    hash_key: &'a HashKey,
    /// Why nothing sealed could be opened at a sync.
    keyless: Option<String>,
}

impl Asker<'_> {
    /// Asks about all, until the cluster is away.
    async fn all<'o>(
        &self,
        objects: impl Iterator<Item = &'o Object>,
        live: &mut BTreeMap<ObjectKey, Live>,
    ) -> Result<(), ClusterError> {
        let asks: Vec<_> = objects.map(|object| work::boxed(self.one(object))).collect();
        let mut answers = stream::iter(asks).buffer_unordered(WIDTH);
        while let Some((object, answer)) = answers.next().await {
            match answer {
                Ok(found) => drop(live.insert(object.key.clone(), found)),
                Err(error) if error.fate() == Fate::Away => return Err(error),
                // One that takes too long, or whose webhook does, says nothing of the others.
                Err(error) => drop(live.insert(object.key.clone(), Live::Unknown { why: error.to_string() })),
            }
        }
        Ok(())
    }

    async fn one<'o>(&self, object: &'o Object) -> (&'o Object, Result<Live, ClusterError>) {
        (object, self.ask(object).await)
    }

    async fn ask(&self, object: &Object) -> Result<Live, ClusterError> {
        let Object { key, api_version, json, .. } = object;
        let Some(resource) = self.served.at(api_version, &key.kind) else {
            let defined = self.defined.contains(&(key.group.clone(), key.kind.clone()));
            return Ok(if defined {
                Live::Absent { unchecked: Some("its kind is defined by the same change".to_owned()) }
            } else {
                Live::Refused { why: format!("it serves no {api_version} {}", key.kind) }
            });
        };
        if let (true, Some(why)) = (is_sealed(json), &self.keyless) {
            return Ok(Live::Refused { why: why.clone() });
        }
        let is_secret = key.group.is_empty() && key.kind == "Secret";
        // Whether it is the same would tell everybody who reads this whether somebody guessed it: a merged change is not
        // consented to either.
        if is_secret && self.cluster.glance(resource, key).await?.is_some() {
            return Ok(Live::Unknown { why: "it is there, and a Secret is not compared before the merge".to_owned() });
        }
        if hook(json).is_some()
            && let Some(live) = self.cluster.glance(resource, key).await?
        {
            let is_ours = live.owner.as_deref() == Some(self.owner);
            let why = "it is there from an earlier run, and is made anew".to_owned();
            return Ok(if is_ours { Live::Unknown { why } } else { Live::Foreign });
        }
        let stand_in = is_sealed(json).then(|| with_placeholders(json));
        let trial = Trial { resource, key, object: stand_in.as_ref().unwrap_or(json), owner: self.owner };
        let (found, _warnings) = self.cluster.foresee(trial, self.hash_key).await?;
        Ok(match found {
            Found::Absent => Live::Absent { unchecked: None },
            Found::NoNamespace => {
                let namespace = key.namespace.as_deref().unwrap_or_default();
                Live::Absent { unchecked: Some(format!("namespace `{namespace}` is not there yet")) }
            }
            Found::Same => Live::Same,
            Found::Differs(_) => Live::Differs,
            Found::Conflict(fields) => {
                let mut held: BTreeMap<String, Vec<String>> = BTreeMap::new();
                for field in fields {
                    held.entry(field.manager).or_default().push(field.path);
                }
                Live::Conflict { held }
            }
            Found::Owned(by) => Live::Owned { by },
            Found::Deleting(how) => Live::Unknown { why: format!("it is being deleted {how}") },
            Found::Refused(why) => Live::Refused { why },
            Found::Unaskable(why) => Live::Unknown { why },
        })
    }
}
