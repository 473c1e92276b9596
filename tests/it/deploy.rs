//! `deploy/`: what a cluster is given to run Bascule, rendered by the real helm and taken by the real API server.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bascule::cluster::{Cluster, ClusterError, Fate, Hold, Identity, NoRules, Onto, Until, Watched, Write};
use bascule::config::{self, DatabaseUrl, Environ, Loaded, ServerRole};
use bascule::ids::ObjectKey;
use bascule::manifest::HashKey;
use bascule::sync::Health;
use serde_json::{Value, json};

use crate::parts::{self, ControlPlane};
use crate::plane::{on_plane, pod_of};

/// Where it is installed in these tests, and where it may deploy to.
const HOME: &str = "deploy-home";
const SHOP: &str = "deploy-shop";

fn rendered(arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut helm = Command::new(parts::program("helm").unwrap());
    let ran = helm.args(["template", "bascule", "deploy/chart"]).args(arguments).current_dir(root).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

fn objects(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

/// The pods of everything that has some, by the name of what makes them.
fn pods(objects: &[Value]) -> Vec<(&str, &Value)> {
    let with_pods = objects.iter().filter_map(|object| Some((object, object.pointer("/spec/template/spec")?)));
    with_pods.map(|(object, pod)| (object["metadata"]["name"].as_str().unwrap(), pod)).collect()
}

#[test]
fn the_plain_manifests_are_the_chart_with_its_own_values() {
    let plain = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/bascule.yaml")).unwrap();
    let advice = "deploy/bascule.yaml is not the chart's; run scripts/deploy-render";
    assert_eq!(rendered(&["--namespace", "bascule"]), plain, "{advice}");
}

#[test]
fn pods_are_as_little_as_they_can_be() {
    let objects = objects(&rendered(&["--namespace", HOME]));
    let pods = pods(&objects);
    assert_eq!(
        pods.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["bascule-web", "bascule-worker", "bascule-migrate-0-1-0"]
    );
    for (name, pod) in pods {
        assert_eq!(pod.pointer("/securityContext/runAsNonRoot"), Some(&json!(true)), "{name}");
        for container in pod["containers"].as_array().unwrap() {
            let wanted = json!({"readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]}});
            assert_eq!(container["securityContext"], wanted, "{name}");
            assert!(container.pointer("/resources/limits/memory").is_some(), "{name}");
        }
        // Only the worker asks the cluster; only the migration owns the tables.
        assert_eq!(pod["automountServiceAccountToken"] == json!(false), name != "bascule-worker", "{name}");
        let owns = pod["containers"][0]["envFrom"][0]["secretRef"]["name"] == "bascule-migrate";
        assert_eq!(owns, name.starts_with("bascule-migrate"), "{name}");
    }
    for role in objects.iter().filter(|object| object.get("rules").is_some()) {
        assert!(!role["rules"].to_string().contains('*'), "everything is too much: {role}");
    }
}

/// What a container of the installation reads: the file of the config map, and the environment it is given.
fn configuration(objects: &[Value], pod: &str) -> Loaded {
    let of_kind = |kind: &str| objects.iter().find(|object| object["kind"] == kind).unwrap();
    let text = of_kind("ConfigMap")["data"]["bascule.toml"].as_str().unwrap();
    let (_, pod) = pods(objects).into_iter().find(|(name, _)| *name == pod).unwrap();
    let container = &pod["containers"][0];
    let set = container["env"].as_array().unwrap().iter();
    let environ: Environ = set.map(|one| (one["name"].as_str().unwrap(), one["value"].as_str().unwrap())).collect();
    let is_server = container["args"][0] == "serve";
    config::parse("bascule.toml", if is_server { text } else { "version = 1" }, &environ).unwrap()
}

#[test]
fn its_configuration_is_whole() {
    let objects = objects(&rendered(&["--namespace", HOME]));
    let web = configuration(&objects, "bascule-web").server;
    let worker = configuration(&objects, "bascule-worker").server;
    assert_eq!((web.http.role, worker.http.role), (ServerRole::Web, ServerRole::Worker));
    // Beside the role they are the same server: one key, one log, one grant.
    assert_eq!((&web.audit, &web.platform, &web.http.key), (&worker.audit, &worker.platform, &worker.http.key));
    let grant = &worker.platform.grants["shop"];
    assert_eq!(grant.acts_as("shop").unwrap(), "system:serviceaccount:shop:bascule-deployer");
    let migrate = configuration(&objects, "bascule-migrate-0-1-0").server.database;
    assert!(matches!(migrate.url, DatabaseUrl::At(_)) && migrate.migrate_url.is_some());
}

/// The worker's way into the cluster it was installed into.
async fn as_worker(plane: &ControlPlane, account: &Path, identity: Identity) -> Cluster {
    let user = format!("system:serviceaccount:{HOME}:bascule-worker");
    let pod = pod_of(plane, account, &user, &["system:serviceaccounts"]);
    Cluster::connect("here".parse().unwrap(), &pod, &identity).await.unwrap()
}

/// All that a preview and a sync ask of a cluster, done to one object.
async fn deploys(cluster: &Cluster, object: &Value) -> Result<(), ClusterError> {
    let resource = cluster.resource(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap()).await?;
    let text = |field: &str| object["metadata"][field].as_str().unwrap().to_owned();
    let (group, kind) = (resource.group.clone(), resource.kind.clone());
    let key = ObjectKey { group, kind, namespace: Some(text("namespace")), name: text("name") };
    let hash_key = HashKey::new([7; 32]);
    let write = |onto| Write { resource: &resource, key: &key, object, owner: "work/1/shop@server", onto };
    cluster.try_apply(write(&Onto::Nothing), &hash_key).await?;
    let made = cluster.apply(write(&Onto::Nothing), &hash_key).await?;
    let onto = Onto::This { uid: made.uid.clone(), resource_version: made.resource_version };
    let now = cluster.apply(write(&onto), &hash_key).await?;
    assert!(cluster.list_of(&resource, key.namespace.as_deref(), |_| true).await?.contains_key(&key));
    assert!(cluster.get(&resource, &key).await?.is_some());
    cluster.delete(&resource, &key, &made.uid, Some(&now.resource_version)).await?;
    let gone = Watched { resource, key, until: Until::Gone { uid: made.uid } };
    let verdict = cluster.watch(&[gone], Duration::from_secs(20), &NoRules).await;
    assert!(verdict.0.values().all(|health| *health == Health::Healthy), "{verdict:?}");
    Ok(())
}

fn settings(namespace: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": namespace}})
}

fn web(namespace: &str) -> Value {
    let labels = json!({"app": "web"});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": namespace},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "web", "image": "registry.example.com/web:1"}]}}}})
}

#[test]
fn a_cluster_takes_it_and_gives_the_worker_what_it_needs_and_no_more() {
    on_plane(async |plane| {
        for namespace in [HOME, SHOP, "deploy-other"] {
            plane.kubectl(&["create", "namespace", namespace]).await.unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bascule.yaml");
        let text = rendered(&["--namespace", HOME, "--set", &format!("namespaces={{{SHOP}}}")]);
        std::fs::write(&file, &text).unwrap();
        let apply = ["apply", "--server-side", "--validate=strict", "--filename", file.to_str().unwrap()];
        let said = plane.kubectl(&apply).await.unwrap();
        assert_eq!(said.lines().count(), objects(&text).len(), "{said}");

        let worker = as_worker(plane, folder.path(), Identity::Own).await;
        assert!(!worker.uid().await.unwrap().is_empty());
        assert!(worker.version().await.unwrap().starts_with("v1."));
        for namespace in [HOME, SHOP, "kube-system"] {
            let refused = deploys(&worker, &settings(namespace)).await.unwrap_err();
            assert!(refused.to_string().contains("bascule-worker"), "in its own name nowhere: {refused}");
            assert_eq!(refused.fate(), Fate::Never);
        }

        let as_deployer = async |namespace: &str| {
            let user = format!("system:serviceaccount:{namespace}:bascule-deployer");
            as_worker(plane, folder.path(), Identity::Impersonated(user)).await
        };
        let deployer = as_deployer(SHOP).await;
        for object in [settings(SHOP), web(SHOP)] {
            deploys(&deployer, &object).await.unwrap();
        }
        let hold =
            Hold { namespace: SHOP, name: "bascule-fence-1", owner: "work/1/shop@server", number: 1, holder: "a" };
        deployer.take_fence(hold, None).await.unwrap();
        let fence = deployer.fence(SHOP, hold.name).await.unwrap().unwrap();
        deployer.take_fence(Hold { number: 2, holder: "b", ..hold }, Some(&fence)).await.unwrap();
        let fence = deployer.fence(SHOP, hold.name).await.unwrap().unwrap();
        deployer.drop_fence(SHOP, hold.name, &fence).await.unwrap();
        assert_eq!(deployer.fence(SHOP, hold.name).await.unwrap(), None);
        let beside = deploys(&deployer, &settings("deploy-other")).await.unwrap_err();
        assert!(beside.to_string().contains("bascule-deployer"), "{beside}");
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": "more", "namespace": SHOP}, "rules": []});
        deploys(&deployer, &role).await.unwrap_err();
        // Where it was not let in there is no such account to act as, nor anybody greater.
        for other in ["deploy-other", "kube-system"] {
            as_deployer(other).await.version().await.unwrap_err();
        }
        let admin = Identity::Impersonated("kubernetes-admin".to_owned());
        as_worker(plane, folder.path(), admin).await.version().await.unwrap_err();
    });
}

/// The keys of an installation are made by hand, as `docs/install.md` says, and are ones the server takes.
#[test]
fn the_keys_of_the_documentation_are_keys() {
    let text = include_str!("../../docs/install.md");
    let block = text.split("```").find(|block| block.contains("openssl")).unwrap().strip_prefix("sh\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ran = Command::new("sh").args(["-euc", block]).current_dir(folder.path()).output().unwrap();
    if ran.status.code() == Some(127) {
        eprintln!("skipped: there is no openssl on this machine");
        return;
    }
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let server_key = std::fs::read_to_string(folder.path().join("server.key")).unwrap();
    assert_eq!(hex::decode(server_key.trim()).unwrap().len(), 32);
    let signer = bascule::audit::checkpoint::Signer::open(&folder.path().join("audit.key")).unwrap();
    let checkpoint = signer.sign(1, &[1; 32], jiff::Timestamp::UNIX_EPOCH);
    assert!(checkpoint.is_signed_by(&signer.public_key()));
}
