//! Clusters of which a part is broken: a kind that cannot be listed, an aggregated API that is down, a namespace that never
//! ends. Each hurts what is of it, and nothing else; and nothing is deleted that was not seen.

use bascule::sync::HoldReason;
use insta::assert_snapshot;

use super::{Place, settings};
use crate::plane::{on_own_plane, on_plane};

fn definition(group: &str, conversion: &str) -> String {
    format!(
        "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{ name: things.{group} }}
spec:
  group: {group}
  scope: Namespaced
  names: {{ plural: things, kind: Thing }}
  conversion: {conversion}
  versions:
    - {{ name: v1, served: true, storage: true, schema: {{ openAPIV3Schema: {{ type: object, x-kubernetes-preserve-unknown-fields: true }} }} }}
    - {{ name: v2, served: true, storage: false, schema: {{ openAPIV3Schema: {{ type: object, x-kubernetes-preserve-unknown-fields: true }} }} }}
"
    )
}

fn thing(group: &str, name: &str, size: u8) -> String {
    format!("---\n{{apiVersion: {group}/v2, kind: Thing, metadata: {{name: {name}}}, size: {size}}}\n")
}

#[test]
fn a_conversion_webhook_that_is_down_stops_its_kind_and_no_other() {
    on_plane(async |plane| {
        let group = "converted.example.org";
        plane.apply(&definition(group, "{ strategy: None }")).await.unwrap();
        let place = Place::new(plane, "sync-conversion").await;
        place
            .syncs(&(settings("a", "1") + &settings("old", "1") + &thing(group, "one", 1) + &thing(group, "two", 1)))
            .await;
        assert_eq!(place.state().await.0, "healthy");
        let down = "{ strategy: Webhook, webhook: { conversionReviewVersions: [v1], clientConfig: { url: 'https://127.0.0.1:9/convert' } } }";
        plane.apply(&definition(group, down)).await.unwrap();

        // Objects of that kind in the set: they fail, others are sent, and while something is not sent nothing is deleted.
        let (outcome, _) = place.syncs(&(settings("a", "2") + &thing(group, "one", 2))).await;
        assert_eq!((outcome.updated, outcome.deleted, outcome.failed.len()), (1, 0, 1), "{outcome:?}");
        let why = outcome.failed[0].why.split(':').next().unwrap();
        assert_snapshot!(why, @"the cluster did not say what is there");
        let mut kept: Vec<_> = outcome
            .kept
            .iter()
            .map(|kept| format!("{}: {}", kept.object, kept.why.split(':').next().unwrap()))
            .collect();
        kept.sort();
        assert_snapshot!(kept.join("\n"), @r"
        ConfigMap sync-conversion/old: nothing is deleted while something could not be applied
        Thing sync-conversion/two: the cluster did not say whether it is there
        ");

        // None in the set: what was not seen stays, and what was is deleted.
        let (outcome, _) = place.syncs(&settings("a", "2")).await;
        assert_eq!(
            (outcome.deleted, outcome.kept.len(), place.settings().await),
            (1, 2, vec!["a".to_owned()]),
            "{outcome:?}"
        );
        assert_eq!(place.inventory().await.len(), 3, "what was not seen is still ours");

        // It is mended: now they are seen, and go.
        plane.apply(&definition(group, "{ strategy: None }")).await.unwrap();
        let (outcome, _) = place.syncs(&settings("a", "2")).await;
        assert_eq!((outcome.deleted, place.inventory().await.len()), (2, 1), "{outcome:?}");
    });
}

#[test]
fn an_aggregated_api_that_is_down_hurts_nobody_who_does_not_use_it() {
    on_own_plane(async |plane| {
        let place = Place::new(&plane, "sync-aggregated").await;
        place.syncs(&(settings("a", "1") + &settings("old", "1"))).await;
        let down = "
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: { name: v1.down.example.org }
spec: { group: down.example.org, version: v1, groupPriorityMinimum: 1000, versionPriority: 10, insecureSkipTLSVerify: true, service: { name: gone, namespace: sync-aggregated } }
";
        plane.apply(down).await.unwrap();
        let (outcome, _) = place.syncs(&settings("a", "2")).await;
        assert_eq!(outcome.sentence(), "1 updated, 1 deleted");
        let of_it = "---\n{apiVersion: down.example.org/v1, kind: Lamp, metadata: {name: one}}\n";
        let (outcome, _) = place.syncs(&(settings("a", "3") + of_it)).await;
        assert_eq!((outcome.updated, outcome.failed.len()), (1, 1), "{outcome:?}");
        assert_eq!(outcome.hold(), Some(HoldReason::Failed));
    });
}

#[test]
fn a_namespace_that_never_ends_takes_nothing_new_and_is_named() {
    on_plane(async |plane| {
        let place = Place::new(plane, "sync-terminating").await;
        place.syncs(&(settings("a", "1") + &settings("old", "1"))).await;
        // There is nobody on this plane who would empty it.
        plane.kubectl(&["delete", "namespace", "sync-terminating", "--wait=false"]).await.unwrap();
        let (outcome, _) = place.syncs(&(settings("a", "2") + &settings("b", "1"))).await;
        assert_eq!((outcome.updated, outcome.created, outcome.deleted), (1, 0, 0), "{outcome:?}");
        assert_snapshot!(outcome.sentence(), @"failed at ConfigMap sync-terminating/b: metadata.namespace: namespace sync-terminating is being terminated (403)");
        assert_eq!(place.state().await, ("failed".to_owned(), Some(HoldReason::Failed.to_string())));
    });
}

#[test]
fn a_webhook_that_refuses_or_is_down_fails_its_objects_and_nothing_is_deleted() {
    on_own_plane(async |plane| {
        let place = Place::new(&plane, "sync-webhook").await;
        place.syncs(&(settings("a", "1") + &settings("old", "1"))).await;
        let down = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: { name: down }
webhooks:
  - name: down.example.org
    clientConfig: { url: 'https://127.0.0.1:9/validate' }
    rules: [{ apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE, DELETE], resources: [services] }]
    failurePolicy: Fail
    sideEffects: None
    admissionReviewVersions: [v1]
    timeoutSeconds: 1
";
        plane.apply(down).await.unwrap();
        let service = "---\n{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}\n";
        let (outcome, _) = place.syncs(&(settings("a", "2") + service)).await;
        assert_eq!((outcome.updated, outcome.deleted, outcome.failed.len()), (1, 0, 1), "{outcome:?}");
        assert_eq!(place.settings().await, ["a", "old"]);
        plane.kubectl(&["delete", "validatingwebhookconfiguration", "down"]).await.unwrap();
        let (outcome, _) = place.syncs(&(settings("a", "2") + service)).await;
        assert_eq!((outcome.created, outcome.deleted), (1, 1), "{outcome:?}");
    });
}

