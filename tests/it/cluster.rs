//! What only a real API server can show: who may write over what, and what it answers when not.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bascule::cluster::NoRules;
use bascule::cluster::{
    Applied, Cluster, ClusterError, Clusters, Deleted, Fate, Identity, Kubeconfig, Onto, Resource, Until, Watched,
    Write,
};
use bascule::ids::ObjectKey;
use bascule::manifest::HashKey;
use bascule::sync::{Health, Seen};
use insta::assert_snapshot;
use reqwest::Method;
use serde_json::{Value, json};

use crate::parts::ControlPlane;
use crate::plane::{on_own_plane, on_plane, pod_of};

const OWNER: &str = "work/17/production@server";

fn hash_key() -> HashKey {
    HashKey::new([7; 32])
}

async fn connect(plane: &ControlPlane) -> Cluster {
    connect_by(plane.kubeconfig(), &Identity::Own).await
}

async fn connect_by(kubeconfig: &Path, identity: &Identity) -> Cluster {
    let kubeconfig = Kubeconfig::File(kubeconfig.to_owned());
    Cluster::connect("test".parse().unwrap(), &kubeconfig, identity).await.unwrap()
}

/// What the kubelet would put into a pod of ours: it is read where it is, and read again.
#[test]
fn a_pod_reaches_its_own_cluster_as_its_account() {
    on_plane(async |plane| {
        let account = tempfile::tempdir().unwrap();
        let user = "system:serviceaccount:bascule:bascule-worker";
        let pod = pod_of(plane, account.path(), user, &["system:masters"]);
        let connect = async || Cluster::connect("test".parse().unwrap(), &pod, &Identity::Own).await;

        assert!(connect().await.unwrap().version().await.unwrap().starts_with("v1."));
        std::fs::write(account.path().join("token"), "of somebody else").unwrap();
        let refused = connect().await.unwrap().version().await.unwrap_err();
        assert_eq!(refused.fate(), Fate::Away, "{refused}");

        std::fs::remove_file(account.path().join("ca.crt")).unwrap();
        let error = connect().await.unwrap_err().to_string();
        assert!(error.contains("cluster `test`") && error.contains("ca.crt"), "{error}");
    });
}

/// Whoever waits for one that is away takes the time of those who want another.
#[tokio::test]
async fn a_cluster_that_keeps_five_requests_waiting_for_nothing_is_left_alone() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let came = Arc::new(AtomicUsize::new(0));
    let counted = came.clone();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move {
        let mut slow = tokio::task::JoinSet::new();
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            slow.spawn(async move {
                // What this cluster is like: longer than what counts as waiting, and then no answer.
                tokio::time::sleep(Duration::from_millis(1_100)).await;
                drop(connection);
            });
        }
    });
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{ name: c, cluster: {{ server: 'http://127.0.0.1:{port}' }} }}]\n\
         contexts: [{{ name: c, context: {{ cluster: c, user: u }} }}]\nusers: [{{ name: u, user: {{}} }}]\n"
    );
    let name: bascule::ids::ClusterName = "away".parse().unwrap();
    let clusters = Clusters::new([(name.clone(), Kubeconfig::Text(text.into()))].into());
    let own = clusters.get(&name, &Identity::Own).await.unwrap();
    let told = futures::future::join_all((0..5).map(|_| own.version())).await;
    // As whomever it is asked: it is the same cluster.
    let other = clusters.get(&name, &Identity::Impersonated("deployer".to_owned())).await.unwrap();
    for cluster in [&own, &other, &own, &other] {
        let error = cluster.version().await.unwrap_err();
        assert_eq!((error.fate(), Err(error)), (Fate::Away, told[4].clone()), "in the same words");
    }
    assert_eq!(came.load(Ordering::SeqCst), 5);
}

/// A connection, and a namespace of this test's own.
struct Place<'a> {
    plane: &'a ControlPlane,
    cluster: Cluster,
    namespace: &'static str,
}

impl<'a> Place<'a> {
    async fn new(plane: &'a ControlPlane, namespace: &'static str) -> Self {
        plane.kubectl(&["create", "namespace", namespace]).await.unwrap();
        Self { plane, cluster: connect(plane).await, namespace }
    }

