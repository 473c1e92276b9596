//! Kinds of well-known projects, by what those projects document of their status. What each rule was read from, with a
//! status of each outcome, is in `tests/cases/health`.
//!
//! A controller that has not said anything yet is waited for; one that was told to leave an object alone (suspended,
//! paused) says nothing, so its object is unknown.

use serde_json::Value;

use super::{Condition, Health, condition, number, of_conditions, text};

/// Judges an object whose kind is known; `None` for any other.
pub(super) fn judge(group: &str, kind: &str, live: &Value) -> Option<Health> {
    let verdict = match (group, kind) {
        ("cert-manager.io", "Certificate") => certificate(live),
        ("cert-manager.io", "Issuer" | "ClusterIssuer") => ready(live, Unready::Fails),
        ("argoproj.io", "Rollout") => rollout(live),
        ("argoproj.io", "Application") => application(live),
        ("flagger.app", "Canary") => canary(live),
        ("kustomize.toolkit.fluxcd.io" | "helm.toolkit.fluxcd.io" | "source.toolkit.fluxcd.io", _) => flux(live),
        ("serving.knative.dev", "Service" | "Configuration" | "Route" | "Revision") => ready(live, Unready::Fails),
        ("gateway.networking.k8s.io", "Gateway") => gateway(live),
        ("gateway.networking.k8s.io", "GatewayClass") => accepted(live),
        ("gateway.networking.k8s.io", "HTTPRoute" | "GRPCRoute" | "TLSRoute" | "TCPRoute" | "UDPRoute") => route(live),
        ("external-secrets.io", "ExternalSecret") => external_secret(live),
        ("external-secrets.io", "SecretStore" | "ClusterSecretStore") => ready(live, Unready::Fails),
        ("cluster.x-k8s.io", "Cluster") => cluster_api(live, &["Provisioned"]),
        ("cluster.x-k8s.io", "Machine" | "MachineDeployment" | "MachinePool") => cluster_api(live, &["Running"]),
        ("pkg.crossplane.io", "Provider" | "Configuration" | "Function") => package(live),
        // Claims and composites have groups of their makers' own, and the same two conditions.
        _ if group.ends_with(".crossplane.io") || group.ends_with(".upbound.io") => crossplane(live),
        _ if condition(live, "Synced").is_some() && condition(live, "Ready").is_some() => crossplane(live),
        _ => return None,
    };
    Some(verdict)
}

/// What it means that the condition is `False`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unready {
    /// The controller tried, and says why it could not.
    Fails,
    /// It is on its way.
    Waits,
}

fn silent() -> Health {
    Health::progressing("its controller has said nothing yet")
}

fn generation(live: &Value) -> Option<i64> {
    number(live, "/metadata/generation")
}

fn ready(live: &Value, unready: Unready) -> Health {
    condition(live, "Ready").map_or_else(silent, |found| of(&found, live, "is not ready", unready))
}

fn of(found: &Condition<'_>, live: &Value, otherwise: &str, unready: Unready) -> Health {
    if let Some(stale) = found.stale(generation(live)) {
        return stale;
    }
    match (found.status, unready) {
        ("True", _) => Health::Healthy,
        ("False", Unready::Fails) => Health::Failed(found.because(otherwise)),
        _ => Health::progressing(found.because(otherwise)),
    }
}

/// Not ready is how every certificate begins; that issuing it failed is said by another condition.
fn certificate(live: &Value) -> Health {
    let Some(found) = condition(live, "Ready") else { return silent() };
    if found.reason == "ConfigError" {
        return of(&found, live, "is not ready", Unready::Fails);
    }
    match condition(live, "Issuing") {
        // With the reason of the request that failed, was denied, or is invalid.
        Some(issuing) if issuing.status == "False" && found.status != "True" => {
            of(&issuing, live, "could not be issued", Unready::Fails)
        }
        _ => of(&found, live, "is not ready", Unready::Waits),
    }
}

fn rollout(live: &Value) -> Health {
    if let Some(found) = condition(live, "InvalidSpec").filter(|found| found.status == "True") {
        return Health::Failed(found.because("is not valid"));
    }
    let said = |what: &str| match text(live, "/status/message") {
        Some(message) => format!("{what}: {message}"),
        None => what.to_owned(),
    };
    match text(live, "/status/phase") {
        Some("Healthy") => Health::Healthy,
        Some("Degraded") => Health::Failed(said("is degraded")),
        // Somebody, or an analysis, has to let it go on.
        Some("Paused") => Health::Progressing(said("is paused")),
        Some("Progressing") => Health::Progressing(said("is rolling out")),
        Some(other) => Health::Unknown(format!("its phase is {other}")),
        None => silent(),
    }
}

