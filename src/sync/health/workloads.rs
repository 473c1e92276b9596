use serde_json::Value;

use super::{Health, condition, number, text};

/// A number of `status`; one that is absent is zero.
fn status(live: &Value, name: &str) -> i64 {
    live.pointer("/status").and_then(|status| status.get(name)).and_then(Value::as_i64).unwrap_or(0)
}

fn wanted_replicas(live: &Value) -> i64 {
    number(live, "/spec/replicas").unwrap_or(1)
}

/// The first count that is short of `wanted`.
fn short_of(live: &Value, wanted: i64, counts: &[(&str, &str)]) -> Option<Health> {
    let (name, what) = counts.iter().find(|(name, _)| status(live, name) < wanted)?;
    Some(Health::progressing(format!("{} of {wanted} {what}", status(live, name))))
}

pub(super) fn deployment(live: &Value) -> Health {
    if let Some(found) = condition(live, "Progressing").filter(|found| found.reason == "ProgressDeadlineExceeded") {
        return Health::Failed(found.because("made no progress in time"));
    }
    let wanted = wanted_replicas(live);
    if let Some(short) = short_of(live, wanted, &[("updatedReplicas", "replicas are updated")]) {
        return short;
    }
    let (all, updated) = (status(live, "replicas"), status(live, "updatedReplicas"));
    if all > updated {
        return Health::progressing(format!("{} old replicas are still there", all - updated));
    }
    let counts = [
        ("replicas", "replicas are there"),
        ("availableReplicas", "replicas are available"),
        ("readyReplicas", "replicas are ready"),
    ];
    if let Some(short) = short_of(live, wanted, &counts) {
        return short;
    }
    match condition(live, "Available") {
        Some(found) if found.status != "True" => Health::progressing(found.because("is not available")),
        _ => Health::Healthy,
    }
}

pub(super) fn stateful_set(live: &Value) -> Health {
    if text(live, "/spec/updateStrategy/type") == Some("OnDelete") {
        // Pods are replaced when somebody deletes them; nothing to wait for.
        return Health::Healthy;
    }
    let wanted = wanted_replicas(live);
    let counts = [("replicas", "replicas are there"), ("readyReplicas", "replicas are ready")];
    if let Some(short) = short_of(live, wanted, &counts) {
        return short;
    }
    if status(live, "replicas") > wanted {
        return Health::progressing(format!("{} replicas too many", status(live, "replicas") - wanted));
    }
    let partition = number(live, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
    if partition > 0 {
        // Only the pods from the partition on are updated; the others keep the old revision on purpose.
        let updated = (wanted - partition).max(0);
        return short_of(live, updated, &[("updatedReplicas", "replicas beyond the partition are updated")])
            .unwrap_or(Health::Healthy);
    }
    if text(live, "/status/currentRevision") != text(live, "/status/updateRevision") {
        return Health::progressing(format!("{} of {wanted} replicas are updated", status(live, "updatedReplicas")));
    }
    Health::Healthy
}

pub(super) fn daemon_set(live: &Value) -> Health {
    if text(live, "/spec/updateStrategy/type") == Some("OnDelete") {
        return Health::Healthy;
    }
    let wanted = status(live, "desiredNumberScheduled");
    let counts = [
        ("currentNumberScheduled", "nodes have its pod"),
        ("updatedNumberScheduled", "nodes are updated"),
        ("numberAvailable", "nodes are available"),
        ("numberReady", "nodes are ready"),
    ];
    short_of(live, wanted, &counts).unwrap_or(Health::Healthy)
}

pub(super) fn replica_set(live: &Value) -> Health {
    if let Some(found) = condition(live, "ReplicaFailure").filter(|found| found.status == "True") {
        return Health::progressing(found.because("cannot make its pods"));
    }
    let wanted = wanted_replicas(live);
    let counts = [
        ("replicas", "replicas are there"),
        ("availableReplicas", "replicas are available"),
        ("readyReplicas", "replicas are ready"),
    ];
    if let Some(short) = short_of(live, wanted, &counts) {
        return short;
    }
    match status(live, "replicas") - wanted {
        0 => Health::Healthy,
        extra => Health::progressing(format!("{extra} replicas too many")),
    }
}

/// Whether a Job has done what it is for.
pub(super) fn is_complete(live: &Value) -> bool {
    condition(live, "Complete").is_some_and(|found| found.status == "True")
}

pub(super) fn job(live: &Value) -> Health {
    let is_true = |kind| condition(live, kind).filter(|found| found.status == "True");
    if let Some(found) = is_true("Failed") {
        return Health::Failed(found.because("has failed"));
    }
    if is_complete(live) || is_true("Suspended").is_some() {
        return Health::Healthy;
    }
    let (done, wanted) = (status(live, "succeeded"), number(live, "/spec/completions").unwrap_or(1));
    Health::progressing(format!("{done} of {wanted} pods have succeeded"))
}

pub(super) fn pod(live: &Value) -> Health {
    let waiting = |path| {
        let containers = live.pointer(path).and_then(Value::as_array)?;
        let stuck =
            |one: &Value| Some((text(one, "/name")?.to_owned(), text(one, "/state/waiting/reason")?.to_owned()));
        containers.iter().find_map(stuck)
    };
    match text(live, "/status/phase") {
        Some("Succeeded") => return Health::Healthy,
        Some("Failed") => {
            let why =
                text(live, "/status/message").or_else(|| text(live, "/status/reason")).unwrap_or("its phase is Failed");
            return Health::Failed(why.to_owned());
        }
        _ => {}
    }
    if let Some((name, reason)) =
        waiting("/status/initContainerStatuses").or_else(|| waiting("/status/containerStatuses"))
    {
        let why = format!("container {name} waits: {reason}");
        return if reason == "CrashLoopBackOff" { Health::Failed(why) } else { Health::Progressing(why) };
    }
    match condition(live, "Ready") {
        Some(found) if found.status == "True" => Health::Healthy,
        Some(found) => Health::progressing(found.because("is not ready")),
        None => match condition(live, "PodScheduled").filter(|found| found.status == "False") {
            Some(found) => Health::progressing(found.because("is not scheduled")),
            None => Health::progressing("is not ready"),
        },
    }
}
