//! `bascule.toml`, its includes and the environment, read into a [`Server`] that cannot be wrong.
//!
//! ```text
//! files → tree (places kept) ← BASCULE__…        tree → sections → Server → Platform (what policy judges by)
//!                                                tree × tree → difference (the audit entry of a load)
//! ```
//! The commented default is the reference and part of the program: [`REFERENCE`].

mod access;
mod address;
mod difference;
mod environ;
mod files;
mod floor_policies;
mod prometheus;
mod reading;
mod registries;
mod secret;
mod secrets;
mod sections;
mod tree;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use access::{FLOOR_KEYS, GRANT_KEYS, GROUP_KEYS, KINDS_KEYS};
pub use difference::{Difference, Keys, difference, is_read_at_start};
pub use environ::{Environ, PREFIX};
pub use prometheus::PROMETHEUS_KEYS;
pub use registries::REGISTRY_KEYS;
pub use secret::{Secret, SecretError};
pub use secrets::SECRETS_KEYS;
pub use sections::{AUDIT_KEYS, DATABASE_KEYS, FILE_KEYS, SERVER_KEYS, SWEEP_KEYS};
pub use world::{APP_KEYS, APPLICATION_KEYS, CLUSTER_KEYS, FORGE_KEYS};

use crate::ids::{ClusterName, ForgeName, PrometheusName, RegistryName};
use crate::policy::document::{Node, Value};
use crate::policy::located::{Complaints, Located, Place};
use crate::policy::rules::Platform;

/// The commented default: every key, what it does, and its default.
pub const REFERENCE: &str = include_str!("../../config/bascule.toml");

/// The JSON Schema of the file, for editors.
pub const SCHEMA: &str = include_str!("../../config/server.schema.json");

/// The name of the file, looked for in the working directory and then in `/etc/bascule`.
pub const FILE_NAME: &str = "bascule.toml";

/// Everything `bascule.toml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `[server]`.
    pub http: Http,
    /// `[database]`.
    pub database: Database,
    /// `[audit]`.
    pub audit: Audit,
    /// `[forge.NAME]`.
    pub forges: BTreeMap<ForgeName, Forge>,
    /// `[cluster.NAME]`.
    pub clusters: BTreeMap<ClusterName, Cluster>,
    /// `[registry.NAME]`.
    pub registries: BTreeMap<RegistryName, Registry>,
    /// `[prometheus.NAME]`.
    pub prometheus: BTreeMap<PrometheusName, Prometheus>,
    /// `[secrets.NAME]`: where keys of age are that open sealed Secrets.
    pub secrets: BTreeMap<String, Secret>,
    /// `[group.NAME]`, `[grant.NAME]`, `[floor.NAME]`: what policy judges by.
    pub platform: Platform,
    /// `[sweep]`.
    pub sweep: Sweep,
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Webhooks, API, pages. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// `/metrics`, `/healthz`, `/readyz`.
    pub admin_listen: SocketAddr,
    /// How people reach `listen`, without a slash at its end.
    pub public_url: String,
    /// The installation's key. A file is made at first start when it is missing.
    pub key: Secret,
    /// Which part of the work this process does.
    pub role: ServerRole,
    /// How log lines are written.
    pub log_format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Which part of the work a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerRole {
    /// Everything.
    All,
    /// The door, the API and the pages.
    Web,
    /// The jobs.
    Worker,
}

/// `[database]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Which PostgreSQL.
    pub url: DatabaseUrl,
    /// The owner's, for `bascule migrate`; never with [`DatabaseUrl::Embedded`].
    pub migrate_url: Option<Secret>,
    /// Where the embedded database and what can be made again (mirrors, rendered sets) live.
    pub data_dir: PathBuf,
}

/// Which PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// One that this process starts for itself: for trying out.
    Embedded,
    /// A server, under a role that can insert into and read the log, no more.
    At(Secret),
}

/// `[audit]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// The folder of the signed heads.
    pub checkpoints: PathBuf,
    /// What signs them. A file is made at first start when it is missing.
    pub key: Secret,
}

/// `[forge.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forge {
    /// What it is.
    pub kind: ForgeKind,
    /// Its address, without a slash at its end.
    pub url: String,
    /// What its webhooks are signed with; at least one, more during rotation.
    pub webhook_secrets: Vec<Secret>,
    /// As whom we come.
    pub sign_in: SignIn,
    /// Certificates trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// What people sign in with.
    pub application: Option<Application>,
}

