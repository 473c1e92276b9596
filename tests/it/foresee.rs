//! What a first sync would find, asked of a real API server: and nothing is written.

use bascule::cluster::{Cluster, ClusterError, Found, Identity, Kubeconfig, Trial};
use bascule::ids::ObjectKey;
use bascule::manifest::HashKey;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::parts::ControlPlane;
use crate::plane::on_plane;

const OWNER: &str = "work/17/production@server";

async fn connect(plane: &ControlPlane, identity: &Identity) -> Cluster {
    let kubeconfig = Kubeconfig::File(plane.kubeconfig().to_owned());
    Cluster::connect("test".parse().unwrap(), &kubeconfig, identity).await.unwrap()
}

async fn foresee(cluster: &Cluster, namespace: &str, object: &Value) -> Result<Found, ClusterError> {
    let text = |name: &str| object[name].as_str().unwrap().to_owned();
    let resource = cluster.resource(&text("apiVersion"), &text("kind")).await.unwrap();
    let mut object = object.clone();
    object["metadata"]["namespace"] = namespace.into();
    let key = ObjectKey {
        group: resource.group.clone(),
        kind: resource.kind.clone(),
        namespace: Some(namespace.to_owned()),
        name: object["metadata"]["name"].as_str().unwrap().to_owned(),
    };
    let trial = Trial { resource: &resource, key: &key, object: &object, owner: OWNER };
    cluster.foresee(trial, &HashKey::new([7; 32])).await.map(|(found, _)| found)
}

fn settings(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

#[test]
fn a_first_sync_creates_adopts_or_meets_who_holds_it_and_asking_writes_nothing() {
    on_plane(async |plane| {
        let cluster = connect(plane, &Identity::Own).await;
        let ns = "foresee";
        plane.kubectl(&["create", "namespace", ns]).await.unwrap();
        let kubectl = async |arguments: &[&str]| plane.kubectl(&[&["-n", ns], arguments].concat()).await.unwrap();
        kubectl(&["create", "configmap", "theirs", "--from-literal=a=1"]).await;
        kubectl(&["create", "configmap", "owned"]).await;
        kubectl(&["annotate", "configmap", "owned", "bascule.dev/environment=work/18/staging@server"]).await;
        kubectl(&["create", "configmap", "leaving"]).await;
        kubectl(&["patch", "configmap", "leaving", "-p", r#"{"metadata":{"finalizers":["example.org/stays"]}}"#]).await;
        kubectl(&["delete", "configmap", "leaving", "--wait=false"]).await;
        let web = |image: &str| {
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 2,
                "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": image, "resources": {"requests": {"cpu": "1000m"}}}]}}}})
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), web("nginx:1").to_string()).unwrap();
        kubectl(&["apply", "-f", file.path().to_str().unwrap()]).await;
        let before = plane.get(&format!("/apis/apps/v1/namespaces/{ns}/deployments/web")).await.unwrap();

        let mut lines = Vec::new();
        for (what, object) in [
            ("new", settings("new", &json!({"a": "1"}))),
            ("with its values", settings("theirs", &json!({"a": "1"}))),
            ("with a value more", settings("theirs", &json!({"a": "1", "b": "2"}))),
            ("with another value", settings("theirs", &json!({"a": "2"}))),
            ("of another environment", settings("owned", &json!({}))),
            ("a deployment as it is", web("nginx:1")),
            ("a deployment with another image", web("nginx:2")),
            ("with a mistake", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "dta": {}})),
        ] {
            lines.push(format!("{what}: {:?}", foresee(&cluster, ns, &object).await.unwrap()));
        }
        lines.push(format!(
            "nowhere: {:?}",
            foresee(&cluster, "foresee-nowhere", &settings("new", &json!({}))).await.unwrap()
        ));
        assert_snapshot!(lines.join("\n"), @r#"
        new: Absent
        with its values: Same
        with a value more: Differs([".data.b"])
        with another value: Conflict([FieldConflict { manager: "kubectl-create", path: ".data.a" }])
        of another environment: Owned("work/18/staging@server")
        a deployment as it is: Conflict([FieldConflict { manager: "kubectl-client-side-apply", path: ".spec.template.spec.containers[name=\"web\"].resources.requests.cpu" }])
        a deployment with another image: Conflict([FieldConflict { manager: "kubectl-client-side-apply", path: ".spec.template.spec.containers[name=\"web\"].image" }, FieldConflict { manager: "kubectl-client-side-apply", path: ".spec.template.spec.containers[name=\"web\"].resources.requests.cpu" }])
        with a mistake: Refused("failed to create typed patch object (foresee/x; /v1, Kind=ConfigMap): .dta: field not declared in schema")
        nowhere: NoNamespace
        "#);
        let leaving = foresee(&cluster, ns, &settings("leaving", &json!({}))).await.unwrap();
        assert!(matches!(&leaving, Found::Deleting(how) if how.contains("example.org/stays")), "{leaving:?}");

        assert_eq!(plane.get(&format!("/apis/apps/v1/namespaces/{ns}/deployments/web")).await.unwrap(), before);
        let names = kubectl(&["get", "configmaps", "-o", "jsonpath={.items[*].metadata.name}"]).await;
        assert_eq!(names, "leaving owned theirs", "nothing was written");
    });
}

#[test]
fn who_may_only_read_is_told_what_a_sync_would_be_refused() {
    on_plane(async |plane| {
        let ns = "foresee-rights";
        plane.kubectl(&["create", "namespace", ns]).await.unwrap();
        let user = format!("system:serviceaccount:{ns}:deployer");
        let deployer = connect(plane, &Identity::Impersonated(user)).await;
        let unread = foresee(&deployer, ns, &settings("a", &json!({}))).await.unwrap_err();
        assert_snapshot!(unread, @r#"configmaps "a" is forbidden: User "system:serviceaccount:foresee-rights:deployer" cannot get resource "configmaps" in API group "" in the namespace "foresee-rights": a Role in foresee-rights needs { apiGroups: [""], resources: ["configmaps"], verbs: ["get"] } (403)"#);
        let kubectl = async |arguments: &[&str]| plane.kubectl(&[&["-n", ns], arguments].concat()).await.unwrap();
        kubectl(&["create", "role", "reads", "--verb=get", "--resource=configmaps"]).await;
        kubectl(&["create", "rolebinding", "reads", "--role=reads", &format!("--serviceaccount={ns}:deployer")]).await;
        let refused = foresee(&deployer, ns, &settings("a", &json!({}))).await.unwrap();
        assert_snapshot!(format!("{refused:?}"), @r#"Refused("configmaps \"a\" is forbidden: User \"system:serviceaccount:foresee-rights:deployer\" cannot patch resource \"configmaps\" in API group \"\" in the namespace \"foresee-rights\": a Role in foresee-rights needs { apiGroups: [\"\"], resources: [\"configmaps\"], verbs: [\"patch\"] }")"#);
    });
}
