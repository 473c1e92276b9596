//! `[forge.NAME]` and `[cluster.NAME]`: what the server talks to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::reading::{Reading, path, secret, tables, url};
use super::{Application, Cluster, Forge, ForgeKind, Reach, Secret, SignIn};
use crate::ids::{ClusterName, ForgeName};
use crate::policy::block::{Block, Keys, list, one_of};
use crate::policy::document::Node;
use crate::policy::located::Complaints;

/// The keys of `[forge.NAME]`.
pub const FORGE_KEYS: Keys =
    Keys { known: &["kind", "url", "webhook_secrets", "token", "app", "ca_file", "sign_in"], later: &[] };
/// The keys of a forge's `app`.
pub const APP_KEYS: Keys = Keys { known: &["id", "private_key"], later: &[] };
/// The keys of a forge's `sign_in`.
pub const APPLICATION_KEYS: Keys = Keys { known: &["client_id", "client_secret"], later: &[] };
/// The keys of `[cluster.NAME]`.
pub const CLUSTER_KEYS: Keys = Keys { known: &["kubeconfig", "in_cluster", "agent"], later: &[] };

/// Forges by name; `None` where something was wrong, so that a grant can still name it.
pub(super) fn forges(node: Option<&Node>, reading: &mut Reading<'_>) -> BTreeMap<ForgeName, Option<Forge>> {
    let mut found = BTreeMap::new();
    let mut urls: BTreeMap<String, ForgeName> = BTreeMap::new();
    for (name, node) in tables::<ForgeName>(node, "forge", reading.complaints) {
        let forge = forge(&name, node, reading);
        if let Some(forge) = &forge
            && let Some(other) = urls.insert(forge.url.clone(), name.clone())
        {
            let problem =
                format!("forges `{other}` and `{name}` have the same `url`, so that a repository would be two");
            reading.complaints.add(&node.at, problem, "remove one");
        }
        found.insert(name, forge);
    }
    found
}

fn forge(name: &ForgeName, node: &Node, reading: &mut Reading<'_>) -> Option<Forge> {
    let before = reading.complaints.len();
    let block = Block::open(node, &format!("in `[forge.{name}]`"), FORGE_KEYS, reading.complaints)?;
    let kind = kind(&block, reading.complaints);
    let is_github = kind == Some(ForgeKind::GitHub);
    let public = kind.and_then(public);
    let mut needed = vec![
        ("kind", "write `kind = \"gitea\"`, `\"forgejo\"`, `\"github\"` or `\"gitlab\"`"),
        ("webhook_secrets", "write `webhook_secrets = [{ env = \"NAME\" }]`: nothing is accepted that is not signed"),
    ];
    if public.is_none() {
        needed.push(("url", "write where it is: `url = \"https://git.example.com\"`"));
    }
    if !is_github {
        needed.push(("token", "write where the token of our account is: `token = { env = \"NAME\" }`"));
    }
    for (key, advice) in needed {
        if block.get(key).is_none() {
            reading.complaints.add(block.at, format!("forge `{name}` has no `{key}`"), advice);
        }
    }
    let url = match block.get("url") {
        None => public.map(|(site, _)| site.to_owned()),
        Some(node) => url(&block, "url", reading.complaints).filter(|url| match public {
            Some((site, whose)) if is_api(url) => {
                let advice = format!("write the address of its pages: `url = \"{site}\"`, or leave it out");
                reading.complaints.add(&node.at, format!("`url` is the address of {whose} API"), advice);
                false
            }
            Some(_) | None => true,
        }),
    };
    let sign_in = sign_in(name, &block, kind, reading);
    let ca_file = path(&block, "ca_file", reading.complaints);
    let application = block.get("sign_in").and_then(|node| application(node, reading));
    let mut webhook_secrets = Vec::new();
    if let Some(node) = block.get("webhook_secrets") {
        let items = list(node, "webhook_secrets", reading.complaints).unwrap_or_default();
        if items.is_empty() && reading.complaints.len() == before {
            let advice = "name at least one: nothing is accepted that is not signed";
            reading.complaints.add(&node.at, format!("forge `{name}` has no `webhook_secrets`"), advice);
        }
        webhook_secrets.extend(items.iter().filter_map(|item| secret(item, "webhook_secrets", reading)));
    }
    (reading.complaints.len() == before).then_some(Forge {
        kind: kind?,
        url: url?,
        webhook_secrets,
        sign_in: sign_in?,
        ca_file,
        application,
    })
}

fn kind(block: &Block<'_>, complaints: &mut Complaints) -> Option<ForgeKind> {
    let written = block.text("kind", complaints)?;
    let kinds = [
        ("github", ForgeKind::GitHub),
        ("gitlab", ForgeKind::GitLab),
        ("gitea", ForgeKind::Gitea),
        ("forgejo", ForgeKind::Forgejo),
    ];
    one_of(written, "kind", &kinds, complaints)
}

/// Where a forge is unless the file says otherwise, and whose that is.
fn public(kind: ForgeKind) -> Option<(&'static str, &'static str)> {
    match kind {
        ForgeKind::GitHub => Some(("https://github.com", "GitHub's")),
        ForgeKind::GitLab => Some(("https://gitlab.com", "GitLab's")),
        ForgeKind::Gitea | ForgeKind::Forgejo => None,
    }
}

/// Whether an address is one that the API of GitHub or GitLab is at.
fn is_api(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = url.trim_end_matches('/');
    host.starts_with("api.github.com") || ["/api", "/api/v3", "/api/v4"].iter().any(|end| path.ends_with(end))
}