    async fn resource(&self, object: &Value) -> Resource {
        let text = |name: &str| object[name].as_str().unwrap().to_owned();
        self.cluster.resource(&text("apiVersion"), &text("kind")).await.unwrap()
    }

    async fn key(&self, object: &Value) -> (Resource, ObjectKey) {
        let resource = self.resource(object).await;
        let key = ObjectKey {
            group: resource.group.clone(),
            kind: resource.kind.clone(),
            namespace: resource.namespaced.then(|| self.namespace.to_owned()),
            name: object["metadata"]["name"].as_str().unwrap().to_owned(),
        };
        (resource, key)
    }

    async fn apply(&self, object: &Value, onto: &Onto) -> Result<Applied, ClusterError> {
        let (resource, key) = self.key(object).await;
        let write = Write { resource: &resource, key: &key, object, owner: OWNER, onto };
        self.cluster.apply(write, &hash_key()).await
    }

    async fn look(&self, object: &Value) -> Option<Seen> {
        let (resource, key) = self.key(object).await;
        self.cluster.look(&resource, &key, object, &hash_key()).await.unwrap()
    }

    fn config(&self, data: &Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "settings", "namespace": self.namespace}, "data": data})
    }
}

fn onto(applied: &Applied) -> Onto {
    Onto::This { uid: applied.uid.clone(), resource_version: applied.resource_version.clone() }
}

#[test]
fn a_cluster_is_known_by_its_uid_and_says_what_it_serves() {
    on_plane(async |plane| {
        let cluster = connect(plane).await;
        let expected = plane.get("/api/v1/namespaces/kube-system").await.unwrap();
        assert_eq!(cluster.uid().await.unwrap(), expected["metadata"]["uid"]);
        let reads = cluster.reads();
        cluster.uid().await.unwrap();
        assert_eq!(cluster.reads(), reads, "asked once");
        let deployment = cluster.resource("apps/v1", "Deployment").await.unwrap();
        assert!(deployment.namespaced && deployment.plural == "deployments");
        assert!(!cluster.resource("v1", "Namespace").await.unwrap().namespaced);
        let preferred = cluster.served().await.unwrap().preferred("autoscaling", "HorizontalPodAutoscaler").cloned();
        assert_eq!(preferred.unwrap().api_version, "autoscaling/v2");
        let absent = cluster.resource("example.com/v1", "Widget").await.unwrap_err();
        assert_snapshot!(absent, @"the cluster serves no example.com/v1 Widget");
    });
}

#[test]
fn what_should_not_be_there_is_only_ever_created() {
    on_plane(async |plane| {
        let place = Place::new(plane, "create-only").await;
        let object = place.config(&json!({"a": "1"}));
        let applied = place.apply(&object, &Onto::Nothing).await.unwrap();
        assert_eq!(applied.object["metadata"]["annotations"]["bascule.dev/environment"], OWNER);
        // A second worker that believes it absent, too.
        let again = place.apply(&object, &Onto::Nothing).await.unwrap_err();
        assert_eq!(again.fate(), Fate::Look, "{again}");
        let seen = place.look(&object).await.unwrap();
        assert_eq!((seen.uid, seen.resource_version), (applied.uid, applied.resource_version));
        assert!(seen.applied_by_us && seen.owner.as_deref() == Some(OWNER) && seen.live == Some(applied.live));
    });
}