/// `sign_in`: the OAuth application of ours on a forge, through which people say who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// As the forge calls it.
    pub client_id: String,
    /// What it shows to the forge.
    pub client_secret: Secret,
}

/// As whom we come to a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignIn {
    /// `token`: an account of ours.
    Token(Secret),
    /// `app`: an App of GitHub.
    App {
        /// Its number.
        id: u32,
        /// Its private key.
        private_key: Secret,
    },
}

impl SignIn {
    /// The secret, and its key within the forge's.
    pub fn secret(&self) -> (&'static str, &Secret) {
        match self {
            Self::Token(token) => ("token", token),
            Self::App { private_key, .. } => ("app.private_key", private_key),
        }
    }
}

/// What a forge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgeKind {
    /// Gitea.
    Gitea,
    /// Forgejo.
    Forgejo,
    /// github.com, or GitHub Enterprise.
    GitHub,
    /// gitlab.com, or a GitLab of one's own.
    GitLab,
}

/// `[cluster.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// How it is reached; without it, only environments with `sync.mode: none` can name it.
    pub reach: Option<Reach>,
}

/// `[registry.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// `https://…` of an index, or `oci://…`, without a slash at its end.
    pub url: String,
    /// `http` to a registry of OCI.
    pub plain_http: bool,
    /// As whom we come.
    pub credentials: Option<(String, Secret)>,
    /// Certificates trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Other hosts it may send us to.
    pub hosts: BTreeSet<String>,
    /// Another host that gives its tokens.
    pub token_host: Option<String>,
}

/// `[prometheus.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prometheus {
    /// Its address, without a slash at its end: the folder of `/api/v1/query`.
    pub url: String,
    /// What it is shown, as a bearer token.
    pub token: Option<Secret>,
    /// Certificates trusted beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// How a cluster is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// By what this file says.
    Kubeconfig(PathBuf),
    /// It is the one our own pod runs in.
    InCluster,
    /// An agent in it dials us.
    Agent,
}

/// `[sweep]`: how often our memory is compared with the world, before jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// Open pull requests.
    pub pulls: Duration,
    /// The tips of followed branches.
    pub branches: Duration,
    /// What the floors' policies say of what is deployed.
    pub policies: Duration,
}

/// A configuration that was read, and from where.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What it says.
    pub server: Server,
    /// The files it is made of, in order: those to watch.
    pub files: Vec<PathBuf>,
    tree: Node,
}

impl Loaded {
    /// Every key by its path, secrets as the references they are.
    pub fn keys(&self) -> Keys {
        let mut keys = difference::keys(&self.tree);
        keys.extend(floor_policies::keys(&self.server.platform));
        keys
    }

    /// Every secret by its key, and the files that are read like one.
    pub fn secrets(&self) -> Vec<(String, Secret)> {
        let Server { http, database, audit, forges, clusters, registries, prometheus, secrets, .. } = &self.server;
        let mut all = vec![("server.key".to_owned(), http.key.clone()), ("audit.key".to_owned(), audit.key.clone())];
        if let DatabaseUrl::At(url) = &database.url {
            all.push(("database.url".to_owned(), url.clone()));
        }
        for (name, forge) in forges {
            let (key, secret) = forge.sign_in.secret();
            all.push((format!("forge.{name}.{key}"), secret.clone()));
            let several = forge.webhook_secrets.iter();
            all.extend(several.map(|secret| (format!("forge.{name}.webhook_secrets"), secret.clone())));
            let ca_file = forge.ca_file.clone().map(Secret::File);
            all.extend(ca_file.map(|file| (format!("forge.{name}.ca_file"), file)));
            let application = forge.application.as_ref().map(|one| one.client_secret.clone());
            all.extend(application.map(|secret| (format!("forge.{name}.sign_in.client_secret"), secret)));
        }
        for (name, registry) in registries {
            let password = registry.credentials.as_ref().map(|(_, password)| password.clone());
            all.extend(password.map(|secret| (format!("registry.{name}.password"), secret)));
            let ca_file = registry.ca_file.clone().map(Secret::File);
            all.extend(ca_file.map(|file| (format!("registry.{name}.ca_file"), file)));
        }
        for (name, one) in prometheus {
            all.extend(one.token.clone().map(|secret| (format!("prometheus.{name}.token"), secret)));
            let ca_file = one.ca_file.clone().map(Secret::File);
            all.extend(ca_file.map(|file| (format!("prometheus.{name}.ca_file"), file)));
        }
        all.extend(secrets.iter().map(|(name, keys)| (format!("secrets.{name}.age_keys"), keys.clone())));
        for (name, cluster) in clusters {
            if let Some(Reach::Kubeconfig(file)) = &cluster.reach {
                all.push((format!("cluster.{name}.kubeconfig"), Secret::File(file.clone())));
            }
        }
        all
    }

