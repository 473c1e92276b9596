//! The parts of a server, put together and not yet running: what jobs are given, and what the public listener serves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use sqlx::PgPool;

use super::budget::SharedBudget;
use super::people::People;
use crate::clock::Clock;
use crate::cluster::tunnel::Tunnels;
use crate::cluster::{Clusters, Kubeconfig};
use crate::config::{Environ, ForgeKind, Reach, Secret, Server, SignIn};
use crate::db::installation;
use crate::db::seal::{Seal, derive};
use crate::forge::{self, Forge};
use crate::git;
use crate::ids::{PrometheusName, RegistryName};
use crate::jobs::{self, ForgeAccess};
use crate::manifest::HashKey;
use crate::prometheus::{self, Prometheus, Servers};
use crate::queue::Bell;
use crate::registry::{self, Registries, Registry};
use crate::render::{AgeKeys, Limits, Programs, Renderer, Unsealer};
use crate::web;
use crate::webhook::signature::Kind;
use crate::webhook::{self, Endpoint, Endpoints, store};

/// What windows look into.
pub(super) fn windows(
    server: &Server,
    endpoints: Endpoints,
    (pool, clock, bell): (&PgPool, &Clock, &Bell),
    public_key: Vec<u8>,
    people: Arc<People>,
) -> web::State {
    web::State {
        pool: pool.clone(),
        clock: clock.clone(),
        bell: bell.clone(),
        checkpoints: server.audit.checkpoints.clone(),
        public_key,
        endpoints,
        public_url: server.http.public_url.clone(),
        people,
    }
}

/// The door and the windows, for the public listener; and the task that commits what the door takes.
pub fn public_router(
    server: &Server,
    endpoints: Endpoints,
    pool: &PgPool,
    clock: &Clock,
    bell: &Bell,
    public_key: Vec<u8>,
    people: Arc<People>,
) -> (Router, store::Committer) {
    let (door, committer) = store::new(pool.clone(), bell.clone());
    let door = webhook::router(endpoints.clone(), door, clock.clone(), webhook::body::Limits::default());
    let windows = web::router(windows(server, endpoints, (pool, clock, bell), public_key, people));
    (windows.merge(door), committer)
}

/// The configured forges, living within a budget that all servers share.
///
/// # Errors
/// One that cannot be set up, with what to do.
pub fn forges(
    server: &Server,
    clock: &Clock,
    budget: &SharedBudget,
) -> anyhow::Result<BTreeMap<crate::ids::ForgeName, Arc<ForgeAccess>>> {
    let access = |(name, forge): (&crate::ids::ForgeName, _)| {
        let access = access(name, forge, clock)?.within(Arc::new(budget.clone()));
        Ok((name.clone(), Arc::new(access)))
    };
    server.forges.iter().map(access).collect()
}

