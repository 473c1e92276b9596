use serde_json::{Value, json};

use super::*;

/// Each case: kind, live object, and what a person reads.
fn check(cases: &[(&str, &str, Value)]) -> String {
    let judge = |(group, kind, live): &(&str, &str, Value)| {
        let key = ObjectKey {
            group: (*group).to_owned(),
            kind: (*kind).to_owned(),
            namespace: Some("shop".to_owned()),
            name: "x".to_owned(),
        };
        match health(&key, live) {
            Health::Healthy => "healthy".to_owned(),
            Health::Progressing(why) => format!("not yet: {why}"),
            Health::Failed(why) => format!("failed: {why}"),
            Health::Unknown(why) => format!("unknown: {why}"),
        }
    };
    cases.iter().map(judge).collect::<Vec<_>>().join("\n")
}

fn rolled_out(status: Value) -> Value {
    let mut live = json!({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": {
        "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
        "currentRevision": "b", "updateRevision": "b", "conditions": [{"type": "Available", "status": "True"}]}});
    for (name, value) in status.as_object().unwrap() {
        live["status"][name] = value.clone();
    }
    live
}

#[test]
fn a_deployment_is_well_when_every_replica_is_new_and_available() {
    let deployment = |status| ("apps", "Deployment", rolled_out(status));
    insta::assert_snapshot!(check(&[
        deployment(json!({})),
        deployment(json!({"observedGeneration": 1})),
        ("apps", "Deployment", json!({"metadata": {"generation": 1}, "spec": {}})),
        deployment(json!({"updatedReplicas": 1})),
        deployment(json!({"replicas": 3})),
        deployment(json!({"availableReplicas": 1})),
        deployment(json!({"conditions": [{"type": "Available", "status": "False", "message": "no quorum"}]})),
        deployment(json!({"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}]})),
        ("apps", "Deployment", json!({"metadata": {"generation": 1}, "spec": {"replicas": 0}, "status": {"observedGeneration": 1}})),
        ("apps", "Deployment", json!({"metadata": {"generation": 1, "deletionTimestamp": "2026-01-01T00:00:00Z"}})),
    ]), @r"
    healthy
    not yet: its controller has seen generation 1 of 2
    not yet: its controller has not seen it yet
    not yet: 1 of 2 replicas are updated
    not yet: 1 old replicas are still there
    not yet: 1 of 2 replicas are available
    not yet: is not available: no quorum
    failed: made no progress in time: timed out
    healthy
    not yet: is being deleted
    ");
}

#[test]
fn a_stateful_set_is_well_when_what_lies_beyond_its_partition_is_new() {
    let set = |spec: Value, status| {
        let mut live = rolled_out(status);
        live["spec"]["updateStrategy"] = spec;
        ("apps", "StatefulSet", live)
    };
    let partition = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}});
    insta::assert_snapshot!(check(&[
        set(json!({}), json!({})),
        set(json!({}), json!({"updateRevision": "c", "updatedReplicas": 1})),
        set(json!({}), json!({"readyReplicas": 1})),
        set(json!({}), json!({"replicas": 3})),
        set(partition.clone(), json!({"updateRevision": "c", "updatedReplicas": 1})),
        set(partition, json!({"updateRevision": "c", "updatedReplicas": 0})),
        set(json!({"type": "OnDelete"}), json!({"updateRevision": "c", "updatedReplicas": 0})),
    ]), @r"
    healthy
    not yet: 1 of 2 replicas are updated
    not yet: 1 of 2 replicas are ready
    not yet: 1 replicas too many
    healthy
    not yet: 0 of 1 replicas beyond the partition are updated
    healthy
    ");
}

#[test]
fn a_daemon_set_is_well_when_every_node_is() {
    let set = |ready: i64| {
        (
            "apps",
            "DaemonSet",
            json!({"metadata": {"generation": 1}, "status": {"observedGeneration": 1,
        "desiredNumberScheduled": 3, "currentNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": ready, "numberReady": ready}}),
        )
    };
    insta::assert_snapshot!(check(&[set(3), set(2)]), @r"
    healthy
    not yet: 2 of 3 nodes are available
    ");
}

#[test]
fn what_runs_once_is_waited_for_until_it_is_done() {
    let job = |status| ("batch", "Job", json!({"spec": {"completions": 2}, "status": status}));
    let pod = |status| ("", "Pod", json!({"status": status}));
    insta::assert_snapshot!(check(&[
        job(json!({"succeeded": 1})),
        job(json!({"conditions": [{"type": "Complete", "status": "True"}]})),
        job(json!({"conditions": [{"type": "Failed", "status": "True", "message": "backoff limit"}]})),
        job(json!({"conditions": [{"type": "Suspended", "status": "True"}]})),
        pod(json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]})),
        pod(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})),
        pod(json!({"phase": "Running", "containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]})),
        pod(json!({"phase": "Pending", "containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]})),
        pod(json!({"phase": "Succeeded"})),
        pod(json!({"phase": "Failed", "reason": "Evicted"})),
        pod(json!({})),
    ]), @r"
    not yet: 1 of 2 pods have succeeded
    healthy
    failed: has failed: backoff limit
    healthy
    not yet: is not scheduled: 0/1 nodes
    healthy
    failed: container web waits: CrashLoopBackOff
    not yet: container web waits: ImagePullBackOff
    healthy
    failed: Evicted
    not yet: is not ready
    ");
}

#[test]
fn storage_addresses_definitions_and_anything_with_a_ready_condition() {
    let ready = |status, observed: i64| {
        (
            "example.com",
            "Widget",
            json!({"metadata": {"generation": 2}, "status": {
        "conditions": [{"type": "Ready", "status": status, "observedGeneration": observed, "message": "words"}]}}),
        )
    };
    let definition = |conditions| {
        ("apiextensions.k8s.io", "CustomResourceDefinition", json!({"status": {"conditions": conditions}}))
    };
    insta::assert_snapshot!(check(&[
        ("", "PersistentVolumeClaim", json!({"status": {"phase": "Bound"}})),
        ("", "PersistentVolumeClaim", json!({"status": {"phase": "Pending"}})),
        ("", "PersistentVolumeClaim", json!({"status": {"phase": "Lost"}})),
        ("", "Service", json!({"spec": {"type": "ClusterIP"}})),
        ("", "Service", json!({"spec": {"type": "LoadBalancer"}})),
        ("", "Service", json!({"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}})),
        definition(json!([])),
        definition(json!([{"type": "Established", "status": "True"}])),
        definition(json!([{"type": "NamesAccepted", "status": "False", "message": "taken"}])),
        ready("True", 2),
        ready("True", 1),
        ready("False", 2),
        ready("Unknown", 2),
        ("example.com", "Widget", json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}})),
        ("example.com", "Widget", json!({"status": {"conditions": [{"type": "Stalled", "status": "True", "message": "no"}]}})),
        ("example.com", "Widget", json!({"status": {"conditions": [{"type": "Reconciling", "status": "True"}, {"type": "Ready", "status": "True"}]}})),
        ("example.com", "Widget", json!({})),
    ]), @r"
    healthy
    not yet: is Pending, not Bound
    failed: its volume is lost
    healthy
    not yet: has no load balancer address yet
    healthy
    not yet: is not established yet
    healthy
    failed: its names are not accepted: taken
    healthy
    not yet: `Ready` is about generation 1 of 2
    not yet: is not ready: words
    not yet: is not ready: words
    not yet: its controller has seen generation 1 of 2
    failed: is stalled: no
    not yet: is being reconciled
    unknown: it has no conditions, and no rule says when its kind is well
    ");
}
