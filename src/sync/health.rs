//! Whether a live object is well, after the rules that kstatus documents (cli-utils of the Kubernetes project), with
//! two differences: a Job is waited for until it is complete, and a workload without any status is not well yet.
//!
//! Judged from the object alone, so the same value always gives the same verdict; how long to wait is the caller's.

mod workloads;

use serde_json::Value;

use crate::ids::ObjectKey;

/// How an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does what its spec says.
    Healthy,
    /// Not yet, and why.
    Progressing(String),
    /// It will not by itself, and why.
    Failed(String),
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
            | "policy"
            | "autoscaling"
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

/// Judges a live object.
pub fn health(key: &ObjectKey, live: &Value) -> Health {
    if live.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null()) {
        return Health::progressing("is being deleted");
    }
    let generation = number(live, "/metadata/generation");
    let observed = number(live, "/status/observedGeneration");
    let workload = match (key.group.as_str(), key.kind.as_str()) {
        ("apps", "Deployment") => Some(workloads::deployment as fn(&Value) -> Health),
        ("apps", "StatefulSet") => Some(workloads::stateful_set as _),
        ("apps", "DaemonSet") => Some(workloads::daemon_set as _),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => Some(workloads::replica_set as _),
        _ => None,
    };
    match (generation, observed) {
        (Some(wanted), Some(seen)) if seen < wanted => {
            return Health::progressing(format!("its controller has seen generation {seen} of {wanted}"));
        }
        (Some(_), None) if workload.is_some() => return Health::progressing("its controller has not seen it yet"),
        _ => {}
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
        _ => by_conditions(live, generation),
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

/// What any other object says in its conditions: `Stalled`, `Reconciling`, `Ready` (and `Available`, which API services
/// have in its place). No conditions at all is all there will ever be of many kinds: well.
fn by_conditions(live: &Value, generation: Option<i64>) -> Health {
    if let Some(found) = condition(live, "Stalled").filter(|found| found.status == "True") {
        return Health::Failed(found.because("is stalled"));
    }
    if let Some(found) = condition(live, "Reconciling").filter(|found| found.status == "True") {
        return Health::progressing(found.because("is being reconciled"));
    }
    let Some(ready) = condition(live, "Ready").or_else(|| condition(live, "Available")) else {
        return Health::Healthy;
    };
    if let (Some(seen), Some(wanted)) = (ready.observed, generation)
        && seen < wanted
    {
        return Health::progressing(format!("`{}` is about generation {seen} of {wanted}", ready.kind));
    }
    match ready.status {
        "True" => Health::Healthy,
        _ => Health::progressing(ready.because("is not ready")),
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
    let conditions = live.pointer("/status/conditions")?.as_array()?;
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