#[test]
fn a_stale_writer_is_refused_by_the_server() {
    on_plane(async |plane| {
        let place = Place::new(plane, "stale").await;
        let first = place.apply(&place.config(&json!({"a": "1"})), &Onto::Nothing).await.unwrap();
        let second = place.apply(&place.config(&json!({"a": "2"})), &onto(&first)).await.unwrap();
        let stale = place.apply(&place.config(&json!({"a": "3"})), &onto(&first)).await.unwrap_err();
        assert_eq!(stale.fate(), Fate::Look, "an older version: {stale}");

        let (resource, key) = place.key(&place.config(&json!({}))).await;
        let delete = async |of: &Applied, uid: &str| {
            place.cluster.delete(&resource, &key, uid, Some(&of.resource_version)).await
        };
        let other = delete(&second, "another-uid").await.unwrap();
        assert_eq!(other, Deleted::Recreated, "a delete means one uid");
        let older = delete(&first, &second.uid).await.unwrap_err();
        assert_eq!(older.fate(), Fate::Look, "and one version: {older}");
        assert_eq!(delete(&second, &second.uid).await.unwrap(), Deleted::Gone);
        assert_eq!(delete(&second, &second.uid).await.unwrap(), Deleted::Gone, "twice is once");
        let gone = place.apply(&place.config(&json!({"a": "3"})), &onto(&second)).await.unwrap_err();
        assert_eq!(gone.fate(), Fate::Look, "an update never creates: {gone}");

        place.plane.kubectl(&["-n", "stale", "create", "configmap", "settings"]).await.unwrap();
        let recreated = place.apply(&place.config(&json!({"a": "3"})), &onto(&second)).await.unwrap_err();
        assert_eq!(recreated.fate(), Fate::Look, "another one of that name: {recreated}");
        let current = place.look(&place.config(&json!({}))).await.unwrap();
        let both = Onto::This { uid: second.uid, resource_version: current.resource_version };
        let recreated = place.apply(&place.config(&json!({"a": "3"})), &both).await.unwrap_err();
        assert_eq!(recreated.fate(), Fate::Look, "even at the current version: {recreated}");
    });
}

#[test]
fn a_field_somebody_else_holds_is_named_and_never_taken() {
    on_plane(async |plane| {
        let place = Place::new(plane, "conflict").await;
        place
            .plane
            .kubectl(&["-n", "conflict", "create", "configmap", "settings", "--from-literal=a=theirs"])
            .await
            .unwrap();
        let ours = place.config(&json!({"a": "ours", "b": "new"}));
        let seen = place.look(&ours).await.unwrap();
        assert!(!seen.applied_by_us && seen.owner.is_none());
        let this = Onto::This { uid: seen.uid, resource_version: seen.resource_version };
        let conflict = place.apply(&ours, &this).await.unwrap_err();
        assert_eq!(conflict.fate(), Fate::Held);
        assert_snapshot!(conflict, @"`kubectl-create` holds `.data.a`");
        // Equal values are shared, so what exists is adopted.
        let adopted = place.apply(&place.config(&json!({"a": "theirs"})), &this).await.unwrap();
        assert_eq!(adopted.object["data"]["a"], "theirs");
    });
}

#[test]
fn what_others_write_beside_us_is_told_from_what_they_write_over_us() {
    on_plane(async |plane| {
        let place = Place::new(plane, "beside").await;
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "beside"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"securityContext": {}, "containers": [{"name": "web", "image": "nginx:1",
                    "resources": {"requests": {"cpu": "1000m"}}, "ports": [{"containerPort": 80}]}],
                    "volumes": [{"name": "tmp", "emptyDir": {}}]}}}});
        let applied = place.apply(&object, &Onto::Nothing).await.unwrap();
        let live = async || place.look(&object).await.unwrap().live.unwrap();
        assert_eq!(live().await, applied.live, "the server's own spelling and defaults are no difference");
        let kubectl =
            async |arguments: &[&str]| place.plane.kubectl(&[&["-n", "beside"], arguments].concat()).await.unwrap();
        kubectl(&["annotate", "deployment", "web", "note=x"]).await;
        kubectl(&["scale", "deployment", "web", "--replicas=4"]).await;
        kubectl(&[
            "patch",
            "deployment",
            "web",
            "--subresource=status",
            "--type=merge",
            "-p",
            r#"{"status":{"replicas":4}}"#,
        ])
        .await;
        kubectl(&["patch", "deployment", "web", "--type=strategic", "-p",
            r#"{"spec":{"template":{"spec":{"securityContext":{"runAsUser":1},"containers":[{"name":"proxy","image":"p"}]}}}}"#]).await;
        assert_eq!(live().await, applied.live, "nothing of ours was touched");
        kubectl(&["set", "image", "deployment/web", "web=nginx:2"]).await;
        assert_ne!(live().await, applied.live);
        kubectl(&["set", "image", "deployment/web", "web=nginx:1"]).await;
        assert_ne!(live().await, applied.live, "put back by somebody else is theirs now");
    });
}

