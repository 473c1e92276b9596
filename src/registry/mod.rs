//! Registries: the only places that charts come from which are not in the repository. The server asks them; what renders has
//! no network.
//!
//! ```text
//! chart: { registry, name, version } ──resolve──▶ Bound (version, digest) ──fetch──▶ the archive, of that very digest
//!                                      index.yaml, or tags and a manifest     from the store, else from the registry
//! ```
//!
//! A registry is asked at addresses of the server's file alone. Where it sends us elsewhere, that has to be named there too,
//! and is shown no credentials. Everything that is read has a bound, and what is kept is kept by its digest, so that what was
//! fetched once is never asked for again.
//!
//! Deliberately absent: retries (a job decides), a list of what a registry has, and a library for OCI (`oci.rs` says why).

mod error;
mod http;
mod index;
mod oci;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Url;
use secrecy::SecretString;

use self::error::Fault;
pub use self::error::{Fate, RegistryError};
use self::http::{Http, Wanted};
pub use self::index::Indexes;
use self::store::{Store, digest};
use crate::ids::RegistryName;
use crate::policy::chart::{Bound, Chart, Versions};

/// Bytes of an index: the largest there are have twenty megabytes.
const LARGEST_INDEX: u64 = 32 << 20;
/// Bytes of an archive. Unpacked it is bounded where it is rendered.
const LARGEST_ARCHIVE: u64 = 20 << 20;
/// Bytes of a manifest, as every registry of OCI has to take it.
const LARGEST_MANIFEST: u64 = 4 << 20;
/// Bytes of a page of tags.
const LARGEST_PAGE: u64 = 4 << 20;
/// Pages of tags, of a thousand where the registry gives as many.
const MOST_PAGES: usize = 30;

/// How to reach a registry.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name in the configuration.
    pub name: RegistryName,
    /// `https://host/path` of an index, or `oci://host/path`.
    pub url: String,
    /// `http` to a registry of OCI.
    pub plain_http: bool,
    /// As whom: name and password.
    pub credentials: Option<(String, SecretString)>,
    /// Certificates (PEM) to trust beside the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Other hosts it may send us to.
    pub hosts: BTreeSet<String>,
    /// Another host whose tokens open it, and which is shown the credentials.
    pub token_host: Option<String>,
}

/// A registry that cannot be set up: the configuration is wrong.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not an address.
    #[error("registry {0}: `url` is no address of an index or a registry of OCI")]
    Url(RegistryName),
    /// Not header values.
    #[error("registry {0}: `username` or `password` has characters that cannot be sent")]
    Credentials(RegistryName),
    /// Not certificates.
    #[error("registry {0}: `ca_file` holds no usable PEM certificate")]
    Ca(RegistryName),
    /// The TLS library would not start.
    #[error("registry {0}: the HTTP client could not be set up")]
    Client(RegistryName, #[source] reqwest::Error),
}

/// What kind of registry, and where.
#[derive(Debug)]
enum Kind {
    /// Files: the folder of `index.yaml`, with a slash at its end.
    Index(Url),
    /// OCI: its root, and what stands before a chart's name.
    Oci(Url, String),
}

/// One registry.
#[derive(Debug)]
pub struct Registry {
    kind: Kind,
    http: Http,
    store: Store,
}

