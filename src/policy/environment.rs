//! Reads one environment's block, defaults merged in and placeholders filled, into the rules of `rules.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use super::after::after;
use super::approvals::{RULE_KEYS, approval_rules, reverts, whom};
use super::block::{Block, Keys, one_of};
use super::chart::{self, Chart, Versions};
use super::document::{Key, Node, Value};
use super::failure;
use super::ignore::ignore;
use super::located::{Complaints, Place};
use super::on_drift::on_drift;
use super::paths::{branch_fault, from_folder, repository_folder};
use super::rules::{
    Admission, ApprovalRule, ApprovalSource, Binds, Consent, Environment, Helm, Limits, May, OnDrift, OnPush, SyncMode,
    SyncRules,
};
use super::verify::verify;
use super::windows::windows;
use crate::ids::{EnvironmentName, Target};

/// The keys of an environment.
pub const ENVIRONMENT_KEYS: Keys = Keys {
    known: &[
        "path",
        "chart",
        "namespace",
        "cluster",
        "stage",
        "follow",
        "after",
        "windows",
        "consent",
        "deletions",
        "sync",
        "admission",
        "drift",
        "on_failure",
        "verify",
        "runbook",
        "may",
        "helm",
        "ignore",
        "for",
    ],
    later: &["health", "secrets", "notify", "engine", "promote", "include", "extends", "policies"],
};
/// The keys of `consent`.
pub const CONSENT_KEYS: Keys =
    Keys { known: &["approvals", "by", "checks", "on_push", "binds", "reverts"], later: &[] };
/// The keys of `sync`.
pub const SYNC_KEYS: Keys = Keys { known: &["mode", "prune", "timeout"], later: &[] };
/// The keys of `may`: commands, of which those that are not in this version are refused by name.
pub const MAY_KEYS: Keys = Keys { known: &["sync", "freeze", "rollback", "emergency"], later: &[] };
/// The keys of `chart`.
pub const CHART_KEYS: Keys = Keys { known: &["registry", "name", "version", "digest"], later: &[] };
/// The keys of `helm`.
pub const HELM_KEYS: Keys = Keys { known: &["release", "values"], later: &[] };
/// The keys of `follow`.
pub const FOLLOW_KEYS: Keys = Keys { known: &["branch"], later: &["tags"] };
/// The keys of `deletions`.
pub const DELETIONS_KEYS: Keys = Keys { known: &["confirm_above"], later: &[] };

/// How long a sync waits until healthy when the file does not say.
const DEFAULT_TIMEOUT_SECONDS: u64 = 5 * 60;
/// No rollout is waited for longer than a day.
const LONGEST_TIMEOUT_SECONDS: u64 = 86_400;
/// Helm's own limit: the release's name goes into object names with a suffix.
const LONGEST_RELEASE: usize = 53;
/// Checks that one environment waits for: on GitHub each is a call of its own, for every look at the commit.
const MOST_CHECKS: usize = 20;
/// What the forges take as a status' name.
const LONGEST_CHECK: usize = 255;
/// How the names of our own statuses begin.
const OUR_STATUSES: &str = "bascule/";