#[test]
fn one_list_of_metadata_tells_who_owns_what() {
    on_plane(async |plane| {
        let place = Place::new(plane, "listed").await;
        let object = place.config(&json!({"a": "1"}));
        let applied = place.apply(&object, &Onto::Nothing).await.unwrap();
        let kubectl =
            async |arguments: &[&str]| place.plane.kubectl(&[&["-n", "listed"], arguments].concat()).await.unwrap();
        kubectl(&["create", "configmap", "foreign"]).await;
        kubectl(&["label", "configmap", "foreign", "bascule.dev/prune=never"]).await;
        kubectl(&["annotate", "configmap", "foreign", "bascule.dev/environment=work/17/production@server"]).await;
        let (resource, key) = place.key(&object).await;
        let listed = place.cluster.list_of(&resource, Some("listed"), |_| true).await.unwrap();
        let ours = &listed[&key];
        assert_eq!((ours.uid.as_str(), ours.resource_version.as_str()), (&*applied.uid, &*applied.resource_version));
        let foreign = &listed[&ObjectKey { name: "foreign".to_owned(), ..key.clone() }];
        assert!(foreign.prune_never && foreign.owner.as_deref() == Some(OWNER));
        assert!(ours.applied_by_us && !foreign.applied_by_us, "an annotation can be copied, a field manager cannot");
        let secret = place.cluster.resource("v1", "Secret").await.unwrap();
        assert!(place.cluster.list_of(&secret, Some("nowhere"), |_| true).await.unwrap().is_empty());
    });
}

/// What a sync reads before it writes is of its own size, whatever others keep in the namespace.
#[test]
fn a_few_objects_among_many_are_not_looked_for_among_all() {
    on_plane(async |plane| {
        let place = Place::new(plane, "crowded").await;
        let one = |number: usize| {
            format!("{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"c-{number:04}\"}}}}")
        };
        let all: Vec<String> = (0..1_200).map(one).collect();
        let list = format!("{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{}]}}", all.join(","));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("all.json");
        std::fs::write(&file, list).unwrap();
        place.plane.kubectl(&["-n", "crowded", "create", "-f", file.to_str().unwrap()]).await.unwrap();
        let resource = place.cluster.resource("v1", "ConfigMap").await.unwrap();
        let key = |name: &str| ObjectKey {
            group: String::new(),
            kind: "ConfigMap".to_owned(),
            namespace: Some("crowded".to_owned()),
            name: name.to_owned(),
        };
        let these = async |names: &[&str]| {
            let keys: Vec<ObjectKey> = names.iter().map(|name| key(name)).collect();
            let before = place.cluster.reads();
            let found = place.cluster.these(&resource, Some("crowded"), &keys).await.unwrap();
            let names: Vec<String> = found.into_keys().map(|key| key.name).collect();
            (names.join(" "), place.cluster.reads() - before)
        };
        assert_eq!(these(&["c-0001", "c-0700", "c-1199", "nobody"]).await, ("c-0001 c-0700 c-1199".to_owned(), 1 + 3));
        assert_eq!(these(&["c-0001", "c-0002"]).await, ("c-0001 c-0002".to_owned(), 1), "all of it is known by then");
        // Of many, reading everything costs less.
        let many: Vec<String> = (0..300).map(|number| format!("c-{:04}", number * 4)).collect();
        let (found, reads) = these(&many.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert_eq!((found, reads), (many.join(" "), 3));
    });
}

#[test]
fn a_mistake_in_the_object_is_refused_for_good() {
    on_plane(async |plane| {
        let place = Place::new(plane, "mistakes").await;
        let mut lines = Vec::new();
        let deployment = |spec: Value| json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "mistakes"}, "spec": spec});
        let template =
            json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let good = deployment(json!({"selector": {"matchLabels": {"app": "a"}}, "template": template}));
        let applied = place.apply(&good, &Onto::Nothing).await.unwrap();
        let other = deployment(json!({"selector": {"matchLabels": {"app": "b"}},
            "template": {"metadata": {"labels": {"app": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}));
        lines.push(place.apply(&other, &onto(&applied)).await.unwrap_err());
        for (name, object) in [
            ("v1", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "dta": {}})),
            ("v1", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": true}})),
            ("v1", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "X Y"}})),
        ] {
            let error = place.apply(&object, &Onto::Nothing).await.unwrap_err();
            assert_eq!(error.fate(), Fate::Never, "{name}: {error}");
            lines.push(error);
        }
        let lines: Vec<_> = lines.iter().map(ClusterError::to_string).collect();
        assert_snapshot!(lines.join("\n"), @r"
        spec.selector: field is immutable (422)
        failed to create typed patch object (/x; /v1, Kind=ConfigMap): .dta: field not declared in schema (500)
        failed to create typed patch object (/x; /v1, Kind=ConfigMap): .data.a: expected string (500)
        metadata.name: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*') (422)
        ");
    });
}