/// What every job is given. The database has to be of this version; `key` is the server's, and has to be the one its stored
/// sets were sealed with.
///
/// # Errors
/// What cannot be had, with what to do.
pub async fn context(
    server: &Server,
    environ: &Environ,
    clock: &Clock,
    key: &[u8; 32],
    pool: &PgPool,
    bell: &Bell,
) -> anyhow::Result<jobs::Context> {
    let installation = {
        let mut conn = pool.acquire().await?;
        installation::open(&mut conn, &derive(key, "bascule installation check 1")).await?
    };
    let data = &server.database.data_dir;
    let (mirrors, scratch) = (data.join("mirrors"), data.join("boxes"));
    for folder in [&mirrors, &scratch] {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let search = environ.get("PATH").map(std::ffi::OsString::from);
    let programs = Programs { search: search.clone(), ..Programs::default() };
    let renderer = Renderer::new(&programs, &std::fs::canonicalize(&scratch)?, Limits::default()).await;
    for (name, found) in [("helm", renderer.helm()), ("kustomize", renderer.kustomize())] {
        match found {
            Ok(_) => {}
            Err(why) => tracing::warn!(program = name, why, "environments that need it will not render"),
        }
    }
    let unsealer = Unsealer::find(search.as_deref(), age_keys(server)).await;
    if let (Err(why), false) = (unsealer.version(), server.secrets.is_empty()) {
        tracing::warn!(program = "sops", why, "sealed Secrets will not be sent");
    }
    let forges = forges(server, clock, &SharedBudget::new(pool.clone(), clock.clone()))?;
    Ok(jobs::Context {
        pool: pool.clone(),
        bell: bell.clone(),
        clock: clock.clone(),
        forges,
        clusters: Arc::new(clusters(server, environ, &Clusters::default())?),
        registries: registries(server, &data.join("charts"))?,
        prometheus: prometheus(server)?,
        git: git::Program::find(&program("git", search.as_deref())?).await?,
        mirrors: std::fs::canonicalize(&mirrors)?,
        renderer: Arc::new(renderer),
        unsealer: Arc::new(unsealer),
        hash_key: HashKey::new(derive(key, "bascule object hashes 1")),
        seal: Arc::new(Seal::new(key)),
        public_url: server.http.public_url.clone(),
        installation,
        platform: Arc::new(server.platform.clone()),
        observer: jobs::Observer::default(),
        memory: Arc::default(),
    })
}

/// What jobs are given from a reload on. A forge and the clusters are kept, with what they know, where nothing about them
/// changed; `rotated` are the keys of secrets whose content did.
///
/// # Errors
/// A forge that cannot be set up: nothing of the reload is to be used.
pub(super) fn reloaded(
    context: &jobs::Context,
    old: &Server,
    new: &Server,
    environ: &Environ,
    rotated: &BTreeSet<String>,
) -> anyhow::Result<jobs::Context> {
    let budget = SharedBudget::new(context.pool.clone(), context.clock.clone());
    let mut forges = BTreeMap::new();
    for (name, forge) in &new.forges {
        let is_same = old.forges.get(name) == Some(forge)
            && ["token", "app.private_key", "ca_file"]
                .iter()
                .all(|key| !rotated.contains(&format!("forge.{name}.{key}")));
        let kept = context.forges.get(name).filter(|_| is_same).cloned();
        let access = match kept {
            Some(access) => access,
            None => Arc::new(access(name, forge, &context.clock)?.within(Arc::new(budget.clone()))),
        };
        forges.insert(name.clone(), access);
    }
    let is_same = old.clusters == new.clusters;
    let clusters =
        if is_same { context.clusters.clone() } else { Arc::new(clusters(new, environ, &context.clusters)?) };
    let registries = registries(new, &new.database.data_dir.join("charts"))?;
    let unsealer = Arc::new(context.unsealer.with_keys(age_keys(new)));
    let prometheus = prometheus(new)?;
    let platform = Arc::new(new.platform.clone());
    Ok(jobs::Context { forges, clusters, registries, prometheus, unsealer, platform, ..context.clone() })
}

/// Keys that open sealed Secrets, read at each use.
fn age_keys(server: &Server) -> BTreeMap<String, AgeKeys> {
    let one = |(name, keys): (&String, &Secret)| {
        let keys = keys.clone();
        let read: AgeKeys = Box::new(move || keys.read().map_err(|error| error.to_string()));
        (name.clone(), read)
    };
    server.secrets.iter().map(one).collect()
}

/// The registries, which keep what they gave in a folder.
///
/// # Errors
/// One that cannot be set up, with what to do.
pub fn registries(server: &Server, kept: &std::path::Path) -> anyhow::Result<Registries> {
    let one = |(name, registry): (&RegistryName, &crate::config::Registry)| {
        let settings = registry_settings(name, registry)?;
        Ok((name.clone(), Registry::new(&settings, kept.to_owned())?))
    };
    let all: anyhow::Result<BTreeMap<RegistryName, Registry>> = server.registries.iter().map(one).collect();
    Ok(Registries::new(all?))
}

/// How a configured registry is reached, secrets as they are now.
fn registry_settings(name: &RegistryName, registry: &crate::config::Registry) -> anyhow::Result<registry::Settings> {
    let credentials = match &registry.credentials {
        Some((user, password)) => {
            Some((user.clone(), password.read().with_context(|| format!("registry.{name}.password"))?))
        }
        None => None,
    };
    let ca_pem = match &registry.ca_file {
        Some(file) => Some(std::fs::read(file).with_context(|| format!("registry.{name}.ca_file {}", file.display()))?),
        None => None,
    };
    Ok(registry::Settings {
        name: name.clone(),
        url: registry.url.clone(),
        plain_http: registry.plain_http,
        credentials,
        ca_pem,
        hosts: registry.hosts.clone(),
        token_host: registry.token_host.clone(),
    })
}

/// Those who are asked whether what was deployed does well, secrets as they are now.
///
/// # Errors
/// One that cannot be set up, with what to do.
pub(super) fn prometheus(server: &Server) -> anyhow::Result<Servers> {
    let one = |(name, one): (&PrometheusName, &crate::config::Prometheus)| {
        let token = match &one.token {
            Some(token) => Some(token.read().with_context(|| format!("prometheus.{name}.token"))?),
            None => None,
        };
        let ca_pem = match &one.ca_file {
            Some(file) => {
                Some(std::fs::read(file).with_context(|| format!("prometheus.{name}.ca_file {}", file.display()))?)
            }
            None => None,
        };
        let answer_within = prometheus::ANSWER_WITHIN;
        let settings = prometheus::Settings { name: name.clone(), url: one.url.clone(), token, ca_pem, answer_within };
        Ok((name.clone(), Prometheus::new(&settings)?))
    };
    let all: anyhow::Result<BTreeMap<PrometheusName, Prometheus>> = server.prometheus.iter().map(one).collect();
    Ok(Servers::new(all?))
}

/// The clusters that can be reached; those that were before keep the tunnels of their agents.
///
/// # Errors
/// When one is said to be ours and we run in none.
pub(super) fn clusters(server: &Server, environ: &Environ, before: &Clusters) -> anyhow::Result<Clusters> {
    let mut reached = BTreeMap::new();
    for (name, cluster) in &server.clusters {
        let way = match &cluster.reach {
            None => continue,
            Some(Reach::Kubeconfig(file)) => Kubeconfig::File(file.clone()),
            Some(Reach::InCluster) => in_cluster(environ).with_context(|| format!("cluster.{name}.in_cluster"))?,
            Some(Reach::Agent) => {
                let kept = before.dialled(name).cloned();
                Kubeconfig::Agent(kept.unwrap_or_else(|| Arc::new(Tunnels::new(name.clone()))))
            }
        };
        reached.insert(name.clone(), way);
    }
    Ok(Clusters::new(reached))
}

/// Where the kubelet says that a pod's cluster is, and keeps its account's token and certificates
/// (<https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>).
pub(super) fn in_cluster(environ: &Environ) -> anyhow::Result<Kubeconfig> {
    let told = |name: &str| {
        let advice = "it is set in every pod: outside of one, name a `kubeconfig` instead";
        environ.get(name).with_context(|| format!("{name} is not set; {advice}"))
    };
    let (host, port) = (told("KUBERNETES_SERVICE_HOST")?.to_owned(), told("KUBERNETES_SERVICE_PORT")?);
    let port = port.parse().with_context(|| format!("KUBERNETES_SERVICE_PORT is `{port}`, and no port"))?;
    let account = "/var/run/secrets/kubernetes.io/serviceaccount".into();
    Ok(Kubeconfig::Pod { host, port, account })
}

/// A program in the folders of `PATH`.
fn program(name: &str, search: Option<&std::ffi::OsStr>) -> anyhow::Result<std::path::PathBuf> {
    let found =
        search.into_iter().flat_map(std::env::split_paths).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("`{name}` is not on PATH: install it (Debian: apt-get install {name})"))
}