/// Reads an environment; `None` when something was wrong, which `complaints` then names.
pub fn read(key: &Key, node: &Node, owners: Option<&ApprovalRule>, complaints: &mut Complaints) -> Option<Environment> {
    let before = complaints.len();
    let what = format!("in environment `{}`", key.name);
    let name = word::<EnvironmentName>(&key.name, &key.at, "choose another name", complaints);
    let block = Block::open(node, &what, ENVIRONMENT_KEYS, complaints)?;

    let chart = block.get("chart").and_then(|node| chart(node, &block, complaints));
    let path = match (&chart, block.get("chart")) {
        (Some(chart), _) => Some(chart.folder()),
        // What is wrong with it is said.
        (None, Some(_)) => None,
        (None, None) => required(&block, "path", key, "name the folder it is rendered from, or a `chart`", complaints)
            .and_then(|written| good_folder(written, complaints)),
    };
    let cluster = required(&block, "cluster", key, "name the cluster, here or in `defaults`", complaints)
        .and_then(|(text, at)| word(text, at, "write the name of a `[cluster.NAME]` of the server", complaints));
    let namespace = required(&block, "namespace", key, "name the namespace of objects that name none", complaints)
        .and_then(|written| good_namespace(written, complaints));
    let stage = block.text("stage", complaints).map(|(text, at)| {
        if text.parse::<EnvironmentName>().is_err() {
            let advice = "write up to 63 letters, digits, `-`, `_` or `.`, as in an environment's name";
            complaints.add(at, format!("`{text}` cannot be a stage"), advice);
        }
        text.to_owned()
    });
    let branch = block.get("follow").and_then(|node| branch(node, complaints));
    let after = block.get("after").map(|node| after(node, complaints)).unwrap_or_default();
    let windows = block.get("windows").map(|node| windows(node, complaints)).unwrap_or_default();
    let consent = match block.get("consent") {
        Some(node) => consent(node, complaints),
        None => Some(Consent::one_writer()),
    };
    let deletions_confirm_above = block.get("deletions").and_then(|node| {
        let block = Block::open(node, "in `deletions`", DELETIONS_KEYS, complaints)?;
        block.number("confirm_above", 0, complaints)
    });
    let sync = sync(block.get("sync"), complaints);
    let words = [("best_effort", Admission::BestEffort), ("required", Admission::Required)];
    let admission = block.text("admission", complaints);
    let admission = admission.and_then(|written| one_of(written, "admission", &words, complaints)).unwrap_or_default();
    let (drift, drift_issue) = on_drift(&block, complaints);
    let on_failure = failure::on_failure(&block, complaints);
    let verify = block.get("verify").map(|node| verify(node, complaints)).unwrap_or_default();
    let runbook = failure::runbook(&block, complaints);
    let may = block.get("may").and_then(|node| may(node, complaints)).unwrap_or_default();
    let helm = block.get("helm").and_then(|node| helm(node, path.as_deref(), complaints));
    let ignore = block.get("ignore").and_then(|node| ignore(node, complaints)).unwrap_or_default();

    if let (Some(at), Admission::Required, SyncMode::None) = (block.place_of("admission"), admission, sync.mode) {
        let problem = format!("environment `{}` has `sync: {{ mode: none }}` and `admission: required`", key.name);
        complaints.add(at, problem, "remove `admission`: the cluster of what is never synced is not asked");
    }
    if let (Some(at), OnDrift::Heal, SyncMode::None) = (block.place_of("drift"), drift, sync.mode) {
        let problem = format!("environment `{}` has `sync: {{ mode: none }}` and `drift: heal`", key.name);
        complaints.add(at, problem, "remove `drift`: what is never synced is never healed");
    }
    if let (Some(at), SyncMode::None, false) = (block.place_of("verify"), sync.mode, verify.is_empty()) {
        let problem = format!("environment `{}` has `sync: {{ mode: none }}` and `verify`", key.name);
        complaints.add(at, problem, "write `verify: []`: what is never synced is never verified");
    }
    if let Some(at) = block.place_of("after")
        && sync.mode == SyncMode::None
        && !after.is_empty()
    {
        let problem = format!("environment `{}` has `sync: {{ mode: none }}` and `after`", key.name);
        complaints.add(at, problem, "remove `after`: what is never synced waits for nothing");
    }
    if let (Some(at), SyncMode::None, false) = (block.place_of("windows"), sync.mode, windows.is_empty()) {
        let problem = format!("environment `{}` has `sync: {{ mode: none }}` and `windows`", key.name);
        complaints.add(at, problem, "write `windows: []`: what is never synced waits for nothing");
    }
    if let (Some(node), SyncMode::None) = (block.get("consent"), sync.mode)
        && consent.as_ref().is_some_and(|consent| !consent.checks.is_empty())
    {
        let problem = format!("environment `{}` has `sync: {{ mode: none }}` and `checks`", key.name);
        complaints.add(&node.at, problem, "write `checks: []`: what is never synced waits for nothing");
    }
    if complaints.len() > before {
        return None;
    }
    let (name, target) = (name?, Target { cluster: cluster?, namespace: namespace? });
    let verify = verify.into_iter().map(|one| one.of(&name, &target)).collect();
    Some(Environment {
        name,
        stage,
        path: path?,
        chart,
        helm,
        target,
        branch,
        after,
        windows,
        consent: consent?,
        deletions_confirm_above,
        sync,
        admission,
        drift,
        drift_issue,
        on_failure,
        verify,
        runbook,
        owners: owners.cloned(),
        limits: Limits::default(),
        may,
        owner_file: None,
        policies: BTreeMap::new(),
        health: BTreeMap::new(),
        ignore,
    })
}

fn required<'n>(
    block: &Block<'n>,
    name: &str,
    key: &Key,
    advice: &str,
    complaints: &mut Complaints,
) -> Option<(&'n str, &'n Place)> {
    if block.get(name).is_none() {
        complaints.add(&key.at, format!("environment `{}` has no `{name}`", key.name), advice);
    }
    block.text(name, complaints)
}

