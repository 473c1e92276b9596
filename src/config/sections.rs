//! The top of the file and the sections that are there once: server, database, audit, sweep.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::environ::Environ;
use super::reading::{Reading, path, secret, url};
use super::secret::Secret;
use super::{
    Audit, Database, DatabaseUrl, Http, LogFormat, Server, ServerRole, Sweep, access, prometheus, registries, secrets,
    world,
};
use crate::policy::block::{Block, Keys, one_of};
use crate::policy::code::health::{Rule, fault};
use crate::policy::document::{Key, Node, Value};
use crate::policy::health::{self as policy, expressions, faulty, whole};
use crate::policy::located::{Complaints, Place};
use crate::policy::repository::version;

/// The keys of the file.
pub const FILE_KEYS: Keys = Keys {
    known: &[
        "version",
        "include",
        "server",
        "database",
        "audit",
        "forge",
        "cluster",
        "registry",
        "prometheus",
        "secrets",
        "group",
        "grant",
        "floor",
        "health",
        "sweep",
    ],
    later: &["notify", "tools", "sandbox"],
};
/// The keys of `[server]`.
pub const SERVER_KEYS: Keys =
    Keys { known: &["listen", "admin_listen", "public_url", "key", "role", "log_format"], later: &["trusted_proxies"] };
/// The keys of `[database]`.
pub const DATABASE_KEYS: Keys = Keys { known: &["url", "migrate_url", "data_dir"], later: &[] };
/// The keys of `[audit]`.
pub const AUDIT_KEYS: Keys = Keys { known: &["checkpoints", "key"], later: &[] };
/// The keys of `[sweep]`.
pub const SWEEP_KEYS: Keys = Keys { known: &["pulls", "branches", "policies"], later: &["cluster"] };
/// A sweep less often than weekly is a sweep forgotten.
const LONGEST_SWEEP_SECONDS: u64 = 7 * 86_400;

pub(super) fn server(tree: &Node, environ: &Environ, complaints: &mut Complaints) -> Option<Server> {
    let root = Block::open(tree, "at the top of the file", FILE_KEYS, complaints)?;
    version(&root, "version = 1", complaints);
    let folder = Path::new(tree.at.file.as_ref()).parent().unwrap_or(Path::new(""));
    let mut reading = Reading { environ, folder, complaints };
    let http = http(root.get("server"), &mut reading);
    let database = database(root.get("database"), &mut reading);
    let audit = audit(root.get("audit"), &mut reading);
    let forges = world::forges(root.get("forge"), &mut reading);
    let clusters = world::clusters(root.get("cluster"), &mut reading);
    let registries = registries::registries(root.get("registry"), &mut reading);
    let prometheus = prometheus::servers(root.get("prometheus"), &mut reading);
    let secrets = secrets::secrets(root.get("secrets"), &mut reading);
    let mut platform = access::platform(&root, &forges, &clusters, &prometheus, reading.complaints);
    platform.registries = registries.keys().cloned().collect();
    platform.health = health(root.get("health"), reading.complaints);
    let sweep = sweep(root.get("sweep"), reading.complaints);
    if http.role != ServerRole::All && database.url == DatabaseUrl::Embedded {
        let at = root.get("server").map_or(root.at, |node| &node.at);
        let advice = "set `database.url` to a PostgreSQL that all of them reach, or `role = \"all\"`";
        reading.complaints.add(at, "the embedded database serves one process, which has to be of role \"all\"", advice);
    }
    Some(Server {
        http,
        database,
        audit,
        forges: forges.into_iter().filter_map(|(name, forge)| Some((name, forge?))).collect(),
        clusters: clusters.into_iter().filter_map(|(name, cluster)| Some((name, cluster?))).collect(),
        registries: registries.into_iter().filter_map(|(name, registry)| Some((name, registry?))).collect(),
        prometheus: prometheus.into_iter().filter_map(|(name, one)| Some((name, one?))).collect(),
        secrets,
        platform,
        sweep,
    })
}

/// `[health.NAME]`. Their expressions are read in this process: they are the platform's own.
fn health(node: Option<&Node>, complaints: &mut Complaints) -> BTreeMap<String, Rule> {
    let rules = node.and_then(|node| policy::health(node, complaints)).unwrap_or_default();
    let faults = expressions(&rules).into_iter();
    let faults = faults.filter_map(|(name, text)| Some((name, vec![fault(&text)?])));
    complaints.extend(faulty(&rules, &faults.collect()));
    whole(&rules)
}

/// What `include` names, with places. The rest of the key is judged with the file's other keys.
pub(super) fn includes(tree: &Node, complaints: &mut Complaints) -> Vec<(String, Place)> {
    let Some((_, node)) = entry(tree, "include") else { return Vec::new() };
    let items = crate::policy::block::list(node, "include", complaints).unwrap_or_default();
    let texts = items.iter().filter_map(|item| crate::policy::block::text(item, "include", complaints));
    texts.map(|(text, at)| (text.to_owned(), at.clone())).collect()
}

pub(super) fn entry<'n>(tree: &'n Node, name: &str) -> Option<&'n (Key, Node)> {
    match &tree.value {
        Value::Map(entries) => entries.iter().find(|(key, _)| key.name == name),
        _ => None,
    }
}

