//! What the cluster is, and what it lets us do: asked by `check --live`, changing nothing.

use hyper::http::Method;
use serde_json::{Value, json};

use super::wire::{self, Sent};
use super::{Cluster, ClusterError};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

impl Cluster {
    /// The version it runs, `v1.34.1`.
    ///
    /// # Errors
    /// As every read.
    pub async fn version(&self) -> Result<String, ClusterError> {
        let version = self.read_json("/version", wire::JSON).await?;
        let named = version.get("gitVersion").and_then(Value::as_str);
        named.map(str::to_owned).ok_or_else(|| ClusterError::unreadable("it does not tell its version"))
    }

    /// Whether we may do this to a kind's objects (`*` is every kind) in a namespace.
    ///
    /// # Errors
    /// As every read: the question is sent as a write, and stores nothing.
    pub async fn may(&self, verb: &str, group: &str, plural: &str, namespace: &str) -> Result<bool, ClusterError> {
        let asked = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {
            "resourceAttributes": { "verb": verb, "group": group, "resource": plural, "namespace": namespace } } });
        let sent =
            Sent { method: Method::POST, content_type: wire::JSON, body: asked.to_string().into_bytes(), about: None };
        let answer = self.write(REVIEWS, sent).await?;
        let allowed = answer.body.pointer("/status/allowed").and_then(Value::as_bool);
        allowed.ok_or_else(|| ClusterError::unreadable("it does not tell what we may"))
    }
}