#[test]
fn who_may_not_is_told_so_and_who_is_unknown_ends_it() {
    on_plane(async |plane| {
        let place = Place::new(plane, "rights").await;
        let stranger = plane.kubeconfig_for("stranger", &[]).unwrap();
        let stranger = connect_by(&stranger, &Identity::Own).await;
        let object = place.config(&json!({}));
        let (resource, key) = place.key(&object).await;
        let write = Write { resource: &resource, key: &key, object: &object, owner: OWNER, onto: &Onto::Nothing };
        let forbidden = stranger.apply(write, &hash_key()).await.unwrap_err();
        assert_eq!(forbidden.fate(), Fate::Never);
        assert_snapshot!(forbidden, @r#"configmaps "settings" is forbidden: User "stranger" cannot patch resource "configmaps" in API group "" in the namespace "rights": a Role in rights needs { apiGroups: [""], resources: ["configmaps"], verbs: ["patch"] } (403)"#);
        let named = Identity::Impersonated("system:serviceaccount:rights:deployer".to_owned());
        let deployer = connect_by(plane.kubeconfig(), &named).await;
        let forbidden = deployer.apply(write, &hash_key()).await.unwrap_err();
        assert!(forbidden.to_string().contains("system:serviceaccount:rights:deployer"), "{forbidden}");

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kubeconfig");
        let text = std::fs::read_to_string(plane.kubeconfig()).unwrap().replace(plane.token(), "unknown");
        std::fs::write(&file, text).unwrap();
        let unknown = connect_by(&file, &Identity::Own).await;
        let error = unknown.uid().await.unwrap_err();
        assert_eq!(
            (error.fate(), error.to_string()),
            (Fate::Away, "the cluster does not accept our credentials (401)".to_owned())
        );
    });
}

#[test]
fn a_definition_is_known_as_soon_as_it_is_established() {
    on_plane(async |plane| {
        let place = Place::new(plane, "definitions").await;
        let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "gadgets.example.org"},
            "spec": {"group": "example.org", "scope": "Namespaced", "names": {"plural": "gadgets", "kind": "Gadget"},
                "versions": [{"name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"size": {"type": "integer"}}}}}]}});
        place.apply(&definition, &Onto::Nothing).await.unwrap();
        let (resource, key) = place.key(&definition).await;
        let watched = [Watched { resource, key: key.clone(), until: Until::Well }];
        let verdict = place.cluster.watch(&watched, Duration::from_secs(30), &NoRules).await;
        assert_eq!(verdict.0[&key], Health::Healthy);
        let gadget = json!({"apiVersion": "example.org/v1", "kind": "Gadget",
            "metadata": {"name": "one", "namespace": "definitions"}, "size": 3});
        let applied = place.apply(&gadget, &Onto::Nothing).await.unwrap();
        assert_eq!(applied.object["size"], 3);
        let wrong = json!({"apiVersion": "example.org/v1", "kind": "Gadget",
            "metadata": {"name": "two", "namespace": "definitions"}, "sze": 3});
        let error = place.apply(&wrong, &Onto::Nothing).await.unwrap_err();
        assert!(error.fate() == Fate::Never && error.to_string().contains(".sze"), "{error}");
    });
}

#[test]
fn health_is_watched_and_told_the_moment_it_comes() {
    on_plane(async |plane| {
        let place = Place::new(plane, "health").await;
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "health"},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {
                "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "nginx:1"}]}}}});
        place.apply(&object, &Onto::Nothing).await.unwrap();
        let (resource, key) = place.key(&object).await;
        let missing = ObjectKey { name: "missing".to_owned(), ..key.clone() };
        let short = Duration::from_secs(1);
        let well = |key: &ObjectKey| Watched { resource: resource.clone(), key: key.clone(), until: Until::Well };
        let verdict = place.cluster.watch(&[well(&key), well(&missing)], short, &NoRules).await;
        let words: Vec<_> = verdict.0.iter().map(|(key, health)| format!("{key}: {health:?}")).collect();
        assert_snapshot!(words.join("\n"), @r#"
        Deployment health/missing: Progressing("is not there")
        Deployment health/web: Progressing("its controller has not seen it yet")
        "#);

        let watched = [well(&key)];
        let watch = place.cluster.watch(&watched, Duration::from_secs(30), &NoRules);
        let status = json!({"status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1,
            "availableReplicas": 1}});
        let becomes_well = async {
            let path = "/apis/apps/v1/namespaces/health/deployments/web";
            let mut live = plane.get(path).await.unwrap();
            live["status"] = status["status"].clone();
            plane.request(Method::PUT, &format!("{path}/status"), Some(&live)).await.unwrap();
        };
        let (verdict, ()) = tokio::join!(watch, becomes_well);
        assert_eq!(verdict.0[&key], Health::Healthy);
    });
}

/// To have been well once is not to be well when everything else is.
#[test]
fn what_flaps_is_judged_by_how_it_is_when_time_is_up() {
    on_plane(async |plane| {
        let place = Place::new(plane, "flapping").await;
        let object = |name: &str| {
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "flapping"},
                "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": {
                    "metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "web", "image": "nginx:1"}]}}}})
        };
        let (flaps, comes) = (object("flaps"), object("comes"));
        for object in [&flaps, &comes] {
            place.apply(object, &Onto::Nothing).await.unwrap();
        }
        let becomes = async |name: &str, ready: u8| {
            let path = format!("/apis/apps/v1/namespaces/flapping/deployments/{name}");
            let mut live = plane.get(&path).await.unwrap();
            live["status"] = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": ready,
                "availableReplicas": ready, "unavailableReplicas": 1 - ready});
            plane.request(Method::PUT, &format!("{path}/status"), Some(&live)).await.unwrap();
        };
        let (resource, key) = place.key(&flaps).await;
        let (_, other) = place.key(&comes).await;
        let well = |key: &ObjectKey| Watched { resource: resource.clone(), key: key.clone(), until: Until::Well };
        let watched = [well(&key), well(&other)];
        let watch = place.cluster.watch(&watched, Duration::from_secs(3), &NoRules);
        let flapping = async {
            for ready in [1, 0, 1, 0] {
                becomes("flaps", ready).await;
            }
            becomes("comes", 1).await;
        };
        let (verdict, ()) = tokio::join!(watch, flapping);
        assert_eq!(verdict.0[&other], Health::Healthy);
        assert!(matches!(&verdict.0[&key], Health::Progressing(_)), "{verdict:?}");

        becomes("flaps", 1).await;
        let verdict = place.cluster.watch(&watched, Duration::from_secs(30), &NoRules).await;
        assert!(verdict.0.values().all(|health| *health == Health::Healthy), "{verdict:?}");
    });
}

#[test]
fn a_cluster_that_is_gone_is_away_and_comes_back() {
    on_own_plane(async |plane| {
        let cluster = connect(&plane).await;
        let settings = cluster.resource("v1", "ConfigMap").await.unwrap();
        plane.stop_apiserver().await.unwrap();
        let error = cluster.list_of(&settings, Some("default"), |_| true).await.unwrap_err();
        assert_eq!(error.fate(), Fate::Away, "{error}");
        plane.start_apiserver().await.unwrap();
        assert_eq!(cluster.list_of(&settings, Some("default"), |_| true).await.unwrap().len(), 0);
    });
}
