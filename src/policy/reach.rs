//! What the platform allows: which grants a repository has, what is inside one, which floors lie under an environment.

use std::collections::{BTreeMap, BTreeSet};

use super::approvals::groups_named;
use super::expand::Expanded;
use super::globs::{kind_matches, name_matches, repository_matches};
use super::located::{Complaints, Located, did_you_mean};
use super::repository::RepositoryFile;
use super::rules::{Environment, Floor, Grant, Platform};
use crate::ids::{ClusterName, ObjectKey, PrometheusName, RegistryName, Target};

/// A grant with its name, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted<'p> {
    /// The `shop` of `[grant.shop]`.
    pub name: &'p str,
    /// What it allows.
    pub grant: &'p Grant,
}

/// Why an object is outside a grant; `Display` is fit for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Outside {
    /// Its namespace is not granted.
    #[error("namespace `{0}` is not granted")]
    Namespace(String),
    /// It has no namespace, and its kind is not among `kinds.cluster_scoped`.
    #[error("cluster-scoped {0} is not granted")]
    ClusterScoped(String),
    /// Its kind is among `kinds.deny`.
    #[error("{0} is denied by the grant")]
    Denied(String),
}

impl Platform {
    /// The grants of a repository, written `forge/owner/name`. Each stands alone: an environment and all its objects
    /// must be inside one of them. None is silence.
    pub fn grants_for(&self, repository: &str) -> Vec<Granted<'_>> {
        let matching = |grant: &Grant| grant.repositories.iter().any(|glob| repository_matches(glob, repository));
        self.grants.iter().filter(|(_, grant)| matching(grant)).map(|(name, grant)| Granted { name, grant }).collect()
    }

    /// Those grants of a repository that an environment's target is inside of.
    pub fn grants_reaching(&self, repository: &str, target: &Target) -> Vec<Granted<'_>> {
        self.grants_for(repository).into_iter().filter(|granted| granted.grant.reaches(target)).collect()
    }

    /// The grant by which an environment's objects are reached, and what of them it refuses: the first that refuses
    /// nothing, else the first of those that refuse least. `None`: no grant reaches the target.
    pub fn grant_meant<'p, 'k>(
        &'p self,
        repository: &str,
        target: &Target,
        objects: impl Iterator<Item = &'k ObjectKey> + Clone,
    ) -> Option<(Granted<'p>, BTreeMap<&'k ObjectKey, Outside>)> {
        let refused = |granted: Granted<'p>| {
            let refused = objects.clone().filter_map(|key| Some((key, granted.grant.allows(key).err()?)));
            (granted, refused.collect::<BTreeMap<_, _>>())
        };
        self.grants_reaching(repository, target).into_iter().map(refused).min_by_key(|(_, refused)| refused.len())
    }

    /// Whether an environment may have a Prometheus asked: a grant that reaches its target names it.
    pub fn may_ask(&self, repository: &str, target: &Target, prometheus: &PrometheusName) -> bool {
        self.grants_reaching(repository, target).iter().any(|granted| granted.grant.prometheus.contains(prometheus))
    }

    /// The floors under every environment of a cluster, with their names.
    pub fn floors_under(&self, cluster: &ClusterName) -> Vec<(&str, &Floor)> {
        let covers = |floor: &Floor| floor.clusters.contains(cluster);
        self.floors.iter().filter(|(_, floor)| covers(floor)).map(|(name, floor)| (name.as_str(), floor)).collect()
    }
}

impl Grant {
    /// Whether an environment's cluster and namespace are inside.
    pub fn reaches(&self, target: &Target) -> bool {
        self.clusters.contains(&target.cluster) && self.allows_namespace(&target.namespace)
    }

    /// The Kubernetes user on whose behalf an environment of a namespace is looked at and written; `None` is the
    /// kubeconfig's own.
    pub fn acts_as(&self, namespace: &str) -> Option<String> {
        self.impersonate.as_ref().map(|user| user.replace("{namespace}", namespace))
    }

