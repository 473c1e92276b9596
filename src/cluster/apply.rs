//! Server-side apply: one object, one manager, never forced.

use hyper::http::Method;
use serde_json::{Value, json};

use crate::ids::ObjectKey;
use crate::manifest::{HashKey, canonical_json};
use crate::sync::drift::Mark;
use crate::sync::fields::LiveHash;
use crate::sync::{FIELD_MANAGER, OWNER_ANNOTATION};

use super::Cluster;
use super::discovery::Resource;
use super::error::ClusterError;
use super::wire::{Sent, Told};

/// A version that no object has: a server begins to count above it. Sent with an object that should not be there, it
/// makes the server refuse (409) when it is, and is ignored when it is not.
const NO_VERSION: &str = "1";

/// What an object is sent onto.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Onto {
    /// Nothing: refused as stale when there is one by now.
    Nothing,
    /// Exactly this one at exactly this version: refused as stale when it changed, went or was recreated.
    This {
        /// Its uid.
        uid: String,
        /// Its version.
        resource_version: String,
    },
}

/// One write.
#[derive(Clone, Copy)]
pub struct Write<'a> {
    /// Where.
    pub resource: &'a Resource,
    /// Which.
    pub key: &'a ObjectKey,
    /// The object as consented to, without our marks.
    pub object: &'a Value,
    /// Whose it becomes: the value of the owner annotation.
    pub owner: &'a str,
    /// Onto what.
    pub onto: &'a Onto,
}

/// What the server answered to a write.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The object's uid.
    pub uid: String,
    /// Its version now.
    pub resource_version: String,
    /// Of our fields in the answer: what a later look is compared with.
    pub live: LiveHash,
    /// Of its metadata: what a watch is compared with.
    pub mark: Mark,
    /// The object as it is now.
    pub object: Value,
}

impl Cluster {
    /// Applies one object.
    ///
    /// # Errors
    /// [`ClusterError::Stale`] when `onto` is no longer what is there, [`ClusterError::Conflict`] when others hold
    /// fields with other values, and as every request. After [`ClusterError::Timeout`] it may have been applied.
    pub async fn apply(&self, write: Write<'_>, hash_key: &HashKey) -> Result<Applied, ClusterError> {
        let answer = self.patch(write, "force=false").await?;
        Ok(read(answer.body, write.object, hash_key))
    }

    /// What [`Self::apply`] would answer, without doing it, and what the server warns of.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn try_apply(
        &self,
        write: Write<'_>,
        hash_key: &HashKey,
    ) -> Result<(Applied, Vec<String>), ClusterError> {
        self.tried(write, "force=false&dryRun=All", hash_key).await
    }

    /// The same if nobody held any field: an answer that does not tell what others hold. It is never done, only asked.
    ///
    /// # Errors
    /// As [`Self::apply`], without a conflict.
    pub async fn try_taking(
        &self,
        write: Write<'_>,
        hash_key: &HashKey,
    ) -> Result<(Applied, Vec<String>), ClusterError> {
        self.tried(write, "force=true&dryRun=All", hash_key).await
    }

    /// Only so many at once. Waiting for that is not part of a request's limit: whoever asks has a limit of their own.
    async fn tried(
        &self,
        write: Write<'_>,
        options: &str,
        hash_key: &HashKey,
    ) -> Result<(Applied, Vec<String>), ClusterError> {
        let turn = self.0.trials.acquire().await;
        let _turn = turn.map_err(|_| ClusterError::Unreachable("it is shut".to_owned()))?;
        let answer = self.patch(write, options).await?;
        Ok((read(answer.body, write.object, hash_key), answer.warnings))
    }

    pub(super) async fn patch(&self, write: Write<'_>, options: &str) -> Result<Told, ClusterError> {
        let path = write.resource.object(write.key);
        let path = format!("{path}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict&{options}");
        let body = canonical_json(&with_marks(write));
        let (content_type, about) = ("application/apply-patch+yaml", Some(write.object));
        self.write(&path, Sent { method: Method::PATCH, content_type, body, about }).await
    }
}

fn with_marks(write: Write<'_>) -> Value {
    let mut object = write.object.clone();
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    let metadata = &mut object["metadata"];
    if !metadata["annotations"].is_object() {
        metadata["annotations"] = json!({});
    }
    metadata["annotations"][OWNER_ANNOTATION] = write.owner.into();
    match write.onto {
        Onto::Nothing => metadata["resourceVersion"] = NO_VERSION.into(),
        Onto::This { uid, resource_version } => {
            metadata["uid"] = uid.as_str().into();
            metadata["resourceVersion"] = resource_version.as_str().into();
        }
    }
    object
}

pub(super) fn read(object: Value, sent: &Value, hash_key: &HashKey) -> Applied {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let live = LiveHash::of(hash_key, &object, sent);
    let mark = Mark::of(hash_key, &object);
    Applied { uid: text("/metadata/uid"), resource_version: text("/metadata/resourceVersion"), live, mark, object }
}
