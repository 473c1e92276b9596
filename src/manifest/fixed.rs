//! Fields the API server does not let anybody change in an object that is there: such a change needs the object deleted
//! and made again, which nobody here does (nothing is forced), so that the sync would fail.
//!
//! From the validation of Kubernetes' own kinds, as its API reference describes each field; a kind that is not here is
//! not known to have any. A field that one side does not name is left to the server, which may have had it by default.

use serde_json::Value;

use crate::ids::ObjectKey;

/// What of a kind is fixed.
enum Fixed {
    /// These fields.
    Fields(&'static [&'static [&'static str]]),
    /// All of `spec` but these of its fields.
    SpecBut(&'static [&'static str]),
}

/// Group, kind, what is fixed.
const KINDS: &[(&str, &str, Fixed)] = &[
    ("apps", "Deployment", Fixed::Fields(&[&["spec", "selector"]])),
    ("apps", "DaemonSet", Fixed::Fields(&[&["spec", "selector"]])),
    ("apps", "ReplicaSet", Fixed::Fields(&[&["spec", "selector"]])),
    (
        "apps",
        "StatefulSet",
        Fixed::SpecBut(&[
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
        ]),
    ),
    ("batch", "Job", Fixed::Fields(&[&["spec", "selector"], &["spec", "template"], &["spec", "completionMode"]])),
    ("", "PersistentVolumeClaim", Fixed::SpecBut(&["resources", "volumeAttributesClassName"])),
    ("rbac.authorization.k8s.io", "RoleBinding", Fixed::Fields(&[&["roleRef"]])),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", Fixed::Fields(&[&["roleRef"]])),
    (
        "storage.k8s.io",
        "StorageClass",
        Fixed::Fields(&[&["provisioner"], &["parameters"], &["reclaimPolicy"], &["volumeBindingMode"]]),
    ),
    ("scheduling.k8s.io", "PriorityClass", Fixed::Fields(&[&["value"], &["preemptionPolicy"]])),
    ("node.k8s.io", "RuntimeClass", Fixed::Fields(&[&["handler"]])),
    ("networking.k8s.io", "IngressClass", Fixed::Fields(&[&["spec", "controller"]])),
    (
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        Fixed::Fields(&[&["spec", "scope"], &["spec", "names", "kind"]]),
    ),
];

/// The fields that differ and cannot, as paths.
pub(super) fn fixed(key: &ObjectKey, old: &Value, new: &Value) -> Vec<String> {
    // What is marked so by whoever wrote it: https://kubernetes.io/docs/concepts/configuration/secret/#secret-immutable
    if key.group.is_empty() && matches!(key.kind.as_str(), "Secret" | "ConfigMap") && old["immutable"] == true {
        let fields = ["data", "binaryData", "immutable"].into_iter().filter(|field| old[field] != new[field]);
        return fields.map(str::to_owned).collect();
    }
    let known = KINDS.iter().find(|(group, kind, _)| *group == key.group && *kind == key.kind);
    match known {
        None => Vec::new(),
        Some((_, _, Fixed::Fields(paths))) => {
            let changed = paths.iter().filter(|path| differ(at(old, path), at(new, path)));
            changed.map(|path| path.join(".")).collect()
        }
        Some((_, _, Fixed::SpecBut(free))) => {
            let fields = old["spec"].as_object().into_iter().flatten();
            let changed =
                fields.filter(|(name, value)| !free.contains(&name.as_str()) && differ(value, &new["spec"][*name]));
            changed.map(|(name, _)| format!("spec.{name}")).collect()
        }
    }
}

fn at<'j>(json: &'j Value, path: &[&str]) -> &'j Value {
    path.iter().fold(json, |json, step| &json[*step])
}

fn differ(old: &Value, new: &Value) -> bool {
    !old.is_null() && !new.is_null() && old != new
}
