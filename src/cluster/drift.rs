//! What an apply would change of an object that is there, asked of the server; and taking back what was ours.

use serde_json::Value;

use crate::ids::ObjectKey;
use crate::manifest::{HashKey, differing};
use crate::sync::Seen;
use crate::sync::drift::{Hand, Mark, hands};
use crate::sync::fields::{LiveHash, own_fields};

use super::apply::{self, Applied, Write};
use super::discovery::Resource;
use super::error::ClusterError;
use super::{Cluster, look};

/// Fields that are named where an object differs.
const FIELDS: usize = 50;

/// An object that was read in full.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// Its metadata, with the hash of our fields.
    pub seen: Seen,
    /// Of its metadata.
    pub mark: Mark,
    /// All of it.
    pub live: Value,
}

/// Whether what we sent is still ours, as far as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ours {
    /// All of it.
    All,
    /// Somebody has taken some of it, and put our value there.
    Less,
}

/// What an apply would do to an object that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differs {
    /// Fields that would change: paths, never values.
    pub fields: Vec<String>,
    /// Who holds them now.
    pub hands: Vec<Hand>,
    /// Whose the fields of ours are.
    pub ours: Ours,
}

impl Cluster {
    /// One object in full; `None` when it is not there. `sent` is the object as we sent it.
    ///
    /// # Errors
    /// As every read.
    pub async fn inspect(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        sent: &Value,
        hash_key: &HashKey,
    ) -> Result<Option<Inspected>, ClusterError> {
        let Some(live) = self.get(resource, key).await? else { return Ok(None) };
        let (_, seen) = look::read(resource, &live)?;
        let seen = Seen { live: Some(LiveHash::of(hash_key, &live, sent)), ..seen };
        Ok(Some(Inspected { seen, mark: Mark::of(hash_key, &live), live }))
    }

    /// What an apply would change of what is there: a dry run, as if nobody held a field. The server's own rewriting (quantities,
    /// defaults, admission) happens in its answer, too, and is no difference.
    ///
    /// # Errors
    /// As [`Self::try_taking`].
    pub async fn differs(&self, write: Write<'_>, live: &Value, hash_key: &HashKey) -> Result<Differs, ClusterError> {
        let (would, _) = self.try_taking(write, hash_key).await?;
        let fields = differing(&content(live.clone()), &content(would.object.clone()), FIELDS);
        let ours = if own_fields(live) == own_fields(&would.object) { Ours::All } else { Ours::Less };
        Ok(Differs { fields, hands: hands(live, &would.object), ours })
    }

    /// All of what an apply would make of what is there: the dry run that [`Self::differs`] asks for.
    ///
    /// # Errors
    /// As [`Self::try_taking`].
    pub async fn would(&self, write: Write<'_>, hash_key: &HashKey) -> Result<Value, ClusterError> {
        let (would, _) = self.try_taking(write, hash_key).await?;
        Ok(would.object)
    }

    /// Applies an object over exactly what was looked at, and takes its fields back from whoever wrote them since. Only for what
    /// was ours as it is sent, was found to have drifted, and goes back by the environment's own rules or a person's word; and only
    /// when nobody else applies those fields. With the version that was looked at, nothing is taken that was not looked at.
    ///
    /// # Errors
    /// As [`Self::apply`], without a conflict.
    pub async fn take_back(&self, write: Write<'_>, hash_key: &HashKey) -> Result<Applied, ClusterError> {
        let answer = self.patch(write, "force=true").await?;
        Ok(apply::read(answer.body, write.object, hash_key))
    }
}

/// An object without what every write moves.
fn content(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for moved in ["managedFields", "resourceVersion", "generation"] {
            metadata.remove(moved);
        }
    }
    object
}
