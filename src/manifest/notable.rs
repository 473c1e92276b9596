//! What a person who judges a change looks for first: other images, other sizes, other rights, other doors, and what the
//! API server will not change in place.
//!
//! Read from both sides of an object, whatever of it is folded away later. Values are made visible here, and no value of
//! a Secret is among them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fixed::fixed;
use super::hooks::hook;
use super::set::Object;
use super::visible::visible;

/// Facts kept of one object: the diff has the others.
const MOST: usize = 20;
/// Objects of one rule that are looked at: every resource of every group it names.
const WIDEST: usize = 1_000;
/// Verbs of one rule that are looked at; there are a dozen.
const VERBS: usize = 50;
/// Characters kept of one value.
const LONGEST: usize = 200;
/// The same of the verbs of a right, so that what they are allowed on is read as well.
const SHORTEST: usize = 60;

/// One fact about an object's change. Stored with a preview, so kinds are only added.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Notable {
    /// A container runs another image.
    Image {
        /// Which container.
        container: String,
        /// Before; `None` for a container that is new.
        old: Option<String>,
        /// After; `None` for one that leaves.
        new: Option<String>,
    },
    /// Another number of replicas.
    Replicas {
        /// Before; `None` where the file does not say.
        old: Option<String>,
        /// After.
        new: Option<String>,
    },
    /// A container asks for, or may use, another amount.
    Resources {
        /// Which container.
        container: String,
        /// `limits.memory`
        what: String,
        /// Before.
        old: Option<String>,
        /// After.
        new: Option<String>,
    },
    /// It lets somebody do something, or no longer.
    Access {
        /// Whether it is given (or else taken away).
        given: bool,
        /// `get, list secrets`, or `ClusterRole cluster-admin to ServiceAccount shop/web`.
        what: String,
    },
    /// It can be reached otherwise than before.
    Exposure {
        /// `type`, `port http`, `host`.
        what: String,
        /// Before.
        old: Option<String>,
        /// After.
        new: Option<String>,
    },
    /// The API server refuses to change this field of an object that is there.
    Fixed {
        /// `spec.selector`
        field: String,
    },
    /// It is no part of what runs: it is run, once for each set, and awaited.
    Hook {
        /// `pre-install, pre-upgrade`
        acts: String,
    },
    /// There is more than is said.
    More {
        /// How many facts.
        count: usize,
    },
}

/// What is notable about an object that is added (`old` is none) or changed.
pub(super) fn notable(old: Option<&Object>, new: &Object) -> Vec<Notable> {
    let before = old.map(|old| &old.json);
    let mut facts = Vec::new();
    let hook = hook(&new.json);
    let is_hook = hook.is_some();
    facts.extend(hook.map(|hook| Notable::Hook { acts: short(&visible(&hook.acts)) }));
    if let Some(old) = old {
        // A hook is made anew for each run.
        let kept = (!is_hook).then(|| fixed(&new.key, &old.json, &new.json)).into_iter().flatten();
        facts.extend(kept.map(|field| Notable::Fixed { field: short(&visible(&field)) }));
        containers(&old.json, &new.json, &mut facts);
        let replicas = |json: &Value| text(&json["spec"]["replicas"]);
        let (old, new) = (replicas(&old.json), replicas(&new.json));
        if old != new {
            facts.push(Notable::Replicas { old, new });
        }
    }
    access(new, before, &mut facts);
    exposure(new, before, &mut facts);
    if facts.len() > MOST {
        let count = facts.len() - MOST;
        facts.truncate(MOST);
        facts.push(Notable::More { count });
    }
    facts
}

/// A value that people read, short and visible; `None` for what is not there.
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => visible(text),
        other => visible(&other.to_string()),
    };
    Some(short(&text))
}

fn short(text: &str) -> String {
    clipped(text, LONGEST)
}

fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// Where pods are described: in a Pod, in a template of any kind, and in a CronJob's template of a Job.
fn pod(json: &Value) -> &Value {
    let spec = &json["spec"];
    let within = [&spec["template"]["spec"], &spec["jobTemplate"]["spec"]["template"]["spec"], spec];
    within.into_iter().find(|spec| spec["containers"].is_array()).unwrap_or(&Value::Null)
}

fn containers(old: &Value, new: &Value, facts: &mut Vec<Notable>) {
    let (before, after) = (by_name(pod(old)), by_name(pod(new)));
    let names: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    for name in names {
        let of = |side: &BTreeMap<&str, &Value>| side.get(name).map_or(Value::Null, |one| (*one).clone());
        let (before, after) = (of(&before), of(&after));
        let container = short(&visible(name));
        let (old, new) = (text(&before["image"]), text(&after["image"]));
        if old != new {
            facts.push(Notable::Image { container: container.clone(), old, new });
        }
        if before.is_null() || after.is_null() {
            continue;
        }
        let (before, after) = (amounts(&before["resources"]), amounts(&after["resources"]));
        let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for what in all.into_iter().filter(|what| before.get(*what) != after.get(*what)) {
            let (old, new) = (before.get(what).cloned(), after.get(what).cloned());
            facts.push(Notable::Resources { container: container.clone(), what: what.clone(), old, new });
        }
    }
}

fn by_name(pod: &Value) -> BTreeMap<&str, &Value> {
    let lists = ["initContainers", "containers"].into_iter().filter_map(|list| pod[list].as_array()).flatten();
    lists.filter_map(|one| Some((one["name"].as_str()?, one))).collect()
}

/// `limits.memory` → `512Mi`.
fn amounts(resources: &Value) -> BTreeMap<String, String> {
    let mut amounts = BTreeMap::new();
    for list in ["requests", "limits"] {
        for (what, amount) in resources[list].as_object().into_iter().flatten() {
            amounts.extend(text(amount).map(|amount| (format!("{list}.{}", short(&visible(what))), amount)));
        }
    }
    amounts
}

