//! Health by rules that somebody wrote: of the platform and of the repository, on objects whose status moves while it is waited.

use std::time::Duration;

use bascule::policy::code::health::Rule;
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::Place;
use crate::plane::on_plane;

fn rule(group: &str) -> Rule {
    Rule {
        kind: format!("{group}/Database"),
        healthy: "object.status.phase == 'Ready'".to_owned(),
        failed: Some("object.status.phase == 'Broken'".to_owned()),
        progressing: Some("object.status.phase == 'Creating'".to_owned()),
        message: Some("has(object.status.reason) ? object.status.reason : ''".to_owned()),
    }
}

/// A kind of a group of its own, and one object of it.
fn database(group: &str, spec: &Value) -> String {
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("databases.{group}")}, "spec": {"group": group, "scope": "Namespaced",
        "names": {"plural": "databases", "kind": "Database"}, "versions": [{"name": "v1", "served": true, "storage": true,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
    let object =
        json!({"apiVersion": format!("{group}/v1"), "kind": "Database", "metadata": {"name": "orders"}, "spec": spec});
    format!("---\n{definition}\n---\n{object}\n")
}

impl Place<'_> {
    /// Its controller says this of it, as soon as it is there at this size.
    async fn reports(&self, group: &str, size: u64, status: Value) {
        let kind = format!("databases.{group}");
        let read = ["-n", self.namespace(), "get", &kind, "orders", "-o", "jsonpath={.spec.size}"];
        while self.plane.kubectl(&read).await.ok().as_deref() != Some(size.to_string().as_str()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let patch = json!({ "status": status }).to_string();
        self.kubectl(&["patch", &kind, "orders", "--subresource=status", "--type=merge", "-p", &patch]).await;
    }
}

#[test]
fn a_rule_waits_while_it_cannot_tell_and_tells_when_it_is_well() {
    on_plane(async |plane| {
        let group = "rules.example.org";
        let mut place = Place::new(plane, "health-rules").await;
        // Longer than any test takes.
        place.block.sync.timeout_seconds = 3600;
        place.block.health.insert("databases".to_owned(), rule(group));
        let manifests = database(group, &json!({"size": 1}));
        let controller = async {
            // Of this the rule cannot be asked: it is neither well nor given up.
            place.reports(group, 1, json!({"note": "met"})).await;
            place.reports(group, 1, json!({"phase": "Odd"})).await;
            place.reports(group, 1, json!({"phase": "Creating", "reason": "1 of 2 tables"})).await;
            place.reports(group, 1, json!({"phase": "Ready", "reason": null})).await;
        };
        let ((outcome, _), ()) = tokio::join!(place.syncs(&manifests), controller);
        assert_eq!((outcome.sentence().as_str(), outcome.remarks().as_str()), ("2 created", ""));
        assert_eq!(place.state().await, ("healthy".to_owned(), None));

        // What it said of the size before is not about this one.
        place.reports(group, 1, json!({"observedGeneration": 1})).await;
        let manifests = database(group, &json!({"size": 2}));
        let controller =
            place.reports(group, 2, json!({"observedGeneration": 2, "phase": "Broken", "reason": "disk is full"}));
        let ((outcome, _), ()) = tokio::join!(place.syncs(&manifests), controller);
        assert_snapshot!(outcome.sentence(), @"not healthy: Database health-rules/orders: disk is full");
        let (state, hold) = place.state().await;
        assert_eq!((state.as_str(), hold.as_deref()), ("failed", Some("failed")));
    });
}

#[test]
fn the_platforms_rule_judges_where_a_repository_says_that_all_is_well() {
    on_plane(async |plane| {
        let group = "strict.example.org";
        let mut place = Place::new(plane, "health-strict").await;
        let lenient = Rule { healthy: "true".to_owned(), failed: None, progressing: None, ..rule(group) };
        place.block.health.insert("mine".to_owned(), lenient);
        place.server.platform.health.insert("databases".to_owned(), rule(group));
        let manifests = database(group, &json!({"size": 1}));
        let controller = place.reports(group, 1, json!({"phase": "Broken"}));
        let ((outcome, _), ()) = tokio::join!(place.syncs(&manifests), controller);
        assert_snapshot!(outcome.sentence(), @"not healthy: Database health-strict/orders: has failed by health rule `databases` of the server");
    });
}

#[test]
fn a_rule_that_takes_for_ever_ends_alone_and_makes_nothing_well() {
    on_plane(async |plane| {
        let group = "slow.example.org";
        let mut place = Place::new(plane, "health-slow").await;
        place.block.sync.timeout_seconds = 3600;
        let all = "object.spec.list.all(a, object.spec.list.all(b, object.spec.list.all(c, object.spec.list.all(d, a + b + c + d >= 0))))";
        let slow = Rule { healthy: all.to_owned(), failed: None, progressing: None, message: None, ..rule(group) };
        place.block.health.insert("slow".to_owned(), slow);
        let list: Vec<u32> = (0..1000).collect();
        let (outcome, _) = place.syncs(&database(group, &json!({"size": 1, "list": list}))).await;
        assert!(!outcome.unhealthy.is_empty(), "{outcome:?}");
        assert_snapshot!(outcome.unhealthy[0].why, @"health rule `slow` cannot be asked: it took longer than 10 s");
    });
}