/// What Flagger says of the newest change it has seen of the workload: it looks every so often.
fn canary(live: &Value) -> Health {
    let because = |what: &str| condition(live, "Promoted").map_or_else(|| what.to_owned(), |found| found.because(what));
    match text(live, "/status/phase") {
        Some("Initialized" | "Succeeded") => Health::Healthy,
        Some("Failed") => Health::Failed(because("the canary failed and was taken back")),
        Some("" | "Initializing" | "Waiting" | "Progressing" | "WaitingPromotion" | "Promoting" | "Finalising") => {
            let weight = number(live, "/status/canaryWeight").unwrap_or(0);
            Health::Progressing(format!("{} (weight {weight})", because("the canary is on its way")))
        }
        Some(other) => Health::Unknown(format!("its phase is {other}")),
        None => silent(),
    }
}

fn flux(live: &Value) -> Health {
    if live.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
        return Health::Unknown("it is suspended".to_owned());
    }
    if let Some(found) = condition(live, "Stalled").filter(|found| found.status == "True") {
        return Health::Failed(found.because("is stalled"));
    }
    if let Some(found) = condition(live, "Reconciling").filter(|found| found.status == "True") {
        return Health::progressing(found.because("is being reconciled"));
    }
    ready(live, Unready::Fails)
}

fn application(live: &Value) -> Health {
    let operation = text(live, "/status/operationState/phase").unwrap_or_default();
    if matches!(operation, "Failed" | "Error") {
        let why = text(live, "/status/operationState/message").unwrap_or("no reason is given");
        return Health::Failed(format!("its last operation failed: {}", why.chars().take(300).collect::<String>()));
    }
    let health = text(live, "/status/health/status").unwrap_or_default();
    let why = match text(live, "/status/health/message") {
        Some(message) => format!("is {health}: {}", message.chars().take(300).collect::<String>()),
        None => format!("is {health}"),
    };
    // Without automation it stays out of sync until somebody acts.
    let follows = live.pointer("/spec/syncPolicy/automated").is_some_and(|automated| !automated.is_null());
    match health {
        "Degraded" => Health::Failed(why),
        "Progressing" | "Missing" => Health::Progressing(why),
        "Healthy" if follows && text(live, "/status/sync/status") != Some("Synced") => {
            Health::progressing("is healthy, and not yet in sync")
        }
        "Healthy" => Health::Healthy,
        "" => silent(),
        _ => Health::Unknown(why),
    }
}

/// Reasons of a gateway that is not programmed yet, and will be.
const ON_THE_WAY: &[&str] = &["Pending", "Waiting"];

fn gateway(live: &Value) -> Health {
    for listener in live.pointer("/status/listeners").and_then(Value::as_array).into_iter().flatten() {
        let Some(conditions) = listener.pointer("/conditions") else { continue };
        let refuses = |found: &Condition<'_>| found.status == "False" && found.stale(generation(live)).is_none();
        let refused = |kind| of_conditions(conditions, kind).filter(refuses);
        if let Some(found) = refused("Accepted").or_else(|| refused("ResolvedRefs")) {
            let name = text(listener, "/name").unwrap_or_default();
            return Health::Failed(found.because(&format!("listener {name} is not resolved")));
        }
    }
    match accepted(live) {
        Health::Healthy => {}
        other => return other,
    }
    let Some(found) = condition(live, "Programmed") else { return silent() };
    let unready = if ON_THE_WAY.contains(&found.reason) { Unready::Waits } else { Unready::Fails };
    of(&found, live, "is not programmed", unready)
}

fn accepted(live: &Value) -> Health {
    let Some(found) = condition(live, "Accepted") else { return silent() };
    let unready = if ON_THE_WAY.contains(&found.reason) { Unready::Waits } else { Unready::Fails };
    of(&found, live, "is not accepted", unready)
}

