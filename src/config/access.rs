//! `[group.NAME]`, `[grant.NAME]` and `[floor.NAME]`: who people are, what repositories may reach, and what no
//! repository's file can go below.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;

use super::reading::tables;
use super::{ForgeKind, floor_policies};
use crate::ids::{ClusterName, ForgeName, PrometheusName, WordError};
use crate::policy::approvals::{FLOOR_RULE_KEYS, approval_rules, groups_named, owners};
use crate::policy::block::{Block, Keys, map, named};
use crate::policy::document::{Node, Value};
use crate::policy::globs::kind_pattern_fault;
use crate::policy::located::{Complaints, Place, did_you_mean};
use crate::policy::rules::{Floor, Grant, Group, Platform};
use crate::policy::windows::windows;

/// The keys of `[group.NAME]`.
pub const GROUP_KEYS: Keys = Keys { known: &["teams", "people"], later: &[] };
/// The keys of `[grant.NAME]`.
pub const GRANT_KEYS: Keys = Keys {
    known: &["repositories", "clusters", "namespaces", "kinds", "prometheus", "impersonate", "secrets", "owners"],
    later: &[],
};
/// The keys of a grant's `kinds`.
pub const KINDS_KEYS: Keys = Keys { known: &["cluster_scoped", "deny"], later: &[] };
/// The keys of `[floor.NAME]`.
pub const FLOOR_KEYS: Keys = Keys { known: &["clusters", "approvals", "policies", "windows"], later: &["deletions"] };

type Forges = BTreeMap<ForgeName, Option<super::Forge>>;
type PrometheusServers = BTreeMap<PrometheusName, Option<super::Prometheus>>;
type Clusters = BTreeMap<ClusterName, Option<super::Cluster>>;

/// A name of ours that needs no type of its own.
struct Name(String);

impl std::str::FromStr for Name {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        // Groups, grants and floors are named like clusters.
        text.parse::<ClusterName>().map(|name| Self(name.to_string()))
    }
}

pub(super) fn platform(
    root: &Block<'_>,
    forges: &Forges,
    clusters: &Clusters,
    prometheus: &PrometheusServers,
    complaints: &mut Complaints,
) -> Platform {
    let mut platform = Platform::default();
    let mut accounts = BTreeMap::new();
    for (name, node) in tables::<Name>(root.get("group"), "group", complaints) {
        if let Some(group) = group(&name.0, node, forges, &mut accounts, complaints) {
            platform.groups.insert(name.0, group);
        }
    }
    let sealed = section_names(root.get("secrets"));
    for (name, node) in tables::<Name>(root.get("grant"), "grant", complaints) {
        if let Some(grant) = grant(&name.0, node, forges, clusters, prometheus, &sealed, complaints) {
            platform.grants.insert(name.0, grant);
        }
    }
    let names: Vec<&str> = section_names(root.get("group"));
    for (name, node) in tables::<Name>(root.get("floor"), "floor", complaints) {
        if let Some(floor) = floor(&name.0, node, clusters, &names, complaints) {
            platform.floors.insert(name.0, floor);
        }
    }
    for node in ["grant", "floor"].iter().filter_map(|section| root.get(section)) {
        for (group, at) in groups_named(node) {
            if !names.contains(&group) {
                unknown("group", group, at, &names, complaints);
            }
        }
    }
    platform
}

fn section_names(node: Option<&Node>) -> Vec<&str> {
    match node.map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.iter().map(|(key, _)| key.name.as_str()).collect(),
        _ => Vec::new(),
    }
}

fn unknown(section: &str, word: &str, at: &Place, known: &[impl AsRef<str>], complaints: &mut Complaints) {
    let advice = match did_you_mean(word, known.iter().map(AsRef::as_ref)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("add `[{section}.{word}]`, or correct the name"),
    };
    complaints.add(at, format!("there is no {section} `{word}`"), advice);
}

fn names<N: Display>(all: impl IntoIterator<Item = N>) -> Vec<String> {
    all.into_iter().map(|name| name.to_string()).collect()
}

