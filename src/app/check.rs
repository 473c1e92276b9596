//! `bascule check --live`: whether what `bascule.toml` names is there and lets us in. It asks and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use crate::clock::Clock;
use crate::cluster::{ClusterError, Clusters, Identity};
use crate::config::{DatabaseUrl, Environ, Loaded, Reach, Server};
use crate::db::embedded::EmbeddedError;
use crate::forge::{self, Forge, ForgeError, Repository, RepositoryAt};
use crate::ids::{ClusterName, ForgeName, PrometheusName, RegistryName};
use crate::local::report::{Report, Verdict};
use crate::local::schemas;
use crate::prometheus;
use crate::registry::{self, Registry};
use crate::render::{Limits, Programs, Renderer, Unsealer};

use super::assemble;

/// What an apply needs in a namespace, asked one by one where not everything is allowed: verb, group, kind.
const USUAL: [(&str, &str, &str); 9] = [
    ("patch", "apps", "deployments"),
    ("patch", "", "services"),
    ("patch", "", "configmaps"),
    ("delete", "apps", "deployments"),
    ("delete", "", "services"),
    ("delete", "", "configmaps"),
    ("get", "coordination.k8s.io", "leases"),
    ("create", "coordination.k8s.io", "leases"),
    ("update", "coordination.k8s.io", "leases"),
];

/// Asks everything a server's file names.
pub async fn live(loaded: &Loaded, environ: &Environ) -> Report {
    let server = &loaded.server;
    let mut report = database(server).await;
    for (name, forge) in &server.forges {
        report = report.and(one_forge(server, name, forge).await);
    }
    match assemble::clusters(server, environ, &Clusters::default()) {
        Ok(clusters) => {
            for (name, cluster) in &server.clusters {
                report = report.and(match cluster.reach {
                    None => good(format!(
                        "cluster {name}: no way to reach it; only environments with `sync: {{ mode: none }}` use it"
                    )),
                    Some(Reach::Agent) => good(format!(
                        "cluster {name}: its agent dials the server that runs; `bascule clusters list` says whether it does"
                    )),
                    Some(Reach::Kubeconfig(_) | Reach::InCluster) => one_cluster(server, &clusters, name, environ).await,
                });
            }
        }
        Err(error) => report = report.and(bad(format!("{error:#}"))),
    }
    for name in server.registries.keys() {
        report = report.and(one_registry(server, name).await);
    }
    for name in server.prometheus.keys() {
        report = report.and(one_prometheus(server, name).await);
    }
    report.and(renderers(environ).await)
}

/// The renderers of this machine, and which walls stand around them: all there is to ask without a server's file.
pub async fn renderers(environ: &Environ) -> Report {
    let programs = Programs { search: environ.get("PATH").map(Into::into), ..Programs::default() };
    let scratch = match tempfile::tempdir() {
        Ok(scratch) => scratch,
        Err(error) => return could_not(format!("renderers: no folder to try them in: {error}")),
    };
    let renderer = Renderer::new(&programs, scratch.path(), Limits::default()).await;
    let said = [("helm", renderer.helm()), ("kustomize", renderer.kustomize())].map(|(name, found)| match found {
        Ok(tool) => good(format!("renderer {}: walls: {}", tool.title(), tool.walls())),
        Err(why) => good(format!("renderer {name}: not here, and environments that need it will not render: {why}")),
    });
    let unsealer = Unsealer::find(programs.search.as_deref(), BTreeMap::new()).await;
    let sops = match unsealer.version() {
        Ok(version) => good(format!("sops {version}: opens sealed Secrets")),
        Err(why) => good(format!("sops: not here, and sealed Secrets will not be sent: {why}")),
    };
    said.into_iter().fold(Report::new(Verdict::Good, ""), Report::and).and(sops)
}

async fn database(server: &Server) -> Report {
    match super::attach(server).await {
        Ok(pool) => {
            pool.close().await;
            good("database: there, of this version, and its role cannot rewrite the log".to_owned())
        }
        Err(error) if matches!(error.downcast_ref(), Some(EmbeddedError::NotRunning(_))) => {
            good("database: embedded, and starts with the server".to_owned())
        }
        Err(error) => {
            let is_away = matches!(server.database.url, DatabaseUrl::At(_))
                && matches!(error.downcast_ref(), Some(crate::db::ConnectError::Unreachable(_)));
            let text = format!("database: {error:#}");
            if is_away { could_not(text) } else { bad(text) }
        }
    }
}

