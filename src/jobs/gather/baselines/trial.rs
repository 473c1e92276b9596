//! The API server is asked what it would answer: to what is added and changed, and to the base of what drifted.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, stream};
use serde_json::Value;

use super::Stop;
use crate::cluster::{Cluster, ClusterError, Fate, Found, Resource, Served, Trial};
use crate::ids::ObjectKey;
use crate::jobs::work;
use crate::manifest::{Fit, HashKey, Object, RenderedSet, hook, is_sealed, schema_fit, with_placeholders};
use crate::preview::{Admission, Drift, Drifted, Effect};
use crate::sync::FieldConflict;

/// Changed objects of one environment that the API server is asked about: nobody reads more.
const MOST: usize = 300;
/// Drifted objects of which it is asked what is different; all are named.
const CLOSER: usize = 20;
/// Requests at once; the cluster's own slots bound those of all jobs, and leave some to syncs.
const WIDTH: usize = 8;

/// Asks the API server what it would answer.
pub(super) struct Trier<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) served: &'a Served,
    pub(super) merged: &'a RenderedSet,
    /// Kinds whose definition the change adds or changes.
    pub(super) redefined: &'a BTreeSet<(String, String)>,
    pub(super) owner: &'a str,
    pub(super) hash_key: &'a HashKey,
    /// Why nothing sealed could be opened at a sync.
    pub(super) keyless: Option<String>,
}

