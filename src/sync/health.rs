//! Whether a live object is well, after the rules that kstatus documents (cli-utils of the Kubernetes project), with
//! three differences: a Job is waited for until it is complete, a workload without any status is not well yet, and a
//! custom object that says nothing we understand is unknown, not well. Kinds of well-known projects have rules of
//! their own ([`known`]).
//!
//! Judged from the object alone, so the same value always gives the same verdict; how long to wait is the caller's.

mod known;
mod workloads;

use serde_json::Value;

use crate::ids::ObjectKey;
use crate::manifest::is_built_in_group;

/// How an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does what its spec says.
    Healthy,
    /// Not yet, and why.
    Progressing(String),
    /// It will not by itself, and why.
    Failed(String),
    /// Nothing tells, and why not. Nobody waits for it: it counts as applied, and is named.
    Unknown(String),
}

impl Health {
    fn progressing(why: impl Into<String>) -> Self {
        Self::Progressing(why.into())
    }
}

/// Whether there is anything to wait for: `object` as it is sent. False for kinds that only hold what they were given.
pub fn waits(key: &ObjectKey, object: &Value) -> bool {
    match (key.group.as_str(), key.kind.as_str()) {
        ("", "Service") => text(object, "/spec/type") == Some("LoadBalancer"),
        ("", "Pod" | "PersistentVolumeClaim" | "ReplicationController") => true,
        ("", _) => false,
        ("batch", kind) => kind == "Job",
        (
            "rbac.authorization.k8s.io"
            | "networking.k8s.io"
            | "storage.k8s.io"
            | "scheduling.k8s.io"
            | "admissionregistration.k8s.io"
            | "coordination.k8s.io"
            | "node.k8s.io",
            _,
        ) => false,
        _ => true,
    }
}

/// What is true of an object whatever its kind: nothing else can be said of one that is on its way out, or that its controller
/// has not seen as it is now.
pub fn before_any_rule(live: &Value) -> Option<Health> {
    if live.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null()) {
        return Some(Health::progressing("is being deleted"));
    }
    match (number(live, "/metadata/generation"), observed(live)) {
        (Some(wanted), Some(seen)) if seen < wanted => {
            Some(Health::progressing(format!("its controller has seen generation {seen} of {wanted}")))
        }
        _ => None,
    }
}

fn observed(live: &Value) -> Option<i64> {
    // Argo Rollouts writes the number as text.
    let text = || text(live, "/status/observedGeneration").and_then(|seen| seen.parse().ok());
    number(live, "/status/observedGeneration").or_else(text)
}

/// Judges a live object.
pub fn health(key: &ObjectKey, live: &Value) -> Health {
    if let Some(verdict) = before_any_rule(live) {
        return verdict;
    }
    let generation = number(live, "/metadata/generation");
    let workload = match (key.group.as_str(), key.kind.as_str()) {
        ("apps", "Deployment") => Some(workloads::deployment as fn(&Value) -> Health),
        ("apps", "StatefulSet") => Some(workloads::stateful_set as _),
        ("apps", "DaemonSet") => Some(workloads::daemon_set as _),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => Some(workloads::replica_set as _),
        _ => None,
    };
    if workload.is_some() && generation.is_some() && observed(live).is_none() {
        return Health::progressing("its controller has not seen it yet");
    }
    if let Some(judge) = workload {
        return judge(live);
    }
    match (key.group.as_str(), key.kind.as_str()) {
        ("batch", "Job") => workloads::job(live),
        ("", "Pod") => workloads::pod(live),
        ("", "PersistentVolumeClaim") => claim(live),
        ("", "Service") => service(live),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(live),
        ("apiregistration.k8s.io", "APIService") => service_of_an_api(live),
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaler(live),
        ("policy", "PodDisruptionBudget") => budget(live),
        (group, _) if is_built_in_group(group) => built_in(live, generation),
        (group, kind) => known::judge(group, kind, live).unwrap_or_else(|| by_conditions(live, generation)),
    }
}

/// Judges what runs once: a Job or a Pod that is awaited for its end, and not for being there.
pub fn done(key: &ObjectKey, live: &Value) -> Health {
    match (key.group.as_str(), key.kind.as_str()) {
        ("batch", "Job") => match health(key, live) {
            Health::Healthy if !workloads::is_complete(live) => Health::progressing("is suspended"),
            verdict => verdict,
        },
        ("", "Pod") => match (health(key, live), text(live, "/status/phase")) {
            (Health::Healthy, Some("Succeeded")) => Health::Healthy,
            (Health::Healthy, _) => Health::progressing("runs"),
            (verdict, _) => verdict,
        },
        _ => health(key, live),
    }
}

fn claim(live: &Value) -> Health {
    match text(live, "/status/phase") {
        Some("Bound") => Health::Healthy,
        Some("Lost") => Health::Failed("its volume is lost".to_owned()),
        phase => Health::progressing(format!("is {}, not Bound", phase.unwrap_or("without a phase"))),
    }
}

