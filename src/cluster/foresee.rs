//! What an apply of an object would find and do: the server's own answer, and nothing is written.

use serde_json::Value;

use crate::ids::ObjectKey;
use crate::manifest::{HashKey, differing, without_secrets};
use crate::sync::{FieldConflict, OWNER_ANNOTATION};

use super::apply::{Onto, Write};
use super::discovery::Resource;
use super::error::ClusterError;
use super::{Cluster, look};

/// Fields that are named where an object differs.
const FIELDS: usize = 20;

/// An object as a sync would send it.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    /// Where.
    pub resource: &'a Resource,
    /// Which.
    pub key: &'a ObjectKey,
    /// As it would be sent, without our marks.
    pub object: &'a Value,
    /// Whose it would become.
    pub owner: &'a str,
}

/// What is there, and what the server says to the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing, and the server would create it.
    Absent,
    /// Not even its namespace, so the server could not check it.
    NoNamespace,
    /// One in which nothing but its owner would change.
    Same,
    /// One that would change in these fields, and nobody holds what would. The fields are not told where nobody may learn
    /// what is there.
    Differs(Vec<String>),
    /// One whose values others hold.
    Conflict(Vec<FieldConflict>),
    /// One that somebody else owns, by its annotation.
    Owned(String),
    /// One on its way out, with what holds it up.
    Deleting(String),
    /// The server would not take it, and why.
    Refused(String),
    /// The server cannot be asked without its being done, and why.
    Unaskable(String),
}

/// How much may be learnt of what is there.
#[derive(Clone, Copy, PartialEq)]
enum Learn {
    Everything,
    /// Neither whether it is the same, nor whether others hold what differs.
    Nothing,
}

impl Cluster {
    /// Asks what an apply would do; what the server warns of comes with it.
    ///
    /// # Errors
    /// As every read: what is there could not be told.
    pub async fn foresee(&self, trial: Trial<'_>, hash_key: &HashKey) -> Result<(Found, Vec<String>), ClusterError> {
        self.found(trial, hash_key, Learn::Everything).await
    }

    /// Asks only whether the server would take it: what is found is the same whatever values are there.
    ///
    /// # Errors
    /// As [`Self::foresee`].
    pub async fn would_take(&self, trial: Trial<'_>, hash_key: &HashKey) -> Result<(Found, Vec<String>), ClusterError> {
        self.found(trial, hash_key, Learn::Nothing).await
    }

    async fn found(
        &self,
        trial: Trial<'_>,
        hash_key: &HashKey,
        learn: Learn,
    ) -> Result<(Found, Vec<String>), ClusterError> {
        let Trial { resource, key, object, owner } = trial;
        let live = self.get(resource, key).await?;
        let mut onto = Onto::Nothing;
        if let Some(live) = &live {
            let (_, seen) = look::read(resource, live)?;
            if let Some(other) = seen.owner.filter(|other| other != owner) {
                return Ok((Found::Owned(other), Vec::new()));
            }
            if let Some(how) = seen.deleting {
                return Ok((Found::Deleting(how), Vec::new()));
            }
            if learn == Learn::Nothing && live.get("immutable").and_then(Value::as_bool) == Some(true) {
                let why = "it is immutable, and what is in it is not compared before the merge";
                return Ok((Found::Unaskable(why.to_owned()), Vec::new()));
            }
            onto = Onto::This { uid: seen.uid, resource_version: seen.resource_version };
        }
        let write = Write { resource, key, object, owner, onto: &onto };
        let answer = match learn {
            Learn::Everything => self.try_apply(write, hash_key).await,
            Learn::Nothing => self.try_taking(write, hash_key).await,
        };
        // A message may quote what is in the object, or in the one that is there.
        let said = |message: String| without_secrets(&message, [Some(object), live.as_ref()].into_iter().flatten());
        let found = match (answer, &live) {
            (Ok((_, warnings)), None) => (Found::Absent, warnings),
            (Ok((_, warnings)), Some(_)) if learn == Learn::Nothing => (Found::Differs(Vec::new()), warnings),
            (Ok((would, warnings)), Some(live)) => {
                let fields = differing(&content(live.clone()), &content(would.object), FIELDS);
                (if fields.is_empty() { Found::Same } else { Found::Differs(fields) }, warnings)
            }
            // Of an object that is not there, only its namespace can be missing.
            (Err(ClusterError::NotFound(_)), None) => (Found::NoNamespace, Vec::new()),
            (Err(ClusterError::Conflict(fields)), _) => (Found::Conflict(fields), Vec::new()),
            (Err(error), _) => match refusal(error)? {
                Found::Refused(why) => (Found::Refused(said(why)), Vec::new()),
                found => (found, Vec::new()),
            },
        };
        let (found, warnings) = found;
        Ok((found, warnings.into_iter().map(said).collect()))
    }
}

/// A no of the server's, or of one of its webhooks that cannot tell a dry run from a write.
fn refusal(error: ClusterError) -> Result<Found, ClusterError> {
    match error {
        ClusterError::Refused { message, .. } if message.ends_with("does not support dry run") => {
            Ok(Found::Unaskable(message))
        }
        ClusterError::Refused { message, .. } => Ok(Found::Refused(message)),
        error => Err(error),
    }
}

/// An object without what every write moves: who holds what, its version, and whose it is.
fn content(mut object: Value) -> Value {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return object };
    for moved in ["managedFields", "resourceVersion", "generation"] {
        metadata.remove(moved);
    }
    let marks = metadata.get_mut("annotations").and_then(Value::as_object_mut);
    let empty = marks.is_some_and(|marks| {
        marks.remove(OWNER_ANNOTATION);
        marks.is_empty()
    });
    if empty {
        metadata.remove("annotations");
    }
    object
}