impl Trier<'_> {
    /// About all that is added and changed.
    pub(super) async fn all(
        &self,
        objects: &[&Object],
        admission: &mut BTreeMap<ObjectKey, Admission>,
        already: &mut BTreeMap<ObjectKey, Effect>,
    ) -> Result<(), Stop> {
        for object in objects.iter().skip(MOST) {
            let why = format!("it is asked about {MOST} objects of an environment");
            admission.insert(object.key.clone(), Admission::Unasked { why });
        }
        let asks: Vec<_> = objects.iter().take(MOST).map(|object| work::boxed(self.one(object))).collect();
        let mut answers = stream::iter(asks).buffer_unordered(WIDTH);
        while let Some((key, answer)) = answers.next().await {
            let (answer, effect) = answer?;
            admission.insert(key.clone(), answer);
            already.extend(effect.map(|effect| (key, effect)));
        }
        Ok(())
    }

    async fn one(&self, object: &Object) -> (ObjectKey, Result<(Admission, Option<Effect>), Stop>) {
        let answer = match self.ask(object).await {
            Err(error) if error.fate() == Fate::Away => Err(error.into()),
            // One that takes too long, or whose webhook does, says nothing of the others.
            Err(error) => Ok((Admission::Unasked { why: error.to_string() }, None)),
            Ok(answer) => Ok(answer),
        };
        (object.key.clone(), answer)
    }

    async fn ask(&self, object: &Object) -> Result<(Admission, Option<Effect>), ClusterError> {
        let Object { key, api_version, json, .. } = object;
        let unasked = |why: &str| Ok::<_, ClusterError>((Admission::Unasked { why: why.to_owned() }, None::<Effect>));
        if self.redefined.contains(&(key.group.clone(), key.kind.clone())) {
            return Ok((self.by_definition(object).await, None));
        }
        let Some(resource) = self.served.at(api_version, &key.kind) else {
            return Ok((Admission::Refused { why: format!("it serves no {api_version} {}", key.kind) }, None));
        };
        let (found, warnings) = match hook(json) {
            Some(_) => match self.foresee_hook(object, resource).await? {
                Tried::Itself(found, warnings) => (found, warnings),
                Tried::As(name, Found::Absent, warnings) => return Ok((Admission::TakenAs { name, warnings }, None)),
                Tried::As(_, found, warnings) => (found, warnings),
                Tried::Foreign => {
                    let (admission, _) = unasked("its name is taken")?;
                    let why = "somebody else's object has the name of this hook, and is never taken over".to_owned();
                    return Ok((admission, Some(Effect::Stops { why })));
                }
            },
            None if is_sealed(json) => {
                if let Some(why) = &self.keyless {
                    return Ok((Admission::Refused { why: why.clone() }, None));
                }
                if is_fixed(json) {
                    return unasked("it is immutable, so the answer depends on its values, which are sealed");
                }
                let trial = Trial { resource, key, object: &with_placeholders(json), owner: self.owner };
                let (found, mut warnings) = self.cluster.foresee(trial, self.hash_key).await?;
                warnings.push("its values are sealed: it was tried with placeholders".to_owned());
                (found, warnings)
            }
            None => {
                let trial = Trial { resource, key, object: json, owner: self.owner };
                self.cluster.foresee(trial, self.hash_key).await?
            }
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
                // Another environment of the same change may be what makes it.
                return unasked(&format!("there is no namespace {namespace} yet"));
            }
            Found::Conflict(fields) => (Admission::Conflict { held: by_manager(fields) }, None),
            Found::Owned(by) => return unasked(&format!("it belongs to {by}")),
            Found::Deleting(how) => return unasked(&format!("it is being deleted {how}")),
            Found::Refused(why) => (Admission::Refused { why }, None),
            Found::Unaskable(why) => return unasked(&why),
        })
    }

    /// A hook is made anew when it is run: what an earlier run made is deleted first, and so is not sent onto. While that is
    /// there, its name is taken, and the API server is asked under another.
    async fn foresee_hook(&self, object: &Object, resource: &Resource) -> Result<Tried, ClusterError> {
        let live = self.cluster.glance(resource, &object.key).await?;
        let foresee = async |key: &ObjectKey, json: &Value| {
            let trial = Trial { resource, key, object: json, owner: self.owner };
            self.cluster.foresee(trial, self.hash_key).await
        };
        match live {
            None => {
                let (found, warnings) = foresee(&object.key, &object.json).await?;
                Ok(Tried::Itself(found, warnings))
            }
            Some(live) if live.owner.as_deref() != Some(self.owner) => Ok(Tried::Foreign),
            Some(_) => {
                let key = ObjectKey { name: another_name(&object.key.name), ..object.key.clone() };
                let mut json = object.json.clone();
                json["metadata"]["name"] = key.name.clone().into();
                let (found, warnings) = foresee(&key, &json).await?;
                Ok(Tried::As(key.name, found, warnings))
            }
        }
    }

    /// The API server has another definition of its kind, or none: the one that comes with it judges.
    async fn by_definition(&self, object: &Object) -> Admission {
        let kind = (object.key.group.clone(), object.key.kind.clone());
        let definition = self.merged.objects.values().find(|one| one.defines().as_ref() == Some(&kind));
        let fit = match definition.map(|definition| (definition.json.clone(), object.json.clone())) {
            // It takes its time with a large one, in which nobody else is to be kept waiting.
            Some((definition, object)) => tokio::task::spawn_blocking(move || schema_fit(&definition, &object)).await,
            None => Ok(Fit::NoSchema),
        };
        let unasked = |of_schema: &str| {
            let why = format!("the definition of its kind comes with it{of_schema}");
            Admission::Unasked { why }
        };
        match fit {
            Ok(Fit::Faults(faults)) => {
                let why = format!("by the definition that this change has of its kind: {}", faults.join("; "));
                Admission::Refused { why }
            }
            Ok(Fit::Fits) => unasked("; it fits the schema in there"),
            Ok(Fit::NoSchema) => unasked(", and has no schema for it"),
            Ok(Fit::TooMuch) => unasked(", and it is too large to be compared with the schema in there"),
            Err(_) => unasked(""),
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
                Err(error) if error.fate() == Fate::Away => return Err(error.into()),
                Err(error) => Drifted::Unknown { why: error.to_string() },
                // That it differs is known, and what does is not.
                Ok(_) => continue,
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
        if is_sealed(&object.json) {
            // With placeholders, each of its keys would look like drift.
            return (object.key, Ok(Found::Unaskable("its values are sealed".to_owned())));
        }
        let trial = Trial { resource, key: &object.key, object: &object.json, owner: self.owner };
        let found = self.cluster.foresee(trial, self.hash_key).await.map(|(found, _)| found);
        (object.key, found)
    }
}

/// Whether its values may never be others.
fn is_fixed(json: &Value) -> bool {
    json.get("immutable").and_then(Value::as_bool) == Some(true)
}

/// What came of trying a hook.
enum Tried {
    Itself(Found, Vec<String>),
    /// Under this name.
    As(String, Found, Vec<String>),
    /// What has its name is not this environment's.
    Foreign,
}

/// A name that nobody has: no longer than a name may be that is put into a label, as that of a Job is.
fn another_name(name: &str) -> String {
    let begins: String = name.chars().take(50).collect();
    format!("{}-dry-run", begins.trim_end_matches(['-', '.']))
}

fn by_manager(fields: Vec<FieldConflict>) -> BTreeMap<String, Vec<String>> {
    let mut held: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for field in fields {
        held.entry(field.manager).or_default().push(field.path);
    }
    held
}