async fn one_forge(server: &Server, name: &ForgeName, forge: &crate::config::Forge) -> Report {
    let access = match assemble::access(name, forge, &Clock::system()) {
        Ok(access) => access,
        Err(error) => return bad(format!("forge {name}: {error:#}")),
    };
    let client = &access.forge;
    let ourselves = match client.ourselves().await {
        Ok(account) => account,
        Err(error) => return forge_failed(&format!("forge {name}"), &error),
    };
    let mut report = good(format!("forge {name}: we are {} ({}) at {}", ourselves.login, ourselves.id, forge.url));
    let ours = format!("{}/webhooks/{name}", server.http.public_url);
    let prefix = format!("{name}/");
    let granted: BTreeSet<&str> = server
        .platform
        .grants
        .values()
        .flat_map(|grant| &grant.repositories)
        .filter(|pattern| !pattern.contains(['*', '?']))
        .filter_map(|pattern| pattern.strip_prefix(&prefix))
        .collect();
    for repository in granted {
        report = report.and(one_repository(client, repository, &ours).await);
    }
    report
}

async fn one_repository(forge: &Forge, name: &str, ours: &str) -> Report {
    let what = format!("  {name}");
    let found = match find(forge, name).await {
        Ok(found) => found,
        Err(report) => return report,
    };
    match webhooks(forge, &found.at).await {
        Ok(hooks) if hooks.iter().any(|hook| hook.url == ours && hook.is_active) => {
            good(format!("{what}: its webhook is there"))
        }
        Ok(hooks) if hooks.iter().any(|hook| hook.url == ours) => {
            bad(format!("{what}: its webhook to {ours} is switched off: `bascule connect` switches it on"))
        }
        Ok(_) => bad(format!(
            "{what}: no webhook to {ours}: `bascule connect` makes it; sweeps find what it would have told, later"
        )),
        Err(error) if error.fate == forge::Fate::Refused || error.is_gone() => could_not(format!(
            "{what}: our account may not see its webhooks: make it an administrator there, or look whether one leads to {ours}"
        )),
        Err(error) => forge_failed(&what, &error),
    }
}

/// The repository that has this name now; or what is to say when there is none for us.
pub(super) async fn find(forge: &Forge, name: &str) -> Result<Repository, Report> {
    let Ok(parsed) = forge.repository_name(name) else {
        return Err(bad(format!("  {name}: no repository can have this name")));
    };
    forge.repository_by_name(&parsed).await.map_err(|error| match error.is_gone() {
        true => bad(format!("  {name}: not there, or our account does not see it: correct the grant, or let it in")),
        false => forge_failed(&format!("  {name}"), &error),
    })
}

/// Those of the repository, and those of its organisation, as far as they are shown to us.
async fn webhooks(forge: &Forge, at: &RepositoryAt) -> forge::Result<Vec<forge::Webhook>> {
    let of_organisation = forge.organisation_webhooks(at.name.owner()).await;
    match forge.webhooks(at).await {
        Ok(mut hooks) => {
            hooks.extend(of_organisation.unwrap_or_default());
            Ok(hooks)
        }
        Err(error) => of_organisation.or(Err(error)),
    }
}

async fn one_registry(server: &Server, name: &RegistryName) -> Report {
    let registries = match assemble::registries(server, &server.database.data_dir.join("charts")) {
        Ok(registries) => registries,
        Err(error) => return bad(format!("registry {name}: {error:#}")),
    };
    match registries.named(name).map(Registry::is_there) {
        Some(asked) => match asked.await {
            Ok(()) => good(format!("registry {name}: there, and lets us in")),
            Err(error) if error.fate == registry::Fate::Later => could_not(error),
            Err(error) => bad(error),
        },
        None => bad(format!("registry {name}: cannot be set up")),
    }
}

async fn one_prometheus(server: &Server, name: &PrometheusName) -> Report {
    let servers = match assemble::prometheus(server) {
        Ok(servers) => servers,
        Err(error) => return bad(format!("prometheus {name}: {error:#}")),
    };
    let asked = match servers.named(name) {
        Ok(server) => server.is_there().await,
        Err(error) => Err(error),
    };
    match asked {
        Ok(()) => good(format!("prometheus {name}: there, and answers queries")),
        Err(error) if error.fate == prometheus::Fate::Later => could_not(error),
        Err(error) => bad(error),
    }
}