/// A token, or on GitHub an App: one of the two.
fn sign_in(name: &ForgeName, block: &Block<'_>, kind: Option<ForgeKind>, reading: &mut Reading<'_>) -> Option<SignIn> {
    let is_github = kind == Some(ForgeKind::GitHub);
    match (block.get("token"), block.get("app")) {
        (Some(token), None) => secret(token, "token", reading).map(SignIn::Token),
        (None, Some(app)) if is_github => self::app(app, reading),
        (_, Some(app)) if kind.is_some() && !is_github => {
            let problem = format!("forge `{name}` has an `app`, and only GitHub has those");
            reading.complaints.add(&app.at, problem, "remove it, and write `token = { env = \"NAME\" }`");
            None
        }
        (Some(_), Some(app)) => {
            let problem = format!("forge `{name}` has both `token` and `app`");
            reading.complaints.add(&app.at, problem, "keep one of them: we come as one account");
            None
        }
        (None, None) if is_github => {
            let problem = format!("forge `{name}` has neither `app` nor `token`");
            let advice =
                "write `app = { id = 1, private_key = { file = \"app.pem\" } }`, or `token = { env = \"NAME\" }`";
            reading.complaints.add(block.at, problem, advice);
            None
        }
        (None, _) => None,
    }
}

fn app(node: &Node, reading: &mut Reading<'_>) -> Option<SignIn> {
    let block = Block::open(node, "in `app`", APP_KEYS, reading.complaints)?;
    for (key, advice) in [
        ("id", "write the App's number, as its settings page shows it: `id = 123456`"),
        ("private_key", "write where its key is: `private_key = { file = \"app.pem\" }`"),
    ] {
        if block.get(key).is_none() {
            reading.complaints.add(block.at, format!("`app` has no `{key}`"), advice);
        }
    }
    let id = block.number("id", 1, reading.complaints);
    let private_key = block.get("private_key").and_then(|node| secret(node, "private_key", reading));
    Some(SignIn::App { id: id?, private_key: private_key? })
}

fn application(node: &Node, reading: &mut Reading<'_>) -> Option<Application> {
    let block = Block::open(node, "in `sign_in`", APPLICATION_KEYS, reading.complaints)?;
    for (key, advice) in [
        ("client_id", "write the id the forge gave to the OAuth application: `client_id = \"…\"`"),
        ("client_secret", "write where its secret is: `client_secret = { env = \"NAME\" }`"),
    ] {
        if block.get(key).is_none() {
            reading.complaints.add(block.at, format!("`sign_in` has no `{key}`"), advice);
        }
    }
    let client_id = block.text("client_id", reading.complaints).and_then(|(text, at)| {
        let is_id = (1..=200).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if !is_id {
            reading.complaints.add(
                at,
                "`client_id` is no id of an application",
                "copy it from the forge's settings page",
            );
        }
        is_id.then(|| text.to_owned())
    });
    let client_secret = block.get("client_secret").and_then(|node| secret(node, "client_secret", reading));
    Some(Application { client_id: client_id?, client_secret: client_secret? })
}

/// Clusters by name; `None` where something was wrong, so that a grant can still name it.
pub(super) fn clusters(node: Option<&Node>, reading: &mut Reading<'_>) -> BTreeMap<ClusterName, Option<Cluster>> {
    let mut found = BTreeMap::new();
    for (name, node) in tables::<ClusterName>(node, "cluster", reading.complaints) {
        let before = reading.complaints.len();
        let what = format!("in `[cluster.{name}]`");
        let cluster = Block::open(node, &what, CLUSTER_KEYS, reading.complaints)
            .map(|block| Cluster { reach: reach(&block, reading) });
        found.insert(name, cluster.filter(|_| reading.complaints.len() == before));
    }
    found
}

fn reach(block: &Block<'_>, reading: &mut Reading<'_>) -> Option<Reach> {
    let flags = ["in_cluster", "agent"].map(|key| (key, block.flag(key, reading.complaints) == Some(true)));
    let set: Vec<&str> = flags.into_iter().filter_map(|(key, is_set)| is_set.then_some(key)).collect();
    match (block.get("kubeconfig"), &set[..]) {
        (Some(node), []) => kubeconfig(node, reading).map(Reach::Kubeconfig),
        (None, ["in_cluster"]) => Some(Reach::InCluster),
        (None, ["agent"]) => Some(Reach::Agent),
        (None, []) => None,
        (other, _) => {
            let at = other.or_else(|| block.get("agent")).map_or(block.at, |node| &node.at);
            let ways: Vec<String> = set.iter().map(|key| format!("`{key} = true`")).collect();
            let first = if other.is_some() { "`kubeconfig`" } else { "`agent = true`" };
            let beside = if other.is_some() { ways.join(" and ") } else { "`in_cluster = true`".to_owned() };
            let advice = "a cluster is reached in one way: remove all but one";
            reading.complaints.add(at, format!("{first} beside {beside}"), advice);
            None
        }
    }
}

/// Its certificates and tokens may be files beside it, so that it has to be one itself.
fn kubeconfig(node: &Node, reading: &mut Reading<'_>) -> Option<PathBuf> {
    match secret(node, "kubeconfig", reading)? {
        Secret::File(file) => Some(file),
        Secret::Env { .. } => {
            let advice = "write `{ file = \"/path\" }`";
            reading.complaints.add(&node.at, "`kubeconfig` is read from a file only", advice);
            None
        }
    }
}