impl Registry {
    /// A registry whose charts are kept in `folder`, which may be shared with others.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(settings: &Settings, folder: PathBuf) -> Result<Self, SettingsError> {
        let wrong = || SettingsError::Url(settings.name.clone());
        let kind = match settings.url.strip_prefix("oci://") {
            None => Kind::Index(Url::parse(&format!("{}/", settings.url.trim_end_matches('/'))).map_err(|_| wrong())?),
            Some(rest) => {
                let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                let scheme = if settings.plain_http { "http" } else { "https" };
                let root = Url::parse(&format!("{scheme}://{host}/")).map_err(|_| wrong())?;
                Kind::Oci(root, path.trim_matches('/').to_owned())
            }
        };
        let origin = match &kind {
            Kind::Index(url) | Kind::Oci(url, _) => url.clone(),
        };
        Ok(Self { kind, http: Http::new(settings, origin)?, store: Store::new(folder) })
    }

    /// What a chart's version is now, fetched: nothing more is asked for when it is read by its digest.
    ///
    /// # Errors
    /// The registry's, or there is none.
    pub async fn resolve(&self, chart: &Chart) -> Result<Bound, RegistryError> {
        self.resolve_by(chart, &Indexes::default()).await
    }

    /// The same, by indexes that may have been read before.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub async fn resolve_by(&self, chart: &Chart, indexes: &Indexes) -> Result<Bound, RegistryError> {
        match &self.kind {
            Kind::Index(folder) => {
                let listed = self.listed(folder, chart, indexes).await?;
                let (version, archive) = self.archive(folder, &listed, chart).await?;
                Ok(Bound { version, digest: digest(&archive) })
            }
            Kind::Oci(root, path) => {
                let repository = repository(path, chart);
                let tag = match self.versions(chart)? {
                    Versions::Exactly(_) => chart.version.replace('+', "_"),
                    range @ Versions::Range(_) => {
                        let tags = self.tags(root, &repository).await?;
                        let newest = range.newest(tags.iter().map(String::as_str));
                        newest.ok_or_else(|| self.no_version(chart))?.to_owned()
                    }
                };
                let what = format!("version {tag} of chart `{}`", chart.name);
                let manifest = self.manifest(root, &repository, &tag, &what).await?;
                self.layer(root, &repository, &manifest).await?;
                Ok(Bound { version: tag.replace('_', "+"), digest: self.keep(&manifest).await? })
            }
        }
    }

    /// The archive of a chart, which has this digest or is not given out. From the store, when it was fetched before.
    ///
    /// # Errors
    /// The registry's; [`Fate::Never`] when what it has there is something else.
    pub async fn fetch(&self, chart: &Chart, bound: &Bound) -> Result<Vec<u8>, RegistryError> {
        self.fetch_by(chart, bound, &Indexes::default()).await
    }

    /// The same, by indexes that may have been read before.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub async fn fetch_by(&self, chart: &Chart, bound: &Bound, indexes: &Indexes) -> Result<Vec<u8>, RegistryError> {
        match &self.kind {
            Kind::Index(folder) => {
                if let Some(kept) = self.store.get(&bound.digest, LARGEST_ARCHIVE).await {
                    return Ok(kept);
                }
                let exact = Chart { version: bound.version.clone(), ..chart.clone() };
                let listed = self.listed(folder, &exact, indexes).await?;
                let (_, archive) = self.archive(folder, &listed, &exact).await?;
                self.is_it(&archive, &bound.digest, &exact)?;
                Ok(archive)
            }
            Kind::Oci(root, path) => {
                let repository = repository(path, chart);
                let manifest = match self.store.get(&bound.digest, LARGEST_MANIFEST).await {
                    Some(kept) => kept,
                    None => {
                        let what = format!("chart `{}` of digest {}", chart.name, bound.digest);
                        let manifest = self.manifest(root, &repository, &bound.digest, &what).await?;
                        self.is_it(&manifest, &bound.digest, chart)?;
                        self.keep(&manifest).await?;
                        manifest
                    }
                };
                self.layer(root, &repository, &manifest).await
            }
        }
    }

    /// Asks whether it is there and lets us in.
    ///
    /// # Errors
    /// What it does instead.
    pub async fn is_there(&self) -> Result<(), RegistryError> {
        let (url, what, token) = match &self.kind {
            Kind::Index(folder) => (self.join(folder, "index.yaml")?, "index.yaml", None),
            Kind::Oci(root, _) => (self.join(root, "v2/")?, "the root of its API", Some("")),
        };
        let answer = self.http.get(Wanted { what, url, accept: "*/*", most: LARGEST_INDEX, token }).await?;
        match (&self.kind, index::read(&answer.body)) {
            (Kind::Index(_), Err((fate @ (Fate::Refused | Fate::Later), why))) => Err(self.http.error(fate, why)),
            _ => Ok(()),
        }
    }

    async fn listed(&self, folder: &Url, chart: &Chart, indexes: &Indexes) -> Result<index::Listed, RegistryError> {
        let index = indexes.of(&chart.registry, self.index(folder)).await?;
        let all = index.versions(&chart.name).map_err(|fault| self.fault(fault))?;
        let newest = self.versions(chart)?.newest(all.iter().map(|one| one.version.as_str()));
        let found = all.iter().find(|one| Some(one.version.as_str()) == newest);
        found.cloned().ok_or_else(|| self.no_version(chart))
    }

    async fn index(&self, folder: &Url) -> Result<index::Index, RegistryError> {
        let url = self.join(folder, "index.yaml")?;
        let wanted = Wanted { what: "index.yaml", url, accept: "*/*", most: LARGEST_INDEX, token: None };
        let text = self.http.get(wanted).await?.body;
        // Seconds, when it is large.
        let read = tokio::task::spawn_blocking(move || index::read(&text)).await;
        let index = read.unwrap_or_else(|_| Err((Fate::Later, "its index was not read to its end".to_owned())));
        index.map_err(|fault| self.fault(fault))
    }

    /// The archive an index names, and its version. What the index says of it has to be so.
    async fn archive(
        &self,
        folder: &Url,
        listed: &index::Listed,
        chart: &Chart,
    ) -> Result<(String, Vec<u8>), RegistryError> {
        let what = format!("version {} of chart `{}`", listed.version, chart.name);
        if let Some(digest) = listed.digest()
            && let Some(kept) = self.store.get(&digest, LARGEST_ARCHIVE).await
        {
            return Ok((listed.version.clone(), kept));
        }
        let nowhere = || self.http.error(Fate::Refused, format!("its index does not say where {what} is"));
        let written = listed.urls.first().ok_or_else(nowhere)?;
        let url = self.http.may_go(folder.join(written).map_err(|_| nowhere())?)?;
        let wanted = Wanted { what: &what, url, accept: "*/*", most: LARGEST_ARCHIVE, token: None };
        let archive = self.http.get(wanted).await?.body;
        if let Some(digest) = listed.digest() {
            self.is_it(&archive, &digest, chart)?;
        }
        self.is_packed(&archive, &what)?;
        self.keep(&archive).await?;
        Ok((listed.version.clone(), archive))
    }

    async fn tags(&self, root: &Url, repository: &str) -> Result<Vec<String>, RegistryError> {
        let mut all = Vec::new();
        let mut last: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let mut url = self.join(root, &format!("v2/{repository}/tags/list"))?;
            url.query_pairs_mut().append_pair("n", "1000");
            if let Some(last) = &last {
                url.query_pairs_mut().append_pair("last", last);
            }
            let what = format!("chart at `{repository}`");
            let token = Some(repository);
            let wanted = Wanted { what: &what, url, accept: "application/json", most: LARGEST_PAGE, token };
            let answer = self.http.get(wanted).await?;
            all.extend(oci::tags(&answer.body).map_err(|fault| self.fault(fault))?);
            let next = answer.headers.get("link").and_then(|link| link.to_str().ok()).and_then(oci::next_page);
            match next {
                None => return Ok(all),
                next => last = next,
            }
        }
        let what = format!("it has more versions than we read ({}): name one, rather than a range", all.len());
        Err(self.http.error(Fate::Never, what))
    }

    async fn manifest(
        &self,
        root: &Url,
        repository: &str,
        reference: &str,
        what: &str,
    ) -> Result<Vec<u8>, RegistryError> {
        let url = self.join(root, &format!("v2/{repository}/manifests/{reference}"))?;
        let token = Some(repository);
        let wanted = Wanted { what, url, accept: oci::MANIFEST, most: LARGEST_MANIFEST, token };
        Ok(self.http.get(wanted).await?.body)
    }

    /// The archive a manifest names.
    async fn layer(&self, root: &Url, repository: &str, manifest: &[u8]) -> Result<Vec<u8>, RegistryError> {
        let (layer, size) = oci::archive(manifest).map_err(|fault| self.fault(fault))?;
        if size > LARGEST_ARCHIVE {
            let what = format!("the chart is larger than {} MiB", LARGEST_ARCHIVE >> 20);
            return Err(self.http.error(Fate::Never, what));
        }
        if let Some(kept) = self.store.get(&layer, LARGEST_ARCHIVE).await {
            return Ok(kept);
        }
        let url = self.join(root, &format!("v2/{repository}/blobs/{layer}"))?;
        let what = "the chart's archive";
        let token = Some(repository);
        let archive = self.http.get(Wanted { what, url, accept: "*/*", most: LARGEST_ARCHIVE, token }).await?.body;
        let came = digest(&archive);
        if came != layer {
            let what = format!("the chart's archive is {came}, and its manifest says {layer}");
            return Err(self.http.error(Fate::Never, what));
        }
        self.keep(&archive).await?;
        Ok(archive)
    }

    fn is_it(&self, bytes: &[u8], wanted: &str, chart: &Chart) -> Result<(), RegistryError> {
        let came = digest(bytes);
        if came == wanted {
            return Ok(());
        }
        let what = format!("chart `{}` {} is {came}, and has to be {wanted}", chart.name, chart.version);
        Err(self.http.error(Fate::Never, what))
    }

    fn is_packed(&self, bytes: &[u8], what: &str) -> Result<(), RegistryError> {
        if bytes.starts_with(&[0x1f, 0x8b]) {
            return Ok(());
        }
        Err(self.http.error(Fate::Refused, format!("what it gives as {what} is no archive")))
    }

    async fn keep(&self, bytes: &[u8]) -> Result<String, RegistryError> {
        let digest = digest(bytes);
        match self.store.put(&digest, bytes).await {
            Ok(()) => Ok(digest),
            Err(error) => Err(RegistryError {
                source: Some(Box::new(error)),
                ..self.http.error(Fate::Later, "what it gave could not be kept here".to_owned())
            }),
        }
    }

    fn join(&self, base: &Url, path: &str) -> Result<Url, RegistryError> {
        base.join(path).map_err(|_| self.http.error(Fate::Never, "there is no such address".to_owned()))
    }

    fn versions(&self, chart: &Chart) -> Result<Versions, RegistryError> {
        Versions::parse(&chart.version).map_err(|advice| self.http.error(Fate::Never, advice.to_owned()))
    }

    fn no_version(&self, chart: &Chart) -> RegistryError {
        self.http.error(Fate::Never, format!("it has no version {} of chart `{}`", chart.version, chart.name))
    }

    fn fault(&self, (fate, why): Fault) -> RegistryError {
        self.http.error(fate, why)
    }
}

fn repository(path: &str, chart: &Chart) -> String {
    if path.is_empty() { chart.name.clone() } else { format!("{path}/{}", chart.name) }
}

/// The configured registries, by name. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Registries(Arc<BTreeMap<RegistryName, Registry>>);

impl Registries {
    /// All of them.
    pub fn new(all: BTreeMap<RegistryName, Registry>) -> Self {
        Self(Arc::new(all))
    }

    /// The registry of a name.
    pub fn named(&self, name: &RegistryName) -> Option<&Registry> {
        self.0.get(name)
    }

    /// The registry of a chart.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn of(&self, chart: &Chart) -> Result<&Registry, RegistryError> {
        self.named(&chart.registry).ok_or_else(|| RegistryError {
            registry: chart.registry.clone(),
            fate: Fate::Refused,
            what: format!("there is no `[registry.{}]` in the server's file", chart.registry),
            source: None,
        })
    }
}