/// An included file without the keys only the first file has. A `version` in it has to be one we read.
pub(super) fn without(tree: Node, keys: &[&str], complaints: &mut Complaints) -> Node {
    if let Some((_, node)) = entry(&tree, "version")
        && node.value != Value::Number(1)
    {
        complaints.add(&node.at, "this version of the file is not known here", "write `version = 1`");
    }
    let value = match tree.value {
        Value::Map(entries) => {
            Value::Map(entries.into_iter().filter(|(key, _)| !keys.contains(&key.name.as_str())).collect())
        }
        other => other,
    };
    Node { at: tree.at, value }
}

fn section<'n>(node: Option<&'n Node>, name: &str, keys: Keys, complaints: &mut Complaints) -> Option<Block<'n>> {
    Block::open(node?, &format!("in `[{name}]`"), keys, complaints)
}

fn http(node: Option<&Node>, reading: &mut Reading<'_>) -> Http {
    let mut http = Http {
        listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
        admin_listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
        public_url: "http://127.0.0.1:8080".to_owned(),
        key: Secret::File(reading.folder.join("data/server.key")),
        role: ServerRole::All,
        log_format: LogFormat::Text,
    };
    let Some(block) = section(node, "server", SERVER_KEYS, reading.complaints) else { return http };
    let complaints = &mut *reading.complaints;
    for (key, address) in [("listen", &mut http.listen), ("admin_listen", &mut http.admin_listen)] {
        let Some((text, at)) = block.text(key, complaints) else { continue };
        match text.parse() {
            Ok(parsed) => *address = parsed,
            Err(_) => complaints.add(at, format!("`{key}` is no address to listen on"), "write `127.0.0.1:8080`"),
        }
    }
    if http.listen.port() != 0 && http.listen.port() == http.admin_listen.port() {
        let at = block.get("admin_listen").or(block.get("listen")).map_or(block.at, |node| &node.at);
        let problem = "`listen` and `admin_listen` have the same port: metrics must not be on the public address";
        complaints.add(at, problem, "give them different ports");
    }
    if let Some(url) = url(&block, "public_url", complaints) {
        http.public_url = url;
    }
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    if let Some(format) =
        block.text("log_format", complaints).and_then(|word| one_of(word, "log_format", &formats, complaints))
    {
        http.log_format = format;
    }
    let roles = [("all", ServerRole::All), ("web", ServerRole::Web), ("worker", ServerRole::Worker)];
    if let Some(role) = block.text("role", complaints).and_then(|word| one_of(word, "role", &roles, complaints)) {
        http.role = role;
    }
    if let Some(key) = block.get("key").and_then(|node| secret(node, "key", reading)) {
        http.key = key;
    }
    http
}

fn database(node: Option<&Node>, reading: &mut Reading<'_>) -> Database {
    let mut database =
        Database { url: DatabaseUrl::Embedded, migrate_url: None, data_dir: reading.folder.join("data") };
    let Some(block) = section(node, "database", DATABASE_KEYS, reading.complaints) else { return database };
    if let Some(folder) = path(&block, "data_dir", reading.complaints) {
        database.data_dir = folder;
    }
    match block.get("url") {
        None => {}
        Some(Node { value: Value::Text(text), .. }) if text == "embedded" => {}
        Some(node) => {
            if let Some(url) = secret(node, "url", reading) {
                database.url = DatabaseUrl::At(url);
            }
        }
    }
    database.migrate_url = block.get("migrate_url").and_then(|node| secret(node, "migrate_url", reading));
    if database.url == DatabaseUrl::Embedded
        && let Some(at) = block.place_of("migrate_url")
        && database.migrate_url.is_some()
    {
        let problem = "`migrate_url` means nothing with the embedded database, which migrates itself";
        reading.complaints.add(at, problem, "remove it, or set `url` to a PostgreSQL");
    }
    database
}

fn audit(node: Option<&Node>, reading: &mut Reading<'_>) -> Audit {
    let data = reading.folder.join("data");
    let mut audit = Audit { checkpoints: data.join("checkpoints"), key: Secret::File(data.join("audit.key")) };
    let Some(block) = section(node, "audit", AUDIT_KEYS, reading.complaints) else { return audit };
    match block.get("checkpoints") {
        Some(Node { at, value: Value::Text(text) }) if text.contains("://") => {
            let problem = "checkpoints outside the file system are not in this version";
            reading.complaints.add(at, problem, "name a folder, on another disk or a network share when you can");
        }
        _ => {
            if let Some(folder) = path(&block, "checkpoints", reading.complaints) {
                audit.checkpoints = folder;
            }
        }
    }
    if let Some(key) = block.get("key").and_then(|node| secret(node, "key", reading)) {
        audit.key = key;
    }
    audit
}

fn sweep(node: Option<&Node>, complaints: &mut Complaints) -> Sweep {
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let mut sweep = Sweep { pulls: minutes(2), branches: minutes(1), policies: minutes(60) };
    let Some(block) = section(node, "sweep", SWEEP_KEYS, complaints) else { return sweep };
    let Sweep { pulls, branches, policies } = &mut sweep;
    for (key, every) in [("pulls", pulls), ("branches", branches), ("policies", policies)] {
        if let Some(seconds) = block.seconds(key, LONGEST_SWEEP_SECONDS, complaints) {
            *every = Duration::from_secs(seconds);
        }
    }
    sweep
}