pub(super) fn word<T: FromStr<Err = crate::ids::WordError>>(
    text: &str,
    at: &Place,
    advice: &str,
    complaints: &mut Complaints,
) -> Option<T> {
    text.parse().map_err(|error: crate::ids::WordError| complaints.add(at, error.to_string(), advice)).ok()
}

fn good_folder((written, at): (&str, &Place), complaints: &mut Complaints) -> Option<String> {
    repository_folder(written)
        .map_err(|advice| complaints.add(at, format!("`path: {written}` is no folder of the repository"), advice))
        .ok()
}

/// A namespace as Kubernetes takes it.
fn good_namespace((written, at): (&str, &Place), complaints: &mut Complaints) -> Option<String> {
    if is_dns_label(written, 63) {
        return Some(written.to_owned());
    }
    let advice = "write 1 to 63 lower-case letters, digits or `-`, beginning and ending with a letter or digit";
    complaints.add(at, format!("`{written}` cannot be a namespace"), advice);
    None
}

fn is_dns_label(text: &str, longest: usize) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=longest).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn branch(node: &Node, complaints: &mut Complaints) -> Option<String> {
    let block = Block::open(node, "in `follow`", FOLLOW_KEYS, complaints)?;
    let (written, at) = block.text("branch", complaints)?;
    match branch_fault(written) {
        None => Some(written.to_owned()),
        Some(advice) => {
            complaints.add(at, format!("`{written}` cannot be a branch"), advice);
            None
        }
    }
}

fn consent(node: &Node, complaints: &mut Complaints) -> Option<Consent> {
    match &node.value {
        Value::Text(text) if text == "none" => return Some(Consent::none()),
        Value::Map(_) => {}
        other => {
            let problem = format!("`consent` is `none` or a map, found {}", other.what());
            complaints.add(&node.at, problem, "write `consent: none`, or the rules under `approvals`");
            return None;
        }
    }
    let block = Block::open(node, "in `consent`", CONSENT_KEYS, complaints)?;
    let mut consent = Consent::one_writer();
    match block.get("approvals") {
        None => {}
        // Nobody is asked, and other keys beside it are.
        Some(Node { value: Value::Text(text), .. }) if text == "none" => consent.approvals = Vec::new(),
        Some(node) => consent.approvals = approval_rules(node, "of `consent`", RULE_KEYS, complaints)?,
    }
    if let Some(node) = block.get("by") {
        let sources = [("review", ApprovalSource::Review), ("command", ApprovalSource::Command)];
        let written = block.texts("by", complaints).unwrap_or_default();
        let by: BTreeSet<_> = written.into_iter().filter_map(|word| one_of(word, "by", &sources, complaints)).collect();
        if by.is_empty() && node.value == Value::List(Vec::new()) {
            complaints.add(
                &node.at,
                "`by` is empty, so nothing could ever consent",
                "name `review`, `command` or both",
            );
        }
        consent.by = by;
    }
    consent.checks = checks(&block, complaints);
    if let Some(node) = block.get("reverts") {
        if consent.is_none() {
            complaints.add(&node.at, "`reverts` asks for less than nothing", "remove it: nobody is asked here");
            return None;
        }
        consent.reverts = Some(reverts(node, "of `consent`", complaints)?);
    }
    if let Some(written) = block.text("on_push", complaints) {
        consent.on_push = one_of(written, "on_push", &[("keep", OnPush::Keep), ("void", OnPush::Void)], complaints)?;
    }
    if let Some(written) = block.text("binds", complaints) {
        consent.binds = one_of(written, "binds", &[("change", Binds::Change), ("set", Binds::Set)], complaints)?;
    }
    Some(consent)
}

/// Names of commit statuses and checks. None at all is fine: it takes back what `defaults` say.
fn checks(block: &Block<'_>, complaints: &mut Complaints) -> BTreeSet<String> {
    let mut checks = BTreeSet::new();
    for (written, at) in block.texts("checks", complaints).unwrap_or_default() {
        let fits = (1..=LONGEST_CHECK).contains(&written.len()) && written.trim() == written;
        if written.to_ascii_lowercase().starts_with(OUR_STATUSES) {
            let advice = "name the checks of a CI; that somebody consented is asked by `approvals`";
            complaints.add(
                at,
                format!("`{written}` is a status of Bascule's own, which would wait for itself"),
                advice,
            );
        } else if !fits || written.chars().any(char::is_control) {
            let advice = "write it as the forge shows it beside the commit: `ci/test`";
            complaints.add(at, format!("`{}` cannot be a check", written.escape_debug()), advice);
        } else if !checks.insert(written.to_owned()) {
            complaints.add(at, format!("`{written}` is in `checks` twice"), "remove one");
        } else if checks.len() == MOST_CHECKS + 1 {
            let advice = "let the CI report one status that says whether all are well, and name that";
            complaints.add(at, format!("`checks` has more than {MOST_CHECKS} names"), advice);
        }
    }
    checks
}