async fn one_cluster(server: &Server, clusters: &Clusters, name: &ClusterName, environ: &Environ) -> Report {
    let asked = match clusters.get(name, &Identity::Own).await {
        Ok(cluster) => cluster.version().await,
        Err(error) => Err(error),
    };
    let version = match asked {
        Ok(version) => version,
        Err(error) => return cluster_failed(name, &error),
    };
    let mut report = good(format!("cluster {name}: Kubernetes {version}"));
    let grants = server.platform.grants.values().filter(|grant| grant.clusters.contains(name));
    let wanted: BTreeSet<(&String, Option<String>)> = grants
        .flat_map(|grant| grant.namespaces.iter().map(|namespace| (namespace, grant.impersonate.as_ref())))
        .map(|(namespace, user)| (namespace, user.map(|user| user.replace("{namespace}", namespace))))
        .collect();
    for (namespace, user) in wanted {
        let who = user.as_deref().unwrap_or("we").to_owned();
        report = report.and(if namespace.contains(['*', '?']) {
            good(format!("  {namespace}: a pattern, about which a cluster cannot be asked"))
        } else {
            match refused(clusters, name, namespace, user.map_or(Identity::Own, Identity::Impersonated)).await {
                Ok(refused) if refused.is_empty() => good(format!("  {namespace}: {who} may apply and prune")),
                Ok(refused) => bad(format!("  {namespace}: {who} may not {}", refused.join(", "))),
                Err(error) => cluster_failed(name, &error),
            }
        });
    }
    report.and(kept(clusters, name, environ).await)
}

/// Keeps how a cluster's objects are shaped, for `bascule diff` of this person, which asks no cluster.
async fn kept(clusters: &Clusters, name: &ClusterName, environ: &Environ) -> Report {
    let Some(folder) = schemas::folder(|word| environ.get(word)) else { return Report::new(Verdict::Good, "") };
    let day = Clock::system().now().strftime("%Y-%m-%d").to_string();
    let asked = match clusters.get(name, &Identity::Own).await {
        Ok(cluster) => cluster.schemas(day).await,
        Err(error) => Err(error),
    };
    match asked.map(|asked| schemas::keep(&folder, name, &asked)) {
        Ok(Ok(())) => good("  its schemas are kept for `bascule diff`".to_owned()),
        // Nothing that the server needs.
        Ok(Err(error)) => good(format!("  its schemas could not be kept for `bascule diff`: {error}")),
        Err(error) => good(format!("  its schemas are not known to `bascule diff`: {error}")),
    }
}

/// What of an apply's needs is not allowed.
async fn refused(
    clusters: &Clusters,
    name: &ClusterName,
    namespace: &str,
    identity: Identity,
) -> Result<Vec<String>, ClusterError> {
    let cluster = clusters.get(name, &identity).await?;
    if cluster.may("patch", "*", "*", namespace).await? && cluster.may("delete", "*", "*", namespace).await? {
        return Ok(Vec::new());
    }
    let mut refused = Vec::new();
    for (verb, group, plural) in USUAL {
        if !cluster.may(verb, group, plural, namespace).await? {
            refused.push(format!("{verb} {plural}"));
        }
    }
    Ok(refused)
}

/// A refusal is bad; no answer is none.
pub(super) fn forge_failed(what: &str, error: &ForgeError) -> Report {
    let text = format!("{what}: {}", error.what);
    if error.is_passing() { could_not(text) } else { bad(text) }
}

fn cluster_failed(name: &ClusterName, error: &ClusterError) -> Report {
    let text = format!("cluster {name}: {error}");
    match error {
        ClusterError::Unreachable(_) | ClusterError::Timeout(_) => could_not(text),
        _ => bad(text),
    }
}

pub(super) fn good(text: impl Display) -> Report {
    Report::new(Verdict::Good, format!("{text}\n"))
}

pub(super) fn bad(text: impl Display) -> Report {
    Report::new(Verdict::Bad, format!("BAD  {text}\n"))
}

pub(super) fn could_not(text: impl Display) -> Report {
    Report::new(Verdict::CouldNot, format!("?    {text}\n"))
}
