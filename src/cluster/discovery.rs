//! What kinds a cluster serves, where and how: read once, and again when a kind is missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::client::APIGroupDiscoveryList;

use crate::ids::ObjectKey;

use super::Cluster;
use super::error::ClusterError;
use super::wire::segment;

/// One kind at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// `v1`, `apps/v1`.
    pub api_version: String,
    /// Its group, empty for the core group.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its name in paths.
    pub plural: String,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
}

impl Resource {
    /// The path of the collection: of one namespace, or of all.
    pub(super) fn collection(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let inside = namespace.map(|name| format!("/namespaces/{}", segment(name))).unwrap_or_default();
        format!("{root}/{}{inside}/{}", self.api_version, self.plural)
    }

    /// The path of one object.
    pub(super) fn object(&self, key: &ObjectKey) -> String {
        format!("{}/{}", self.collection(key.namespace.as_deref()), segment(&key.name))
    }
}

/// Everything a cluster serves.
#[derive(Debug, Default)]
pub struct Served {
    /// By API version and kind.
    resources: BTreeMap<(String, String), Resource>,
    /// The version a group's kind is served at by preference, by group and kind.
    preferred: BTreeMap<(String, String), String>,
    /// Groups at versions whose server did not tell what it serves.
    silent: Vec<String>,
}

impl Served {
    /// The kind at exactly this version.
    pub fn at(&self, api_version: &str, kind: &str) -> Option<&Resource> {
        self.resources.get(&(api_version.to_owned(), kind.to_owned()))
    }

    /// The kind at whatever version the server prefers.
    pub fn preferred(&self, group: &str, kind: &str) -> Option<&Resource> {
        let version = self.preferred.get(&(group.to_owned(), kind.to_owned()))?;
        self.at(version, kind)
    }

    /// Every kind, (group, kind), and whether it is namespaced.
    pub fn kinds(&self) -> impl Iterator<Item = ((String, String), bool)> + '_ {
        self.resources.values().map(|found| ((found.group.clone(), found.kind.clone()), found.namespaced))
    }

    /// Every kind at every version, (API version, kind).
    pub fn versions(&self) -> impl Iterator<Item = (&str, &str)> + '_ {
        self.resources.keys().map(|(version, kind)| (version.as_str(), kind.as_str()))
    }

    fn add(&mut self, list: APIGroupDiscoveryList) {
        for group in list.items {
            let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
            for version in group.versions {
                let Some(number) = version.version else { continue };
                let api_version = if name.is_empty() { number } else { format!("{name}/{number}") };
                if version.freshness.as_deref() == Some("Stale") {
                    self.silent.push(api_version.clone());
                }
                for resource in version.resources {
                    let kind = resource.response_kind.and_then(|kind| kind.kind);
                    let (Some(plural), Some(kind)) = (resource.resource, kind) else { continue };
                    let found = Resource {
                        api_version: api_version.clone(),
                        group: name.clone(),
                        kind: kind.clone(),
                        plural,
                        namespaced: resource.scope.as_deref() == Some("Namespaced"),
                    };
                    self.preferred.entry((name.clone(), kind.clone())).or_insert_with(|| api_version.clone());
                    self.resources.entry((api_version.clone(), kind)).or_insert(found);
                }
            }
        }
    }
}

impl Cluster {
    /// What the cluster serves, from memory when it was read before.
    ///
    /// # Errors
    /// As every read.
    pub async fn served(&self) -> Result<Arc<Served>, ClusterError> {
        if let Some(served) = self.0.served.read().await.as_ref() {
            return Ok(Arc::clone(served));
        }
        self.served_now().await
    }

    /// What the cluster serves now: after a definition was applied, or when a kind is missing from what is remembered.
    ///
    /// # Errors
    /// As every read.
    pub async fn served_now(&self) -> Result<Arc<Served>, ClusterError> {
        let mut served = Served::default();
        for path in ["/api", "/apis"] {
            let found = self.read_json(path, ACCEPT).await?;
            let found = serde_json::from_value::<APIGroupDiscoveryList>(found)
                .map_err(|_| ClusterError::unreadable("it tells not what it serves"))?;
            served.add(found);
        }
        let served = Arc::new(served);
        *self.0.served.write().await = Some(Arc::clone(&served));
        Ok(served)
    }

    /// The kind at exactly this version; looked up once more when it is not remembered.
    ///
    /// # Errors
    /// [`ClusterError::NotServed`], and as every read.
    pub async fn resource(&self, api_version: &str, kind: &str) -> Result<Resource, ClusterError> {
        if let Some(found) = self.served().await?.at(api_version, kind) {
            return Ok(found.clone());
        }
        let served = self.served_now().await?;
        if let Some(found) = served.at(api_version, kind) {
            return Ok(found.clone());
        }
        let silent = served.silent.iter().any(|silent| silent == api_version);
        let why = if silent { " now: the server behind it does not answer" } else { "" };
        Err(ClusterError::NotServed(format!("{api_version} {kind}{why}")))
    }
}

impl Cluster {
    /// Whether the cluster says that there is no such kind at any version, and everybody who could have it has answered.
    ///
    /// # Errors
    /// As every read.
    pub async fn has_no(&self, group: &str, kind: &str) -> Result<bool, ClusterError> {
        let served = self.served_now().await?;
        let is_of_it = |version: &&String| version.rsplit_once('/').map_or("", |(group, _)| group) == group;
        Ok(served.preferred(group, kind).is_none() && !served.silent.iter().any(|silent| is_of_it(&silent)))
    }
}

const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