    /// Secrets that cannot be read now, and keys whose files cannot be: nothing may start without them. A key's file
    /// that does not exist is no complaint: it is made at first start.
    pub fn secrets_missing(&self) -> Vec<String> {
        let made_at_start = |key: &str, secret: &Secret| {
            ["server.key", "audit.key"].contains(&key) && secret.file().is_some_and(|file| !file.exists())
        };
        let all = self.secrets().into_iter().filter(|(key, secret)| !made_at_start(key, secret));
        all.filter_map(|(key, secret)| Some(format!("{key}: {}", secret.read().err()?))).collect()
    }
}

impl Loaded {
    /// What was understood, in a few lines, and which secrets are not to be had on this machine.
    pub fn summary(&self) -> String {
        let Server { forges, clusters, platform, .. } = &self.server;
        let count = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
        let name = self.files.first().map_or_else(|| FILE_NAME.to_owned(), |file| file.display().to_string());
        let mut text = format!(
            "{name}: good, {}, {}, {}, {}, {}\n",
            count(forges.len(), "forge"),
            count(clusters.len(), "cluster"),
            count(platform.grants.len(), "grant"),
            count(platform.floors.len(), "floor"),
            count(platform.groups.len(), "group"),
        );
        for missing in self.secrets_missing() {
            text += &format!("  not on this machine: {missing}\n");
        }
        text
    }
}

/// The file to load: the one asked for, else `bascule.toml` here, else the one in `/etc/bascule`, else none.
pub fn find(asked_for: Option<&Path>) -> Option<PathBuf> {
    let places = [PathBuf::from(FILE_NAME), Path::new("/etc/bascule").join(FILE_NAME)];
    asked_for.map(Path::to_owned).or_else(|| places.into_iter().find(|path| path.exists()))
}

/// Loads a file with its includes, and the environment over it; without a file, defaults and the environment.
///
/// # Errors
/// Every complaint at its place. Nothing of a configuration with a complaint is used.
pub fn load(path: Option<&Path>, environ: &Environ) -> Result<Loaded, Vec<Located>> {
    let mut complaints = Complaints::default();
    let mut files = Vec::new();
    let mut root = match path {
        Some(path) => files::read_with_includes(path, &mut files, &mut complaints),
        None => Some(empty()),
    };
    if let Some(root) = &mut root {
        tree::lay_environment_over(root, environ, &mut complaints);
    }
    finish(root, files, environ, complaints)
}

/// Reads one text as the whole configuration, for checks and tests; `include` is read from the text's own folder.
///
/// # Errors
/// As [`load`].
pub fn parse(file: &str, text: &str, environ: &Environ) -> Result<Loaded, Vec<Located>> {
    let mut complaints = Complaints::default();
    let mut root = tree::read_toml(file, text, &mut complaints);
    if let Some(root) = &mut root {
        tree::lay_environment_over(root, environ, &mut complaints);
    }
    finish(root, Vec::new(), environ, complaints)
}

fn finish(
    root: Option<Node>,
    files: Vec<PathBuf>,
    environ: &Environ,
    mut complaints: Complaints,
) -> Result<Loaded, Vec<Located>> {
    let Some(tree) = root else { return Err(complaints.into_sorted()) };
    match sections::server(&tree, environ, &mut complaints) {
        Some(server) => complaints.unless_any(Loaded { server, files, tree }),
        None => Err(complaints.into_sorted()),
    }
}

/// No file at all: the defaults of this version.
fn empty() -> Node {
    let at = Place::whole(FILE_NAME);
    let version = Node { at: at.clone(), value: Value::Number(1) };
    let key = crate::policy::document::Key { at: at.clone(), name: "version".to_owned() };
    Node { at, value: Value::Map(vec![(key, version)]) }
}