#[test]
fn what_is_altered_at_every_write_is_written_once_and_is_no_drift() {
    on_own_plane(async |plane| {
        let place = Place::new(&plane, "sync-altered").await;
        // Each write of a config map of ours comes out as something else than was sent.
        let alters = "
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: { name: alters }
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints: { resourceRules: [{ apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps] }] }
  matchConditions: [{ name: ours, expression: \"object.metadata.namespace == 'sync-altered'\" }]
  mutations:
    - patchType: JSONPatch
      jsonPatch: { expression: '[JSONPatch{ op: \"replace\", path: \"/data/value\", value: object.data.value + \"!\" }]' }
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: { name: alters }
spec: { policyName: alters }
";
        plane.apply(alters).await.unwrap();
        let probe =
            ["-n", "sync-altered", "create", "configmap", "probe", "--from-literal=value=1", "--dry-run=server"];
        let probe = [&probe[..], &["-o", "jsonpath={.data.value}"]].concat();
        let mut tries = 0;
        while plane.kubectl(&probe).await.unwrap() != "1!" {
            tries += 1;
            assert!(tries < 1_000, "the policy is never in force");
        }

        let value = async || place.kubectl(&["get", "configmap", "a", "-o", "jsonpath={.data.value}"]).await;
        let set = settings("a", "1") + &settings("b", "1");
        let (outcome, _) = place.syncs(&set).await;
        assert_eq!((outcome.created, value().await.as_str()), (2, "1!"), "{outcome:?}");
        // What came out of it is what is compared: nothing is sent again, and nothing has drifted.
        let (outcome, writes) = place.syncs(&set).await;
        assert_eq!((outcome.updated, writes), (0, 0), "{outcome:?}");
        let (outcome, _) = place.syncs(&(settings("a", "2") + &settings("b", "1"))).await;
        assert_eq!((outcome.updated, value().await.as_str()), (1, "2!"), "{outcome:?}");
    });
}