fn group(
    name: &str,
    node: &Node,
    forges: &Forges,
    accounts: &mut BTreeMap<String, String>,
    complaints: &mut Complaints,
) -> Option<Group> {
    let block = Block::open(node, &format!("in `[group.{name}]`"), GROUP_KEYS, complaints)?;
    let mut group = Group::default();
    for (team, at) in block.texts("teams", complaints).unwrap_or_default() {
        // There a group is the team, and may be within others.
        let is_gitlab = kind_of(team, forges) == Some(ForgeKind::GitLab);
        let (segments, shape) = if is_gitlab {
            (2..=22, "`forge/group` or `forge/group/subgroup`")
        } else {
            (3..=3, "`forge/organisation/team`")
        };
        if on_forge(team, segments, shape, at, forges, complaints) {
            group.teams.insert(team.to_owned());
        }
    }
    let people = block.get("people").and_then(|node| map(node, "of people", complaints)).unwrap_or_default();
    for (person, written) in named(people) {
        let mut own = BTreeSet::new();
        for item in crate::policy::block::list(written, &person.name, complaints).unwrap_or_default() {
            let Some((account, at)) = crate::policy::block::text(item, &person.name, complaints) else { continue };
            if !on_forge(account, 2..=2, "`forge/login`", at, forges, complaints) {
                continue;
            }
            // Logins differ by more than case on no forge.
            let first = accounts.entry(account.to_ascii_lowercase()).or_insert_with(|| person.name.clone());
            if *first != person.name {
                let problem = format!("account `{account}` is `{first}` and `{}`", person.name);
                complaints.add(at, problem, "an account belongs to one person: use one name in all groups");
            }
            own.insert(account.to_owned());
        }
        group.people.insert(person.name.clone(), own);
    }
    if group == Group::default() && block.get("teams").is_none() && block.get("people").is_none() {
        complaints.add(block.at, format!("group `{name}` names nobody"), "add `teams` or `people`");
    }
    Some(group)
}

/// What the forge is that a name begins with, where that is known.
fn kind_of(written: &str, forges: &Forges) -> Option<ForgeKind> {
    let forge = written.split('/').next().unwrap_or_default().parse::<ForgeName>().ok()?;
    forges.get(&forge)?.as_ref().map(|forge| forge.kind)
}

/// Whether `written` has so many segments and begins with a forge that is there.
fn on_forge(
    written: &str,
    segments: RangeInclusive<usize>,
    shape: &str,
    at: &Place,
    forges: &Forges,
    complaints: &mut Complaints,
) -> bool {
    let parts: Vec<&str> = written.split('/').collect();
    if !segments.contains(&parts.len())
        || parts.iter().any(|part| part.is_empty() || part.contains(char::is_whitespace))
    {
        complaints.add(at, format!("`{written}` names nothing on a forge"), format!("write it as {shape}"));
        return false;
    }
    let known = parts[0].parse::<ForgeName>().is_ok_and(|forge| forges.contains_key(&forge));
    if !known {
        unknown("forge", parts[0], at, &names(forges.keys()), complaints);
    }
    known
}

fn grant(
    name: &str,
    node: &Node,
    forges: &Forges,
    clusters: &Clusters,
    prometheus: &PrometheusServers,
    sealed: &[&str],
    complaints: &mut Complaints,
) -> Option<Grant> {
    let before = complaints.len();
    let block = Block::open(node, &format!("in `[grant.{name}]`"), GRANT_KEYS, complaints)?;
    let mut repositories = Vec::new();
    for (glob, at) in some_texts(&block, "grant", name, "repositories", complaints) {
        if good_repository(glob, at, forges, complaints) {
            repositories.push(glob.to_owned());
        }
    }
    let mut namespaces = Vec::new();
    for (glob, at) in some_texts(&block, "grant", name, "namespaces", complaints) {
        if glob.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-*?".contains(&b)) {
            namespaces.push(glob.to_owned());
        } else {
            let advice = "write lower-case letters, digits and `-`, with `*` for any run of them";
            complaints.add(at, format!("`{glob}` matches no namespace"), advice);
        }
    }
    let mut grant = Grant {
        repositories,
        clusters: cluster_names(&block, "grant", name, clusters, complaints),
        namespaces,
        cluster_scoped: Vec::new(),
        deny: Vec::new(),
        prometheus: prometheus_names(&block, prometheus, complaints),
        impersonate: impersonate(&block, complaints),
        secrets: block.text("secrets", complaints).map(|(name, at)| {
            if !sealed.contains(&name) {
                unknown("secrets", name, at, sealed, complaints);
            }
            name.to_owned()
        }),
        owners: block.get("owners").and_then(|node| owners(node, &format!("of grant `{name}`"), complaints)),
    };
    if let Some(kinds) = block.get("kinds").and_then(|node| Block::open(node, "in `kinds`", KINDS_KEYS, complaints)) {
        grant.cluster_scoped = kind_patterns(&kinds, "cluster_scoped", complaints);
        grant.deny = kind_patterns(&kinds, "deny", complaints);
    }
    (complaints.len() == before).then_some(grant)
}

fn prometheus_names(
    block: &Block<'_>,
    known: &PrometheusServers,
    complaints: &mut Complaints,
) -> BTreeSet<PrometheusName> {
    let mut found = BTreeSet::new();
    for (word, at) in block.texts("prometheus", complaints).unwrap_or_default() {
        match word.parse::<PrometheusName>() {
            Ok(name) if known.contains_key(&name) => drop(found.insert(name)),
            _ => unknown("prometheus", word, at, &names(known.keys()), complaints),
        }
    }
    found
}

