//! Which kinds live in a namespace: decides whether the environment's namespace is filled in, and so the identity.

use std::collections::BTreeMap;

use serde_json::Value;

use super::yaml::Parsed;

/// Where objects of a kind live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster itself.
    Cluster,
}

/// Kinds that live in the cluster itself, as of Kubernetes 1.37: (group, kind). Every other kind of these groups is
/// namespaced. Reviews (`TokenReview` …) are requests and no objects, and not here.
const CLUSTER_SCOPED: &[(&str, &str)] = &[
    ("", "ComponentStatus"),
    ("", "Namespace"),
    ("", "Node"),
    ("", "PersistentVolume"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
    ("certificates.k8s.io", "CertificateSigningRequest"),
    ("certificates.k8s.io", "ClusterTrustBundle"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("internal.apiserver.k8s.io", "StorageVersion"),
    ("networking.k8s.io", "IPAddress"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "ServiceCIDR"),
    ("node.k8s.io", "RuntimeClass"),
    ("policy", "PodSecurityPolicy"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("resource.k8s.io", "DeviceClass"),
    ("resource.k8s.io", "DeviceTaintRule"),
    ("resource.k8s.io", "ResourceSlice"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "StorageClass"),
    ("storage.k8s.io", "VolumeAttachment"),
    ("storage.k8s.io", "VolumeAttributesClass"),
    ("storagemigration.k8s.io", "StorageVersionMigration"),
];

/// The groups the API server itself serves; a group outside them belongs to a CustomResourceDefinition or an aggregated
/// server.
const BUILT_IN_GROUPS: &[&str] = &[
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "extensions",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// Whether a group is one of Kubernetes' own; any other is somebody's custom resources.
pub fn is_built_in_group(group: &str) -> bool {
    BUILT_IN_GROUPS.contains(&group)
}

/// What is known about kinds: the built-in table, then a set's own definitions, then what a cluster told.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Scopes {
    discovered: Option<BTreeMap<String, Scope>>,
}

impl Scopes {
    /// Without a cluster to ask (`bascule diff`): a kind nobody knows is taken as namespaced, which most are.
    pub fn without_cluster() -> Self {
        Self { discovered: None }
    }

    /// With a cluster's discovery, (group, kind) → scope: a kind nobody knows is an error, because the cluster would
    /// refuse it.
    pub fn discovered(kinds: impl IntoIterator<Item = ((String, String), Scope)>) -> Self {
        let named = kinds.into_iter().map(|((group, kind), scope)| (format!("{group}/{kind}"), scope));
        Self { discovered: Some(named.collect()) }
    }

    /// What is told here of the kinds of a set's objects, as far as the set does not define them itself: it is built the
    /// same wherever this is told.
    pub fn told(&self, set: &[Parsed]) -> BTreeMap<String, Option<Scope>> {
        let known = self.with_definitions(set.iter());
        let kinds = set.iter().filter_map(|one| {
            let text = |key| one.json.get(key).and_then(Value::as_str);
            let group = text("apiVersion")?.rsplit_once('/').map_or("", |(group, _)| group);
            Some((group.to_owned(), text("kind")?.to_owned()))
        });
        let kinds = kinds.filter(|kind| !known.defined.contains_key(kind));
        kinds.map(|(group, kind)| (format!("{group}/{kind}"), known.of(&group, &kind))).collect()
    }

    /// Whether the same is told here.
    pub fn tells(&self, told: &BTreeMap<String, Option<Scope>>) -> bool {
        let known = self.with_definitions(std::iter::empty());
        told.iter()
            .all(|(kind, scope)| kind.split_once('/').is_some_and(|(group, kind)| known.of(group, kind) == *scope))
    }

    /// The same, with the custom kinds that these manifests define.
    pub(super) fn with_definitions<'a>(&self, set: impl Iterator<Item = &'a Parsed>) -> Known<'_> {
        Known { defined: set.filter_map(definition).collect(), discovered: self.discovered.as_ref() }
    }
}

/// All that is known while one set is built.
pub(super) struct Known<'a> {
    defined: BTreeMap<(String, String), Scope>,
    discovered: Option<&'a BTreeMap<String, Scope>>,
}

impl Known<'_> {
    /// Where objects of a kind live; `None` when the cluster was asked and nobody knows the kind.
    pub(super) fn of(&self, group: &str, kind: &str) -> Option<Scope> {
        if CLUSTER_SCOPED.contains(&(group, kind)) {
            return Some(Scope::Cluster);
        }
        if let Some(scope) = self.defined.get(&(group.to_owned(), kind.to_owned())) {
            return Some(*scope);
        }
        match self.discovered.map(|kinds| kinds.get(&format!("{group}/{kind}"))) {
            Some(Some(scope)) => Some(*scope),
            Some(None) if !is_built_in_group(group) => None,
            Some(None) | None => Some(Scope::Namespaced),
        }
    }
}

fn definition(parsed: &Parsed) -> Option<((String, String), Scope)> {
    let json = &parsed.json;
    if json.get("kind")?.as_str()? != "CustomResourceDefinition" {
        return None;
    }
    let spec = json.get("spec")?.as_object()?;
    let group = spec.get("group")?.as_str()?;
    let kind = spec.get("names").and_then(|names| names.get("kind")).and_then(Value::as_str)?;
    let scope = match spec.get("scope")?.as_str()? {
        "Cluster" => Scope::Cluster,
        _ => Scope::Namespaced,
    };
    Some(((group.to_owned(), kind.to_owned()), scope))
}
