//! What a first apply of an object would find and do: the server's own answer, and nothing is written.

use serde_json::Value;

use crate::ids::ObjectKey;
use crate::manifest::HashKey;
use crate::sync::{FieldConflict, OWNER_ANNOTATION};

use super::apply::{Onto, Write};
use super::discovery::Resource;
use super::error::ClusterError;
use super::{Cluster, look};

/// An object that we have not applied yet.
#[derive(Clone, Copy)]
pub struct First<'a> {
    /// Where.
    pub resource: &'a Resource,
    /// Which.
    pub key: &'a ObjectKey,
    /// As it would be sent, without our marks.
    pub object: &'a Value,
    /// Whose it would become.
    pub owner: &'a str,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing, and the server would create it.
    Absent,
    /// Not even its namespace, so the server could not check it.
    NoNamespace,
    /// One in which nothing but its owner would change.
    Same,
    /// One that would change, and nobody holds what would.
    Differs,
    /// One whose values others hold.
    Conflict(Vec<FieldConflict>),
    /// One that somebody else owns, by its annotation.
    Owned(String),
    /// One on its way out, with what holds it up.
    Deleting(String),
    /// The server would not take it, and why.
    Refused(String),
}

impl Cluster {
    /// Asks what a first apply would do.
    ///
    /// # Errors
    /// As every read: what is there could not be told.
    pub async fn foresee(&self, first: First<'_>, hash_key: &HashKey) -> Result<Found, ClusterError> {
        let First { resource, key, object, owner } = first;
        let live = self.get(resource, key).await?;
        let mut onto = Onto::Nothing;
        if let Some(live) = &live {
            let (_, seen) = look::read(resource, live)?;
            if let Some(other) = seen.owner.filter(|other| other != owner) {
                return Ok(Found::Owned(other));
            }
            if let Some(how) = seen.deleting {
                return Ok(Found::Deleting(how));
            }
            onto = Onto::This { uid: seen.uid, resource_version: seen.resource_version };
        }
        let write = Write { resource, key, object, owner, onto: &onto };
        match (self.try_apply(write, hash_key).await, live) {
            (Ok(_), None) => Ok(Found::Absent),
            (Ok(would), Some(live)) => {
                Ok(if content(would.object) == content(live) { Found::Same } else { Found::Differs })
            }
            // Of an object that is not there, only its namespace can be missing.
            (Err(ClusterError::NotFound(_)), None) => Ok(Found::NoNamespace),
            (Err(ClusterError::Conflict(fields)), _) => Ok(Found::Conflict(fields)),
            (Err(ClusterError::Refused { message, .. }), _) => Ok(Found::Refused(message)),
            (Err(error), _) => Err(error),
        }
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
