//! Deletion of exactly one object.

use hyper::http::Method;
use serde_json::{Value, json};

use crate::ids::ObjectKey;

use super::Cluster;
use super::discovery::Resource;
use super::error::ClusterError;
use super::wire::{JSON, Sent};

/// What came of a delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deleted {
    /// The object with that uid is not there any more.
    Gone,
    /// The server has begun; the names of those who must agree first.
    Pending(Vec<String>),
    /// There is one under that name, and it is another.
    Recreated,
}

impl Cluster {
    /// Deletes the object with exactly this uid, as long as it is at this version if one is named; what belongs to it is
    /// collected in the background.
    ///
    /// # Errors
    /// [`ClusterError::Stale`] when it changed since it was looked at, and as every request. After
    /// [`ClusterError::Timeout`] it may have been deleted.
    pub async fn delete(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        uid: &str,
        resource_version: Option<&str>,
    ) -> Result<Deleted, ClusterError> {
        let mut preconditions = json!({"uid": uid});
        if let Some(version) = resource_version {
            preconditions["resourceVersion"] = version.into();
        }
        let body = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": preconditions,
            // Without it some kinds leave their children behind.
            "propagationPolicy": "Background",
        });
        let sent =
            Sent { method: Method::DELETE, content_type: JSON, body: body.to_string().into_bytes(), about: None };
        let answer = match self.write(&resource.object(key), sent).await {
            Ok(answer) => answer.body,
            Err(ClusterError::NotFound(_)) => return Ok(Deleted::Gone),
            // Which of the two does not hold is told in words alone.
            Err(ClusterError::Stale(why)) if why.contains("UID in the precondition") => return Ok(Deleted::Recreated),
            Err(error) => return Err(error),
        };
        if answer.pointer("/metadata/deletionTimestamp").is_none() {
            return Ok(Deleted::Gone);
        }
        let names = |pointer| {
            let list = answer.pointer(pointer).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)
        };
        Ok(Deleted::Pending(names("/metadata/finalizers").chain(names("/spec/finalizers")).collect()))
    }
}
