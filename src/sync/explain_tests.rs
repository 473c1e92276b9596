use serde_json::json;

use super::*;
use crate::manifest::without_secrets;

fn told(evidence: &Evidence, secrets: &[Value]) -> String {
    lines(evidence, &|text| without_secrets(text, secrets)).join("\n")
}

fn pod(name: &str, status: Value) -> Value {
    json!({"metadata": {"name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"}, "status": status})
}

fn event(kind: &str, name: &str, uid: &str, at: &str, reason: &str, message: &str) -> Value {
    json!({"type": "Warning", "involvedObject": {"kind": kind, "name": name, "uid": uid}, "lastTimestamp": at,
        "reason": reason, "message": message})
}

#[test]
fn a_crash_loop_is_told_with_its_exit_code_its_events_and_the_end_of_its_log() {
    let crashed = pod(
        "web-6b4-x1",
        json!({"phase": "Running", "containerStatuses": [
        {"name": "proxy", "ready": true, "state": {"running": {}}},
        {"name": "web", "ready": false, "restartCount": 4,
         "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}},
         "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}}}]}),
    );
    let ready = pod("web-6b4-x2", json!({"conditions": [{"type": "Ready", "status": "True"}]}));
    let evidence = Evidence {
        live: Some(json!({"metadata": {"name": "web", "uid": "d"}})),
        pods: vec![ready, crashed],
        events: vec![
            event("Pod", "web-6b4-x1", "web-6b4-x1", "2026-01-01T00:00:01Z", "BackOff", "Back-off restarting web"),
            event("Pod", "web-6b4-x1", "web-6b4-x1", "2026-01-01T00:00:02Z", "BackOff", "Back-off restarting web"),
            event("ReplicaSet", "web-6b4", "r", "2026-01-01T00:00:03Z", "FailedCreate", "quota is used up"),
            event("ReplicaSet", "web-admin-6b4", "s", "2026-01-01T00:00:04Z", "FailedCreate", "of another Deployment"),
            event("Pod", "other", "o", "2026-01-01T00:00:05Z", "BackOff", "of somebody else"),
        ],
        log: Some(Log {
            container: "web".into(),
            text: "starts\nlogs in with s3cret-word\n\u{1b}[31mno `db`\n\n".into(),
        }),
        missing: vec!["its x cannot be read".into()],
    };
    let secret = json!({"kind": "Secret", "stringData": {"token": "s3cret-word"}});
    insta::assert_snapshot!(told(&evidence, &[secret]), @r"
    pod web-6b4-x1: container web waits: CrashLoopBackOff (back-off 40s restarting failed container), and before that ended with exit code 3 (Error), 4 restarts
    event FailedCreate: quota is used up
    event BackOff: Back-off restarting web (2 times)
    last lines of web: `starts` `logs in with (redacted)` `\u{1b}[31mno 'db'`
    its x cannot be read
    ");
}

#[test]
fn what_waits_ended_or_finds_no_node_says_so() {
    let told = |status: Value| {
        let evidence = Evidence { pods: vec![pod("p", status)], ..Evidence::default() };
        told(&evidence, &[])
    };
    let all = [
        told(json!({"phase": "Pending", "containerStatuses": [
            {"name": "web", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]})),
        told(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]})),
        told(json!({"phase": "Failed", "containerStatuses": [
            {"name": "run", "state": {"terminated": {"exitCode": 1, "reason": "Error", "message": "no table"}}}]})),
        told(json!({"phase": "Pending", "initContainerStatuses": [
            {"name": "init", "state": {"terminated": {"exitCode": 2}}}],
            "containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "PodInitializing"}}}]})),
        told(json!({"phase": "Running"})),
        told(json!({"phase": "Succeeded"})),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    pod p: container web waits: ImagePullBackOff (no such image)
    pod p: is not scheduled: 0/1 nodes are available
    pod p: container run ended with exit code 1 (Error: no table)
    pod p: container init ended with exit code 2
    pod p: is Running, not ready
    ");
}

#[test]
fn nothing_is_told_at_any_length() {
    let waits = json!({"phase": "Pending", "containerStatuses": [
        {"name": "web", "state": {"waiting": {"reason": "X", "message": "m".repeat(5_000)}}}]});
    let evidence = Evidence {
        pods: (0..9).map(|number| pod(&format!("p{number}"), waits.clone())).collect(),
        events: (0..9)
            .map(|number| event("Pod", "p0", "p0", "2026", "R", &format!("{number}{}", "e".repeat(5_000))))
            .collect(),
        log: Some(Log { container: "web".into(), text: format!("{}\n", "l".repeat(5_000)).repeat(50) }),
        ..Evidence::default()
    };
    let all = lines(&evidence, &|text| text.to_owned());
    assert_eq!(all.len(), PODS + 1 + EVENTS + 1);
    assert!(all.iter().map(String::len).sum::<usize>() < (PODS + EVENTS + LINES) * (LONG + 100), "{all:?}");
}
