//! The API server is asked what it would answer: to what is added and changed, and to the base of what drifted.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, stream};

use super::{Compared, Stop};
use crate::cluster::{Cluster, ClusterError, Found, Served, Trial};
use crate::ids::ObjectKey;
use crate::jobs::gather::live::Origin;
use crate::jobs::work;
use crate::manifest::{HashKey, Object, RenderedSet, schema_faults};
use crate::preview::{Admission, Drift, Drifted, Effect};
use crate::sync::FieldConflict;

/// Changed objects of one environment that the API server is asked about: nobody reads more.
const MOST: usize = 300;
/// Drifted objects of which it is asked what is different; all are named.
const CLOSER: usize = 20;
/// Requests at once; the cluster's own slots bound those of all jobs.
const WIDTH: usize = 16;

/// Asks the API server what it would answer.
pub(super) struct Trier<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) served: &'a Served,
    pub(super) merged: &'a RenderedSet,
    /// Kinds whose definition the change adds or changes.
    pub(super) redefined: &'a BTreeSet<(String, String)>,
    pub(super) owner: &'a str,
    pub(super) hash_key: &'a HashKey,
    pub(super) from: Origin,
}

impl Trier<'_> {
    /// About all that is added and changed.
    pub(super) async fn all(&self, objects: &[&Object], compared: &mut Compared) -> Result<(), Stop> {
        for object in objects.iter().skip(MOST) {
            let why = format!("it is asked about {MOST} objects of an environment");
            compared.admission.insert(object.key.clone(), Admission::Unasked { why });
        }
        let asks: Vec<_> = objects.iter().take(MOST).map(|object| work::boxed(self.one(object))).collect();
        let mut answers = stream::iter(asks).buffer_unordered(WIDTH);
        while let Some((key, answer)) = answers.next().await {
            let (admission, effect) = answer?;
            compared.admission.insert(key.clone(), admission);
            if let Some(effect) = effect {
                compared.effect.entry(key).or_insert(effect);
            }
        }
        Ok(())
    }

    async fn one(&self, object: &Object) -> (ObjectKey, Result<(Admission, Option<Effect>), Stop>) {
        let answer = match self.ask(object).await {
            Err(error @ (ClusterError::Timeout(_) | ClusterError::Unreachable(_) | ClusterError::Unauthorized)) => {
                Err(error.into())
            }
            Err(error) => Ok((Admission::Unasked { why: error.to_string() }, None)),
            Ok(answer) => Ok(answer),
        };
        (object.key.clone(), answer)
    }

    async fn ask(&self, object: &Object) -> Result<(Admission, Option<Effect>), ClusterError> {
        let Object { key, api_version, json, .. } = object;
        let unasked = |why: &str| Ok((Admission::Unasked { why: why.to_owned() }, None));
        if self.redefined.contains(&(key.group.clone(), key.kind.clone())) {
            return Ok((self.by_definition(object), None));
        }
        let Some(resource) = self.served.at(api_version, &key.kind) else {
            return Ok((Admission::Refused { why: format!("it serves no {api_version} {}", key.kind) }, None));
        };
        let trial = Trial { resource, key, object: json, owner: self.owner };
        // What is found would tell the author of a pull request whether they guessed a value that is there.
        let is_guess = self.from == Origin::Pull && key.group.is_empty() && key.kind == "Secret";
        let (found, warnings) = match is_guess {
            true => self.cluster.would_take(trial, self.hash_key).await?,
            false => self.cluster.foresee(trial, self.hash_key).await?,
        };
        Ok(match found {
            Found::Absent | Found::Differs(_) => (Admission::Taken { warnings }, None),
            Found::Same => (Admission::Taken { warnings }, Some(Effect::Already)),
            Found::NoNamespace => {
                let namespace = key.namespace.as_deref().unwrap_or_default();
                let is_it = |key: &ObjectKey| key.group.is_empty() && key.kind == "Namespace" && key.name == namespace;
                if self.merged.objects.keys().any(is_it) {
                    return unasked("its namespace is new");
                }
                let why = format!("there is no namespace {namespace}, and this change does not make it");
                (Admission::Refused { why }, None)
            }
            Found::Conflict(fields) => (Admission::Conflict { held: by_manager(fields) }, None),
            Found::Owned(by) => return unasked(&format!("it belongs to {by}")),
            Found::Deleting(how) => return unasked(&format!("it is being deleted {how}")),
            Found::Refused(why) => (Admission::Refused { why }, None),
            Found::Unaskable(why) => return unasked(&why),
        })
    }

    /// The API server has another definition of its kind, or none: the one that comes with it judges.
    fn by_definition(&self, object: &Object) -> Admission {
        let kind = (object.key.group.clone(), object.key.kind.clone());
        let definition = self.merged.objects.values().find(|one| one.defines().as_ref() == Some(&kind));
        let faults = definition.and_then(|definition| schema_faults(&definition.json, &object.json));
        match faults {
            Some(faults) if !faults.is_empty() => {
                let why = format!("by the definition that this change has of its kind: {}", faults.join("; "));
                Admission::Refused { why }
            }
            Some(_) => {
                let why = "the definition of its kind comes with it; it fits the schema in there";
                Admission::Unasked { why: why.to_owned() }
            }
            None => Admission::Unasked {
                why: "the definition of its kind comes with it, and has no schema for it".to_owned(),
            },
        }
    }

    /// What is different in what drifted. What only looks so, since nothing would be put right, leaves the list.
    pub(super) async fn closer(&self, base: &RenderedSet, drift: &mut Vec<Drift>) -> Result<(), Stop> {
        let is_suspect = |one: &&Drift| matches!(one.how, Drifted::Fields { .. });
        let suspects = drift.iter().filter(is_suspect).filter_map(|one| base.objects.get(&one.key)).take(CLOSER);
        let asks: Vec<_> = suspects.cloned().map(|object| work::boxed(self.different(object))).collect();
        let mut answers = stream::iter(asks).buffer_unordered(WIDTH);
        while let Some((key, found)) = answers.next().await {
            let fields = match found {
                Ok(Found::Same) => {
                    drift.retain(|one| one.key != key);
                    continue;
                }
                Ok(Found::Differs(paths)) => Drifted::Fields { paths, held: BTreeMap::new() },
                Ok(Found::Conflict(fields)) => Drifted::Fields { paths: Vec::new(), held: by_manager(fields) },
                Err(error @ (ClusterError::Timeout(_) | ClusterError::Unreachable(_))) => return Err(error.into()),
                // That it differs is known, and what does is not.
                Ok(_) | Err(_) => continue,
            };
            if let Some(one) = drift.iter_mut().find(|one| one.key == key) {
                one.how = fields;
            }
        }
        Ok(())
    }

    async fn different(&self, object: Object) -> (ObjectKey, Result<Found, ClusterError>) {
        let Some(resource) = self.served.at(&object.api_version, &object.key.kind) else {
            return (object.key, Err(ClusterError::NotServed(object.api_version)));
        };
        let trial = Trial { resource, key: &object.key, object: &object.json, owner: self.owner };
        let found = self.cluster.foresee(trial, self.hash_key).await.map(|(found, _)| found);
        (object.key, found)
    }
}

fn by_manager(fields: Vec<FieldConflict>) -> BTreeMap<String, Vec<String>> {
    let mut held: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for field in fields {
        held.entry(field.manager).or_default().push(field.path);
    }
    held
}
