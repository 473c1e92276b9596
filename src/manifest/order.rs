//! In which order objects are applied and deleted.

use serde_json::Value;

use crate::ids::ObjectKey;

/// What must be there before the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Namespaces: everything else lives in one.
    Namespaces,
    /// CustomResourceDefinitions: awaited until established.
    Definitions,
    /// All others, in the order of their kinds.
    Rest,
}

/// Kinds others refer to come first, kinds that run or route come after what they need. A kind not named here (custom
/// ones among them) comes after all of these but webhooks, which could refuse everything that follows them.
const KINDS: &[&str] = &[
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "CSIDriver",
    "IngressClass",
    "ResourceQuota",
    "LimitRange",
    "NetworkPolicy",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Service",
    "PodDisruptionBudget",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "StatefulSet",
    "HorizontalPodAutoscaler",
    "Job",
    "CronJob",
    "Ingress",
    "APIService",
];

const LAST: &[&str] = &[
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
];

/// The phase an object is applied in.
pub fn phase(key: &ObjectKey) -> Phase {
    match (key.group.as_str(), key.kind.as_str()) {
        ("", "Namespace") => Phase::Namespaces,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => Phase::Definitions,
        _ => Phase::Rest,
    }
}

/// Whether it comes after everything else: what could refuse all that follows it.
pub(super) fn is_last(key: &ObjectKey) -> bool {
    super::scope::is_built_in_group(&key.group) && LAST.contains(&key.kind.as_str())
}

/// The wave an object is sent in: ours, or Argo CD's. One that begins waits until those before it are well.
pub fn wave(object: &Value) -> i64 {
    let annotation = |name: &str| {
        let annotations = object.pointer("/metadata/annotations")?;
        annotations.get(name)?.as_str()?.trim().parse().ok()
    };
    annotation("bascule.dev/wave").or_else(|| annotation("argocd.argoproj.io/sync-wave")).unwrap_or(0)
}

fn rank(key: &ObjectKey) -> (Phase, usize) {
    let built_in = super::scope::is_built_in_group(&key.group);
    let place = |list: &[&str]| list.iter().position(|kind| *kind == key.kind).filter(|_| built_in);
    let rank = match (place(KINDS), place(LAST)) {
        (Some(at), _) => at,
        (None, Some(at)) => KINDS.len() + 1 + at,
        (None, None) => KINDS.len(),
    };
    (phase(key), rank)
}

/// The order in which keys are applied; equal ranks by identity, so that it is always the same.
pub fn apply_order<'a>(keys: impl IntoIterator<Item = &'a ObjectKey>) -> Vec<&'a ObjectKey> {
    let mut sorted: Vec<_> = keys.into_iter().collect();
    sorted.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
    sorted
}

/// The order in which keys are deleted: that of applying, reversed.
pub fn delete_order<'a>(keys: impl IntoIterator<Item = &'a ObjectKey>) -> Vec<&'a ObjectKey> {
    let mut sorted = apply_order(keys);
    sorted.reverse();
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> ObjectKey {
        let (group, kind) = text.split_once('/').unwrap();
        ObjectKey { group: group.to_owned(), kind: kind.to_owned(), namespace: None, name: "x".to_owned() }
    }

    #[test]
    fn what_others_need_comes_first_and_goes_last() {
        let keys = [
            "admissionregistration.k8s.io/ValidatingWebhookConfiguration",
            "cert-manager.io/Certificate",
            "apps/Deployment",
            "serving.knative.dev/Service",
            "/Service",
            "/ConfigMap",
            "apiextensions.k8s.io/CustomResourceDefinition",
            "/Namespace",
        ]
        .map(key);
        let names = |keys: Vec<&ObjectKey>| keys.iter().map(|k| format!("{}/{}", k.group, k.kind)).collect::<Vec<_>>();
        let applied = names(apply_order(&keys));
        insta::assert_snapshot!(applied.join("\n"), @r"
        /Namespace
        apiextensions.k8s.io/CustomResourceDefinition
        /ConfigMap
        /Service
        apps/Deployment
        cert-manager.io/Certificate
        serving.knative.dev/Service
        admissionregistration.k8s.io/ValidatingWebhookConfiguration
        ");
        let mut deleted = names(delete_order(&keys));
        deleted.reverse();
        assert_eq!(deleted, applied);
    }
}