pub(super) fn access(
    name: &crate::ids::ForgeName,
    forge: &crate::config::Forge,
    clock: &Clock,
) -> anyhow::Result<ForgeAccess> {
    let client = Forge::new(kind(forge.kind), settings(name, forge)?, clock.clone())?;
    let ourselves = std::sync::OnceLock::new();
    Ok(ForgeAccess { forge: client, url: forge.url.clone(), ca_file: forge.ca_file.clone(), ourselves })
}

/// Which software a configured forge runs.
pub(super) fn kind(kind: ForgeKind) -> forge::Kind {
    match kind {
        ForgeKind::Gitea => forge::Kind::Gitea,
        ForgeKind::Forgejo => forge::Kind::Forgejo,
        ForgeKind::GitHub => forge::Kind::GitHub,
        ForgeKind::GitLab => forge::Kind::GitLab,
    }
}

/// How a configured forge is reached, secrets as they are now.
pub(super) fn settings(name: &crate::ids::ForgeName, forge: &crate::config::Forge) -> anyhow::Result<forge::Settings> {
    let (key, secret) = forge.sign_in.secret();
    let secret = secret.read().with_context(|| format!("forge.{name}.{key}"))?;
    let sign_in = match &forge.sign_in {
        SignIn::Token(_) => forge::SignIn::Token(secret),
        SignIn::App { id, .. } => forge::SignIn::App { id: u64::from(*id), private_key: secret },
    };
    let ca_pem = match &forge.ca_file {
        Some(file) => Some(std::fs::read(file).with_context(|| format!("forge.{name}.ca_file {}", file.display()))?),
        None => None,
    };
    Ok(forge::Settings {
        name: name.clone(),
        url: forge.url.clone(),
        sign_in,
        ca_pem,
        answer_within: forge::ANSWER_WITHIN,
    })
}

/// Where deliveries are taken, and under which secrets.
pub fn endpoints(server: &Server) -> BTreeMap<crate::ids::ForgeName, Endpoint> {
    let endpoint = |forge: &crate::config::Forge| {
        let kind = match forge.kind {
            ForgeKind::Gitea => Kind::Gitea,
            ForgeKind::Forgejo => Kind::Forgejo,
            ForgeKind::GitHub => Kind::GitHub,
            ForgeKind::GitLab => Kind::GitLab,
        };
        let secrets: Vec<Secret> = forge.webhook_secrets.clone();
        let read = move || secrets.iter().map(|secret| secret.read().ok()).collect::<Option<Vec<_>>>();
        Endpoint { kind, secrets: Arc::new(read) }
    };
    server.forges.iter().map(|(name, forge)| (name.clone(), endpoint(forge))).collect()
}