/// A route is as well as with each of its parents.
fn route(live: &Value) -> Health {
    let parents = live.pointer("/status/parents").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut verdict = if parents.is_empty() { silent() } else { Health::Healthy };
    for parent in parents {
        let name = text(parent, "/parentRef/name").unwrap_or("its parent");
        let Some(conditions) = parent.pointer("/conditions") else { return silent() };
        for (kind, otherwise) in [("Accepted", "does not accept it"), ("ResolvedRefs", "does not find what it names")] {
            let judged = match of_conditions(conditions, kind) {
                Some(found) => {
                    let unready = if ON_THE_WAY.contains(&found.reason) { Unready::Waits } else { Unready::Fails };
                    of(&found, live, &format!("{name} {otherwise}"), unready)
                }
                None if kind == "Accepted" => silent(),
                None => Health::Healthy,
            };
            match judged {
                Health::Failed(_) => return judged,
                Health::Healthy => {}
                Health::Progressing(_) | Health::Unknown(_) => verdict = judged,
            }
        }
    }
    verdict
}

/// Its conditions do not say which generation they are about; what it synced last does. An error that is older than the
/// object is waited out.
fn external_secret(live: &Value) -> Health {
    let synced = text(live, "/status/syncedResourceVersion").and_then(|seen| seen.split('-').next());
    let synced = synced.and_then(|seen| seen.parse::<i64>().ok());
    let is_older = matches!((synced, generation(live)), (Some(seen), Some(wanted)) if seen < wanted);
    match condition(live, "Ready") {
        None => silent(),
        Some(found) if is_older => Health::progressing(found.because("was not synced since it changed")),
        Some(found) => of(&found, live, "is not synced", Unready::Fails),
    }
}

fn cluster_api(live: &Value, well: &[&str]) -> Health {
    let is_paused = live.pointer("/spec/paused") == Some(&Value::Bool(true))
        || live.pointer("/metadata/annotations/cluster.x-k8s.io~1paused").is_some();
    if is_paused {
        return Health::Unknown("it is paused".to_owned());
    }
    if let Some(why) = text(live, "/status/failureMessage").or_else(|| text(live, "/status/failureReason")) {
        return Health::Failed(why.chars().take(300).collect());
    }
    match text(live, "/status/phase") {
        Some(phase) if well.contains(&phase) => {
            // `Available` is how the newer versions of the API say it.
            match condition(live, "Available").or_else(|| condition(live, "Ready")) {
                Some(found) => of(&found, live, "is not ready", Unready::Waits),
                None => Health::Healthy,
            }
        }
        Some("Failed") => Health::Failed("its phase is Failed".to_owned()),
        Some("Unknown") => Health::Unknown("its phase is Unknown".to_owned()),
        Some(phase) => Health::Progressing(format!("its phase is {phase}")),
        None => silent(),
    }
}

/// `Synced` is whether the provider took what is written, `Ready` whether it is there.
fn crossplane(live: &Value) -> Health {
    match condition(live, "Synced") {
        Some(found) if found.reason == "ReconcilePaused" => return Health::Unknown("it is paused".to_owned()),
        Some(found) if found.status == "False" => {
            return of(&found, live, "cannot be synced", Unready::Fails);
        }
        Some(_) => {}
        // A configuration of a provider, for one, is only read.
        None if condition(live, "Ready").is_none() => {
            return match live.pointer("/status/conditions") {
                Some(_) => Health::Unknown(super::untold(live)),
                None => silent_or_read(live),
            };
        }
        None => {}
    }
    ready(live, Unready::Waits)
}

/// Kinds of Crossplane that are only read never get a status.
fn silent_or_read(live: &Value) -> Health {
    match text(live, "/kind") {
        Some("ProviderConfig" | "ClusterProviderConfig" | "Composition" | "EnvironmentConfig" | "StoreConfig") => {
            Health::Unknown("it is only read by others".to_owned())
        }
        _ => silent(),
    }
}

fn package(live: &Value) -> Health {
    if let Some(found) = condition(live, "Installed").filter(|found| found.status == "False") {
        // Unpacking comes first, and somebody else may activate it.
        let waits = ["UnpackingPackage", "InactivePackageRevision"].contains(&found.reason);
        let unready = if waits { Unready::Waits } else { Unready::Fails };
        return of(&found, live, "is not installed", unready);
    }
    match condition(live, "Healthy") {
        Some(found) if found.reason == "UnknownPackageRevisionHealth" => {
            Health::progressing(found.because("is not healthy"))
        }
        Some(found) => of(&found, live, "is not healthy", Unready::Fails),
        None => silent(),
    }
}
