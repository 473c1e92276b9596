//! The one object of ours in a cluster: a Lease per environment, in its namespace, that says who writes it.
//!
//! The database numbers the workers of an environment, and its leases keep them apart. It can lose its newest rows, though
//! (a backup put back, a standby that lagged), and then counts again from where it was, while a worker of the time that was
//! lost may still run. The cluster remembers: each worker writes its number here before anything else, by compare-and-swap,
//! and one whose number is not higher than the one it finds writes nothing.
//!
//! Created by POST and replaced by PUT at the uid and version that were read, never applied: an apply would make it again
//! where it is gone. The holder is random, so that a takeover always changes bytes, and a version read before it is stale.

use hyper::http::Method;
use serde_json::{Value, json};

use crate::sync::OWNER_ANNOTATION;
use crate::sync::fence::{FENCE_ANNOTATION, Fence};

use super::Cluster;
use super::error::ClusterError;
use super::wire::{self, JSON, Sent};

/// What a worker would write.
#[derive(Debug, Clone, Copy)]
pub struct Hold<'a> {
    /// The environment's own namespace.
    pub namespace: &'a str,
    /// The fence's name, [`crate::sync::fence::name`].
    pub name: &'a str,
    /// Whose it is: the value of the owner annotation.
    pub owner: &'a str,
    /// The worker's number.
    pub number: i64,
    /// What no other run has.
    pub holder: &'a str,
}

impl Cluster {
    /// The fence as it is; `None` when there is none, or not even its namespace.
    ///
    /// # Errors
    /// As every read.
    pub async fn fence(&self, namespace: &str, name: &str) -> Result<Option<Fence>, ClusterError> {
        match self.read_json(&path(namespace, Some(name)), JSON).await {
            Ok(object) => read(&object).map(Some),
            Err(ClusterError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes the fence over what was read.
    ///
    /// # Errors
    /// [`ClusterError::Stale`] when it is not what was read any more, [`ClusterError::NotFound`] when there is no such
    /// namespace, and as every request. After [`ClusterError::Timeout`] it may have been taken.
    pub async fn take_fence(&self, hold: Hold<'_>, over: Option<&Fence>) -> Result<(), ClusterError> {
        let mut object = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {
                "name": hold.name, "namespace": hold.namespace,
                "annotations": { OWNER_ANNOTATION: hold.owner, FENCE_ANNOTATION: hold.number.to_string() },
            },
            "spec": { "holderIdentity": hold.holder },
        });
        let (method, path) = match over {
            None => (Method::POST, path(hold.namespace, None)),
            Some(before) => {
                object["metadata"]["uid"] = before.uid.as_str().into();
                object["metadata"]["resourceVersion"] = before.resource_version.as_str().into();
                (Method::PUT, path(hold.namespace, Some(hold.name)))
            }
        };
        let sent = Sent { method, content_type: JSON, body: object.to_string().into_bytes(), about: None };
        match self.write(&path, sent).await {
            Ok(_) => Ok(()),
            // It went since it was read: of a namespace that is not there nothing was read.
            Err(ClusterError::NotFound(why)) if over.is_some() => Err(ClusterError::Stale(why)),
            Err(error) => Err(error),
        }
    }

    /// Removes the fence of an environment that has nothing left in the cluster. Whatever is there instead by now stays.
    ///
    /// # Errors
    /// As every request.
    pub async fn drop_fence(&self, namespace: &str, name: &str, fence: &Fence) -> Result<(), ClusterError> {
        let body = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
            "preconditions": { "uid": fence.uid, "resourceVersion": fence.resource_version },
        });
        let sent =
            Sent { method: Method::DELETE, content_type: JSON, body: body.to_string().into_bytes(), about: None };
        match self.write(&path(namespace, Some(name)), sent).await {
            Ok(_) | Err(ClusterError::NotFound(_) | ClusterError::Stale(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn path(namespace: &str, name: Option<&str>) -> String {
    let all = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", wire::segment(namespace));
    name.map_or_else(|| all.clone(), |name| format!("{all}/{}", wire::segment(name)))
}

fn read(object: &Value) -> Result<Fence, ClusterError> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let (Some(uid), Some(resource_version)) = (text("/metadata/uid"), text("/metadata/resourceVersion")) else {
        return Err(ClusterError::unreadable("a Lease without uid or version"));
    };
    let said = object.pointer("/metadata/annotations").and_then(|marks| marks.get(FENCE_ANNOTATION));
    let number = said.and_then(Value::as_str).and_then(|said| said.parse().ok());
    Ok(Fence { uid, resource_version, number, holder: text("/spec/holderIdentity") })
}
