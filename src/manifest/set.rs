//! The rendered set: what an environment's path gives at one commit (rule 1 of consent).

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::ids::{ObjectHash, ObjectKey, SetKey, Target};

use super::canonical::HashKey;
use super::error::{ManifestError, Problem};
use super::hooks;
use super::identity::identify;
use super::order::{Phase, phase};
use super::scope::{Known, Scope, Scopes};
use super::shape::shape;
use super::within::Within;
use super::yaml::Parsed;

/// One object of a set, in the shape that is hashed and sent.
#[derive(Clone, PartialEq)]
pub struct Object {
    /// Who it is.
    pub key: ObjectKey,
    /// As written: `apps/v1`.
    pub api_version: String,
    /// Its content, namespace filled in.
    pub json: Value,
    /// The file it comes from.
    pub file: Option<String>,
    /// Where it begins in there, from 1.
    pub line: Option<u64>,
    /// Of its canonical JSON.
    pub hash: ObjectHash,
}

impl Object {
    /// The kind it defines, (group, kind), when it is a CustomResourceDefinition.
    pub fn defines(&self) -> Option<(String, String)> {
        if phase(&self.key) != Phase::Definitions {
            return None;
        }
        let text = |pointer| self.json.pointer(pointer).and_then(Value::as_str);
        Some((text("/spec/group")?.to_owned(), text("/spec/names/kind")?.to_owned()))
    }
}

impl fmt::Debug for Object {
    /// Without the content, which may be a Secret.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Object({}, {:?})", self.key, self.hash)
    }
}

/// An object that was rendered and is not part of the set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct LeftOut {
    /// Who it is.
    pub key: ObjectKey,
    /// The hook's acts, none of which is a sync.
    pub acts: String,
}

/// The objects of an environment at one commit, and the hash of its own rules.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedSet {
    /// Where they go.
    pub target: Target,
    /// By identity.
    pub objects: BTreeMap<ObjectKey, Object>,
    /// Of the environment's own block, defaults filled in.
    pub entry: ObjectHash,
    /// Hooks of acts that are no sync.
    pub left_out: Vec<LeftOut>,
}

impl RenderedSet {
    /// Builds the set of one environment, or says everything that is wrong with it.
    ///
    /// `entry` is the environment's own block with defaults filled in (`policy::rules::Environment`); only its canonical
    /// JSON is used.
    pub fn build(
        target: &Target,
        entry: &impl Serialize,
        parsed: Vec<Parsed>,
        within: Within<'_>,
        scopes: &Scopes,
        key: &HashKey,
    ) -> Result<Self, Vec<ManifestError>> {
        let entry = serde_json::to_value(entry).expect("rules are plain data: maps with text keys, lists and scalars");
        let known = scopes.with_definitions(parsed.iter());
        let mut set =
            Self { target: target.clone(), objects: BTreeMap::new(), entry: key.hash(&entry), left_out: Vec::new() };
        let mut errors = Vec::new();
        let mut lines = BTreeMap::new();
        for one in parsed {
            let line = one.line;
            match set.add(one, &known, key) {
                Ok(Some(added)) => {
                    lines.insert(added, line);
                }
                Ok(None) => {}
                Err(found) => errors.extend(found),
            }
        }
        errors.extend(set.out_of_reach(within, &lines));
        if set.objects.is_empty() && errors.is_empty() {
            // Never taken for the wish to delete everything.
            errors.push(ManifestError { file: None, line: None, object: None, problem: Problem::NothingToSync });
        }
        errors.sort_by(|a: &ManifestError, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        if errors.is_empty() { Ok(set) } else { Err(errors) }
    }

    fn add(
        &mut self,
        parsed: Parsed,
        known: &Known<'_>,
        key: &HashKey,
    ) -> Result<Option<ObjectKey>, Vec<ManifestError>> {
        let identity = identify(&parsed)?;
        let Some(scope) = known.of(&identity.group, &identity.kind) else {
            let problem = Problem::UnknownKind(format!("{} {}", identity.api_version, identity.kind));
            return Err(vec![parsed.error(Some(format!("{} {}", identity.kind, identity.name)), problem)]);
        };
        let namespace = match scope {
            Scope::Cluster => None,
            Scope::Namespaced => Some(identity.namespace.clone().unwrap_or_else(|| self.target.namespace.clone())),
        };
        let object = ObjectKey {
            group: identity.group.clone(),
            kind: identity.kind.clone(),
            namespace: namespace.clone(),
            name: identity.name.clone(),
        };
        if let Some(acts) = hooks::left_out(&parsed) {
            self.left_out.push(LeftOut { key: object, acts });
            return Ok(None);
        }
        let mut json = parsed.json.clone();
        if let Err(problems) = shape(&mut json, &identity) {
            return Err(problems.into_iter().map(|problem| parsed.error(Some(object.to_string()), problem)).collect());
        }
        if let Some(metadata) = json.get_mut("metadata").and_then(Value::as_object_mut) {
            // A namespace on a cluster-scoped object is what many charts write and every server ignores.
            match namespace {
                Some(namespace) => metadata.insert("namespace".to_owned(), namespace.into()),
                None => metadata.remove("namespace"),
            };
        }
        if let Some(first) = self.objects.get(&object) {
            let first = first.file.clone().unwrap_or_default();
            let elsewhere = if first == parsed.file { "the same file".to_owned() } else { first };
            return Err(vec![parsed.error(Some(object.to_string()), Problem::Twice(elsewhere))]);
        }
        let json = Value::Object(json);
        let hash = key.hash(&json);
        let file = Some(parsed.file);
        let line = Some(parsed.line);
        let whole = Object { key: object.clone(), api_version: identity.api_version, json, file, line, hash };
        self.objects.insert(object.clone(), whole);
        Ok(Some(object))
    }

    /// What no single grant reaches. Of several, the one that refuses least is the one that was meant.
    fn out_of_reach(&self, within: Within<'_>, lines: &BTreeMap<ObjectKey, u64>) -> Vec<ManifestError> {
        let judges = match within {
            Within::Anywhere => return Vec::new(),
            Within::OneOf(judges) => judges,
        };
        let located = |object: &Object, problem| ManifestError {
            file: object.file.clone(),
            line: lines.get(&object.key).copied(),
            object: Some(object.key.to_string()),
            problem,
        };
        let refused = judges.iter().map(|judge| {
            let refusal =
                |object: &Object| judge(&object.key).err().map(|why| located(object, Problem::NotGranted(why)));
            self.objects.values().filter_map(refusal).collect::<Vec<_>>()
        });
        refused
            .min_by_key(Vec::len)
            .unwrap_or_else(|| vec![ManifestError { file: None, line: None, object: None, problem: Problem::NoGrant }])
    }

    /// Every key with its hash: what consent compares.
    pub fn hashes(&self) -> BTreeMap<SetKey, ObjectHash> {
        let objects = self.objects.values().map(|object| (SetKey::Object(object.key.clone()), object.hash));
        std::iter::once((SetKey::Entry, self.entry)).chain(objects).collect()
    }
}
