//! A failure is told with what the cluster says of it.

use std::time::Duration;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{Place, Server, settings, stories::WEB};
use crate::plane::{on_plane, on_rolling_plane};
use crate::support::front::Front;

#[test]
fn a_rollout_that_finds_no_node_is_told_with_its_pods_and_events() {
    on_rolling_plane(async |plane| {
        let mut place = Place::new(plane, "sync-unscheduled").await;
        place.block.sync.timeout_seconds = 20;
        let stuck = WEB.replace(r#""containers""#, r#""nodeSelector": {"disk": "none"}, "containers""#);
        let (outcome, _) = place.syncs(&stuck).await;
        let told = outcome.told();
        assert!(told.starts_with("not healthy: Deployment sync-unscheduled/web: "), "{told}");
        assert!(told.contains("· pod web-") && told.contains("is not scheduled: 0/1 nodes are available"), "{told}");
        assert!(told.contains("· event FailedScheduling: 0/1 nodes are available"), "{told}");
        // The hold says it; the log, which nobody can change any more, keeps the sentence alone.
        let mut conn = place.database.pool.acquire().await.unwrap();
        let hold = bascule::db::holds::get(&mut conn, place.environment).await.unwrap().unwrap();
        assert_eq!(hold.detail, told);
        let log = place.log().await;
        assert!(!log.iter().any(|(_, detail)| detail.to_string().contains("FailedScheduling")), "{log:?}");
    });
}

/// A set with a secret, whose only pod was made by hand and crashes.
async fn crashes(place: &Place<'_>) {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-6b4-x1", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "nginx:1"}]}});
    place.makes(pod).await;
    let status = json!({"status": {"phase": "Running", "containerStatuses": [{"name": "web", "image": "nginx:1", "imageID": "",
        "ready": false, "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}}}]}});
    place
        .kubectl(&["patch", "pod", "web-6b4-x1", "--subresource=status", "--type=merge", "-p", &status.to_string()])
        .await;
    let uid = place.kubectl(&["get", "pod", "web-6b4-x1", "-o", "jsonpath={.metadata.uid}"]).await;
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "web.1"}, "type": "Warning",
        "reason": "BackOff", "message": "Back-off restarting failed container", "count": 7,
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "web-6b4-x1", "namespace": place.namespace(), "uid": uid}});
    place.makes(event).await;
}

fn set() -> String {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"t": "hunter2-hunter2"}});
    format!("---\n{secret}\n{WEB}")
}

#[test]
fn a_crash_loop_is_told_with_the_end_of_its_log_and_without_secrets() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-crash").await;
        crashes(&place).await;
        let front = Front::of(plane).await;
        front.says("/pods/web-6b4-x1/log", "begins\nlogin with hunter2-hunter2\npanic: no `table`\n");
        let mut place = Place { server: Server::new(place.database.pool.clone(), front.kubeconfig()), ..place };
        place.block.sync.timeout_seconds = 1;
        let (outcome, _) = place.syncs(&set()).await;
        assert_snapshot!(outcome.told(), @"not healthy: Deployment sync-crash/web: its controller has not seen it yet (waited 1 s) · pod web-6b4-x1: container web waits: CrashLoopBackOff, and before that ended with exit code 3 (Error), 4 restarts · event BackOff: Back-off restarting failed container (7 times) · last lines of web: `begins` `login with (redacted)` `panic: no 'table'`");
    });
}

#[test]
fn a_secret_in_a_long_message_is_hidden_before_the_message_is_cut() {
    on_plane(async |plane| {
        let mut place = Place::new(plane, "sync-long").await;
        crashes(&place).await;
        let uid = place.kubectl(&["get", "pod", "web-6b4-x1", "-o", "jsonpath={.metadata.uid}"]).await;
        let message = format!("{}hunter2-hunter2", "probe ".repeat(31));
        let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "web.2"}, "type": "Warning",
            "reason": "Unhealthy", "message": message,
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "web-6b4-x1", "namespace": place.namespace(), "uid": uid}});
        place.makes(event).await;
        place.block.sync.timeout_seconds = 1;
        let (outcome, _) = place.syncs(&set()).await;
        let told = outcome.told();
        assert!(told.contains("probe (redacted)") && !told.contains("hunter2"), "{told}");
    });
}

#[test]
fn what_may_not_be_read_names_the_rule_that_would_let_us() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-unread").await;
        crashes(&place).await;
        let rights = |resources: &str| {
            format!(
                "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{ name: unread, namespace: sync-unread }}
rules:
  - {{ apiGroups: ['', apps], resources: [configmaps, secrets, deployments], verbs: ['*'] }}
  - {{ apiGroups: [''], resources: [{resources}], verbs: [get, list] }}
  - {{ apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update] }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{ name: unread, namespace: sync-unread }}
roleRef: {{ apiGroup: rbac.authorization.k8s.io, kind: Role, name: unread }}
subjects: [{{ kind: User, name: unread, apiGroup: rbac.authorization.k8s.io }}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{ name: sync-unread-uid }}
rules: [{{ apiGroups: [''], resources: [namespaces], resourceNames: [kube-system], verbs: [get] }}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{ name: sync-unread-uid }}
roleRef: {{ apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: sync-unread-uid }}
subjects: [{{ kind: User, name: unread, apiGroup: rbac.authorization.k8s.io }}]
"
            )
        };
        plane.apply(&rights("pods")).await.unwrap();
        let unread = plane.kubeconfig_for("unread", &["system:authenticated"]).unwrap();
        let mut place = Place { server: Server::new(place.database.pool.clone(), unread), ..place };
        place.block.sync.timeout_seconds = 1;
        let (outcome, _) = place.syncs(&set()).await;
        let lines = outcome.explained[0].lines.join("\n");
        assert_snapshot!(lines, @r#"
        pod web-6b4-x1: container web waits: CrashLoopBackOff, and before that ended with exit code 3 (Error), 4 restarts
        its events may not be read: add `{ apiGroups: [""], resources: [events], verbs: [list] }` to the role of the account that syncs
        the log of web may not be read: add `{ apiGroups: [""], resources: [pods/log], verbs: [get] }` to the role of the account that syncs
        "#);
    });
}

#[test]
fn what_nothing_tells_of_counts_as_applied_and_is_named() {
    on_plane(async |plane| {
        let mut place = Place::new(plane, "sync-unknown").await;
        // Longer than any test takes: it is not waited for.
        place.block.sync.timeout_seconds = Duration::from_secs(3600).as_secs();
        let definition: Value = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.unknown.example.org"}, "spec": {"group": "unknown.example.org", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"}, "versions": [{"name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
        let widget = json!({"apiVersion": "unknown.example.org/v1", "kind": "Widget", "metadata": {"name": "one"}});
        let (outcome, _) = place.syncs(&format!("---\n{definition}\n---\n{widget}\n{}", settings("a", "1"))).await;
        assert_eq!((outcome.sentence().as_str(), place.state().await.0.as_str()), ("3 created", "healthy"));
        assert_snapshot!(outcome.remarks(), @"whether Widget sync-unknown/one is well is not known: it has no conditions, and no rule says when its kind is well");
    });
}
