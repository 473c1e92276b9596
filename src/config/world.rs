//! `[forge.NAME]` and `[cluster.NAME]`: what the server talks to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::reading::{Reading, path, secret, tables, url};
use super::{Cluster, Forge, ForgeKind, Reach, Secret};
use crate::ids::{ClusterName, ForgeName};
use crate::policy::block::{Block, Keys, list, one_of};
use crate::policy::document::Node;
use crate::policy::located::Complaints;

/// The keys of `[forge.NAME]`.
pub const FORGE_KEYS: Keys =
    Keys { known: &["kind", "url", "webhook_secrets", "token", "ca_file"], later: &["app", "sign_in"] };
/// The keys of `[cluster.NAME]`.
pub const CLUSTER_KEYS: Keys = Keys { known: &["kubeconfig", "in_cluster"], later: &["agent"] };

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
    for (key, advice) in [
        ("kind", "write `kind = \"gitea\"` or `\"forgejo\"`"),
        ("url", "write where it is: `url = \"https://git.example.com\"`"),
        ("token", "write where the token of our account is: `token = { env = \"NAME\" }`"),
        ("webhook_secrets", "write `webhook_secrets = [{ env = \"NAME\" }]`: nothing is accepted that is not signed"),
    ] {
        if block.get(key).is_none() {
            reading.complaints.add(block.at, format!("forge `{name}` has no `{key}`"), advice);
        }
    }
    let kind = kind(&block, reading.complaints);
    let url = url(&block, "url", reading.complaints);
    let token = block.get("token").and_then(|node| secret(node, "token", reading));
    let ca_file = path(&block, "ca_file", reading.complaints);
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
        token: token?,
        ca_file,
    })
}

fn kind(block: &Block<'_>, complaints: &mut Complaints) -> Option<ForgeKind> {
    let written = block.text("kind", complaints)?;
    if matches!(written.0, "github" | "gitlab") {
        let advice = "this version speaks with `gitea` and `forgejo`";
        complaints.add(written.1, format!("kind `{}` is not in this version", written.0), advice);
        return None;
    }
    one_of(written, "kind", &[("gitea", ForgeKind::Gitea), ("forgejo", ForgeKind::Forgejo)], complaints)
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
    let in_cluster = block.flag("in_cluster", reading.complaints);
    match (block.get("kubeconfig"), in_cluster) {
        (Some(node), Some(true)) => {
            let advice = "a cluster is reached in one way: remove one of the two";
            reading.complaints.add(&node.at, "`kubeconfig` beside `in_cluster = true`", advice);
            None
        }
        (Some(node), _) => kubeconfig(node, reading).map(Reach::Kubeconfig),
        (None, Some(true)) => Some(Reach::InCluster),
        (None, _) => None,
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