fn service(live: &Value) -> Health {
    let has_ingress =
        || live.pointer("/status/loadBalancer/ingress").and_then(Value::as_array).is_some_and(|i| !i.is_empty());
    if text(live, "/spec/type") != Some("LoadBalancer") || has_ingress() {
        Health::Healthy
    } else {
        Health::progressing("has no load balancer address yet")
    }
}

fn definition(live: &Value) -> Health {
    if let Some(refused) = condition(live, "NamesAccepted").filter(|found| found.status == "False") {
        return Health::Failed(refused.because("its names are not accepted"));
    }
    match condition(live, "Established") {
        Some(found) if found.status == "True" => Health::Healthy,
        Some(found) if found.status == "False" && found.reason != "Installing" => {
            Health::Failed(found.because("is not established"))
        }
        _ => Health::progressing("is not established yet"),
    }
}

fn service_of_an_api(live: &Value) -> Health {
    match condition(live, "Available") {
        Some(found) if found.status == "True" => Health::Healthy,
        // What serves it may be on its way, in this very set.
        Some(found) => Health::progressing(found.because("is not available")),
        None => Health::progressing("was not looked at yet"),
    }
}

/// One that cannot scale yet often waits for what it scales; whether it has measurements is nobody's failure.
fn autoscaler(live: &Value) -> Health {
    match condition(live, "AbleToScale").filter(|found| found.status == "False") {
        Some(found) => Health::progressing(found.because("cannot scale")),
        None => Health::Healthy,
    }
}

fn budget(live: &Value) -> Health {
    match condition(live, "DisruptionAllowed").filter(|found| found.reason == "SyncFailed") {
        Some(found) => Health::progressing(found.because("cannot be computed")),
        None => Health::Healthy,
    }
}

/// What any other object says in its conditions: `Stalled`, `Reconciling`, `Ready` (and `Available`, which some have in
/// its place). Anything else tells nothing.
fn by_conditions(live: &Value, generation: Option<i64>) -> Health {
    if let Some(found) = condition(live, "Stalled").filter(|found| found.status == "True") {
        return Health::Failed(found.because("is stalled"));
    }
    if let Some(found) = condition(live, "Reconciling").filter(|found| found.status == "True") {
        return Health::progressing(found.because("is being reconciled"));
    }
    let Some(ready) = condition(live, "Ready").or_else(|| condition(live, "Available")) else {
        return Health::Unknown(untold(live));
    };
    if let Some(stale) = ready.stale(generation) {
        return stale;
    }
    match ready.status {
        "True" => Health::Healthy,
        _ => Health::progressing(ready.because("is not ready")),
    }
}

/// Many built-in kinds only hold what they were given, and no conditions are all there will ever be.
fn built_in(live: &Value, generation: Option<i64>) -> Health {
    match by_conditions(live, generation) {
        Health::Unknown(_) => Health::Healthy,
        told => told,
    }
}

/// Types of conditions that are named; the rest is left out.
const NAMED: usize = 5;

/// Why nothing can be said of an object of a kind nobody gave a rule for.
fn untold(live: &Value) -> String {
    let conditions = live.pointer("/status/conditions").and_then(Value::as_array);
    let types: Vec<_> = conditions.into_iter().flatten().filter_map(|one| text(one, "/type")).take(NAMED).collect();
    match types[..] {
        [] => "it has no conditions, and no rule says when its kind is well".to_owned(),
        _ => format!("no rule says when its kind is well, and none is known for its conditions ({})", types.join(", ")),
    }
}

/// One entry of `status.conditions`.
struct Condition<'a> {
    kind: &'a str,
    status: &'a str,
    reason: &'a str,
    message: &'a str,
    observed: Option<i64>,
}

impl Condition<'_> {
    /// What it means when it is about an older generation than the object's.
    fn stale(&self, generation: Option<i64>) -> Option<Health> {
        let (seen, wanted) = (self.observed?, generation?);
        (seen < wanted).then(|| Health::progressing(format!("`{}` is about generation {seen} of {wanted}", self.kind)))
    }

    /// `what`, with the controller's own words.
    fn because(&self, what: &str) -> String {
        match (self.reason, self.message) {
            ("", "") => what.to_owned(),
            (reason, "") => format!("{what}: {reason}"),
            (_, message) => format!("{what}: {}", message.chars().take(300).collect::<String>()),
        }
    }
}

fn condition<'a>(live: &'a Value, kind: &'static str) -> Option<Condition<'a>> {
    of_conditions(live.pointer("/status/conditions")?, kind)
}

/// The same of a list that is somewhere else.
fn of_conditions<'a>(conditions: &'a Value, kind: &'static str) -> Option<Condition<'a>> {
    let conditions = conditions.as_array()?;
    let found = conditions.iter().find(|entry| text(entry, "/type") == Some(kind))?;
    Some(Condition {
        kind,
        status: text(found, "/status").unwrap_or_default(),
        reason: text(found, "/reason").unwrap_or_default(),
        message: text(found, "/message").unwrap_or_default(),
        observed: number(found, "/observedGeneration"),
    })
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
