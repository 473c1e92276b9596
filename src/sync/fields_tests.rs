use serde_json::{Value, json};

use super::*;

type Change = fn(&mut Value);

fn hash(live: &Value, sent: &Value) -> LiveHash {
    LiveHash::of(&HashKey::new([1; 32]), live, sent)
}

/// A Deployment as a server answers it: ours is the image, one variable and an empty `emptyDir`.
fn live() -> Value {
    json!({
        "metadata": {"name": "web", "resourceVersion": "10", "managedFields": [
            {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {"f:paused": {}}}},
            {"manager": "bascule", "operation": "Update", "fieldsV1": {"f:spec": {"f:paused": {}}}},
            {"manager": "bascule", "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": {"f:spec": {
                "f:minReadySeconds": {},
                "f:template": {"f:spec": {
                    "f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}, "f:env": {
                        "k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:value": {}}},
                        "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}},
                    "f:volumes": {"k:{\"name\":\"tmp\"}": {".": {}, "f:name": {}, "f:emptyDir": {}}},
                    "f:imagePullSecrets": {"k:{\"name\":\"\"}": {}}
                }}}}}
        ]},
        "spec": {"replicas": 3, "template": {"spec": {
            "imagePullSecrets": [{}],
            "containers": [{"name": "web", "image": "nginx:1", "imagePullPolicy": "Always",
                "env": [{"name": "A", "value": "1"}], "ports": [{"containerPort": 80, "protocol": "TCP"}]}],
            "volumes": [{"name": "tmp", "emptyDir": {}}]
        }}},
        "status": {"replicas": 3}
    })
}

fn sent() -> Value {
    json!({"spec": {"minReadySeconds": 0, "template": {"spec": {
        "imagePullSecrets": [{}],
        "containers": [{"name": "web", "image": "nginx:1", "env": [{"name": "A", "value": "1"}], "ports": [{"containerPort": 80}]}],
        "volumes": [{"name": "tmp", "emptyDir": {}}]}}}})
}

#[test]
fn only_what_is_ours_is_looked_at() {
    let live = live();
    let fields = own_entry(&live).unwrap()["fieldsV1"].as_object().unwrap();
    insta::assert_snapshot!(
        serde_json::to_string(&project(&live, fields, Some(&sent()))).unwrap(),
        @r#"{"spec":{"template":{"spec":{"containers":[{"env":[{"name":"A","value":"1"}],"image":"nginx:1","name":"web","ports":[{"containerPort":80}]}],"imagePullSecrets":[{}],"volumes":[{"emptyDir":{},"name":"tmp"}]}}}}"#
    );
}

#[test]
fn what_others_do_beside_us_changes_nothing() {
    let base = hash(&live(), &sent());
    let changes: [(&str, Change); 6] = [
        ("a status", |live| live["status"]["replicas"] = json!(2)),
        ("a version", |live| live["metadata"]["resourceVersion"] = json!("11")),
        ("a field of others", |live| live["spec"]["replicas"] = json!(5)),
        ("a sidecar", |live| {
            let containers = live["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap();
            containers.insert(0, json!({"name": "proxy", "image": "x"}));
        }),
        ("a child below our empty map", |live| {
            live["spec"]["template"]["spec"]["volumes"][0]["emptyDir"] = json!({"sizeLimit": "1Gi"});
        }),
        ("another manager", |live| live["metadata"]["managedFields"][0]["manager"] = json!("helm")),
    ];
    for (what, change) in changes {
        let mut live = live();
        change(&mut live);
        assert_eq!(hash(&live, &sent()), base, "{what}");
    }
}

#[test]
fn what_others_do_to_ours_is_seen() {
    let base = hash(&live(), &sent());
    let changes: [(&str, Change); 5] = [
        ("a value", |live| live["spec"]["template"]["spec"]["containers"][0]["image"] = json!("nginx:2")),
        ("a removed item", |live| live["spec"]["template"]["spec"]["containers"][0]["env"] = json!([])),
        ("a field we owned and no longer do", |live| {
            let mut fields = live["metadata"]["managedFields"][2]["fieldsV1"].take();
            fields["f:spec"].as_object_mut().unwrap().remove("f:minReadySeconds");
            live["metadata"]["managedFields"][2]["fieldsV1"] = fields;
        }),
        ("our entry is gone", |live| live["metadata"]["managedFields"] = json!([])),
        ("an absent zero value that somebody set", |live| live["spec"]["minReadySeconds"] = json!(5)),
    ];
    for (what, change) in changes {
        let mut live = live();
        change(&mut live);
        assert_ne!(hash(&live, &sent()), base, "{what}");
    }
}

#[test]
fn the_order_of_our_items_matters_and_that_of_foreign_ones_does_not() {
    let ordered = |items: &[i64]| {
        json!({"metadata": {"managedFields": [{"manager": "bascule", "operation": "Apply",
            "fieldsV1": {"f:finalizers": {"v:1": {}, "v:2": {}}}}]}, "finalizers": items})
    };
    assert_eq!(hash(&ordered(&[1, 2]), &json!({})), hash(&ordered(&[9, 1, 8, 2]), &json!({})));
    assert_ne!(hash(&ordered(&[1, 2]), &json!({})), hash(&ordered(&[2, 1]), &json!({})));
}