fn impersonate(block: &Block<'_>, complaints: &mut Complaints) -> Option<String> {
    let (user, at) = block.text("impersonate", complaints)?;
    if user.replace("{namespace}", "").contains(['{', '}']) || user.contains(char::is_whitespace) {
        let advice = "write a user of the cluster; `{namespace}` stands for the environment's";
        complaints.add(at, format!("`{user}` cannot be impersonated"), advice);
    }
    Some(user.to_owned())
}

fn some_texts<'n>(
    block: &Block<'n>,
    section: &str,
    name: &str,
    key: &str,
    complaints: &mut Complaints,
) -> Vec<(&'n str, &'n Place)> {
    let before = complaints.len();
    let texts = block.texts(key, complaints).unwrap_or_default();
    if texts.is_empty() && complaints.len() == before {
        let at = block.get(key).map_or(block.at, |node| &node.at);
        complaints.add(at, format!("{section} `{name}` names no {key}"), format!("add `{key} = [\"…\"]`"));
    }
    texts
}

fn cluster_names(
    block: &Block<'_>,
    section: &str,
    name: &str,
    clusters: &Clusters,
    complaints: &mut Complaints,
) -> BTreeSet<ClusterName> {
    let mut found = BTreeSet::new();
    for (word, at) in some_texts(block, section, name, "clusters", complaints) {
        match word.parse::<ClusterName>() {
            Ok(cluster) if clusters.contains_key(&cluster) => {
                found.insert(cluster);
            }
            _ => unknown("cluster", word, at, &names(clusters.keys()), complaints),
        }
    }
    found
}

fn good_repository(glob: &str, at: &Place, forges: &Forges, complaints: &mut Complaints) -> bool {
    let segments: Vec<&str> = glob.split('/').collect();
    let bad_segment = |s: &&str| s.is_empty() || s.contains(char::is_whitespace) || (s.contains("**") && *s != "**");
    // Groups within groups are GitLab's; of what is not known, no more is asked than that it could be.
    let is_flat = kind_of(glob, forges).is_some_and(|kind| kind != ForgeKind::GitLab);
    let fits = if is_flat { segments.len() == 3 } else { segments.len() >= 3 };
    if segments.iter().any(bad_segment) || (!fits && !segments.contains(&"**")) {
        let advice = match kind_of(glob, forges) {
            Some(ForgeKind::GitLab) => "write `forge/group/name`, with `*` within a segment and `**` across",
            Some(ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::GitHub) | None => {
                "write `forge/owner/name`, with `*` within a segment and `**` across"
            }
        };
        complaints.add(at, format!("`{glob}` matches no repository"), advice);
        return false;
    }
    let forge = segments[0];
    let known = forge.contains(['*', '?']) || forge.parse::<ForgeName>().is_ok_and(|forge| forges.contains_key(&forge));
    if !known {
        unknown("forge", forge, at, &names(forges.keys()), complaints);
    }
    known
}

fn kind_patterns(block: &Block<'_>, key: &str, complaints: &mut Complaints) -> Vec<String> {
    let mut found = Vec::new();
    for (pattern, at) in block.texts(key, complaints).unwrap_or_default() {
        match kind_pattern_fault(pattern) {
            Some(advice) => complaints.add(at, format!("`{pattern}` in `{key}` matches no kind"), advice),
            None => found.push(pattern.to_owned()),
        }
    }
    found
}

fn floor(name: &str, node: &Node, clusters: &Clusters, groups: &[&str], complaints: &mut Complaints) -> Option<Floor> {
    let before = complaints.len();
    let block = Block::open(node, &format!("in `[floor.{name}]`"), FLOOR_KEYS, complaints)?;
    let clusters = cluster_names(&block, "floor", name, clusters, complaints);
    let approvals = block
        .get("approvals")
        .and_then(|node| approval_rules(node, &format!("of floor `{name}`"), FLOOR_RULE_KEYS, complaints));
    let windows = block.get("windows").map(|node| windows(node, complaints)).unwrap_or_default();
    if ["approvals", "policies", "windows"].iter().all(|key| block.get(key).is_none()) {
        let advice = "add `approvals = [{ count = 1, groups = [\"…\"] }]`, `policies` or `windows`";
        complaints.add(block.at, format!("floor `{name}` asks for nothing"), advice);
    }
    let policies = floor_policies::named(&block, complaints).map_or_else(BTreeMap::new, |folder| {
        for (group, at) in groups_named(&folder.file).into_iter().filter(|(group, _)| !groups.contains(group)) {
            unknown("group", group, at, groups, complaints);
        }
        folder.whole(complaints)
    });
    let approvals = approvals.unwrap_or_default();
    (complaints.len() == before).then_some(Floor { clusters, approvals, policies, windows })
}