    fn allows_namespace(&self, namespace: &str) -> bool {
        self.namespaces.iter().any(|glob| name_matches(glob, namespace))
    }

    /// Whether an object may be written. A `Namespace` needs both: its kind among the cluster-scoped ones and its
    /// name among the namespaces.
    pub fn allows(&self, key: &ObjectKey) -> Result<(), Outside> {
        let matches = |patterns: &[String]| patterns.iter().any(|pattern| kind_matches(pattern, &key.group, &key.kind));
        let kind = || if key.group.is_empty() { key.kind.clone() } else { format!("{}/{}", key.group, key.kind) };
        if matches(&self.deny) {
            return Err(Outside::Denied(kind()));
        }
        let namespace = match &key.namespace {
            Some(namespace) => Some(namespace),
            None if !matches(&self.cluster_scoped) => return Err(Outside::ClusterScoped(kind())),
            None if key.group.is_empty() && key.kind == "Namespace" => Some(&key.name),
            None => None,
        };
        match namespace {
            Some(namespace) if !self.allows_namespace(namespace) => Err(Outside::Namespace(namespace.clone())),
            _ => Ok(()),
        }
    }
}

/// Why the platform does not let an environment be, one line each; empty when it does.
pub fn refusals(platform: &Platform, repository: &str, environment: &Environment) -> Vec<String> {
    let mut found = Vec::new();
    let target = &environment.target;
    let grants = platform.grants_for(repository);
    if platform.grants_reaching(repository, target).is_empty() {
        found.push(if grants.iter().any(|granted| granted.grant.clusters.contains(&target.cluster)) {
            format!(
                "namespace `{}` in cluster `{}` is not granted to this repository",
                target.namespace, target.cluster
            )
        } else {
            format!("cluster `{}` is not granted to this repository", target.cluster)
        });
    }
    if let Some(chart) = environment.chart.as_ref().filter(|chart| !platform.registries.contains(&chart.registry)) {
        let known = platform.registries.iter().map(RegistryName::as_str);
        let meant = did_you_mean(chart.registry.as_str(), known).map(|meant| format!(": did you mean `{meant}`?"));
        found.push(format!("registry `{}` is not in the server's file{}", chart.registry, meant.unwrap_or_default()));
    }
    let asked: BTreeSet<_> = environment.verify.iter().map(|one| &one.prometheus).collect();
    for name in asked.into_iter().filter(|name| !platform.may_ask(repository, target, name)) {
        found.push(format!("prometheus `{name}` is not granted to this repository"));
    }
    if environment.consent.is_none() {
        let asking =
            platform.floors_under(&target.cluster).into_iter().filter(|(_, floor)| !floor.approvals.is_empty());
        found.extend(asking.map(|(name, _)| {
            format!(
                "`consent: none` is not possible in cluster `{}`: floor `{name}` asks for approvals",
                target.cluster
            )
        }));
    }
    found
}

/// Every complaint the platform has about a file's environments, at their places. These close the gate of an
/// environment as a complaint about the file itself does.
pub fn complaints(
    platform: &Platform,
    repository: &str,
    file: &RepositoryFile,
    environments: &[Expanded],
) -> Vec<Located> {
    let mut all = Complaints::default();
    let blocks = environments.iter().map(|expanded| &expanded.block);
    for (group, at) in blocks.chain(&file.owners_node).chain(&file.policies_node).flat_map(groups_named) {
        if !platform.groups.contains_key(group) {
            let known = platform.groups.keys().map(String::as_str);
            let advice = match did_you_mean(group, known) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("ask for a `[group.{group}]` in the server's file"),
            };
            all.add(at, format!("group `{group}` is not known to the server"), advice);
        }
    }
    for Expanded { environment, at, .. } in environments {
        for refusal in refusals(platform, repository, environment) {
            let advice = "change the environment, or ask the platform's people";
            all.add(at, format!("environment `{}`: {refusal}", environment.name), advice);
        }
    }
    all.into_sorted()
}