fn access(new: &Object, old: Option<&Value>, facts: &mut Vec<Notable>) {
    if new.key.group != "rbac.authorization.k8s.io" {
        return;
    }
    let (before, after) = (old.map(rights).unwrap_or_default(), rights(&new.json));
    let mut tell = |given, rights: &mut dyn Iterator<Item = &Right>| {
        let mut by_object: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        rights.for_each(|right| by_object.entry(&right.on).or_default().push(&right.verb));
        for (on, verbs) in by_object {
            // What it is about is never what is cut off.
            let verbs = clipped(&visible(&verbs.join(", ")), SHORTEST);
            let what = short(visible(&format!("{verbs} {on}")).trim());
            facts.push(Notable::Access { given, what });
        }
    };
    tell(true, &mut after.difference(&before));
    tell(false, &mut before.difference(&after));
}

/// One thing somebody may do, so that a list that grows is told by what it has more.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    /// `secrets`, `deployments of apps named web`, `/metrics`; of a binding: `ClusterRole view to User lee`.
    on: String,
    /// `get`; empty for a binding.
    verb: String,
}

fn rights(json: &Value) -> BTreeSet<Right> {
    let words = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in json["rules"].as_array().into_iter().flatten() {
        let (groups, names) = (words(&rule["apiGroups"]), words(&rule["resourceNames"]));
        let named = if names.is_empty() { String::new() } else { short(&format!(" named {}", names.join(", "))) };
        let within = |group: &String| if group.is_empty() { String::new() } else { format!(" of {group}") };
        let resources = words(&rule["resources"]);
        let (groups, named, within) = (&groups, &named, &within);
        let resources = resources
            .iter()
            .flat_map(|resource| groups.iter().map(move |group| short(&format!("{resource}{}{named}", within(group)))));
        // Bounded before it is gathered: the product of two lists of a stranger's is as large as they like.
        let all: Vec<String> = resources.chain(words(&rule["nonResourceURLs"])).take(WIDEST).collect();
        for verb in words(&rule["verbs"]).into_iter().take(VERBS) {
            rights.extend(all.iter().map(|on| Right { on: on.clone(), verb: verb.clone() }));
        }
    }
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let role = format!("{} {}", word(&json["roleRef"]["kind"]), word(&json["roleRef"]["name"]));
    for subject in json["subjects"].as_array().into_iter().flatten() {
        let namespace = word(&subject["namespace"]);
        let slash = if namespace.is_empty() { "" } else { "/" };
        let on = format!("{role} to {} {namespace}{slash}{}", word(&subject["kind"]), word(&subject["name"]));
        rights.insert(Right { on, verb: String::new() });
    }
    rights
}

fn exposure(new: &Object, old: Option<&Value>, facts: &mut Vec<Notable>) {
    let doors = match (new.key.group.as_str(), new.key.kind.as_str()) {
        ("", "Service") => service,
        ("networking.k8s.io", "Ingress") => ingress,
        ("gateway.networking.k8s.io", _) => route,
        _ => return,
    };
    let (before, after) = (old.map(doors).unwrap_or_default(), doors(&new.json));
    let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for what in all.into_iter().filter(|what| before.get(*what) != after.get(*what)) {
        let (old, new) = (before.get(what).cloned(), after.get(what).cloned());
        // One more Service within the cluster is no door.
        if old.is_none() && new.as_deref() == Some(WITHIN) {
            continue;
        }
        facts.push(Notable::Exposure { what: what.clone(), old, new });
    }
}

/// The type of a Service that nobody outside reaches, and the one it has when it names none.
const WITHIN: &str = "ClusterIP";

/// What something is reached by: `type`, `port http`, `hosts`.
type Doors = BTreeMap<String, String>;

/// A Service that stays within the cluster is no news by itself; another type, port or outer address of it is.
fn service(json: &Value) -> Doors {
    let spec = &json["spec"];
    let kind = spec["type"].as_str().unwrap_or(WITHIN);
    let mut doors = Doors::from([("type".to_owned(), short(&visible(kind)))]);
    if kind != WITHIN {
        for port in spec["ports"].as_array().into_iter().flatten() {
            let named = port["name"].as_str().map(|name| format!("port {}", short(&visible(name))));
            doors.extend(text(&port["port"]).map(|number| (named.unwrap_or_else(|| "port".to_owned()), number)));
        }
    }
    for list in ["externalIPs", "loadBalancerSourceRanges"] {
        doors.extend(text(&spec[list]).map(|value| (list.to_owned(), value)));
    }
    doors.extend(text(&spec["externalName"]).map(|value| ("externalName".to_owned(), value)));
    doors
}

fn ingress(json: &Value) -> Doors {
    let rules = json["spec"]["rules"].as_array().into_iter().flatten();
    let hosts: BTreeSet<String> = rules.map(|rule| text(&rule["host"]).unwrap_or_else(|| "*".to_owned())).collect();
    listed("hosts", hosts)
}

fn route(json: &Value) -> Doors {
    let names = json["spec"]["hostnames"].as_array().into_iter().flatten();
    let listeners = json["spec"]["listeners"].as_array().into_iter().flatten();
    let hosts = names.chain(listeners.map(|listener| &listener["hostname"])).filter_map(text);
    listed("hosts", hosts.collect())
}

fn listed(what: &str, names: BTreeSet<String>) -> Doors {
    if names.is_empty() {
        return Doors::new();
    }
    let names: Vec<String> = names.into_iter().collect();
    [(what.to_owned(), short(&names.join(", ")))].into()
}
