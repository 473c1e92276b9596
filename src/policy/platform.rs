//! The rules of the server's file: what repositories may reach, and what none can go below.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::code::health::Rule as HealthRule;
use super::rules::{ApprovalRule, Policy};
use super::windows::Window;
use crate::ids::{ClusterName, PrometheusName, RegistryName};

/// `[grant.NAME]`: what a repository may reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// `forge/owner/name`; `*` within a segment, `**` across.
    pub repositories: Vec<String>,
    /// Clusters it may name.
    pub clusters: BTreeSet<ClusterName>,
    /// Namespaces, with `*`.
    pub namespaces: Vec<String>,
    /// Cluster-scoped kinds it may write, `Kind` or `group/Kind` or `group/*`.
    pub cluster_scoped: Vec<String>,
    /// Kinds it may not write.
    pub deny: Vec<String>,
    /// Which Prometheus its environments may name in `verify`; none where the file does not say.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub prometheus: BTreeSet<PrometheusName>,
    /// As whom the cluster is asked, with `{namespace}` standing for the environment's; the kubeconfig's own user when
    /// absent. See [`Grant::acts_as`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impersonate: Option<String>,
    /// Which of the server's `[secrets.NAME]` opens what its environments keep sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<String>,
    /// Who judges first sets, and may approve a held change with a reason.
    pub owners: Option<ApprovalRule>,
}

/// `[floor.NAME]`: what no repository file can go below.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// Which clusters' environments it covers.
    pub clusters: BTreeSet<ClusterName>,
    /// Judged beside the file's own rules; both must be met.
    pub approvals: Vec<ApprovalRule>,
    /// The platform's policies by name, each with its text: asked beside the file's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub policies: BTreeMap<String, Policy>,
    /// When something new may be synced; the file's own have to be open as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
}

/// `[group.NAME]`: people across forges.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// `forge/org/team`.
    pub teams: BTreeSet<String>,
    /// Person → their accounts, `forge/login`. Several accounts of one person count once.
    pub people: BTreeMap<String, BTreeSet<String>>,
}

/// The server's rules, as one value to judge by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// By name.
    pub grants: BTreeMap<String, Grant>,
    /// By name.
    pub floors: BTreeMap<String, Floor>,
    /// By name.
    pub groups: BTreeMap<String, Group>,
    /// Where charts may come from.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub registries: BTreeSet<RegistryName>,
    /// When objects of a kind are well, by the rule's name: goes before what a repository says of the same kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub health: BTreeMap<String, HealthRule>,
}