fn sync(node: Option<&Node>, complaints: &mut Complaints) -> SyncRules {
    let mut rules = SyncRules { mode: SyncMode::Auto, prune: true, timeout_seconds: DEFAULT_TIMEOUT_SECONDS };
    let Some(block) = node.and_then(|node| Block::open(node, "in `sync`", SYNC_KEYS, complaints)) else { return rules };
    let modes = [("auto", SyncMode::Auto), ("manual", SyncMode::Manual), ("none", SyncMode::None)];
    if let Some(mode) = block.text("mode", complaints).and_then(|written| one_of(written, "mode", &modes, complaints)) {
        rules.mode = mode;
    }
    rules.prune = block.flag("prune", complaints).unwrap_or(rules.prune);
    rules.timeout_seconds =
        block.seconds("timeout", LONGEST_TIMEOUT_SECONDS, complaints).unwrap_or(rules.timeout_seconds);
    rules
}

fn may(node: &Node, complaints: &mut Complaints) -> Option<May> {
    let block = Block::open(node, "in `may`", MAY_KEYS, complaints)?;
    let mut left = |command: &str| block.get(command).and_then(|node| whom(node, command, complaints));
    Some(May { sync: left("sync"), freeze: left("freeze"), rollback: left("rollback"), emergency: left("emergency") })
}

/// A chart of a registry, which stands instead of a path.
fn chart(node: &Node, environment: &Block<'_>, complaints: &mut Complaints) -> Option<Chart> {
    let before = complaints.len();
    let block = Block::open(node, "in `chart`", CHART_KEYS, complaints)?;
    if let Some(at) = environment.place_of("path").filter(|_| environment.get("path").is_some()) {
        complaints.add(at, "`path` beside `chart`", "keep the one it is rendered from");
    }
    for (name, advice) in [
        ("registry", "name a `[registry.NAME]` of the server"),
        ("name", "write the chart's name in the registry"),
        ("version", "write one as `1.4.2`, or a range as `1.4.x`"),
    ] {
        if block.get(name).is_none() {
            complaints.add(block.at, format!("`chart` has no `{name}`"), advice);
        }
    }
    let registry = block.text("registry", complaints);
    let registry = registry
        .and_then(|(text, at)| word(text, at, "write the name of a `[registry.NAME]` of the server", complaints));
    let name = block.text("name", complaints).filter(|(text, at)| {
        let is_name = chart::is_name(text);
        if !is_name {
            let advice = "write 1 to 250 lower-case letters, digits, `-`, `_` or `.`, without a registry's address";
            complaints.add(at, format!("`{text}` cannot be a chart"), advice);
        }
        is_name
    });
    let version = block.text("version", complaints);
    let versions = version.and_then(|(text, at)| {
        Versions::parse(text).map_err(|advice| complaints.add(at, format!("`{text}` is no version"), advice)).ok()
    });
    let digest = block.text("digest", complaints);
    if let Some((text, at)) = digest.filter(|(text, _)| !chart::is_digest(text)) {
        complaints.add(at, format!("`{text}` is no digest"), "write `sha256:` and 64 lower-case hex digits");
    }
    if let (Some((text, at)), Some((_, _)), Some(Versions::Range(_))) = (version, digest, &versions) {
        complaints.add(at, format!("`{text}` is a range, beside a `digest`"), "write the version that has this digest");
    }
    (complaints.len() == before).then_some(Chart {
        registry: registry?,
        name: name?.0.to_owned(),
        version: version?.0.to_owned(),
        digest: digest.map(|(text, _)| text.to_owned()),
        bound: None,
    })
}

fn helm(node: &Node, path: Option<&str>, complaints: &mut Complaints) -> Option<Helm> {
    let block = Block::open(node, "in `helm`", HELM_KEYS, complaints)?;
    let release = block.text("release", complaints).map(|(written, at)| {
        if !is_dns_label(written, LONGEST_RELEASE) {
            let advice = "write 1 to 53 lower-case letters, digits or `-`";
            complaints.add(at, format!("`{written}` cannot be a release"), advice);
        }
        written.to_owned()
    });
    let written = block.texts("values", complaints).unwrap_or_default();
    for (file, at) in &written {
        if let Err(advice) = from_folder(path.unwrap_or_default(), file) {
            complaints.add(at, format!("values file `{file}` is not in the repository"), advice);
        }
    }
    Some(Helm { release, values: written.into_iter().map(|(file, _)| file.to_owned()).collect() })
}
